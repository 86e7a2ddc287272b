#!/bin/sh
# A run that goes on trusts what its own folder holds: files outside may change, move or go.
. "$(dirname "$0")/lib.sh"
mkdir proj && cd proj
must stories 30000 5 >text.txt
must stories 30000 6 >other.txt
for i in 1 2; do
    must "$DUET" tokenizer train text.txt --vocab 300 -o tok$i.json --quiet >tok.out 2>&1
done
must "$DUET" tokenizer train other.txt --vocab 300 -o tok_other.json --quiet >tok.out 2>&1
describe() { sed "s/\"rope_theta\": [0-9.]*/\"rope_theta\": $1/; s/\"num_hidden_layers\": [0-9]*/\"num_hidden_layers\": 2/" \
    "$SRC/models/stories260k.json" >model.json; }
describe 10000
LONG="--seq 32 --batch 2 --threads 1 --quiet --schedule constant --warmup 2 --checkpoint-every 3"
T="--model model.json --tokenizer tok1.json $LONG"
go() { # OUT OPTION...
    g_out=$1
    shift
    "$DUET" train $T --data text.txt --out "$g_out" "$@" >"$g_out.out" 2>"$g_out.err" ||
        { cat "$g_out.err"; return 1; }
}
on() { # RUN OPTION...
    o_run=$1
    shift
    "$DUET" train --resume "$o_run" --threads 1 --quiet "$@" >on.out 2>on.err ||
        { cat on.err; return 1; }
}
must go six --steps 6
must go three --steps 3

# ---- a finished run: what is given must be its own, too
cp -r three over
cksum over/* >over.sums
sed 's/"rope_theta": [0-9.]*/"rope_theta": 500/' model.json >model500.json
check "finished: its own description, tokenizer and text" on over --model model.json \
    --tokenizer tok2.json --data text.txt
check "finished: says so" says on.err 'over is finished: 3 updates'
refuses "finished: another description" 1 'model500.json: rope_theta is 500, not 10000' \
    "$DUET" train --resume over --model model500.json --quiet
refuses "finished: no description" 1 'nothing.json' "$DUET" train --resume over \
    --model nothing.json --quiet
refuses "finished: another tokenizer" 1 'tok_other.json is another tokenizer' "$DUET" train \
    --resume over --tokenizer tok_other.json --quiet
refuses "finished: another text" 1 'other.txt is not what .* was begun with' "$DUET" train \
    --resume over --data other.txt --quiet
refuses "finished: another base" 2 '--init does not belong to --resume' "$DUET" train \
    --resume over --init six/model.blzt --quiet
must "$DUET" train --init three/model.blzt --data text.txt $LONG --lora 2 --steps 2 --out overlora \
    >s.out 2>s.err
check "finished, LoRA: its own base" on overlora --init three/model.blzt
refuses "finished, LoRA: another base" 1 'six/model.blzt is not what' "$DUET" train \
    --resume overlora --init six/model.blzt --quiet
must go overzo --engine mezo --steps 2
check "finished, MeZO: its own options" on overzo --seed 1
refuses "finished, MeZO: other options" 2 '--seed differs from what' "$DUET" train --resume overzo \
    --seed 2 --quiet
check "finished: nothing is written" sh -c 'cksum over/* | cmp - over.sums'
cp -r three moved && mv text.txt away.txt
check "finished: the text is not needed" on moved --tokenizer tok1.json
mv away.txt text.txt

# ---- description and tokenizer (edited, replaced, gone)
cp -r three a && describe 500
check "an edited description: goes on as it began" on a --steps 6
check "an edited description: weights of the run that was not stopped" same a/model.blzt \
    six/model.blzt
cp -r three a2
refuses "the edited description, given: the key is named" 1 \
    'model.json: rope_theta is 500, not 10000' \
    "$DUET" train --resume a2 --steps 6 --model model.json --quiet
check "that changes nothing" same a2/model.blzt three/model.blzt
describe 10000
check "the description as it was, given" on a2 --steps 6 --model model.json
check "the description as it was: weights" same a2/model.blzt six/model.blzt
cp -r three b && mv tok1.json tok1.kept && cp tok_other.json tok1.json
check "a replaced tokenizer: goes on as it began" on b --steps 6
check "a replaced tokenizer: weights" same b/model.blzt six/model.blzt
cp -r three b2
refuses "another tokenizer, given" 1 'tok_other.json is another tokenizer' \
    "$DUET" train --resume b2 --steps 6 --tokenizer tok_other.json --quiet
check "the same tokenizer elsewhere, given" on b2 --steps 6 --tokenizer tok1.kept
check "the same tokenizer elsewhere: weights" same b2/model.blzt six/model.blzt
mv tok1.kept tok1.json
cp -r three c && mkdir away && mv model.json tok1.json text.txt away
check "description, tokenizer and text gone: goes on" on c --steps 6
check "description, tokenizer and text gone: weights" same c/model.blzt six/model.blzt
mv away/* .

# ---- a project that moves
cp -r three d && cd .. && mv proj moved && cd moved
check "a renamed project: goes on" on d --steps 6
check "a renamed project: weights" same d/model.blzt six/model.blzt
check "no absolute path in config.json" sh -c '! grep -q "\"/" d/config.json'
cp -r three config && cd / && must "$DUET" train --config "$WORK/moved/config/config.json" \
    --steps 6 --threads 1 \
    --out "$WORK/moved/again" --quiet >"$WORK/again.out" 2>&1
cd "$WORK/moved"
check "config.json of a moved run repeats it from anywhere" same again/model.blzt six/model.blzt
check "and is written with the same paths" equal "$(json model again/config.json)" ../model.json
mkdir deep && mv again deep/again && cp -r three deep/three
mkdir -p "$WORK/alone" && cp -r six "$WORK/alone/six"
(cd "$WORK/alone" && must "$DUET" train --resume six --steps 7 --threads 1 --quiet) >alone.out 2>&1
check "a folder that moves alone goes on" [ "$(json num_steps "$WORK/alone/six/summary.json")" = 7 ]
check "what it began from is on record as it was" same "$WORK/alone/six/start.blzt" six/start.blzt

# ---- data: text is in the folder, shards and raw16 are not
check "another text, given, of the same tokens" on deep/three --steps 6 --data text.txt
cp -r three e
refuses "another text, given" 1 \
    'other.txt is not what .* was begun with: its hash is .*, that of .*; without --data the run goes on with that' "$DUET" train --resume e --data other.txt --steps 6 --quiet
check "another text: the tokens stay" same e/tokens.shard three/tokens.shard
cp -r three e2 && rm e2/tokens.shard
check "tokens lost: made again from the text" on e2 --steps 6
check "tokens lost: weights" same e2/model.blzt six/model.blzt
cp -r three e3 && rm e3/tokens.shard && mv text.txt text.kept && cp other.txt text.txt
refuses "tokens lost and the text has changed" 1 'text.txt is not what' "$DUET" train --resume e3 \
    --steps 6 --quiet
mv text.kept text.txt
check "tokens lost, the text is back" on e3 --steps 6
for f in text other; do
    must "$DUET" tokenize $f.txt --tokenizer tok1.json -o $f.shard --quiet >tok.out 2>&1
    tr -d '\n' <$f.txt | sed 's/./&\x00/g' >$f.raw
done
must "$DUET" train $T --data text.shard --steps 3 --out shard >s.out 2>s.err
must "$DUET" train $T --data text.raw --format raw16 --steps 3 --out raw >s.out 2>s.err
must "$DUET" train $T --data text.shard --val-data other.shard --steps 3 --out val >s.out 2>s.err
refuses "other validation data, given" 1 \
    'text.shard is not what .*, that of .*/other.shard; without --val-data the run' \
    "$DUET" train --resume val --val-data text.shard --steps 6 --quiet
for kind in shard raw; do
    mv text.$kind kept.$kind && cp other.$kind text.$kind
    refuses "$kind: a replaced file" 1 \
        "text.$kind is not what .* was begun with: its hash is .*--data FILE" "$DUET" train \
        --resume $kind --steps 6 --quiet
    rm text.$kind
    refuses "$kind: a file that is gone" 1 "text.$kind" "$DUET" train --resume $kind --steps 6 \
        --quiet
    check "$kind: the same file elsewhere" on $kind --steps 6 --data kept.$kind
    check "$kind: is found there again" on $kind --steps 7
done

# ---- --init
must "$DUET" train $LONG --init six/model.blzt --data other.txt --steps 3 --out full >s.out 2>s.err
refuses "whole weights: --init" 2 '--init does not belong to --resume' \
    "$DUET" train --resume full --init three/model.blzt --steps 6 --quiet
must "$DUET" train $LONG --init full/model.blzt --data text.txt --steps 6 --out tuned6 >s.out \
    2>s.err
must "$DUET" train $LONG --init full/model.blzt --data text.txt --steps 3 --out tuned >s.out 2>s.err
cp -r tuned tuned2
mv full/model.blzt base.blzt && cp three/model.blzt full/model.blzt
check "whole weights: a replaced base is not needed" on tuned --steps 6
check "whole weights: a replaced base: weights" same tuned/model.blzt tuned6/model.blzt
rm full/model.blzt
check "whole weights: a base that is gone is not needed" on tuned2 --steps 6
check "whole weights: a base that is gone: weights" same tuned2/model.blzt tuned6/model.blzt
must "$DUET" train $LONG --init base.blzt --lora 2 --data text.txt --steps 6 --out lora6 >s.out \
    2>s.err
must "$DUET" train $LONG --init base.blzt --lora 2 --data text.txt --steps 3 --out lora >s.out \
    2>s.err
mv base.blzt elsewhere.blzt && cp three/model.blzt base.blzt
refuses "LoRA: a replaced base" 1 \
    'base.blzt is not what .* was begun with: its hash is .*--init FILE' "$DUET" train \
    --resume lora --steps 6 --quiet
rm base.blzt
refuses "LoRA: a base that is gone" 1 'base.blzt' "$DUET" train --resume lora --steps 6 --quiet
refuses "LoRA: another base, given" 1 \
    'three/model.blzt is not what .*, that of .*base.blzt; without --init the run' "$DUET" train \
    --resume lora --init three/model.blzt --steps 6 --quiet
check "LoRA: the same base elsewhere" on lora --steps 6 --init elsewhere.blzt
check "LoRA: the same base elsewhere: adapter" same lora/adapter.blzt lora6/adapter.blzt
check "LoRA: is found there again" on lora --steps 7

# The folder alone moves: what lies outside is found where it was, each time, and stays on record.
mkdir -p "$WORK/alone"
cp -r lora raw "$WORK/alone/"
(cd "$WORK/alone" && for s in 8 9; do must "$DUET" train --resume lora --steps $s --threads 1 \
    --quiet; done) >alone.out 2>&1
check "LoRA: the folder moves alone, twice" equal \
    "$(json num_steps "$WORK/alone/lora/summary.json")" 9
(cd "$WORK/alone" && for s in 8 9; do must "$DUET" train --resume raw --steps $s --threads 1 \
    --quiet; done) >alone.out 2>&1
check "raw: the folder moves alone, twice" equal \
    "$(json num_steps "$WORK/alone/raw/summary.json")" 9
refuses "raw: other data is still noticed" 1 'other.raw is not what' "$DUET" train \
    --resume "$WORK/alone/raw" --data other.raw --steps 10 --quiet

# ---- task tables
printf 'label\ttext\n' >ok.tsv
for i in 1 2 3 4; do printf '0\tone day\n1\tthe end\n' >>ok.tsv; done
TASK="--init six/model.blzt --task task.tsv --task-eval ok.tsv --batch 2 --threads 1 --quiet --warmup 0"
cp ok.tsv task.tsv
must "$DUET" train $TASK --template '{text} a' --labels ' b,c' --steps 2 --out task >s.out 2>s.err
printf '0\tmore\n' >>task.tsv
refuses "a task table that has changed" 1 'task.tsv is not what .* was begun with: its hash is' \
    "$DUET" train --resume task --steps 4 --quiet
refuses "another task table, given" 1 \
    'task.tsv is not what .*, that of .*; without --task the run' "$DUET" train --resume task \
    --task task.tsv --steps 4 --quiet
cp ok.tsv task.tsv
printf '0\tmore\n' | cat ok.tsv - >other.tsv
refuses "another table to evaluate on, given" 1 \
    'other.tsv is not what .*, that of .*/ok.tsv; without --task-eval the run' "$DUET" train \
    --resume task --task-eval other.tsv --steps 4 --quiet
check "the task table is back" on task --steps 4

# ---- runs of an earlier version have no start.blzt
cp -r three old && rm old/start.blzt && sed -i "s|\"\.\./|\"$WORK/moved/|" old/config.json &&
    mv tok1.json model.json away
sed -i 's/^{/{ "estimator": "spsa", "directions": 1, "eps": -1.0,/' old/config.json
mkdir -p again7 && cp old/config.json again7/
check "options of MeZO that had no meaning: --config" "$DUET" train --config again7/config.json \
    --model away/model.json \
    --tokenizer away/tok1.json --steps 1 --threads 1 --quiet --out again8
check "without start.blzt: description and tokenizer of model.blzt" on old --steps 6
check "without start.blzt: weights" same old/model.blzt six/model.blzt
check "without start.blzt: it is made" [ -s old/start.blzt ]
cp -r six headless && rm headless/state
refuses "weights without a state are not begun anew" 1 'headless is finished and keeps no state to go on from' \
    "$DUET" train --resume headless --steps 9 --quiet
check "weights without a state stay" same headless/model.blzt six/model.blzt
finish
