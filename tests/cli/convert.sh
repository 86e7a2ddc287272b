#!/bin/sh
# Model files from one format to another: the same weights, the same loss; what cannot be held is refused.
. "$(dirname "$0")/lib.sh"
"$DUET" stories --bytes 40000 --seed 1 >text.txt 2>/dev/null
train() { # NAME OPTION...
    name=$1
    shift
    "$DUET" train --model "$SRC/models/stories260k.json" --set num_hidden_layers=2 --data text.txt --tokenizer byte \
        --seq 32 --batch 4 --steps 5 --out "$name" --quiet "$@" >"$name.out" 2>"$name.err"
}
loss() { "$DUET" eval "$1" --data text.txt --tokenizer byte --seq 32 --quiet | grep '^val_loss:'; }
train plain
check "a model is trained" [ -s plain/model.blzt ]
check "convert to llama2.c by name" "$DUET" convert plain/model.blzt a.bin
check "convert to BLZT v4 by name" "$DUET" convert plain/model.blzt a.blzt4
check "convert to llama2.c by --to" "$DUET" convert plain/model.blzt a2 --to llama2c
check "name and --to write the same file" same a.bin a2
check "llama2.c back to BLZT v5" "$DUET" convert a.bin back.blzt
check "BLZT v4 to v5 and back: the same file" sh -c "'$DUET' convert a.blzt4 c.blzt && '$DUET' convert c.blzt c.blzt4 && cmp c.blzt4 a.blzt4"
check "and again to llama2.c" sh -c "'$DUET' convert back.blzt d.bin && cmp d.bin a.bin"
loss plain/model.blzt >want
for f in a.bin a.blzt4 back.blzt; do
    loss $f >got
    check "the loss of $f is the model's" same want got
done

refused() { # NAME STATUS PATTERN COMMAND...
    label=$1 status=$2 pattern=$3
    shift 3
    "$@" >r.out 2>r.err
    got=$?
    if [ $got -eq "$status" ] && [ "$(wc -l <r.err)" -eq 1 ] && grep -q "$pattern" r.err; then ok "$label"; else not_ok "$label: status $got" r.err; fi
}
refused "an unknown ending" 2 'say it with --to' "$DUET" convert plain/model.blzt out.xyz
refused "one argument" 2 'found 1' "$DUET" convert plain/model.blzt
refused "onto itself" 1 'file being read' "$DUET" convert plain/model.blzt plain/model.blzt
refused "a file that is no model" 1 'not a model file' "$DUET" convert text.txt out.bin
train capped --set duet.logit_softcap=30
refused "a softcap in llama2.c" 1 'softcap' "$DUET" convert capped/model.blzt out.bin
train untied --set tie_word_embeddings=false
refused "an untied classifier in BLZT v4" 1 'lm_head\|tie' "$DUET" convert untied/model.blzt out.blzt4
check "but llama2.c holds it" "$DUET" convert untied/model.blzt untied.bin
loss untied/model.blzt >want
loss untied.bin >got
check "with the same loss" same want got
check "nothing was written by what was refused" absent out.xyz out.bin out.blzt4
finish
