#!/bin/sh
# How long a run goes on: --steps, --time, --tokens, --epochs, --flops. The same length, said in
# another way, is the same run, bit for bit.
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >text.txt
head -c 3000 text.txt | od -An -v -tu1 -w1 | awk '{ printf "\\%o\\000", $1 }' >octal.txt
printf "$(cat octal.txt)" >raw.bin # 3000 tokens
steps() { json num_steps "$1/summary.json"; }
# flops OPTION...: of an update, and of a whole run, as duet plan says
flops() { "$DUET" plan $TINY "$@" --json | sed -n 's/.*"flops_per_step": *\([0-9.e+]*\).*/\1/p'; }
mul() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.0f", a * b }'; }

# same_run NAME STEPS OPTION... -- LENGTH...: each LENGTH (words) stands for --steps STEPS
same_run() {
    s_name=$1 s_steps=$2
    shift 2
    s_options=
    while [ "$1" != -- ]; do
        s_options="$s_options $1"
        shift
    done
    shift
    rm -rf base
    must train base --steps $s_steps --log-every 1 $s_options
    for s_length; do
        rm -rf run
        must train run --log-every 1 $s_options $s_length
        check "$s_name: $s_length is --steps $s_steps" equal "$(steps run)" $s_steps
        check "$s_name: $s_length: the same weights" same_weights base run
        check "$s_name: $s_length: the same log" same_steps base run
    done
}
same_weights() { if [ -f $1/adapter.blzt ]; then cmp $1/adapter.blzt $2/adapter.blzt; else \
    cmp $1/model.blzt $2/model.blzt; fi; }

# An update is 4 x 32 tokens. All schedules, with warm-up, in their falling part too.
for schedule in wsd linear cosine; do
    same_run $schedule 7 --schedule $schedule --warmup 2 -- "--tokens 896" \
        "--flops $(mul 7 $(flops))" "--tokens 896 --time 1e6" "--tokens 896 --steps 100"
done
same_run accum 5 --accum 3 -- "--tokens 1920" "--flops $(mul 5 $(flops --accum 3))"
mv base from
same_run LoRA 4 --set vocab_size=257 --init from/model.blzt --lora 2 -- "--tokens 512" \
    "--flops $(mul 4 $(flops --set vocab_size=257 --init from/model.blzt --lora 2))"
same_run recompute 4 --recompute -- "--flops $(mul 4 $(flops))"
same_run compact 4 --compact-vocab -- "--tokens 512" \
    "--flops $(mul 4 $(flops --compact-vocab --data text.txt))"
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }' ||
    { echo "$1 is not less than $2"; return 1; }; }
check "fewer operations with the compact vocabulary" less \
    "$(flops --compact-vocab --data text.txt)" "$(flops)"
check "and with LoRA, which has no gradient of frozen weights" less \
    "$(flops --set vocab_size=257 --init from/model.blzt --lora 2)" "$(flops --set vocab_size=257 --init from/model.blzt)"
# MeZO: forward passes only; the measured rate looks as far ahead as the run is long.
same_run MeZO 6 --engine mezo -- "--tokens 768" \
    "--flops $(mul 6 $(flops --engine mezo))"
same_run spsa 6 --engine mezo --estimator spsa --lr 1e-5 -- \
    "--flops $(mul 6 $(flops --engine mezo --estimator spsa))"
check "a MeZO update of one direction is two forward passes" close_to \
    "$(flops --engine mezo --estimator spsa)" "$(mul 0.6667 $(flops))" \
    "$(mul 0.05 $(flops))"

# ---- epochs: windows of 32 of 3000 tokens without validation: 93
raw_run() { r_out=$1; shift; train $r_out --data raw.bin --format raw16 --val-fraction 0 \
    --set vocab_size=257 --batch 3 "$@"; }
must raw_run one --epochs 1 --order epoch --log-every 1
check "an epoch of 93 windows is 31 updates of 3" equal "$(steps one)" 31
must raw_run one31 --steps 31 --order epoch --log-every 1
check "bit for bit" same one/model.blzt one31/model.blzt
must raw_run half --epochs 0.5 --batch 4
check "half an epoch: the update that reaches it is finished" equal "$(steps half)" 12
must raw_run two --epochs 2 --accum 2
check "two epochs in updates of 6" equal "$(steps two)" 31
printf 'sentence\tlabel\n' >a.tsv
i=0
while [ $i -lt 10 ]; do
    echo "the $i dog$(printf %$((i % 4))s | tr ' ' s)	$((i % 2))" >>a.tsv
    i=$((i + 1))
done
classify() {
    c_out=$1
    shift
    "$DUET" train --task a.tsv --template '{sentence}:' --labels x,y --init one/model.blzt \
        --tokenizer byte --batch 4 --threads 1 --quiet --out $c_out "$@" >$c_out.out 2>$c_out.err
}
must classify task --epochs 2
check "a task: 2 epochs of 10 examples in batches of 4" equal "$(steps task)" 5
must classify task5 --steps 5
check "bit for bit" same task/model.blzt task5/model.blzt

# ---- how far it goes past: an update that begins before the end is finished
for tokens in 1 128; do
    rm -rf run
    must train run --tokens $tokens
    check "--tokens $tokens is one update of 128" equal "$(steps run)" 1
done
rm -rf run
must train run --tokens 129
check "--tokens 129 is two" equal "$(steps run)" 2
rm -rf run
must train run --flops 1
check "--flops 1 is one" equal "$(steps run)" 1
rm -rf run
must train run --tokens 100k --steps 3 --epochs 50 --flops 1e30 --time 1000
check "of all five the first ends it" equal "$(steps run)" 3

# ---- a growing number of micro-batches: by share, whatever it is counted in
must train ramp --tokens 3840 --accum 1 --accum-end 5 --log-every 1
grew=$(grep '"event":"step"' ramp/log.jsonl | sed 's/.*"tokens":\([0-9]*\).*/\1/' |
    awk '{ print ($1 - p) / 128; p = $1 }' | tr '\n' ' ')
must "$DUET" plan $TINY --tokens 3840 --accum 1 --accum-end 5 --json >plan.json
check "plan counts the updates of a ramp" equal "$(json updates plan.json)" "$(steps ramp)"
check "which goes from 1 to 5" sh -c 'case $1 in "1 1 "*" 5 ") ;; *) echo "$1"; exit 1 ;; esac' - "$grew"
check "and their operations" close_to "$(json flops plan.json)" \
    "$(awk -v f="$(flops)" -v s="$grew" 'BEGIN { n = split(s, w, " "); for (i = 1; i <= n; i++) m += w[i]; printf "%.0f", m * f }')" 1
must train ramp2 --flops "$(mul 30 $(flops))" --accum 1 --accum-end 5 --log-every 1
check "30 micro-batches by operations: the same" same ramp/model.blzt ramp2/model.blzt

# ---- plan
for length in "--steps 9" "--tokens 1152" "--flops $(mul 9 $(flops))" "--tokens 1025" \
    "--time 5 --steps 9"; do
    must "$DUET" plan $TINY $length >plan.out
    check "plan $length" grep -q '^updates  *9, together' plan.out
done
must "$DUET" plan $TINY --time 5 >plan.out
check "plan --time: not known" sh -c '! grep -q updates plan.out'
must "$DUET" plan $TINY --epochs 1 >plan.out
check "plan --epochs without data" says plan.out 'updates --epochs 1 are is known when'
must "$DUET" plan $TINY --data raw.bin --format raw16 --val-fraction 0 --set vocab_size=257 --batch 3 \
    --epochs 1 >plan.out
check "plan --epochs with data" grep -q '^updates  *31, together' plan.out

# ---- going on
for length in "--tokens 640 1280" "--epochs 0.25 0.5" "--flops $(mul 5 $(flops)) $(mul 10 $(flops))"; do
    set -- $length
    rm -rf run whole
    must train run $1 $2 --schedule constant --warmup 0
    "$DUET" train --resume run >over.out 2>over.err
    check "$1: finished, exit status" [ $? -eq 0 ]
    check "$1: finished, and says so" says over.err "run is finished: [0-9]* updates on [0-9]* tokens .*($1 [0-9.e+]*: no more is asked for)"
    check "$1: its summary again" equal "$(value num_steps over.out)" "$(steps run)"
    must "$DUET" train --resume run $1 $3 --threads 1 --quiet >on.out 2>on.err
    must train whole $1 $3 --schedule constant --warmup 0
    check "$1: trained on is as long" equal "$(steps run)" "$(steps whole)"
    check "$1: trained on is the same" same run/model.blzt whole/model.blzt
    rm -rf broken
    "$DUET" train $TINY --data text.txt --out broken $1 $3 --warmup 0 --checkpoint-every 1 \
        >kill.out 2>&1 &
    p=$!
    while [ ! -s broken/state ] && kill -0 $p 2>kill.err; do :; done
    kill -9 $p 2>kill.err
    wait $p 2>kill.err
    must "$DUET" train --resume broken --threads 1 --quiet >on.out 2>on.err
    rm -rf whole
    must train whole $1 $3 --warmup 0
    check "$1: killed and resumed is the same" same broken/model.blzt whole/model.blzt
done
refuses "no budget at all" 2 'say how long to train: --time SECONDS, --steps N, --tokens N, --epochs X or --flops X' \
    "$DUET" train $TINY --data text.txt
refuses "a budget below 0" 2 'tokens is -5' "$DUET" train $TINY --data text.txt --tokens -5
refuses "a budget beyond all limits" 2 'flops is 1e+300, expected at most 1e+30' \
    "$DUET" train $TINY --data text.txt --flops 1e300
refuses "no number" 2 'flops is "many"' "$DUET" train $TINY --data text.txt --flops many
finish
