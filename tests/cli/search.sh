#!/bin/sh
# duet search: from a file to a best configuration, what is on record, what is refused, and that rows
# are those of duet train.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt

# file NAME MORE: a search of tiny models; MORE: members, later ones win
file() {
    cat >"$1" <<END
{"base": {"model": "$SRC/models/stories260k.json", "tokenizer": "byte", "data": "./text.txt",
          "seq": 32, "batch": 4,
          "set": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48,
                  "num_attention_heads": 4, "num_key_value_heads": 2}},
 "budget": {"steps": 12}, $2}
END
}
search() { "$DUET" search "$@" >search.out 2>search.err || { cat search.err; return 1; }; }
ledger() { grep "\"event\":\"$2\"" "$1/ledger.jsonl"; }
count() { ledger "$1" "$2" | grep -c -e "${3:-.}"; }
# result RUN TRIAL SEED: the value on record
result() { ledger "$1" result | sed -n "s/.*\"trial\":$2,\"seed\":$3,.*\"value\":\([^,]*\),.*/\1/p"; }

LR='"space": {"lr": {"log": [1e-4, 1e-2]}, "batch": {"choice": [2, 4]}}'
file a.json "\"trials\": 6, \"seeds\": 3, \"jobs\": 2, \"strategy\": \"tpe\", $LR"

# ---- before --------------------------------------------------------------------------------------
check "a dry run" search a.json --dry-run
check "says what is searched" says search.out "^search: *6 trials at most, tpe, 2 axes, 2 at a time"
check "and what it takes" says search.out "^trainings: *8 to 18, about 1[45]$"
check "of time" says search.out "^time: *[0-9].*s to [0-9].*s, about [0-9]"
check "beside the trainings, too" says search.out "^beside: *[0-9].* each: start, validation, evaluation"
file h.json "\"trials\": 55, \"seeds\": 1, \"strategy\": \"halving\", $LR"
check "of a cohort of 27 ones, 3 and 2 times 2" search h.json --dry-run
check "that is 14 of 54" says search.out "^trainings: *15 to 15"
RUNG="halving compares trials after as few as 2 updates (0.111 of the budget), and the warm-up takes up to 20"
check "the lowest rung lies within the warm-up" says search.err "^warning: $RUNG"
check "which says what to do" says search.err 'give fewer "rungs".*, or a "warmup" of at most 1$'
sed 's/"seq": 32/"seq": 32, "warmup": 1/' h.json >h1.json
check "behind it" search h1.json --dry-run
check "there is none" equal "$(cat search.err)" ""
check "and leaves nothing" absent ledger.jsonl search.json trials

file outside.json "\"trials\": 1, \"seeds\": 1, \"space\": {\"lr\": {\"log\": [2e-3, 1e-2]}}"
sed -i 's/"batch": 4,/"batch": 4, "lr": 5e-4,/' outside.json
check "a base outside the space" search outside.json --out outside
check "is trained as it is" says outside/trials/0000/config.json '"lr": *0.0005'
check "and so on record" says outside/ledger.jsonl '"config":{"lr":0.0005}'

# ---- a search ------------------------------------------------------------------------------------
check "a search" search a.json --out a
check "every trial is proposed" equal "$(count a proposal)" 6
check "and decided" equal "$(count a decision)" 6
check "the base has its seeds" equal "$(count a result '"trial":0,.*"status":"ok"')" 3
check "a line for each" equal "$(grep -c '^ *[0-5]  ' search.err)" 6
check "and what came of it" says search.out "^trials: *6: "
check "the file is there as it was understood" says a/search.json "\"data\": \"$WORK/text.txt\""
check "with a part that no trial sees" says a/search.json '"test-fraction": 0.05'
check "a trial that diverges ends" says a/search.json '"rollback": false'
check "a run is a run" sh -c '"$0" info a/trials/0000/seed-1 >info.out' "$DUET"
for t in 0 1 2 3 4 5; do
    kept=$(ledger a decision | grep -c "\"trial\":$t,\"decision\":\"keep\"")
    left=$(find a/trials/000$t -name model.blzt | wc -l)
    if [ "$kept" = 1 ]; then
        check "trial $t was kept, and has its weights" [ "$left" -gt 0 ]
    else
        check "trial $t was discarded, and has none" equal "$left" 0
    fi
done
refuses "its folder is not written over" 2 "a already holds a search: go on with --resume a" \
    "$DUET" search a.json --out a
lines=$(wc -l <a/ledger.jsonl)
check "it is over" search --resume a
check "and nothing more is done" equal "$(wc -l <a/ledger.jsonl)" $((lines + 1))
mkdir elsewhere
cd elsewhere
check "it goes on to more trials, from anywhere" search --resume ../a --trials 7
cd ..
check "one more" equal "$(count a decision)" 7

# ---- what was changed by hand ---------------------------------------------------------------------
# with FROM TO: search.json of a copy, changed
with() {
    rm -rf e
    cp -r a e
    sed -i "$1" e/search.json
    cmp -s a/search.json e/search.json && { echo "sed changed nothing"; return 1; }
    cp e/ledger.jsonl e.jsonl
}
must with 's/"steps": 12/"steps": 40/'
refuses "another budget" 1 'e/search.json: "budget.steps" is 40, and was 12 when the search began' \
    "$DUET" search --resume e --trials 8
check "nothing is written" same e/ledger.jsonl e.jsonl
refuses "nor by hand" 1 '"budget.steps" is 40' "$DUET" experiment --search e lr=2e-3
refuses "nor looked ahead" 1 '"budget.steps" is 40, and was 12' "$DUET" search --resume e --dry-run
for view in status best "plot --chart knobs" "best --json"; do
    check "looked at: $view" sh -c '"$0" search $1 e >view.out 2>view.err' "$DUET" "$view"
    check "which says it, in one line" equal "$(sed 's/ when the search began.*//' view.err)" \
        'warning: e/search.json: "budget.steps" is 40, and was 12'
done
check "compared" sh -c '"$0" search compare a e >view.out 2>view.err' "$DUET"
check "which says it of that one" equal "$(sed 's/ when the search began.*//' view.err)" \
    'warning: e/search.json: "budget.steps" is 40, and was 12'
check "what is as it was says nothing" sh -c '"$0" search status a 2>&1 >view.out | wc -c | grep -qx 0' "$DUET"
must with 's/"seq": 32/"seq": 16/'
refuses "another base" 1 '"base.seq" is 16, and was 32' "$DUET" search --resume e
must with 's/"seq": 32/"seq": 32, "clip": 2/'
refuses "a base with more" 1 '"base.clip" is 2, and was not there' "$DUET" search --resume e
must with 's/"seeds": 3,//'
refuses "a rule that is gone" 1 '"seeds" is not there, and was 3' "$DUET" search --resume e
must with '/"lr": {/,/}/d'
sed -n '/"lr": {/,/}/p' a/search.json | sed '$s/},*/}/' >axis
sed -i '/"batch": {/,/}/{/}/{s/},*/},/
r axis
}}' e/search.json
refuses "the order of axes" 1 '"space" has "batch" where "lr" was' "$DUET" search --resume e
must with 's/"seq": 32/"seq": 32.0/; s/"jobs": 2/"jobs": 1/; s/"trials": 7/"trials": 8, "launcher": "env"/'
check "jobs, trials and launcher may be others" search --resume e
check "one more trial" equal "$(count e decision)" 8
must with '1s/^/ /'
sed -i '/"proposal".*"trial":2,/s/"batch":[0-9]*/"batch":3/' e/ledger.jsonl
refuses "a configuration that is not what its hash says" 1 'e/ledger.jsonl, line [0-9]*: ' \
    "$DUET" search --resume e
must with '1s/^/ /'
sed -i '/"proposal".*"trial":2,/s/"batch":2/"batch":8/; t; /"proposal".*"trial":2,/s/"batch":4/"batch":2/; t; /"proposal".*"trial":2,/s/"batch":8/"batch":4/' e/ledger.jsonl
refuses "nor another one of the space" 1 "e/ledger.jsonl, line $(grep -n '"proposal".*"trial":2,' a/ledger.jsonl | cut -d: -f1): trial 2 has hash .* the line was changed" \
    "$DUET" search --resume e

# A ledger that was cut back by hand: what its lost lines tell of is trained anew.
rm -rf e
cp -r a e
drop=$(ledger a decision | sed -n 's/.*"trial":\([1-9]\),"decision":"discard".*/\1/p' | head -1)
at=$(grep -n "\"event\":\"result\",\"trial\":$drop," a/ledger.jsonl | head -1 | cut -d: -f1)
head -n $((at - 1)) a/ledger.jsonl >e/ledger.jsonl
check "its run is there, without weights" [ -f e/trials/000$drop/seed-1/summary.json ]
check "without" absent e/trials/000$drop/seed-1/model.blzt
check "a ledger cut back goes on" search --resume e
rows() { ledger "$1" result | sed 's/.*"trial":\([0-9]*\),"seed":\([0-9]*\),.*"status":"\([a-z]*\)","value":\([^,]*\),.*/\1 \2 \3 \4/' | sort; }
rows a >a.rows
rows e >e.rows
check "to the same rows, bit for bit" same a.rows e.rows

# ---- rows are those of train ---------------------------------------------------------------------
best=$(ledger a decision | grep '"keep"' | tail -1 | sed 's/.*"trial":\([0-9]*\).*/\1/')
check "the best trains" "$DUET" train --config a/best.json --out straight --quiet
check "to the same weights" same straight/model.blzt "a/trials/000$best/seed-1/model.blzt"
"$DUET" eval straight --exact --json >exact.json 2>exact.err
check "and its value is on record" close_to "$(json bits_per_byte exact.json)" \
    "$(result a "$best" 1)" 1e-12

# ---- where it begins -----------------------------------------------------------------------------
file d.json '"trials": 1, "seeds": 1, "confidence": 0, "strategy": "random", "space": {"lr": {"log": [1e-4, 1e-2]},
  "optimizer": {"choice": ["lion", "adamw"]}, "batch": {"choice": [2, 4, 8]}, "set.num_hidden_layers": {"int": [1, 6]}}'
sed -i 's/"num_hidden_layers": 1, //' d.json
check "a search of the base alone" search d.json --out d
check "begins where the base, train and the description are" says d/ledger.jsonl \
    '"config":{"lr":0.001,"optimizer":"adamw","batch":4,"set.num_hidden_layers":5}'

# A description that lacks much, as many do: of what nobody says, trial 0 has what train makes of it.
cat >bare.json <<END
{"vocab_size": 2048, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
 "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "model_type": "llama", "head_dim": null}
END
cat >silent.json <<END
{"base": {"model": "./bare.json", "tokenizer": "byte", "data": "./text.txt", "seq": 32, "batch": 4, "lr": -1,
          "optimizer": "auto"},
 "budget": {"steps": 12}, "trials": 1, "seeds": 1, "confidence": 0, "space": {
  "set.num_key_value_heads": {"choice": [1, 2]}, "set.head_dim": {"choice": [16, 32]},
  "set.rope_theta": {"log": [100, 1000]}, "set.duet.logit_softcap": {"linear": [10, 30]},
  "set.sliding_window": {"choice": [8, 16]}, "set.vocab_size": {"choice": [512, 1024]},
  "set.rms_norm_eps": {"log": [1e-6, 1e-4]}, "init": {"choice": ["./straight"]},
  "lr": {"log": [1e-4, 1e-2]}, "optimizer": {"choice": ["lion", "adamw"]}}}
END
check "a base of which little is said" search silent.json --out silent
check "has what is known of it" says silent/ledger.jsonl \
    '"config":{"set.rms_norm_eps":1e-0*5,"lr":0.001,"optimizer":"adamw"}'
check "train of it" "$DUET" train --model bare.json --tokenizer byte --data text.txt --seq 32 --batch 4 --steps 12 \
    --test-fraction 0.05 --no-rollback --out bare --quiet
check "makes the same weights" same bare/model.blzt silent/trials/0000/seed-1/model.blzt
check "how it stands is told" "$DUET" search status silent
check "and drawn" "$DUET" search plot silent --chart knobs
sed 's/"trials": 1,/"trials": 3, "strategy": "sweep",/; s/"init".*,$//' silent.json >silent3.json
check "a sweep goes on from it" search silent3.json --out silent3
check "and what it changes is told" says search.err "num_key_value_heads none -> [12]"

# ---- as many as there are ------------------------------------------------------------------------
# finished NAME STRATEGY LR N: of a search of 20 trials whose base, lr 5e-4, may lie outside the space
finished() {
    file "$1.json" "\"trials\": 20, \"seeds\": 1, \"confidence\": 0, \"strategy\": $2, \"space\": {\"lr\": $3}"
    sed -i 's/"batch": 4,/"batch": 4, "lr": 5e-4,/' "$1.json"
    search "$1.json" --dry-run
    check "$1: trainings" says search.out "^trainings: *${5:-$4} to ${5:-$4}$"
    check "$1 ends" search "$1.json" --out "$1"
    "$DUET" search status "$1" >status.out
    check "with $4 of $4" says status.out "^trials: *$4 of $4 decided"
    check "and is finished" says status.out "^state: *finished"
    check "which have" equal "$(count "$1" proposal '"rung":0,')" "$4"
}
finished grid-outside '"grid"' '{"choice": [2e-3, 4e-3]}' 3
finished grid-inside '"grid"' '{"choice": [5e-4, 4e-3]}' 2
finished grid-rounded '"grid"' '{"int": [1, 2]}' 3
finished sweep-over '{"name": "sweep", "points": 3}' '{"log": [1e-4, 1e-2]}' 4
finished halving-grid '{"name": "halving", "rungs": 2, "over": "grid"}' '{"choice": [2e-3, 4e-3, 8e-3]}' 4 3 # 1 + 3/3 + 2/3

"$DUET" search compare grid-outside grid-inside >compare.out
check "compared, too" says compare.out "^grid-outside  *3 of 3 "
sed -i 's/"strategy": *"grid"/"strategy": "hand"/' grid-inside/search.json
"$DUET" search compare grid-outside grid-inside >compare.out 2>compare.err
check "by hand there is no end" says compare.out "^grid-inside  *2  "
"$DUET" search compare grid-outside grid-inside --json >compare.json 2>compare.err
check "also as JSON" equal "$(grep -c '"trials": null' compare.json)" 1

# ---- halving -------------------------------------------------------------------------------------
file h.json "\"trials\": 4, \"seeds\": 3, \"strategy\": {\"name\": \"halving\", \"rungs\": 2, \"eta\": 3}, \"jobs\": 2, $LR"
check "halving" search h.json --out h
check "warns when it begins, too" says search.err "^warning: halving compares trials after as few as 4 updates"
check "has all at a third" equal "$(count h proposal '"rung":0,"share":0.33')" 3
check "and one at the whole" equal "$(count h proposal '"rung":1,"share":1.0')" 1
last=$(ledger h proposal | tail -1 | sed 's/.*"trial":\([0-9]*\).*/\1/')
check "which went on where it was" says "h/trials/000$last/seed-1/config.json" '"resumed"'
check "the others are left behind" equal "$(count h decision '"outrun"')" 2
must "$DUET" train --config "h/trials/000$last/config.json" --seed 1 --out hs --quiet >hs.out
"$DUET" eval hs --exact --json >exact.json 2>exact.err
check "to the value of a run that never stopped" close_to "$(json bits_per_byte exact.json)" \
    "$(ledger h result | sed -n "s/.*\"trial\":$last,\"seed\":1,\"rung\":1,.*\"value\":\([^,]*\),.*/\1/p")" 1e-12
file he.json "\"trials\": 3, \"seeds\": 3, \"every_seed\": true, \"strategy\": {\"name\": \"halving\", \"rungs\": 2, \"eta\": 3}, $LR"
check "with every seed" search he.json --out he
check "the one that went on rests on two" says he/ledger.jsonl '"seeds":3,.*"first_seed":2,'
check "so its line says" grep -q '(.* to .*)  *2  *[0-9][^ ]*  lr ' search.err

# ---- trials that fail ----------------------------------------------------------------------------
file m.json '"trials": 8, "jobs": 2, "strategy": "random", "seeds": 1, "confidence": 0,
  "space": {"set.hidden_size": {"choice": [32, 4096]}, "set.intermediate_size": {"choice": [48, 16384]}}'
check "half of the space does not fit" sh -c 'ulimit -v 1000000; exec "$0" search m.json --out m' "$DUET"
refused=$(count m result '"status":"refused"')
check "what does not is refused" [ "$refused" -gt 0 ]
check "and nothing else fails" equal "$(count m result '"status":"ok"')" $((8 - refused))
check "with a reason" says m/ledger.jsonl '"status":"refused".*"why":"plans .* MB, and its share of '

file n.json '"trials": 3, "seeds": 3, "strategy": "grid", "space": {"lr": {"choice": [1e-3, 9]}}'
sed -i 's/"seq": 32/"seq": 32, "clip": 0, "optimizer": "sgd", "rollback": false/' n.json
check "one that diverges is a row" search n.json --out n
check "named so" equal "$(count n result '"status":"nan"')" 1

file o.json '"trials": 3, "strategy": "random", "seeds": 1, "confidence": 0, "limits": {"num_params_M": 0.02},
  "space": {"set.hidden_size": {"choice": [32, 512]}}'
check "a limit of parameters" search o.json --out o
check "refuses what is beyond it" says o/ledger.jsonl '"status":"refused".*M parameters, the limit is 0.02 M'

# ---- a metric and programs of one's own ----------------------------------------------------------
cat >score.sh <<'END'
awk -F'[:,]' '/"val_loss"/ { print 10 - $2; exit }' summary.json
END
printf '#!/bin/sh\nexec "%s" "$@"\n' "$DUET" >other.sh
chmod +x other.sh
file p.json "\"trials\": 4, \"strategy\": \"grid\", \"confidence\": 0, \"jobs\": 2,
  \"metric\": {\"command\": \"sh score.sh\", \"better\": \"higher\"},
  \"space\": {\"program\": {\"choice\": [\"$DUET\", \"./other.sh\"]}, \"lr\": {\"choice\": [1e-3, 1e-2]}}"
check "a command's metric, and two programs" search p.json --out p
check "the base is trained by the one that drives" equal \
    "$(ledger p proposal | sed -n 's/.*"trial":0,.*"program":"\([^"]*\)".*/\1/p')" "$DUET"
check "both have trained" equal "$(ledger p proposal | grep -o '"program":"[^"]*"' | sort -u | wc -l)" 2
check "the same of the same" equal "$(ledger p result | grep '"seed":1' | grep -o '"value":[^,]*' | sort -u | wc -l)" 2
check "higher is better" says search.err "^ *[1-3] .* +[0-9.]*.*: kept"

# ---- on a queue ----------------------------------------------------------------------------------
printf '#!/bin/sh\necho "$1" >>"%s/queue.out"\nshift\nexec "$@"\n' "$WORK" >queue.sh
chmod +x queue.sh
file q.json "\"trials\": 2, \"strategy\": \"random\", \"seeds\": 1, \"confidence\": 0, $LR"
check "with a launcher" search q.json --out q --launcher "./queue.sh -n1"
check "which starts each of its processes" [ "$(grep -c '^-n1$' queue.out)" -ge 2 ]
check "with the results of a search without one" search q.json --out q2
check "the same" equal "$(ledger q result | grep -o '"value":[^,]*')" "$(ledger q2 result | grep -o '"value":[^,]*')"

file few.json "\"trials\": 60, \"seeds\": 2, $LR"
check "two seeds for sixty trials" search few.json --dry-run
check "can keep nothing, which is said" says search.out "^keeps: *none can be shown with 2 seeds"
file enough.json "\"trials\": 60, $LR"
check "as many as there are by default" search enough.json --dry-run
check "can" equal "$(grep -c '^keeps' search.out)" 0

# ---- what is wrong -------------------------------------------------------------------------------
file w.json "\"trials\": 3, $LR"
sed 's/text.txt/none.txt/' w.json >w1.json
refuses "data that is not there" 1 "w1.json: the base cannot be trained: .*none.txt" \
    "$DUET" search w1.json --out w
check "leaves nothing" absent w
sed 's/"seq": 32/"sqe": 32/' w.json >w2.json
refuses "an option that there is not" 2 'w2.json: "base": unknown key "sqe"; did you mean "seq"' \
    "$DUET" search w2.json --out w
refuses "no folder" 2 "out is missing" "$DUET" search w.json
refuses "no search there" 2 "text.txt.*not the folder of a search" "$DUET" search --resume text.txt
refuses "an option without effect" 2 "jobs has no effect on search --resume" \
    "$DUET" search --resume a --jobs 3
cp a/search.json a.before
refuses "fewer trials than there are" 2 "a: 3 trials are asked for, and 7 are there" \
    "$DUET" search --resume a --trials 3
check "changes nothing" same a.before a/search.json

# ---- what makes other bits -----------------------------------------------------------------------
tier=$(sed -n '1s/.*"tier":"\([^"]*\)".*/\1/p' a/ledger.jsonl)
lines=$(wc -l <a/ledger.jsonl)
if [ "$tier" = generic ]; then
    ok "another instruction set # SKIP this processor has one"
else
    refuses "another instruction set" 1 \
        "the instruction set $tier, here is generic: .*DUET_CPU=$tier goes on" \
        env DUET_CPU=generic "$DUET" search --resume a
    check "leaves the ledger" equal "$(wc -l <a/ledger.jsonl)" "$lines"
    file g.json "\"trials\": 2, \"seeds\": 1, \"confidence\": 0, \"strategy\": \"random\", $LR"
    check "begun with the smallest set" env DUET_CPU=generic "$DUET" search g.json --out g --quiet
    check "it goes on with it" env DUET_CPU=generic "$DUET" search --resume g --trials 3 --quiet
    OTHER="instruction set generic, here is .*DUET_CPU=generic goes on"
    refuses "and with no other" 1 "$OTHER" env -u DUET_CPU "$DUET" search --resume g
    refuses "which a dry run refuses, too" 1 "$OTHER" env -u DUET_CPU "$DUET" search --resume g --dry-run
    check "with it there is a dry run" env DUET_CPU=generic "$DUET" search --resume g --dry-run
    for view in status best plot; do
        check "looked at: $view" sh -c 'env -u DUET_CPU "$0" search $1 g >view.out 2>view.err' "$DUET" $view
        check "which says so" says view.err "^warning: g: its trials were trained with the $OTHER"
        check "in one line" equal "$(wc -l <view.err | tr -d ' ')" 1
    done
    refuses "what is refused has no warning before it" 2 "are both 0" env -u DUET_CPU "$DUET" search confirm g --trial 0
    check "of confirm" equal "$(grep -c warning refuse.err)" 0
    check "what it trains is comparable, so it does" sh -c 'env -u DUET_CPU "$0" search confirm g --trial 1 --seeds 2 \
        --quiet >view.out 2>view.err; case $? in 0 | 3) ;; *) exit 1 ;; esac' "$DUET"
    check "and says so" says view.err "^warning: g: its trials were trained with the $OTHER"
fi
cp -r a b
sed -i '1s/"gemm":"[^"]*"/"gemm":"other"/' b/ledger.jsonl
refuses "another library of products" 1 "products by other, here is [a-z]*: .*a duet that has other" \
    "$DUET" search --resume b
cp -r a c
sed -i '1s/"commit":"[^"]*"/"commit":"0123abc"/' c/ledger.jsonl
check "another commit goes on" search --resume c
check "with a warning" says search.err \
    "^warning: c was begun by another duet .commit 0123abc, this is .*.: trials of both"
cp c/ledger.jsonl c.jsonl
for words in "search --resume c --trials 3" "search --resume c --trials 3 --dry-run" "experiment --search c lrr=3" \
    "experiment --search c val-windows=3"; do
    refuses "what is refused ($words)" 2 "are asked for\|unknown option\|cannot be changed" "$DUET" $words
    check "has no warning before it" equal "$(grep -c warning refuse.err)" 0
done
check "and nothing on record" same c/ledger.jsonl c.jsonl
check "and is on record" equal "$(tail -1 c/ledger.jsonl | grep -c '"event":"resume".*"commit":\|"commit":.*"event":"resume"')" 1
"$DUET" search status c >c.out
check "and told" says c.out "^program: *commit 0123abc, then .*: trials of both may not be comparable"
"$DUET" search status c --json >c.json
check "as JSON, too" grep -q '"other_commit": "' c.json
"$DUET" search status a >a.out
check "of one program nothing is" equal "$(grep -c '^program' a.out)" 0
check "of the same there is none" search --resume a
check "as it is the same" equal "$(grep -c warning search.err)" 0

# ---- a base that fails ---------------------------------------------------------------------------
file t.json "\"trials\": 2, \"seeds\": 1, \"strategy\": \"random\", \"limits\": {\"seconds\": 0.001}, $LR"
check "a base over its limit ends with 1" sh -c '"$0" search t.json --out t >t.out 2>t.err; [ $? = 1 ]' \
    "$DUET"
check "which is said" says t.err \
    "^duet: error: t: the base failed .time.: took longer than 0.001 s; nothing else was kept"
check "also of the base" says t.out "^base: *failed .time.: took longer than 0.001 s"
check "it is no best" says t.out "^best: *none: "
lines=$(wc -l <a/ledger.jsonl)
exec 9>>a/ledger.jsonl
flock 9
for dry in "" --dry-run; do
    refuses "beside another ($dry)" 2 "a/ledger.jsonl: another search is going on with it" "$DUET" search --resume a $dry
done
exec 9>&-
echo "x" >>text.txt
for dry in "" --dry-run; do
    refuses "other data than it began with ($dry)" 1 "text.txt is another file" "$DUET" search --resume a $dry
done
check "nothing is on record" equal "$(wc -l <a/ledger.jsonl)" "$lines"
finish
