#!/bin/sh
# What convert does beside converting: names, model cards, Modelfiles, one model of base and
# adapter, and what verification says of the loss.
. "$(dirname "$0")/lib.sh"
must stories 40000 3 >text.txt
must "$DUET" tokenizer train --vocab 400 --out tok.json text.txt --quiet
mkdir runs
must train runs/tales --tokenizer tok.json --steps 20 --lr 5e-3 --set intermediate_size=64
M=runs/tales/model.blzt
# A string value of a GGUF: its key, type 8, length and bytes.
words_of() { tr -c ' -~' '\n' <"$1" | grep ..; }
gguf_name() { words_of "$1" | sed -n '/^general.name$/{n;p;q}'; }

# ---- names
must "$DUET" convert $M a.gguf >out 2>err
check "a run's model is called as its folder" equal "$(gguf_name a.gguf)" tales
must "$DUET" convert runs/tales b.gguf >out 2>err
check "by the folder or by the file" same a.gguf b.gguf
must "$DUET" convert $M named.gguf --name 'Small Tales' >out 2>err
check "--name" equal "$(gguf_name named.gguf)" 'Small Tales'
must "$DUET" convert named.gguf named.blzt >out 2>err
must "$DUET" convert named.blzt renamed.gguf >out 2>err
check "a name stays, through another format" same named.gguf renamed.gguf
must "$DUET" convert named.blzt other.gguf --name Other >out 2>err
check "unless another is given" equal "$(gguf_name other.gguf)" Other
must "$DUET" convert $M stories.blzt --tokenizer none >out 2>err
must "$DUET" convert stories.blzt c.gguf >out 2>err
check "a file is called as it is" equal "$(gguf_name c.gguf)" stories
must "$DUET" convert $M plain-hf/ >out 2>err
must "$DUET" convert plain-hf d.gguf >out 2>err
check "so is a folder" equal "$(gguf_name d.gguf)" plain-hf
must "$DUET" convert $M named-hf/ --name 'Small Tales' >out 2>err
check "--name in a folder" says named-hf/config.json '"_name_or_path": "Small Tales"'
must "$DUET" convert named-hf e.gguf >out 2>err
check "which a GGUF takes over" equal "$(gguf_name e.gguf)" 'Small Tales'
check "the size is in the file, too" equal "$(words_of a.gguf | sed -n '/^general.size_label$/{n;p;q}')" 31K

# ---- a model card
check "a folder has a model card" says named-hf/README.md '^# Small Tales$'
check "which says what it is of" says named-hf/README.md \
    'Written by `duet convert` from `model.blzt`, trained for 20 updates (2,560 tokens)'
for line in 'architecture | llama' 'layers | 2' 'hidden size | 32' 'feed-forward size | 64' \
    'vocabulary | 400' 'weights | f32'; do
    check "card: $line" says named-hf/README.md "^| $line |"
done
check "card: no license is made up" says named-hf/README.md '^license: unknown'
must "$DUET" convert $M two-lines/ --name "$(printf 'a\n---\nb')" >out 2>err
check "card: a name is one line" says two-lines/README.md '^# a --- b$'
mkdir mine
echo 'my words' >mine/README.md
must "$DUET" convert $M mine/ --verify >out 2>err
check "a README that is there stays" [ "$(cat mine/README.md)" = 'my words' ]
check "--verify leaves nothing but the model" [ -z "$(ls -A mine | grep -v \
    'README.md\|config.json\|tokenizer\|model.safetensors')" ]

# ---- a Modelfile
must "$DUET" convert $M m.gguf --modelfile Modelfile >out 2>err
cat >want <<'END'
FROM ./m.gguf
TEMPLATE """{{ .Prompt }}"""
PARAMETER num_ctx 512
PARAMETER stop "<|endoftext|>"
END
check "--modelfile" same want Modelfile
check "and says so" says out '^Modelfile: for `ollama create NAME -f Modelfile`'
mkdir there
must "$DUET" convert $M m2.gguf --modelfile there/Modelfile >out 2>err
check "from another folder: the whole path" equal "$(head -1 there/Modelfile)" "FROM $(pwd -P)/m2.gguf"
must cp -r plain-hf chat-hf
sed 's/^{/{"chat_template": "{{ messages }}",/' plain-hf/tokenizer_config.json \
    >chat-hf/tokenizer_config.json
must "$DUET" convert chat-hf chat.gguf --modelfile chat >out 2>err
check "a chat template is the file's own" equal "$(sed -n 2p chat)" "PARAMETER num_ctx 512"
refuses "--modelfile over one" 2 'Modelfile is there already' "$DUET" convert $M m3.gguf \
    --modelfile Modelfile
refuses "--modelfile of a folder" 2 'is for a GGUF, and hf/ is of format hf' "$DUET" convert $M hf/ \
    --modelfile Model2
refuses "--modelfile over the model" 2 'cannot both be m3.gguf' "$DUET" convert $M m3.gguf \
    --modelfile m3.gguf
refuses "--modelfile over what is read" 2 'would overwrite' "$DUET" convert $M m3.gguf \
    --modelfile $M --overwrite
check "what was refused wrote nothing" absent m3.gguf hf Model2

# ---- base and adapter as one model: the same code as duet adapter merge
must "$DUET" train --init runs/tales --lora 4 --data text.txt --seq 32 --batch 4 --steps 20 \
    --lr 2e-2 --threads 1 --quiet --out runs/side >out 2>err
must "$DUET" convert runs/side one.gguf --merge --verify >one.out 2>err
must "$DUET" adapter merge runs/side -o two.gguf >out 2>err
check "convert RUN OUT --merge is adapter merge" same one.gguf two.gguf
check "it is verified against base and adapter" says one.out '^verified: '
must "$DUET" convert runs/side/adapter.blzt three.gguf --base $M --merge >out 2>err
check "so is convert ADAPTER OUT --base MODEL --merge" same one.gguf three.gguf
loss() { "$DUET" eval "$@" --data text.txt --seq 32 --quiet --threads 1 --json >loss.out && json val_loss \
    loss.out; }
must loss $M --adapter runs/side/adapter.blzt --lora-mode merge >want.loss
must loss one.gguf >got.loss
check "the loss is base and adapter's" close_to "$(cat got.loss)" "$(cat want.loss)" 2e-6
must "$DUET" convert runs/side one8.gguf --merge --dtype q8_0 --verify >one.out 2>err
check "--merge --dtype q8_0" says one.out '^verified: '
check "its types are there" sh -c "'$DUET' info one8.gguf --json | grep -q q8_0"
must "$DUET" convert runs/side merged-hf/ --merge --name Both >out 2>err
check "--merge as a folder, with a name and a card" says merged-hf/README.md \
    'with a LoRA adapter of rank 4 merged into it'
must "$DUET" convert runs/side/adapter.blzt peft/ --base $M >out 2>err
for line in '# tales-lora' '| rank | 4 |' '| alpha | 8 |' '| modules | q,k,v,o |'; do
    check "its card: $line" says peft/README.md "^$line\$"
done
must "$DUET" convert peft four.gguf --base $M --merge >out 2>err
must loss four.gguf >got.loss
check "an adapter of PEFT" close_to "$(cat got.loss)" "$(cat want.loss)" 2e-6
must "$DUET" convert runs/side side.gguf >out 2>err
check "an adapter is called as its base" equal "$(gguf_name side.gguf)" tales-lora
refuses "--merge of a model" 2 'merge is for adapters, and .* is a model: the adapter stands first' \
    "$DUET" convert $M no.gguf --merge
refuses "--name of an adapter" 2 'name has no effect on an adapter' "$DUET" convert \
    runs/side/adapter.blzt no.gguf --base $M --name X
refuses "--merge into a format of adapters" 2 'does not hold models' "$DUET" convert runs/side no/ \
    --merge --to peft
check "and nothing was written" absent no.gguf no

# ---- the loss in --verify
must "$DUET" convert $M v.gguf --dtype q4_0 --verify >v.out 2>err
check "--verify of rounded weights says how the loss changes" says v.out \
    '^loss: [+-]*[0-9.]* +- [0-9.]* nats a token ([0-9.]*, now [0-9.]*) on the built-in stories, 32 windows of 32 tokens$'
must "$DUET" convert $M v.gguf --verify --overwrite >v.out 2>err
check "of weights that are the same nothing is to be said" sh -c '! grep loss: v.out'
must "$DUET" convert $M v.gguf --dtype q4_0 --verify --data text.txt --overwrite >v.out 2>err
l_before=$(sed -n 's/^loss: .*(\([0-9.]*\), now .*/\1/p' v.out)
l_after=$(sed -n 's/^loss: .*, now \([0-9.]*\)).*/\1/p' v.out)
l_change=$(sed -n 's/^loss: \([+-]*[0-9.]*\) .*/\1/p' v.out)
check "--data: 256 windows of it" says v.out ' on text.txt, 256 windows of 32 tokens$'
must "$DUET" eval $M --data text.txt --seq 32 --windows 256 --quiet --threads 1 --json >e1.out
must "$DUET" eval v.gguf --data text.txt --seq 32 --windows 256 --quiet --threads 1 --json >e2.out
check "the loss before is eval's" close_to "$l_before" "$(json val_loss e1.out)" 6e-5
check "the loss now is eval's" close_to "$l_after" "$(json val_loss e2.out)" 6e-5
check "their difference" close_to "$l_change" \
    "$(awk -v a="$(json val_loss e1.out)" -v b="$(json val_loss e2.out)" 'BEGIN { print b - a }')" \
    6e-5
must "$DUET" tokenize --tokenizer tok.json text.txt --out text.shard --quiet
must "$DUET" convert stories.blzt v.gguf --dtype q4_0 --verify --overwrite >v.out 2>err
check "without a tokenizer it is not measured, which is said" says v.out \
    '^loss: not measured, for the model has no tokenizer'
must "$DUET" convert stories.blzt v.gguf --dtype q4_0 --verify --data text.shard --overwrite \
    --tokenizer tok.json >v2.out 2>err
check "but with one that is named" close_to "$(sed -n 's/^loss: .*, now \([0-9.]*\)).*/\1/p' v2.out)" "$l_after" \
    1e-4
refuses "--data without --verify" 2 'data has no effect without --verify' "$DUET" convert $M x.gguf \
    --data text.txt
refuses "--data that is not there" 1 'gone.txt' "$DUET" convert $M x.gguf --dtype q4_0 --verify \
    --data gone.txt
check "and nothing is written" absent x.gguf
finish
