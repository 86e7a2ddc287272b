#!/bin/sh
# What the clock decided of a run is on record: `duet train --config RUN/config.json --clock
# RUN/clock` gives the same weights, bit for bit, also of a --time run, killed and resumed or not.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
weights() { if [ -f "$1/adapter.blzt" ]; then echo "$1/adapter.blzt"; else echo "$1/model.blzt"; fi; }
same_run() { cmp "$(weights "$1")" "$(weights "$2")"; }
# repeat RUN NEW OPTION...
repeat() {
    r_run=$1 r_new=$2
    shift 2
    "$DUET" train --config "$r_run/config.json" --clock "$r_run/clock" --out "$r_new" --threads 1 \
        "$@" >"$r_new.out" 2>"$r_new.err" || { cat "$r_new.err"; return 1; }
}
updates() { echo $((($(wc -c <"$1/clock") - 16) / 16)); } # with an end one more
steps() { json num_steps "$1/summary.json"; }

# repeats NAME RUN: the run in RUN has ended
repeats() {
    rm -rf again
    check "$1: repeats" repeat "$2" again
    check "$1: the same weights" same_run "$2" again
    check "$1: the same number of updates" equal "$(steps again)" "$(steps "$2")"
    check "$1: the same loss" equal "$(json val_loss again/summary.json)" \
        "$(json val_loss "$2/summary.json")"
    check "$1: the same clock" same again/clock "$2/clock"
}
timed() { # NAME OPTION...
    t_name=$1
    shift
    rm -rf run
    must train run --time 0.4 "$@"
    check "$t_name: some updates" [ "$(steps run)" -gt 3 ]
    check "$t_name: each is on record, and the end" equal "$(updates run)" $(($(steps run) + 1))
    repeats "$t_name" run
}
timed "backprop" --accum 1 --accum-end 3
must mv run base
timed "cosine, lion, compacted" --schedule cosine --optimizer lion --compact-vocab
timed "MeZO" --engine mezo --lr 1e-4 --schedule linear
check "MeZO: the same trajectory" sh -c '[ "$(wc -c <run/trajectory.zo)" -gt 100 ] &&
    "$1" replay run --out replayed.blzt --threads 1 --quiet && cmp replayed.blzt again/model.blzt' - "$DUET"
timed "MeZO, measured rate, momentum, bf16" --engine mezo --optimizer momentum --weights bf16
LORA="--set vocab_size=257 --init base/model.blzt --lora 2"
timed "LoRA" $LORA
rm -rf run
check "LoRA by MeZO" "$DUET" train --init base/model.blzt --lora 2 --engine mezo --data text.txt \
    --seq 32 --batch 4 --threads 1 --quiet --time 0.3 --out run
repeats "LoRA by MeZO" run
printf 'sentence\tlabel\n' >a.tsv
for i in 1 2 3 4 5 6 7 8 9; do printf 'the %d dog\t%d\n' $i $((i % 2)) >>a.tsv; done
check "a task" "$DUET" train --task a.tsv --template '{sentence}:' --labels x,y --init base \
    --batch 4 --threads 1 --quiet --time 0.3 --out task
repeats "a task" task

# ---- a --time run that is killed and goes on
killed() { # NAME OPTION...
    k_name=$1
    shift
    rm -rf run
    for k in 1 2 3; do
        if [ -f run/config.json ]; then
            "$DUET" train --resume run --threads 1 --quiet >kill.out 2>kill.err &
        else
            "$DUET" train $TINY --data text.txt --time 2 --checkpoint-every 7 --out run "$@" \
                >kill.out 2>kill.err &
        fi
        k_pid=$!
        sleep 0.$((2 + 2 * k))
        kill -9 $k_pid 2>/dev/null
        wait $k_pid 2>/dev/null
    done
    if [ -s run/state ]; then ok "$k_name: killed behind a checkpoint"; else skip "$k_name: killed" \
        "the machine was too slow"; fi
    check "$k_name: goes on" "$DUET" train --resume run --threads 1 --quiet
    check "$k_name: its updates are on record" equal "$(updates run)" $(($(steps run) + 1))
    repeats "$k_name" run
}
killed "killed, backprop" --accum 1 --accum-end 2
killed "killed, MeZO" --engine mezo --lr 1e-4
# Killed and not resumed: as far as it came.
must "$DUET" info run/clock >info.out
check "info tells what it is" says info.out 'clock of a run'
check "info counts" equal "$(sed -n 's/^  updates  *//p' info.out)" "$(steps run)"
check "info tells the end" says info.out 'ended_at_share  *1$'
half=$(($(steps run) / 2))
head -c $((16 + 16 * half + 5)) run/clock >half.clock
must "$DUET" train --config run/config.json --clock half.clock --out half --threads 1 >half.out \
    2>half.err
check "half of it: as many updates" equal "$(steps half)" $half
check "half of it: says what it passes over" says half.err 'the last 5 bytes are no whole record'
must "$DUET" replay run --to-step $half --out half.blzt --threads 1 --quiet >half.out
tensors half.blzt >half.a
tensors half/model.blzt >half.b
check "half of it: the weights of then" same half.a half.b

# ---- runs whose end was moved, and one that went back
must train more --steps 6 --schedule linear
must "$DUET" train --resume more --steps 15 --threads 1 --quiet >on.out
repeats "trained on behind its end" more
must train longer --time 0.2
must "$DUET" train --resume longer --time 0.4 --threads 1 --quiet >on.out
repeats "more time" longer
# Back to a checkpoint that the clock chose, and to the start.
WILD="--steps 150 --lr 1 --clip 0 --spike 1 --warmup 100 --schedule constant --log-every 1"
for every in 0.02s 1000; do
    rm -rf wild
    must train wild $WILD --checkpoint-every $every
    check "every $every: goes back" says wild/log.jsonl '"rollback"'
    repeats "a rollback, checkpoints every $every" wild
    check "every $every: the repetition needs none" sh -c '! grep -q rollback again/log.jsonl'
done

# ---- a repetition that is stopped, killed or repeated
must train run --time 0.4 --overwrite --val-every 40
check "its own folder repeats it, wherever the first is" sh -c 'mkdir sub && cp -r again sub/x &&
    "$1" train --config sub/x/config.json --out y --threads 1 --quiet --data text.txt' - "$DUET"
check "the same" same_run again y
"$DUET" train --config run/config.json --clock run/clock --out cut --checkpoint-every 5 --threads 1 \
    --quiet >cut.out 2>&1 &
pid=$!
sleep 0.3
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check "killed: goes on" "$DUET" train --resume cut --threads 1 --quiet
check "killed: to the same weights" same_run run cut
rm -rf cut
must repeat run cut --stop-at 0.5
check "stopped at half: goes on" "$DUET" train --resume cut --threads 1 --quiet
check "to the same weights" same_run run cut
check "and the same clock" same run/clock cut/clock
"$DUET" train --resume cut --threads 1 >over.out 2>over.err
check "finished: says so" says over.err 'cut is finished: [0-9]* updates, all of the clock'
check "plan knows its updates" equal \
    "$("$DUET" plan --config run/config.json --clock run/clock --json | sed -n 's/.*"updates": //p' | tr -d ,)" \
    "$(steps run)"

# ---- what makes no sense
for end in "--time 5" "--steps 5" "--tokens 5" "--epochs 1" "--flops 1e9"; do
    refuses "--clock with $end" 2 "${end% *} has no effect with --clock" "$DUET" train \
        --config run/config.json --clock run/clock $end --out no
    refuses "$end of a repetition" 2 "${end% *} has no effect with --clock" "$DUET" train \
        --resume cut $end
done
refuses "--clock with --patience" 2 'patience has no effect with --clock' "$DUET" train \
    --config run/config.json --clock run/clock --patience 3 --val-every 5 --out no
refuses "--clock with --resume" 2 '\-\-clock does not belong to --resume' "$DUET" train --resume run \
    --clock run/clock
refuses "its own clock" 2 'run/clock is to be read, but would be overwritten' "$DUET" train \
    --config run/config.json --clock run/clock --out run --overwrite
refuses "no such file" 1 'nowhere' "$DUET" train --config run/config.json --clock nowhere --out no
refuses "another file" 1 'text.txt: not the clock of a run' "$DUET" train --config run/config.json \
    --clock text.txt --out no
head -c 16 run/clock >empty.clock
refuses "no update" 1 'empty.clock: no update is on record' "$DUET" train --config run/config.json \
    --clock empty.clock --out no
cp run/clock bad.clock
printf x | dd of=bad.clock bs=1 seek=40 conv=notrunc 2>dd.err
refuses "damage" 1 'bad.clock: record 1 at offset 32 is damaged' "$DUET" train \
    --config run/config.json --clock bad.clock --out no
check "nothing is left" absent no
refuses "a clock as data" 1 'is the clock of a run' "$DUET" train $TINY --data run/clock --steps 1 \
    --out no

# ---- a run without its clock goes on without one
cp -r run bare && rm bare/clock
must "$DUET" train --resume bare --time 0.6 --threads 1 >bare.out 2>bare.err
check "no clock: says so" says bare.err 'bare/clock is not there'
check "no clock: makes none" absent bare/clock
cp -r run torn && cp bad.clock torn/clock
must "$DUET" train --resume torn --time 0.6 --threads 1 >torn.out 2>torn.err
check "a damaged clock: says so" says torn.err 'torn/clock: record 1 .*goes on without its clock'
check "a damaged clock: is not trusted again" absent torn/clock
finish
