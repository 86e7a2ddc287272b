#!/bin/sh
# A weight that is NaN or infinite is an error wherever weights are written or described: it names
# file, tensor and index, and nothing is written.
. "$(dirname "$0")/lib.sh"
must stories 20000 3 >text.txt
must train run --steps 2 --val-windows 4
must "$DUET" train --init run/model.blzt --data text.txt --out lora --lora 2 --steps 2 \
    --val-windows 4 --seq 32 --batch 4 \
    --threads 1 --quiet >lora.out 2>lora.err
must "$DUET" convert run/model.blzt ok.gguf --dtype f32 >conv.out 2>conv.err
must "$DUET" convert run/model.blzt half.gguf --dtype f16 >conv.out 2>conv.err
must "$DUET" convert lora/adapter.blzt peft/ --base run/model.blzt >conv.out 2>conv.err
must "$DUET" convert lora/adapter.blzt lora.gguf --base run/model.blzt >conv.out 2>conv.err
poke() { # FROM TO BYTES BACK: bytes at so many from the end
    cp "$1" "$2" && printf "$3" | dd of="$2" bs=1 seek=$(($(wc -c <"$1") - $4)) conv=notrunc \
        2>dd.err
}
NAN='\000\000\300\177' INF='\000\000\200\377'
refused() { # NAME PATTERN COMMAND...: and nothing is written
    refused_with 1 "$@"
}
refused_with() { # STATUS NAME PATTERN COMMAND...
    mkdir out
    f_status=$1 f_name=$2 f_pattern=$3
    shift 3
    refuses "$f_name" "$f_status" "$f_pattern" "$@"
    check "$f_name: nothing is written" equal "$(ls -A out)" ''
    rm -rf out
}

# ---- models: the last number of a GGUF, of the final norm
must poke ok.gguf nan.gguf $NAN 4
must poke ok.gguf inf.gguf $INF 4
for what in nan inf; do
    said=NaN
    [ $what = inf ] && said=-infinity
    for to in x.gguf x.blzt x.blzt4 x.bin x/; do
        refused "$what: convert to $to" \
            "$what.gguf: tensor model.norm.weight holds $said at \[31\]" \
            "$DUET" convert $what.gguf out/$to
    done
    for t in f16 bf16 q8_0 q4_0; do
        refused "$what: --dtype $t" "$what.gguf: tensor model.norm.weight holds $said at \[31\]" \
            "$DUET" convert $what.gguf out/x.blzt --dtype $t
    done
done
refuses "audit names the tensor" 1 \
    'loss is not a finite number: tensor model.norm.weight holds NaN at \[31\]' \
    "$DUET" audit nan.gguf --data text.txt --batch 1 --seq 32 --threads 1

# What is known to be in vain is not begun: here scoring would fail.
exact() { "$DUET" eval nan.gguf --data text.txt --exact --seq 32 --threads 1 --quiet "$@"; }
refuses "eval --exact" 1 'tensor model.norm.weight holds NaN' exact
for out in nowhere/x run; do
    refuses "eval --exact --out $out" 1 "cannot write $out" exact --out $out
done
refuses "eval --exact --paired with nothing" 1 'cannot open nowhere.tsv' exact --paired nowhere.tsv
must "$DUET" eval ok.gguf --data text.txt --exact --seq 32 --threads 1 --quiet --out ok.tsv \
    >ok.out 2>ok.err
must stories 2000 9 >short.txt
refuses "eval --exact --paired with other documents" 1 'ok.tsv: document 1 is another text' \
    "$DUET" eval nan.gguf --data short.txt --exact --seq 32 --threads 1 --paired ok.tsv
check "no file is left of looking" absent nowhere run.duet-tmp
refuses "replay to where nothing can be" 1 'cannot write nowhere/x' "$DUET" replay nan.gguf \
    none.zo \
    -o nowhere/x
printf 'PK\003\004 and so on' >text.zip
refuses "tokenizer train to where nothing can be" 1 'cannot write nowhere/x' \
    "$DUET" tokenizer train text.zip --vocab 300 -o nowhere/x

# A run that fails before its first update leaves nothing: in its validation or, without one, in the
# update.
T="--data text.txt --seq 32 --batch 4 --threads 1 --quiet --steps 2"
refused "train: the validation of step 0" \
    'loss of window 1 is not a finite number: tensor model.norm' "$DUET" train --init nan.gguf $T \
    --out out/run
refused_with 6 "train: the first update" 'step 0: the loss is not a number; training stopped' \
    "$DUET" train --init nan.gguf $T --val-fraction 0 --out out/run
refused "train --engine mezo" 'is not a finite number' "$DUET" train --init nan.gguf $T \
    --engine mezo --out out/run
refused "train --lora" 'loss of window 1 is not a finite number: tensor model.norm' "$DUET" train \
    --init nan.gguf $T --lora 2 --out out/run
refused "train in an empty folder" 'loss of window 1 is not a finite number: tensor model.norm' \
    "$DUET" train --init nan.gguf $T --out out
check "train: no --overwrite is needed" "$DUET" train --init ok.gguf $T --out again

# ---- matrices: the last of the file, before the 32 numbers of the norm; in the types that hold it
DOWN="tensor model.layers.1.mlp.down_proj.weight holds"
must poke half.gguf nanhalf.gguf '\000\176' $((128 + 2))
must poke half.gguf infhalf.gguf '\000\174' $((128 + 2))
refused "f16 copied" "nanhalf.gguf: $DOWN NaN at \[31,47\]" "$DUET" convert nanhalf.gguf out/x.blzt
refused "f16 widened" "infhalf.gguf: $DOWN infinity at \[31,47\]" "$DUET" convert infhalf.gguf \
    out/x.blzt --dtype f32
refused "f16 to q4_0" "infhalf.gguf: $DOWN infinity at \[31,47\]" "$DUET" convert infhalf.gguf \
    out/x.gguf --dtype q4_0

# Rows of a rotary matrix, stored as pairs, are named as Hugging Face counts them: 1 of a head of 8
# is its 4th.
must "$DUET" convert run/model.blzt ok.bin >conv.out 2>conv.err
must poke ok.bin nan.bin $NAN $(($(wc -c <ok.bin) - 28 - 4 * (257 * 32 + 2 * 32 + 32 + 7)))
for to in x.blzt x.bin x/; do
    refused "a rotary row, to $to" \
        "nan.bin: tensor model.layers.0.self_attn.q_proj.weight holds NaN at \[4,7\]" \
        "$DUET" convert nan.bin out/$to --tokenizer byte
done

# A number of f32 that f16 has not.
must poke ok.bin big.bin '\000\000\200\107' $(($(wc -c <ok.bin) - 28 - 4 * (3 * 32 + 5)))
refused "beyond f16" "big.bin: tensor model.embed_tokens.weight has weights that f16 cannot hold: 65536 at \[3,5\]" \
    "$DUET" convert big.bin out/x.blzt --dtype f16
check "which bf16 holds" "$DUET" convert big.bin big.blzt --dtype bf16

# Packing for use, too, is not what is said to be at fault.
must poke ok.bin huge.bin '\346\261\141\177' $(($(wc -c <ok.bin) - 28 - 4 * (3 * 32 + 5)))
for command in "generate huge.bin --prompt a --tokens 1" "eval huge.bin --data text.txt"; do
    refuses "${command%% *} --weights q8_0 of what it cannot hold" 1 \
        'huge.bin: tensor model.embed_tokens.weight has weights that q8_0 cannot hold: 3e+38 at \[3,5\] would be' \
        "$DUET" $command --tokenizer byte --weights q8_0 --quiet
done
refuses "--weights q8_0 of NaN" 1 'nan.bin: tensor model.layers.0.self_attn.q_proj.weight holds NaN at \[4,7\]' \
    "$DUET" generate nan.bin --prompt a --tokens 1 --tokenizer byte --weights q8_0 --quiet

# ---- training
for engine in backprop mezo; do
    refuses "train --engine $engine from NaN" 1 'tensor model.layers.0.self_attn.q_proj.weight holds NaN at \[4,7\]' \
        "$DUET" train --engine $engine --init nan.bin --data text.txt --tokenizer byte --seq 16 --batch 2 --steps 2 --out nanrun
    check "nothing else is said" sh -c '! grep -q "changes no loss" refuse.err'
    check "and no run is left" [ ! -e nanrun ]
done

# ---- adapters
B=tensor\ model.layers.1.self_attn.v_proj.lora_B.weight\ holds
cp -r peft nanpeft
must poke peft/adapter_model.safetensors nanpeft/adapter_model.safetensors $NAN 4
must poke lora.gguf nanlora.gguf $INF 4
B="nanpeft.*: $B NaN at \[15,1\]" \
    G='nanlora.gguf: tensor model.layers.1.[a-z_.]*.lora_B.weight holds -infinity at \[[0-9]*,1\]'
for a in nanpeft nanlora.gguf; do
    said=$B
    [ $a = nanlora.gguf ] && said=$G
    refused "adapter info $a" "$said" "$DUET" adapter info $a
    refused "adapter merge $a" "$said" "$DUET" adapter merge run/model.blzt $a --out out/x.blzt
    for to in x.blzt x.gguf x/; do
        refused "convert $a to $to" "$said" "$DUET" convert $a out/$to --base run/model.blzt
    done
    refuses "eval --adapter $a" 1 "$said" "$DUET" eval run/model.blzt --adapter $a --data text.txt \
        --quiet
done
refused "merge into a base of NaN" 'nan.gguf: tensor model.norm.weight holds NaN at \[31\]' \
    "$DUET" adapter merge nan.gguf peft --out out/x.gguf
finish
