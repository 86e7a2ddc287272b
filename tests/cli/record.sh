#!/bin/sh
# What a run records of itself: the object "run" of config.json and summary.json, --name, --note;
# never in what is compared bit by bit.
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >text.txt
# one_of FILE: the object "run" of a config.json
one_of() { sed -n 's/^  "run": {\(.*\)}$/\1/p' "$1"; }
NOW=$(date -u +%Y-%m-%dT%H:)
must train a --steps 4 --name "first, with ä" --note 'it said "no"'
check "config.json: one line of it" equal "$(grep -c '^  "run": {.*}$' a/config.json)" 1
for key in date version commit host cpu tier threads gemm gemm_peak_gflops; do
    check "config.json has $key" [ -n "$(json $key a/config.json)" ]
    [ $key = gemm_peak_gflops ] ||
        check "summary.json has the same $key" equal "$(json $key a/summary.json)" \
            "$(one_of a/config.json | sed -n "s/.*\"$key\": *\"\{0,1\}\([^,\"]*\).*/\1/p")"
done
check "the date is now, in UTC" sh -c 'case $1 in "$2"*Z | "$3"*Z) ;; *) exit 1 ;; esac' - \
    "$(json date a/config.json)" "$NOW" "$(date -u +%Y-%m-%dT%H:)"
check "the version is the program's" equal "duet $(json version a/config.json) ($(json commit a/config.json))" \
    "$("$DUET" --version)"
check "the host is this one" equal "$(json host a/config.json)" "$(uname -n)"
check "the threads are those of the run" equal "$(json threads a/config.json)" 1
check "the backend is what auto became" equal "$(one_of a/config.json | sed 's/.*"gemm": "\([^"]*\)".*/\1/')" native
check "the peak is that of the summary" close_to "$(json gemm_peak_gflops a/config.json)" \
    "$(value gemm_peak_gflops a.out)" 0.11
check "--name is recorded" equal "$(sed -n 's/^  "name": "\(.*\)",$/\1/p' a/config.json)" "first, with ä"
check "--note too" grep -qx '  "note": "it said \\"no\\"",' a/config.json
check "summary.json repeats both" [ "$(grep -c '^  "name": "first, with ä",$\|^  "note": "it said \\"no\\""$' a/summary.json)" = 2 ]
must train b --steps 4
for file in model.blzt start.blzt tokens.shard; do
    check "no word of it in $file" same a/$file b/$file
done
check "nor in state" sh -c '! grep -aq "first, with\|\"run\"" a/state'
must train za --engine mezo --steps 3 --name one --note two
must train zb --engine mezo --steps 3
cut_seconds() { "$DUET" replay $1/base.blzt $1/trajectory.zo --out $1.blzt --quiet >rep.out 2>&1; }
check "a trajectory does not have it" sh -c '! grep -aq "one\|two\|\"run\"" za/trajectory.zo'
must cut_seconds za
must cut_seconds zb
check "nor does what is replayed" same za.blzt zb.blzt

# ---- no option is left to be decided, and numbers look like numbers
must train c --steps 2 --time 120 --compute auto
check "nothing is left to be decided" [ "$(grep -c '": -1\|"auto"' c/config.json)" -eq 0 ]
check "--compute auto says what it became" [ -n "$(json compute c/config.json)" ]
check "whole numbers have no exponent" equal "$(json time c/config.json)" 120.0

# ---- read again
must "$DUET" train --config a/config.json --out d --threads 1 --quiet >d.out 2>d.err
check "--config passes over the record" same a/model.blzt d/model.blzt
check "and the options are the same" same_options a/config.json d/config.json
started=$(json date a/config.json)
must "$DUET" train --resume a --steps 6 --threads 2 --name second --quiet >a2.out 2>a2.err
check "resumed: the start stays on record" equal "$(one_of a/config.json | sed 's/"resumed.*//; s/.*"date": "\([^"]*\)".*/\1/')" "$started"
resumed=$(one_of a/config.json | sed -n 's/.*"resumed": \[\(.*\)\].*/\1/p')
check "resumed: with its step" sh -c 'case $1 in *"\"step\": 4"*) ;; *) exit 1 ;; esac' - "$resumed"
check "resumed: what is other than at the start" sh -c 'case $1 in *"\"threads\": 2"*) ;; *) exit 1 ;; esac' - "$resumed"
check "resumed: not what is the same" sh -c 'case $1 in *version* | *host*) exit 1 ;; esac' - "$resumed"
check "--name may change" equal "$(json name a/config.json)" second
check "--note stays" grep -q '"note": "it said' a/config.json
must train e --steps 4
must "$DUET" train --resume e --steps 6 --threads 1 --quiet >e.out 2>&1
check "nothing of it in the weights" same a/model.blzt e/model.blzt
i=7
while [ $i -lt 25 ]; do
    must "$DUET" train --resume b --steps $i --threads 1 --quiet >b.out 2>b.err
    i=$((i + 1))
done
check "the last 16 processes are on record" equal "$(one_of b/config.json | grep -o '"step"' | wc -l)" 16
check "the last of them is there" sh -c 'tail -2 b/config.json | grep -q "\"step\": 23"'

# ---- what is no record, and what is damaged
for value in 3 '"x"' '[]' null true; do
    echo "{\"steps\": 1, \"run\": $value}" >bad.json
    refuses "a \"run\" that is $value is no record" 2 'bad.json: unknown key "run"' "$DUET" train \
        $TINY --data text.txt --config bad.json
done
echo '{"steps": 1, "runs": {}}' >bad.json
refuses "another name is no record" 2 'unknown key "runs"' "$DUET" train $TINY --data text.txt \
    --config bad.json
must train old --steps 2
sed -i '/^  "run": {/d; s/"log-every": 10,/"log-every": 10/' old/config.json
check "a run without a record goes on" "$DUET" train --resume old --steps 3 --threads 1 --quiet
check "and has one of this process" sh -c 'grep -q "\"run\": {\"resumed\": \[{.*\"version\"" old/config.json'
sed -i 's/"run": {.*/"run": {"date": {"a": [1]}, "host": 7, "cpu": [], "evil": "x", "resumed": [3, {"step": "many"}, null, {"date": "d"}]}/' \
    old/config.json
check "whatever it holds" "$DUET" train --resume old --steps 4 --threads 1 --quiet
check "only what duet writes is kept" sh -c '! grep -q "evil" old/config.json'
refuses "a line break in a name" 2 'name has a control character, 0x0a, at byte 3' "$DUET" train \
    $TINY --data text.txt --steps 1 --name 'one
two'
refuses "an escape in a note" 2 'note has a control character, 0x1b, at byte 0' "$DUET" train $TINY \
    --data text.txt --steps 1 --note "$(printf '\033[2J')"
refuses "a C1 control character" 2 'note has a control character, 0x9b, at byte 1' "$DUET" train \
    $TINY --data text.txt --steps 1 --note "$(printf 'a\302\233')"
refuses "no UTF-8" 2 'name is not valid UTF-8' "$DUET" train $TINY --data text.txt --steps 1 \
    --name "$(printf '\377')"
finish
