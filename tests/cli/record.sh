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

# ---- a finished run is given a name
must train over --steps 3 --note before
options_of over/config.json | grep -v '"name"\|"note"' >options.was
was=$(one_of over/config.json)
must "$DUET" train --resume over --name later --threads 1 >over.out 2>over.err
check "finished: says so" says over.err 'over is finished'
check "finished: nothing to complain of" sh -c '! grep -q "changed nothing" over.err'
check "finished: its name is recorded" equal "$(json name over/config.json)" later
check "finished: its note stays" equal "$(json note over/config.json)" before
check "finished: in the summary too" equal "$(json name over/summary.json) $(json note over/summary.json)" "later before"
options_of over/config.json | grep -v '"name"\|"note"' >options.is
check "finished: nothing else changes" same options.was options.is
check "finished: the record stays" equal "$(one_of over/config.json)" "$was"
cp over/config.json over.json
must "$DUET" train --resume over --threads 1 >over.out 2>over.err
check "finished: nor without a name" same over.json over/config.json
must "$DUET" train --resume over --steps 5 --threads 1 >over.out 2>over.err
check "finished: it goes on with the name" equal "$(json name over/summary.json | head -1)" later

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

# ---- the end: what is saved, and what can be done with it
loud() { # OUT OPTION...
    l_out=$1
    shift
    "$DUET" train $TINY --data text.txt --out "$l_out" "$@" >loud.out 2>loud.err
}
must loud 'o p' --steps 4 --val-every 4
check "saved: file, step, loss" grep -qx \
    "saved o p/model.blzt (the best: step 4, val_loss $(value val_loss loud.out | cut -c1-6))" loud.err
tr '\n' '~' <loud.err >loud.line
check "next: commands that there are" grep -q \
    "next: duet generate 'o p' \"TEXT\"~      duet eval 'o p' --data FILE~" loud.line
check "they are the last that is said" sh -c 'tail -4 loud.err | head -1 | grep -q "^saved "'
for command in $(sed -n -e 's/^next: duet \([a-z]*\) .*/\1/p' -e 's/^      duet \([a-z]*\) .*/\1/p' loud.err); do
    check "duet $command is a command" "$DUET" $command --help
done
must loud worse --steps 4 --val-every 4
must "$DUET" train --resume worse --steps 8 --lr 5 --clip 0 --spike 0 --threads 1 >loud.out 2>loud.err
check "the best beside it" sh -c 'tail -5 loud.err | tr "\n" "~" | grep -q \
    "^saved worse/model.blzt (step 8, val_loss [0-9.]*),~      worse/best.blzt (the best: step 4, val_loss [0-9.]*)~next: "'
must loud lora --steps 2 --init e/model.blzt --set vocab_size=257 --lora 2
check "an adapter is what is saved" grep -q "^saved lora/adapter.blzt (step 2, val_loss" loud.err
"$DUET" train $TINY --data text.txt --out sig --steps 100000000 --checkpoint-every 5 \
    >sig.out 2>sig.err &
p=$!
while [ ! -s sig/state ] && kill -0 $p 2>kill.err; do sleep 0.1; done
kill -TERM $p
wait $p
check "stopped: what is saved" grep -q '^saved sig/model.blzt (step [0-9]*)$' sig.err
check "stopped: how to go on" sh -c 'tail -1 sig.err | grep -q "go on with: duet train --resume sig"'
must "$DUET" train $TINY --data text.txt --steps 2 --quiet --out still >still.out 2>still.err
check "--quiet: not a word of it" sh -c '! grep -q "^saved\|^next" still.err'

# ---- the rate that the machine usually has
XDG_CACHE_HOME=$WORK/cache
export XDG_CACHE_HOME
rates=cache/duet/rates.json
busy='machine is busy'
must loud r1 --steps 1
check "the rate goes on record" grep -q '"[^"]*1 threads, native, f32, [0-9]*": \[[0-9.]*\]' $rates
check "once is not usual" sh -c '! grep -q "$1" loud.err' - "$busy"
sed -i 's/\[.*\]/[1.1e7, 1.1e7, 1.1e7, 9e6]/' $rates
must loud r2 --steps 1
check "less than usual: says so" grep -q \
    "^warning: GEMM peak [0-9]* GFLOP/s, usually 11000000: the $busy; figures of time will not" loud.err
check "and the rate is on record too" equal "$(sed 's/.*\[//' $rates | tr -cd , | wc -c)" 4
check "no other result" same r1/model.blzt r2/model.blzt
must "$DUET" plan $TINY --steps 1000000 >plan.out
check "plan: a length at that rate" grep -q '^at least .* usually has, 11000000 GFLOP/s' plan.out
sed -i 's/\[.*\]/[0.001, 0.001, 0.001]/' $rates
must loud r3 --steps 1
check "more than usual: nothing" sh -c '! grep -q "$1" loud.err' - "$busy"
for text in '' '{' '[]' '{"a":' 'null' '{"k": {"x": []}}'; do
    printf "$text" >$rates
    rm -rf r4
    must loud r4 --steps 1
    check "a damaged file is replaced: $text" grep -q 'threads, native' $rates
done
head -c 400000 /dev/zero | tr '\0' '[' >$rates
rm -rf r4
must loud r4 --steps 1
check "a huge file is replaced" [ "$(wc -c <$rates)" -lt 1000 ]
rm -rf r4 cache && mkdir -p $rates
check "a folder in its place" loud r4 --steps 1
check "is left" [ -d $rates ]
rm -rf r4 cache
(unset XDG_CACHE_HOME && mkdir -p home && HOME=$WORK/home && export HOME && loud r4 --steps 1)
check "without XDG_CACHE_HOME: in ~/.cache" [ -s home/.cache/duet/rates.json ]
rm -rf r4
check "without a home: none" sh -c 'unset XDG_CACHE_HOME HOME; exec "$@"' - "$DUET" train $TINY \
    --data text.txt --steps 1 --out r4
for i in 1 2 3 4 5 6; do
    "$DUET" train $TINY --data text.txt --steps 1 --out many$i >many$i.out 2>many$i.err &
done
wait
check "several at once: all end" [ "$(cat many*.err | wc -l)" -ge 0 -a -s many6/summary.json -a -s many1/summary.json ]
check "several at once: the file is whole" [ -s $rates ] && check "and can be read" grep -q '^{".*\]}$' $rates
finish
