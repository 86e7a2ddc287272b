#!/bin/sh
# What a description says that duet does not compute: sequences longer than a sliding window are
# refused wherever a length is chosen, longer than the positions they are told; keys that nobody
# knows are told by every command that computes; --quiet hides none of it.
. "$(dirname "$0")/lib.sh"
must stories 20000 7 >text.txt
must train run --steps 6 --warmup 2 --set max_position_embeddings=64
must "$DUET" convert run/model.blzt hf/ >out 2>err
cp -r hf window
sed -i 's/"model_type": *"llama"/"model_type": "mistral", "sliding_window": 8/' window/config.json
check "a window" grep -q '"mistral", "sliding_window": 8' window/config.json

# ---- sliding windows: the advice is to say a shorter context, and then nothing longer is computed
DATA="--data text.txt --quiet"
SET8="--set max_position_embeddings=8"
refuses "a window within the context" 1 \
    'sliding_window is 8.*--set max_position_embeddings=8' \
    "$DUET" eval window $DATA --seq 8
must "$DUET" convert window window.blzt $SET8 >out 2>err
beyond='sequences of 9 tokens are longer than its sliding window of 8.*--seq 8'
for model in "window $SET8" window.blzt; do
    set -- $model
    refuses "eval: $model" 1 "$1: $beyond" "$DUET" eval $model $DATA --seq 9
    refuses "eval --logits: $model" 1 "$1: $beyond" \
        "$DUET" eval $model $DATA --seq 9 --logits lo.bin
    refuses "eval --exact: $model" 2 "context of 9 tokens: expected 2 to the model's 8" \
        "$DUET" eval $model $DATA --exact --seq 9
    refuses "audit: $model" 1 "$1: $beyond" "$DUET" audit $model $DATA --seq 9 --seeds 8
    refuses "generate: $model" 2 "context of 9 tokens is more than the model's 8" \
        "$DUET" generate $model --prompt a --context 9
    set -- $model
    file=$1
    shift
    refuses "train: $model" 1 "$file: $beyond" \
        "$DUET" train --init $file "$@" $DATA --seq 9 --steps 1 --out no
    refuses "train --engine mezo: $model" 1 "$file: $beyond" \
        "$DUET" train --engine mezo --init $file "$@" $DATA --seq 9 --steps 1 --out no
    refuses "plan: $model" 1 "$file: $beyond" "$DUET" plan --init $file "$@" --seq 9 --steps 1
    refuses "a training length beyond it: $model" 1 'sliding_window is 8' \
        "$DUET" eval $file "$@" --set duet.seq_len=9 $DATA --seq 8
done
check "no run is left" absent no lo.bin
check "train within the window" \
    "$DUET" train --init window $SET8 $DATA --seq 8 --steps 1 --lr 1e-3 --out within
check "plan within the window" "$DUET" plan --init window $SET8 --seq 8 --steps 1
must "$DUET" eval window.blzt $DATA --seq 8 --windows 20 >window.out 2>window.err
must "$DUET" eval hf $DATA --seq 8 --windows 20 >hf.out 2>hf.err
check "within the window: the model without one" same window.out hf.out
check "and nothing to say" [ ! -s window.err ]
sed -i 's/"sliding_window": 8/"sliding_window": 64/' window/config.json
must "$DUET" eval window $DATA --seq 64 --windows 20 >out 2>err
check "a window as long as the context" [ ! -s err ]
refuses "longer than both" 1 'sequences of 65 tokens are longer than its sliding window of 64' \
    "$DUET" eval window $DATA --seq 65

# ---- longer than the positions, without a window: computed, and told
for command in "eval hf --seq 65 --windows 2" "eval hf --seq 65 --logits lo.bin" \
    "audit hf --seq 65 --batch 1 --seeds 8"; do
    must "$DUET" $command $DATA >out 2>long.err
    check "$command: said" says long.err \
        'hf: sequences of 65 tokens, the model is made for 64'
    check "$command: once" equal "$(grep -c 'is made for' long.err)" 1
done
must "$DUET" train --init hf $DATA --seq 65 --batch 1 --steps 1 --lr 1e-3 --out longer \
    >out 2>long.err
check "train: said" says long.err 'hf: sequences of 65 tokens, the model is made for 64'
must "$DUET" eval longer $DATA --windows 2 >out 2>long.err
check "the trained model is made for them" [ ! -s long.err ]
must "$DUET" eval hf $DATA --seq 64 --windows 2 >out 2>long.err
check "64 are 64" [ ! -s long.err ]

# ---- keys that nobody knows
cp -r hf keys
sed -i 's/^{/{"foo_factor": 3, "attn_scale_x": 2,/' keys/config.json
said='2 keys of the config that duet does not know, and that may change what the model computes:'
said="$said \"foo_factor\", \"attn_scale_x\""
for command in "eval keys $DATA --windows 2" "eval keys $DATA --exact" \
    "generate keys --prompt a --tokens 1 --quiet" "audit keys $DATA --seeds 8" \
    "train --init keys $DATA --steps 1 --lr 1e-3 --out unknown" "convert keys keys.blzt" \
    "eval keys.blzt $DATA --windows 2"; do
    must "$DUET" $command >out 2>keys.err
    check "$command: said" says keys.err "$said"
    check "$command: once" equal "$(grep -c foo_factor keys.err)" 1
done
must "$DUET" info keys >out
check "info: said" says out 'unknown_keys *"foo_factor", "attn_scale_x"'
must "$DUET" info keys/config.json --json >out
check "info --json of a description" says out \
    '"unknown_keys": "\\"foo_factor\\", \\"attn_scale_x\\""'
must "$DUET" info hf >out
check "info: none" sh -c '! grep unknown_keys out'
must "$DUET" eval hf $DATA --windows 2 >out 2>err
check "eval: none" [ ! -s err ]
finish
