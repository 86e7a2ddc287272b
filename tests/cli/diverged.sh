#!/bin/sh
# A run that diverged and ended goes on from its last checkpoint, or from its start, at the rate that
# it is given: as if the updates behind that had never been made.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
on() { # RUN OPTION...
    o_run=$1
    shift
    "$DUET" train --resume "$o_run" --threads 1 "$@" >on.out 2>on.err || { cat on.err; return 1; }
}
on_fails() { ! on "$@" >/dev/null 2>&1; }

# after NAME KIND OPTION...: good has been trained for 4 updates
after() {
    a_name=$1 a_kind=$2
    shift 2
    rm -rf good bad none
    must train good --steps 4 --clip 0 --spike 0.3 --schedule constant --warmup 0 --log-every 1 "$@"
    cp -r good bad
    refuses "$a_name: diverges" 6 'the last good checkpoint is step 4 in bad; --resume bad --lr N goes on from it' \
        "$DUET" train --resume bad --steps 60 --lr "$wild" --no-rollback --threads 1
    check "$a_name: the log says so" says bad/log.jsonl '{"event":"diverged","step":4,"from":[1-9]'
    check "$a_name: diverges again at that rate" on_fails bad --steps 60 --lr "$wild" --no-rollback
    must on good --steps 8 --lr 1e-4
    check "$a_name: a lower rate goes on" on bad --steps 8 --lr 1e-4 --rollback
    check "$a_name: to the weights of a run that never diverged" same bad/model.blzt good/model.blzt
    check "$a_name: so does its loss" equal "$(json train_loss bad/summary.json)" "$(json train_loss good/summary.json)"
    check "$a_name: its last updates are in the log" says bad/log.jsonl '"event":"step","step":8,'
    [ $a_kind = mezo ] || return 0
    check "$a_name: replays" "$DUET" replay bad/base.blzt bad/trajectory.zo -o bad.blzt --threads 1
    check "$a_name: the same file" same bad.blzt bad/model.blzt
    rm bad.blzt
}
wild=30
after "backprop" backprop
wild=1
after "MeZO" mezo --engine mezo --lr 1e-4
after "MeZO, momentum, bf16" mezo --engine mezo --lr 1e-4 --optimizer momentum --weights bf16 --estimator spsa

# Before the first checkpoint: from the start.
START="--clip 0 --spike 0.3 --schedule constant --warmup 0 --no-rollback --log-every 1"
for engine in backprop mezo; do
    rm -rf bad good
    wild=1
    [ $engine = backprop ] && wild=30
    refuses "$engine, nothing saved" 6 'nothing had been saved yet; --resume bad --lr N begins again' \
        "$DUET" train $TINY --data text.txt --engine $engine $START --steps 6 --lr $wild --out bad
    check "$engine, nothing saved: a lower rate begins again" on bad --lr 1e-4
    must train good --engine $engine $START --steps 6 --lr 1e-4
    check "$engine, nothing saved: to the weights of a new run" same bad/model.blzt good/model.blzt
done

# Updates that a killed run has recorded behind its checkpoint, and that diverge when made again.
must train long --engine mezo --lr 1e-4 --clip 0 --spike 0 --schedule constant --warmup 0 --steps 2 --keep 9 --checkpoint-every 1 --log-every 1
must on long --lr 1 --steps 8
rm long/summary.json
cp long/checkpoints/2/* long
cp -r long start
on long --steps 6 --lr 1e-4 --spike 0.3
check "recorded updates that diverge: dropped" says on.err 'the smoothed loss rose .*; the updates recorded behind step 2 are dropped'
check "recorded updates that diverge: the rest is there" equal "$(json num_steps long/summary.json)" 6
check "recorded updates that diverge: replays" "$DUET" replay long/base.blzt long/trajectory.zo -o long.blzt --threads 1
check "recorded updates that diverge: the same file" same long.blzt long/model.blzt
check "recorded updates that diverge: the log goes on behind the checkpoint" says long/log.jsonl '"event":"step","step":3,.*"lr":0.0001,'
must "$DUET" replay start/base.blzt start/trajectory.zo -o two.blzt --to-step 2 --threads 1
rm long.blzt
check "recorded updates that diverge: those before it are as they were" "$DUET" replay long/base.blzt long/trajectory.zo -o long.blzt --to-step 2 \
    --threads 1
tensors long.blzt >a
tensors two.blzt >b
check "to the bit" same a b
finish
