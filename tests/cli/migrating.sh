#!/bin/sh
# The predecessors' files: every command of docs/migrating.md on small files of the same names, and
# that a BLZT v4 keeps the model's function, says what it cannot know or is refused.
. "$(dirname "$0")/lib.sh"
mkdir bin models smollm2 runs
ln -s "$DUET" bin/duet
PATH=$WORK/bin:$PATH
must stories 60000 1 >stories.txt
must duet tokenizer train --vocab 400 --out smollm2/tokenizer.json stories.txt --quiet 2>err

# ---- stand-ins: the presets' names, four layers, little else
small() { # FILE KEY=VALUE...: of the preset
    sed -e 's/"hidden_size": [0-9]*/"hidden_size": 32/' \
        -e 's/"intermediate_size": [0-9]*/"intermediate_size": 48/' \
        -e 's/"num_hidden_layers": [0-9]*/"num_hidden_layers": 4/' \
        -e 's/"num_attention_heads": [0-9]*/"num_attention_heads": 4/' \
        -e 's/"num_key_value_heads": [0-9]*/"num_key_value_heads": 2/' \
        -e 's/"head_dim": [0-9]*/"head_dim": 8/' \
        -e 's/"vocab_size": [0-9]*/"vocab_size": 400/' -e 's/"seq_len": [0-9]*/"seq_len": 32/' \
        "$SRC/models/$1" >"models/$1"
}
small autoresearch.json
small smollm2_360m.json
must duet tokenizer encode --tokenizer smollm2/tokenizer.json stories.txt >ids.txt
tr -cs '0-9' '\n' <ids.txt | awk 'NF { printf "\\%03o\\%03o", $1 % 256, int($1 / 256) }' |
    head -c 400000 >octal
printf "$(cat octal)" >tinystories_smollm2_data00.bin
cp tinystories_smollm2_data00.bin tinystories_data00.bin
quick() { duet train --data stories.txt --tokenizer smollm2/tokenizer.json --steps 30 --lr 5e-3 \
    --batch 2 --threads 1 --quiet "$@" >out 2>err; }
SCALE=0.35355339059327379
must quick --model models/autoresearch.json --set duet.residual_scale=$SCALE --out old
# As AutoANE writes it: the weights as they are, the scale nowhere.
must duet convert old/model.blzt v4.blzt4 --set duet.residual_scale=1 >out 2>err
mv v4.blzt4 ane_autoresearch_ckpt.bin
must quick --model models/smollm2_360m.json --out smol
must duet convert smol/model.blzt SmolLM2-360M/ >out 2>err
must quick --model models/autoresearch.json --out stories
must duet convert stories/model.blzt stories110M.bin >out 2>err
{   # llama2.c's tokenizer.bin: three special tokens, the bytes, one word
    entry() { printf "\\0\\0\\0\\0\\$(printf %03o "$1")\\0\\0\\0%s" "$2"; }
    printf '\06\0\0\0'
    entry 5 '<unk>'
    printf '\0\0\0\0\05\0\0\0\n<s>\n\0\0\0\0\06\0\0\0\n</s>\n'
    for i in 0 1 2 3 4 5 6 7 8 9 A B C D E F; do for j in 0 1 2 3 4 5 6 7 8 9 A B C D E \
        F; do entry 6 "<0x$i$j>"; done; done
    entry 1 ' '
} >tokenizer.bin

# ---- what the file does not say
loss() { json val_loss "$1"; }
must duet eval --json old/model.blzt --data stories.txt --split val --quiet >want
must duet eval --json ane_autoresearch_ckpt.bin --data stories.txt --tokenizer smollm2/tokenizer.json \
    --split val >assumed 2>assumed.err
must duet eval --json ane_autoresearch_ckpt.bin --data stories.txt --tokenizer smollm2/tokenizer.json \
    --split val \
    --set duet.residual_scale=$SCALE --set rope_theta=10000 --set rms_norm_eps=1e-5 >said 2>said.err
check "--set gives the model back" equal "$(loss said)" "$(loss want)"
check "another scale is another model" differ said assumed
check "what is assumed is said in a line" \
    says assumed.err 'does not say rope_theta (10000 is assumed), rms_norm_eps (1e-05), duet.residual_scale (1; 1/sqrt(2 layers) = 0.353553'
check "not what was said" sh -c '! grep "does not say" said.err'
must duet generate ane_autoresearch_ckpt.bin --tokenizer byte --prompt a --tokens 1 --quiet >out \
    2>quiet.err
check "--quiet does not hide it" says quiet.err 'does not say rope_theta (10000 is assumed)'
for command in "convert ane_autoresearch_ckpt.bin x.blzt" \
    "generate stories110M.bin --tokenizer smollm2/tokenizer.json --prompt a --tokens 1" \
    "audit ane_autoresearch_ckpt.bin --data stories.txt --tokenizer smollm2/tokenizer.json --seeds 8"; do
    duet $command >out 2>line.err
    check "duet ${command%% *} says it" says line.err \
        'does not say rope_theta (10000 is assumed), rms_norm_eps'
done
said="--set duet.residual_scale=$SCALE"
init() { # OUT OPTION...
    init_out=$1
    shift
    must duet train --init ane_autoresearch_ckpt.bin --data stories.txt \
        --tokenizer smollm2/tokenizer.json --steps 1 --batch 2 \
        --threads 1 --out $init_out "$@" >$init_out.out 2>$init_out.err
}
init init0
init init1 $said
check "duet train --init says it" says init0.err 'rms_norm_eps (1e-05), duet.residual_scale (1;'
check "and not what was said" sh -c '! grep residual_scale init1.err'
check "which is part of the new model" sh \
    -c "duet info init1/model.blzt --json | grep -q 'residual_scale.: 0.35355'"
must duet train --lora 2 --init ane_autoresearch_ckpt.bin $said --data stories.txt \
    --tokenizer smollm2/tokenizer.json --steps 2 \
    --batch 2 --threads 1 --out side --quiet >out 2>err
must duet adapter merge ane_autoresearch_ckpt.bin side/adapter.blzt $said --out merged2.blzt \
    >out 2>err
check "adapter merge takes it from --set" sh \
    -c "duet info merged2.blzt --json | grep -q 'residual_scale.: 0.35355'"
must duet eval --json x.blzt --data stories.txt --tokenizer smollm2/tokenizer.json --split val >kept \
    2>kept.err
check "duet's own file says everything" sh -c '! grep "does not say" kept.err'

# ---- what v4 cannot say
must duet convert old/model.blzt folded.blzt4 >out 2>err
must duet eval --json folded.blzt4 --data stories.txt --tokenizer smollm2/tokenizer.json --split val \
    --quiet >folded
check "the residual scale is folded in" close_to "$(loss folded)" "$(loss want)" 2e-6
no_place() { # WHAT KEY=VALUE...: of --set, and the message
    what=$1
    shift
    for out in no.blzt4 no.bin; do
        refuses "$out: $what" 1 "cannot be written as .*$what" duet convert "$M" $out "$@"
    done
}
M=old/model.blzt
no_place 'rope_theta, which is 500000' --set rope_theta=500000
no_place 'rms_norm_eps, which is 1e-06' --set rms_norm_eps=1e-6
no_place 'duet.logit_softcap' --set duet.logit_softcap=30
must quick --model models/autoresearch.json --set duet.qk_norm=true --out qk --steps 1
M=qk/model.blzt
no_place 'q_norm'
must quick --model models/autoresearch.json --set attention_bias=true --out bias --steps 1
M=bias/model.blzt
no_place 'bias'
must quick --model models/autoresearch.json --set tie_word_embeddings=false --out untied --steps 1
refuses "no.blzt4: untied" 1 'lm_head.weight of an untied model' duet convert untied/model.blzt \
    no.blzt4
check "nothing is left of what was refused" absent no.blzt4 no.bin
printf 'AROL\010\0\0\0\040\0\0\0\005\0\0\0' >ckpt_lora.bin
refuses "a LoRA sidecar" 1 'a LoRA sidecar of AutoANE (rank 8, 32 layers).*merged in already' duet \
    eval ckpt_lora.bin --data stories.txt

# ---- the page: fenced blocks of sh; long runs are made short
awk '/^```sh/ { on = 1; next } /^```/ { on = 0 } on' "$SRC/docs/migrating.md" |
    sed -e ':a' -e '/\\$/{N;s/\\\n *//;ba' -e '}' -e 's/--time [0-9]*/--time 1/' \
        -e 's/--steps [0-9]*/--steps 3/' >commands
check "the page has commands" [ "$(grep -c '^duet ' commands)" -ge 20 ]
# --time is a budget of training: a second run of the same folder gets more of it
sed -i 's/--resume runs\/scratch --time 1/--resume runs\/scratch --time 2/' commands
while IFS= read -r line; do
    case $line in "duet train"*) run="$line --threads 1" ;; *) run=$line ;; esac
    check "$(printf %s "$line" | tr -d '\\\\')" sh -c "$run"
done <commands
check "a line of results.tsv has the loss" grep -q '[0-9]\.[0-9]*.keep' results.tsv
finish
