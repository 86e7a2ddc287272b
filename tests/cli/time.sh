#!/bin/sh
# --time that ends within a single micro-batch: the update is dropped at the next op, and a run that
# made none says so.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
LONG="--batch 6000"

long() { # NAME OPTION...: one micro-batch takes seconds
    l_name=$1
    shift
    must train long --time 0.3 $LONG "$@"
    check "$l_name: not much longer than --time" close_to "$(value training_seconds long.out)" 0.4 1
    check "$l_name: no update" equal "$(value num_steps long.out)" 0
    check "$l_name: says where" says long.err 'the time is used up within micro-batch 1 of 1 of update 1, since .* it is dropped'
    check "$l_name: says what to give" says long.err 'no update was made: .* --time 0.3; give a longer --time, or a smaller update'
    check "$l_name: the log has it" says long/log.jsonl '{"event":"dropped","step":0,"micro_batches":0,"of":1,'
    rm -rf long
}
long "backprop"
long "MeZO" --engine mezo --estimator spsa --lr 1e-6 --batch 12000

# An update that was done before is kept, and a run that is given more time goes on.
must train short --time 0.3
check "short updates: none is dropped for the time" sh -c '! grep -q "used up\|no update" short.err'
check "short updates: some were made" [ "$(value num_steps short.out)" -gt 1 ]
steps=$(json num_steps short/summary.json)
must "$DUET" train --resume short --time 0.6 $LONG --threads 1 >on.out 2>on.err
check "resumed: the update is dropped" says on.err "within micro-batch 1 of 1 of update $((steps + 1)),"
check "resumed: says that there was none" says on.err 'no update was made: one takes longer than what was left of --time 0.6'
check "resumed: the weights are those of before" equal "$(json num_steps short/summary.json)" "$steps"
finish
