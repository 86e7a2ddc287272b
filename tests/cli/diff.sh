#!/bin/sh
# duet diff: models of any formats, tensor by tensor, with an exit status that tells.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
must train a --steps 6
must train b --steps 6 --lr 0.01
must train wide --steps 1 --set intermediate_size=64
must train small --steps 2 --compact-vocab
S="--seq 32 --batch 4 --threads 1 --quiet --data text.txt"
must "$DUET" train $S --init a --lora 2 --steps 6 --lr 0.05 --out lora >s.out 2>s.err
M=a/model.blzt

# differ NAME STATUS ARGUMENT...: stdout d.out
differ_is() {
    d_name=$1 d_status=$2
    shift 2
    "$DUET" diff "$@" >d.out 2>d.err
    d_found=$?
    if [ $d_found -eq $d_status ] && [ ! -s d.err ]; then ok "$d_name"; else
        not_ok "$d_name: exit status $d_found, expected $d_status" d.out d.err; fi
}
differ_is "a model and its run are the same" 0 a $M
check "and it says so" says d.out '^tensors: 20, 20 of them the same$'
check "logits too" says d.out '^logits: the same at 48 positions, bit for bit$'
check "description and tokenizer too" \
    sh -c 'grep -q "^config: the same" d.out && grep -q "^tokenizer: same" d.out'
differ_is "two runs differ" 3 a b
check "ten tensors" equal "$(grep -c '^model\.' d.out)" 10
check "and how many more" says d.out '^and 10 more that differ; --all has them$'
check "the largest first" equal "$(grep '^model\.' d.out | awk '{ print $2 }')" \
    "$(grep '^model\.' d.out | awk '{ print $2 }' | sort -gr)"
differ_is "--all" 3 a b --all
check "--all: every tensor" equal "$(grep -c '^model\.' d.out)" 20
"$DUET" diff a b >1.out 2>/dev/null
"$DUET" diff b a >2.out 2>/dev/null
check "the same differences from the other side" equal \
    "$(grep '^model\.' 1.out | awk '{ print $1, $2, $3 }')" "$(grep '^model\.' 2.out | awk '{ print $1, $2, $3 }')"

# ---- one weight is changed by hand
at=$("$DUET" info $M --tensors | sed -n 's/.*model\.norm\.weight .*offset //p')
was=$(od -An -tf4 -j$at -N4 $M | tr -d ' ')
cp $M hand.blzt
printf '\000\000\000\100' | dd of=hand.blzt bs=1 seek=$at conv=notrunc 2>/dev/null # 2.0
differ_is "a changed weight" 3 $M hand.blzt
"$DUET" diff $M hand.blzt --json >j.out
check "one tensor differs" equal "$(json tensors_same j.out)" 19
check "which one" equal "$(sed -n 's/.*"name": "\(.*\)",/\1/p' j.out | head -1)" model.norm.weight
check "its largest difference" close_to "$(json max j.out)" \
    "$(awk -v x=$was 'BEGIN { print 2 - x }')" 1e-6
check "its rms: of 32 numbers" close_to "$(json rms j.out)" \
    "$(awk -v x=$was 'BEGIN { print (2 - x) / sqrt(32) }')" 1e-6
check "not the same" equal "$(json same j.out)" false
printf '\000\000\300\177' | dd of=hand.blzt bs=1 seek=$at conv=notrunc 2>/dev/null # NaN
differ_is "a weight that is no number" 3 $M hand.blzt --no-logits
check "is an infinite difference" says d.out '^model.norm.weight  *inf '

# ---- formats
must "$DUET" convert $M a.gguf >s.out 2>s.err
differ_is "a GGUF of it is the same, whatever its description leaves out" 0 $M a.gguf
check "keys that differ are shown" says d.out '^torch_dtype  *"float32"  *-$'
check "none is nothing on both sides" sh -c '! grep "  -  *-$" d.out'
differ_is "--no-logits: then a key counts" 3 $M a.gguf --no-logits
must "$DUET" convert $M q.gguf --dtype q8_0 >s.out 2>s.err
differ_is "rounded weights" 3 $M q.gguf
check "types are shown" says d.out ' f32, q8_0 [0-9]*x[0-9]*$'
must "$DUET" convert $M hf/ >s.out 2>s.err
differ_is "a folder of Hugging Face" 0 $M hf
must "$DUET" convert $M bare.blzt --tokenizer none >s.out 2>s.err
differ_is "without a tokenizer" 3 $M bare.blzt
check "only the tokenizer differs" \
    sh -c 'grep -q "^tokenizer: only in A" d.out && grep -q "20 of them the same" d.out'
differ_is "another shape" 3 $M wide
check "other shapes come first" \
    sh -c 'grep "^model" d.out | head -1 | grep -q "other shape .*f32 [0-9]*x[0-9]*, f32"'
check "the key that differs" says d.out '^intermediate_size  *48  *64$'
differ_is "a compacted vocabulary" 3 $M small
check "its map is only in B" says d.out '^duet.vocab_map  *only in B'

# ---- LoRA
must "$DUET" adapter merge lora -o merged.blzt >s.out 2>s.err
differ_is "a LoRA run is base and adapter" 3 a lora
check "only what has an adapter differs" equal \
    "$(grep '^model\.' d.out | grep -c '[qkvo]_proj')" 8
"$DUET" diff lora merged.blzt --json >j.out
check "as if merged" equal "$(json tensors_same j.out)" 20
cp lora/adapter.blzt one.blzt
cp lora/adapter.blzt two.blzt
differ_is "two adapters" 0 one.blzt two.blzt
check "which compute nothing" says d.out '^logits: not compared: an adapter alone'
refuses "an adapter and a model" 1 'one.blzt is an adapter, and a is a model' \
    "$DUET" diff one.blzt a
refuses "one model" 2 'two models, found 1' "$DUET" diff a
refuses "a text" 1 'text.txt: not a model file' "$DUET" diff a text.txt
refuses "a run without a model" 1 'without a checkpoint' sh -c 'mkdir -p never &&
    cp a/config.json never && head -1 a/log.jsonl >never/log.jsonl && exec "$1" diff a never' - "$DUET"
finish
