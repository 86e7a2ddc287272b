#!/bin/sh
# Tables of labelled examples as people have them: label names, files of other editors, one example,
# prompts that are too long; and that nothing that is not known is printed as a number.
. "$(dirname "$0")/lib.sh"
must stories 30000 6 >text.txt
must train model --steps 20 --lr 5e-3
M=model/model.blzt

printf 'index\ts\tlabel\n0\ta b\tnot_entailment\n1\tc d\tentailment\n2\te f\tentailment\n' >rte.tsv
printf 's\tlabel\na b\t0\nc d\t1\ne f\t1\n' >numbers.tsv
printf '\357\273\277s\tlabel\r\na b\t0\r\nc d\t1\r\ne f\t1\r\n\r\n' >windows.tsv
printf 's\tlabel\na b\t0\n' >one.tsv
task() { "$DUET" eval $M --template '{s}?' --quiet --task "$@"; }
must task numbers.tsv --labels n,y >numbers.out
must task rte.tsv --labels 'not_entailment=n,entailment=y' >rte.out
check "names of labels, by name=word" same rte.out numbers.out
must task rte.tsv --labels 'entailment=y,not_entailment=n' >swapped.out
check "in any order" equal "$(value loss swapped.out)" "$(value loss numbers.out)"
check "numbers beside names" sh \
    -c "'$DUET' eval $M --template '{s}?' --quiet --task numbers.tsv --labels a=n,b=y >n.out && cmp n.out numbers.out"
refuses "a name that no word has" 1 \
    'line 2: label is "not_entailment", expected a number from 0 to 1 or a name' task rte.tsv \
    --labels n,y
must task windows.tsv --labels n,y >windows.out
check "byte order mark, CR LF and an empty last line" same windows.out numbers.out

printf 's,label\n"a b",no\nc d,yes\ne f,yes\n' >table.csv
must task table.csv --labels 'no=n,yes=y' >csv.out
check "CSV" same csv.out numbers.out

must task one.tsv --labels n,y >one.out
must task one.tsv --labels n,y --json >one.json
for key in accuracy_stderr f1_stderr loss_stderr; do
    check "one example: $key" equal "$(value $key one.out)" unknown
    check "one example: $key in JSON" equal "$(json $key one.json)" null
done
check "no NaN anywhere" sh -c '! grep -i "nan\|inf\b" one.out one.json'

must "$DUET" train --init $M --task numbers.tsv --task-eval one.tsv --template '{s}?' --labels n,y \
    --steps 4 --batch 2 \
    --val-every 2 --out tuned --threads 1 >tuned.out 2>tuned.err
check "validation on one example says what is not known" says tuned.err \
    'accuracy [01].0000  F1'
check "no NaN in log and summary" sh \
    -c '! grep -i "nan\|[:,-]inf" tuned/log.jsonl tuned/summary.json tuned.out tuned.err'
check "summary: unknown is null" says tuned/summary.json '"val_loss_stderr": null'

printf 's\tlabel\n%s\t0\nc d\t1\n' "$(head -c 60 text.txt | tr '\n' ' ')" >long.tsv
must "$DUET" eval $M --template '{s}?' --task long.tsv --labels n,y >long.out 2>long.err
check "a prompt that is cut is said" says long.err \
    'long.tsv: 1 of 2 prompts are longer than 32 tokens (the longest has'
must "$DUET" train --init $M --task long.tsv --task-eval long.tsv --template '{s}?' --labels n,y \
    --steps 2 --batch 2 --out cut \
    --threads 1 >cut.out 2>cut.err
check "in training too, of both tables" equal \
    "$(grep -c 'long.tsv: 1 of 2 prompts are longer' cut.err)" 2
check "and how to avoid it" says long.err \
    'lose tokens of their columns; --seq N takes more, up to the 512 that the model is made for$'
printf 's\tlabel\n%s\t0\nc d\t1\n' "$(head -c 600 text.txt | tr '\n' ' ')" >longer.tsv
for seq in "" "--seq 100" "--seq 512"; do
    must "$DUET" eval $M --template '{s}?' --task longer.tsv --labels n,y $seq >longer.out \
        2>"eval $seq.err"
    must "$DUET" train --init $M --task longer.tsv --template '{s}?' --labels n,y --steps 1 \
    --batch 2 \
        --threads 1 --out longer --overwrite $seq >longer.out 2>"train $seq.err"
done
for c in eval train; do
    check "$c --seq below the context" says "$c --seq 100.err" '--seq N takes more, up to the 512'
    check "$c --seq of the context" says "$c --seq 512.err" \
        'longer than 512 tokens .* columns; the model is made for no more$'
done
must task long.tsv --labels n,y --seq 100 >wide.out 2>wide.err
check "--seq takes it whole" [ ! -s wide.err ]
task long.tsv --labels n,y >quiet.out 2>quiet.err
check "also with --quiet: the answers depend on it" says quiet.err 'and lose tokens of their columns'
finish
