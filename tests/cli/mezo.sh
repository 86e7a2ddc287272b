#!/bin/sh
# A MeZO run's trajectory gives its weights again, bit for bit; a killed run loses no update that it
# has recorded; what is not a trajectory of this base is refused and nothing is written.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
seed=${SEED:-$(date +%s)}
echo "# SEED=$seed"
random() { # MAX: seconds from 0 to MAX, in $delay
    seed=$((seed + 1))
    delay=$(awk -v s=$seed -v max="$1" 'BEGIN { srand(s); printf "%.3f\n", rand() * max }')
}

# Updates that were made again from the trajectory have no largest activations.
steps_of() { grep '"event":"step"' "$1" | sed 's/,"max_activation":.*//; s/,"seconds":.*//'; }

mezo() { # OUT OPTION...
    m_out=$1
    shift
    train "$m_out" --engine mezo "$@"
}
tune() { # OUT OPTION...: from the weights of start/model.blzt
    t_out=$1
    shift
    "$DUET" train --init start/model.blzt --data text.txt --engine mezo --seq 32 --batch 4 \
        --threads 1 \
        --out "$t_out" "$@" >"$t_out.out" 2>"$t_out.err" && return 0
    cat "$t_out.err" >&2
    return 1
}
replay() { "$DUET" replay "$@" --threads 1; }
same_weights() {
    tensors "$1" >weights.a
    tensors "$2" >weights.b
    [ -s weights.a ] && cmp weights.a weights.b
}

# replays NAME RUN...: COMMAND is mezo or tune; the replay is the file that the run saved
replays() {
    p_name=$1
    shift
    must "$@"
    p_base=start/model.blzt
    [ "$1" = mezo ] && p_base=$2/base.blzt
    p_file=$2/model.blzt
    [ -f "$p_file" ] || p_file=$2/adapter.blzt
    check "$p_name: replays" replay "$p_base" "$2/trajectory.zo" -o "$2.blzt"
    check "$p_name: the same file" same "$2.blzt" "$p_file"
}

# ---- every way to train
must train start --steps 30 --set intermediate_size=64
replays "sgd" mezo sgd --steps 12 --estimator spsa --schedule constant
replays "the defaults" mezo defaults --steps 6
check "the defaults are recorded: estimator" equal "$(json estimator defaults/config.json)" grzo
check "the defaults are recorded: schedule" equal "$(json schedule defaults/config.json)" linear
check "the defaults are recorded: the measured rate is that of the first update" equal \
    "$(awk -v r="$(json lr defaults/config.json)" 'BEGIN { printf "%.6g", r }')" \
    "$(sed -n 's/.*"event":"start".*"lr":\([^,]*\),.*/\1/p' defaults/log.jsonl |
    awk '{ printf "%.6g", $1 }')"
check "one direction a sequence is no choice" [ "$(grep -c '"directions"' defaults/config.json)" \
    -eq 0 ]
check "nothing is left to be decided" [ "$(grep -c '": -1\|"auto"' defaults/config.json)" -eq 0 ]
replays "momentum, accumulation ramp, cosine, clip" mezo ramp --steps 10 --optimizer momentum \
    --accum 1 --accum-end 3 --estimator spsa \
    --schedule cosine --clip 0.5
replays "adamw, decay" mezo adamw --steps 8 --optimizer adamw --weight-decay 0.2
replays "bf16, compacted vocabulary, untied" mezo bf16 --steps 8 --weights bf16 --estimator spsa \
    --lr 1e-3 --compact-vocab \
    --set tie_word_embeddings=false
replays "fzoo, 4 directions" mezo fzoo --steps 6 --estimator fzoo --directions 4
check "directions that are one are recorded" equal \
    "$(json directions fzoo/config.json) $(json directions sgd/config.json)" "4 1"
replays "grzo" mezo grzo --steps 6 --estimator grzo
replays "from a file" tune init --steps 8
replays "LoRA, norms" tune lora --steps 8 --lora 4 --lora-norms
replays "LoRA, merged, bf16 base, compacted vocabulary" tune lora2 --steps 6 --lora 2 \
    --lora-mode merge \
    --weights bf16 --compact-vocab
moves='matrix,norm=0.5,!*.layers.0.*'
replays "--perturb, adamw, decay" mezo moves --steps 6 --perturb "$moves" --optimizer adamw \
    --weight-decay 0.2 --norm-decay 0.1 --schedule constant --lr 1e-3
check "--perturb is recorded" grep -qF "\"perturb\": \"$moves\"" moves/config.json
"$DUET" diff moves/base.blzt moves/model.blzt --all >moves.diff 2>&1
still='layers\.0\.\|embed_tokens'
check "what it does not name stands still" equal "$(grep "$still" moves.diff | grep -c ' 0 *0 *0 %')" 10
check "what it names moves" equal "$(grep -v "$still" moves.diff | grep -c ' 0\.[0-9]* .* %')" 10
check "plan says how many weights move" sh -c '"$@" | grep -q "of them trained"' - "$DUET" plan $SHAPE \
    --engine mezo --steps 1 --tokenizer byte --batch 1 --perturb "$moves" --data text.txt
must cp -r moves moved
"$DUET" train --resume moves --steps 9 --quiet >moved.out 2>&1
replay moves/base.blzt moves/trajectory.zo -o nine.blzt >moved.out 2>&1
check "a run that goes on replays" same nine.blzt moves/model.blzt
must mezo straight --steps 9 --perturb "$moves" --optimizer adamw \
    --weight-decay 0.2 --norm-decay 0.1 --schedule constant --lr 1e-3
check "and ends where one goes that was not cut" same straight/model.blzt moves/model.blzt
refuses "other weights than those of the run" 2 '--perturb is "matrix", but moved was begun with "matrix,n' \
    "$DUET" train --resume moved --steps 6 --perturb matrix
refuses "and weights where the run moved all" 2 '--perturb is "matrix", but sgd was begun' \
    "$DUET" train --resume sgd --steps 20 --perturb matrix
must "$DUET" audit start/model.blzt --data text.txt --tokenizer byte --eps 1e-3 --threads 1 --quiet \
    --perturb 'norm,*.mlp.*' >audit.out
check "audit looks at what moves" sh -c 'grep -q "^norms .* ok" audit.out &&
    grep -q "^MLP matrices .* ok" audit.out && ! grep -q "^attention\|^embeddings" audit.out'
refuses "audit of what there is not" 2 '"bias" names no weight' "$DUET" audit start/model.blzt \
    --data text.txt --tokenizer byte --perturb bias
replays "low rank, adamw" mezo low --steps 7 --direction lowrank --direction-every 3 --optimizer adamw \
    --schedule constant --lr 1e-4
check "rank and period are recorded" equal \
    "$(json direction-rank low/config.json) $(json direction-every low/config.json)" "2 3"
must mezo short --steps 4 --direction lowrank --direction-every 3 --optimizer adamw \
    --schedule constant --lr 1e-4
must "$DUET" train --resume short --steps 7 --quiet >short.out 2>&1
check "low rank goes on as if it had not ended" same_weights short/model.blzt low/model.blzt
refuses "with the run's own rank" 2 '--direction-rank differs from what .*trajectory.zo was recorded with' \
    "$DUET" train --resume short --steps 9 --direction-rank 3
replays "LoRA, B alone" tune lora_b --steps 4 --lora 4 --perturb '*lora_B*'
for words in '!norm' 'lora' '!*.layers.0.*'; do # norms of the adapter that stand in the base's map
    must tune still --steps 4 --lora 2 --lora-norms --perturb "$words" --schedule constant --lr 1e-3
    must tune moving --steps 7 --lora 2 --lora-norms --perturb "$words" --schedule constant --lr 1e-3
    check "LoRA with norms, $words: goes on" "$DUET" train --resume still --steps 7 --quiet
    check "LoRA with norms, $words: as if it had not ended" same_weights still/adapter.blzt \
        moving/adapter.blzt
    rm -rf still moving
done
must mezo one_kind --steps 3 --optimizer momentum --lr 1e-4
for option in matrix-beta1=0.3 matrix-beta2=0.3 matrix-lr=2; do # what only a pair of kinds records
    refuses "--${option%=*} of a run that has none" 2 "--${option%=*} " \
        "$DUET" train --resume one_kind --steps 6 --"$option"
done
check "each run moved its weights" differ sgd/model.blzt sgd/base.blzt

# ---- steps
must mezo five --steps 5 --estimator spsa --schedule constant
check "--to-step: replays" replay sgd/base.blzt sgd/trajectory.zo -o to5.blzt --to-step 5
check "--to-step: the weights of a run of so many steps" same to5.blzt five/model.blzt
check "--to-step 0: replays" replay sgd/base.blzt sgd/trajectory.zo -o to0.blzt --to-step 0
check "--to-step 0: the weights it began from" same_weights to0.blzt sgd/base.blzt
check "3 threads: the same" "$DUET" replay sgd/base.blzt sgd/trajectory.zo -o threads.blzt \
    --threads 3
check "3 threads: the same file" same threads.blzt sgd/model.blzt
# one byte more: "steps": 12
check "44 bytes an update of one direction" equal \
    $(($(wc -c <sgd/trajectory.zo) - $(wc -c <five/trajectory.zo))) $((7 * 44 + 1))

for name in $("$DUET" train --help all | sed -n 's/^  --estimator \([a-z|]*\).*/\1/p' | tr '|' ' '); do
    check "--estimator $name of the help runs" mezo est_$name --steps 2 --estimator $name
done
check "there are estimators" [ -f est_spsa/model.blzt ]

# ---- kill -9: no recorded update is lost
# killed NAME COUNT COMMAND OPTION...: COMMAND is mezo or tune; COUNT times kill -9 at some moment
# after training may have begun, then to the end
killed() {
    k_name=$1 k_left=$2 k_command=$3
    shift 3
    rm -rf straight broken
    must $k_command straight "$@"
    base="$TINY"
    [ $k_command = tune ] && base="--init start/model.blzt --seq 32 --batch 4 --threads 1"
    while [ $k_left -gt 0 ]; do
        rm -f kill.err # the last one's
        if [ -f broken/config.json ]; then
            (exec "$DUET" train --resume broken --threads 1) >kill.out 2>kill.err &
        else
            (exec "$DUET" train $base --data text.txt --out broken --engine mezo "$@") >kill.out \
                2>kill.err &
        fi
        pid=$!
        while kill -0 $pid 2>/dev/null && ! grep -qs 'GEMM peak' kill.err; do sleep 0.02; done
        random 0.3
        sleep "$delay"
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        size=$(wc -c <broken/trajectory.zo 2>/dev/null)
        echo "# killed after $delay s: trajectory of ${size:-0} bytes"
        check "$k_name: kill $k_left: no error" [ "$(grep -c 'duet: error' kill.err)" -eq 0 ]
        k_left=$((k_left - 1))
    done
    check "$k_name: resumes to the end" "$DUET" train --resume broken --threads 1
    file=model.blzt base=broken/base.blzt
    [ -f straight/adapter.blzt ] && file=adapter.blzt
    [ $k_command = tune ] && base=start/model.blzt
    check "$k_name: the same weights" same straight/$file broken/$file
    check "$k_name: the same log" same_steps straight broken
    check "$k_name: replays" replay $base broken/trajectory.zo -o broken.blzt
    check "$k_name: the replay is the same file" same broken.blzt straight/$file
    rm -f broken.blzt
}
# The schedule goes on from the recorded rate, not from the one it had come down to.
killed "cosine" 3 mezo --estimator spsa --steps 1200 --checkpoint-every 150 --log-every 10 \
    --schedule cosine --lr 1e-4
killed "adamw, bf16" 3 mezo --steps 1000 --checkpoint-every 100 --log-every 10 --optimizer adamw \
    --weights bf16
killed "LoRA, norms, q8_0 base, 2 directions" 3 tune --steps 500 --checkpoint-every 70 \
    --log-every 10 --lora 4 \
    --lora-norms --weights q8_0 --directions 2 --schedule linear --warmup 20
killed "LoRA merged, adamw, before any checkpoint" 2 tune --steps 400 --checkpoint-every 100000 \
    --log-every 10 --lora 2 \
    --lora-mode merge --optimizer adamw
# Asking for another rate on the way is obeyed, from the next update on.
cp -r five faster
must "$DUET" train --resume faster --steps 6 --lr 1e-3 --threads 1 >faster.out 2>faster.err
cp -r five slower
must "$DUET" train --resume slower --steps 6 --threads 1 >slower.out 2>slower.err
must mezo six --steps 6 --estimator spsa --schedule constant
check "resumed with more steps: the run of so many steps" same_weights slower/model.blzt \
    six/model.blzt
check "resumed with another rate: other weights" differ slower/model.blzt faster/model.blzt
check "resumed with another rate: replays" replay faster/base.blzt faster/trajectory.zo \
    -o faster.blzt
check "resumed with another rate: the same weights" same_weights faster.blzt faster/model.blzt

# ---- out of the box
# Defaults lower the loss on another text than the model's own, whatever the seed, by more than
# three standard errors of the change on the same windows.
tr a-z A-Z <text.txt >upper.txt
must train own --steps 150 --lr 5e-3 --set intermediate_size=64
for s in 1 2 3; do
    for l in "" "--lora 4"; do
        rm -rf learns
        # shellcheck disable=SC2086
        must "$DUET" train --init own/model.blzt --data upper.txt --engine mezo --seq 32 \
            --threads 1 --steps 60 --seed $s \
            --out learns $l >learns.out 2>learns.err
        check "learns: seed $s ${l:-all weights}" awk -v c="$(value val_change learns.out)" \
            -v d="$(value val_change_stderr learns.out)" \
            'BEGIN { print c, d; exit !(d > 0 && c < -3 * d) }'
        check "learns: seed $s ${l:-all weights}: no warning" [ "$(grep -c warning learns.err)" \
            -eq 0 ]
    done
done
check "the change is that between the losses of the log" close_to "$(json val_change learns/summary.json)" \
    "$(awk -F'"val_loss":' \
    '/"event":"val"/ { split($2, x, ","); if (!n++) a = x[1]; b = x[1] } END { print b - a }' \
    learns/log.jsonl)" 2e-6
# What makes it worse says so, and ends well: it did what it was told.
must "$DUET" train --init own/model.blzt --data text.txt --engine mezo --seq 32 --batch 4 \
    --threads 1 --steps 20 --lr 1e-4 --spike 0 \
    --schedule constant --val-every 10 --out worse >worse.out 2>worse.err
check "worse: at a validation" says worse.err 'step 10  val_loss .*  +[0-9.]* +- [0-9.]* since step 0  worse$'
check "worse: at the end" says worse.err \
    'warning: the validation loss is above that of step 0, by .* on the same windows: try a lower --lr'
check "worse: in the summary" awk -v c="$(value val_change worse.out)" 'BEGIN { exit !(c > 0) }'
must "$DUET" train --init own/model.blzt --data text.txt --seq 32 --batch 4 --threads 1 \
    --steps 10 --lr 0.3 --spike 0 --out worse2 \
    >worse2.out 2>worse2.err
check "worse: backpropagation" says worse2.err \
    'warning: the validation loss is above that of step 0'
# An eps whose coefficients are 0, or rounding, or whose rate is: a note before the first update.
# One that works: none. small ESTIMATOR EPS [RATE]
small() {
    rm -rf small
    must "$DUET" train --init own/model.blzt --data upper.txt --engine mezo --seq 32 --threads 1 \
        --steps 1 --spike 0 --val-windows 4 \
        --estimator "$1" ${2:+--eps $2} ${3:+--lr $3} --out small >small.out 2>small.err
}
for name in grzo spsa; do
    for eps in 1e-30 1e-12; do
        for rate in "" 1e-6; do
            small $name $eps $rate
            check "$name, eps $eps, rate ${rate:-to be measured}: it changes nothing" says \
                small.err \
                "warning: eps $eps changes no loss of the first batch: every coefficient is 0 there, and rounding decides what is learned.*duet audit"
            check "$name, eps $eps, rate ${rate:-to be measured}: none was measured" \
                [ "$(grep -c '(measured)' small.err)" -eq 0 ]
        done
    done
    for eps in 1e-10 1e-08; do
        for rate in "" 1e-6; do
            small $name $eps $rate
            check "$name, eps $eps, rate ${rate:-to be measured}: rounding" says small.err \
                "warning: eps $eps is too small: .* rounding decides what is learned.*duet audit"
        done
    done
    for eps in 1e-07 1e-06; do
        small $name $eps
        check "$name, eps $eps: no rate can be measured" says small.err \
            "warning: eps $eps is too small.*duet audit"
    done
    small $name
    check "$name: no note at the default" [ "$(grep -c 'warning: ' small.err)" -eq 0 ]
    small $name "" 1e-6
    check "$name: no note at the default and a rate" [ "$(grep -c 'warning: ' small.err)" -eq 0 ]
done
for eps in 1e-07 1e-06; do # the differences are good, the step is not: rate / eps
    small grzo $eps 1e-6
    check "eps $eps: the rate is too large for it" says small.err \
        "warning: with eps $eps, learning rate 1e-06 is a step that would change the loss by about [0-9.e+]* at the first update.*duet audit"
done
check "an eps that works: no note" [ "$(grep -c 'warning: .*eps' worse.err)" -eq 0 ]

# duet audit: which eps and which rate; they work.
must "$DUET" audit own/model.blzt --data upper.txt --seq 32 --threads 1 >audit.out \
    2>audit.err
tail -1 audit.out >advice.out
check "audit: ends with its advice" says advice.out \
    'use eps = [0-9.e-]*, a rate near [0-9.e-]* (grzo, --batch 8, sgd)$'
must "$DUET" train --init own/model.blzt --data upper.txt --engine mezo --seq 32 --threads 1 \
    --steps 60 --out advised \
    --eps "$(sed 's/.*eps = \([^,]*\),.*/\1/' advice.out)" \
    --lr "$(sed 's/.*rate near \([^ ]*\) .*/\1/' advice.out)" >advised.out 2>advised.err
check "audit: its advice lowers the loss" awk -v c="$(value val_change advised.out)" \
    -v d="$(value val_change_stderr advised.out)" \
    'BEGIN { print c, d; exit !(d > 0 && c < -3 * d) }'
check "audit: tries several eps" [ "$(grep -A1 '^eps ' audit.out | grep -c '%')" -eq 1 ]
must "$DUET" audit own/model.blzt --data upper.txt --seq 32 --threads 1 --eps 0.002 \
    >given.out 2>given.err
check "audit: --eps is taken" says given.out 'signs, with eps 0.002: c by'
refuses "audit: --eps 0" 2 '--eps is 0.0, expected a number above 0' "$DUET" audit own/model.blzt \
    --data upper.txt --eps 0
# F1 is of a batch: the estimator follows.
awk 'BEGIN { print "sentence\tlabel"; for (i = 0; i < 24; i++) printf "the %d dog\t%d\n", i * 7 % 13, (i * 5 % 3 > 0) }' >f1.tsv
must "$DUET" train --init own/model.blzt --task f1.tsv --task-eval f1.tsv --template '{sentence}:' \
    --labels x,y --engine mezo --objective f1 \
    --batch 6 --steps 3 --threads 1 --out f1 >f1.out 2>f1.err
check "F1: with directions of the whole batch" says f1.err \
    '^fzoo, 8 directions an update, eps 0.003;'
check "F1: wrong answers are compared" says f1.err 'wrong answers [-+][0-9.]* .*since step 0'
check "F1: replays" replay own/model.blzt f1/trajectory.zo -o f1.blzt

# ---- what old runs recorded as -1 and auto means what it meant
must mezo was --steps 3 --estimator spsa --lr 1e-6 --schedule constant --checkpoint-every 3
cp -r was old
sed 's/"lr": [^,]*/"lr": -1.0/; s/"eps": [^,]*/"eps": -1.0/; s/"schedule": [^,]*/"schedule": "auto"/; s/"optimizer": [^,]*/"optimizer": "auto"/;
    s/"warmup": [^,]*/"warmup": -1/; s/"clip": [^,]*/"clip": -1.0/; s/"weight-decay": [^,]*/"weight-decay": -1.0/' was/config.json >old/config.json
check "old options: they are there" [ "$(options_of old/config.json | grep -c -e '-1' -e auto)" -eq 7 ]
must "$DUET" train --resume was --steps 6 --threads 1 >was.out 2>was.err
must "$DUET" train --resume old --steps 6 --threads 1 >old.out 2>old.err
check "old options: the same weights" same_weights was/model.blzt old/model.blzt
check "old options: resolved now" same_options was/config.json old/config.json
rm -rf again
must "$DUET" train --config was/config.json --steps 6 --threads 1 --out again >again.out \
    2>again.err
check "config.json repeats the run" same_weights was/model.blzt again/model.blzt

# ---- what backpropagation has saved is the same network here, to the last digit of its loss
# first NAME KEY OPTION...: KEY is the trained model's loss in its summary
first() {
    f_name=$1 f_key=$2
    shift 2
    must train trained --steps 12 --lr 3e-3 "$@"
    must "$DUET" train --init trained/model.blzt --data text.txt --engine mezo --seq 32 --batch 4 \
        --threads 1 \
        --out first --steps 1 --lr 0 >first.out 2>first.err
    check "$f_name: loss before the first step" equal \
        "$(grep -c "\"step\":0,.*\"val_loss\":$(printf %.6f "$(json $f_key trained/summary.json)")," first/log.jsonl)" 1
    check "$f_name: all its digits" equal "$(json val_loss first/summary.json)" \
        "$(json $f_key trained/summary.json)"
    rm -rf trained first
}
first "plain" val_loss
first "residual scale, softcap" val_loss --set duet.residual_scale=0.4 --set duet.logit_softcap=4
first "untied, QK-norm, biases, compacted" val_loss_full --set tie_word_embeddings=false \
    --set duet.qk_norm=true \
    --set attention_bias=true --compact-vocab --full-vocab-loss

# An end that a power failure has torn: it goes, and the update is made again.
cp -r sgd torn
head -c $(($(wc -c <sgd/trajectory.zo) - 50)) sgd/trajectory.zo >torn/trajectory.zo
refuses "a torn end" 1 'record of step 10 at offset [0-9]* is cut off or damaged; --to-step 10' \
    replay sgd/base.blzt torn/trajectory.zo -o x.blzt
check "a torn end: what is before it" replay sgd/base.blzt torn/trajectory.zo -o x.blzt --to-step 10
rm x.blzt
refuses "fewer updates than the checkpoint has seen" 1 'torn/trajectory.zo' "$DUET" train \
    --resume torn --steps 14
rm torn/state torn/model.blzt torn/summary.json # as if there had been no checkpoint yet
head -c $(($(wc -c <sgd/trajectory.zo) - 50)) sgd/trajectory.zo >torn/trajectory.zo
check "a torn end: resumes" "$DUET" train --resume torn --threads 1
check "a torn end: the same weights" same torn/model.blzt sgd/model.blzt
check "a torn end: replays" replay sgd/base.blzt torn/trajectory.zo -o x.blzt
check "a torn end: the replay is the same file" same x.blzt sgd/model.blzt
rm x.blzt
cp -r sgd lost
rm lost/trajectory.zo
refuses "a checkpoint without its trajectory" 1 'lost/trajectory.zo' "$DUET" train --resume lost \
    --steps 14
check "a checkpoint without its trajectory: nothing is changed" same lost/base.blzt sgd/base.blzt

# ---- what is refused
T=sgd/trajectory.zo B=sgd/base.blzt
cp $B base.copy
cp $T trajectory.copy
refuses "another base" 1 'is not the file that sgd/trajectory.zo began from: its hash is' replay \
    start/model.blzt $T -o x.blzt
refuses "--to-step beyond the end" 1 'sgd/trajectory.zo holds 12 updates, --to-step asks for 13' \
    replay $B $T -o x.blzt --to-step 13
refuses "not a trajectory" 1 'sgd/state: not a trajectory' replay $B sgd/state -o x.blzt
refuses "not a model" 1 'is not the file' replay text.txt $T -o x.blzt
refuses "no such base" 1 'nowhere' replay nowhere $T -o x.blzt
cp -r five old
sed -i 's/^  "eps"/  "rng": "compat",&/' old/config.json
refuses "a run with the predecessors' signs goes on elsewhere" 1 \
    'old/config.json: "rng" is "compat": .*commit 7279bbc' "$DUET" train --resume old --steps 9
refuses "and is replayed elsewhere" 1 'rng_compat.zo: "rng" is "compat": .*commit 7279bbc' replay $B \
    "$SRC/tests/golden/rng_compat.zo" -o x.blzt
sed -i 's/"compat"/"foo"/' old/config.json
refuses "what it never was" 1 'old/config.json: "rng" is "foo", expected one of: counter compat$' \
    "$DUET" train --resume old --steps 9
sed -i 's/"foo"/"counter"/' old/config.json
check "one of that time with today's signs goes on" "$DUET" train --resume old --steps 9 --quiet
refuses "the option is gone" 2 'no option --rng any more: .*commit 7279bbc' "$DUET" train --rng compat
refuses "no such trajectory" 1 'nowhere' replay $B nowhere -o x.blzt
refuses "no --out" 2 'give the file to write' replay $B $T
refuses "one argument" 2 'give the base and this trajectory, or the folder of the run' replay $B -o x.blzt
refuses "onto the base" 2 'sgd/base.blzt is to be read' replay $B $T -o $B
refuses "onto the trajectory" 2 'sgd/trajectory.zo is to be read' replay $B $T -o sgd/../$T
size=$(wc -c <$T)
bad=0
for at in 0 8 12 16 24 28 40 100 $((size - 500)) $((size - 100)); do
    byte=$(od -An -tu1 -j$at -N1 $T | tr -d ' ')
    cp $T flip.zo
    printf "\\$(printf %o $((byte ^ 16)))" | dd of=flip.zo bs=1 seek=$at conv=notrunc 2>/dev/null
    replay $B flip.zo -o x.blzt 2>flip.err && bad=1
    [ "$(grep -c '^duet: error: flip.zo' flip.err)" -eq 1 ] ||
        { bad=1; echo "# byte $at: $(cat flip.err)"; }
done
check "a flipped bit is found, anywhere" [ $bad = 0 ]
check "nothing was written" absent x.blzt x.blzt.duet-tmp
check "the base is as it was" same $B base.copy
check "the trajectory is as it was" same $T trajectory.copy

# ---- the benchmark takes the same engines
for b in "--lora 2" "--weights bf16 --directions 2" "--lora 2 --weights q8_0 --estimator grzo"; do
    # shellcheck disable=SC2086
    "$DUET" bench step --model "$SRC/models/stories260k.json" --set intermediate_size=64 \
        --engine mezo --seq 16 --batch 2 --runs 1 --warmup 0 $b >bench.out 2>&1
    check "bench step $b" grep -q 'step report: pack/perturb' bench.out
done

# ---- options that do not go together: one sentence, exit status 2
mix() { # NAME PATTERN OPTION...
    m_name=$1 m_pattern=$2
    shift 2
    refuses "$m_name" 2 "$m_pattern" "$DUET" train $TINY --data text.txt --out x --steps 1 "$@"
}
I="--init start/model.blzt"
mix "q8_0 without LoRA" 'q8_0 is for frozen weights: give --lora' $I --weights q8_0
mix "fzoo with one direction" 'fzoo needs at least 2 directions: give --directions' --engine mezo \
    --estimator fzoo --directions 1
mix "grzo with one example" 'grzo needs at least 2 directions: give a larger --batch' \
    --engine mezo --estimator grzo --batch 1
mix "grzo with directions" 'grzo has one direction an example' --engine mezo --estimator grzo \
    --directions 2
mix "LoRA from scratch" '--lora needs a trained model: --init' --lora 4
mix "rank larger than a side" 'rank is 17, expected 1 to 16' $I --lora 17 --set intermediate_size=64
mix "an unknown target" '"x" is not one of q, k, v' $I --lora 4 --lora-targets q,x \
    --set intermediate_size=64
mix "an unknown estimator" 'estimator' --engine mezo --estimator spsaa
mix "--lora-norms without --lora" 'belongs to --lora' $I --lora-norms
mix "--lora-mode without --lora" 'belongs to --lora' $I --lora-mode merge
mix "--lora-targets without --lora" 'belongs to --lora' $I --lora-targets q,v
mix "--lora-decay without --lora" 'belongs to --lora' $I --lora-decay 0.1
mix "--estimator with backprop" 'belongs to --engine mezo' --estimator grzo
mix "--directions with backprop" 'belongs to --engine mezo' --directions 2
mix "--eps with backprop" 'belongs to --engine mezo' --eps 0.01
mix "--perturb with backprop" 'belongs to --engine mezo' --perturb matrix
mix "--direction with backprop" 'belongs to --engine mezo' --direction lowrank
mix "--direction-rank with signs" 'belongs to --direction lowrank' --engine mezo --direction-rank 2
mix "low rank with LoRA" 'is for whole matrices: those of --lora' $I --engine mezo --lora 2 \
    --direction lowrank --set intermediate_size=64
mix "--perturb names nothing" '"qproj" names no weight' --engine mezo --perturb qproj
mix "--perturb leaves nothing" 'no weight is left' --engine mezo --perturb 'matrix,!matrix'
mix "--recompute with MeZO" '--recompute' --engine mezo --recompute
mix "--model with --init" 'give either --model or --init' $I --engine mezo
mix "--beta1 with SGD" '--beta1 has no effect on optimizer sgd' --engine mezo --beta1 0.9
mix "--beta2 with momentum" '--beta2 has no effect on optimizer momentum' --optimizer momentum \
    --beta2 0.9
mix "eps 0" '--eps is 0' --engine mezo --eps 0
mix "no directions" '--directions is 0' --engine mezo --directions 0
mix "eps below 0" '--eps is -0.5' --engine mezo --eps -0.5
mix "alpha 0" '--lora-alpha is 0' $I --lora 4 --lora-alpha 0
mix "an objective without a task" 'belongs to --task' --engine mezo --objective accuracy
printf 'sentence\tlabel\na\t0\nb\t1\n' >task.tsv
refuses "accuracy with backprop" 2 'accuracy has no gradient: it needs --engine mezo' "$DUET" \
    train $I --task task.tsv \
    --template '{sentence}:' --labels x,y --objective accuracy --steps 1 --batch 2 --out x
refuses "F1 of one example" 2 'sees one example at a time' "$DUET" train --init start/model.blzt \
    --engine mezo --estimator grzo \
    --task task.tsv --template '{sentence}:' --labels x,y --objective f1 --steps 1 --batch 2 --out x
refuses "--order with a task" 2 '--order has no effect with --task' "$DUET" train --init start/model.blzt \
    --task task.tsv --template '{sentence}:' \
    --labels x,y --order epoch --steps 1 --batch 2 --out x
refuses "a MeZO run by backprop" 2 '--engine is "backprop", but sgd was begun with "mezo"' "$DUET" \
    train --resume sgd --engine backprop --steps 20
check "nothing was made" absent x

loss_of() { "$DUET" eval "$1" --data text.txt --tokenizer byte --seq 32 --windows 20 --quiet \
    --threads 1 --json; }

# ---- a friend has the base and the trajectory, elsewhere, and nothing of the run's paths
must "$DUET" tokenizer convert byte --out bytes.json --quiet
must "$DUET" convert start/model.blzt bare.gguf --tokenizer none >out 2>err
must "$DUET" convert start/model.blzt withtok/ >out 2>err
mkdir friend
for b in bare.gguf withtok; do
    t=
    [ $b = bare.gguf ] && t="--tokenizer bytes.json"
    must "$DUET" train --init $b $t --engine mezo --data text.txt --seq 32 --batch 4 --steps 3 \
        --lr 1e-4 --eps 1e-3 --threads 1 --quiet --out given-$b >out 2>err
    must mv $b friend/
done
must mv bytes.json friend/
replay friend/withtok given-withtok/trajectory.zo -o h1.blzt >f.out 2>f.err
check "a base of Hugging Face elsewhere: the same file" same h1.blzt given-withtok/model.blzt
must "$DUET" replay friend/bare.gguf given-bare.gguf/trajectory.zo -o f2.blzt >f.out 2>f.err
check "without the tokenizer: said, and how to name it" says f.err \
    'gets no tokenizer: .*bytes.json.*; --tokenizer T names it where it is now'
must loss_of f2.blzt >l2
must loss_of given-bare.gguf/model.blzt >l3
check "the weights are the run's" same l2 l3
check "with it: the same file" sh -c '"$1" replay friend/bare.gguf given-bare.gguf/trajectory.zo \
    --tokenizer friend/bytes.json -o f3.blzt --quiet && cmp f3.blzt given-bare.gguf/model.blzt' - "$DUET"
refuses "one that the run did not have" 1 'tokenizer has no effect: the run had that of the file' \
    "$DUET" replay friend/withtok given-withtok/trajectory.zo --tokenizer byte -o f4.blzt
refuses "the run alone: its base is gone" 1 \
    'bare.gguf is gone: give the base where it is now: duet replay BASE given-bare.gguf' \
    "$DUET" replay given-bare.gguf -o f4.blzt
check "nothing was written" absent f4.blzt

# ---- the data is not needed
rm -r text.txt sgd/tokens.shard
check "without the data" replay $B $T -o x.blzt
check "without the data: the same file" same x.blzt sgd/model.blzt
finish
