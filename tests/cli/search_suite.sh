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
cat suite/*/ledger.jsonl >ledgers.now
check "nothing is on record" same ledgers.was ledgers.now
sed 's/"trials": 3/"trials": 9, "jobs": 2/' suite.was >suite/suite.json
check "jobs and trials may be others" "$DUET" search --resume suite --quiet
cp suite.was suite/suite.json
check "as it was" "$DUET" search --resume suite --dry-run
cp check.out dry.out
check "a dry run is of what there is" says dry.out '^search: *4 trials at most'
"$DUET" search compare suite >compare.out 2>compare.err
check "and there is nothing to say" equal "$(cat compare.err)" ""
echo more >>code.txt
refuses "which a dry run refuses" 1 'suite "code": .*code.txt is another file' "$DUET" search --resume suite --dry-run --quiet
refuses "not with another text" 1 'code.txt is another file' "$DUET" search --resume suite/code --quiet
"$DUET" search --resume suite --quiet >mixed.out 2>mixed.err
check "nor as a suite: status" equal $? 1
check "nor as a suite" says mixed.err '^duet: error: 1 of 2 searches failed: suite "code": .*code.txt is another file'
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
