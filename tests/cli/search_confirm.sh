#!/bin/sh
# duet search confirm: fresh seeds, the text that no trial saw, Student's interval; what is there is
# not run again.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
# search OUT MORE: of the base; the base's rate is much too low
search() {
    cat >$1.json <<END
{"base": {"model": "$SRC/models/stories260k.json", "tokenizer": "byte", "data": "text.txt",
  "set": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48,
          "num_attention_heads": 4, "num_key_value_heads": 2},
  "seq": 32, "batch": 4, "threads": 1, "lr": 1e-4, "val-windows": 16$2},
 "metric": {"key": "val_bpb", "exact": false}, "strategy": "hand", "trials": 10, "seeds": 2,
 "budget": {"steps": 8}}
END
    "$DUET" search $1.json --out $1 --quiet >search.out
}
confirm() { "$DUET" search confirm exp --quiet "$@"; }
# run STATUS ARGUMENT...: stdout in confirm.out
status_is() {
    s_status=$1
    shift
    confirm "$@" >confirm.out 2>confirm.err
    s_found=$?
    [ $s_found -eq "$s_status" ] || { echo "status $s_found"; cat confirm.err confirm.out; return 1; }
}
search never "" >/dev/null 2>&1 &
must search exp ', "test-fraction": 0.2'
refuses "nothing was kept" 2 'nothing better than trial 0 was kept; --trial T' "$DUET" search \
    confirm exp
"$DUET" experiment --search exp lr=1e-2 --quiet >one.out 2>one.err
"$DUET" experiment --search exp lr=1.02e-4 --quiet >two.out 2>two.err
refuses "no windows of another length" 2 '"seq" cannot be changed in this search: it sets how long' \
    "$DUET" experiment --search exp seq=64 --quiet
# Two seeds are too few for the gate: what is tried is there, whatever was decided.
T="--trial 1"
check "there are three trials" [ -d exp/trials/0002 ]
check "the gain is real" status_is 0 $T
cp confirm.out first.out
check "it says so in words" says first.out 'The gain is real: trial 1 is better by at least [0-9.]* bits'
check "three fresh seeds each" says first.out '3 fresh seeds each'
check "six lines of results, one of the question" equal "$(wc -l <exp/confirm.jsonl)" 7
check "no trial had these seeds" sh -c '! grep -q "\"seed\": *10000" exp/ledger.jsonl'

# ---- what was measured, by hand
line() { grep "\"event\": *\"result\".*\"trial\": *$1,.*\"seed\": *$2," exp/confirm.jsonl; }
of() { line "$1" "$2" | sed "s/.*\"$3\": *\"\{0,1\}\([^,\"}]*\).*/\1/"; }
for t in 0 1; do
    "$DUET" train --config exp/trials/000$t/config.json --seed 100002 --out by-hand$t --threads 1 \
        --quiet >hand.out 2>hand.err
    "$DUET" eval by-hand$t --split test --exact --json --quiet >hand.json 2>hand.err
    check "trial $t: the test's bits a byte" close_to "$(of $t 100002 bits_per_byte)" \
        "$(json bits_per_byte hand.json)" 1e-10
    check "trial $t: its documents" equal "$(of $t 100002 documents)" "$(json documents hand.json)"
done
confirm $T --json >json.out 2>&1
check "the validation's is another" differ by-hand1/summary.json hand.json
awk -v a="$(of 0 100001 bits_per_byte) $(of 0 100002 bits_per_byte) $(of 0 100003 bits_per_byte)" \
    -v b="$(of 1 100001 bits_per_byte) $(of 1 100002 bits_per_byte) $(of 1 100003 bits_per_byte)" 'BEGIN {
    split(a, x, " "); split(b, y, " ")
    for (i = 1; i <= 3; i++) { d[i] = y[i] - x[i]; m += d[i] / 3 }
    for (i = 1; i <= 3; i++) s += (d[i] - m) ^ 2
    h = 4.302652729911275 * sqrt(s / 2 / 3)
    printf "%.12f %.12f %.12f\n", m, m - h, m + h }' >interval
read -r mean low high <interval
check "the mean difference" close_to "$(json difference json.out)" "$mean" 1e-9
check "Student's interval of two degrees: low" close_to "$(json low json.out)" "$low" 1e-8
check "high" close_to "$(json high json.out)" "$high" 1e-8
check "the verdict" equal "$(json verdict json.out)" better
check "the first look is Student's" equal "$(json interval json.out)" student
check "and says so" says first.out "Student's t, 2 degrees of freedom"
check "weights are on record, and the same by hand" sh -c '[ -n "$1" ] && [ ${#1} = 16 ]' - \
    "$(of 1 100002 weights)"
check "but not on the disk" absent exp/confirm/0001/seed-100001/model.blzt

# ---- again, more, otherwise
cp exp/confirm.jsonl before.jsonl
check "the same question again" status_is 0 $T
check "has the same answer" same confirm.out first.out
check "and is no further look" same exp/confirm.jsonl before.jsonl
check "one seed more" status_is 0 $T --seeds 4
check "trains two runs" equal "$(wc -l <exp/confirm.jsonl)" 10
check "and is another look" says confirm.out 'answered 1 question before'
check "which was not fixed beforehand: an interval for all looks" says confirm.out \
    '(a confidence sequence, which holds at'
check "it is on record" equal "$(grep -c '"interval": *"sequence"' exp/confirm.jsonl)" 1
confirm $T --seeds 4 --json >json.out 2>&1
check "asked again it is that, too" equal "$(json interval json.out)" sequence
# Where it ends the mean of both one-sided e-values is 1 / 0.05 (gate.h): noncentral over central t of
# three degrees of freedom as a series, of the bets 1.5 and 4.5 with weights 0.7 and 0.3.
for end in low high; do
    awk -v a="$(for i in 1 2 3 4; do of 0 10000$i bits_per_byte; done | xargs)" \
        -v b="$(for i in 1 2 3 4; do of 1 10000$i bits_per_byte; done | xargs)" \
        -v at="$(json $end json.out)" '
        function ratio(x, shift,    k, g, odd, even, term, sum) {
            even = 1; odd = 1.329340388179137 # Gamma(5/2) / Gamma(2)
            term = 1
            for (k = 0; k < 200; k++) {
                g = k % 2 ? odd : even
                sum += g * term
                if (k % 2) odd *= (k + 4) / 2; else even *= (k + 4) / 2
                term *= shift * sqrt(2) * x / (k + 1)
            }
            return sum * exp(-shift * shift / 2)
        }
        function mixture(x) { return 0.7 * ratio(x, 3) + 0.3 * ratio(x, 9) }
        BEGIN {
            split(a, u, " "); split(b, v, " ")
            for (i = 1; i <= 4; i++) { d[i] = v[i] - u[i]; m += d[i] / 4 }
            for (i = 1; i <= 4; i++) s += (d[i] - m) ^ 2
            z = 2 * (m - at); x = z / sqrt(s + z * z)
            printf "%.9f\n", (mixture(x) + mixture(-x)) / 2
        }' >evidence
    check "the sequence: $end" close_to "$(cat evidence)" 20 1e-4
done
check "the other way round it is worse" status_is 3 --trial 0 --against 1 --seeds 4
check "and says so" says confirm.out 'There is no gain: trial 0 is worse by at least'
check "by the same kind of interval" says confirm.out '(a confidence sequence'
check "what makes no difference is not shown" status_is 3 --trial 2 --seeds 2
check "and says so" says confirm.out 'A gain is not shown: the interval holds 0.*--seeds 4'

# ---- cut, killed
head -c 700 before.jsonl >exp/confirm.jsonl
check "cut off: the rest is run again" status_is 0 $T
# Without times, and what a line of other times would write to another digit.
results() { sed 's/, *"seconds".*//; s/, *"date".*//; s/\([0-9]\.[0-9]\{9\}\)[0-9]*/\1/g' "$1"; }
results before.jsonl >a.jsonl
results exp/confirm.jsonl >b.jsonl
check "to the same results" same a.jsonl b.jsonl
rm exp/confirm.jsonl
rm -rf exp/confirm
"$DUET" search confirm exp --quiet $T >kill.out 2>&1 &
pid=$!
sleep 0.7
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check "killed: goes on" status_is 0 $T
results exp/confirm.jsonl >b.jsonl
check "to the same results" same a.jsonl b.jsonl

# ---- what makes no sense
refuses "no such trial" 2 'there is no trial 9 (--trial): they are numbered 0 to 2' "$DUET" search \
    confirm exp --trial 9
refuses "against itself" 2 '\-\-trial and --against are both 1' "$DUET" search confirm exp --trial 1 \
    --against 1
refuses "one seed" 2 '\-\-seeds is 1, expected' "$DUET" search confirm exp --seeds 1
exec 9>>exp/ledger.jsonl
flock 9
refuses "beside a search" 2 'a search is going on in it; confirm when it has ended' "$DUET" search \
    confirm exp $T
exec 9>&-
exec 9>>exp/confirm.jsonl
flock 9
refuses "beside another confirm" 2 'another process is confirming in it' "$DUET" search confirm exp $T
exec 9>&-
refuses "another folder" 2 'not the folder of a search' "$DUET" search confirm .
wait
cp text.txt was.txt
tr a e <was.txt >text.txt
cp exp/confirm.jsonl before.jsonl
refuses "other text" 1 'text.txt is another file .* than when the search began' "$DUET" search confirm \
    exp --trial 1 --seeds 5
cp was.txt text.txt
cp exp/search.json search.was
sed -i 's/"steps": 8/"steps": 9/' exp/search.json
refuses "another budget" 1 'exp/search.json: "budget.steps" is 9, and was 8 when the search began' \
    "$DUET" search confirm exp --trial 1 --seeds 5
cp search.was exp/search.json
check "and nothing is recorded" same exp/confirm.jsonl before.jsonl
"$DUET" experiment --search never lr=1e-2 --quiet >one.out 2>one.err
check "a base without a share for the test has one" says never/search.json '"test-fraction": 0.05'
must search none ', "test-fraction": 0'
"$DUET" experiment --search none lr=1e-2 --quiet >one.out 2>one.err
refuses "a test-fraction of 0" 2 'no text that no trial saw: its base has a test-fraction of 0' \
    "$DUET" search confirm none --trial 1
echo '{"event":"result"}' >never/confirm.jsonl
refuses "a line that is none" 1 'confirm.jsonl, line 1: expected a "result"' "$DUET" search confirm \
    never --trial 1
finish
