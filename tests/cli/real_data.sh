#!/bin/sh
# What needs real models and tokenizers ($DUET_DATA). Without them the whole script counts as
# skipped.
. "$(dirname "$0")/lib.sh"
need weights/stories260K/stories260K.bin weights/stories260K/tok512.model \
    weights/stories260K/tok512.bin \
    tokenizers/gpt2-openai/encoder.json
must stories 20000 >text.txt

# ---- stories260K of llama2.c, against the reference in tests/ref
DIR=$DATA/weights/stories260K
golden() { # NUMBER: prompt and text of the golden file, without JSON's escapes
    sed -n 's/.*{"prompt": "\(.*\)",$/\1/p' "$SRC/tests/golden/stories260k.json" |
        sed -n "$1p" >prompt.txt
    sed -n 's/ *"text": "\(.*\)"[],}]*$/\1/p' "$SRC/tests/golden/stories260k.json" | sed -n "$1p" |
        sed 's/\\"/"/g' >text.esc
    printf '%b' "$(cat text.esc)" >expected.txt
}
for i in 1 2; do
    golden $i
    check "golden text $i was read" [ "$(wc -c <expected.txt)" -gt 100 ]
    must "$DUET" generate "$DIR/stories260K.bin" --tokenizer "$DIR/tok512.bin" \
        --prompt "$(cat prompt.txt)" --tokens 200 \
        --temperature 0 --context 512 --quiet >llama.txt
    check "greedy text $i of stories260K" same llama.txt expected.txt
done

# ---- SentencePiece's model and llama2.c's tokenizer.bin
must cp "$DIR"/tok512.* .
"$DUET" tokenizer convert tok512.model --out again.bin 2>err
check "tokenizer.model to tokenizer.bin" same tok512.bin again.bin
check "what the form says otherwise is told" grep -q 'keeps all blanks' err
must "$DUET" tokenizer convert tok512.bin --out again.model
must "$DUET" tokenizer convert again.model --out once-more.bin --quiet
check "and back" same tok512.bin once-more.bin
must "$DUET" tokenizer encode --tokenizer tok512.bin text.txt >bin.ids
must "$DUET" tokenizer encode --tokenizer again.model text.txt >model.ids
check "the same ids" same bin.ids model.ids

# ---- the pair of files that GPT-2 came with
must "$DUET" tokenizer convert "$DATA/tokenizers/gpt2-openai" --out folder.json
must "$DUET" tokenizer convert "$DATA/tokenizers/gpt2-openai" --out named.json --pre gpt-2
check "a folder with vocab.json and merges.txt" same folder.json named.json
must "$DUET" tokenizer encode --tokenizer "$DATA/tokenizers/gpt2-openai" text.txt >folder.ids
must "$DUET" tokenizer encode --tokenizer folder.json text.txt >json.ids
check "the folder gives the same ids" same folder.ids json.ids
finish
