#!/bin/sh
# Draws results/mezo-learning.svg from the runs of learning.sh: results/scripts/learning-plot.sh DIR OUT.svg (needs gnuplot and jq-free awk)
set -eu
dir=$1
out=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for r in bpfull bplora mzfull mzlora mzlora-fast; do
    # seconds and val_loss of the validations
    awk -F'[:,}]' '/"event":"val"/ { for (i = 1; i < NF; i++) { if ($i ~ /"seconds"/) s = $(i + 1); if ($i ~ /"val_loss"/) v = $(i + 1) } print s, v }' \
        "$dir/runs/$r/log.jsonl" >"$tmp/$r"
    awk -F'[:,]' -v r="$r" '/"val_loss"/ { v = $2 } /"peak_rss_mb"/ { m = $2 } END { print m, v, r }' "$dir/runs/$r/summary.json" >>"$tmp/memory"
done
cd "$tmp"
gnuplot <<G
set terminal svg size 1000,420 font "sans,12"
set output "plot.svg"
set multiplot layout 1,2
set grid
set xlabel "training seconds (one thread)"
set ylabel "validation loss, nats per token"
set key top right
set yrange [4.4:8.8]
plot "bpfull" w lp pt 7 ps 0.4 t "full backprop, AdamW", "bplora" w lp pt 7 ps 0.4 t "backprop LoRA r8", \
     "mzfull" w lp pt 7 ps 0.4 t "full MeZO", "mzlora" w lp pt 7 ps 0.4 t "MeZO LoRA-split r8", \
     "mzlora-fast" w lp pt 7 ps 0.4 dt 2 t "the same, rate x 3"
set xlabel "peak memory, MB"
set xrange [0:*]
set autoscale y
unset key
plot "memory" using 1:2 w p pt 7, "memory" using 1:2:3 w labels offset 0,1 notitle
unset multiplot
G
cp plot.svg "$OLDPWD/$out" 2>/dev/null || cp plot.svg "$out"
