#!/bin/sh
# A third part of the text, which neither training nor validation reads: --test-fraction, and
# `duet eval RUN --split test`, which scores it as validation scores its own.
. "$(dirname "$0")/lib.sh"
must stories 40000 5 >text.txt
must stories 9000 6 >other.txt
T="--steps 4 --warmup 1"

# Documents of a text, one a line, with the mark that ends each; head and tail of them are texts.
documents() { awk 'BEGIN { RS = "<\\|endoftext\\|>\n?" } !/<\|corpus\|>/ && length($0) > 1 {
    gsub(/\n/, "\001"); print }' "$1"; }
text() { awk '{ gsub(/\001/, "\n"); printf "%s<|endoftext|>\n", $0 }'; }
same_weights() { tensors $1/model.blzt >weights.a; tensors $2/model.blzt >weights.b
    [ -s weights.a ] && cmp weights.a weights.b; }
documents text.txt >docs
n=$(wc -l <docs)

must train run $T --test-fraction 0.2 --val-fraction 0.1
must train plain $T
must train off $T --test-fraction 0
check "the share is on record" says run/config.json '"test-fraction": 0.2'
check "0 is as without" same off/model.blzt plain/model.blzt
check "0: the same validation" equal "$(value val_loss off.out)" "$(value val_loss plain.out)"

# ---- its text: the last documents, as many bytes as the share says
evaluate() { "$DUET" eval "$@" --quiet --json; }
must evaluate run --split test >test.json
must evaluate run --split val >val.json
must evaluate run >default.json
check "a run's own text is that of validation" same val.json default.json
must evaluate run --split test --exact >exact.json
last=$(json documents exact.json)
check "the test has some of the $n documents" [ "$last" -gt 3 ]
tail -n "$last" docs | text >tail.txt
must "$DUET" eval run --data tail.txt --seq 32 --exact --quiet --json >tail.json
for key in nats bits_per_byte bits_per_byte_stderr documents bytes; do
    check "exact: the last documents: $key" equal "$(json $key exact.json)" "$(json $key tail.json)"
done
share() { awk -v a="$(json bytes "$1")" -v b="$(wc -c <text.txt)" 'BEGIN { print a / b }'; }
check "and a fifth of the bytes" close_to "$(share exact.json)" 0.2 0.03
check "windows: every byte of it but the first" close_to "$(json bytes test.json)" \
    "$(json bytes exact.json)" 70
check "the error over windows is told" awk -v e="$(json val_loss_stderr test.json)" 'BEGIN { exit !(e > 0 && e < 1) }'
# Validation lies before it, and is what summary.json is of.
must evaluate run --split val --exact >valexact.json
before=$(json documents valexact.json)
tail -n $((last + before)) docs | head -n "$before" | text >middle.txt
must "$DUET" eval run --data middle.txt --seq 32 --exact --quiet --json >middle.json
check "validation: the documents before it" equal "$(json nats valexact.json)" \
    "$(json nats middle.json)"
must evaluate run --windows 256 >same.json
check "validation is what training saw" equal "$(json val_loss same.json)" \
    "$(json val_loss run/summary.json)"
# The same parts, of the text itself.
must evaluate run --data text.txt --seq 32 --split test --test-fraction 0.2 >given.json
check "--data --split test: the same" same given.json test.json
must evaluate run --data text.txt --seq 32 --split val --test-fraction 0.2 >given.json
check "--data --split val: the same" same given.json val.json

# ---- nobody reads it: other documents there change nothing
head -n $((n - last)) docs | text >head.txt
{ cat head.txt; tail -n "$last" docs | tr 'a-z' 'b-za' | text; } >changed.txt
cmp -s text.txt changed.txt && not_ok "the changed text is the same"
{ cat head.txt; cat tail.txt; } >joined.txt
for more in "" "--compact-vocab" "--order epoch" "--engine mezo --lr 1e-5"; do
    rm -rf one two
    must train one $T --data joined.txt --test-fraction 0.2 $more
    must train two $T --data changed.txt --test-fraction 0.2 $more
    check "other words in the test ($more): the same weights" same_weights one two
    check "other words in the test ($more): the same validation" equal "$(value val_loss one.out)" \
        "$(value val_loss two.out)"
    must evaluate one --split test >one.json
    must evaluate two --split test >two.json
    check "other words in the test ($more): another test" differ one.json two.json
done
must train lora $T --set vocab_size=257 --init run/model.blzt --lora 2 --test-fraction 0.2
check "LoRA: its run has a test, too" evaluate lora --split test
must "$DUET" tokenize --tokenizer byte text.txt --out text.shard --quiet >shard.out 2>&1
must train shard $T --data text.shard --test-fraction 0.2
check "a shard: the same run" same_weights shard run
must evaluate shard --split test >shard.json
check "a shard: the same test" same shard.json test.json
must "$DUET" train --resume run --steps 6 --threads 1 --quiet >on.out
check "a run that goes on keeps it" says run/config.json '"test-fraction": 0.2'
check "plan takes it" "$DUET" plan $TINY --data text.txt --test-fraction 0.2 --epochs 1

# ---- what makes no sense
refuses "a run without a test" 1 'plain has no test split: it was trained without --test-fraction' \
    "$DUET" eval plain --split test
refuses "a run without a test, exact" 1 'plain has no test split' "$DUET" eval plain --split test \
    --exact
refuses "--split all of a run" 2 '\-\-split all is of --data' "$DUET" eval run --split all
refuses "the share is the run's" 2 'test-fraction has no effect without --data' "$DUET" eval run \
    --split test --test-fraction 0.1
refuses "--split test of data needs the share" 2 'needs --test-fraction' "$DUET" eval run \
    --data text.txt --split test
refuses "the share without a split" 2 'has no effect without --split' "$DUET" eval run \
    --data text.txt --test-fraction 0.1
refuses "parts that are all" 2 'leave nothing to train on' "$DUET" train $TINY --data text.txt \
    --steps 1 --val-fraction 0.5 --test-fraction 0.5 --out no
refuses "with --val-data" 2 'either --val-data or --test-fraction: .*duet eval RUN --data FILE' \
    "$DUET" train $TINY --data text.txt --val-data other.txt --test-fraction 0.1 --steps 1 --out no
printf 'sentence\tlabel\nthe dog\t0\nthe cat\t1\n' >a.tsv
refuses "with --task" 2 'test-fraction has no effect with --task' "$DUET" train $TINY --task a.tsv \
    --template '{sentence}:' --labels x,y --init run/model.blzt --test-fraction 0.1 --steps 1 --out no
refuses "it does not change" 2 '\-\-test-fraction is 0.3, but run was begun with 0.2' "$DUET" train \
    --resume run --test-fraction 0.3
refuses "too little for a window" 1 'the test split has .* --test-fraction sets the share' \
    "$DUET" train $TINY --data text.txt --test-fraction 0.001 --seq 4000 --steps 1 --out no
check "nothing is left" absent no
finish
