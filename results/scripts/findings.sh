#!/bin/sh
# The runs of results/findings.md, one thread each, JOBS (1) at a time:
#   results/scripts/findings.sh DUET DIR STAGE [LEDGER]
# DIR gets tokenizers and runs. Stages: scratch, shapes, compact, tune, lora. Every run counts updates, so that a busy machine
# makes it later and not worse. A row of the ledger (default DIR/STAGE.tsv) that is there already is not run again: a stage can
# be stopped and gone on with. DUET_DATA is the folder of the data.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
data=$(realpath "${DUET_DATA:-$here/../../../shared/data}")
models=$(realpath "$here/../../models")
duet=$(realpath "$1")
mkdir -p "$2/runs"
cd "$2"
stage=$3
ledger=$(realpath -m "${4:-$stage.tsv}")
jobs=${JOBS:-1}
seeds=${SEEDS:-1 2 3}
stories=$data/tinystories/train.txt
shakespeare=$data/text/tinyshakespeare.txt
export duet ledger

[ -f bpe2048.json ] || "$duet" tokenizer train --vocab 2048 --quiet --out bpe2048.json "$stories"

# CLAIM SETTING SEED OPTIONS...: a line of the queue
cell() {
    c_claim=$1 c_setting=$2 c_seed=$3
    shift 3
    echo $c_claim $c_setting $c_seed --seed $c_seed $*
}

# Runs the queue on stdin. A row: claim, setting, seed, loss before training (0: from scratch), after it, its standard error,
# bits per byte, updates, thousand tokens, planned MB, learning rate.
work() {
    [ -s "$ledger" ] || printf 'claim\tsetting\tseed\tbefore\tloss\tstderr\tbpb\tsteps\tktokens\tplanned_mb\tlr\n' >"$ledger"
    xargs -P "$jobs" -L 1 sh -c '
        claim=$1 setting=$2 seed=$3
        shift 3
        grep -q "^$claim	$setting	$seed	" "$ledger" && exit
        dir=runs/$claim-$setting-$seed
        "$duet" train --threads 1 --quiet --overwrite --out "$dir" "$@" >"$dir.log" 2>&1 || echo "failed: $dir" >&2
        awk -v row="$claim	$setting	$seed" "
            function value(line, key) {
                return match(line, \"\\\"\" key \"\\\": *[-0-9.e+]+\") ? substr(line, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0 }
            /\\\"event\\\":\\\"val\\\"/ && !seen++ && /\\\"step\\\":0,/ {before = value(\$0, \"val_loss\")}
            /\\\"event\\\":\\\"step\\\"/ && !rate {rate = value(\$0, \"lr\")}
            FILENAME ~ /summary/ {all = all \$0}
            END {printf \"%s\\t%.4f\\t%.4f\\t%.4f\\t%.4f\\t%d\\t%.0f\\t%.1f\\t%.3g\\n\", row, before, value(all, \"val_loss\"),
                value(all, \"val_loss_stderr\"), value(all, \"val_bpb\"), value(all, \"num_steps\"), 1000 * value(all, \"total_tokens_M\"),
                value(all, \"planned_mb\"), rate}" "$dir/log.jsonl" "$dir/summary.json" >>"$ledger"
        rm -rf "$dir"' .
}

# The demo shape on TinyStories, 512 tokens an update.
scratch="--model $models/demo.json --data $stories --tokenizer bpe2048.json --seq 128 --batch 4 --steps 400 --val-windows 128"
# stories260K on Shakespeare, 512 tokens an update.
tune="--init $data/weights/stories260K/stories260K.bin --tokenizer $data/weights/stories260K/tok512.model --data $shakespeare --seq 64 --batch 8 --val-windows 128"

case $stage in
scratch)
    for seed in $seeds; do
        for lr in 1e-3 2e-3 4e-3; do cell optimizer adamw-$lr $seed $scratch --lr $lr; done
        for lr in 2e-4 4e-4 8e-4 1.6e-3; do cell optimizer lion-$lr $seed $scratch --optimizer lion --lr $lr; done
        for factor in 3 10; do cell embed-lr $factor $seed $scratch --lr 2e-3 --embed-lr $factor; done
        for cap in 15 30; do cell softcap $cap $seed $scratch --lr 2e-3 --set duet.logit_softcap=$cap; done
        cell seq 64 $seed $scratch --lr 2e-3 --seq 64 --batch 8
        cell seq 256 $seed $scratch --lr 2e-3 --seq 256 --batch 2
    done | work
    ;;
shapes) # the same floating point operations, about those of 400 updates of the demo shape
    for seed in $seeds; do
        for shape in 2x64 2x128 4x128 4x256; do
            layers=${shape%x*} width=${shape#*x}
            for lr in 1e-3 2e-3; do
                cell shape $shape-$lr $seed $scratch --steps 0 --flops 7e11 --lr $lr --set num_hidden_layers=$layers --set hidden_size=$width \
                    --set intermediate_size=$((width * 11 / 4)) --set num_attention_heads=$((width / 32)) --set num_key_value_heads=$((width / 32))
            done
        done
    done | work
    ;;
compact) # SmolLM2's vocabulary of 49,152 with and without the rows that the data do not use
    smol="--model $models/demo.json --data $stories --tokenizer $data/tokenizers/smollm2 --seq 128 --batch 4 --steps 200 --val-windows 128 --lr 2e-3"
    for seed in $seeds; do
        cell compact full $seed $smol
        cell compact compact $seed $smol --compact-vocab --full-vocab-loss
    done | work
    ;;
tune)
    for seed in $seeds; do
        for steps in 1 2 4 8; do
            for lr in 3e-4 1e-3; do cell backprop adamw-$lr-$steps $seed $tune --steps $steps --lr $lr --schedule constant --warmup 0; done
        done
        for lr in 0.03 0.1; do cell backprop sgd-$lr-4 $seed $tune --steps 4 --optimizer sgd --lr $lr --schedule constant --warmup 0; done
        for lr in 1e-4 3e-4; do cell mezo spsa-$lr-300 $seed $tune --engine mezo --estimator spsa --lr $lr --steps 300 --schedule constant; done
        for lr in 3e-6 1e-5; do cell mezo grzo-$lr-300 $seed $tune --engine mezo --estimator grzo --lr $lr --steps 300 --schedule constant; done
    done | work
    ;;
lora)
    for seed in $seeds; do
        for rank in 2 4 8 16; do
            cell rank mezo-$rank $seed $tune --engine mezo --lora $rank --steps 500
            cell rank backprop-$rank $seed $tune --lora $rank --steps 100 --lr 3e-3 --schedule constant --warmup 0
        done
    done | work
    ;;
*)
    echo "stages: scratch shapes compact tune lora" >&2
    exit 2
    ;;
esac
