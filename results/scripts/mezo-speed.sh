#!/bin/sh
# The figures of duet in results/mezo-speed.md: results/scripts/mezo-speed.sh build/tools/duet OUT
# One JSON object a run goes to OUT. Those beside PyTorch: results/scripts/peers.py.
set -eu
duet=$1
out=$2
: >"$out"

step() { # NAME MODEL BATCH OPTIONS...
    name=$1 model=$2 batch=$3
    shift 3
    "$duet" bench step --model "models/$model.json" --batch "$batch" --seq 256 --compute auto --runs 6 --json "$@" |
        tr -d '\n' | sed "s/^{/{\"name\": \"$name\", /" >>"$out"
    echo >>"$out"
}

for round in 1 2 3; do
    step full360 smollm2_360m 1 --engine mezo --weights bf16
    step lora360 smollm2_360m 1 --engine mezo --lora 8 --weights bf16
    step full135 smollm2_135m 4 --engine mezo --weights bf16
    step lora135 smollm2_135m 4 --engine mezo --lora 8 --weights bf16
done
step full360-f32 smollm2_360m 1 --engine mezo
step lora360-q8_0 smollm2_360m 1 --engine mezo --lora 8 --weights q8_0
step full360-k4 smollm2_360m 1 --engine mezo --weights bf16 --directions 4
step bplora360 smollm2_360m 1 --lora 8 --weights bf16 --recompute
step bplora360-kept smollm2_360m 1 --lora 8 --weights bf16
step bplora360-q8_0 smollm2_360m 1 --lora 8 --weights q8_0 --recompute
