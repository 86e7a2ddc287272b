#!/bin/sh
# What `duet train` prints and writes: the trailer, summary.json, config.json that repeats the run,
# log.jsonl, validation on the way, a budget in seconds.
. "$(dirname "$0")/lib.sh"
must stories 40000 4 >text.txt

# valid FILE: every line is JSON, by whatever this machine has; without a tool at least by shape
if command -v node >tool 2>&1; then
    valid() { node -e 'for (const l of require("fs").readFileSync(process.argv[1], "utf8").trim().split("\n")) JSON.parse(l)' "$1"; }
elif command -v jq >tool 2>&1; then
    valid() { jq -e . "$1" >valid.out; }
elif command -v python3 >tool 2>&1; then
    valid() { python3 -c 'import json, sys; [json.loads(l) for l in open(sys.argv[1])]' "$1"; }
else
    valid() { ! grep -v '^{"[a-z_]*":.*}$' "$1"; }
fi
one_line() { tr -d '\n' <"$1" >one.json && echo >>one.json && valid one.json; }

must train run --steps 25 --val-every 10 --log-every 5

# ---- the trailer
check "the trailer begins with ---" [ "$(head -1 run.out)" = --- ]
check "the trailer is key: value" sh -c '! tail -n +2 run.out | grep -v "^[a-zA-Z_]*:  *[-0-9.a-z]*$"'
for key in val_loss val_loss_stderr val_bpb floor_bpb training_seconds total_seconds peak_rss_mb \
    total_tokens_M \
    num_steps num_params_M depth tokens_per_second ms_per_step gflops gemm_peak_gflops \
    peak_fraction; do
    check "trailer: $key is a number" sh \
        -c "value() { sed -n 's/^$key: *//p' run.out; }; value | grep -qx '[0-9.]*[0-9]'"
    a=$(value $key run.out) b=$(json $key run/summary.json)
    case $key in tokens_per_second) shown=0.5 ;; *) shown=0.06 ;; esac
    check "summary.json: $key is the same" close_to "$a" "$b" $shown
done
check "num_steps" equal "$(value num_steps run.out)" 25
check "total_tokens_M" close_to "$(json total_tokens_M run/summary.json)" 0.0032 1e-9
check "num_params_M" close_to "$(json num_params_M run/summary.json)" 0.023744 1e-9
check "depth" equal "$(value depth run.out)" 2
consistent() { awk -v r="$(json tokens_per_second run/summary.json)" \
    -v s="$(json training_seconds run/summary.json)" \
    -v ms="$(json ms_per_step run/summary.json)" -v g="$(json gflops run/summary.json)" \
    -v peak="$(json gemm_peak_gflops run/summary.json)" \
    -v f="$(json peak_fraction run/summary.json)" \
    'BEGIN { e = 1e-3; exit !(r * s / 3200 - 1 < e && r * s / 3200 - 1 > -e && ms * 25 / s / 1000 - 1 < e &&
             ms * 25 / s / 1000 - 1 > -e && g / peak - f < e && g / peak - f > -e) }' </dev/null; }
check "speeds agree with each other" consistent
check "the floor is below the loss" awk -v a="$(value floor_bpb run.out)" \
    -v b="$(value val_bpb run.out)" \
    'BEGIN { exit !(a > 0.05 && a < b) }'
check "bits per byte follow from the loss: a byte is a token, but for ends of documents" \
    close_to "$(awk -v l="$(value val_loss run.out)" 'BEGIN { print l / log(2) }')" \
    "$(value val_bpb run.out)" 0.05
grep -v endoftext text.txt | grep -v '^<|' >plain.txt
must "$DUET" train $TINY --data plain.txt --out plain --steps 3 >plain.out 2>plain.err
check "no floor where the corpus carries none" sh -c '! grep floor plain.out'
check "no floor in summary.json either" equal "$(json floor_bpb plain/summary.json)" null

# ---- JSON
check "summary.json is JSON" one_line run/summary.json
check "config.json is JSON" one_line run/config.json
check "log.jsonl is JSON lines" valid run/log.jsonl
must train js --steps 25 --val-every 10 --log-every 5 --json
check "--json prints one object" one_line js.out
check "--json is what summary.json says" same js.out js/summary.json

# ---- the log
check "the log begins with the start" equal \
    "$(head -1 run/log.jsonl | cut -c1-16)" '{"event":"start"'
check "one line every --log-every updates" equal \
    "$(steps_of run/log.jsonl | sed 's/.*"step":\([0-9]*\),.*/\1/' | tr '\n' ' ')" \
    "5 10 15 20 25 "
check "validation every --val-every updates and at the end" \
    equal "$(grep '"val"' run/log.jsonl | sed 's/.*"step":\([0-9]*\),.*/\1/' | tr '\n' ' ')" \
    "10 20 25 "
check "validation falls" awk \
    -v a="$(grep '"val"' run/log.jsonl | head -1 | sed 's/.*"val_loss":\([0-9.]*\).*/\1/')" \
    -v b="$(value val_loss run.out)" 'BEGIN { exit !(a > b && b > 1) }'
check "the last validation is the summary's" equal \
    "$(grep '"val"' run/log.jsonl | tail -1 | sed 's/.*"val_loss":\([0-9.]*\).*/\1/')" \
    "$(printf %.6f "$(json val_loss run/summary.json)")"
check "the trailer shows four digits of it" equal "$(value val_loss run.out)" \
    "$(printf %.4f "$(json val_loss run/summary.json)")"
check "its values stand in one column" equal \
    "$(tail -n +2 run.out | sed 's/^\([a-z_A-Z]*: *\).*/\1/' | awk '{ print length }' | sort -u)" 22
steps_of run/log.jsonl >steps
check "the log: an activation and a logit for each layer" equal \
    "$(grep -c '"max_activation":\[[0-9.]*,[0-9.]*\],"max_logit":\[[-0-9.e]*,[-0-9.e]*\]$' steps)" 5
check "the log: the parts of an update are most of its time" awk -F'"ms":' '
    /"step",/ { n = $0; sub(/.*"tokens_per_second":/, "", n); all = 128000 / (n + 0)
        m = split($2, w, /[:,}]/); sum = 0
        for (i = 2; i <= 14; i += 2) sum += w[i]
        lines++
        if (!(sum > 0.5 * all && sum < 1.02 * all)) { print sum, all, $0; bad = 1 } }
    END { exit bad || lines != 5 }' run/log.jsonl
check "the log: peak memory" awk -v a="$(json peak_rss_mb run/log.jsonl)" \
    -v b="$(json peak_rss_mb run/summary.json)" 'BEGIN { exit !(a > 2 && a <= b + 0.05) }'
check "tokens in the log" equal \
    "$(grep '"step":25' run/log.jsonl | head -1 | sed 's/.*"tokens":\([0-9]*\).*/\1/')" 3200
must train coarse --steps 25 --val-every 10 --log-every 25
mean() { steps_of "$1" | sed 's/.*"loss":\([0-9.]*\).*/\1/' |
    awk '{ s += $1 } END { printf "%.5f", s / NR }'; }
check "a line's loss is the mean since the line before" close_to "$(mean run/log.jsonl)" \
    "$(mean coarse/log.jsonl)" 2e-6

# ---- config.json
(cd / && must "$DUET" train --config "$WORK/run/config.json" --out "$WORK/again" --threads 1 \
    --quiet) >again.out 2>&1
check "config.json repeats the run from anywhere" same run/model.blzt again/model.blzt
check "and writes the same config.json" same_options run/config.json again/config.json
must "$DUET" train --config run/config.json --out seed --seed 9 --threads 1 --quiet >seed.out 2>&1
check "the command line wins over it" differ run/model.blzt seed/model.blzt
check "that is recorded" equal "$(json seed seed/config.json)" 9
mkdir here && cd here && must "$DUET" train --config ../run/config.json --threads 1 --quiet \
    >../here.out 2>&1
must "$DUET" train --config ../run/config.json --threads 1 --quiet >../here.out 2>&1
cd ..
check "without --out: the first free runs/N" same here/runs/1/model.blzt here/runs/2/model.blzt

# ---- what info says of it
must "$DUET" info run/config.json --all >info.out
check "info of a run's config.json" says info.out '^  kind  *options of a run$'
missing=
for key in $(sed -n 's/^  "\([a-z0-9-]*\)":.*/\1/p' run/config.json); do
    grep -q "^    $key\( \|\$\)" info.out || missing="$missing $key"
done
check "every option has a line" equal "$missing" ''
check "aligned" equal \
    "$(sed -n 's/^\(  *[a-z0-9_-]* *[^ ]\).*/\1/p' info.out | grep ' [^ ]* ' |
    awk 'NF > 1 { print length }' | sort -u | wc -l)" 1
check "with its value" says info.out "^    steps  *$(json steps run/config.json)$"
must "$DUET" info run/config.json --json >info.json
check "info --json of it" equal "$(json kind info.json), $(json steps info.json)" \
    "options of a run, $(json steps run/config.json)"
must "$DUET" info "$SRC/models/demo.json" >info.out
check "info of a model's description" says info.out '^  parameters  *1000576$'

# ---- what was read otherwise than the file says
must "$DUET" tokenizer train --vocab 300 --out bpe.json --quiet text.txt
must "$DUET" train $TINY --tokenizer bpe.json --data text.txt --steps 1 --out bpe >s.out 2>s.err
must "$DUET" convert bpe/model.blzt noted.gguf >conv.out 2>conv.err
key=tokenizer.ggml.eos_token_id
at=$(grep -abo $key noted.gguf | cut -d: -f1)
printf '\377\377\001\000' | dd of=noted.gguf bs=1 seek=$((at + ${#key} + 4)) conv=notrunc 2>dd.err
for engine in backprop mezo; do
    must "$DUET" train --init noted.gguf --data text.txt --engine $engine --steps 1 --batch 2 \
        --seq 32 --threads 1 --out noted-$engine \
        >noted.out 2>noted.err
    check "--engine $engine: a note of the model's reader, once" \
        equal "$(grep -c 'noted.gguf: key tokenizer.ggml.eos_token_id is 131071, but there are [0-9]* tokens' noted.err)" 1
done

# ---- seconds
must train timed --time 2 --lr 0.01 --schedule linear --min-lr 0 --log-every 1 --warmup 0
spent=$(value training_seconds timed.out)
check "--time 2 ends after 2 seconds of training" awk -v s="$spent" \
    'BEGIN { exit !(s >= 1.95 && s < 2.5) }'
lr() { sed 's/.*"lr":\([^,]*\),.*/\1/'; }
check "--time: the rate begins at the top" close_to "$(steps_of timed/log.jsonl | head -1 | lr)" \
    0.01 0.0005
check "--time: and decays to the end" awk -v s="$(steps_of timed/log.jsonl | tail -1 | lr)" \
    'BEGIN { exit !(s < 0.0005) }'
half() { grep '"event":"step"' "$1" | awk \
    -F'"seconds":' '{ split($2, a, ","); if (a[1] < 1.0) n++ } END { print n }'; }
check "--time: half the rate after half the time" close_to \
    "$(grep '"event":"step"' timed/log.jsonl | sed -n "$(half timed/log.jsonl)p" | lr)" 0.005 0.0012
check "--time and --steps: what comes first" "$DUET" train $TINY --data text.txt --out first \
    --time 100 --steps 3
finish
