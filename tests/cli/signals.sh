#!/bin/sh
# Signals, stopped time and files that are cut: real signals to real processes. Waits are for
# conditions, so that a busy machine only makes it slower.
. "$(dirname "$0")/lib.sh"
must stories 40000 5 >text.txt

# wait_for COMMAND...: until it succeeds, at most two minutes and while $pid runs
wait_for() {
    w=0
    until "$@" >/dev/null 2>&1; do
        w=$((w + 1))
        [ $w -lt 1200 ] && kill -0 "${pid:-$$}" 2>/dev/null || return 1
        sleep 0.1
    done
}
logged() { grep -q "\"step\":$2," "$1/log.jsonl"; }
# catches PID SIGNUMBER: the process has a handler
catches() { [ $((0x$(sed -n 's/^SigCgt:[[:space:]]*0*\([0-9a-f]\)/\1/p' "/proc/$1/status") >> ($2 - 1) & 1)) -eq 1 ]; }

# Shells start background jobs with SIGINT ignored, which duet keeps: env undoes it.
env --default-signal=INT true 2>/dev/null && AS="env --default-signal=INT,HUP,TERM,PIPE" || AS=
ARGS=$TINY
# start OUT OPTION...: in the background, on text.txt unless told another --data; $pid
start() {
    s_out=$1
    shift
    $AS "$DUET" train $ARGS $(data_for "$@") --out "$s_out" "$@" >"$s_out.out" 2>"$s_out.err" &
    pid=$!
}
# ended: waits for $pid, its exit status in $status
ended() {
    wait $pid
    status=$?
}
resume() { "$DUET" train --resume "$1" --threads 1 --quiet >"$1.out" 2>"$1.err" ||
    { cat "$1.err"; return 1; }; }

# ---- in the middle of an accumulation: the update is dropped, and made again by the resumed run
must train base --steps 2
# dropped NAME SIGNAL OPTION...
dropped() {
    d_name=$1 d_signal=$2
    shift 2
    d_file=model.blzt
    case " $* " in *" --lora "*) d_file=adapter.blzt ;; esac
    must "$DUET" train $ARGS --data text.txt --out straight --steps 3 --log-every 1 "$@" \
        >straight.out 2>straight.err
    start cut --steps 3 --log-every 1 "$@"
    wait_for logged cut 1
    sleep 0.2
    kill -"$d_signal" $pid
    kill -TERM $pid 2>/dev/null # further ones break nothing
    kill -HUP $pid 2>/dev/null
    ended
    check "$d_name: exit status 0" [ $status -eq 0 ]
    check "$d_name: acknowledged" says cut.err 'stopping; saving at step [12]$'
    check "$d_name: dropped the update" says cut.err \
        'stopped at step [12] (the unfinished update is dropped); go on'
    check "$d_name: no summary" [ ! -s cut.out ]
    check "$d_name: resumes" resume cut
    check "$d_name: same weights as without" same straight/$d_file cut/$d_file
    check "$d_name: same log of updates" same_steps straight cut
    check "$d_name: nothing is left over" absent cut/*.duet-tmp cut/*.next.blzt
    rm -rf straight cut
}
dropped "backprop, SIGTERM" TERM --accum 500
dropped "backprop with clipping and lion, SIGHUP" HUP --accum 400 --optimizer lion --recompute
if [ -n "$AS" ]; then
    dropped "mezo, SIGINT" INT --engine mezo --accum 600
    dropped "mezo with adamw, SIGTERM" TERM --engine mezo --optimizer adamw --estimator fzoo \
        --directions 3 --accum 300
else
    skip "SIGINT" "env has no --default-signal"
fi
ARGS="--init base/model.blzt --seq 32 --batch 4 --threads 1 --quiet"
dropped "lora, SIGTERM" TERM --lora 4 --accum 500
ARGS=$TINY

# ---- before the first update, however long it would take
ARGS="$SHAPE --tokenizer byte --seq 32 --batch 8 --threads 1"
start long --steps 1 --accum 65536
wait_for grep -q 'micro-batch' long.err
ARGS=$TINY
check "a long update shows its micro-batches" says long.err \
    'micro-batch [0-9,]*/65,536, [0-9.e-]* s each'
kill -TERM $pid
ended
check "first update: exit status 0" [ $status -eq 0 ]
check "first update: says that nothing is to be saved" says long.err \
    'no update is done yet, nothing to save'
check "first update: says how to begin again" says long.err \
    'begin again with: duet train --resume long'

# ---- while it starts
mkfifo tok.fifo
start begin --steps 1 --tokenizer tok.fifo
wait_for catches $pid 10
kill -TERM $pid
ended
check "while it starts: ends by the signal" [ $status -eq 143 ]
check "while it starts: says that nothing is to be saved" says begin.err \
    'training has not begun, nothing to save'

# ---- SIGUSR1
must train straight --steps 3 --log-every 1 --accum 400
start save --steps 3 --log-every 1 --accum 400
wait_for logged save 1
sleep 0.2
kill -USR1 $pid
wait_for grep -q 'saved at step' save.err
kill -STOP $pid # it is not to save again while this copies
cp -r save copy
kill -CONT $pid
ended
check "SIGUSR1: training goes on to the end" [ $status -eq 0 ]
check "SIGUSR1: acknowledged" says save.err 'SIGUSR1: saving, then going on'
check "SIGUSR1: same weights as without" same straight/model.blzt save/model.blzt
check "SIGUSR1: what it saved resumes" resume copy
check "SIGUSR1: to the same weights" same straight/model.blzt copy/model.blzt
rm -rf straight save copy

# ---- in validations
must stories 500000 7 >long.txt
VAL="--data long.txt --val-fraction 0.6 --val-windows 1000000 --batch 1 --log-every 1"
must train straight $VAL --steps 4 --val-every 2
start mid $VAL --steps 4 --val-every 2
wait_for logged mid 2
sleep 0.1
kill -TERM $pid
ended
check "validation between updates: stops at that step" says mid.err 'stopped at step 2; go on'
check "validation between updates: none in the log yet" [ "$(grep -c '"val"' mid/log.jsonl)" -eq 0 ]
check "validation between updates: resumes" resume mid
check "validation between updates: it is made then" equal \
    "$(grep '"val"' mid/log.jsonl | sed 's/"seconds":[^,]*,//')" \
    "$(grep '"val"' straight/log.jsonl | sed 's/"seconds":[^,]*,//')"
check "validation between updates: same weights" same straight/model.blzt mid/model.blzt
start last $VAL --steps 2
wait_for logged last 2
wait_for test -f last/state
sleep 0.1
kill -TERM $pid
ended
check "last validation: exit status 0" [ $status -eq 0 ]
check "last validation: it is saved" says last.err 'stopped at step 2; go on'
check "last validation: no summary" absent last/summary.json
check "last validation: resumes to its summary" resume last
check "last validation: summary" test -s last/summary.json
rm -rf straight mid last

# ---- a progress pipe that nobody reads any more; signals that are ignored from the start
must train straight --steps 6
{
    "$DUET" train $SHAPE --tokenizer byte --seq 32 --batch 4 --threads 1 --data text.txt \
        --out pipe --steps 6 --val-every 1
    echo $? >pipe.status
} 2>&1 | head -n 1 >pipe.first
check "closed pipe: exit status 0" equal "$(cat pipe.status)" 0
check "closed pipe: same weights" same straight/model.blzt pipe/model.blzt
check "closed pipe: the summary is in the folder" test -s pipe/summary.json
must train straight2 --steps 2 --accum 300 --log-every 1
(
    trap '' INT HUP
    exec "$DUET" train $TINY --data text.txt --out nohup --steps 2 --accum 300 --log-every 1
) >nohup.out 2>nohup.err &
pid=$!
wait_for logged nohup 1
kill -INT $pid
kill -HUP $pid
ended
check "ignored from the start: goes on to the end" [ $status -eq 0 ]
check "ignored from the start: same weights" same straight2/model.blzt nohup/model.blzt
check "ignored from the start: not a word" [ "$(grep -c stopping nohup.err)" -eq 0 ]

# ---- other commands end at once, by the signal, and leave nothing
mkfifo in.fifo
exec 9<>in.fifo
# others NAME TEMP COMMAND...: ended by SIGTERM once TEMP is there; its input never ends
others() {
    o_name=$1 o_temp=$2
    shift 2
    $AS "$@" <in.fifo >others.out 2>others.err &
    pid=$!
    wait_for test -e "$o_temp"
    wait_for catches $pid 7 # it is duet by now, not the shell
    kill -TERM $pid
    ended
    check "$o_name: ends by the signal" [ $status -eq 143 ]
    check "$o_name: leaves nothing" absent made made.duet-tmp
}
others "stories" made.duet-tmp "$DUET" stories --bytes 100000000000 --out made --quiet
others "tokenize" made.duet-tmp "$DUET" tokenize --tokenizer byte --out made --quiet -
others "generate" straight/model.blzt "$DUET" generate straight/model.blzt --prompt a \
    --tokens 10000000 --ignore-eos --context-shift
others "eval" long.txt "$DUET" eval straight/model.blzt --data long.txt --seq 8 --quiet
if [ -n "$AS" ]; then
    $AS "$DUET" generate straight/model.blzt --prompt a --tokens 100000000 --ignore-eos \
        --context-shift >others.out 2>&1 &
    pid=$!
    wait_for test -s others.out
    kill -INT $pid
    ended
    check "generate: SIGINT" [ $status -eq 130 ]
fi

# ---- time that the process was stopped
must stories 30000 5 >text.txt
start paused --time 3 --log-every 1
wait_for logged paused 3
read from _ </proc/uptime
kill -STOP $pid
sleep 4
kill -CONT $pid
read to _ </proc/uptime
ended
seconds=$(value training_seconds paused.out)
check "stopped time is not training time" close_to "$seconds" 3 0.6
check "stopped time is told" says paused.err 'paused [0-9.]* s, not counted'
stopped=$(grep '"pause"' paused/log.jsonl | sed 's/.*"seconds":\([0-9.]*\).*/\1/' | head -1)
check "stopped time is in the log" close_to "$stopped" \
    "$(echo "$from $to" | awk '{ print $2 - $1 }')" 1
last=$(grep '"event":"step"' paused/log.jsonl | tail -1)
check "the rate has decayed" awk -v lr="$(echo "$last" | sed 's/.*"lr":\([^,]*\),.*/\1/')" \
    -v peak="$(grep '"event":"step"' paused/log.jsonl | sed 's/.*"lr":\([^,]*\),.*/\1/' | sort -g |
    tail -1)" \
    'BEGIN { exit !(lr < peak / 2) }'
# frozen VERSION FOLDER FILE FREEZE THAW: by a control group made in FOLDER
frozen() {
    freezer=$2/duet-test-$$
    if [ -z "$2" ] || ! mkdir "$freezer" 2>/dev/null; then
        skip "frozen time, v$1" "no such control group can be made here"
        return
    fi
    start "frozen$1" --time 3 --log-every 1
    wait_for logged "frozen$1" 3
    if echo $pid >"$freezer/cgroup.procs" && echo "$4" >"$freezer/$3"; then
        sleep 3
        echo "$5" >"$freezer/$3"
        ended
        check "frozen time, v$1: is not training time" close_to \
            "$(value training_seconds "frozen$1.out")" 3 0.6
        check "frozen time, v$1: is told" says "frozen$1.err" 'paused [0-9.]* s, not counted'
    else
        ended
        skip "frozen time, v$1" "processes cannot be frozen here"
    fi
    for i in 1 2 3 4 5 6 7 8 9 10; do rmdir "$freezer" 2>/dev/null && break; sleep 0.2; done
}
frozen 1 "$(awk '$0 ~ " - cgroup " && $NF ~ "(^|,)freezer(,|$)" { print $5; exit }' \
    /proc/self/mountinfo)" \
    freezer.state FROZEN THAWED
frozen 2 "$(awk '$0 ~ " - cgroup2 " { print $5; exit }' /proc/self/mountinfo)" cgroup.freeze 1 0

# ---- time that runs out in a long update
"$DUET" train $TINY --data text.txt --out brief --time 1 --batch 16 --accum 65536 >brief.out \
    2>brief.err
check "time in a long update: exit status 0" [ $? -eq 0 ]
check "time in a long update: says so" says brief.err \
    'the time is used up after micro-batch [0-9]* of 65536 of update 1; .* it is dropped'
check "time in a long update: not much longer" close_to "$(value training_seconds brief.out)" 1 0.5
check "time in a long update: no update" equal "$(value num_steps brief.out)" 0

# ---- a mapped file that is cut: the data of a run
must "$DUET" tokenize --tokenizer byte --out text.shard --quiet text.txt 2>tokenize.err
cp text.shard whole.shard
must train straight3 --data whole.shard --steps 60 --checkpoint-every 1 --log-every 1 --accum 50
start torn --data text.shard --steps 60 --checkpoint-every 1 --log-every 1 --accum 50
wait_for logged torn 2
truncate -s 4096 text.shard
ended
check "a cut shard: exit status 1" [ $status -eq 1 ]
check "a cut shard: one sentence" equal "$(grep '^duet: ' torn.err)" \
    "duet: error: text.shard: was cut from $(wc -c <whole.shard |
    tr -d ' ') to 4096 bytes while it was in use"
check "a cut shard: no temporary file" absent torn/*.duet-tmp
cp whole.shard text.shard
check "a cut shard: the run goes on from its last checkpoint" resume torn
check "a cut shard: to the same weights" same straight3/model.blzt torn/model.blzt
cp straight3/model.blzt cut.blzt
$AS "$DUET" generate cut.blzt --prompt a --tokens 100000000 --ignore-eos --context-shift --quiet \
    >sliced.out 2>sliced.err &
pid=$!
wait_for test -s sliced.out
truncate -s 4096 cut.blzt
ended
check "a cut model: exit status 1" [ $status -eq 1 ]
check "a cut model: one sentence" says sliced.err \
    '^duet: error: cut.blzt: was cut from [0-9]* to 4096 bytes while it was in use$'
finish
