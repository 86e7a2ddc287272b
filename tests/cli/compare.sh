#!/bin/sh
# duet compare: changed options, losses at equal places, and the paired evaluation.
. "$(dirname "$0")/lib.sh"
must stories 40000 5 >text.txt
must stories 20000 6 >other.txt
must train a --steps 40 --val-every 20
must train b --steps 40 --val-every 20 --lr 0.003
must train c --steps 20 --batch 8 --lr 0.003
must train own --steps 20 --data other.txt
S="--seq 32 --batch 4 --threads 1 --quiet --data text.txt"
must "$DUET" train $S --init a --lora 2 --steps 20 --lr 0.02 --out lora >s.out 2>s.err
differ_in() { [ -n "$1" ] && [ "$1" != "$2" ]; }
compare() { "$DUET" compare "$@" --threads 1 --quiet; }

must compare a b >ab.out 2>ab.err
check "nothing on stderr" [ ! -s ab.err ]
check "the option that differs" sh -c 'grep -q "^lr  *0.001  *0.003$" ab.out'
check "no other" equal "$(sed -n '2,/^$/p' ab.out | grep -c .)" 1
line() { sed -n 's/.*"'"$2"'","step":'"$3"',.*"'"$4"'":\([0-9.]*\),.*/\1/p' "$1/log.jsonl" | head -1; }
short() { awk -v x="$1" 'BEGIN { printf "%.4f", x }'; }
check "loss at step" sh -c 'sed -n "/^loss at step/,/^$/p" ab.out | grep -q "^20  *$1  *$2$"' - \
    "$(short "$(line a step 20 loss)")" "$(short "$(line b step 20 loss)")"
check "val_loss at step, with errors" sh -c \
    'sed -n "/^val_loss at step/,/^$/p" ab.out | grep -q "^20  *$1 +-0.0[0-9]*  *$2 +-0.0[0-9]*$"' - \
    "$(short "$(line a val 20 val_loss)")" "$(short "$(line b val 20 val_loss)")"
check "the loss that lags is not beside them" sh -c '! grep "^train_loss" ab.out'
check "at tokens: said to be linear" says ab.out '^loss at tokens (linear between lines)'
must compare a c >ac.out 2>s.err # 128 and 256 tokens a step: c has 2,560 at step 10, a at 20
check "loss at tokens: exact on a line" sh -c \
    'sed -n "/^loss at tokens/,/^$/p" ac.out | grep -q "^5120  *$1  *$2$"' - \
    "$(short "$(line a step 40 loss)")" "$(short "$(line c step 20 loss)")"
middle=$(awk -v a="$(line c step 10 loss)" -v b="$(line c step 20 loss)" \
    'BEGIN { printf "%.4f", (a + b) / 2 }')
check "loss at tokens: between two" sh -c \
    'sed -n "/^loss at tokens/,/^$/p" ac.out | grep -q "^3840  *$1  *$2$"' - \
    "$(short "$(line a step 30 loss)")" "$middle"
check "steps of both" equal "$(sed -n '/^loss at step/,/^$/p' ac.out | grep -c '^[0-9]')" 2

# ---- the paired difference is that of eval --exact --paired
exact() { "$DUET" eval "$@" --exact --data other.txt --seq 32 --threads 1 --quiet --json; }
must exact a --out a.tsv >a.json 2>s.err
must exact b --paired a.tsv >b.json 2>s.err
must exact lora --paired a.tsv >lora.json 2>s.err
must compare a b lora --data other.txt --json >j.json 2>s.err
# of KEY N: the N-th value of a key
of() { sed -n 's/.*"'"$1"'": \([-0-9.e]*\),*$/\1/p' j.json | sed -n "${2}p"; }
check "bits per byte: a" close_to "$(of bits_per_byte 1)" "$(json bits_per_byte a.json)" 1e-9
check "bits per byte: b" close_to "$(of bits_per_byte 2)" "$(json bits_per_byte b.json)" 1e-9
for i in 1 2; do
    f=$([ $i = 1 ] && echo b.json || echo lora.json)
    check "difference $i" close_to "$(of difference_bits_per_byte $i)" \
        "$(json paired_bits_per_byte $f)" 1e-9
    check "its error $i" close_to "$(of difference_stderr $i)" \
        "$(json paired_bits_per_byte_stderr $f)" 1e-9
    check "documents better $i" equal "$(of documents_better $i)" "$(json documents_better $f)"
done
n=$(of documents 1)
check "the interval is Student's" awk -v n="$n" -v d="$(of difference_bits_per_byte 1)" \
    -v s="$(of difference_stderr 1)" -v l="$(of interval_low 1)" -v h="$(of interval_high 1)" \
    'BEGIN { t = (d - l) / s; u = (h - d) / s; e = t - u; if (e < 0) e = -e
        exit !(n > 10 && t > 1.96 && t < 2.23 && e < 1e-6) }'
check "b is better, and by how much" \
    awk -v d="$(of difference_bits_per_byte 1)" 'BEGIN { exit !(d < -0.1) }'
must compare a b --data other.txt >t.out 2>s.err
check "the verdict" sh -c 'grep -q "^b .* better by [0-9.]* se$" t.out'
must compare b a --data other.txt >t.out 2>s.err
check "and the other way" sh -c 'grep -q "^a .* worse by [0-9.]* se$" t.out'
must compare a b --documents 1 --data other.txt >t.out 2>s.err
check "one document has no error" says t.out 'better; a single document has no error'
cp -r a copy
must compare a copy --documents 5 >t.out 2>s.err
check "no option differs" says t.out '^(no option differs)'
check "the same model is the same" sh -c 'grep -q "^copy .* the same$" t.out'

# ---- the validation text, from the tokens of the folder
must compare a b --json >j.json 2>s.err
check "on what both validate on" says j.json '"text": "the validation text of a"'
val=$(of documents 1)
tail -n +2 text.txt >s.txt
awk -v n="$val" 'BEGIN { RS = "<[|]endoftext[|]>\n" } { d[NR] = $0 }
    END { for (i = NR - n; i < NR; i++) printf "%s<|endoftext|>\n", d[i] }' text.txt >val.txt
must compare a b --data val.txt --json >j2.json 2>s.err
check "which is the last documents of the text" close_to "$(of bits_per_byte 1)" \
    "$(sed -n 's/.*"bits_per_byte": \([-0-9.e]*\),*$/\1/p' j2.json | head -1)" 1e-9
must "$DUET" eval b --exact --json --threads 1 --quiet >e.json
check "eval RUN --exact is on it, too" close_to "$(of bits_per_byte 2)" \
    "$(json bits_per_byte e.json)" 1e-9

# ---- the best models
cp -r a late && cp b/model.blzt late/best.blzt
must compare b late --best --json >j.json 2>s.err
check "--best: best.blzt is evaluated" equal "$(of bits_per_byte 1)" "$(of bits_per_byte 2)"
check "--best: on record" says j.json '"models": "best"'
must compare b late --json >j.json 2>s.err
check "else the last" differ_in "$(of bits_per_byte 1)" "$(of bits_per_byte 2)"

compare a own >t.out 2>t.err
check "not the same text: the rest is printed" \
    sh -c 'grep -q "^loss at step" t.out && ! grep -q bits/byte t.out'
check "and why no evaluation" \
    says t.err 'no evaluation: a and own do not validate on the same text: give one with --data'
mkdir never && cp a/config.json never && head -1 a/log.jsonl >never/log.jsonl
compare a never >t.out 2>t.err
check "a run without a model" says t.err 'no evaluation: never has no model'
check "--no-eval" sh -c '"$1" compare a b --no-eval | grep -q "^loss at step" && ! "$1" compare a b --no-eval | grep bits/byte' - "$DUET"

refuses "one run" 2 'two or more runs, found 1' "$DUET" compare a
refuses "the same run twice" 2 'a and ./a are the same run' "$DUET" compare a ./a
refuses "no run" 1 'text.txt is a file, not the folder of a run' "$DUET" compare a text.txt
refuses "--data without an evaluation" 2 '--data has no effect with --no-eval' "$DUET" compare a b \
    --no-eval --data text.txt
refuses "a text that is not there" 1 'nowhere' "$DUET" compare a b --data nowhere --quiet
refuses "windows beyond the model's" 2 'a context of' "$DUET" compare a b --seq 5000 --quiet
finish
