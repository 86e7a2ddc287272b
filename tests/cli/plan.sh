#!/bin/sh
# `duet plan` predicts the memory of the real run: within 10 % + 30 MB of its peak resident size.
. "$(dirname "$0")/lib.sh"
must stories 100000 2 >text.txt
NET="--model $SRC/models/autoresearch.json --set num_hidden_layers=2 --set vocab_size=6000"

# within NAME FILE REAL: total of a plan in JSON against a measured MB
within() {
    total=$(json total_bytes "$2")
    awk -v p="$total" -v r="$3" 'BEGIN { p /= 1048576; d = r - p; if (d < 0) d = -d
        printf "planned %.1f MB, real %.1f MB\n", p, r; exit !(p > 1 && r > 1 && d <= 0.1 * p + 30) }' >within.txt
    w_rc=$?
    echo "# $1: $(cat within.txt)"
    check "$1: within 10 % + 30 MB" [ $w_rc -eq 0 ]
}

# trains NAME OPTION...: one update and the validation after it
trains() {
    name=$1
    shift
    must "$DUET" plan $NET --json --threads 2 "$@" >plan.json
    must "$DUET" train $NET --tokenizer byte --data text.txt --steps 1 --threads 2 --quiet --val-windows 8 --out run --json "$@" \
        >run.json 2>run.err
    within "$name" plan.json "$(json peak_rss_mb run.json)"
    check "$name: planned_mb of the run is the plan" close_to "$(json planned_mb run.json)" \
        "$(awk -v b="$(json total_bytes plan.json)" 'BEGIN { print b / 1048576 }')" 0.01
    parts=0
    for key in weights gradients optimizer kept passing threads; do
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
must "$DUET" train $NET --tokenizer byte --data text.txt --steps 1 --batch 1 --seq 32 --threads 2 --quiet --val-windows 8 \
    --out start >start.out 2>start.err
L="--init start/model.blzt --lora 8 --batch 2 --seq 128"
trains lora $L
trains lora_q8_0 $L --weights q8_0 --recompute
described=$NET NET= # a MeZO run takes its description from --init
trains lora_mezo $L --weights bf16 --engine mezo
NET=$described
less() { [ "$(json "$1" $2.json)" -lt "$(json "$1" $3.json)" ]; }
half() { awk -v a="$(json "$1" $2.json)" -v b="$(json "$1" $3.json)" 'BEGIN { exit !(a > 0 && a < 0.51 * b) }'; }
for name in mezo mezo_bf16 lora_mezo; do
    check "$name: no gradients" equal "$(json gradients_bytes $name.json)" 0
    check "$name: nothing waits for a backward pass" equal "$(json kept_bytes $name.json)" 0
done
check "mezo: no optimizer state" equal "$(json optimizer_bytes mezo.json)" 0
check "bf16 weights take half" half weights_bytes mezo_bf16 mezo
check "q8_0 weights take a third" less weights_bytes lora_q8_0 mezo_bf16
check "LoRA: gradients of adapters only" [ "$(json gradients_bytes lora.json)" -lt $(($(json weights_bytes lora.json) / 20)) ]
check "LoRA: state of adapters only" equal "$(json optimizer_bytes lora.json)" $((2 * $(json gradients_bytes lora.json)))
check "recompute keeps less" less kept_bytes recompute long
check "lion needs half of adamw's state" equal "$(json optimizer_bytes plain.json)" $((2 * $(json optimizer_bytes lion.json)))
for name in plain recompute; do
    opts=$([ $name = plain ] && echo "--batch 8 --seq 128" || echo "--batch 10 --seq 512 --recompute")
    must "$DUET" bench step $NET $opts --runs 1 --warmup 0 --threads 2 --json >bench.json
    within "bench step, $name" $name.json "$(json peak_rss_mb bench.json)"
done

# Which tokens occur is known only with the data, so it is the run's own plan that must hold.
must "$DUET" train $NET --tokenizer byte --data text.txt --steps 1 --threads 2 --quiet --val-windows 8 --out run --json --batch 4 --seq 128 \
    --compact-vocab --set vocab_size=40000 >run.json 2>run.err
awk -v mb="$(json planned_mb run.json)" 'BEGIN { printf "{\"total_bytes\": %.0f}\n", mb * 1048576 }' >compact.json
within "compacted vocabulary" compact.json "$(json peak_rss_mb run.json)"

# ---- counts that a formula gives
must "$DUET" plan --model "$SRC/models/autoresearch.json" --batch 8 --seq 128 --json >a.json
check "parameters" equal "$(json params a.json)" 36442624
check "weights are 4 bytes each" [ $(($(json weights_bytes a.json) - 4 * 36442624)) -lt 10000 ]
# 6 flops a token and parameter of layers and classifier, and 12 H T D / 2 for causal attention
expect=$(awk 'BEGIN { n = 36442624 - 9 * 512; print 1024 * 6 * n }')
check "flops of a step: 6 per parameter and token, and attention" awk -v f="$(json flops_per_step a.json)" -v e="$expect" \
    'BEGIN { exit !(f > e && f < 1.03 * e) }'
must "$DUET" plan --model "$SRC/models/autoresearch.json" --batch 8 --seq 128 --accum 3 --json >a3.json
check "--accum: three times the flops" close_to "$(json flops_per_step a3.json)" \
    "$(awk -v f="$(json flops_per_step a.json)" 'BEGIN { printf "%.0f", 3 * f }')" 1e6
must "$DUET" plan --model "$SRC/models/autoresearch.json" >a.txt
check "the table has a total" says a.txt '^total  *[0-9.]* MB$'
check "a model larger than any memory can be planned" "$DUET" plan --model "$SRC/models/qwen3_06b.json" --batch 4096
finish
