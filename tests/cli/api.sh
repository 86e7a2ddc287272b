#!/bin/sh
# The library (test_api, argument 3) on a model of the command line; the header alone compiles.
api=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
. "$(dirname "$0")/lib.sh"
"$DUET" stories --bytes 30000 --seed 1 >text.txt 2>/dev/null
"$DUET" train --model "$SRC/models/stories260k.json" --set num_hidden_layers=2 --data text.txt --tokenizer byte \
    --seq 64 --batch 4 --steps 20 --out run --quiet >out 2>err
check "a model is trained" [ -s run/model.blzt ]
"$DUET" train --lora 4 --init run/model.blzt --data text.txt --lr 1e-2 --batch 4 --steps 20 --out lora --quiet >out 2>err
check "an adapter is trained" [ -s lora/adapter.blzt ]
check "test_api" "$api" run/model.blzt lora/adapter.blzt
finish
