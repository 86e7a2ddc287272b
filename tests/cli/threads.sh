#!/bin/sh
# Weights, losses and generated text are bit-identical for any number of threads, with every exact
# matrix product backend.
. "$(dirname "$0")/lib.sh"
must stories 30000 6 >text.txt
# Wide enough that products, attention and optimizer tiles are cut into several pieces.
WIDE="--set hidden_size=80 --set head_dim=20 --set intermediate_size=272 --seq 48 --batch 5 --steps 3 --warmup 1"

# trains NAME THREADS OPTION...: with 1 thread and with each number of THREADS
trains() {
    name=$1 counts=$2
    shift 2
    must train t1 $WIDE --log-every 1 "$@" --threads 1
    for n in $counts; do
        must train t$n $WIDE --log-every 1 "$@" --threads $n
        check "$name: weights of $n threads" same t1/model.blzt t$n/model.blzt
        check "$name: losses and gradient norms of $n threads" same_steps t1 t$n
        check "$name: validation with $n threads" equal "$(json val_loss t1/summary.json)" \
            "$(json val_loss t$n/summary.json)"
        rm -rf t$n
    done
    rm -rf t1
}

trains "native f32" "2 4"
must train model $WIDE --steps 20 --lr 5e-3

# reads BACKEND TYPE: evaluation and generation
reads() {
    for n in 1 2 4; do
        must "$DUET" eval model/model.blzt --data text.txt --split val --gemm $1 --compute $2 \
            --threads $n \
            --windows 12 --json --quiet >eval.$n
        must "$DUET" generate model/model.blzt --prompt 'Once upon' --tokens 60 --seed 7 --gemm $1 \
            --compute $2 \
            --threads $n --quiet >text.$n
    done
    for n in 2 4; do
        check "eval, $1 $2, $n threads" same eval.1 eval.$n
        check "generate, $1 $2, $n threads" same text.1 text.$n
    done
    : "${first:=$(json val_loss eval.1)}"
    check "eval, $1 $2: near native f32" close_to "$(json val_loss eval.1)" "$first" 0.02
}

for type in f32 bf16; do
    for backend in native onednn openblas ref; do
        if "$DUET" eval model/model.blzt --data text.txt --windows 1 --gemm $backend \
            --compute $type --quiet \
            >here.out 2>&1; then
            reads $backend $type
            # ref takes minutes to measure its peak; native f32 was first
            case $backend-$type in
            ref-* | native-f32 | openblas-bf16) ;;
            *) trains "$backend $type" 4 --gemm $backend --compute $type ;;
            esac
        elif [ $backend = native ] || [ $backend = ref ]; then
            not_ok "$backend $type is there" here.out
        else
            skip "$backend $type" "$(sed 's/^duet: error: //' here.out)"
        fi
    done
done
(DUET_CPU=avx2; export DUET_CPU; must train plain --steps 3; must train auto --steps 3 \
    --compute auto)
check "--compute auto without bf16 products is f32" same plain/model.blzt auto/model.blzt
DUET_CPU=avx2 "$DUET" eval model/model.blzt --data text.txt --windows 1 --compute auto >auto.out \
    2>auto.err
check "... and eval says so" says auto.err 'computing in f32 (native)'
trains "recompute, accumulation, lion, untied, compacted, qk-norm, bias" 4 --recompute --accum 3 \
    --optimizer lion \
    --set tie_word_embeddings=false --compact-vocab --set duet.qk_norm=true \
    --set attention_bias=true
for n in 1 4; do must "$DUET" tokenize --tokenizer byte text.txt --out s$n --threads $n --quiet \
    2>/dev/null; done
check "tokenize" same s1 s4
finish
