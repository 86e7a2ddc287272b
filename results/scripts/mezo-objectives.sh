#!/bin/sh
# MeZO on accuracy and F1 (results/mezo-defaults.md), one thread, a second a run:
#   results/scripts/mezo-objectives.sh DUET DIR
# A small model, learned the language of a made-up task and BEGIN updates of the task itself by
# backpropagation, goes on by MeZO, defaults only. DIR/objectives.tsv gets a row a run: what is
# minimised, before and after on 400 examples that it has not seen, the change with its standard
# error on the same examples, and their ratio.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
duet=$(realpath "$1")
mkdir -p "$2"
cd "$2"
. "$here/../../tests/cli/objectives_task.sh"
size() { echo "--set num_hidden_layers=2 --set hidden_size=32 --set intermediate_size=48 --set num_attention_heads=4 --set num_key_value_heads=2"; }
S="--threads 1 --quiet --overwrite"
T="--template {sentence}: --labels y,x $S"
task_files
"$duet" train --model "$here/../../models/stories260k.json" $(size) --tokenizer byte --data text.txt --seq 32 --batch 16 \
    --steps 150 --lr 5e-3 $S --out language >out 2>err
get() { sed -n "s/^$1: //p" out; }
printf 'begin\tobjective\testimator\tseed\tbefore\tafter\tchange\tstderr\tz\n' >objectives.tsv
for begin in 20 25 30 35 40 60; do
    "$duet" train --init language --task begin.tsv $T --steps $begin --batch 16 --lr 1e-3 --schedule constant --warmup 0 \
        --out base >out 2>err
    for objective in accuracy f1 ce; do
        for seed in 31 32 33; do
            "$duet" train --init base --task train.tsv --task-eval eval.tsv $T --engine mezo --objective $objective --batch 32 \
                --steps 200 --seed $seed --out run >out 2>err
            after=$(get val_loss)
            [ $objective = ce ] || after=$(awk -v a="$(get val_accuracy)" 'BEGIN { print 1 - a }')
            awk -v b=$begin -v o=$objective -v e="$(sed -n 's/^ *"estimator": "\([^"]*\).*/\1/p' run/config.json)" -v s=$seed \
                -v a="$after" -v c="$(get val_change)" -v d="$(get val_change_stderr)" 'BEGIN {
                    printf "%s\t%s\t%s\t%s\t%.4f\t%.4f\t%.4f\t%.4f\t", b, o, e, s, a - c, a, c, d
                    if (d > 0) printf "%.1f\n", c / d; else print "-" }' >>objectives.tsv
        done
    done
done
