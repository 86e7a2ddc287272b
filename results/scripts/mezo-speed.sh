#!/bin/sh
# The figures of results/mezo-speed.md: results/scripts/mezo-speed.sh build/tools/duet OUT [TORCH...]
# TORCH: a command that takes --cfg smol360|smol135 --batch B --mode mezo --dtype bf16pure [--lora 8] [--var best] and prints a JSON
# line, run in alternation. One JSON object a run goes to OUT.
set -eu
duet=$1
out=$2
shift 2
: >"$out"

step() { # NAME MODEL BATCH OPTIONS...
    name=$1 model=$2 batch=$3
    shift 3
    "$duet" bench step --model "models/$model.json" --batch "$batch" --seq 256 --compute bf16 --runs 6 --json "$@" |
        tr -d '\n' | sed "s/^{/{\"name\": \"$name\", /" >>"$out"
    echo >>"$out"
}

for round in 1 2 3; do
    step full360 smollm2_360m 1 --engine mezo --weights bf16
    step lora360 smollm2_360m 1 --engine mezo --lora 8 --weights bf16
    [ $# -eq 0 ] || "$@" --cfg smol360 --batch 1 --mode mezo --dtype bf16pure --lora 8 >>"$out"
    step full135 smollm2_135m 4 --engine mezo --weights bf16
    step lora135 smollm2_135m 4 --engine mezo --lora 8 --weights bf16
    [ $# -eq 0 ] || "$@" --cfg smol135 --batch 4 --mode mezo --dtype bf16pure --lora 8 >>"$out"
done
step full360-f32 smollm2_360m 1 --engine mezo
step lora360-q8_0 smollm2_360m 1 --engine mezo --lora 8 --weights q8_0
step full360-k4 smollm2_360m 1 --engine mezo --weights bf16 --directions 4
step bplora360 smollm2_360m 1 --lora 8 --weights bf16 --recompute
step bplora360-kept smollm2_360m 1 --lora 8 --weights bf16
step bplora360-q8_0 smollm2_360m 1 --lora 8 --weights q8_0 --recompute
if [ $# -gt 0 ]; then
    "$@" --cfg smol360 --batch 1 --mode train --dtype bf16pure --lora 8 >>"$out"
    "$@" --cfg smol360 --batch 1 --mode mezo --dtype bf16pure --var best >>"$out"
    "$@" --cfg smol135 --batch 4 --mode mezo --dtype bf16pure --var best >>"$out"
fi
