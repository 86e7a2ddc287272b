#!/bin/sh
# A MeZO run that was killed makes the validations again that were due among the updates which it
# makes again: it ends where the run ends that was not killed, with the same best, the same first
# validation and the same lines in its log, each once.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
seed=${SEED:-$(date +%s)}
echo "# SEED=$seed"

vals_of() { grep '"event":"val"' "$1/log.jsonl" | sed 's/,"seconds":[^,]*//'; }
steps_at() { grep '"event":"step"' "$1/log.jsonl" | sed 's/,"max_activation":.*//; s/,"seconds":.*//'; }
ends_of() {
    for key in num_steps best_step best_val_loss best_val_accuracy val_loss val_accuracy val_f1 \
        val_change val_change_stderr train_loss; do
        echo "$key $(json $key "$1/summary.json")"
    done
}
# alike RUN KILLED: values, lines and files of the two
alike() {
    for what in vals_of steps_at ends_of; do
        $what "$1" >alike.a
        $what "$2" >alike.b
        [ -s alike.a ] || { echo "nothing of $what $1"; return 1; }
        diff alike.a alike.b || return 1
    done
    (cd "$1" && ls -d *.blzt checkpoints/*/*.blzt val-first.json 2>/dev/null) >alike.a
    (cd "$2" && ls -d *.blzt checkpoints/*/*.blzt val-first.json 2>/dev/null) >alike.b
    diff alike.a alike.b || return 1
    while read -r file; do
        case $file in val-first.json | start.blzt) ;; *) cmp "$1/$file" "$2/$file" || return 1 ;; esac
    done <alike.a
    cmp "$1/val-first.json" "$2/val-first.json" && cmp_trajectory "$1" "$2"
}
# Seconds of updates are on record, so only the size tells that none is missing.
cmp_trajectory() { equal "$(wc -c <"$1/trajectory.zo")" "$(wc -c <"$2/trajectory.zo")"; }

# The latest of a run's kept checkpoints not behind a step, or nothing.
kept() { ls "$1/checkpoints" 2>/dev/null | sort -n | awk -v k="$2" '$1 <= k { s = $1 } END { print s }'; }
# The step of the best validation not behind a step, as `measure` (the n-th value of a line) has it.
best_at() {
    vals_of "$1" | sed 's/.*"step":\([0-9]*\).*"'$measure'":\([^,]*\),.*/\1 \2/' |
        awk -v k="$2" -v up=$up '$1 <= k && (!n++ || (up ? $2 > b : $2 < b)) { b = $2; s = $1 }
            END { print s }'
}

# killed_in RUN K WINDOW: `killed`, the folder of RUN as a process left it that was killed in update K:
# record: it is on record; step: it is in the log; val: its validation is, too; saved: the
# checkpoint behind it is in place, but for the names of its weights and of the best.
killed_in() {
    c_run=$1 c_k=$2 c_window=$3
    c_steps=$(json num_steps "$c_run/summary.json")
    rm -rf killed
    cp -r "$c_run" killed
    rm -f killed/model.blzt killed/adapter.blzt killed/*best.blzt killed/state killed/summary.json
    head -c $(($(wc -c <"$c_run/trajectory.zo") - (c_steps - c_k) * record)) \
        "$c_run/trajectory.zo" >killed/trajectory.zo
    c_log=$c_window
    [ "$c_log" = saved ] && c_log=val
    sed 's/^{"event":"\([a-z]*\)","step":\([0-9]*\).*/\1 \2 &/; s/^{"event":"start"/start 0 &/' \
        "$c_run/log.jsonl" | awk -v k="$c_k" -v w="$c_log" '
        $1 == "report" || $2 > k || ($2 == k && ($1 == "step" && w == "record" ||
            $1 == "val" && w != "val")) { next }
        { sub(/^[a-z]* [0-9]* /, ""); print }' >killed/log.jsonl
    c_saved=$c_k
    [ "$c_window" = saved ] || c_saved=$((c_k - 1))
    c_at=$(kept "$c_run" $c_saved)
    for c_dir in killed/checkpoints/*; do
        [ -d "$c_dir" ] || continue
        [ "${c_dir##*/}" -le "${c_at:--1}" ] || rm -r "$c_dir"
    done
    rmdir killed/checkpoints 2>/dev/null
    grep -q '"event":"val"' killed/log.jsonl || rm -f killed/val-first.json
    [ "$c_at" ] || return 0
    cp "$c_run/checkpoints/$c_at/state" killed/state
    c_best=$(best_at "$c_run" "$c_at")
    if [ "$c_window" = saved ]; then
        cp "$c_run/checkpoints/$c_at/$weights.blzt" "killed/$weights.next.blzt"
        [ "$c_best" = "$c_k" ] && c_best=$(best_at "$c_run" $((c_k - 1)))
        c_at=$(kept "$c_run" $((c_k - 1)))
        rm -rf "killed/checkpoints/$c_k"
    fi
    [ ! "$c_at" ] || cp "$c_run/checkpoints/$c_at/$weights.blzt" "killed/$weights.blzt"
    [ "${c_best:-0}" -eq 0 ] || [ $keeps = false ] ||
        cp "$c_run/checkpoints/$c_best/$weights.blzt" "killed/${best:?}"
}

resume() { "$DUET" train --resume "$@" --threads 1 --quiet >resume.out 2>resume.err ||
    { cat resume.err; return 1; }; }

# goes_on NAME RUN K WINDOW
goes_on() {
    killed_in "$2" "$3" "$4"
    if resume killed >resume.txt && alike "$2" killed >>resume.txt 2>&1; then
        n_alike=$((n_alike + 1))
    else
        not_ok "$1: killed in update $3, $4" resume.txt
    fi
}

# every NAME RUN: killed in each update, and between what is done behind it
every() {
    e_k=1 n_alike=0 e_n=0
    e_end=$(json num_steps "$2/summary.json")
    while [ $e_k -le "$e_end" ]; do
        e_windows=record
        vals_of "$2" | grep -q "\"step\":$e_k," && e_windows="record step val"
        [ -d "$2/checkpoints/$e_k" ] && e_windows="$e_windows saved"
        for e_window in $e_windows; do
            goes_on "$1" "$2" $e_k $e_window
            e_n=$((e_n + 1))
        done
        e_k=$((e_k + e_each))
    done
    check "$1: as the run that was not killed, $e_n times" [ $n_alike -eq $e_n ]
}


# ---- the best kept, and checkpoints of their own
record=44 weights=model best=best.blzt keeps=true measure=val_loss up=0 e_each=1
MEZO="--log-every 1 --engine mezo --estimator spsa --schedule constant --val-every 2"
RUN="$MEZO --val-windows 8 --lr 1e-3 --seed 5 --steps 40 --patience 3"
must train run $RUN --checkpoint-every 5 --keep 100
ended=$(json num_steps run/summary.json)
check "patience ends the run" [ "$ended" -lt 40 ]
check "its best is before its end" [ "$(json best_step run/summary.json)" -eq $((ended - 6)) ]
every "the best kept" run
# What is not in a file that is compared: the count for patience.
must cp -r run longer
must resume longer --patience 4
for k in 9 $((ended - 1)); do
    killed_in run "$k" step
    must resume killed
    must resume killed --patience 4
    check "killed in update $k: a larger patience goes on to the same" alike longer killed
done
killed_in run 7 step
must resume killed
cp killed/log.jsonl log.before
check "it is over" resume killed
check "nothing is logged again" same killed/log.jsonl log.before

# ---- nothing kept: all is made again from the start
keeps=false e_each=3
must train bare $RUN --no-keep-best --checkpoint-every 1000 --keep 2
every "no checkpoint" bare

# ---- LoRA: the base is validated, too
must train base --steps 30
keeps=true weights=adapter best=adapter.best.blzt
must "$DUET" train --init base/model.blzt --data text.txt --seq 32 --batch 4 --threads 1 $MEZO \
    --val-windows 8 --lora 2 --lr 3e-3 --steps 17 --keep 100 --out lora --quiet >s.out 2>s.err
every "LoRA" lora
check "the base was validated" [ "$(vals_of lora | grep -c '"step":0,')" -eq 1 ]

# ---- a task: accuracy
. "$SRC/tests/cli/objectives_task.sh"
task_files
T="--labels x,y --template {sentence}:"
must "$DUET" train --init base/model.blzt --task begin.tsv $T --steps 20 --batch 16 --lr 1e-3 \
    --threads 1 --out some --quiet >s.out 2>s.err
weights=model best=best.blzt measure=val_accuracy up=1
must "$DUET" train --init some/model.blzt --task train.tsv --task-eval eval.tsv $T $MEZO --batch 16 \
    --objective accuracy --steps 30 --patience 4 --threads 1 --lr 3e-5 --seed 3 --keep 100 --out task --quiet \
    >s.out 2>s.err
every "a task" task

# ---- stopped in a validation, so that the checkpoint is of a step that was not validated; killed
# after it went on
measure=val_loss up=0
stories 30000 5 >text.txt
SIX="$MEZO --val-windows 8 --lr 1e-3 --seed 5 --val-every 6 --checkpoint-every 1000"
must train six $SIX --steps 6 --val-every 0
must train twelve $SIX --steps 12
must rm six/summary.json
must cp twelve/config.json six/
for k in 6 8; do
    killed_in twelve $k step
    must cp six/model.blzt six/state killed/
    rm -f killed/best.blzt
    check "validated at its checkpoint, then killed in update $k" resume killed
    check "update $k: as the run that was not killed" alike twelve killed
done

# ---- it diverges, and is killed before it goes back: it goes back all the same
WILD="$MEZO --val-windows 8 --lr 0.02 --seed 5 --warmup 0 --checkpoint-every 1000 --keep 100"
must train back $WILD --steps 30 --spike 0.2
from=$(sed -n 's/{"event":"rollback".*"from":\([0-9]*\),.*/\1/p' back/log.jsonl)
check "it goes back" [ "${from:-0}" -gt 9 ]
must train wild $WILD --steps "$from" --spike 0 # the same, as far as it goes
for k in 9 $((from - 1)); do
    killed_in wild "$k" record
    must cp back/config.json killed/
    check "killed $((from - k)) updates before it diverges" resume killed
    check "it goes back to the same" alike back killed
done
killed_in wild "$from" record
must cp back/config.json killed/
check "killed with the update on record that diverged" resume killed
check "the update is dropped" says resume.err "step $from: .* are dropped: going on from there"
ends_of back >ends.a
ends_of killed >ends.b
check "it goes back to the same figures" same ends.a ends.b
check "the same weights" same back/model.blzt killed/model.blzt
check "the same best" same back/best.blzt killed/best.blzt

# ---- fewer steps than are on record, or less patience: what was done stays
killed_in bare 11 val
must resume killed --steps 8
check "--steps 8: the 11 updates on record" equal "$(json num_steps killed/summary.json)" 11
check "--steps 8: their validations" equal "$(vals_of killed | grep -c '')" 6
must "$DUET" replay killed/base.blzt killed/trajectory.zo -o killed.blzt --quiet --threads 1
check "--steps 8: they replay" same killed.blzt killed/model.blzt

# ---- really killed or stopped, at any moment, also of making updates again
LONG="$MEZO --val-data text.txt --val-windows 900 --lr 1e-3 --seed 5 --steps 40 --patience 3"
must train long $LONG --no-keep-best --checkpoint-every 9
rm -rf killed
"$DUET" train $TINY --data text.txt --out killed $LONG --no-keep-best --checkpoint-every 9 --quiet \
    >s.out 2>s.err &
n=0
while [ $n -lt 8 ]; do
    pid=$!
    n=$((n + 1)) seed=$((seed + 1))
    delay=$(awk -v s=$seed 'BEGIN { srand(s); printf "%.3f\n", 0.2 + rand() * 1.2 }')
    sleep "$delay"
    sig=$([ $((n % 2)) -eq 0 ] && echo TERM || echo KILL)
    kill -$sig $pid 2>/dev/null
    wait $pid 2>/dev/null
    echo "# SIG$sig after $delay s: $(tail -1 killed/log.jsonl 2>/dev/null | cut -c1-40)"
    check "SIG$sig: no error" [ "$(grep -c 'duet: error' s.err)" -eq 0 ]
    if [ -f killed/config.json ]; then set -- --resume killed --threads 1
    else set -- $TINY --data text.txt --out killed $LONG --no-keep-best --checkpoint-every 9; fi
    "$DUET" train "$@" --quiet >s.out 2>s.err &
done
wait $!
check "killed and stopped: goes on to its end" [ -f killed/summary.json ]
check "killed and stopped: as the run that was not" alike long killed
finish
