#!/bin/sh
# Wrote files/ and expected.txt with the first edition, commit 7279bbc. Kept to say how; what it
# wrote is never written again, but for the rows of expected.txt of further instruction sets:
#   make.sh DUET SOURCE rows       DUET: the program of commit 7279bbc, built with gcc 12
. "$(dirname "$0")/../../cli/lib.sh"
. "$SRC/tests/golden/configs.sh"
. "$SRC/tests/golden/first/facts.sh"

# must COMMAND...: silent, or the end
must() {
    "$@" >must.out 2>&1 && return 0
    cat must.out >&2
    exit 1
}
run() { must "$DUET" train --gemm native --log-every 1 --threads 1 --quiet "$@"; }
# killed OUT STEP OPTION...: kill -9 after so many updates
killed() {
    k_out=$1 k_step=$2
    shift 2
    while :; do
        rm -rf "$k_out"
        "$DUET" train --gemm native --log-every 1 --threads 1 --quiet --out "$k_out" "$@" \
            >run.out 2>&1 &
        pid=$!
        until grep -q "\"step\":$k_step," "$k_out/log.jsonl" 2>/dev/null; do
            kill -0 $pid 2>/dev/null || break
        done
        kill -9 $pid 2>/dev/null
        wait $pid 2>/dev/null
        [ $? -ne 137 ] || return 0
        ! grep error run.out || exit 1
    done
}

# The first edition records absolute paths, and does not resume where they lead nowhere.
PLACE=/tmp/first
mkdir $PLACE || exit 1
trap 'rm -rf $PLACE; leave' EXIT
cp "$FIRST"/width*.json "$GOLDEN/text.txt" "$GOLDEN/bpe.json" $PLACE
head -c 4000 $PLACE/text.txt >$PLACE/short.txt

write() {
    cd $PLACE || exit 1
    SHORT="--data short.txt --seq 32 --batch 4"
    NEW="--data text.txt --seq 32 --batch 4"
    WIDE="$NEW --model width32.json --tokenizer bpe.json --set vocab_size=300"
    SLIM="$SHORT --model width16.json --tokenizer byte"
    SMALL="--set hidden_size=8 --set intermediate_size=8"
    MEZO="--engine mezo --optimizer sgd --schedule constant"
    run $WIDE --out b --steps 250 --lr 0.01 --batch 8
    cp b/model.blzt base.blzt
    killed half 14 $SHORT --model width16.json --tokenizer bpe.json --set vocab_size=300 \
        --compact-vocab --steps 24 --checkpoint-every 5 --lr 5e-3 --warmup 2 --accum-end 2
    run $SLIM $SMALL --out done --steps 300 --log-every 30 --optimizer momentum --lr 0.05 --clip 0.3 \
        --val-every 90 --schedule constant
    killed zo 10 $SLIM $SMALL $MEZO --estimator spsa --directions 2 --lr 1e-4 --steps 20 \
        --weights bf16 --checkpoint-every 8
    killed zo-lora 10 $SHORT $MEZO --init base.blzt --lora 2 --estimator grzo --lr 1e-4 \
        --optimizer momentum --steps 20 --checkpoint-every 8
    run $SHORT --init base.blzt --lora 2 --lora-norms --weights q8_0 --out lora --steps 12 \
        --lr 0.01 --schedule constant
    run $SLIM $SMALL $MEZO --rng compat --lr 1e-4 --out compat --steps 6
    must "$DUET" convert base.blzt q8_0.blzt --dtype q8_0
    must "$DUET" convert base.blzt base.gguf --dtype f16
    must "$DUET" convert base.blzt hf/ --dtype bf16
    must "$DUET" convert done/model.blzt v4.blzt4
    must "$DUET" convert done/model.blzt llama2c.bin
    must "$DUET" convert done/model.blzt llama2c_v1.bin --to llama2c_v1
    must "$DUET" convert lora/adapter.blzt peft/ --base base.blzt
    must "$DUET" convert zo-lora/adapter.blzt adapter.gguf --base base.blzt
    must "$DUET" tokenize --tokenizer bpe.json --out text.shard --quiet text.txt
    rm -rf "$FIRST/files" && mkdir "$FIRST/files"
    cp -r half done zo zo-lora lora compat base.blzt q8_0.blzt base.gguf hf llama2c.bin \
        llama2c_v1.bin v4.blzt4 peft adapter.gguf text.shard "$FIRST/files/"
    cd "$WORK" || exit 1
}
prepare
[ "${3:-}" = rows ] || write
sed '/^[^#]/d' "$FIRST/expected.txt" >expected.new
cp "$FIRST/files/base.blzt" $PLACE
HERE=$(tiers_here) || exit 1
mkdir failed
for tier in $TIERS; do
    case " $HERE " in
    *" $tier "*) DUET_CPU=$tier facts | sed "s/^/$tier /" ;;
    *) grep "^$tier " "$FIRST/expected.txt" ;;
    esac
done >>expected.new
if [ -n "$(ls failed)" ]; then grep . failed/* >&2; exit 1; fi
cp expected.new "$FIRST/expected.txt"
