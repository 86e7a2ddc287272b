#!/bin/sh
# The runs of results/mezo-learning.md, one thread each, two at a time:
#   results/scripts/learning.sh DUET DIR STAGE
# DIR holds tok.json (BPE of 8,192 tokens over both texts and the SST-2 sentences), ts.txt (TinyStories), sh.txt
# (tinyshakespeare), sst/train.tsv, sst/test.tsv and autoresearch.json. Stages: base, sweep, sweep2, finals, ceiling, classify, storage.
set -eu
duet=$1
cd "$2"
stage=$3
jobs=${JOBS:-2}

# NAME SECONDS OPTIONS... -> a line of the queue
run() {
    name=$1
    shift
    echo "$name $*"
}

work() { # runs the queue on stdin
    xargs -P "$jobs" -L 1 sh -c '
        name=$1; shift
        [ -s "$0/runs/$name/summary.json" ] || "'"$duet"'" train --init base/model.blzt --compute bf16 --threads 1 --quiet --overwrite \
            --out "runs/$name" "$@" >"logs/$name.log" 2>&1 || echo "failed: $name"' .
}

text="--data sh.txt --seq 128 --batch 8 --val-windows 160"
bplora="--lora 8 --schedule constant"
bpfull="--schedule constant"
mzlora="--engine mezo --lora 8"
mzfull="--engine mezo"
# Rates below the best of a minute: in the long run the noise of too large a rate costs more than it gained.
full_best="--estimator grzo --eps 3e-3 --lr 4e-6"
mkdir -p runs logs

case $stage in
base)
    "$duet" train --model autoresearch.json --data ts.txt --tokenizer tok.json --time 240 --compute bf16 --batch 2 --lr 4e-4 \
        --embed-lr 5 --beta2 0.98 --warmup 100 --min-lr 0.02 --decay-share 0.6 --out base --overwrite
    ;;
sweep) # a minute each: the best rate, not the best result
    {
        for lr in 1e-3 3e-3 1e-2; do run "sweep-bplora-$lr" $text --time 60 $bplora --lr $lr; done
        for lr in 1e-4 3e-4 1e-3; do run "sweep-bpfull-$lr" $text --time 60 $bpfull --lr $lr; done
        for lr in 1e-3 1e-2 1e-1; do run "sweep-mzlora-$lr" $text --time 60 $mzlora --eps 1e-3 --lr $lr; done
        for lr in 1e-6 1e-5 1e-4; do run "sweep-mzfull-$lr" $text --time 60 $mzfull --lr $lr; done
        for lr in 1e-3 1e-2; do run "sweep-mzlora-adamw-$lr" $text --time 60 $mzlora --eps 1e-3 --optimizer adamw --lr $lr; done
        for lr in 1e-2 1e-1; do run "sweep-mzlora-fzoo8-$lr" $text --time 60 $mzlora --eps 1e-3 --estimator fzoo --directions 8 --batch 4 --lr $lr; done
        for lr in 1e-5 1e-4; do run "sweep-mzlora-grzo-$lr" $text --time 60 $mzlora --eps 1e-3 --estimator grzo --lr $lr; done
    } | work
    ;;
sweep2) # zeroth order again, around what the first sweep found
    {
        for lr in 3e-3 1e-2 3e-2; do run "sweep2-mzlora-adamw-$lr" $text --time 60 $mzlora --optimizer adamw --lr $lr; done
        for lr in 1e-4 3e-4; do run "sweep2-mzlora-grzo-$lr" $text --time 60 $mzlora --estimator grzo --lr $lr; done
        run sweep2-mzlora-fzoo8-1e-4 $text --time 60 $mzlora --estimator fzoo --directions 8 --batch 4 --lr 1e-4
        for lr in 3e-4 1e-3; do run "sweep2-mzfull-$lr" $text --time 60 $mzfull --eps 3e-3 --lr $lr; done
        for lr in 3e-6 1e-5; do run "sweep2-mzfull-grzo-$lr" $text --time 60 $mzfull --eps 3e-3 --estimator grzo --lr $lr; done
    } | work
    ;;
finals) # ten minutes of training each, the rates that the sweeps found, falling linearly to a tenth
    {
        end="--time 600 --schedule linear --min-lr 0.1"
        run bplora $text $end --lora 8 --lr 3e-3 --val-every 60
        run mzlora-fast $text $end $mzlora --estimator grzo --lr 3e-4 --val-every 100
        run bpfull $text $end --lr 1e-3 --val-every 60
        run mzfull $text $end $mzfull $full_best --val-every 100
        run mzlora $text $end $mzlora --estimator grzo --lr 1e-4 --val-every 100
    } | work
    ;;
ceiling) # is there a ceiling after 600 steps? the predecessors' setting, a constant rate, directions and examples
    {
        one="--data sh.txt --seq 128 --batch 1 --val-windows 160 $mzlora --eps 1e-3"
        for seed in 1 2 3; do
            run "ceiling-cosine-$seed" $one --lr 1e-3 --schedule cosine --steps 1000 --val-every 200 --seed $seed
            run "ceiling-constant-$seed" $one --lr 1e-3 --steps 1500 --val-every 250 --seed $seed
        done
        for seed in 2 3; do
            run "ceiling-grzo-$seed" $text $mzlora --estimator grzo --lr 1e-4 --steps 500 --val-every 100 --seed $seed
        done
    } | work
    ;;
classify)
    {
        sst="--task sst/train.tsv --task-eval sst/test.tsv --seq 64 --batch 16"
        # xargs reads the quotes
        t='--template "{sentence} It was" --labels " terrible, great"'
        echo "sst-bplora $sst $t --lora 8 --lr 1e-3 --time 100 --schedule linear --val-every 60"
        echo "sst-mzlora $sst $t $mzlora --estimator grzo --lr 3e-4 --time 100 --schedule linear --val-every 100"
        echo "sst-mzfull $sst $t $mzfull $full_best --time 100 --schedule linear --val-every 100"
        echo "sst-accuracy $sst $t $mzlora --objective accuracy --batch 64 --directions 4 --eps 3e-2 --lr 1e-2 --time 100 --val-every 40"
    } | work
    ;;
storage) # does a bf16 weight learn from updates far below its last bit?
    {
        for w in f32 bf16; do
            run "storage-$w-grzo" $text $mzfull $full_best --weights $w --steps 250 --val-every 50
            run "storage-$w-small" $text $mzfull --eps 3e-3 --lr 3e-5 --weights $w --steps 250 --val-every 50
        done
    } | work
    ;;
esac
