#!/bin/sh
# What has no gradient is learned: MeZO on accuracy and on F1, out of the box, lowers the share of
# wrong answers on examples that it has not seen, by more than three standard errors, with every
# seed.
. "$(dirname "$0")/lib.sh"
. "$SRC/tests/cli/objectives_task.sh"
task_files
S="--threads 1"
T="--template {sentence}: --labels y,x $S"
must "$DUET" train $TINY --data text.txt --steps 150 --batch 16 --lr 5e-3 --out language >s.out \
    2>s.err
begin() { # STEPS FOLDER: some of the task, by backpropagation
    must "$DUET" train --init language --task begin.tsv $T --steps "$1" --batch 16 --lr 1e-3 \
        --schedule constant --warmup 0 \
        --out "$2" >s.out 2>s.err
}
begin 30 some
must "$DUET" eval some --task eval.tsv $T >eval.out 2>eval.err
check "the base answers neither at random nor all" awk -v a="$(value accuracy eval.out)" \
    'BEGIN { exit !(a > 0.6 && a < 0.93) }'
learn() { # BASE OBJECTIVE SEED OPTION...
    l_base=$1 l_objective=$2 l_seed=$3
    shift 3
    must "$DUET" train --init "$l_base" --task train.tsv --task-eval eval.tsv $T --engine mezo \
        --objective "$l_objective" --batch 32 \
        --seed "$l_seed" --overwrite --out run "$@" >l.out 2>l.err
}
for objective in accuracy f1; do
    for seed in 1 2 3; do
        learn some $objective $seed --steps 200
        check "$objective, seed $seed: fewer wrong answers, beyond the error" \
            awk -v c="$(value val_change l.out)" -v d="$(value val_change_stderr l.out)" \
            'BEGIN { exit !(c < 0 && d > 0 && -c > 3 * d) }'
        check "$objective, seed $seed: nothing is warned of" sh -c '! grep warning l.err'
    done
done
check "accuracy: one direction an example" sh \
    -c "'$DUET' train --init some --task train.tsv $T --engine mezo --objective accuracy --batch 32 --steps 1 \
    --out one 2>&1 | grep -q '^grzo, 32 directions'"

# ---- answers that no perturbation changes
for steps in 30 5; do
    learn language accuracy 1 --steps $steps --eps 1e-5
    n=20
    [ $steps -lt $n ] && n=$steps
    check "$steps updates without a change are said, once" equal \
        "$(grep -c "warning: $n updates have learned nothing, as eps 1e-05 changes no answer in their batches: learn with --objective ce first" l.err)" 1
done
finish
