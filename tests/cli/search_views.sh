#!/bin/sh
# What looks at a search: status, best, plot, tables; and init, which writes a search file.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"

must() { "$DUET" "$@" || { echo "Bail out! duet $*"; exit 1; }; }

# ---- a made-up search --------------------------------------------------------------------------
# propose JOB LR BATCH; result TRIAL SEED VALUE; failure TRIAL STATUS; decide TRIAL WORD AGAINST DIFF
propose() {
    printf '{"event": "proposal", "job": %d, "trial": %d, "rung": 0, "share": 1, "config": {"lr": %s, "batch": %d}, "hash": "%016x", "from": "tpe"}\n' \
        "$1" "$1" "$2" "$3" "$1"
}
result() {
    printf '{"event": "result", "trial": %d, "seed": %d, "rung": 0, "status": "ok", "value": %s, "seconds": 60, "summary": {"val_loss": %s, "val_bpb": %s, "peak_rss_mb": 250, "num_params_M": 1.%d, "num_steps": 40, "ms_per_step": 9.5, "training_seconds": %d, "peak_fraction": 0.5}}\n' \
        "$1" "$2" "$3" "$3" "$3" "$1" "$((20 + $1))"
}
failure() {
    printf '{"event": "result", "trial": %d, "seed": 1, "rung": 0, "status": "%s", "value": null, "seconds": 3}\n' \
        "$1" "$2"
}
decide() {
    printf '{"event": "decision", "trial": %d, "decision": "%s", "against": %d, "evidence": {"reason": "proven", "diff": %s, "low": -0.5, "high": -0.01, "log_e": 7, "threshold": 6, "seeds": 2}}\n' \
        "$1" "$2" "$3" "$4"
}
# The same with other values would be another search: lines in order, the last trial runs.
ledger() {
    echo '{"event": "search", "commit": "fedcba9876543210fedcba9876543210fedcba98", "trials": 10}'
    propose 0 0.002 4
    for pair in 1:3.0 2:3.1 3:2.9 4:3.05 5:2.95; do result 0 "${pair%:*}" "${pair#*:}"; done
    echo '{"event": "decision", "trial": 0, "decision": "keep", "evidence": {"reason": "base", "seeds": 5}}'
    propose 1 0.004 4
    result 1 1 2.75
    result 1 2 2.8
    decide 1 keep 0 -0.275
    propose 2 0.001 8
    result 2 1 3.25
    decide 2 discard 1 0.5
    propose 3 0.009 8
    failure 3 memory
    decide 3 discard 1 null
    propose 4 0.005 8
    result 4 1 2.5
    result 4 2 2.625
    decide 4 keep 1 -0.2125
    propose 5 0.006 8
}
must stories --bytes 60000 --out text.txt --quiet
# search DIR
search() {
    mkdir -p "$1"
    cat >"$1/search.json" <<END
{"base": {"model": "demo", "set": {"num_hidden_layers": 1, "hidden_size": 64}, "lr": 0.002,
          "batch": 4, "seq": 32, "tokenizer": "byte", "data": "$WORK/text.txt"},
 "budget": {"steps": 40}, "trials": 10, "seeds": 2,
 "space": {"lr": {"log": [1e-4, 1e-2]}, "batch": {"choice": [4, 8]}}}
END
}
search s
ledger >s/ledger.jsonl
cp -r s before

# ---- status ------------------------------------------------------------------------------------
status_is() {
    "$DUET" search status "$1" | sed -e '/^noise:/d' -e '/^difference:/d' | diff "$2" - || return 1
}
cat >expected <<'END'
state:                stopped
search:               tpe, 2 axes, 40 steps a trial, val_bpb (lower is better)
trials:               5 of 10 decided; 2 kept, 1 discarded, 1 running, 1 out of memory
keep_rate:            0.500
base:                 3.0000, mean of 5 seeds (trial 0)
incumbent:            2.5625, mean of 2 seeds (trial 4)
changes:              lr 0.002 -> 0.005, batch 4 -> 8
time:                 10m 03s in trials, 1m 16s each; about 6m 19s left
intervals:            95 %, at all looks together

trial  against    delta  interval            seeds   value  what it changes
    1        0  -0.2750  [-0.5000, -0.0100]      2  2.7750  lr 0.002 -> 0.004
    4        1  -0.2125  [-0.5000, -0.0100]      2  2.5625  lr 0.004 -> 0.005, batch 4 -> 8
END
check "how it stands" status_is s expected
# -0.5 and -0.475 at the two seeds that both have.
check "the incumbent's difference to the base" sh -c \
    "'$DUET' search status s | grep -q '^difference: *-0.4875 \[-[0-9.]*, -[0-9.]*\] to the base'"
check "it says so in JSON" sh -c "'$DUET' search status s --json >s.json"
for text in '"state": "stopped"' '"planned": 10' '"keep": 2' '"memory": 1' '"keep_rate": 0.5' \
    '"trial": 4' '"outcome": "base"' '"better": "lower"'; do
    check "JSON has $text" says s.json "$text"
done
check "a search that is written is running" sh -c \
    "flock s/ledger.jsonl '$DUET' search status s | grep -q '^state: *running'"
mkdir -p s/trials/0005/seed-1
check "what is at work" sh -c \
    "flock s/ledger.jsonl '$DUET' search status s | grep -q '^at_work: *trial 5, seed 1: step 0, 0 %'"
check "nothing is while nobody drives it" sh -c "! '$DUET' search status s | grep -q at_work"
rm -r s/trials
check "looking writes nothing" diff -r s before

# ---- tables ------------------------------------------------------------------------------------
tab() { tr '|' '\t'; }
tab >karpathy <<'END'
commit|val_bpb|memory_gb|status|description
fedcba9|3.000000|0.250|keep|baseline
fedcba9|2.775000|0.250|keep|lr 0.002 -> 0.004
fedcba9|3.250000|0.250|discard|lr 0.004 -> 0.001, batch 4 -> 8
fedcba9|0.000000|0.000|crash|lr 0.004 -> 0.009, batch 4 -> 8 (out of memory)
fedcba9|2.562500|0.250|keep|lr 0.004 -> 0.005, batch 4 -> 8
END
tab >autoane <<'END'
commit|val_loss|steps|params_M|ms_step|status|description
fedcba9|3.000000|40|1.000|9.50|keep|baseline
END
tab >ane <<'END'
commit|val_loss|ane_util_pct|status|description
fedcba9|3.000000|50.0|keep|baseline
END
"$DUET" search status s --tsv karpathy >out.tsv
check "karpathy's columns" same karpathy out.tsv
mkdir -p s/trials/0001/seed-1
echo '{"lr": 0.004, "run": {"commit": "abcdef0123456789"}}' >s/trials/0001/seed-1/config.json
check "the program that has trained it" equal "$("$DUET" search status s --tsv karpathy | cut -f1 | tr '\n' ' ')" \
    "commit fedcba9 abcdef0 fedcba9 fedcba9 fedcba9 "
rm -r s/trials
for order in autoane ane; do
    "$DUET" search status s --tsv $order | head -2 >out.tsv
    check "$order's columns" same $order out.tsv
done

# ---- the best one ------------------------------------------------------------------------------
"$DUET" search best s >best.txt
check "which it is" says best.txt "^best: *trial 4 of 6, from tpe"
check "its seeds" says best.txt "^seeds: *2.5000, 2.6250"
check "why it was kept" says best.txt "^kept_for: *-0.2125 \[-0.5000, -0.0100\] to trial 1"
check "beside the base" says best.txt "^lr *0.005 *0.002"
check "its options as a file" "$DUET" search best s -o best.json
check "which train takes" "$DUET" plan --config best.json
check "they are its own" says best.json '"lr": 0.005'
refuses "a file that is there" 2 "best.json is there already" "$DUET" search best s -o best.json
check "on standard output" sh -c "'$DUET' search best s -o - | diff best.json -"

# ---- pictures ----------------------------------------------------------------------------------
cat >expected <<'END'
5 Experiments, 2 Kept Improvements
- incumbent   o kept   . discarded   x failed

val_bpb
END
COLUMNS=60 "$DUET" search plot s >plot.txt
head -4 plot.txt >head.txt
check "what the terminal shows" same expected head.txt
check "kept ones are labelled" says plot.txt "^  4  lr 0.004 -> 0.005, batch 4 -> 8$"
check "with the staircase" says plot.txt "o----*+"
check "in the terminal's width" sh -c "awk 'length > 60 { exit 1 }' plot.txt"
check "axes" sh -c "COLUMNS=60 '$DUET' search plot s --chart knobs | grep -q '^batch$'"
check "costs" sh -c "COLUMNS=60 '$DUET' search plot s --chart pareto | grep -q 'against seconds of training: 3 on the front'"
check "other costs" sh -c "'$DUET' search plot s --chart pareto --cost params | grep -q 'million parameters'"

# What gnuplot gets, by value: a gnuplot of our own that keeps it.
mkdir fake
printf '#!/bin/sh\nPATH=%s\ncat >"%s/script"\necho picture\n' "$PATH" "$WORK" >fake/gnuplot
chmod +x fake/gnuplot
with_fake() { rm -f script; env PATH="$WORK/fake:$PATH" "$DUET" search plot s -o "$@"; }
has_block() { # COMMAND POINT...: a block of data with exactly these points, drawn so
    hb_how=$1
    shift
    for hb_p; do echo "$hb_p"; done >points
    for hb_n in $(sed -n 's/^\$d\([0-9]*\) << EOD$/\1/p' script); do
        sed -n "/^\\\$d$hb_n << EOD\$/,/^EOD\$/p" script | sed '1d;$d' >block
        cmp -s points block && grep -q "\$d$hb_n using [^,]*$hb_how" script && return 0
    done
    echo "no block drawn '$hb_how' with: $*"
    cat script
    return 1
}
check "a picture" with_fake p.png
check "it is what gnuplot made" equal "$(cat p.png)" picture
check "the staircase" has_block "with steps" "0 3" "1 2.775" "4 2.5625"
check "what was discarded" has_block "with points pt 7 ps 0.60" "2 3.25"
check "what was kept" has_block "with points pt 7 ps 0.75" "0 3" "1 2.775" "4 2.5625"
check "what failed is a cross" says script "with points pt 2"
check "its title" says script "5 Experiments\|5\\\\040Experiments"
check "axes as a picture" with_fake k.png --chart knobs
check "rates of what was kept" has_block "with points pt 7 ps 0.75" "0.002 3" "0.004 2.775" "0.005 2.5625"
check "on a logarithmic axis" says script "^set logscale x"
check "the incumbent has a ring" has_block "with points pt 6" "0.005 2.5625"
check "costs as a picture" with_fake f.svg --chart pareto --cost seconds
check "the front" has_block "with steps" "20 3" "21 2.775" "24 2.5625"
if command -v gnuplot >/dev/null; then
    check "by gnuplot itself" "$DUET" search plot s -o real.svg --adaptive
    check "labels are in it" grep -q '>4  lr 0.004 -&#x3E; 0.005, batch 4 -&#x3E; 8<' real.svg
else
    skip "by gnuplot itself" "gnuplot is not installed"
fi

# ---- what is refused ---------------------------------------------------------------------------
refuses "a folder that is no search" 2 "text.txt: no search.json: not the folder of a search" \
    "$DUET" search status text.txt
refuses "no folder" 2 "search status" "$DUET" search status
refuses "a chart that is none" 2 "chart" "$DUET" search plot s --chart pie
refuses "--cost of another chart" 2 "has an effect on --chart pareto alone" \
    "$DUET" search plot s --cost params
refuses "--dark of the terminal" 2 "has no effect without -o" "$DUET" search plot s --dark
refuses "a picture of another kind" 2 "ends in .svg, .png or .pdf" "$DUET" search plot s -o x.jpg
refuses "--tsv beside --json" 2 "exclude each other" "$DUET" search status s --tsv ane --json
refuses "--chart of status" 2 "chart has no effect on" "$DUET" search status s --chart knobs

# ---- spaces that have an end -------------------------------------------------------------------
mkdir grid
sed 's/"lr": {"log": \[1e-4, 1e-2\]}/"lr": {"choice": [0.002, 0.004]}/; s/"seeds": 2/"seeds": 2, "strategy": "grid"/' before/search.json >grid/search.json
{
    ledger | sed '/"trial": 2,/,$d'
    for i in 2 3; do
        propose $i "0.00$((i * 2 - 2))" 8
        result $i 1 3.2
        decide $i discard 1 0.5
    done
} >grid/ledger.jsonl
check "all of its configurations are tried" sh -c \
    "'$DUET' search status grid | grep -q '^trials: *4 of 4 decided; 1 kept, 2 discarded$'"
check "so it is finished" sh -c "'$DUET' search status grid | grep -q '^state: *finished$'"
sed -i 's/"grid"/"random"/' grid/search.json
check "others meet known ones again" sh -c "'$DUET' search status grid | grep -q '^trials: *4 of 10 decided'"
mkdir hand
sed -e '/^ "space":/d' -e 's/"seeds": 2,/"seeds": 2, "strategy": "hand"}/' before/search.json >hand/search.json
{
    ledger | head -1
    propose 0 1 1 | sed 's/"config": {[^}]*}/"config": {}/'
    result 0 1 3
} >hand/ledger.jsonl
check "a search by hand, without axes" sh -c "'$DUET' search status hand | grep -q '^search: *hand, 0 axes'"
refuses "has none to draw" 1 "has no axes" "$DUET" search plot hand --chart knobs
{
    echo '{"event": "decision", "trial": 0, "decision": "keep", "evidence": {"reason": "base", "seeds": 1}}'
    propose 1 1 1 | sed 's/"config": {[^}]*}/"config": {"lr": 0.004, "set.num_hidden_layers": 2}/; s/tpe/hand/'
    result 1 1 2.5
    decide 1 keep 0 -0.5
} >>hand/ledger.jsonl
"$DUET" search best hand >best.txt
check "what was given by hand is beside the base's" says best.txt "^lr *0.004 *0.002$"
check "so are keys of the description" says best.txt "^set.num_hidden_layers *2 *1$"
check "but its progress" sh -c "'$DUET' search plot hand | grep -q '1 Kept Improvements'"

# ---- cut, and empty ----------------------------------------------------------------------------
"$DUET" search status s >whole.txt
printf '{"event": "proposal", "job": 6, "tri' >>s/ledger.jsonl
"$DUET" search status s >cut.txt
check "half a line is passed over" same whole.txt cut.txt
check "and stays where it is" sh -c "tail -c 5 s/ledger.jsonl | grep -q tri"
search empty
ledger | head -1 >empty/ledger.jsonl
check "a search without a trial" sh -c "'$DUET' search status empty | grep -q '^trials: *0 of 10 decided'"
refuses "nothing to draw" 1 "nothing to draw" "$DUET" search plot empty
refuses "no best one" 1 "no trial has a result yet" "$DUET" search best empty
ledger | sed '3s/ok/fine/' >s/ledger.jsonl
refuses "a damaged ledger" 1 'ledger.jsonl, line 3: "status" is "fine"' "$DUET" search status s

# ---- results.tsv of a real one -----------------------------------------------------------------
sed -e 's/"steps": 40}, "trials": 10, "seeds": 2/"steps": 2}, "trials": 3, "seeds": 1, "metric": "val_loss"/' \
    before/search.json >real.json
check "a search" "$DUET" search real.json --out real --tsv ane --quiet
check "writes the columns that it was told" equal "$(head -1 real/results.tsv | tr '\t' ' ')" \
    "commit val_loss ane_util_pct status description"
check "and three rows" equal "$(sed 1d real/results.tsv | wc -l | tr -d ' ')" 3
check "goes on" "$DUET" search --resume real --trials 4 --quiet
check "with the same columns, and a row more" equal \
    "$(head -1 real/results.tsv | cut -f3) $(sed 1d real/results.tsv | wc -l | tr -d ' ')" "ane_util_pct 4"
"$DUET" search status real --tsv ane >again.tsv
check "which are those of status" same real/results.tsv again.tsv
check "it is finished" sh -c "'$DUET' search status real | grep -q '^state: *finished$'"
check "its best is best.json" sh -c "'$DUET' search best real --out - | diff real/best.json -"

# ---- init --------------------------------------------------------------------------------------
check "a search file" sh -c "'$DUET' search init text.txt --time 2 --hours 0.1 -o new.json >init.txt"
check "and a tokenizer" "$DUET" tokenizer info --tokenizer new.tokenizer.json
check "lists of numbers are on a line" says new.json '"log": \[0.0001, 0.01\]'
check "and of words" says new.json '"choice": \["adamw", "lion"\]'
check "what does not fit in is said" sh -c "'$DUET' search init text.txt --tokenizer byte --time 60 \
    --hours 0.01 -o small.json | grep '^trials: *10, the least .*into 0.01 h fit 0 at about'"
check "what fits in is that" sh -c "'$DUET' search init text.txt --tokenizer byte --time 2 --hours 0.1 \
    -o fits.json | grep '^trials: *22: what fits into 0.1 h'"
check "what is more than is written, too" sh -c "'$DUET' search init text.txt --tokenizer byte --time 2 \
    --hours 100 -o large.json | grep '^trials: *1000, the most .*100 h would do for 22045'"
check "the speed is said" says init.txt "^speed: *[0-9.]* GFLOP/s in a step"
check "the budget" says new.json '"time": 2'
check "data by its whole path: tokens, made once" says new.json "\"data\": \"$(pwd -P)/new.shard\""
check "and said" says init.txt "^data: *$(pwd -P)/new.shard: [0-9,]* tokens of [0-9.]* MB; a trial reads"
check "which are whole" "$DUET" tokenize --verify new.shard
for data in text.txt new.shard; do
    must train --model "$SRC/models/stories260k.json" --set num_hidden_layers=1 --data $data --tokenizer new.tokenizer.json \
        --steps 3 --batch 2 --seq 32 --test-fraction 0.05 --seed 1 --out of.$data --quiet
done
check "a trial of them is one of the text" same of.text.txt/model.blzt of.new.shard/model.blzt
bpb() { sed -n 's/.*"val_bpb": *\([^,}]*\).*/\1/p' $1/summary.json; }
check "with the same result" sh -c "[ '$(bpb of.text.txt)' ] && [ '$(bpb of.text.txt)' = '$(bpb of.new.shard)' ]"
check "at least ten trials" sh -c "grep -o '\"trials\": [0-9]*' new.json | awk '{ exit !(\$2 >= 10) }'"
refuses "a search file that is there" 2 "new.json is there already" "$DUET" search init text.txt -o new.json
check "unless told" "$DUET" search init text.txt -o new.json --tokenizer byte --overwrite --quiet
check "with the tokenizer that was given" says new.json '"tokenizer": "byte"'
must tokenize text.txt --tokenizer byte --out text.shard --quiet
refuses "tokens without a tokenizer" 2 "text.shard holds tokens: name the tokenizer" \
    "$DUET" search init text.shard -o x.json
refuses "no data" 1 "nothing.txt" "$DUET" search init nothing.txt -o x.json
: >none.txt
refuses "an empty text" 1 "no text in it" "$DUET" search init none.txt -o x.json
check "nothing is left" absent x.json x.tokenizer.json x.shard
mkdir texts && cp text.txt texts/
refuses "tokens among the texts" 2 "texts/x.tokenizer.json would be data, too" \
    "$DUET" search init texts -o texts/x.json
check "beside them" "$DUET" search init texts --tokenizer byte -o x.json --time 2 --quiet
check "tokens of all" says x.json "\"data\": \"$(pwd -P)/x.shard\""
check "tokens that are given stay" "$DUET" search init x.shard --tokenizer byte -o y.json --time 2 --quiet
check "the base's data" says y.json "\"data\": \"$(pwd -P)/x.shard\""
check "no others" absent y.shard

finish
