#!/bin/sh
# `duet plan` predicts the memory of the real run: it is resident within 10 % + 12 MB of its plan.
# MB are 10^6 bytes.
. "$(dirname "$0")/lib.sh"
must stories 100000 2 >text.txt
NET="--model $SRC/models/autoresearch.json --set num_hidden_layers=2 --set vocab_size=6000"

# within NAME FILE REAL SLACK: total of a plan in JSON against a measured MB
within() {
    total=$(json total_bytes "$2")
    awk -v p="$total" -v r="$3" -v slack="$4" 'BEGIN { p /= 1e6; d = r - p; if (d < 0) d = -d
        printf "planned %.1f MB, real %.1f MB\n", p, r; exit !(p > 1 && r > 1 && d <= 0.1 * p + slack) }' >within.txt
    w_rc=$?
    echo "# $1: $(cat within.txt)"
    check "$1: within 10 % + $4 MB" [ $w_rc -eq 0 ]
}

# trains NAME OPTION...: one update and the validation after it
trains() {
    name=$1
    shift
    must "$DUET" plan $NET --json --threads 2 --tokenizer byte --data text.txt "$@" >plan.json
    must "$DUET" train $NET --tokenizer byte --data text.txt --steps 1 --threads 2 --quiet \
        --val-windows 8 --out run --json "$@" \
        >run.json 2>run.err
    within "$name" plan.json "$(json peak_rss_mb run.json)" 12
    check "$name: planned_mb of the run is the plan" equal "$(json planned_mb run.json)" \
        "$(json planned_mb plan.json)"
    check "$name: parameters of the run are the plan's" close_to \
        "$(json trained_params_M run.json)" \
        "$(awk -v n="$(json trained_params plan.json)" 'BEGIN { printf "%.6f", n / 1e6 }')" 1e-6
    parts=0
    for key in weights gradients optimizer kept passing threads validation; do
        parts=$((parts + $(json ${key}_bytes plan.json)))
    done
    check "$name: the parts add up" equal "$parts" "$(json total_bytes plan.json)"
    cp plan.json "$name.json"
    rm -rf run
}

trains plain --batch 8 --seq 128
trains long --batch 10 --seq 512
trains recompute --batch 10 --seq 512 --recompute
trains lion --batch 2 --seq 128 --optimizer lion
trains mezo --batch 2 --seq 128 --engine mezo
trains mezo_bf16 --batch 2 --seq 128 --engine mezo --weights bf16 --lr 1e-6
must "$DUET" train $NET --tokenizer byte --data text.txt --steps 1 --batch 1 --seq 32 --threads 2 \
    --quiet --val-windows 8 \
    --out start >start.out 2>start.err
L="--init start/model.blzt --lora 8 --batch 2 --seq 128"
trains lora $L
trains lora_q8_0 $L --weights q8_0 --recompute
described=$NET NET= # a MeZO run takes its description from --init
trains lora_mezo $L --weights bf16 --engine mezo
NET=$described
less() { [ "$(json "$1" $2.json)" -lt "$(json "$1" $3.json)" ]; }
half() { awk -v a="$(json "$1" $2.json)" -v b="$(json "$1" $3.json)" \
    'BEGIN { exit !(a > 0 && a < 0.51 * b) }'; }
for name in mezo mezo_bf16 lora_mezo; do
    check "$name: no gradients" equal "$(json gradients_bytes $name.json)" 0
    check "$name: nothing waits for a backward pass" equal "$(json kept_bytes $name.json)" 0
done
check "mezo: no optimizer state" equal "$(json optimizer_bytes mezo.json)" 0
check "bf16 weights take half" half weights_bytes mezo_bf16 mezo
check "q8_0 weights take a third" less weights_bytes lora_q8_0 mezo_bf16
check "LoRA: gradients of adapters only" [ "$(json gradients_bytes lora.json)" \
    -lt $(($(json weights_bytes lora.json) / 20)) ]
check "LoRA: state of adapters only" equal "$(json optimizer_bytes lora.json)" \
    $((2 * $(json gradients_bytes lora.json)))
check "recompute keeps less" less kept_bytes recompute long
check "lion needs half of adamw's state" equal "$(json optimizer_bytes plain.json)" \
    $((2 * $(json optimizer_bytes lion.json)))
for name in plain recompute; do
    opts=$([ $name = plain ] && echo "--batch 8 --seq 128" ||
        echo "--batch 10 --seq 512 --recompute")
    must "$DUET" bench step $NET $opts --runs 1 --warmup 0 --threads 2 --json >bench.json
    within "bench step, $name" $name.json "$(json peak_rss_mb bench.json)" 30
done

# What decides the shapes is in the data and the tokenizer.
trains compact --batch 4 --seq 128 --compact-vocab --set vocab_size=40000
check "compacted: the vocabulary is the bytes that occur" [ "$(json vocab compact.json)" -lt 257 ]
must "$DUET" tokenizer train --vocab 700 --out tok.json --quiet text.txt >tok.out 2>&1
NET="--model $SRC/models/demo.json"
for o in "--batch 2" "--batch 2 --engine mezo --lr 1e-6"; do
    must "$DUET" plan $NET --json --tokenizer tok.json $o >small.json
    check "plan $o: the tokenizer decides the vocabulary" equal "$(json vocab small.json)" 700
    must "$DUET" train $NET --data text.txt --tokenizer tok.json --steps 8 --quiet --out small \
        --overwrite --json $o >run.json 2>run.err
    check "plan $o: the run's number" equal "$(json planned_mb run.json)" \
        "$(json planned_mb small.json)"
    must "$DUET" plan --resume small $o --json >again.json
    check "plan --resume, $o: the run's number" equal "$(json planned_mb run.json)" \
        "$(json planned_mb again.json)"
    within "small run, $o" small.json "$(json peak_rss_mb run.json)" 12
done
# The same from a shard, from raw tokens with one window too few to validate on, and beside q8_0
# weights.
must "$DUET" tokenize --tokenizer tok.json text.txt --out text.shard --quiet 2>shard.err
NET=
for o in "--data text.shard --engine mezo --lora 4 --weights q8_0" \
    "--data text.shard --lora 4 --val-fraction 0"; do
    must "$DUET" plan --init small/model.blzt --json --batch 2 $o >small.json
    must "$DUET" train --init small/model.blzt --batch 2 --steps 3 --quiet --out tuned --overwrite \
        --json $o >run.json 2>run.err
    check "plan $o: the run's number" equal "$(json planned_mb run.json)" \
        "$(json planned_mb small.json)"
    check "plan $o: fewer parameters are trained than there are" \
        awk -v t="$(json trained_params_M run.json)" -v n="$(json num_params_M run.json)" \
        'BEGIN { exit !(t > 0 && t < n / 10) }'
    within "small run, $o" small.json "$(json peak_rss_mb run.json)" 12
done
awk 'BEGIN { print "sentence\tlabel"; for (i = 0; i < 40; i++) printf "the %d dog barks\t%d\n", i * 7 % 13, i % 2 }' >a.tsv
T="--init small/model.blzt --task a.tsv --task-eval a.tsv --batch 2"
must "$DUET" plan $T --template "{sentence} It was" --labels "!,?" --json >small.json
must "$DUET" train $T --template "{sentence} It was" --labels "!,?" --steps 2 --quiet --out task \
    --json >run.json 2>run.err
check "plan of a task: the run's number" equal "$(json planned_mb run.json)" \
    "$(json planned_mb small.json)"
refuses "no model" 2 'give the model' "$DUET" plan
refuses "a tokenizer that is not there" 1 'no-such' "$DUET" plan --model "$SRC/models/demo.json" \
    --tokenizer no-such.json
refuses "data that is not there" 1 'no-such' "$DUET" plan --model "$SRC/models/demo.json" \
    --tokenizer byte --data no-such.txt
must "$DUET" plan --model "$SRC/models/smollm2_135m.json" --lora 8 --engine mezo --weights q8_0 \
    >lora.txt
check "LoRA can be planned before the model is there" says lora.txt 'of them trained'

# ---- counts that a formula gives
must "$DUET" plan --model "$SRC/models/autoresearch.json" --batch 8 --seq 128 --json >a.json
check "parameters" equal "$(json params a.json)" 36442624
check "weights are 4 bytes each" [ $(($(json weights_bytes a.json) - 4 * 36442624)) -lt 10000 ]
# 6 flops a token and parameter of layers and classifier, and 12 H T D / 2 for causal attention
expect=$(awk 'BEGIN { n = 36442624 - 9 * 512; print 1024 * 6 * n }')
check "flops of a step: 6 per parameter and token, and attention" awk \
    -v f="$(json flops_per_step a.json)" -v e="$expect" \
    'BEGIN { exit !(f > e && f < 1.03 * e) }'
must "$DUET" plan --model "$SRC/models/autoresearch.json" --batch 8 --seq 128 --accum 3 --json \
    >a3.json
check "--accum: three times the flops" close_to "$(json flops_per_step a3.json)" \
    "$(awk -v f="$(json flops_per_step a.json)" 'BEGIN { printf "%.0f", 3 * f }')" 1e6
must "$DUET" plan --model "$SRC/models/autoresearch.json" >a.txt
check "the table has a total" says a.txt '^total  *[0-9.]* MB$'
check "a model larger than any memory can be planned" "$DUET" plan \
    --model "$SRC/models/qwen3_06b.json" --batch 4096
# ---- more than there is: plan says what train refuses
BIG="--set num_hidden_layers=8 --set hidden_size=512 --set intermediate_size=1376
 --set num_attention_heads=8 --set num_key_value_heads=8 --batch 16 --seq 256"
for kind in v d; do
    less() { (ulimit -$kind 400000 && exec "$@"); }
    less "$DUET" plan $TINY >fits.txt
    check "ulimit -$kind: a small run fits" says fits.txt '^fits  *yes$'
    less "$DUET" plan $TINY $BIG >fits.txt
    check "ulimit -$kind: a large one does not" awk \
        '/^total/ { t = $2 } /^available/ { a = $2 } /^fits  *no: .* MB too much$/ { d = $3 - (t - a) }
        END { exit !(a > 0 && a < 410 && t > a && d != "" && d * d < 0.04) }' fits.txt
    less "$DUET" plan $TINY $BIG --json >fits.json
    check "ulimit -$kind: --json" equal "$(json fits fits.json)" false
    refuses "ulimit -$kind: train refuses it" 4 'this run needs' less "$DUET" train $TINY $BIG \
        --data text.txt --out big --steps 1
done
"$DUET" plan $TINY --json >fits.json
check "without a limit" equal "$(json fits fits.json)" true

finish
