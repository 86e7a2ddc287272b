#!/bin/sh
# The searches of results/findings.md in which every side of a question has its own best learning rate:
#   results/scripts/search-findings.sh DUET DIR STAGE... [--dry-run]
#   results/scripts/search-findings.sh DUET DIR tables
# Stages, in the order of what they are worth: rates optimizer shapes length accumulation depths decay softcap large wide; or all. Each
# is done on two texts, builtin (duet stories) and tinystories (of $DUET_DATA, default ../shared/data; left out where it is not
# there); TEXTS: on these of them.
# DIR gets data, search files (DIR/TEXT/NAME.json) and searches (DIR/TEXT/NAME). A stage that was stopped or killed goes on where
# it was, and one that is done is not done again. tables prints those of all searches that are complete, and what is missing.
# JOBS: trials at a time, one thread each (default: the processors). SCALE: budgets are multiplied by it, for a trial of the script.
# Budgets are updates, tokens and operations: other work on the machine makes it later, not worse.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 3 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
duet=$(realpath "$1")
mkdir -p "$2"
dir=$(realpath "$2")
shift 2
jobs=${JOBS:-$(nproc)}
scale=${SCALE:-1}
demo=$(realpath "$here/../../models/demo.json")
stories=${DUET_DATA:-$here/../../../shared/data}/tinystories/train.txt
dry=
stages=
for word; do
    case $word in
    --dry-run) dry=1 ;;
    all) stages="rates optimizer shapes length accumulation depths decay softcap large wide" ;;
    *) stages="$stages $word" ;;
    esac
done

# Text, tokenizer of 1,024 tokens and shard, so that no trial has to make tokens of text.
prepare() { # TEXT
    mkdir -p "$dir/$1"
    cd "$dir/$1"
    [ ! -f data.shard ] || return 0
    if [ "$1" = builtin ]; then
        "$duet" stories --bytes 4000000 --quiet --overwrite --out text.txt
        from=text.txt
    else
        from=$stories
    fi
    "$duet" tokenizer train --vocab 1024 --quiet --overwrite --out tok.json "$from"
    "$duet" tokenize --tokenizer tok.json --quiet --overwrite --out data.shard "$from"
}

amount() { # X: a budget, as it is scaled
    awk -v x="$1" -v scale="$scale" 'BEGIN {x *= scale; if (x < 1) x = 1; printf "%.0f\n", x}'
}

# search NAME BUDGET AMOUNT TRIALS BATCH SEQ SPACE: every combination of SPACE with three seeds. The base, of $width and $lr, has to be one
# of them, as it is the first of TRIALS.
search() {
    s_dir=$dir/$text/$1
    cat >"$s_dir.new" <<END
{"base": {"model": "$demo", "tokenizer": "$dir/$text/tok.json", "data": "$dir/$text/data.shard",
          "val-fraction": $val, "test-fraction": 0.05, "val-windows": 8, "batch": $5, "seq": $6, "warmup": $warmup, "lr": $lr,
          "set": {"vocab_size": 1024, "num_hidden_layers": 2, "hidden_size": $width, "intermediate_size": $((width * 11 / 4)),
                  "num_attention_heads": $((width / 32)), "num_key_value_heads": $((width / 32))}},
 "budget": {"$2": $(amount "$3")}, "strategy": "grid", "trials": $4, "seeds": 3, "every_seed": true, "jobs": $jobs,
 "space": {$7}}
END
    if [ -n "$dry" ]; then
        echo
        echo "$text/$1:"
        "$duet" search "$s_dir.new" --dry-run
        rm "$s_dir.new"
    elif [ -f "$s_dir/search.json" ] || [ -f "$s_dir/ledger.jsonl" ]; then
        rm "$s_dir.new"
        "$duet" search --resume "$s_dir"
    else
        mv "$s_dir.new" "$s_dir.json"
        "$duet" search "$s_dir.json" --out "$s_dir"
    fi
}

rates() { # the values of an axis for the learning rate
    echo "\"lr\": {\"choice\": [$(echo "$*" | sed 's/ /, /g')]}"
}

# Shapes of one work: the width, and what goes with it (heads of 32).
shapes() { # NAME FLOPS TRIALS WIDTHS RATES
    width=${4%%,*}
    search "$1" flops "$2" "$3" 2 128 "\"set.hidden_size\": {\"choice\": [$4]}, $5,
           \"set.intermediate_size\": {\"share_of\": \"set.hidden_size\", \"choice\": [2.75], \"multiple_of\": 1},
           \"set.num_attention_heads\": {\"share_of\": \"set.hidden_size\", \"choice\": [0.03125], \"multiple_of\": 1},
           \"set.num_key_value_heads\": {\"share_of\": \"set.hidden_size\", \"choice\": [0.03125], \"multiple_of\": 1}"
}

# Options of all: 2 layers of 128 (0.53 M parameters), 400 updates of 512 tokens.
stage() {
    case $1 in
    rates) # embeddings at the rate of the rest, or at others
        search rates steps 400 20 4 128 "\"embed-lr\": {\"choice\": [0.3, 1, 3, 10, 30]}, $(rates 5e-4 1e-3 2e-3 4e-3)"
        ;;
    optimizer)
        lr=2e-4
        search optimizer steps 400 12 4 128 "\"optimizer\": {\"choice\": [\"adamw\", \"lion\"]}, $(rates 2e-4 4e-4 8e-4 1.6e-3 3.2e-3 6.4e-3)"
        ;;
    accumulation) # the same tokens in updates of 256, 512, 1,024 and 2,048
        search accumulation tokens 204800 16 2 128 "\"accum\": {\"choice\": [1, 2, 4, 8]}, $(rates 1e-3 2e-3 4e-3 8e-3)"
        ;;
    length) # updates of 512 tokens in sequences of 32 to 256
        for seq in 32 64 128 256; do
            search length-$seq steps 400 4 $((512 / seq)) $seq "$(rates 1e-3 2e-3 4e-3 8e-3)"
        done
        ;;
    softcap)
        search softcap steps 400 12 4 128 "\"set.duet.logit_softcap\": {\"choice\": [0, 5, 15, 30]}, $(rates 1e-3 2e-3 4e-3)"
        ;;
    decay)
        search decay steps 400 12 4 128 "\"weight-decay\": {\"choice\": [0, 0.1, 0.3, 1]}, $(rates 1e-3 2e-3 4e-3)"
        ;;
    shapes) # widths at budgets of 1 and 4; few validation documents, as measuring a wide model takes longer than training it, and a
        # short warm-up, as it has few updates
        val=0.005 warmup=5
        shapes shapes-1 2e11 12 "64, 128, 256" "$(rates 1e-3 2e-3 4e-3 8e-3)"
        shapes shapes-1-wide 2e11 4 "512" "$(rates 1e-3 2e-3 4e-3 8e-3)"
        shapes shapes-4 8e11 12 "64, 128, 256" "$(rates 5e-4 1e-3 2e-3 4e-3)"
        shapes shapes-4-wide 8e11 8 "512, 1024" "$(rates 5e-4 1e-3 2e-3 4e-3)"
        ;;
    large) # and at 15
        val=0.005 warmup=5
        shapes shapes-15 3e12 9 "64, 128, 256" "$(rates 5e-4 1e-3 2e-3)"
        ;;
    wide)
        val=0.005 warmup=5
        shapes shapes-15-wide 3e12 9 "512, 1024, 2048" "$(rates 5e-4 1e-3 2e-3)"
        ;;
    depths) # at the middle one of these budgets
        val=0.005 warmup=5
        search depths flops 8e11 16 2 128 "\"set.num_hidden_layers\": {\"choice\": [2, 4, 8, 12]}, $(rates 5e-4 1e-3 2e-3 4e-3)"
        ;;
    *)
        echo "$1: no such stage" >&2
        exit 2
        ;;
    esac
}

if [ "$stages" = " tables" ]; then
    exec python3 "$here/search-findings.py" "$dir"
fi
for stage in $stages; do
    for text in ${TEXTS:-builtin tinystories}; do
        val=0.01 warmup=20 width=128 lr=1e-3
        [ "$text" != builtin ] || val=0.025
        if [ "$text" != builtin ] && [ ! -f "$stories" ]; then
            echo "$stories is not there: left out" >&2
            continue
        fi
        prepare "$text"
        stage "$stage"
    done
done
