#!/bin/sh
# --stop-at: a run stops at a share of its budget under the schedule of the whole, says so, and goes
# on as the run that never stopped, bit for bit. Failures that a driver must tell apart.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
weights() { if [ -f "$1/adapter.blzt" ]; then echo "$1/adapter.blzt"; else echo "$1/model.blzt"; fi; }
best() { if [ -f "$1/adapter.best.blzt" ]; then echo "$1/adapter.best.blzt"; else echo "$1/best.blzt"; fi; }
summary() { json "$2" "$1/summary.json"; }
vals_of() { grep '"event":"val"' "$1/log.jsonl" | sed 's/"seconds":[0-9.]*,//'; }
on() { "$DUET" train --threads 1 --quiet --resume "$@" >on.out; }

# stops NAME RUN SHARE STEP: the last call has stopped there
stops() {
    check "$1: status" equal "$(summary $2 status)" stopped
    check "$1: at step $4" equal "$(summary $2 num_steps)" $4
    check "$1: share" close_to "$(summary $2 budget_share)" $3 1e-8
    check "$1: validated" awk -v x="$(summary $2 val_loss)" 'BEGIN { exit !(x > 0) }'
    check "$1: a checkpoint" [ -s $2/state ]
    check "$1: runs calls it stopped" sh -c '"$1" runs "$2" --json | grep -q "\"status\": \"stopped\""' \
        - "$DUET" $2
    check "$1: its clock says where" equal "$("$DUET" info $2/clock --json | sed -n 's/.*"ended_at_share": *\([0-9.]*\).*/\1/p')" \
        "$(summary $2 budget_share | sed 's/0*$//')"
}
# same NAME STRAIGHT BROKEN: both have ended
ends_same() {
    check "$1: the same weights" same "$(weights $2)" "$(weights $3)"
    check "$1: the same steps in the log" same_steps $2 $3
    vals_of $2 >vals.a
    vals_of $3 >vals.b
    check "$1: the same validations" same vals.a vals.b
    [ ! -f "$(best $2)" ] || check "$1: the same best" same "$(best $2)" "$(best $3)"
    check "$1: finished" equal "$(summary $3 status)" finished
    for key in val_loss val_bpb train_loss best_step best_val_loss val_change num_steps \
        total_tokens_M total_flops budget_share; do
        check "$1: the same $key" equal "$(summary $2 $key)" "$(summary $3 $key)"
    done
}

both() { # NAME OPTION...: 20 updates, in one go and in four
    b_name=$1
    shift
    rm -rf straight broken
    must train straight "$@" --log-every 1
    must train broken "$@" --log-every 1 --stop-at 0.3
    stops "$b_name, first" broken 0.3 6
    rm -rf again
    check "$b_name: so far it repeats" "$DUET" train --config broken/config.json --clock broken/clock \
        --out again --threads 1 --quiet
    check "$b_name: to the same weights" same "$(weights broken)" "$(weights again)"
    check "$b_name: and the same loss" equal "$(summary broken val_loss) $(summary broken budget_share)" \
        "$(summary again val_loss) $(summary again budget_share)"
    must on broken --stop-at 0.34
    stops "$b_name, second" broken 0.35 7
    must on broken --stop-at 0.6
    stops "$b_name, third" broken 0.6 12
    must on broken
    ends_same "$b_name" straight broken
    check "$b_name: the stops are in its history" equal \
        "$(grep -c '"status": "stopped"' broken/summary.json)" 3
}
both "backprop" --steps 20 --val-every 6 --lr 0.01
mv straight base
both "ramp of tokens, rates that fall" --tokens 2560 --schedule cosine --checkpoint-every 4 --keep 3
both "MeZO" --steps 20 --val-every 6 --engine mezo --lr 1e-4
check "MeZO: the same trajectory" sh -c '"$1" replay broken --out r.blzt --threads 1 --quiet &&
    cmp r.blzt straight/model.blzt' - "$DUET"
both "LoRA" --steps 20 --val-every 4 --init base/model.blzt --set vocab_size=257 --lora 2 --lr 0.01

# A stop's validation is for its summary alone: neither patience nor the best know of it.
STILL="--steps 40 --lr 0 --val-every 4 --patience 3"
must train still $STILL
must train often $STILL --stop-at 0.04
for share in 0.12 0.14 0.17 0.19 0.26; do must on often --stop-at $share; done
must on often
check "patience counts its own validations" equal "$(summary often num_steps)" \
    "$(summary still num_steps)"
check "which ended it before its budget" close_to "$(summary still budget_share)" 0.4 1e-9
check "where its status is" equal "$(summary still status)" finished
must train down --steps 20 --lr 0.01 --val-every 15 --stop-at 0.45
check "no best from a stop" absent down/best.blzt
must on down
check "then the one that was due, or the end" equal "$(summary down best_step)" 20

# ---- what it says, and what it does not change
must train run --steps 10 --stop-at 0.5
check "stdout has the status" equal "$(value status run.out)" stopped
check "stderr says how to go on" says run.err 'stopped at 0.5 of the run, step 5; duet train --resume run goes on'
check "the log has it" says run/log.jsonl '{"event":"stopped","step":5,"share":0.5,.*"val_loss":[0-9]'
check "config.json has not" sh -c '! grep -q stop-at run/config.json'
"$DUET" train --resume run --stop-at 0.5 --threads 1 --json >again.out 2>again.err
check "there already: exit status 0" [ $? -eq 0 ]
check "there already: says so" says again.err 'run has stopped at 0.5 of its run, step 5 (--stop-at 0.5 asks for no more)'
check "there already: its summary again" equal "$(json num_steps again.out) $(json status again.out)" "5 stopped"
rm run/summary.json
must on run --stop-at 0.4
check "killed before its summary: that is made" equal "$(summary run num_steps) $(summary run status)" "5 stopped"
must on run --stop-at 1
check "1 is the end" equal "$(summary run status) $(summary run num_steps)" "finished 10"
must train ten --steps 10
check "of the run that never stopped" same run/model.blzt ten/model.blzt
must train part --steps 10 --stop-at 0.5 --val-fraction 0
check "nothing to validate on: stops all the same" equal "$(summary part status) $(summary part val_loss)" "stopped null"
for bad in -0.1 1.5 x; do
    refuses "--stop-at $bad" 2 'stop-at' "$DUET" train $TINY --data text.txt --steps 10 --stop-at $bad --out no
done
# The clock decides where; what came of it repeats.
must train timed --time 0.6 --stop-at 0.5
check "--time: stops behind half" awk -v s="$(summary timed budget_share)" 'BEGIN { exit !(s >= 0.5 && s < 0.9) }'
must on timed
must "$DUET" train --config timed/config.json --clock timed/clock --out repeat --threads 1 --quiet >on.out
check "--time: repeats" same timed/model.blzt repeat/model.blzt
must "$DUET" train --config timed/config.json --clock timed/clock --out parts --stop-at 0.25 --threads 1 --quiet >on.out
must on parts --stop-at 0.75
must on parts
check "--time: so does one that stops elsewhere" same timed/model.blzt parts/model.blzt

# ---- failures
status_of() { "$@" >status.out 2>status.err; echo $?; }
T="$TINY --data text.txt"
check "no room for the plan: 4" equal "$(status_of "$DUET" train $T --steps 1 --batch 65536 \
    --set hidden_size=4096 --set intermediate_size=16384 --out no)" 4
check "no room: says what it needs" says status.err 'needs [0-9.]* MB'
check "no room: leaves nothing" absent no
check "a loss that runs away: 6" equal "$(status_of "$DUET" train $T --steps 50 --lr 30 --clip 0 \
    --spike 0.3 --warmup 0 --no-rollback --out wild)" 6
check "numbers that are none: 6" equal "$(status_of "$DUET" train $T --steps 500 --lr 100 --spike 0 \
    --warmup 0 --schedule constant --weight-decay 10 --out nan)" 6
# Some limit leaves room for the program and none for the text: 5, before anything is planned.
if (ulimit -v 400000 && "$DUET" --version) >limit.out 2>&1; then
    found= v=14000
    while [ $v -le 60000 ] && [ "$found" != 5 ]; do
        found=$(status_of sh -c 'ulimit -v $0 && exec "$@"' $v "$DUET" train $T --steps 1 --out no)
        v=$((v + 500))
    done
    check "memory ran out: 5" equal "$found" 5
    check "memory ran out: leaves nothing" absent no
else
    skip "memory ran out: 5" "the program does not start within a limit (a sanitizer)"
fi
check "a wrong command line: 2" equal "$(status_of "$DUET" train $T --steps x --out no)" 2
check "a file that is not there: 1" equal "$(status_of "$DUET" train $TINY --data nowhere --steps 1 --out no)" 1
finish
