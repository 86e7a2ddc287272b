#!/bin/sh
# Suites: the same search on several data sets, and their comparison.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >tiny.txt
must stories 20000 9 >code.txt
SETS='"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2'
BASE="{\"model\": \"$SRC/models/stories260k.json\", \"set\": {$SETS}, \"tokenizer\": \"byte\", \"seq\": 32, \"batch\": 2, \"val-windows\": 4, \"threads\": 1}"
froms() { grep '"event": *"proposal"' "$1/ledger.jsonl" | sed 's/.*"from": *"\([a-z]*\)".*/\1/' | tr '\n' ' '; }
rates() { grep '"event": *"proposal"' "$1/ledger.jsonl" | grep -o '"lr": *[0-9.e-]*'; }

echo "{\"base\": $BASE, \"budget\": {\"steps\": 4}, \"trials\": 3, \"seeds\": 1, \"space\": {\"lr\": {\"log\": [1e-4, 1e-2]}}, \"suite\": {\"tiny\": {\"data\": \"tiny.txt\"}, \"code\": {\"data\": \"code.txt\"}}}" >suite.json
check "a suite: what it takes" "$DUET" search suite.json --dry-run
cp check.out dry.out
check "of each" sh -c 'grep -qx tiny dry.out && grep -qx code dry.out'
must "$DUET" search suite.json --out suite >suite.out 2>suite.err
check "has a search for each" equal "$(froms suite/tiny)$(froms suite/code)" "base tpe tpe base tpe tpe "
check "the same configurations" equal "$(rates suite/tiny)" "$(rates suite/code)"
check "of its own text" sh -c 'grep -q "\"data\": \"$1/code.txt\"" suite/code/search.json' - "$WORK"
check "with its fingerprint" grep -q "$WORK/code.txt\": *\"[0-9a-f]\{16\}\"" suite/code/ledger.jsonl
check "and ends with the table" says suite.out '^tiny  *3 of 3 '
"$DUET" search compare suite >compare.out 2>&1
check "which compare prints again" same compare.out suite.out
"$DUET" search compare suite/code suite/tiny --json >compare.json
check "of folders, too" sh -c 'grep -c "\"decided\": 3" compare.json | grep -qx 2'
check "goes on as a whole" "$DUET" search --resume suite --trials 4 --quiet
check "to more trials" equal "$(froms suite/tiny)$(froms suite/code)" "base tpe tpe tpe base tpe tpe tpe "
check "which suite.json says, too" says suite/suite.json '"trials": 4'
n=$(cat suite/*/ledger.jsonl | wc -l)
refuses "fewer than are there" 2 'suite "tiny": .*: 2 trials are asked for, and 4 are there' \
    "$DUET" search --resume suite --trials 2 --quiet
check "nothing is on record, nor in suite.json" equal \
    "$(cat suite/*/ledger.jsonl | wc -l) $(grep -c '"trials": 4' suite/suite.json)" "$n 1"

# ---- suite.json, changed by hand
cp suite/suite.json suite.was
cat suite/*/ledger.jsonl >ledgers.was
# edited NAME SED PATTERN
edited() {
    sed "$2" suite.was >suite/suite.json
    for e_dry in "" --dry-run; do
        refuses "$1 ($e_dry)" 1 "$3" "$DUET" search --resume suite --quiet $e_dry
    done
}
edited "another budget" 's/"steps": 4/"steps": 5/' \
    'suite "tiny": suite/suite.json: "budget.steps" is 5, and was 4 when the search began'
"$DUET" search compare suite >compare.out 2>compare.err
check "compare goes on" equal $? 0
check "and says it in one line" equal "$(sed 's/ when the search.*//' compare.err)" \
    'warning: suite "tiny": suite/suite.json: "budget.steps" is 5, and was 4'
edited "another base" 's/"batch": 2/"batch": 1/' '"base.batch" is 1, and was 2'
edited "other data of one" 's/code.txt/tiny.txt/' 'suite "code": suite/suite.json: "base.data" is ".*tiny.txt", and was ".*code.txt"'
edited "another name" 's/"code": {/"cod": {/' 'suite/suite.json: "suite" has no "code", of which there is a search: put it back'
"$DUET" search compare suite >compare.out 2>compare.err
check "compare has both" equal "$? $(grep -c '^tiny \|^code ' compare.out)" "0 2"
check "and says what is not named" says compare.err '^warning: suite/suite.json: "suite" has no "code"'
cat suite/*/ledger.jsonl >ledgers.now
check "nothing is on record" same ledgers.was ledgers.now
printf '#!/bin/sh\necho "$2" >>"%s/launched"\nexec "$@"\n' "$WORK" >launch.sh
chmod +x launch.sh
sed "s|\"trials\": 4|\"trials\": 5, \"jobs\": 2, \"launcher\": \"$WORK/launch.sh\"|" suite.was >suite/suite.json
check "jobs and trials may be others: what it takes" "$DUET" search --resume suite --dry-run
check "is of as many" equal "$(grep -c '^search: *5 trials at most' check.out)" 2
check "it goes on" "$DUET" search --resume suite --quiet
check "to as many" equal "$(froms suite/tiny)$(froms suite/code)" \
    "base tpe tpe tpe tpe base tpe tpe tpe tpe "
check "through the launcher" sh -c '[ "$(grep -cx train launched)" = 2 ]'
check "by as many processes" equal "$(cat suite/*/search.json | grep -c '"jobs": 2')" 2
sed 's/"code": {/"more": {"data": "nowhere.txt"}, &/' suite.was >suite/suite.json
n=$(cat suite/*/ledger.jsonl | wc -l)
for dry in "" --dry-run; do
    refuses "a data set more, which is not there ($dry)" 1 'suite "more": .*nowhere.txt' \
        "$DUET" search --resume suite --quiet $dry
done
check "it is not begun, nor are the others gone on with" equal \
    "$(ls -d suite/more 2>&1 | grep -c 'No such') $(cat suite/*/ledger.jsonl | wc -l)" "1 $n"
cp suite.was suite/suite.json
check "as it was" "$DUET" search --resume suite --dry-run
cp check.out dry.out
check "a dry run is of what there is" says dry.out '^search: *5 trials at most'
"$DUET" search compare suite >compare.out 2>compare.err
check "and there is nothing to say" equal "$(cat compare.err)" ""
echo more >>code.txt
refuses "which a dry run refuses" 1 'suite "code": .*code.txt is another file' "$DUET" search --resume suite --dry-run --quiet
refuses "not with another text" 1 'code.txt is another file' "$DUET" search --resume suite/code --quiet
"$DUET" search --resume suite --quiet >mixed.out 2>mixed.err
check "nor as a suite: status" equal $? 1
check "nor as a suite" says mixed.err '^duet: error: 1 of 2 searches failed: suite "code": .*code.txt is another file'

# ---- a search that was stopped before it had a ledger
sed 's/"trials": 3/"trials": 1/' suite.json >early.json
must "$DUET" search early.json --out early --quiet >early.out 2>&1
rm -r early/code early/tiny/ledger.jsonl early/tiny/trials early/tiny/best.json
cp early/suite.json early.was
sed -i 's/"steps": 4/"steps": 5/' early/suite.json
refuses "is not gone on with by another budget" 1 'suite "tiny": early/suite.json: "budget.steps" is 5, and was 4' \
    "$DUET" search --resume early --quiet
check "nothing was trained" absent early/code early/tiny/ledger.jsonl
cp early.was early/suite.json
check "but by its own" "$DUET" search --resume early --quiet
check "with both" equal "$(froms early/tiny)$(froms early/code)" "base base "

# ---- searches that have nothing to show
sed 's/"threads": 1}/"threads": 1, "lr": 9, "clip": 0, "warmup": 0, "optimizer": "lion"}/
    s/"trials": 3/"trials": 2/; s/"steps": 4/"steps": 20/
    s/"space": {[^}]*}}/"space": {"accum": {"int": [1, 2]}}/' suite.json >failing.json
"$DUET" search failing.json --out failing --quiet >failing.out 2>failing.err
check "bases that diverge: status" equal $? 1
check "it is said" says failing.err '^duet: error: 2 of 2 searches failed: suite "tiny": failing/tiny: the base failed (nan): .*; nothing else was kept'
check "of each" says failing.err '^warning: suite "code": failing/code: the base failed (nan)'
check "the table has them, without values" sh -c 'grep -q "^tiny  *2 of 2" failing.out && ! grep -q nan failing.out'

refuses "one search is nothing to compare" 1 'expected two or more to compare' "$DUET" search compare suite/tiny
refuses "a suite is no search" 2 'suite is a suite, expected the folder of one of its searches: tiny, code' \
    "$DUET" search rerun suite 0
sed 's/"data": "code.txt"/"lr": 0.1/' suite.json >wrong.json
refuses "members have options of data only" 2 '"suite": "code": "lr" is no option of data' \
    "$DUET" search wrong.json --out wrong
sed 's/code.txt/nowhere.txt/' suite.json >wrong.json
refuses "all are looked at before one is begun" 1 'suite "code": .*nowhere.txt' \
    "$DUET" search wrong.json --out wrong --quiet
check "nothing is left" absent wrong
finish
