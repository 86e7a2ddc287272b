#!/bin/sh
# train --adapter goes on from an adapter, be it duet's own, PEFT's or a GGUF: it begins with the loss
# that eval --adapter computes, keeps rank, scale and targets, and what it leaves is an adapter again
# in every form.
. "$(dirname "$0")/lib.sh"
must stories 40000 3 >text.txt
must train base --steps 20 --lr 5e-3 --val-windows 20 --set intermediate_size=64
BASE=base/model.blzt
VAL="--data text.txt --split val --windows 20 --seq 32 --quiet --threads 1 --json"
begin() { # OUT OPTION...
    b_out=$1
    shift
    "$DUET" train --init $BASE --data text.txt --seq 32 --batch 4 --steps 6 --val-windows 20 \
        --threads 1 --quiet --out "$b_out" "$@"
}
first() { # OUT OPTION...: train a little, print the validation loss before the first update
    f_out=$1
    begin "$@" --lr 1e-2 >"$f_out.out" 2>"$f_out.err" || return
    sed -n 's/.*"event":"val","step":0,.*"val_loss":\([0-9.]*\).*/\1/p' "$f_out/log.jsonl" | head -1
}
evaluated() { "$DUET" eval $BASE --adapter "$1" $VAL >eval.out && json val_loss eval.out; }
must first own --lora 4 --lora-targets q,v,down --lora-alpha 6 >plain.first
must "$DUET" convert own/adapter.blzt peft/ --base $BASE >out 2>err
must "$DUET" convert own/adapter.blzt own.gguf --base $BASE >out 2>err
# PEFT's other ways to say the scale.
for kind in rs pattern; do must cp -r peft $kind; done
sed 's/"use_rslora": false/"use_rslora": true/' peft/adapter_config.json >rs/adapter_config.json
sed 's/"alpha_pattern": {}/"alpha_pattern": {"q_proj": 24}/' peft/adapter_config.json \
    >pattern/adapter_config.json

for a in own/adapter.blzt own peft own.gguf rs pattern; do
    name=$(basename $a .gguf)
    [ $a = own/adapter.blzt ] && name=file
    [ $a = own.gguf ] && name=gguf
    evaluated $a >want.first
    first on-$name --adapter $a >got.first
    check "$a: training begins with the loss of eval --adapter" close_to "$(cat got.first)" \
        "$(cat want.first)" 6e-7
    must "$DUET" adapter info on-$name/adapter.blzt --json >info.json
    check "$a: the rank stays" equal "$(json rank info.json)" 4
    check "$a: the targets stay" says info.json '"targets":"q,v,down"'
    check "$a: something was learned" differ $BASE on-$name/adapter.blzt
    evaluated on-$name/adapter.blzt >end.loss
    check "$a: the result is evaluated as at the end of training" close_to "$(cat end.loss)" \
        "$(json val_loss on-$name/summary.json)" 6e-7
    for out in on-$name-peft/ on-$name.gguf; do
        check "$a: the result as $out, verified" "$DUET" convert on-$name/adapter.blzt $out \
            --base $BASE --verify
        check "$a: with the same loss" equal "$(evaluated $out)" "$(cat end.loss)"
    done
done
evaluated peft >want
evaluated rs >other
check "alpha/sqrt(rank) is another model" differ want other
evaluated pattern >other
check "so is another alpha of one module" differ want other
check "the same from any form: the file, the folder, PEFT and GGUF" sh -c \
    'steps() { grep "\"event\":\"step\"" $1/log.jsonl | sed "s/,\"seconds\":.*//"; }
    for n in own peft gguf; do [ "$(steps on-file)" = "$(steps on-$n)" ] || exit 1; done'
"$DUET" adapter info on-rs/adapter.blzt --json >info.json
check "rsLoRA stays" says info.json '"rslora":true'
check "and is written back" sh -c "grep -q '\"use_rslora\": true' on-rs-peft/adapter_config.json"

# ---- what cannot be gone on with
refuses "another rank" 2 'lora contradicts --adapter peft, which has rank 4' begin no --adapter peft \
    --lora 8
refuses "other targets" 2 'lora-targets contradicts --adapter own.gguf, which has targets q,v,down' \
    begin no --adapter own.gguf --lora-targets q
refuses "rsLoRA or not" 2 'rslora contradicts --adapter peft, which has alpha/rank' begin no \
    --adapter peft --rslora
refuses "without a base" 2 'adapter needs the model it was trained on: --init' "$DUET" train \
    --adapter peft --data text.txt --steps 1 --out no --model "$SRC/models/stories260k.json"
refuses "mezo" 2 'adapter does not go with --engine mezo' begin no --adapter peft --engine mezo
cp -r peft dora
sed 's/"use_dora": false/"use_dora": true/' peft/adapter_config.json >dora/adapter_config.json
refuses "DoRA" 1 'dora/adapter_config.json.*use_dora' begin no --adapter dora
cp -r peft cut
head -c 900 peft/adapter_model.safetensors >cut/adapter_model.safetensors
refuses "a cut one" 1 'cut/adapter_model.safetensors' begin no --adapter cut
must train wide --steps 1 --set hidden_size=64 --set intermediate_size=64
BASE=wide/model.blzt
refuses "of a model of another shape" 1 'lora_A' begin no --adapter peft
refuses "a GGUF of a model of another shape" 1 'lora_A' begin no --adapter own.gguf
refuses "duet's own knows its base" 1 'belongs to a base with hash' begin no \
    --adapter own/adapter.blzt
check "no folder was made" absent no
finish
