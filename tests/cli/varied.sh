#!/bin/sh
# What a description may say beside Llama: local layers with another RoPE base, tables of token
# embeddings that are added to values; and a structure of its own, arcee. Each changes what is computed, is trained by both engines,
# compacted, saved, resumed, replayed and generated from; formats without a place for it refuse it
# by name.
. "$(dirname "$0")/lib.sh"
must stories 20000 7 >text.txt
BASES="--set duet.rope_local_theta=50 --set duet.rope_global_every=2"
TABLES="--set duet.value_embeds=true"
same_weights() {
    tensors "$1" >weights.a
    tensors "$2" >weights.b
    [ -s weights.a ] && cmp weights.a weights.b
}
value() { awk -v key="$2:" '$1 == key { print $2; exit }' "$1"; }
eval_of() { must "$DUET" eval "$@" --data text.txt --seq 32 --threads 1 --quiet >eval.out && value eval.out val_loss; }

must train plain --steps 6 --warmup 2
must train bases --steps 6 --warmup 2 $BASES
must train tables --steps 6 --warmup 2 $TABLES
must train both --steps 6 --warmup 2 $BASES $TABLES
check "another base is another run" differ plain/model.blzt bases/model.blzt
check "so are value embeddings" differ plain/model.blzt tables/model.blzt
for run in plain tables; do value $run.out num_params_M >$run.params; done
check "a base is no parameter" equal "$(value bases.out num_params_M)" "$(value plain.out num_params_M)"
check "a table is one" differ plain.params tables.params
loss=$(eval_of both/model.blzt)
for key in rope_local_theta=null rope_global_every=3 rope_local_theta=60; do
    check "duet.$key changes the loss" test "$loss" != \
        "$(eval_of both/model.blzt --set duet.$key)"
done
refuses "without its key the table has no place" 1 'value_embed.*not part of the llama model' \
    "$DUET" eval both/model.blzt --data text.txt --set duet.value_embeds=false
refuses "with the key it must be there" 1 'value_embed.*is missing' \
    "$DUET" eval plain/model.blzt --data text.txt $TABLES
refuses "a base below 1" 1 'duet.rope_local_theta is 0.5' \
    "$DUET" train $TINY --data text.txt --steps 1 --out no --set duet.rope_local_theta=0.5
refuses "no layer that is local" 1 'rope_global_every is 1' \
    "$DUET" train $TINY --data text.txt --steps 1 --out no $BASES --set duet.rope_global_every=1
refuses "local layers without their base" 2 \
    'duet.rope_global_every=3 has no effect without duet.rope_local_theta' \
    "$DUET" train $TINY --data text.txt --steps 1 --out no --set duet.rope_global_every=3
check "nothing is said of none" "$DUET" eval plain/model.blzt --data text.txt --seq 32 --quiet \
    --set duet.rope_global_every=null

# ---- both engines, compacted, and resumed
for engine in backprop mezo; do
    opts="--engine $engine --warmup 1 --lr 1e-3 --schedule constant --compact-vocab $BASES $TABLES"
    must train $engine $opts --steps 6
    must train $engine-half $opts --steps 3
    must "$DUET" train --resume $engine-half --steps 6 --quiet >out 2>err
    check "$engine: resumed, the same weights" same_weights $engine/model.blzt \
        $engine-half/model.blzt
    check "$engine: reads its model again" test -n "$(eval_of $engine/model.blzt)"
    must "$DUET" generate $engine/model.blzt --prompt 'Once' --tokens 40 --temperature 0 --threads 1 \
        --quiet >$engine.text
    check "$engine: generates" test "$(wc -c <$engine.text)" -ge 8
done
check "mezo: replays" "$DUET" replay mezo/base.blzt mezo/trajectory.zo -o again.blzt --threads 1
check "mezo: to the same file" same again.blzt mezo/model.blzt
must "$DUET" train --init both/model.blzt --data text.txt --seq 32 --batch 4 --lora 2 --out lora \
    --lora-targets v --steps 3 --quiet >out 2>err
must "$DUET" adapter merge lora --out merged.blzt >out 2>err
check "LoRA beside them, and merged" test -n "$(eval_of merged.blzt)"

# ---- other formats
for f in gguf:x.gguf hf:x/ blzt4:x.blzt4 llama2c:x.bin; do
    refuses "${f%%:*} and bases" 1 'no place for duet.rope_local_theta' \
        "$DUET" convert bases/model.blzt "${f#*:}" --to "${f%%:*}"
    refuses "${f%%:*} and tables" 1 'no place for duet.value_embeds' \
        "$DUET" convert tables/model.blzt "${f#*:}" --to "${f%%:*}"
    check "${f%%:*}: nothing is written" absent "${f#*:}"
done
must "$DUET" convert both/model.blzt copy.blzt --to blzt5 >out 2>err
check "BLZT v5 has both" equal "$loss" "$(eval_of copy.blzt)"

# ---- another structure
ARCEE="--set model_type=arcee --set hidden_act=relu2"
OPTS="--warmup 1 --lr 1e-3 --schedule constant --compact-vocab $ARCEE"
for engine in backprop mezo; do
    must train a-$engine --engine $engine $OPTS --steps 6
    must train a-$engine-half --engine $engine $OPTS --steps 3
    must "$DUET" train --resume a-$engine-half --steps 6 --quiet >out 2>err
    check "arcee, $engine: resumed, the same weights" same_weights a-$engine/model.blzt \
        a-$engine-half/model.blzt
done
must "$DUET" generate a-backprop/model.blzt --prompt 'Once' --tokens 40 --temperature 0 \
    --threads 1 --quiet >a.text
check "arcee: generates" test "$(wc -c <a.text)" -ge 8
check "arcee, mezo: replays" "$DUET" replay a-mezo/base.blzt a-mezo/trajectory.zo -o a-again.blzt \
    --threads 1
check "arcee, mezo: to the same file" same a-again.blzt a-mezo/model.blzt
loss=$(eval_of a-backprop/model.blzt)
check "arcee: each engine has a loss of its own" test "$loss" != "$(eval_of a-mezo/model.blzt)"
for f in gguf:a.gguf hf:a-hf/; do
    must "$DUET" convert a-backprop/model.blzt "${f#*:}" --to "${f%%:*}" >out 2>err
    check "arcee, ${f%%:*}: the same loss" equal "$loss" "$(eval_of "${f#*:}")"
done
for word in up_proj:2 down_proj:2 gate_proj:0; do
    check "arcee: ${word%:*} in ${word#*:} layers" equal "${word#*:}" \
        "$(grep -ao "${word%:*}.weight" a-hf/model.safetensors | wc -l)"
done
for f in blzt4:a.blzt4 llama2c:a.bin; do
    refuses "arcee, ${f%%:*}" 1 'model_type is arcee' \
        "$DUET" convert a-backprop/model.blzt "${f#*:}" --to "${f%%:*}"
    check "arcee, ${f%%:*}: nothing is written" absent "${f#*:}"
done
refuses "arcee: another activation" 1 'hidden_act is "silu", which duet does not compute' \
    "$DUET" eval a-backprop/model.blzt --data text.txt --set hidden_act=silu
refuses "arcee: what it lacks" 1 'duet.qk_norm is set, which duet does not compute in arcee' \
    "$DUET" train $TINY --data text.txt --steps 1 --out no $ARCEE \
    --set duet.qk_norm=true
finish
