#!/bin/sh
# The run of results/tinystories-300s.md: results/scripts/tinystories.sh build/tools/duet TRAIN_TXT OUT
set -eu
duet=$1
text=$2
out=$3
mkdir -p "$out"
"$duet" tokenizer train --vocab 4096 --out "$out/tok4096.json" "$text" --overwrite
"$duet" train --model models/autoresearch.json --data "$text" --tokenizer "$out/tok4096.json" --time 300 \
    --compute bf16 --batch 2 --lr 4e-4 --embed-lr 5 --beta2 0.98 --warmup 100 --min-lr 0.02 --decay-share 0.6 \
    --val-every 500 --out "$out/run" --overwrite
for seed in 1 2; do
    "$duet" generate "$out/run/model.blzt" --prompt "Once upon a time" --temperature 0.7 --seed $seed
    echo
done
