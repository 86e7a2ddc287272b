#!/bin/sh
# Wrong input of every kind: one clear sentence, exit status 1 (2 for the command line), and nothing
# half-written is left behind.
. "$(dirname "$0")/lib.sh"
TMPDIR=$WORK/tmp
export TMPDIR
mkdir tmp
must stories 20000 7 >text.txt
must train good --steps 6 --warmup 2
MODEL=good/model.blzt
must "$DUET" tokenizer train --vocab 600 --out bpe.json --quiet text.txt >bpe.out 2>&1
must "$DUET" tokenize --tokenizer byte text.txt --out byte.shard --quiet >shard.out 2>&1

# no_train NAME STATUS PATTERN OPTION...: refused, and there is no folder
no_train() {
    n_name=$1 n_status=$2 n_pattern=$3
    shift 3
    refuses "$n_name" "$n_status" "$n_pattern" "$DUET" train $TINY $(data_for "$@") --steps 3 \
        --out no "$@"
    absent no || { not_ok "$n_name: leaves no folder"; rm -rf no; }
}

# ---- command line
refuses "no command" 2 'no command' "$DUET"
refuses "unknown command" 2 'unknown command trian; did you mean duet train' "$DUET" trian
refuses "unknown option" 2 'unknown option --step; did you mean --steps' "$DUET" train --step 3
refuses "unknown option far from any" 2 'unknown option --xyzzyplugh' "$DUET" eval --xyzzyplugh
refuses "missing value" 2 'needs a value' "$DUET" train --steps
refuses "an option in the place of a value" 2 'needs a value' "$DUET" train --data --steps 3
refuses "not a number" 2 'is "ten"' "$DUET" train --steps ten
refuses "out of range" 2 'is 0, expected' "$DUET" train --batch 0
refuses "NaN" 2 'expected a finite number' "$DUET" train --lr nan
refuses "infinite" 2 'expected a finite number' "$DUET" train --lr 1e999
refuses "too large" 2 'expected' "$DUET" train --lr 1e30
refuses "not a choice" 2 'expected one of: auto adamw lion sgd momentum' "$DUET" train \
    --optimizer sgdx
refuses "plain argument" 2 'no plain arguments, found text.txt' "$DUET" train text.txt
refuses "switch with a value" 2 'takes no value' "$DUET" train --recompute=1
refuses "no end given" 2 'say how long to train: --time SECONDS, --steps N' "$DUET" train
refuses "no data" 2 '--data' "$DUET" train --steps 1
refuses "no model" 2 '--model' "$DUET" train --steps 1 --data text.txt
refuses "checkpoint-every" 2 'expected a number of updates' "$DUET" train --steps 1 \
    --checkpoint-every often
no_train "negative learning rate" 2 '--lr is -0.5' --lr -0.5
no_train "negative beta" 2 '--beta2 is -0.1' --beta2 -0.1
no_train "ramp that goes down" 2 '--accum-end 2 is less' --accum 4 --accum-end 2
refuses "config file missing" 1 'nope.json: No such file' "$DUET" train --config nope.json
echo '{"stesp": 3}' >c.json
refuses "config with an unknown key" 2 'c.json: unknown key "stesp"; did you mean "steps"' "$DUET" \
    train --config c.json
echo '{"steps": "3"}' >c.json
refuses "config with a wrong type" 2 'c.json: "steps" is "3"' "$DUET" train --config c.json
echo '{"steps": 3,}' >c.json
refuses "config that is no JSON" 2 'c.json, line 1' "$DUET" train --config c.json
refuses "environment" 2 'DUET_CPU is "mmx"' env DUET_CPU=mmx "$DUET" info $MODEL
refuses "eval without a model" 2 'one model file, found 0' "$DUET" eval --data text.txt
refuses "eval of two" 2 'one model file, found 2' "$DUET" eval $MODEL $MODEL --data text.txt
refuses "eval without data" 2 '--data' "$DUET" eval $MODEL
refuses "generate without a model" 2 'a model and a prompt, found neither' "$DUET" generate
refuses "generate: temperature" 2 'temperature is -1' "$DUET" generate $MODEL --temperature -1
refuses "bench of nothing" 2 'step, gemm' "$DUET" bench everything

# ---- data
: >empty.txt
printf 'hi\n' >short.txt
no_train "missing data" 1 'cannot read nope.txt: No such file' --data nope.txt
no_train "the folder of a run as data" 1 'good/clock is the clock of a run' --data good
no_train "empty data" 1 'empty.txt holds no text' --data empty.txt
no_train "too little data" 1 'short.txt.*a window of 32 needs at least 33' --data short.txt
no_train "too little for validation" 1 'validation split' --val-fraction 0.001 --seq 4000
no_train "a model as data" 1 '.' --data $MODEL --val-fraction 0.5 --tokenizer byte --format raw16 \
    --set vocab_size=300
refuses "eval: missing data" 1 'nope.txt: No such file' "$DUET" eval $MODEL --data nope.txt
refuses "eval: the folder of a run" 1 "good/clock is the clock of a run" "$DUET" eval \
    $MODEL --data good
refuses "eval: empty" 1 'empty.txt holds no text' "$DUET" eval $MODEL --data empty.txt
refuses "eval: too little" 1 \
    'short.txt has [34] tokens, a window of 32 needs at least 33 (--seq [23] is possible)' \
    "$DUET" eval $MODEL --data short.txt --seq 32
head -c 1001 byte.shard >odd.bin
refuses "raw16 of odd size" 1 'odd.bin' "$DUET" eval $MODEL --data odd.bin --format raw16
if [ "$(id -u)" -eq 0 ]; then
    skip "unreadable data" "root reads everything"
else
    cp text.txt locked.txt && chmod 000 locked.txt
    no_train "unreadable data" 1 'locked.txt: Permission denied' --data locked.txt
fi

# ---- tokenizers and shards
no_train "missing tokenizer" 1 'nope.json: No such file' --tokenizer nope.json
no_train "a text as tokenizer" 1 'text.txt: not a tokenizer' --tokenizer text.txt
head -c 2000 bpe.json >half.json
no_train "half a tokenizer" 1 'half.json' --tokenizer half.json
no_train "tokenizer larger than the vocabulary" 1 '600 tokens, .*only 512: they do not' \
    --tokenizer bpe.json --set vocab_size=512
no_train "shard of another tokenizer" 1 'made by another tokenizer' --data byte.shard \
    --tokenizer bpe.json \
    --set vocab_size=600
refuses "eval: shard of another tokenizer" 1 'made by another tokenizer' "$DUET" eval $MODEL \
    --data byte.shard \
    --tokenizer bpe.json
refuses "eval: tokens that the model has not" 1 'do not belong together' "$DUET" eval $MODEL \
    --data text.txt --tokenizer bpe.json
refuses "generate: another tokenizer" 1 'do not belong together' "$DUET" generate $MODEL \
    --tokenizer bpe.json --prompt a
size=$(wc -c <byte.shard)
for n in 8 20 60 100 1000 $((size / 2)) $((size - 1)); do
    head -c "$n" byte.shard >cut.shard
    refuses "shard cut to $n bytes" 1 'shard cut.shard is cut off: ' "$DUET" eval $MODEL \
        --data cut.shard
done
no_train "a cut shard" 1 'shard cut.shard is cut off: ' --data cut.shard
no_train "a cut shard to validate on" 1 'shard cut.shard is cut off: ' --data text.txt \
    --val-data cut.shard

# ---- model descriptions
no_train "missing model" 1 'nope.json: there is no such file here, and no nope.json in' --model nope.json
echo '{"hidden_size": 8' >broken.json
no_train "model that is no JSON" 1 'broken.json: line [12]' --model broken.json
echo '{"hidden_size": 8}' >little.json
no_train "model that lacks a key" 1 'key .* is missing' --model little.json
no_train "unknown key" 2 'no such model key; did you mean hidden_size' --set hiden_size=3
no_train "key without a value" 2 'expected key=value' --set hidden_size
no_train "heads that do not divide" 1 'not divisible by num_key_value_heads 3' \
    --set num_key_value_heads=3
no_train "width that heads do not divide" 1 'not divisible\|head_dim' --set head_dim=0 \
    --set hidden_size=33
no_train "odd heads" 1 'head_dim 7 is odd' --set head_dim=7
for pair in num_hidden_layers=0 hidden_size=0 hidden_size=-8 vocab_size=0 num_attention_heads=0 \
    hidden_size=1e3 \
    hidden_size=99999999999999999999 intermediate_size=x rms_norm_eps=-1 rope_theta=0 \
    tie_word_embeddings=1 \
    duet.init=xavier model_type=bert rms_norm_eps=nan; do
    no_train "--set $pair" 1 "json: .*${pair%%=*}" --set "$pair"
done

# ---- memory
no_train "a batch beyond the memory" 4 \
    'needs [0-9.]* MB (weights [0-9.]*, gradients [0-9.]*, optimizer [0-9.]*, activations' \
    --batch 65536 --set hidden_size=4096 --set intermediate_size=16384
no_train "a model beyond the memory" 4 'MB' --set hidden_size=1048576 --set num_hidden_layers=300 \
    --set intermediate_size=4194304 --set head_dim=65536
no_train "a batch beyond reason" 1 '65536 x 1048576\|needs at least' --batch 65536 --seq 1048576
refuses "plan of a batch beyond reason" 1 '65536 x 1048576' "$DUET" plan $SHAPE --batch 65536 \
    --seq 1048576

# ---- folders
refuses "a folder that holds a run" 2 'already holds a run .*--overwrite' "$DUET" train $TINY \
    --data text.txt --steps 3 --out good
mkdir other && cp $MODEL other/
refuses "a folder with a model of unknown origin" 2 'already holds a run (model.blzt)' \
    "$DUET" train $TINY --data text.txt --steps 3 --out other
check "that model is still there" same other/model.blzt $MODEL
cp -r good keep
refuses "overwriting what is to be read" 2 'keep/model.blzt is to be read' \
    "$DUET" train --init keep/model.blzt --data text.txt --steps 3 --out keep --overwrite
refuses "overwriting, but the tokenizer is wrong" 1 'nope.json' \
    "$DUET" train $TINY --data text.txt --steps 3 --out keep --overwrite --tokenizer nope.json
check "the old run is still there" same keep/state good/state
refuses "a file as folder" 1 'text.txt is a file' "$DUET" train $TINY --data text.txt --steps 3 \
    --out text.txt
refuses "a folder below a file" 1 'text.txt' "$DUET" train $TINY --data text.txt --steps 3 \
    --out text.txt/a
refuses "a folder where none can be" 1 '/proc/duet' "$DUET" train $TINY --data text.txt --steps 3 \
    --out /proc/duet

# ---- damaged models
must "$DUET" eval $MODEL --data text.txt --windows 4 --json --quiet >eval.good
size=$(wc -c <$MODEL)
for n in 0 1 4 16 100 2000 $((size / 2)) $((size - 64)) $((size - 1)); do
    head -c "$n" $MODEL >cut.blzt
    refuses "model cut to $n bytes: eval" 1 'cut.blzt' "$DUET" eval cut.blzt --data text.txt \
        --windows 4 --quiet
done
refuses "model cut: generate" 1 'cut.blzt' "$DUET" generate cut.blzt --prompt a
refuses "model cut: info" 1 'cut.blzt' "$DUET" info cut.blzt
no_train "model cut: --init" 1 'cut.blzt' --init cut.blzt
refuses "missing model" 1 'nope: No such file' "$DUET" eval nope --data text.txt
refuses "a text as model" 1 'text.txt: not a model file' "$DUET" generate text.txt
printf 'DUETZO\r\n\1\0\0\0' >zo
printf '\375\067zXZ\0' >xz
gzip -c text.txt >text.gz
not_model() { # NAME WHAT
    for verb in 'adapter info' generate; do # info says what they are: cli_info
        refuses "$verb: $1" 1 "$1: not a model file: it is $2" "$DUET" $verb $1
    done
}
not_model zo 'the trajectory of a run: it belongs to duet replay'
not_model good/state 'the state of a run: go on with it: train --resume FOLDER'
not_model good/log.jsonl 'the log of a run.*: give the folder that it lies in'
not_model good/summary.json 'the summary of a run'
not_model text.gz 'compressed by gzip: unpack it: gzip -d'
not_model xz 'compressed by xz$'
not_model text.txt 'text$'
refuses "a shard as model" 1 'not a model file: it is a token shard' "$DUET" generate \
    good/tokens.shard
mkdir -p no-model
refuses "a folder without a model" 1 'no-model' "$DUET" generate no-model
: >flips.txt
i=0
while [ $i -lt 40 ]; do # the first bytes and all over the file: found, or of no effect
    at=$((i < 20 ? i * 7 : size * (i - 20) / 20 + 13))
    cp $MODEL flip.blzt
    byte=$(od -An -tu1 -j$at -N1 $MODEL | tr -d ' ')
    printf "\\$(printf %o $((byte ^ 4)))" | dd of=flip.blzt bs=1 seek=$at conv=notrunc 2>/dev/null
    "$DUET" eval flip.blzt --data text.txt --windows 4 --json --quiet >flip.out 2>flip.err
    rc=$?
    if [ $rc -eq 0 ]; then same flip.out eval.good >>flips.txt 2>&1 ||
        echo "byte $at: another result" >>flips.txt
    elif [ $rc -ne 1 ] || [ "$(grep -c '^duet: error: flip.blzt' flip.err)" -ne 1 ]; then
        echo "byte $at: exit status $rc" >>flips.txt
        cat flip.err >>flips.txt
    fi
    i=$((i + 1))
done
check "a flipped bit never changes a result unnoticed" [ ! -s flips.txt ] || cat flips.txt
refuses "--set that changes the shape" 1 'expected 300 x 32' "$DUET" eval $MODEL --data text.txt \
    --set vocab_size=300

# ---- divergence
cp -r good spike
refuses "a loss spike" 6 \
    'the smoothed loss rose from .* --spike 3; training stopped, the last good checkpoint is step 6 in spike' \
    "$DUET" train --resume spike --steps 200 --lr 100 --quiet
check "a loss spike: the last good checkpoint is what it was" same spike/model.blzt $MODEL
check "a loss spike: and it loads" "$DUET" eval spike/model.blzt --data text.txt --windows 2
refuses "NaN" 6 'step [0-9]*: the \(loss\|gradient\) is not a number; training stopped, the last good checkpoint' \
    "$DUET" train $TINY --data text.txt --out nan --steps 500 --lr 100 --spike 0 --warmup 0 \
    --schedule constant \
    --weight-decay 10 --checkpoint-every 2
check "NaN: never in a checkpoint" "$DUET" info nan/model.blzt --verify
check "NaN: nor in the log" sh -c '! grep -qi nan nan/log.jsonl'
check "NaN: no summary" absent nan/summary.json

# ---- full disks
limited() { # BLOCKS COMMAND...: no file may grow beyond so many half kilobytes
    (
        ulimit -f "$1"
        shift
        exec "$@"
    )
}
refuses "disk full: tokens" 1 'tokens.shard: the shard needs [0-9.]* MB, and the limit' limited 20 \
    "$DUET" train $TINY --data text.txt --steps 3 --out no
check "disk full: tokens: nothing is left" absent no
refuses "disk full: eval's tokens" 1 'the shard needs [0-9.]* MB, and the limit' limited 20 \
    "$DUET" eval $MODEL --data text.txt
cp -r good full
refuses "disk full: the state" 1 \
    'full: this run needs [0-9.]* MB, and the limit of a file.s size is 0.1 MB' limited 250 \
    "$DUET" train --resume full --steps 9 --quiet
check "disk full: the model is the old one" same full/model.blzt $MODEL
check "disk full: the state is the old one" same full/state good/state
check "disk full: it goes on afterwards" "$DUET" train --resume full --steps 9 --quiet
refuses "disk full: the model" 1 \
    'this run needs [0-9.]* MB, and the limit of a file.s size is 0.1 MB' limited 150 \
    "$DUET" train $TINY --data text.txt --steps 3 --out nomodel
check "disk full: no half model, no state" absent nomodel/model.blzt nomodel/state \
    nomodel/*.duet-tmp
refuses "disk full: shard" 1 'File too large' limited $(($(wc -c <text.txt) * 19 / 10 / 512)) \
    "$DUET" tokenize --tokenizer byte text.txt --out no.shard
check "disk full: no shard" absent no.shard no.shard.duet-tmp
to() { # FILE COMMAND...
    to_file=$1
    shift
    "$@" >"$to_file"
}
for command in "eval $MODEL --data text.txt --windows 2" "info $MODEL" "plan $SHAPE" \
    "generate $MODEL --prompt a --tokens 4" \
    "stories --bytes 100000" \
    "train --help" "train --resume good --json" "bench step $SHAPE --runs 1 --warmup 0"; do
    refuses "/dev/full: ${command%% -*}" 1 'standard output\|No space left' to /dev/full "$DUET" \
        $command
done
closed() { "$@" >&-; }
refuses "stdout closed" 1 'standard output' closed "$DUET" info $MODEL
"$DUET" stories --bytes 1000000 --quiet 2>pipe.err | head -c 100 >pipe.out
check "a reader that leaves early is no error" [ ! -s pipe.err ]
check "no temporary file is left behind" [ -z "$(find . -name "*.duet-tmp"; ls tmp)" ]
finish
