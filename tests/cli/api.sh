#!/bin/sh
# The library (test_api, argument 3; test_nomem, argument 4) on a model of the command line; the
# header alone compiles.
api=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
nomem=$(cd "$(dirname "$4")" && pwd)/$(basename "$4")
. "$(dirname "$0")/lib.sh"
"$DUET" stories --bytes 30000 --seed 1 >text.txt 2>/dev/null
"$DUET" train --model "$SRC/models/stories260k.json" --set num_hidden_layers=2 --data text.txt \
    --tokenizer byte \
    --seq 64 --batch 4 --steps 20 --out run --quiet >out 2>err
check "a model is trained" [ -s run/model.blzt ]
"$DUET" train --lora 4 --init run/model.blzt --data text.txt --lr 1e-2 --batch 4 --steps 20 \
    --out lora --quiet >out 2>err
check "an adapter is trained" [ -s lora/adapter.blzt ]
check "test_api" "$api" run/model.blzt lora/adapter.blzt
"$DUET" tokenizer train --vocab 400 --out bpe.json text.txt >out 2>err
"$DUET" train --model "$SRC/models/stories260k.json" --set num_hidden_layers=2 --data text.txt \
    --tokenizer bpe.json \
    --seq 64 --batch 4 --steps 2 --out bpe --quiet >out 2>err
"$nomem" run/model.blzt lora/adapter.blzt bpe/model.blzt >nomem.out 2>nomem.err
grep -v '^1\.\.' nomem.out >nomem.lines
check "every call without memory" grep -q '^ok 8' nomem.lines
while read -r line; do
    case $line in
    *SKIP*) skip "${line#ok * - }" "" ;;
    "ok "*) ok "${line#ok * - }" ;;
    "not ok "*) not_ok "${line#not ok * - }" nomem.out nomem.err ;;
    esac
done <nomem.lines
finish
