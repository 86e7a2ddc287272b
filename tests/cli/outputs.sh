#!/bin/sh
# What a command writes never replaces what it reads, nor one of a run's own files: refused by name,
# and every file is what it was.
. "$(dirname "$0")/lib.sh"
must stories 20000 7 >text.txt
mkdir texts
head -c 5000 text.txt >texts/a.txt
must train run --steps 6 --warmup 2 --keep 2 --checkpoint-every 2
cp run/model.blzt model.blzt
must "$DUET" train --init model.blzt --lora 2 --data text.txt --seq 32 --batch 4 --steps 2 \
    --threads 1 --out lora --quiet >out 2>err
must "$DUET" train --init model.blzt --engine mezo --data text.txt --seq 32 --batch 4 --steps 2 \
    --lr 1e-4 --eps 1e-3 --threads 1 --out mezo --quiet >out 2>err
must "$DUET" tokenizer train --vocab 300 --out tok.json text.txt --quiet >out 2>err
must "$DUET" convert model.blzt hf/ >out 2>err
must "$DUET" tokenize --tokenizer byte text.txt --out text.shard --quiet >out 2>err
cp lora/adapter.blzt adapter.blzt
must "$DUET" eval model.blzt --data text.txt --exact --seq 32 --out a.tsv --quiet >out 2>err
all() { find . -type f ! -name 'refuse.*' ! -name check.out ! -name 'all.*' -exec cksum {} + |
    sort; }
all >all.before

# ---- eval
exact() { "$DUET" eval model.blzt --data text.txt --exact --seq 32 --quiet "$@"; }
logits() { "$DUET" eval model.blzt --data text.txt --seq 8 --quiet --logits "$@"; }
refuses "eval --out: the model" 2 'writing ./model.blzt would overwrite model.blzt' exact \
    --out ./model.blzt
refuses "eval --out: the text" 2 'would overwrite text.txt' exact --out text.txt
refuses "eval --out: a text of a folder" 2 'would overwrite texts, which' \
    "$DUET" eval model.blzt --data texts --exact --quiet --out texts/a.txt
refuses "eval --out: the tokenizer" 2 'would overwrite tok.json' exact --tokenizer tok.json \
    --out tok.json
refuses "eval --out: the adapter" 2 'would overwrite adapter.blzt' exact --adapter adapter.blzt \
    --out adapter.blzt
refuses "eval --out: what it is paired with" 2 'would overwrite a.tsv' exact --paired a.tsv \
    --out a.tsv
ln -s text.txt link.txt
refuses "eval --out: through a link" 2 'would overwrite text.txt' exact --out link.txt
rm link.txt
refuses "eval --out: weights of a folder" 2 'would overwrite hf' \
    "$DUET" eval hf --data text.txt --exact --quiet --out hf/model.safetensors
refuses "eval --logits: the model" 2 'would overwrite model.blzt' logits model.blzt
refuses "eval --logits: the text" 2 'would overwrite text.txt' logits text.txt
refuses "eval --logits: the adapter" 2 'would overwrite adapter.blzt' logits adapter.blzt \
    --adapter adapter.blzt
refuses "tokenize: the tokenizer" 2 'would overwrite tok.json' \
    "$DUET" tokenize --tokenizer tok.json text.txt --out tok.json

# ---- a run's own files: there, or yet to be written; of a kept checkpoint too
kept=$(ls run/checkpoints | head -1)
for own in model.blzt best.blzt state tokens.shard config.json log.jsonl \
    "checkpoints/$kept/model.blzt"; do
    r="run/$own is a name of the training run"
    refuses "convert to run/$own" 2 "$r" "$DUET" convert model.blzt "run/$own" --to gguf
    refuses "replay to run/$own" 2 "$r" "$DUET" replay mezo/base.blzt mezo/trajectory.zo \
        --out "run/$own"
    refuses "adapter merge to run/$own" 2 "$r" "$DUET" adapter merge model.blzt adapter.blzt \
        --out "run/$own" --to blzt5
    refuses "an adapter to run/$own" 2 "$r" "$DUET" convert adapter.blzt "run/$own" \
        --base model.blzt --to gguf
    refuses "tokenize to run/$own" 2 "$r" "$DUET" tokenize --tokenizer byte text.txt \
        --out "run/$own"
    refuses "tokenizer train to run/$own" 2 "$r" "$DUET" tokenizer train --vocab 300 text.txt \
        --out "run/$own"
    refuses "stories to run/$own" 2 "$r" "$DUET" stories --bytes 1000 --out "run/$own"
    refuses "eval --out run/$own" 2 "$r" exact --out "run/$own"
    refuses "eval --logits run/$own" 2 "$r" logits "run/$own"
done
refuses "tokenizer convert to a run's config" 2 'is a name of the training run' \
    "$DUET" tokenizer convert tok.json --out run/val-first.json --quiet
chmod -R u+w .
ln -s run/state outside.blzt
refuses "through a link" 2 'outside.blzt is a name of the training run' "$DUET" convert model.blzt \
    outside.blzt
rm outside.blzt
(cd run && "$DUET" convert ../model.blzt best.blzt >../in.out 2>../in.err)
check "from inside of the folder" says in.err 'best.blzt is a name of the training run'
rm in.out in.err
all >all.after
check "every file is what it was" same all.before all.after
check "the run goes on" "$DUET" train --resume run --steps 8 --quiet

# ---- other names
check "another name in the folder of a run" "$DUET" convert run/model.blzt run/model.gguf
check "eval --out there" "$DUET" eval run --data text.txt --exact --seq 32 --quiet \
    --out run/eval.tsv
mkdir plain
check "a run's names in another folder" "$DUET" convert model.blzt plain/model.blzt

# ---- what is there is only written over when told: every command that writes, in one sentence
must cp hf/tokenizer.json tok2.json
must "$DUET" replay model.blzt mezo/trajectory.zo --out again.blzt --quiet
must "$DUET" eval run --data text.txt --seq 8 --logits run/logits --quiet
must "$DUET" convert lora/adapter.blzt peft/ --base model.blzt >out 2>err
must "$DUET" adapter merge model.blzt adapter.blzt --out whole.gguf >out 2>err
must "$DUET" stories --bytes 1000 --out short.txt --quiet
must "$DUET" plot run -o run/all.tsv
all >all.before
over() { # FILE COMMAND...: refused, and done with --overwrite
    o_file=$1
    shift
    refuses "$o_file: refused" 2 "$o_file is there already: choose another name, or give --overwrite" \
        "$@"
    all >all.after
    check "$o_file: nothing has changed" same all.before all.after
    check "$o_file: --overwrite" "$@" --overwrite
}
over run/eval.tsv "$DUET" eval run --data text.txt --exact --seq 32 --quiet --out run/eval.tsv
over run/logits "$DUET" eval run --data text.txt --seq 8 --logits run/logits --quiet
over again.blzt "$DUET" replay model.blzt mezo/trajectory.zo --out again.blzt --quiet
over whole.gguf "$DUET" adapter merge model.blzt adapter.blzt --out whole.gguf
over plain/model.blzt "$DUET" convert model.blzt plain/model.blzt
over hf/ "$DUET" convert model.blzt hf/
over peft "$DUET" convert adapter.blzt peft --base model.blzt
over text.shard "$DUET" tokenize --tokenizer byte text.txt --out text.shard --quiet
over tok2.json "$DUET" tokenizer convert byte --out tok2.json
all >all.before
over tok2.json "$DUET" tokenizer train --vocab 300 text.txt --out tok2.json --quiet
all >all.before
over run/all.tsv "$DUET" plot run -o run/all.tsv
all >all.before
over short.txt "$DUET" stories --bytes 1000 --out short.txt --quiet
: >empty
check "an empty file holds nothing to lose" "$DUET" stories --bytes 1000 --out empty --quiet
mkdir notes
echo mine >notes/notes.txt
check "nor does a folder without a model" "$DUET" convert model.blzt notes/
check "whose other files stay" [ "$(cat notes/notes.txt)" = mine ]
refuses "what is read is not written to with --overwrite either" 1 'is the file being read' \
    "$DUET" convert model.blzt model.blzt --overwrite
refuses "nor a text" 2 'would overwrite text.txt, which is being read' "$DUET" tokenize \
    --tokenizer byte text.txt --out text.txt --overwrite
refuses "nor a table of runs" 2 'would overwrite run/all.tsv, which is being read' "$DUET" plot \
    run/all.tsv -o run/all.tsv --overwrite
refuses "eval has nothing to overwrite" 2 'overwrite has no effect without --out or --logits' \
    "$DUET" eval run --data text.txt --overwrite
check "/dev/null as text and output" sh \
    -c '"$1" tokenize --tokenizer byte - --out n.shard --quiet <text.txt && "$1" eval model.blzt --data text.txt --exact --seq 32 --out /dev/null --quiet' - "$DUET"
finish
