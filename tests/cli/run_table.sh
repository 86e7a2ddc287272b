#!/bin/sh
# duet runs: what is listed, in which order, and what --prune removes.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
refuses "no runs yet, --yes alone" 2 '--yes belongs to --prune' "$DUET" runs --yes
"$DUET" runs >l.out 2>l.err
check "no runs: a sentence" \
    sh -c '[ $1 -eq 0 ] && [ ! -s l.out ] && grep -q "no runs in runs; duet train" l.err' - $?
refuses "--prune says its words" 2 'needs a value (one of: none checkpoints states never-began)$' \
    "$DUET" runs --prune
mkdir -p runs exp/deep
must train runs/a --steps 20 --val-every 10 --checkpoint-every 10 --keep 2 \
    --name first --note 'the plain one'
must train runs/b --steps 20 --lr 0.01 --seed 2
must train runs/10 --steps 10 --set rope_theta=500 --data text.txt
must train exp/deep/c --steps 10
"$DUET" train $TINY --data text.txt --steps 90 --lr 100 --clip 0 --no-rollback --out runs/bad \
    >s.out 2>s.err # it diverges
mkdir runs/never && cp runs/a/config.json runs/never &&
    head -1 runs/a/log.jsonl >runs/never/log.jsonl
cp -r runs/b runs/cut && rm runs/cut/summary.json runs/cut/state &&
    printf '{"ev' >>runs/cut/log.jsonl


"$DUET" runs >l.out 2>l.err
check "a row a run and a heading" equal "$(wc -l <l.out)" 7
check "only what differs" \
    sh -c 'head -1 l.out | grep -q " lr .* seed .*status" && ! head -1 l.out | grep -q batch'
check "set's keys are columns" sh -c 'head -1 l.out | grep -q rope_theta'
check "names are a column" sh -c 'grep "^runs/a " l.out | grep -q " first "'
check "finished" sh -c 'grep "^runs/a .* finished  *20 " l.out'
check "stopped" sh -c 'grep "^runs/cut .* stopped  *20 " l.out'
check "diverged" sh -c 'grep "^runs/bad .* diverged " l.out'
check "never began" sh -c 'grep "^runs/never .* never began  *0 " l.out'
loss=$(json val_loss runs/b/summary.json | cut -c1-5)
check "the loss with its error" sh -c 'grep "^runs/b .* '"$loss"'[0-9]* +-0.0" l.out'
check "a damaged log is said" says l.err 'runs/cut/log.jsonl: its last line is cut'
check "all heads are there" \
    sh -c 'head -1 l.out | grep -q "val_bpb  *smoothed loss  *peak MB  *seconds  *age"'

order() { "$DUET" runs runs/a runs/b runs/10 "$@" 2>o.err | sed 1d | cut -d' ' -f1 | tr '\n' ' '; }
check "--sort name" \
    equal "$(order --sort name)" "runs/10 runs/b runs/a " # b has no name, a is "first"
want=$(for r in a b 10; do echo "$(json val_loss runs/$r/summary.json) runs/$r"; done | sort -n |
    cut -d' ' -f2 | tr '\n' ' ')
check "--sort loss: the best first" equal "$(order --sort loss)" "$want"
check "--sort steps: most first" equal "$(order --sort steps | cut -d' ' -f3)" runs/10
touch -d '2 hours ago' runs/b/*
touch -d '3 days ago' runs/10/*
check "--sort age: the newest first" equal "$(order)" "runs/a runs/b runs/10 "
"$DUET" runs >l.out 2>l.err
check "age" sh -c 'grep -q "^runs/10 .* 3d$" l.out && grep -q "^runs/b .* 2h$" l.out'

"$DUET" runs exp >l.out 2>l.err
check "deeper folders" sh -c 'grep -q "^exp/deep/c .* finished" l.out'
check "one run: no option differs" equal "$(head -1 l.out | tr -s ' ')" \
    "run status step val_loss val_bpb smoothed loss peak MB seconds age"

# ---- for programs
"$DUET" runs --tsv --sort name >l.tsv 2>l.err
check "--tsv: as many fields in every row" \
    equal "$(awk -F'\t' '{ print NF }' l.tsv | sort -u | wc -l)" 1
field() { awk -F'\t' -v run="$1" -v key="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == key) c = i }
    $1 == run { print $c }' l.tsv; }
check "--tsv: in full precision" \
    equal "$(field runs/b val_loss)" "$(json val_loss runs/b/summary.json)"
check "--tsv: options that do not differ too" equal "$(field runs/b batch)" 4
check "--tsv: a note" equal "$(field runs/a note)" 'the plain one'
check "--tsv: a set key" equal "$(field runs/10 set.rope_theta)" 500
check "--tsv: what is not known is empty" equal "$(field runs/never val_loss)" ''
check "--tsv: what was recorded" [ -n "$(field runs/a run.version)" ]
"$DUET" runs --json >l.json 2>l.err
check "--json: an object a run" equal "$(grep -c '^  "run": ' l.json)" 6
check "--json: with options" says l.json '"rope_theta": "500"'
refuses "--tsv with --json" 2 'give one of' "$DUET" runs --tsv --json
refuses "a folder that is not there" 1 'cannot read the folder nowhere' "$DUET" runs nowhere
check "an empty folder" \
    sh -c 'mkdir none && "$1" runs none 2>&1 | grep -q "^no runs in none"' - "$DUET"

# ---- the width of a terminal
if command -v script >/dev/null; then
    for w in 80 140; do
        script -qc "stty cols $w; '$DUET' runs 2>s.err" /dev/null </dev/null 2>&1 | tr -d '\r' >w.out
        check "$w columns: nothing is longer" \
            awk -v w=$w 'length > w { print; bad = 1 } END { exit bad }' w.out
        check "$w columns: every run" equal "$(grep -c '^runs/' w.out)" 6
        check "$w columns: status and loss" \
            sh -c 'grep "^runs/b " w.out | grep -q "finished .* '"$loss"'"'
    done
fi

# ---- methods side by side
mkdir four
S="--seq 32 --batch 4 --threads 1 --quiet --data text.txt --init runs/a --steps 6"
must "$DUET" train $S --name full --out four/full >s.out 2>s.err
must "$DUET" train $S --lora 8 --lr 3e-3 --name lora --out four/lora >s.out 2>s.err
must "$DUET" train $S --engine mezo --name mezo --out four/mezo >s.out 2>s.err
must "$DUET" train $S --engine mezo --lora 8 --weights q8_0 --name both --out four/both >s.out 2>s.err
"$DUET" runs four >l.out 2>l.err
check "a name that is the folder's is no column" sh -c '! head -1 l.out | grep -q " name "'
if command -v script >/dev/null; then
    script -qc "stty cols 80; '$DUET' runs four 2>s.err" /dev/null </dev/null 2>&1 | tr -d '\r' >w.out
    check "80 columns: engine, lora, loss and memory" \
        sh -c 'head -1 w.out | grep -q "^run  *engine  *lora .* val_loss .*peak MB"'
    check "80 columns: of each" \
        sh -c 'grep -q "^four/both  *mezo  *8 .* [0-9.]*$" w.out &&
            grep -q "^four/full  *backprop  *0 .* [0-9.]*$" w.out'
fi

# ---- links
mkdir again && cp -r runs/b again && ln -s . again/self && ln -s b again/c
check "a run that links lead to again is listed once" \
    equal "$("$DUET" runs again 2>/dev/null | cut -d' ' -f1 | tr '\n' ' ')" "run again/b "
rm -r again

# ---- options of who knows which program
mkdir odd && cp -r runs/a runs/b odd
awk 'BEGIN { printf "{\"\\u001b[31mred\": \"x\\u001b[2J\", \"c1\\u009b4m\": 1, \"lr\": 0.5"
    for (i = 0; i < 4000; i++) printf ", \"key %d\": %d", i, i
    print "}" }' >odd/a/config.json
check "thousands of options are listed soon" \
    sh -c 'timeout 20 "$1" runs odd >h.out 2>h.err && grep -q "key 3999" h.out' - "$DUET"
check "no heading does anything on a terminal" sh -c 'grep -q "?\[31mred" h.out &&
    ! LC_ALL=C grep -q "$(printf "\033\\|\302\233")" h.out'
"$DUET" runs odd --tsv >h.tsv 2>h.err
check "nor in --tsv" sh -c '[ -s h.tsv ] && ! LC_ALL=C grep -q "$(printf "\033")" h.tsv'
mkdir odd/pipe && cp runs/a/log.jsonl runs/a/config.json odd/pipe && mkfifo odd/pipe/model.blzt
refuses "nobody waits for a pipe in a run" 1 'odd/pipe/model.blzt is no file' \
    timeout 20 "$DUET" generate odd/pipe --prompt One --tokens 2
rm -r odd

# ---- pruning
"$DUET" runs --prune checkpoints >p.out 2>p.err
check "--prune lists" says p.out '^would .*runs/a: 4 files$'
check "and removes nothing" [ -d runs/a/checkpoints/10 ]
check "what is frees" says p.out 'MB in 1 run; with --yes'
echo mine >runs/a/checkpoints/10/mine
check "--prune checkpoints --yes" "$DUET" runs --prune checkpoints --yes
check "foreign files stay" equal "$(find runs/a/checkpoints -type f)" runs/a/checkpoints/10/mine
check "the model stays, and the state" [ -s runs/a/model.blzt -a -s runs/a/state ]
"$DUET" runs --prune checkpoints >p.out 2>p.err
check "nothing is left to remove" says p.out '^nothing to remove'
before=$(ls runs/b runs/cut runs/bad)
check "--prune never-began --yes" "$DUET" runs --prune never-began --yes
check "the run is gone" absent runs/never
check "no other is" equal "$(ls runs/b runs/cut runs/bad)" "$before"
check "--prune states --yes" "$DUET" runs --prune states --yes
check "the states are gone" absent runs/a/state runs/b/state runs/10/state
check "the models are not" [ -s runs/a/model.blzt -a -s runs/b/model.blzt ]
check "such a run can be used" "$DUET" generate runs/b --prompt One --tokens 2 --quiet
check "and is listed" sh -c '"$1" runs 2>/dev/null | grep "^runs/b .*finished"' - "$DUET"
cp runs/b/model.blzt kept.blzt
refuses "but not trained on" 1 'keeps no state to go on from; --init runs/b' "$DUET" train --resume runs/b \
    --steps 40
check "its model is still there" same kept.blzt runs/b/model.blzt
(exec "$DUET" train $TINY --data text.txt --steps 100000 \
    --checkpoint-every 5 --keep 2 --out runs/on >on.out 2>on.err) &
pid=$!
while [ ! -s runs/on/state ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
"$DUET" runs >l.out 2>l.err
check "running" sh -c 'grep "^runs/on .* running " l.out'
"$DUET" runs --prune states --yes >p.out 2>p.err
check "a running one is left alone" [ -s runs/on/state ]
kill -TERM $pid
wait $pid
"$DUET" runs >l.out 2>l.err
check "then stopped" sh -c 'grep "^runs/on .* stopped " l.out'
finish
