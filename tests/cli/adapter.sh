#!/bin/sh
# Adapters: trained beside a base, used, merged, described; refused where they do not belong.
. "$(dirname "$0")/lib.sh"
must stories 40000 3 >text.txt
must train base --steps 40 --lr 5e-3 --val-windows 20 --set intermediate_size=64
must train other --steps 20 --lr 5e-3 --val-windows 20 --set intermediate_size=64
BASE=base/model.blzt
BEFORE=$(cksum <$BASE)
must "$DUET" train --init $BASE --data text.txt --out lora --lora 4 --steps 40 --lr 2e-2 \
    --val-windows 20 --seq 32 \
    --batch 4 --threads 1 --quiet --json >lora.out 2>lora.err
ADAPTER=lora/adapter.blzt
check "a LoRA run writes an adapter, not a model" absent lora/model.blzt
check "the base is as it was" equal "$(cksum <$BASE)" "$BEFORE"
evaluate() { "$DUET" eval "$@" --data text.txt --split val --windows 20 --quiet --threads 1 --json; }
loss() { json val_loss "$1"; }

# ---- using
must evaluate $BASE >plain.out
must evaluate $BASE --adapter $ADAPTER >a.out
check "eval with the adapter: the loss of the training's validation" equal "$(loss a.out)" \
    "$(loss lora.out)"
check "which is below the base's" awk -v a="$(loss a.out)" -v b="$(loss plain.out)" \
    'BEGIN { exit !(a < b - 0.01) }'
must evaluate $BASE --adapter $ADAPTER --lora-mode merge >m.out
check "--lora-mode merge: the same but for rounding" close_to "$(loss m.out)" "$(loss a.out)" 1e-4
must evaluate $BASE --adapter $ADAPTER --adapter-scale 0 >zero.out
check "--adapter-scale 0: the base" same zero.out plain.out
must evaluate $BASE --adapter $ADAPTER --adapter-scale 0.5 >half.out
check "--adapter-scale 0.5: something between" awk -v a="$(loss a.out)" -v h="$(loss half.out)" \
    -v b="$(loss plain.out)" \
    'BEGIN { exit !(a < h && h < b) }'
for t in bf16 q8_0; do
    must evaluate $BASE --weights $t >$t.out
    check "--weights $t: near the f32 loss" close_to "$(loss $t.out)" "$(loss plain.out)" 0.02
    check "--weights $t: another number" differ $t.out plain.out
    must evaluate $BASE --adapter $ADAPTER --weights $t >a$t.out
    check "--weights $t with the adapter" close_to "$(loss a$t.out)" "$(loss a.out)" 0.02
done
gen() { "$DUET" generate $BASE --prompt 'The dog' --tokens 40 --seed 5 --ignore-eos --quiet \
    --threads 1 "$@"; }
must gen >g1
must gen --adapter $ADAPTER >g2
must gen --adapter $ADAPTER --adapter-scale 0 --lora-mode merge >g3
must gen --weights bf16 >g4
check "generate with the adapter: another text" differ g1 g2
check "generate with scale 0: the base's" same g1 g3
check "generate --weights: as many bytes" equal "$(wc -c <g4)" "$(wc -c <g1)"

# ---- merging
must "$DUET" adapter merge $BASE $ADAPTER --out merged.blzt >merge.out
check "what is written is said" says merge.out "^merged.blzt: .* merged into it, as blzt5$"
must evaluate merged.blzt >merged.out
check "a merged model computes what --lora-mode merge does" same merged.out m.out
must "$DUET" adapter merge $BASE $ADAPTER --scale 0 -o same.blzt >merge.out
must evaluate same.blzt >same.out
check "merged with scale 0 it is the base" same same.out plain.out
must "$DUET" adapter merge $BASE $ADAPTER --dtype bf16 -o narrow.blzt >merge.out
check "--dtype bf16: about half the size" awk -v a="$(wc -c <narrow.blzt)" \
    -v b="$(wc -c <merged.blzt)" \
    'BEGIN { exit !(a < 0.6 * b) }'
must evaluate narrow.blzt >narrow.out
check "and near in loss" close_to "$(loss narrow.out)" "$(loss a.out)" 0.02
must "$DUET" adapter merge $BASE $ADAPTER --threads 3 --out merged3.blzt >merge.out
check "the number of threads does not matter" same merged.blzt merged3.blzt
must "$DUET" info merged.blzt --json >info.out
check "info says where it comes from" says info.out '"merged"'
must "$DUET" generate merged.blzt --prompt 'The dog' --tokens 40 --temperature 0 --ignore-eos \
    --quiet --threads 1 >g5
check "it has the base's tokenizer" [ "$(head -c 7 g5)" = "The dog" ]

# ---- for others: their models have the residual scale in the weights, and their adapters too
must train scaled --steps 20 --lr 5e-3 --val-windows 20 --set intermediate_size=64 \
    --set duet.residual_scale=0.5
must "$DUET" train --init scaled/model.blzt --data text.txt --out lora2 --lora 4 \
    --lora-targets o,down --steps 40 --lr 2e-2 \
    --val-windows 20 --seq 32 --batch 4 --threads 1 --quiet --json >lora2.out 2>lora2.err
must "$DUET" convert scaled/model.blzt plain.gguf --tokenizer none >convert.out 2>&1
must "$DUET" convert lora2/adapter.blzt plain-lora.gguf --base scaled/model.blzt >convert.out 2>&1
must evaluate scaled/model.blzt --adapter lora2/adapter.blzt >scaled.out
must evaluate plain.gguf --tokenizer byte --adapter plain-lora.gguf --seq 32 >plain2.out
check "a residual scale is folded into an adapter" close_to "$(loss plain2.out)" \
    "$(loss scaled.out)" 1e-5
must evaluate scaled/model.blzt --adapter plain-lora.gguf >back.out
check "and taken out again for a base that has it" close_to "$(loss back.out)" \
    "$(loss scaled.out)" 1e-5
must evaluate plain.gguf --tokenizer byte --seq 32 >alone.out
check "without the adapter the loss is another" awk -v a="$(loss alone.out)" \
    -v b="$(loss scaled.out)" 'BEGIN { exit !(a > b + 0.002) }'

# ---- describing
must "$DUET" adapter info $ADAPTER >i.out
for line in 'rank 4' 'targets q,k,v,o' 'init peft' 'norms no' 'hidden_size 32'; do
    check "info: $line" says i.out "^  ${line% *}  *${line#* }\$"
done
must "$DUET" adapter info $ADAPTER --json >i.json
check "info --json: the same rank" equal "$(json rank i.json)" 4
check "info --json: one line" equal "$(wc -l <i.json)" 1
for key in base_hash model_type hidden_size intermediate_size num_hidden_layers vocab_size; do
    check "info: $key" says i.out "^  $key  *[a-z1-9]"
done
# what other programs' files do not say is left out
must "$DUET" convert lora2/adapter.blzt peft/ --base scaled/model.blzt >convert.out 2>&1
for f in plain-lora.gguf peft; do
    must "$DUET" adapter info $f >i.out
    must "$DUET" adapter info $f --json >>i.out
    check "info of $f: rank" says i.out '^  rank  *4$'
    check "info of $f: nothing that it does not say" sh \
        -c "! grep 'base_hash\|_size\|  0\$\|:0[,}]\|  \$' i.out"
done

# ---- --set on the base belongs to the adapter
must "$DUET" train --init $BASE --data text.txt --set rope_theta=500 --lora 4 --steps 20 --lr 2e-2 \
    --val-windows 20 --seq 32 \
    --batch 4 --threads 1 --quiet --json --out setl >setl.out 2>setl.err
SETL=setl/adapter.blzt
must evaluate $BASE --adapter $SETL >set.out
check "--set in training: eval computes with it" equal "$(loss set.out)" "$(loss setl.out)"
must evaluate $BASE --adapter $SETL --set rope_theta=500.0 >set2.out
check "--set of the same value: the same" same set.out set2.out
must evaluate setl >set3.out
check "eval of the folder: the same" same set.out set3.out
must "$DUET" adapter merge $BASE setl --out setm.blzt >merge.out
must evaluate setm.blzt >set4.out
check "adapter merge: the same but for rounding" close_to "$(loss set4.out)" "$(loss set.out)" 1e-4
must "$DUET" info setm.blzt --json >info.out
check "the merged model says it" says info.out '"rope_theta": 500'
must "$DUET" adapter info $SETL >i.out
check "adapter info says it" says i.out '^    rope_theta  *500$'
must "$DUET" adapter info $ADAPTER >i.out
check "and nothing where nothing was set" sh -c '! grep "^  set" i.out'
must gen --adapter $SETL >g5
must gen --adapter $SETL --set rope_theta=500 >g6
check "generate: with it" same g5 g6
must "$DUET" audit $BASE --adapter $SETL --data text.txt --threads 1 --quiet >au1
must "$DUET" audit $BASE --adapter $SETL --set rope_theta=500 --data text.txt --threads 1 --quiet \
    >au2
check "audit: with it" same au1 au2
must "$DUET" train --resume setl --steps 24 --quiet --json >setl.out 2>setl.err
must evaluate setl >set5.out
check "gone on with: it is still there" equal "$(loss set5.out)" "$(loss setl.out)"
must "$DUET" train --init $BASE --adapter $SETL --data text.txt --out setl2 --steps 2 --seq 32 \
    --batch 4 --val-windows 20 \
    --threads 1 --quiet --json >setl2.out 2>setl2.err
must evaluate setl2 >set6.out
check "train --adapter: begins with it" says setl2/log.jsonl \
    "\"step\":0,.*\"val_loss\":$(printf %.6f "$(loss set5.out)")"
check "and hands it on" equal "$(loss set6.out)" "$(loss setl2.out)"
cp setl/adapter.blzt set5.blzt
must "$DUET" convert set5.blzt set6.blzt --base $BASE --verify >convert.out 2>&1
must evaluate $BASE --adapter set6.blzt >set7.out
check "convert to duet's own: it is still there" equal "$(loss set7.out)" "$(loss set5.out)"
refuses "PEFT cannot say it" 1 'cannot say: duet adapter merge' "$DUET" convert $SETL setpeft/ \
    --base $BASE
check "nothing is written" absent setpeft
for with in "evaluate $BASE --adapter $SETL" "gen --adapter $SETL" \
    "$DUET audit $BASE --adapter $SETL --data text.txt" \
    "$DUET adapter merge $BASE $SETL --out x.blzt" "$DUET convert $SETL x.blzt --base $BASE" \
    "evaluate setl" \
    "$DUET train --init $BASE --adapter $SETL --data text.txt --out x --steps 1"; do
    refuses "another value: $with" 2 \
        "rope_theta=400 contradicts setl.*, which was trained with 500" $with --set rope_theta=400
done
must "$DUET" convert $BASE old.bin --to blzt4 >convert.out 2>&1
must "$DUET" train --init old.bin --tokenizer byte --data text.txt --set duet.residual_scale=0.5 \
    --set rms_norm_eps=1e-4 \
    --set rope_theta=500 --lora 4 \
    --steps 20 --lr 2e-2 --val-windows 20 --seq 32 --batch 4 --threads 1 --quiet --json --out setold \
    >setold.out 2>setold.err
must "$DUET" eval setold --tokenizer byte --data text.txt --split val --windows 20 --threads 1 \
    --json >set8.out 2>set8.err
check "what an old format leaves out, set in training, is known" equal "$(loss set8.out)" \
    "$(loss setold.out)"
check "and not said to be assumed" sh -c '! grep assumed set8.err'

# ---- refusing
refuses "another base" 1 'belongs to a base with hash' evaluate other/model.blzt --adapter $ADAPTER
refuses "merging into another base" 1 'belongs to a base with hash' "$DUET" adapter merge \
    other/model.blzt $ADAPTER -o x.blzt
cp $ADAPTER bare.blzt # in a run's folder its name would find the base
refuses "an adapter is not a model" 1 \
    'is an adapter, and a model is wanted here: give its base, and --adapter' evaluate bare.blzt
refuses "nor to go on training from" 1 'is an adapter, and a model is wanted here' "$DUET" train \
    --init bare.blzt --data text.txt --out x --steps 1
refuses "a model is not an adapter" 1 'is not an adapter' evaluate $BASE --adapter other/model.blzt
refuses "a text is not an adapter" 1 'not a model file' "$DUET" adapter info text.txt
refuses "no such adapter" 1 'nothing' evaluate $BASE --adapter nothing
head -c 2000 $ADAPTER >cut.blzt
refuses "a cut adapter" 1 'cut off or damaged' evaluate $BASE --adapter cut.blzt
refuses "--adapter-scale alone" 2 'no effect without --adapter' evaluate $BASE --adapter-scale 2
refuses "--lora-mode alone" 2 'no effect without --adapter' evaluate $BASE --lora-mode merge
refuses "merge without --out" 2 'give the file to write' "$DUET" adapter merge $BASE $ADAPTER
refuses "merge over the base" 2 'would overwrite' "$DUET" adapter merge $BASE $ADAPTER -o $BASE
refuses "merge over the adapter" 2 'would overwrite' "$DUET" adapter merge $BASE $ADAPTER \
    -o ./$ADAPTER
refuses "merge of one file" 2 'is no LoRA run.s folder: give an adapter, too' "$DUET" adapter \
    merge $BASE -o x.blzt
refuses "info with --scale" 2 'no effect on duet adapter info' "$DUET" adapter info $ADAPTER \
    --scale 2
refuses "merge with --json" 2 'no effect on duet adapter merge' "$DUET" adapter merge $BASE \
    $ADAPTER -o x.blzt --json
refuses "no verb" 2 'no verb given; expected merge or info' "$DUET" adapter
refuses "an unknown verb" 2 'unknown verb "add"' "$DUET" adapter add
check "nothing was written" absent x x.duet-tmp
check "the base is still as it was" equal "$(cksum <$BASE)" "$BEFORE"
finish
