#!/bin/sh
# Nothing is lost: the best model beside the last, the last N, an end by patience, training on after
# an end, and a way back when training diverges.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
head -c 2500 text.txt >small.txt
must "$DUET" train $TINY --data text.txt --steps 3 --out start >s.out 2>s.err
on() { # RUN OPTION...
    o_run=$1
    shift
    "$DUET" train --resume "$o_run" --threads 1 "$@" >on.out 2>on.err ||
        { cat on.err; return 1; }
}
vals() { sed -n 's/{"event":"val","step":\([0-9]*\),.*"val_loss":\([0-9.]*\),.*/\1 \2/p' \
    "$1/log.jsonl"; }
lowest() { vals "$1" | sort -k2,2 -n | head -1; }
steps_done() { json num_steps "$1/summary.json"; }

# ---- a run that learns its few lines by heart: the best is not the last
OVER="$TINY --data small.txt --val-fraction 0.3 --lr 0.02 --schedule constant"
must "$DUET" train $OVER --steps 600 --val-every 25 --patience 6 --out over >over.out 2>over.err
best=$(lowest over | cut -d' ' -f1) end=$(steps_done over)
check "--patience 6 ends it" equal "$end" $((best + 150))
check "the summary names the best" equal \
    "$(json best_step over/summary.json) $(json best_val_loss over/summary.json | cut -c1-6)" \
    "$best $(lowest over | cut -d' ' -f2 | cut -c1-6)"
check "and the last" equal \
    "$(json val_loss over/summary.json | cut -c1-6)" \
    "$(vals over | tail -1 | cut -d' ' -f2 | cut -c1-6)"
check "the trailer names it" equal "$(value best_step over.out)" "$best"
check "the last line says where it is" sh \
    -c "tail -4 over.err | grep -q '^      over/best.blzt (the best: step $best, val_loss [0-9.]*)$'"
must "$DUET" train $OVER --steps "$best" --out upto >upto.out 2>upto.err
check "best.blzt is the model of that step" same over/best.blzt upto/model.blzt
check "each validation is there once" [ "$(vals over | cut -d' ' -f1 | uniq -d | wc -l)" -eq 0 ]

# ---- it is finished; training on keeps it
check "a run that ended by patience resumes to its summary" on over
check "and says so" says on.err "over is finished: at step $end 6 validations .*--patience"
check "the same figures" equal "$(value val_loss on.out)" "$(value val_loss over.out)"
check "nothing was trained" equal "$(steps_done over) $(value num_steps on.out)" "$end $end"
cp over/log.jsonl log.kept
check "a larger --patience trains on" on over --patience 8
check "the log keeps its history" sh -c 'head -c $(wc -c <log.kept) over/log.jsonl | cmp - log.kept'
check "the best stays" same over/best.blzt upto/model.blzt
check "the summary keeps the earlier end" equal "$(grep -c '"num_steps"' over/summary.json)" 2
check "as it was" equal \
    "$(sed -n '/history/,$p' over/summary.json | sed -n 's/.*"num_steps": \([0-9]*\).*/\1/p')" \
    "$end"

must "$DUET" train $TINY --data text.txt --steps 20 --out fin >fin.out 2>fin.err
check "no best.blzt without --val-every" absent fin/best.blzt
cp fin/model.blzt fin.blzt
check "a finished run: --steps not above" on fin --steps 20
check "a finished run: says what to give" says on.err \
    'fin is finished: 20 updates (--steps 20); --steps N above 20'
check "a finished run: --steps above, a rate that spoils it" on fin --steps 30 --lr 3 \
    --schedule linear --clip 0 --spike 0
check "says that the finished model is kept" says on.err \
    'the finished model of step 20 is kept as fin/best.blzt'
check "says that the rate rises again" says on.err 'the learning rate is .* again, not'
check "and at the end where it is" says on.err '^      fin/best.blzt (the best: step 20, val_loss'
check "it is" same fin/best.blzt fin.blzt
check "the summary names both" equal "$(json best_step fin/summary.json) $(steps_done fin)" "20 30"
must "$DUET" train $TINY --data text.txt --steps 4 --no-keep-best --out lose >lose.out 2>lose.err
check "--no-keep-best says what is lost" on lose --steps 5
check "--no-keep-best says it" says on.err \
    'no-keep-best: the finished model of step 4 will be replaced'
must "$DUET" train $TINY --data text.txt --time 0.3 --out timed >timed.out 2>timed.err
check "a finished run with --time" on timed
check "says what to give" says on.err 'timed is finished: .* a --time above'

must "$DUET" train $TINY --data text.txt --steps 10 --out stop >s.out 2>s.err
cp stop/model.blzt stop.blzt
(exec "$DUET" train --resume stop --steps 1000000 --lr 3 --clip 0 --spike 0 --threads 1) >k.out \
    2>k.err &
pid=$!
while ! grep -q '"step":[2-9]0' stop/log.jsonl && kill -0 $pid 2>/dev/null; do sleep 0.05; done
kill -TERM $pid
wait $pid
check "trained on and stopped: the finished model is there" same stop/best.blzt stop.blzt
check "trained on and stopped: says where" says k.err '^      stop/best.blzt (the best: step 10, val_loss'

# ---- LoRA
must "$DUET" train --init start/model.blzt --lora 2 --data text.txt --seq 32 --batch 4 --steps 6 \
    --val-every 2 --threads 1 \
    --out lora >s.out 2>s.err
check "LoRA: adapter.best.blzt" same lora/adapter.best.blzt lora/adapter.blzt

# ---- killed and resumed: the same best
must "$DUET" train $OVER --steps 200 --val-every 10 --checkpoint-every 17 --keep 3 --out straight \
    >s.out 2>s.err
cp -r straight/checkpoints kept
(exec "$DUET" train $OVER --steps 200 --val-every 10 --checkpoint-every 17 --keep 3 --out broken) \
    >k.out 2>k.err &
pid=$!
while [ ! -f broken/state ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
must on broken
check "killed and resumed: the same best" same straight/best.blzt broken/best.blzt
check "killed and resumed: the same figures" equal "$(json best_val_loss broken/summary.json)" \
    "$(json best_val_loss straight/summary.json)"
check "killed and resumed: the same validations" equal "$(vals broken)" "$(vals straight)"

# ---- the windows around the naming of the best
must "$DUET" train $TINY --data text.txt --steps 6 --val-every 3 --lr 0.002 --out w >s.out 2>s.err
must "$DUET" train $TINY --data text.txt --steps 9 --val-every 3 --lr 0.002 --out w9 >s.out 2>s.err
rm w/best.blzt
check "a lost best: goes on" on w --steps 9 --val-windows 20
check "a lost best: there is one again" [ -f w/best.blzt ]
must "$DUET" train $OVER --steps 300 --val-every 25 --out again >s.out 2>s.err
check "other validation windows: the best is measured again" on again --steps 325 --val-windows 3 \
    --lr 0
check "other validation windows: says so" says on.err 'validation has changed: the best, of step'

# ---- --keep
check "--keep 3: the last three" equal "$(ls kept | sort -n | tr '\n' ' ')" "170 187 200 "
cp kept/187/* straight/
check "--keep: an earlier checkpoint goes on" on straight --steps 200
check "--keep: to the same weights" same straight/model.blzt broken/model.blzt
must "$DUET" train $OVER --steps 2 --overwrite --out broken >s.out 2>s.err
check "--overwrite removes kept checkpoints and the best" absent broken/checkpoints broken/best.blzt

# ---- divergence
killed() { # RUN OPTION...: it goes on after it was killed behind its rollback
    k_run=$1
    shift
    (exec "$DUET" train "$@") >k.out 2>k.err &
    pid=$!
    while ! grep -q rollback "$k_run/log.jsonl" 2>/dev/null &&
        kill -0 $pid 2>/dev/null; do sleep 0.02; done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    must on "$k_run"
}
# A model whose weights are still sound goes on at a rate of 1: within ten updates the smoothed loss
# is 6 above its best. At half of that it was at most 4.2 above it, with every instruction set, and
# from the start at most 0.7.
LOUD="$TINY --data text.txt --clip 0 --warmup 0 --schedule constant --log-every 1"
must "$DUET" train $LOUD --spike 6 --steps 10 --checkpoint-every 5 --lr 1e-2 --out sound >s.out 2>s.err
WILD="--steps 150 --lr 1 --threads 1"
for run in gaveup wild wild2 twice; do cp -r sound $run; done
refuses "--no-rollback stops" 6 'more than --spike 6; training stopped' "$DUET" train \
    --resume gaveup $WILD --no-rollback
check "--rollback goes on" "$DUET" train --resume wild $WILD
at=$(sed -n 's/{"event":"rollback","step":\([0-9]*\),.*/\1/p' wild/log.jsonl)
check "--rollback: once, to the checkpoint from before the loss rose" equal "$at" 10
rate() { sed -n "/rollback/,\$s/.*\"event\":\"step\",\"step\":$1,.*\"lr\":\([0-9.e-]*\),.*/\1/p" \
    wild/log.jsonl | head -1; }
check "--rollback: half the rate" close_to "$(rate 150)" 0.5 1e-9
check "--rollback: nothing is left over" absent wild/state.good wild/model.good.blzt
killed wild2 --resume wild2 $WILD
check "--rollback: killed after it, the same weights" same wild/model.blzt wild2/model.blzt
refuses "a second divergence stops" 6 'training stopped, the last good checkpoint' \
    "$DUET" train --resume twice $WILD --lr 2
check "after one rollback" [ "$(grep -c '"rollback"' twice/log.jsonl)" -eq 1 ]
refuses "nothing saved yet" 6 'nothing had been saved yet' "$DUET" train $LOUD --steps 150 --lr 100 \
    --spike 1 --checkpoint-every 5 --no-rollback --out none
# before the first checkpoint the way back is the start: from there on as with half the rate
START="$LOUD --spike 3 --checkpoint-every 1000 --lr 1 --steps 60"
must "$DUET" train $START --out begin >s.out 2>s.err
check "no checkpoint yet: back to the start" says s.err 'going back to step 0, with 0.5 of the rate'
must "$DUET" train $START --lr 0.5 --out half >s.out 2>s.err
check "no checkpoint yet: the weights of half the rate" same begin/model.blzt half/model.blzt
check "with half the rate it did not come to that" sh -c '! grep -q "going back" s.err'
killed begin2 $START --out begin2
check "no checkpoint yet: killed after it, the same weights" same begin/model.blzt begin2/model.blzt
check "no checkpoint yet: so too with sgd" sh \
    -c '! "$@" 2>s.err && grep -q "going back to step 0" s.err' - \
    "$DUET" train $TINY --data text.txt --steps 50 --optimizer sgd --lr 100 --clip 0 --out sgd
check "no checkpoint yet: once" [ "$(grep -c '"rollback"' sgd/log.jsonl)" -eq 1 ]
LORA="--init start/model.blzt --data text.txt --lora 4 --lora-norms --batch 4 --seq 32 --clip 0 --steps 40 --spike 0.3 --warmup 60 \
    --schedule constant --threads 1 --checkpoint-every 1000"
must "$DUET" train $LORA --lr 64 --out ladapter >s.out 2>s.err
check "LoRA: back to the start" says s.err 'going back to step 0'
must "$DUET" train $LORA --lr 32 --out lhalf >s.out 2>s.err
check "LoRA: the weights of half the rate" same ladapter/adapter.blzt lhalf/adapter.blzt
check "LoRA: the change since the start" equal "$(json val_change ladapter/summary.json)" \
    "$(json val_change lhalf/summary.json)"
check "LoRA: it is there" [ -n "$(json val_change ladapter/summary.json)" ]
ZO="$TINY --data text.txt --engine mezo --clip 0 --spike 0.3 --checkpoint-every 1000 --warmup 200 --schedule constant --steps 12"
must "$DUET" train $ZO --lr 0.02 --out zo >s.out 2>s.err
check "MeZO: back to the start" says s.err 'going back to step 0'
must "$DUET" train $ZO --lr 0.01 --out zohalf >s.out 2>s.err
check "MeZO: the weights of half the rate" same zo/model.blzt zohalf/model.blzt
must "$DUET" replay zo/base.blzt zo/trajectory.zo -o zo.blzt --threads 1
check "MeZO: the trajectory begins again" same zo.blzt zo/model.blzt
M="$TINY --data text.txt --engine mezo --lr 0.1 --clip 0 --spike 0.3 --checkpoint-every 4 --warmup 200 --schedule constant --steps 120"
"$DUET" train $M --out m >m.out 2>m.err
check "MeZO: goes back" says m/log.jsonl '"rollback"'
must "$DUET" info m/model.blzt --json >info.out
at=$(sed -n 's/.*"step": *\([0-9]*\).*/\1/p' info.out | head -1)
check "MeZO: the trajectory leads to the weights" "$DUET" replay m/base.blzt m/trajectory.zo \
    -o m.blzt --to-step "$at" --threads 1
check "MeZO: to the bit" same m.blzt m/model.blzt

# ---- later validations are compared with the first of the run, not of the process
# changes RUN: of its validations
changes() { sed -n '/"event":"val"/s/"seconds":[^,]*,//p' "$1/log.jsonl"; }
FROM="--init start/model.blzt --data text.txt --seq 32 --batch 4 --threads 1 --val-windows 6 --steps 18 --val-every 6 --keep 9 --checkpoint-every 3"
# as_if_killed NAME STEP OPTION...
as_if_killed() {
    c_name=$1 c_step=$2
    shift 2
    rm -rf whole half
    must "$DUET" train "$@" --out whole >whole.out 2>whole.err
    cp -r whole half
    cp half/checkpoints/$c_step/* half
    rm half/summary.json
    [ -f half/trajectory.zo ] && sed -i "/\"step\":$((c_step + 1)),/,\$d" half/log.jsonl
    must "$DUET" train --resume half --threads 1 >half.out 2>half.err
    changes whole >whole.val
    changes half >half.val
    check "$c_name: the change is that of the run that went through" same whole.val half.val
    check "$c_name: so in the summary" equal \
        "$(json val_change half/summary.json) $(json val_change_stderr half/summary.json)" \
        "$(json val_change whole/summary.json) $(json val_change_stderr whole/summary.json)"
    check "$c_name: so at the end" equal "$(grep -c val_change half.out)" \
        "$(grep -c val_change whole.out)"
}
as_if_killed "from a file" 9 $FROM --lr 1e-2
check "from a file: since step 0" says half.err 'step 12  val_loss .* since step 0'
as_if_killed "MeZO" 9 $FROM --engine mezo --schedule constant --val-every 18
as_if_killed "at a validation" 6 $FROM --lr 1e-2
as_if_killed "before the first validation" 3 $TINY --data text.txt --val-windows 6 --steps 18 \
    --val-every 6 --keep 9 --checkpoint-every 3
check "before the first validation: since step 6" says half.err \
    'step 12  val_loss .* since step 6'
as_if_killed "after it" 9 $TINY --data text.txt --val-windows 6 --steps 18 --val-every 6 --keep 9 \
    --checkpoint-every 3
cp -r half other
must "$DUET" train --resume other --val-windows 5 --steps 24 --threads 1 >other.out 2>other.err
check "other windows: what was before is nothing to compare with" sh \
    -c '! grep -q "since step 6" other.err'
cp -r half bad
head -c 50 half/val-first.json >bad/val-first.json
cp -r bad gone
rm gone/val-first.json
must "$DUET" train --resume bad --steps 24 --threads 1 >bad.out 2>bad.err
check "a damaged file of losses: a line, and on it goes" says bad.err 'bad/val-first.json:1: .*; later validations are compared with the next one'
check "the next is the first" sh -c '! grep -q "since step [06] " bad.err'
must "$DUET" train --resume gone --steps 24 --threads 1 >gone.out 2>gone.err
check "without the file the next is the first" sh -c '! grep -q "since step [06] " gone.err'

# ---- options that make no sense
refuses "--patience without --val-every" 2 '--patience belongs to --val-every' "$DUET" train $TINY \
    --data text.txt --steps 3 --patience 2

# ---- what nothing depends on may be damaged; what is refused has changed nothing
must train side --steps 6 --val-every 3
cp -r side cut
head -c 100 side/summary.json >cut/summary.json
check "a damaged summary: goes on" on cut
check "a damaged summary: says so" says on.err 'cut/summary.json: line .*; the summary is made anew'
check "a damaged summary: is made anew" equal "$(json val_loss cut/summary.json) $(steps_done cut)" "$(json val_loss side/summary.json) 6"
check "a damaged summary: the weights are as they were" same cut/model.blzt side/model.blzt
listed() { (cd "$1" && find . -type f -exec cksum {} + | sort); }
# unchanged NAME STATUS PATTERN RUN OPTION...
unchanged() {
    u_name=$1 u_status=$2 u_pattern=$3 u_run=$4
    shift 4
    listed "$u_run" >before.txt
    refuses "$u_name" "$u_status" "$u_pattern" "$DUET" train --resume "$u_run" --threads 1 "$@"
    check "$u_name: says nothing else" equal "$(grep -c 'is kept as' refuse.err)" 0
    listed "$u_run" >after.txt
    check "$u_name: nothing has changed" same before.txt after.txt
}
for lora in "" "--init start/model.blzt --lora 2"; do
    rm -rf zo3
    must "$DUET" train ${lora:-$SHAPE --tokenizer byte} --data text.txt --seq 32 --batch 4 --threads 1 --engine mezo --lr 1e-5 --steps 3 \
        --out zo3 >s.out 2>s.err
    unchanged "a refused option of recorded updates$lora" 2 '--eps differs from what zo3/trajectory.zo was recorded with' zo3 --steps 5 --eps 0.1
    mv zo3/trajectory.zo whole.zo
    unchanged "no trajectory$lora" 1 'zo3/trajectory.zo is missing: the 3 updates' zo3 --steps 5
    head -c $(($(wc -c <whole.zo) - 9)) whole.zo >zo3/trajectory.zo
    unchanged "a trajectory that is too short$lora" 1 'holds 2 updates, but the checkpoint beside it has 3' zo3 --steps 5
done

# The tokens and the record of where everything came from: text.txt moves away and back.
cp text.txt here.txt
must train tokens --data here.txt --val-data small.txt --steps 4
cp -r tokens plain
must on plain --steps 6
for name in tokens val; do
    from=here.txt
    [ $name = val ] && from=small.txt
    rm -rf cut
    cp -r tokens cut
    head -c 300 tokens/$name.shard >cut/$name.shard
    mv $from away.txt
    unchanged "damaged $name.shard, no text" 1 \
        "shard cut/$name.shard is cut off: .*; and .*$from, of which these tokens could be made anew, is not there" cut --steps 6
    mv away.txt $from
    check "damaged $name.shard: goes on with the text" on cut --steps 6
    check "damaged $name.shard: says so" says on.err "cut/$name.shard is cut off: .*; the tokens are made anew"
    check "damaged $name.shard: the same weights" same cut/model.blzt plain/model.blzt
    check "damaged $name.shard: it is whole again" same cut/$name.shard tokens/$name.shard
done
rm -rf cut
cp -r tokens cut
head -c 300 tokens/start.blzt >cut/start.blzt
check "damaged start.blzt: goes on" on cut --steps 6
check "damaged start.blzt: says so" says on.err 'cut/start.blzt: .*; it is made anew, and whether data and base are those'
check "damaged start.blzt: the same weights" same cut/model.blzt plain/model.blzt
check "damaged start.blzt: it is whole again" same cut/start.blzt plain/start.blzt
finish
