#!/bin/sh
# Steps of the README's shapes by two programs in alternation, on a machine with nothing else to do:
#   results/scripts/before-after.sh BEFORE AFTER LEDGER [ROUNDS]
# A row of LEDGER: shape, program, round, ms a step, share of the GEMM peak of the same run, planned and resident memory. Rows
# that are there are not measured again. Then medians of both (least to largest) as a table.
set -eu
before=$(realpath "$1") after=$(realpath "$2") ledger=$3 rounds=${4:-3}
cd "$(dirname "$0")/../.."
touch "$ledger"

measure() { # SHAPE NAME PROGRAM ROUND OPTIONS...
    shape=$1 name=$2 program=$3 round=$4
    shift 4
    grep -q "^$shape	$name	$round	" "$ledger" && return
    "$program" bench step --json "$@" | awk -v row="$shape	$name	$round" -F'[:,]' '
        /"ms_per_step"/ {ms=$2} /"peak_fraction"/ {share=$2} /"planned_mb"/ {plan=$2} /"peak_rss_mb"/ {rss=$2}
        END {printf "%s\t%.1f\t%.3f\t%.0f\t%.0f\n", row, ms, share, plan, rss}' >>"$ledger"
}
both() { # SHAPE OPTIONS...: who is first changes from round to round
    shape=$1
    shift
    for turn in 0 1; do
        if [ $(((turn + i) % 2)) = 1 ]; then measure "$shape" before "$before" $i "$@"; else measure "$shape" after "$after" $i "$@"; fi
    done
}

a="--model models/autoresearch.json --vocab 16893 --batch 8 --seq 128 --warmup 1"
s="--model models/smollm2_135m.json --seq 256 --batch 4 --warmup 1"
t="--model models/smollm2_360m.json --seq 256 --batch 1 --warmup 1"
m="--engine mezo --estimator spsa --directions 1"
i=0
while [ $i -lt "$rounds" ]; do
    i=$((i + 1))
    both "autoresearch, 8 × 128, f32 AdamW" $a --runs 4
    both "the same with Lion" $a --runs 4 --optimizer lion
    both "the same, bf16" $a --runs 2 --compute bf16
    both "SmolLM2-135M, 4 × 256, f32 AdamW" $s --runs 2
    both "the same, bf16 AdamW" $s --runs 1 --compute bf16
    both "SmolLM2-360M, 1 × 256, MeZO on all weights, bf16" $t $m --runs 2 --compute bf16 --weights bf16
    both "the same, LoRA r8 beside bf16" $t $m --runs 2 --compute bf16 --weights bf16 --lora 8
    both "the same, LoRA r8 beside q8_0" $t $m --runs 2 --compute bf16 --weights q8_0 --lora 8
    both "SmolLM2-135M, 4 × 256, MeZO on all weights, bf16" $s $m --runs 1 --compute bf16 --weights bf16
    both "SmolLM2-135M, 4 × 256, LoRA r8 beside bf16" $s $m --runs 1 --compute bf16 --weights bf16 --lora 8
done

printf '| shape, batch × tokens | before, ms | after, ms | after / before |\n|---|---:|---:|---:|\n'
cut -f1 "$ledger" | awk '!seen[$0]++' | while read -r shape; do
    for name in before after; do
        awk -F'\t' -v s="$shape" -v n=$name '$1 == s && $2 == n {print $4}' "$ledger" | sort -n |
            awk '{x[NR] = $1} END {m = NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2; printf "%.1f %.0f %.0f\n", m, x[1], x[NR]}'
    done | awk -v s="$shape" 'NR == 1 {b = $1; t = $1 " (" $2 "–" $3 ")"} NR == 2 {printf "| %s | %s | %s (%s–%s) | %.3f |\n", s, t, $1, $2, $3, $1 / b}'
done
