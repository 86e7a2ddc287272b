#!/bin/sh
# Medians for results/speed.md: results/scripts/speed.sh build/tools/duet [ROUNDS]
# Prints one line per round and configuration: ms, GFLOP/s, peak, share, RSS MB, planned MB.
set -eu
duet=$1
rounds=${2:-3}
line() {
    name=$1
    shift
    "$duet" bench step "$@" --json | awk -v name="$name" -F'[:,]' '
        /"ms_per_step"/ {ms=$2} /"gflops"/ {gf=$2} /"gemm_peak_gflops"/ {peak=$2} /"peak_fraction"/ {f=$2}
        /"peak_rss_mb"/ {rss=$2} /"planned_mb"/ {plan=$2} /"tokens_per_second"/ {tok=$2}
        END {printf "%-34s %8.1f ms %8.0f tok/s %6.1f GF/s peak %6.1f share %.3f RSS %5.0f MB planned %5.0f MB\n",
             name, ms, tok, gf, peak, f, rss, plan}'
}
i=0
while [ $i -lt "$rounds" ]; do
    i=$((i + 1))
    echo "round $i"
    a="--model models/autoresearch.json --vocab 16893 --batch 8 --seq 128 --runs 10"
    s="--model models/smollm2_135m.json --batch 4 --seq 256 --runs 4 --warmup 1"
    line "autoresearch f32 adamw" $a
    line "autoresearch f32 lion" $a --optimizer lion
    line "autoresearch f32 openblas" $a --gemm openblas
    line "autoresearch f32 onednn" $a --gemm onednn
    line "autoresearch bf16 adamw" $a --compute bf16
    line "smollm2-135m f32 adamw" $s
    line "smollm2-135m f32 openblas" $s --gemm openblas
    line "smollm2-135m bf16 adamw" $s --compute bf16
    line "smollm2-135m f32 recompute" $s --recompute
done
