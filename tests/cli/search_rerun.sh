#!/bin/sh
# duet search rerun: a row of the ledger gives the same value and the same weights, bit for bit, also
# where the clock decided; a row that does not is told.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
# search OUT BUDGET MORE
search() {
    cat >$1.json <<END
{"base": {"model": "$SRC/models/stories260k.json", "tokenizer": "byte", "data": "text.txt",
  "set": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48,
          "num_attention_heads": 4, "num_key_value_heads": 2},
  "seq": 32, "batch": 4, "threads": 1, "lr": 1e-3, "val-windows": 16},
 "metric": {"key": "val_bpb", "exact": false}, "trials": ${4:-2}, "seeds": 2, "confidence": 0,
 "strategy": ${3:-\"random\"}, "space": {"lr": {"log": [1e-4, 1e-2]}}, "budget": {$2}}
END
    "$DUET" search $1.json --out $1 --quiet >search.out
}
# rerun STATUS ARGUMENT...: stdout in rerun.out
rerun() {
    r_status=$1
    shift
    "$DUET" search rerun "$@" --quiet >rerun.out 2>rerun.err
    r_found=$?
    [ $r_found -eq "$r_status" ] || { echo "status $r_found"; cat rerun.err rerun.out; return 1; }
}
repeats() { rerun 0 "$@" && says rerun.out 'The row repeats: value and weights are the same to the last bit'; }
# The same with what was measured, as JSON, in rerun.out.
again() { rerun 0 "$@" --json && says rerun.out '"same": true'; }
must search timed '"time": 0.15'
must search steps '"steps": 9'
updates() { json num_steps "$1/summary.json"; }
check "some updates" [ "$(updates timed/trials/0000/seed-1)" -gt 3 ]
check "the clock decided: the trial repeats" repeats timed 1 --seed 1
check "so many steps: repeats" repeats steps 1
check "nothing is left" sh -c 'ls timed steps | grep -c rerun | grep -qx 0'
check "the base, --out leaves the run" again timed 0 --out again
check "as many updates" equal "$(updates again)" "$(updates timed/trials/0000/seed-1)"
check "the same clock" same again/clock timed/trials/0000/seed-1/clock
kept=$(sed -n 's/.*"weights": "\(.*\)".*/\1/p' rerun.out)
check "JSON has the hash of the weights" equal "${#kept}" 16
check "the ledger has it" says timed/ledger.jsonl "\"weights\": *\"$kept\""
# The base was beaten or not: the weights of what was kept are still there.
best=$(json decision timed/ledger.jsonl)
for t in 0 1; do
    [ -f timed/trials/000$t/seed-1/model.blzt ] || continue
    must rerun 0 timed $t --out kept$t
    tensors timed/trials/000$t/seed-1/model.blzt >a.weights
    tensors kept$t/model.blzt >b.weights
    check "trial $t: byte for byte" same a.weights b.weights
done

# ---- rows that are not what they were
cp -r timed bad
sed -i '0,/"event": *"result"/s/\("event": *"result".*"status": *"ok", *"value": *\)/\11/' bad/ledger.jsonl
check "another value" rerun 3 bad 0 --seed 1
check "it says which" says rerun.out 'does not repeat: the weights are the same, but the ledger'
cp timed/ledger.jsonl bad/ledger.jsonl
sed -i "s/$kept/0123456789abcdef/" bad/ledger.jsonl
check "other weights" rerun 3 bad 0 --seed 1
check "it says which" says rerun.out 'does not repeat: the weights are others'
cp steps/ledger.jsonl steps.jsonl
sed -i '/"proposal"/s/"lr": *[0-9.e-]*/"lr": 0.00101/' steps/ledger.jsonl
refuses "another configuration" 1 'steps/ledger.jsonl, line 2: trial 0 has hash .* gives .* was changed' \
    "$DUET" search rerun steps 0
cp steps.jsonl steps/ledger.jsonl
cp steps/search.json steps.json.was
sed -i 's/"steps": 9/"steps": 8/' steps/search.json
refuses "another budget" 1 'steps/search.json: "budget.steps" is 8, and was 9' "$DUET" search rerun steps 0
cp steps.json.was steps/search.json
rm bad/trials/0000/seed-1/clock
cp timed/ledger.jsonl bad/ledger.jsonl
refuses "the clock is gone" 1 'the clock of row 0 is gone' "$DUET" search rerun bad 0
cp text.txt was.txt
tr a e <was.txt >text.txt
refuses "other data" 1 'text.txt is another file .* than when the search began' "$DUET" search rerun steps 0
cp was.txt text.txt

# ---- other instructions are other bits: fewer can be asked for, more cannot
DUET_CPU=generic must search plain '"steps": 9'
check "a row of fewer instructions" repeats plain 0
if [ "$("$DUET" --help | sed -n 's/.*(here: \(.*\))\./\1/p')" != generic ]; then
    refuses "a row of more" 1 'computed with the instruction set .*, here is generic' \
        env DUET_CPU=generic "$DUET" search rerun steps 0
else
    skip "a row of more" "there are none here"
fi

# ---- rungs
H='{"name": "halving", "eta": 2, "rungs": 2, "cohort": 2}'
must search rungs '"steps": 12' "$H" 3
# Value of the ledger by trial and rung.
value_at() { grep '"event": *"result"' $1/ledger.jsonl | grep "\"trial\": *$2,.*\"rung\": *$3," |
    sed 's/.*"value": *\([0-9.]*\).*/\1/'; }
up=1 stayed=2
[ -n "$(value_at rungs 2 1)" ] && up=2 stayed=1
check "the trial that stayed" repeats rungs $stayed
check "says at which rung" says rerun.out 'rung 0 (0.5 of the budget)'
check "of the one that was promoted, the rungs are two rows" [ "$(value_at rungs $up 0)" != "$(value_at rungs $up 1)" ]
for rung in 0 ""; do
    check "rung ${rung:-that is the last}" again rungs $up ${rung:+--rung $rung}
    check "which it is" equal "$(json rung rerun.out)" ${rung:-1}
    check "its own value" close_to "$(json value rerun.out)" "$(value_at rungs $up ${rung:-1})" 1e-12
done
refuses "no such rung" 2 "row $stayed has no rung 1 (--rung): its last is 0" "$DUET" search rerun rungs \
    $stayed --rung 1
must search rungs-timed '"time": 0.2' "$H" 3
up=1
[ -n "$(value_at rungs-timed 2 1)" ] && up=2
check "by the clock: promoted" repeats rungs-timed $up
check "by the clock: before that" repeats rungs-timed $up --rung 0
check "by the clock: stayed" repeats rungs-timed $((3 - up))
# A configuration that is there twice: the row of each rung is that rung of the first.
sed 's/{"log": \[1e-4, 1e-2\]}/{"choice": [1e-3, 2e-3, 3e-3]}/; s/"trials": 3/"trials": 7/' rungs.json >twice.json
must "$DUET" search twice.json --out twice --quiet >search.out
twice=$(sed -n 's/.*"trial": *\([0-9]*\),.*"rung": *1,.*"same".*/\1/p' twice/ledger.jsonl | head -1)
check "one is" [ -n "$twice" ]
for rung in 0 1; do
    check "rung $rung of what was known" again twice "$twice" --rung $rung
    check "has its value" close_to "$(json value rerun.out)" "$(value_at twice "$twice" $rung)" 1e-12
done

# ---- a driver that is killed in the middle of a run by the clock
sed 's/"time": 0.15/"time": 0.8/; s/"threads": 1/"threads": 1, "checkpoint-every": "5"/; s/"trials": 2/"trials": 1/' timed.json >killed.json
"$DUET" search killed.json --out killed --quiet >kill.out 2>&1 &
pid=$!
until [ -s killed/trials/0000/seed-1/log.jsonl ] || ! kill -0 $pid 2>/dev/null; do sleep 0.1; done
sleep 0.3
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check "goes on" "$DUET" search --resume killed --quiet
if [ "$(grep -c '"step":' killed/trials/0000/seed-1/config.json)" -ge 1 ]; then
    ok "the run was taken up"
else
    skip "the run was taken up" "it had no checkpoint yet"
fi
check "a run that was killed and taken up repeats" repeats killed 0

# ---- what makes no sense
refuses "no such row" 2 'there is no row 7: they are numbered 0 to 1' "$DUET" search rerun steps 7
refuses "no such seed" 2 'row 0 has no result with seed 7' "$DUET" search rerun steps 0 --seed 7
refuses "no row" 2 'rerun takes' "$DUET" search rerun steps
refuses "a folder that is there" 2 'again is there already; choose another --out' "$DUET" search \
    rerun steps 0 --out again
refuses "another folder" 2 'not the folder of a search' "$DUET" search rerun . 0
finish
