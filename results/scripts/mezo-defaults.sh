#!/bin/sh
# The runs of results/mezo-defaults.md, one thread each, JOBS (1) at a time:
#   results/scripts/mezo-defaults.sh DUET DIR STAGE [LEDGER]
# DIR gets the texts, bases and runs. Stages: bases, sweep, confirm. A row of the ledger (default DIR/STAGE.tsv) that is
# there already is not run again, so that a stage can be stopped and gone on with. DUET_DATA is the folder of the data.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=$(realpath "${DUET_DATA:-$here/../../../shared/data}")
duet=$(realpath "$1")
mkdir -p "$2"
cd "$2"
stage=$3
ledger=$(realpath -m "${4:-$stage.tsv}")
jobs=${JOBS:-1}
mkdir -p runs text
export duet ledger

texts() {
    cp -n "$data/text/tinyshakespeare.txt" text/shakespeare.txt
    cp -n "$data/text/books/Jane Austen - Pride and Prejudice.md" text/austen.txt
    cp -n "$data/text/wikitext-2/train_head_2.3M.txt" text/wikitext.txt
    [ -f text/stories.txt ] || "$duet" stories --bytes 1500k --seed 1 --quiet --out text/stories.txt
}

# BASE -> the options of a run from it
base() {
    case $1 in
    260K) echo "--init $data/weights/stories260K/stories260K.bin --tokenizer $data/weights/stories260K/tok512.model --seq 64" ;;
    1M) echo "--init 1M/model.blzt --seq 64" ;;
    15M) echo "--init 15M/model.blzt --seq 32" ;;
    esac
}
windows() { [ "$1" = 15M ] && echo 256 || echo 128; }

# BASE TEXT SEED MODE NAME OPTIONS...: a line of the queue
cell() {
    c_base=$1 c_text=$2 c_seed=$3 c_mode=$4 c_name=$5
    shift 5
    lora=
    [ "$c_mode" = lora ] && lora="--lora 8"
    # not quoted: a blank at its end would join a line to the next one
    echo $c_base $c_text $c_seed $c_mode $c_name --engine mezo $(base "$c_base") --data text/$c_text.txt --seed $c_seed --steps 200 --val-windows $(windows "$c_base") $lora $*
}

# Runs the queue on stdin. A row: base, text, seed, mode, name, estimator, eps, lr, batch, steps, loss before and after, their
# difference on the same windows, its standard error, and the difference in standard errors.
work() {
    [ -s "$ledger" ] || printf 'base\ttext\tseed\tmode\trun\testimator\teps\tlr\tbatch\tsteps\tbefore\tafter\tchange\tstderr\tz\n' >"$ledger"
    xargs -P "$jobs" -L 1 sh -c '
        base=$1 text=$2 seed=$3 mode=$4 name=$5
        shift 5
        grep -q "^$base	$text	$seed	$mode	$name	" "$ledger" && exit 0
        run=runs/$base-$text-$seed-$mode-$name
        "$duet" train --threads 1 --quiet --overwrite --out "$run" "$@" >"$run.log" 2>&1 || { echo "failed: $run"; exit 0; }
        get() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" "$2"; }
        c=$run/config.json s=$run/summary.json
        echo "$base $text $seed $mode $name $(get estimator $c) $(get eps $c) $(get lr $c) $(get batch $c) $(get num_steps $s) \
            $(get val_loss $s) $(get val_change $s) $(get val_change_stderr $s)" | awk "{ printf \"%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.3g\t%s\t%s\t%.4f\t%.4f\t%.4f\t%.4f\t%.1f\n\",
                \$1, \$2, \$3, \$4, \$5, \$6, \$7, \$8, \$9, \$10, \$11 - \$12, \$11, \$12, \$13, \$12 / \$13 }" >>"$ledger"
        rm -rf "$run"' .
}

# The measured rate of a cell: that of a run of one update.
rate() {
    "$duet" train --threads 1 --quiet --overwrite --out runs/rate --engine mezo $(base "$1") --data "text/$2.txt" --seed "$3" --steps 1 --val-windows 1 \
        $([ "$4" = lora ] && echo "--lora 8") >/dev/null 2>&1
    sed -n 's/^ *"lr": \([^,]*\).*/\1/p' runs/rate/config.json
    rm -rf runs/rate
}

texts
case $stage in
bases)
    # stories260K is given. The two others learn the same text with a tokenizer of 2,048.
    ts=$data/tinystories/train.txt
    models=$here/../../models
    [ -f tok.json ] || "$duet" tokenizer train --vocab 2048 --out tok.json "$ts"
    [ -f 1M/summary.json ] || "$duet" train --model "$models/demo.json" --data "$ts" --tokenizer tok.json --steps 1500 --batch 2 --lr 1.5e-3 \
        --embed-lr 4 --beta2 0.98 --min-lr 0.02 --threads 1 --out 1M --overwrite
    [ -f 15M/summary.json ] || "$duet" train --model "$models/autoresearch.json" --set num_hidden_layers=5 --data "$ts" --tokenizer tok.json \
        --steps 700 --batch 2 --lr 4e-4 --embed-lr 5 --beta2 0.98 --warmup 60 --min-lr 0.02 --decay-share 0.6 --threads 1 --out 15M --overwrite
    ;;
sweep) # the measured rate, and a third and three times of it; seed 1
    for b in ${BASES:-260K 1M}; do
        for t in stories shakespeare; do
            for m in full lora; do
                lr=$(rate $b $t 1 $m)
                for f in 1 3 0.33; do cell $b $t 1 $m x$f --lr "$(awk -v a="$lr" -v f=$f 'BEGIN { print a * f }')"; done
            done
        done
    done | work
    ;;
confirm) # defaults only; seeds that no choice was made with
    for seed in 31 32 33; do
        for b in ${BASES:-260K 1M 15M}; do
            for t in ${TEXTS:-shakespeare wikitext stories austen}; do
                for m in full lora; do cell $b $t $seed $m default; done
            done
        done
    done | work
    ;;
esac
