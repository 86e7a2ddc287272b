#!/bin/sh
# duet tokenizer convert: forms by the name of the file, the same ids in each, and what is refused.
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >text.txt
tok() { "$DUET" tokenizer "$@" >out 2>err; }

check "the byte tokenizer as tokenizer.json" "$DUET" tokenizer convert byte --out byte.json
must "$DUET" tokenizer encode --tokenizer byte text.txt >byte.ids
must "$DUET" tokenizer encode --tokenizer byte.json text.txt >json.ids
check "it gives the same ids" same byte.ids json.ids

refused() { # NAME STATUS PATTERN ARGUMENTS...
    refused_name=$1 status=$2 pattern=$3
    shift 3
    tok "$@"
    got=$?
    if [ $got -eq "$status" ] && grep -q "$pattern" err; then ok "$refused_name"; else not_ok \
        "$refused_name ($got)" err; fi
}
refused "a form that cannot hold it" 1 'tokenizer.bin cannot hold' convert byte --out byte.bin
check "nothing is left of it" absent byte.bin
refused "byte as tokenizer.model" 1 'of the kind spm, this one is byte' convert byte \
    --out byte.model
refused "no form" 2 'does not say the form' convert byte --out byte.txt
refused "no file" 2 'out is missing' convert byte
refused "onto itself" 2 'would overwrite' convert byte.json --out byte.json
refused "--pre without a folder" 2 'pre is for a folder' convert byte.json --out x.json --pre gpt-2
mkdir empty
refused "a folder without files" 1 'neither vocab.json' convert empty --out x.json --pre gpt-2
refused "a folder without a tokenizer" 1 'empty: a folder without a tokenizer' convert empty \
    --out x.json
refused "an option of another verb" 2 'has no effect' convert byte --out x.json --vocab 300
finish
