#!/bin/sh
# Model files from one format to another: the same weights, the same loss; what cannot be held is
# refused.
. "$(dirname "$0")/lib.sh"
"$DUET" stories --bytes 40000 --seed 1 >text.txt 2>/dev/null
train() { # NAME OPTION...
    name=$1
    shift
    "$DUET" train --model "$SRC/models/stories260k.json" --set num_hidden_layers=2 --data text.txt \
        --tokenizer byte \
        --seq 32 --batch 4 --steps 5 --out "$name" --quiet "$@" >"$name.out" 2>"$name.err"
}
loss() { "$DUET" eval "$1" --data text.txt --tokenizer byte --seq 32 --quiet --json | grep '"val_loss"'; }
train plain
check "a model is trained" [ -s plain/model.blzt ]
check "convert to llama2.c by name" "$DUET" convert plain/model.blzt a.bin
check "convert to BLZT v4 by name" "$DUET" convert plain/model.blzt a.blzt4
check "convert to llama2.c by --to" "$DUET" convert plain/model.blzt a2 --to llama2c
check "name and --to write the same file" same a.bin a2
check "llama2.c back to BLZT v5" "$DUET" convert a.bin back.blzt
check "BLZT v4 to v5 and back: the same file" sh \
    -c "'$DUET' convert a.blzt4 c.blzt && '$DUET' convert c.blzt c.blzt4 && cmp c.blzt4 a.blzt4"
check "and again to llama2.c" sh -c "'$DUET' convert back.blzt d.bin && cmp d.bin a.bin"
loss plain/model.blzt >want
for f in a.bin a.blzt4 back.blzt; do
    loss $f >got
    check "the loss of $f is the model's" same want got
done

# A residual scale of 0 leaves embedding and classifier: that is a model, and no other.
ZERO="--set duet.residual_scale=0"
"$DUET" eval plain/model.blzt --data text.txt --tokenizer byte --seq 32 --quiet $ZERO --json |
    grep '"val_loss"' >want
check "a residual scale of 0 is another model" differ want got
for f in zero.gguf zero.bin zero.blzt4 zero.blzt zero/; do
    check "a residual scale of 0 to $f" "$DUET" convert plain/model.blzt $f $ZERO --verify
    loss $f >got 2>loss.err
    check "$f: its loss" same want got
done
check "a residual scale of 0 in q8_0" "$DUET" convert plain/model.blzt zero8.gguf $ZERO --dtype q8_0
"$DUET" eval plain/model.blzt --data text.txt --tokenizer byte --seq 32 --quiet $ZERO \
    --weights q8_0 --json | grep '"val_loss"' >want
loss zero8.gguf >got
check "its loss" same want got

# The rows of its down projection, 172, are not whole blocks: held as f16, as convert writes them.
"$DUET" convert plain/model.blzt q8.blzt --dtype q8_0 >q8.out 2>q8.err
check "convert says what it writes as f16" grep -q '2 tensors are written as f16' q8.err
loss q8.blzt | sed 's/.*: *//; s/,.*//' >want
"$DUET" eval plain/model.blzt --data text.txt --tokenizer byte --seq 32 --quiet --weights q8_0 --json |
    grep '"val_loss"' | sed 's/.*: *//; s/,.*//' >got
check "eval --weights q8_0: the loss of what convert writes" close_to "$(cat got)" "$(cat want)" \
    0.00002
check "generate --weights q8_0" sh \
    -c "'$DUET' generate plain/model.blzt --tokenizer byte --prompt Once --temperature 0 --tokens 8 --quiet --weights q8_0"
check "train --weights q8_0 --lora" sh \
    -c "'$DUET' train --init plain/model.blzt --data text.txt --tokenizer byte --seq 32 --batch 4 --steps 2 --lora 2 --weights q8_0 --out q8lora --quiet"
check "audit --weights q8_0 --lora" sh \
    -c "'$DUET' audit plain/model.blzt --data text.txt --tokenizer byte --seq 32 --batch 1 --lora 2 --weights q8_0"
check "bench step --weights q8_0 --lora" sh \
    -c "'$DUET' bench step --model '$SRC/models/stories260k.json' --batch 1 --seq 16 --lora 2 --weights q8_0 --runs 1 --engine backprop"

refused() { # NAME STATUS PATTERN COMMAND...
    label=$1 status=$2 pattern=$3
    shift 3
    "$@" >r.out 2>r.err
    got=$?
    if [ $got -eq "$status" ] && [ "$(wc -l <r.err)" -eq 1 ] &&
        grep -q "$pattern" r.err; then ok "$label"; else not_ok "$label: status $got" r.err; fi
}
refused "an unknown ending" 2 'say it with --to' "$DUET" convert plain/model.blzt out.xyz
refused "a format that is only read" 2 'expected one of: auto blzt5 gguf hf peft blzt4' \
    "$DUET" convert plain/model.blzt out.x --to safetensors
refused "one argument" 2 'found "plain/model.blzt"' "$DUET" convert plain/model.blzt
refused "onto itself" 1 'file being read' "$DUET" convert plain/model.blzt plain/model.blzt
refused "a file that is no model" 1 'not a model file' "$DUET" convert text.txt out.bin
train capped --set duet.logit_softcap=30
refused "a softcap in llama2.c" 1 'softcap' "$DUET" convert capped/model.blzt out.bin
train untied --set tie_word_embeddings=false
refused "an untied classifier in BLZT v4" 1 'lm_head\|tie' "$DUET" convert untied/model.blzt \
    out.blzt4
check "but llama2.c holds it" "$DUET" convert untied/model.blzt untied.bin
loss untied/model.blzt >want
loss untied.bin >got
check "with the same loss" same want got
# ---- GGUF and Hugging Face ----
"$DUET" tokenizer train --vocab 400 --out tok.json text.txt >/dev/null 2>&1
"$DUET" train --model "$SRC/models/stories260k.json" --set num_hidden_layers=2 \
    --set intermediate_size=192 --set duet.residual_scale=0.5 \
    --data text.txt --tokenizer tok.json --seq 32 --batch 4 --steps 5 --out full --quiet \
    >/dev/null 2>&1
M=full/model.blzt
bytes() { wc -c <"$1"; }
evaluate() { "$DUET" eval "$1" --data text.txt --seq 32 --quiet --json | grep '"val_loss"\|"val_bpb"'; }
evaluate $M >want
for out in m.gguf hf/; do
    check "convert to $out, verified" sh -c "'$DUET' convert $M $out --verify >v.out 2>&1"
    evaluate $out >got
    check "$out evaluates with its own tokenizer to the same" same want got
    check "$out generates the same" sh -c "
        '$DUET' generate $M --prompt 'Once upon' --temperature 0 --tokens 20 --quiet >g1 2>/dev/null &&
        '$DUET' generate $out --prompt 'Once upon' --temperature 0 --tokens 20 --quiet >g2 2>/dev/null && cmp g1 g2"
done
check "the folder has what transformers reads" [ -s hf/config.json -a -s hf/model.safetensors -a \
    -s hf/tokenizer.json \
    -a -s hf/tokenizer_config.json -a -s hf/generation_config.json ]
check "GGUF to BLZT to GGUF: the same file" sh \
    -c "'$DUET' convert m.gguf r.blzt && '$DUET' convert r.blzt r.gguf && cmp r.gguf m.gguf"
check "Hugging Face to BLZT to Hugging Face: the same weights" sh -c "
    '$DUET' convert hf r2.blzt && '$DUET' convert r2.blzt hf2/ && cmp hf/model.safetensors hf2/model.safetensors &&
    cmp hf/config.json hf2/config.json && cmp hf/tokenizer.json hf2/tokenizer.json"
for t in f16 bf16 q8_0 q4_0; do
    check "--dtype $t, verified" sh -c "'$DUET' convert $M $t.gguf --dtype $t --verify >v.out 2>&1"
    check "--dtype $t: smaller" [ "$(bytes $t.gguf)" -lt "$(bytes m.gguf)" ]
    check "--dtype $t: the types are there" sh -c "'$DUET' info $t.gguf --json | grep -q '\"$t\"'"
done
check "--threads makes no difference" sh \
    -c "'$DUET' convert $M t3.gguf --dtype q8_0 --threads 3 && cmp t3.gguf q8_0.gguf"
check "a GGUF can be trained on" sh \
    -c "'$DUET' train --init m.gguf --data text.txt --seq 32 --batch 4 --steps 2 --out on --quiet"
check "a quantised GGUF is a base for LoRA" sh \
    -c "'$DUET' train --init q8_0.gguf --lora 4 --weights q8_0 --data text.txt --seq 32 \
    --batch 4 --steps 2 --lr 1e-2 --out lora --quiet"
check "--tokenizer none leaves it out" sh \
    -c "'$DUET' convert $M bare.gguf --tokenizer none && ! '$DUET' info bare.gguf | grep -q '^  tokenizer'"
check "--set changes the config" sh \
    -c "'$DUET' convert $M th.gguf --set rope_theta=5000 && '$DUET' info th.gguf --json | grep -q '\"rope_theta\": 5000'"

# ---- the built-in bytes: control tokens are none that a text can have
check "bytes to GGUF to Hugging Face to BLZT, verified" sh -c "
    '$DUET' convert plain/model.blzt bytes.gguf --verify && '$DUET' convert bytes.gguf bytes-hf/ --verify &&
    '$DUET' convert bytes-hf/ bytes.blzt --verify"
printf 'Lily and Tom saw \000 and \001 in the park.\n<|endoftext|> Caf\303\251 \377 end' >odd.txt
must "$DUET" tokenizer encode --tokenizer byte odd.txt >want
for f in bytes.gguf bytes-hf bytes.blzt; do
    "$DUET" tokenizer encode --tokenizer $f odd.txt >got
    check "$f: the same ids, of NUL too" same want got
    check "$f: the same logits" says "$("$DUET" diff plain/model.blzt $f >d.out; echo d.out)" \
        '^logits: the same at [0-9]* positions, bit for bit$'
done
check "the folder names the end of a text alone" equal "$(grep -h '_token"' bytes-hf/tokenizer_config.json |
    tr -d ' ,')" '"eos_token":"<|endoftext|>"'
check "its config, too" equal "$(grep -c '_token_id' bytes-hf/config.json)" 1
cp -r bytes-hf named-hf && rm named-hf/tokenizer_config.json
sed 's/^{/{"bos_token_id": 65,/' bytes-hf/config.json >named-hf/config.json
must "$DUET" convert named-hf text-hf/ --verify >text.out 2>text.err
check "a beginning that is text is noted" sh -c "cat text.out text.err |
    grep -q 'bos_token: token 65 is text, and is not named in tokenizer_config.json'"
check "and not made a token" equal "$(grep -c '_token"' text-hf/tokenizer_config.json)" 1
sed 's/^{/{"unk_token": "\\u0000",/' bytes-hf/tokenizer_config.json >nul.json && cp nul.json bytes-hf/tokenizer_config.json
refuses "a NUL in a JSON text" 1 \
    'bytes-hf/tokenizer_config.json: line 1: a text with .u0000 (NUL) in it is not supported$' \
    "$DUET" convert bytes-hf nul.blzt
check "which writes nothing" absent nul.blzt

# ---- adapters ----
A=lora/adapter.blzt B=q8_0.gguf
check "an adapter to PEFT, verified" sh -c "'$DUET' convert $A peft/ --base $B --verify"
check "an adapter to GGUF, verified" sh -c "'$DUET' convert $A a.gguf --base $B --verify"
check "PEFT back to duet's: the same values" sh \
    -c "'$DUET' convert peft back3.blzt --base $B && '$DUET' convert back3.blzt peft2/ --base $B &&
    cmp peft/adapter_model.safetensors peft2/adapter_model.safetensors && cmp peft/adapter_config.json peft2/adapter_config.json"
check "GGUF back to duet's: the same values" sh \
    -c "'$DUET' convert a.gguf back2.blzt --base $B && '$DUET' convert back2.blzt a2.gguf --base $B && cmp a.gguf a2.gguf"
adapted() { "$DUET" eval $B --adapter "$1" --data text.txt --seq 32 --quiet --json | grep '"val_loss"'; }
adapted $A >want
"$DUET" eval $B --data text.txt --seq 32 --quiet --json | grep '"val_loss"' >plain.loss
check "the adapter changes the loss" differ want plain.loss
for f in peft a.gguf back3.blzt; do
    adapted $f >got
    check "the loss with $f is the adapter's" same want got
done
check "merged into a GGUF" "$DUET" adapter merge $B $A --out merged.gguf
"$DUET" eval merged.gguf --data text.txt --seq 32 --quiet --json | grep '"val_loss"' >got
check "merged: the adapter's loss" close_to "$(sed 's/.*: *//; s/,.*//' got)" \
    "$(sed 's/.*: *//; s/,.*//' want)" 0.0005
cp $A alone.blzt
refused "an adapter without its base" 2 'give its base model with --base' "$DUET" convert alone.blzt \
    x/
refused "--base for a model" 2 '\-\-base is for adapters' "$DUET" convert $M x.gguf --base $M
refused "an adapter as BLZT v4" 2 'does not hold adapters' "$DUET" convert $A x.blzt4 --base $B

# A folder whose weights are damaged is no folder of a tokenizer.
cp -r hf cut
head -c 3000 hf/model.safetensors >cut/model.safetensors
refused "info of cut weights" 1 'cut/model.safetensors' "$DUET" info cut
refused "conversion of cut weights" 1 'cut/model.safetensors' "$DUET" convert cut cut.gguf
rm cut/model.safetensors
check "info of a folder with a tokenizer alone" sh \
    -c "'$DUET' info cut | grep -q '^    kind  *bpe'"

# ---- verification that fails: nothing is written, and what was there stays ----
# A weight that is no number, the last of the file.
size=$(bytes m.gguf)
cp m.gguf nan.gguf
printf '\377\377\377\177' | dd of=nan.gguf bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
mkdir bad
for out in bad/m.gguf bad/m.blzt bad/m/ bad/m.bin; do
    refused "--verify of a model without numbers, to $out" 1 'nan.gguf' "$DUET" convert nan.gguf \
        $out --verify --tokenizer none
done
check "nothing is written" [ -z "$(ls -A bad)" ]
cp m.gguf bad/m.gguf
cp -r hf bad/m
refused "over a file" 1 'nan.gguf' "$DUET" convert nan.gguf bad/m.gguf --verify \
    --overwrite
refused "over a folder" 1 'nan.gguf' "$DUET" convert nan.gguf bad/m/ --verify --overwrite
check "the file stays" cmp bad/m.gguf m.gguf
check "the folder stays, and nothing is beside it" diff -r bad/m hf
check "--verify to a folder leaves nothing but the model" sh \
    -c "'$DUET' convert m.gguf bad/n/ --verify && [ ! -e bad/n/.duet-check ] && [ -z \"\$(find bad -name '*duet-tmp*')\" ]"
refused "into the folder of a run" 1 'folder of a training run' "$DUET" convert m.gguf plain/
check "whose config stays" grep -q '"steps"' plain/config.json
check "an adapter verified before it is written" sh \
    -c "'$DUET' convert $A bad/p/ --base $B --verify && [ ! -e bad/p/.duet-check ]"
refused "over a tokenizer that is read" 1 'being read' "$DUET" convert m.gguf hf/ \
    --tokenizer hf/tokenizer.json
refused "a key that is not computed" 1 'is_causal is false.*--set is_causal=null' "$DUET" convert \
    $M x.gguf --set is_causal=false

# ---- writes that fail ----
cp m.gguf keep.gguf
echo '{"model_type":"llama"}' >hf2/config.json
(ulimit -f 20; "$DUET" convert $M m.gguf --overwrite >o 2>e)
check "a full disk is said" grep -qi 'limit of a file.s size' e
check "and the old file is as it was" cmp m.gguf keep.gguf
mkdir -p full_dir
(ulimit -f 20; "$DUET" convert $M full_dir/ >o 2>e)
check "a folder on a full disk: no config.json" absent full_dir/config.json
check "no temporary file is left" [ -z "$(find . -name '*duet-tmp*')" ]
refused "to standard output" 2 'not to standard output' "$DUET" convert $M - --to gguf
for out in hf/model.safetensors hf/ hf/config.json; do
    refused "an adapter over its base's $out" 2 'would overwrite' "$DUET" convert peft $out \
        --to blzt5 --base hf
    refused "a merged model over its base's $out" 2 'would overwrite' "$DUET" adapter merge hf \
        peft --out $out --to blzt5
done
refused "an adapter over itself" 2 'would overwrite' "$DUET" convert peft \
    peft/adapter_model.safetensors --to blzt5 --base $B
check "LoRA on a folder with everything in it" sh \
    -c "'$DUET' train --init hf --lora 2 --data text.txt --seq 32 --batch 4 --steps 2 --out hflora \
    --quiet && '$DUET' eval hf --adapter hflora/adapter.blzt --data text.txt --seq 32 --quiet"
"$DUET" tokenizer train --vocab 300 --out tok2.json text.txt >/dev/null 2>&1
refused "another tokenizer than the model's own" 1 'own tokenizer is another one' "$DUET" convert \
    hf other.gguf --tokenizer tok2.json
check "after none: nothing of the old one stays" sh \
    -c "'$DUET' convert hf none.blzt --to blzt5 --tokenizer none &&
    '$DUET' convert none.blzt other.gguf --tokenizer tok2.json &&
    ! '$DUET' info other.gguf --json | grep -q tokenizer_config"
refused "a folder over itself" 1 'file being read' "$DUET" convert hf hf/
refused "--dtype that the format has not" 2 'cannot hold q8_0' "$DUET" convert $M x/ --dtype q8_0
check "nothing was written by what was refused" absent out.xyz out.bin out.blzt4 x x.gguf x.blzt4

# ---- sequences longer than the description says are the model's context in every format
context() { "$DUET" info "$1" --json >info.out && json max_position_embeddings info.out; }
[ -f text.txt ] || must stories 30000 5 >text.txt
must train longer --steps 1 --set max_position_embeddings=16
check "a longer --seq: says so" says longer.err 'the model gets a context of 32 tokens, .*, not the 16 '
must "$DUET" convert longer longer.gguf >convert.out 2>&1
check "a longer --seq: the context, also as gguf" equal "$(context longer) $(context longer.gguf)" "32 32"
must train shorter --steps 1 --set max_position_embeddings=16 --seq 16
must "$DUET" train --init shorter --data text.txt --seq 24 --batch 2 --steps 1 --threads 1 --quiet --out again \
    >again.out 2>again.err
check "--init, a longer --seq: says so" says again.err 'sequences of 24 tokens, the model is made for 16'
must "$DUET" convert again again.gguf >convert.out 2>&1
check "--init, a longer --seq: the context, also as gguf" equal "$(context again) $(context again.gguf)" "24 24"
must "$DUET" train --init shorter --lora 2 --data text.txt --seq 24 --batch 2 --steps 1 --threads 1 --quiet --out lora24 \
    >lora.out 2>lora.err
check "LoRA leaves its base as it is" "$DUET" adapter merge shorter lora24 -o merged24.blzt
check "so is the context" equal "$(context merged24.blzt)" 16

# ---- a tokenizer that the format cannot hold, and one that says more than is used
"$DUET" tokenizer train --vocab 300 --out tok.json text.txt --quiet >out 2>err
sed 's/"ignore_merges": false/"ignore_merges": true/' tok.json >ignores.json
train ignores --tokenizer ignores.json
refused "a pre-tokenizer that GGUF does not name" 1 \
    'no name for the tokenizer.s pre-tokenizer.*; --tokenizer none writes the model without it' \
    "$DUET" convert ignores/model.blzt ignores.gguf
check "and none writes it" "$DUET" convert ignores/model.blzt ignores.gguf --tokenizer none
cut='{"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}'
sed "s/\"truncation\": null/\"truncation\": $cut/" tok.json >cut.json
"$DUET" tokenize --tokenizer cut.json text.txt --out cut.shard --quiet >out 2>err
check "tokenize says what is passed over" says err 'note: cut.json: truncation.* passed over'
train trunc --tokenizer cut.json
check "train says it" says trunc.err 'note: cut.json: truncation.* passed over'
"$DUET" tokenize --tokenizer tok.json text.txt --out tok.shard --quiet >out 2>err
check "the tokens are those without" same cut.shard tok.shard
check "and there is nothing to say" sh -c '! grep "passed over" err'
finish
