#!/bin/sh
# Options that could change nothing with the others are refused by name; a finished run says which
# ones changed nothing.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
printf 'sentence\tlabel\na\t0\nb\t1\nc\t1\nd\t0\n' >task.tsv
must train start --steps 4 --set intermediate_size=64
none() { # OPTION PATTERN OTHER...
    n_option=$1 n_pattern=$2
    shift 2
    refuses "$n_option, $*" 2 "$n_option.* has no effect $n_pattern" "$DUET" train $TINY --data text.txt --steps 2 --out x "$@"
}
none --decay-share "on schedule constant" --schedule constant --decay-share 0.2
none --decay-share "on schedule linear" --engine mezo --lr 1e-6 --decay-share 0.2
none --min-lr "on schedule constant" --schedule constant --min-lr 0.2
none --adam-eps "on optimizer lion" --optimizer lion --adam-eps 1e-6
none --beta2 "on optimizer momentum" --optimizer momentum --optimizer-matrix adamw --beta2 0.9
none --matrix-beta2 "on optimizer momentum" --optimizer-matrix momentum --matrix-beta2 0.9
none --matrix-beta2 "on optimizer muon without --muon-normalise" --optimizer-matrix muon --matrix-beta2 0.9
refuses "an option of another optimizer" 2 '--muon-steps belongs to --optimizer-matrix muon' "$DUET" train $TINY \
    --data text.txt --steps 2 --out x --muon-steps 3
none --head-lr "on a model whose classifier is its embedding" --head-lr 2
none --keep-best "without validations on the way: give --val-every" --keep-best
none --keep-best "without validations on the way" --keep-best --val-every 0
none --val-every "without data to validate on" --val-fraction 0 --val-every 2
none --val-windows "without data to validate on" --val-fraction 0 --val-windows 2
L="--init start/model.blzt --data text.txt --seq 32 --batch 4 --threads 1 --lora 2 --steps 2"
for option in weight-decay embed-decay embed-lr head-lr matrix-lr matrix-beta1 matrix-beta2 norm-decay norm-lr; do
    refuses "--$option with frozen weights" 2 "--$option has no effect with --lora" "$DUET" train $L --out x --$option 0.5
done
refuses "--optimizer-matrix with frozen weights" 2 "--optimizer-matrix has no effect with --lora" \
    "$DUET" train $L --out x --optimizer-matrix lion
check "what is said to be off" "$DUET" train $L --out off --weight-decay 0 --embed-decay 0 --norm-lr 1 --val-every 0
check "--norm-lr with --lora-norms" "$DUET" train $L --out norms --lora-norms --norm-lr 0.5
refuses "--val-every without examples" 2 'no effect without examples to validate on: give --task-eval' "$DUET" train --init start/model.blzt \
    --task task.tsv --template '{sentence}:' --labels x,y --batch 2 --steps 2 --val-every 1 --threads 1 --out x
refuses "grzo with one direction" 2 'grzo has one direction an example' "$DUET" train $TINY --data text.txt --engine mezo --estimator grzo \
    --directions 1 --steps 2 --out x
check "nothing was made" absent x

# A file holds every option, those without effect too; so does the record of a run that goes on.
must train linear --schedule linear --steps 4
must "$DUET" train --config linear/config.json --threads 1 --out again >s.out 2>s.err
check "config.json repeats a run" same linear/model.blzt again/model.blzt
must train zo --engine mezo --estimator grzo --lr 1e-5 --steps 3
must train zo5 --engine mezo --estimator grzo --lr 1e-5 --steps 5 --schedule constant
sed -i 's/^{/{ "directions": 1,/' zo/config.json
check "what an old run recorded: goes on" "$DUET" train --resume zo --steps 5 --threads 1
rm -rf again
check "what an old run recorded: is repeated" "$DUET" train --config zo/config.json --threads 1 --out again
check "another schedule when going on" "$DUET" train --resume start --steps 6 --schedule constant --threads 1

# ---- a finished run
end() { # OPTION...
    "$DUET" train --resume linear --threads 1 "$@" >end.out 2>end.err
}
must end --steps 2
check "--steps below: says what was asked" says end.err \
    'linear is finished: 4 updates (--steps 2 asks for no more); --steps N above 4 trains on'
check "--steps below: no more than that" equal "$(wc -l <end.err)" 1
must end --steps 4 --time 5 --weights bf16 --schedule cosine --batch 4
check "options that differ: are named" says end.err '^there is nothing to train, so this changed nothing: --weights --time --schedule$'
must end --steps 4 --schedule linear
check "options of the run: are not" equal "$(grep -c 'changed nothing' end.err)" 0
check "config.json is as it was" equal "$(json schedule linear/config.json)" linear
must train timed --time 0.2
must "$DUET" train --resume timed --time 0.1 --threads 1 >end.out 2>end.err
check "--time below" says end.err 'timed is finished: [0-9]* updates in 0.2 s of training (--time 0.1 asks for no more); a --time above 0.2'
finish
