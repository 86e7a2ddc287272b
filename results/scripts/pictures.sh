#!/bin/sh
# Draws every picture of results/ and of the README from the tables in results/data (needs gnuplot:
# tools/setup.sh plot):
#
#   results/scripts/pictures.sh DUET           draws
#   results/scripts/pictures.sh DUET DIR       trains the README's run in DIR first (the demo's
#                                              settings, two minutes on two cores) and keeps its table
set -eu
duet=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
data=$root/results/data

if [ $# -gt 1 ]; then
    mkdir -p "$2"
    (
        cd "$2"
        "$duet" stories --bytes 16M --seed 1 --out stories.txt
        "$duet" tokenizer train --vocab 2048 --out tokenizer.json stories.txt
        # Steps, not seconds: the same losses everywhere.
        "$duet" train --model "$root/models/demo.json" --data stories.txt --tokenizer tokenizer.json \
            --steps 1500 --batch 2 --lr 1.5e-3 --embed-lr 4 --beta2 0.98 --min-lr 0.02 \
            --val-every 125 --log-every 5 --out demo --overwrite
        "$duet" plot demo -o "$data/demo.tsv" --overwrite
    )
fi

"$duet" plot "$data/mezo-learning.tsv" --x seconds --adaptive --overwrite \
    -o "$root/results/mezo-learning.svg"
demo() {
    "$duet" plot "$data/demo.tsv" --panels bpb --train no --title "" --width 640 --height 300 \
        --overwrite "$@"
}
demo -o "$root/results/demo.svg"
demo -o "$root/results/demo-dark.svg" --dark
