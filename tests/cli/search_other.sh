#!/bin/sh
# Searches that ask a program, and that come from the command line.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >tiny.txt
SETS='"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2'
base() { echo "{\"model\": \"$SRC/models/stories260k.json\", \"set\": {$SETS}, \"tokenizer\": \"byte\", \"seq\": 32, \"batch\": 2, \"val-windows\": 4, \"threads\": 1$1}"; }
base ', "data": "tiny.txt"' >base.json
# search NAME STRATEGY [MORE [TRIALS]]: a file of four tiny trials, or so many
search() { echo "{\"base\": $(base ', "data": "tiny.txt"'), \"budget\": {\"steps\": 2}, \"trials\": ${4:-4}, \"seeds\": 1, \"metric\": {\"key\": \"val_loss\"}, \"space\": {\"lr\": {\"log\": [1e-4, 1e-2]}, \"batch\": {\"choice\": [1, 2, 4]}}, \"strategy\": $2${3:-}}" >"$1"; }
# of trial N in a ledger: FIELD
proposal() { grep '"event": *"proposal"' "$1/ledger.jsonl" | sed -n "$(($2 + 1))p"; }
froms() { grep '"event": *"proposal"' "$1/ledger.jsonl" | sed 's/.*"from": *"\([a-z]*\)".*/\1/' | tr '\n' ' '; }
# The proposals without when they were made.
proposals() { grep '"event": *"proposal"' "$1/ledger.jsonl" | sed 's/"date": *"[^"]*"//'; }

# ---- a program proposes
cat >propose.sh <<'END'
cat >question.$(ls question.* 2>/dev/null | wc -l)
n=$(ls question.* | wc -l)
echo "{\"lr\": 0.00$n, \"batch\": 4}"
END
search command.json '{"name": "command", "run": "sh propose.sh"}'
check "a search that asks a program" "$DUET" search command.json --out asked --quiet
check "has its proposals" equal "$(froms asked)" "base command command command "
check "as it printed them" sh -c 'grep -c "\"config\": *{\"lr\": *0.00[123], *\"batch\": *4}" asked/ledger.jsonl | grep -qx 3'
check "it was told the history" sh -c 'grep -c "\"event\":\"trial\"" question.2 | grep -qx 3'
check "with results" grep -q '"trial":2,.*"lr":0.002.*"status":"ok","value":[0-9]' question.2
check "and the space" grep -q '"space":{"lr":{"log":\[0.0001,0.01\]}' question.0
check "its file has a whole path in search.json" grep -q "\"$WORK/propose.sh\"" asked/search.json

# ---- killed, and gone on with: what was proposed stays
rm -f question.*
search killed.json '{"name": "command", "run": "sh once.sh"}'
cat >once.sh <<'END'
cat >/dev/null
n=$(cat count 2>/dev/null || echo 0)
echo $((n + 1)) >count
[ "$n" -lt 2 ] || { [ -e go ] || { touch waits; sleep 60; }; }
echo "{\"lr\": 0.00$((n + 1)), \"batch\": 4}"
END
"$DUET" search killed.json --out killed --quiet >killed.out 2>&1 &
pid=$!
for i in $(seq 300); do [ -e waits ] || sleep 0.1; done
kill -9 $pid
wait $pid 2>/dev/null
proposals killed >killed.before
check "killed while the program thinks" equal "$(wc -l <killed.before | tr -d ' ')" 3
touch go
check "it goes on" "$DUET" search --resume killed --quiet
proposals killed | head -n 3 >killed.after
check "with the proposals that there were" same killed.before killed.after
check "and asks for the next" equal "$(froms killed)" "base command command command "

# ---- two jobs: it sees what every strategy sees, and a signal while it thinks ends the search
rm -f question.*
search jobs.json '{"name": "command", "run": "sh propose.sh"}' ', "jobs": 2'
check "with two jobs" "$DUET" search jobs.json --out jobs --quiet
check "the one before is pending, ended or not" grep -q '"trial":2,.*"status":"pending","value":null' question.2
check "those before it are not" sh -c 'grep -c "\"status\":\"ok\"" question.2 | grep -qx 2'
search slow.json '{"name": "command", "run": "sh slow.sh"}' '' 2
echo 'touch thinks; exec sleep 100' >slow.sh
"$DUET" search slow.json --out slow --quiet >slow.out 2>slow.err &
pid=$!
for i in $(seq 300); do [ -e thinks ] || sleep 0.1; done
kill -TERM $pid
wait $pid
check "SIGTERM while it thinks" equal "$(froms slow)" "base "
check "is said" says slow.err 'search --resume slow goes on'
echo 'echo "{\"lr\": 0.00$(date +%N | cut -c 1-4)1, \"batch\": 1}"' >slow.sh
check "and goes on" "$DUET" search --resume slow --quiet
check "to its end" equal "$(froms slow)" "base command "

# ---- at a share; answers that are none
cat >bad.sh <<'END'
grep -q refused && echo '{"lr": 0.005}' || echo '{"lr": 7, "batch": 4}'
END
search bad.json '{"name": "command", "run": ["sh", "bad.sh"], "share": 0.5, "startup": 1, "tries": 2, "over": "random"}' '' 3
check "answers that are no configurations do not end it" "$DUET" search bad.json --out bad
cp check.out bad.out
check "the strategy below proposes instead" equal "$(froms bad)" "base random random "
check "which is said" says bad.out 'warning: trial 2: sh .*bad.sh: its answer: "batch" is missing, expected one of \[1,2,4\]; random proposes instead'
proposal bad 2 >line
check "and in the ledger" grep -q '"refused": *\[{"error": *"[^}]*lr.. is 7, expected a number from 0.0001 to 0.01", *"answer": *".*batch.. is missing' line
check "its other turns are not asked for" sh -c '! grep -q refused' - <<END
$(proposal bad 1)
END
search none.json '{"name": "command", "run": "no-such-program-of-duet"}'
refuses "a program that is not there" 2 'strategy command: "run": there is no program no-such-program-of-duet to start' \
    "$DUET" search none.json --out none --quiet

# ---- a language model
if command -v curl >tool.out && command -v jq >tool.out && command -v python3 >tool.out; then
    . "$SRC/tests/cli/server.sh"
    search model.json "{\"name\": \"command\", \"run\": [\"sh\", \"$SRC/tools/propose-openai.sh\"], \"tries\": 1}" '' 2
    OPENAI_BASE_URL=$SERVER/counting OPENAI_MODEL=m
    export OPENAI_BASE_URL OPENAI_MODEL
    check "a search that asks a model" "$DUET" search model.json --out model
    check "has its proposals" equal "$(froms model)" "base command "
    OPENAI_BASE_URL=$SERVER/forbidden
    check "a model that refuses does not end it" "$DUET" search model.json --out model2
    cp check.out model2.out
    check "its words are shown" says model2.out 'warning: trial 1: .*propose-openai.sh: ended with status 1: propose-openai: .*: status 401: no such key; random proposes instead'
else
    skip "asking a model" "no curl, jq or python3"
fi

# ---- from the command line
echo '{"base": "base.json", "budget": {"steps": 4}, "trials": 3, "space": {"lr": {"log": [1e-4, 1e-2]}, "set.num_hidden_layers": {"choice": [1, 2]}}}' >long.json
check "a search without a file" "$DUET" search --base base.json --try lr=1e-4..1e-2 --try set.num_hidden_layers=1,2 \
    --steps 4 --trials 3 --strategy tpe --out short --quiet
check "and with one" "$DUET" search long.json --out long --quiet
hashes() { grep -o '"hash": *"[0-9a-f]*"' "$1/ledger.jsonl"; }
values() { grep -o '"value": *[0-9.]*' "$1/ledger.jsonl" | awk -F: '{ printf "%.12g\n", $2 }'; } # as text they may have 17 digits
check "are the same trials" equal "$(hashes short)" "$(hashes long)"
check "with the same results" equal "$(values short)" "$(values long)"
check "three of them" equal "$(hashes short | wc -l | tr -d ' ')" 3
refuses "an axis that is none" 2 'lr=1..: expected two numbers' "$DUET" search --base base.json --try lr=1.. --steps 4 --out no
refuses "no budget" 2 'no budget, expected one of --time' "$DUET" search --base base.json --try lr=1e-4..1e-2 --out no
refuses "an option of the data" 2 '"data" cannot be searched' "$DUET" search --base base.json --try data=a,b --steps 4 --out no
check "nothing is left" absent no none

finish
