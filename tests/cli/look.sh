#!/bin/sh
# What is shown while work is done: on terminals of several widths, in colour or not, off a
# terminal, and with --quiet.
. "$(dirname "$0")/lib.sh"
must stories 60000 5 >text.txt
ESC=$(printf '\033')
RUN=$(echo $TINY --data text.txt --steps 60 --val-every 20 --val-windows 8 --lr 1e-2 --batch 128) # on one line

# shown COLUMNS OUT COMMAND: what a terminal of so many columns gets, in lines as they were rewritten
shown() {
    s_columns=$1 s_out=$2
    shift 2
    TERM=${TERM_IS-xterm} LC_ALL=${CHARSET-C.UTF-8} script -qefc "stty cols $s_columns rows 24; $*" \
        /dev/null </dev/null >s.raw 2>&1
    s_status=$?
    tr '\r' '\n' <s.raw | sed "s/$ESC\\[K//g" | grep -v '^$' >"$s_out"
    return $s_status
}
# widest FILE: columns of its widest line, without escapes
widest() { sed "s/$ESC\\[[0-9;]*m//g" "$1" | LC_ALL=C.UTF-8 wc -L; }

if TERM=xterm script -qec true /dev/null </dev/null >/dev/null 2>&1 &&
    [ "$(printf 'x\302\261' | LC_ALL=C.UTF-8 wc -L)" = 2 ]; then
    for columns in 140 80 40; do
        check "$columns columns: trains" shown $columns c$columns "$DUET train $RUN --out r$columns"
        grep '^step .*loss .* left$' c$columns >line$columns
        check "$columns columns: there is a line" [ -s line$columns ]
        check "$columns columns: it never fills the last one" \
            [ "$(widest line$columns)" -lt "$columns" ]
        check "$columns columns: the start is in 80" [ "$(grep -m 3 -e '^r' -e planned -e adamw \
            c$columns | widest -)" -le 80 ]
    done
    tail -1 line140 >last
    for part in 'step *[0-9]*/60  ' '[0-9,]* tokens/s' '  lr [0-9.]*e-[0-9]' '  loss [0-9]\.[0-9]' \
        '  val [0-9]\.[0-9]' '▁' '[0-9] % of peak' '[0-9]s left$'; do
        check "140 columns have $part" says last "$part"
    done
    tail -1 line80 >last
    for part in 'step *[0-9]*/60  ' '[0-9,]* tokens/s' '  loss [0-9]' '  val [0-9]' '▁' 's left$'; do
        check "80 columns have $part" says last "$part"
    done
    check "40 columns have the step, the loss and the time left" says line40 \
        '^step *[0-9]*/60  .*loss [0-9.]*  .*left$'
    check "the start is dim, but for its first line" sh -c \
        "grep -q '^r80: llama' c80 && grep -q '^$ESC\[2madamw, .*$ESC\[0m' c80"
    check "the first word comes before the first update" says c80 'step  *0/60 .*first update'
    check "validations stay" says c80 '^step 20  val_loss [0-9.]* ± [0-9.]*$'
    check "the best is green" says c80 "^step [46]0  val_loss .*since step 20$ESC\\[32m  best$ESC\\[0m$"
    check "the line is gone at the end" sh -c \
        "! tail -40 c80 | sed -n '/^---/,\$p' | grep '^step.*left'"
    export NO_COLOR=1
    check "NO_COLOR" shown 80 plain "$DUET train $RUN --out o.plain"
    check "NO_COLOR: none" sh -c "! grep -q '$ESC' plain && grep -q best plain"
    check "NO_COLOR: --color always goes before" shown 80 always \
        "$DUET train $RUN --out o.always --color always"
    check "--color always: green" says always "$ESC\\[32m  best"
    unset NO_COLOR
    check "--color never" shown 80 never "$DUET train $RUN --out o.never --color never"
    check "--color never: none" sh -c "! grep -q '$ESC' never"
    CHARSET=C
    check "no UTF-8" shown 140 ascii "$DUET train $RUN --out o.ascii"
    check "no UTF-8: none comes" sh -c "! LC_ALL=C grep -q '[^ -~$ESC]' ascii"
    check "no UTF-8: a sparkline all the same" says ascii 'loss [0-9.]*  .*@.*[.:]  .*left$'
    unset CHARSET
    TERM_IS=dumb
    check "a dumb terminal" shown 80 dumb "$DUET train $RUN --out o.dumb"
    check "a dumb terminal: nothing is rewritten" sh -c "! grep -q '$ESC' s.raw"
    unset TERM_IS
    check "--quiet on a terminal" shown 80 quiet "$DUET train $RUN --out o.quiet --quiet"
    check "--quiet on a terminal: the summary only" equal "$(grep -v busy quiet | head -1)" ---
    shown 80 error "$DUET eval nothing --data text.txt"
    check "errors are red" says error "^duet: $ESC\\[31merror: $ESC\\[0m"
else
    skip "terminals" "no script, or a wc that counts bytes"
fi

# ---- off a terminal
must "$DUET" train $RUN --out off >off.out 2>off.err
check "off a terminal: validations" equal "$(grep -c '^step *[0-9]*  val_loss [0-9.]* +- ' off.err)" 3
check "nothing is rewritten" sh -c "! LC_ALL=C grep -q '$(printf '\r')' off.err"
must "$DUET" train $RUN --out silent --quiet >silent.out 2>silent.err
check "--quiet: nothing on stderr" sh -c "! grep -v 'the machine is busy' silent.err"
check "--quiet: the summary" equal "$(head -1 silent.out)" ---
must "$DUET" train --init silent/model.blzt --data text.txt --seq 32 --batch 4 --threads 1 \
    --val-windows 8 --steps 8 --warmup 0 --lr 1 --spike 0 --quiet --out worse >worse.out 2>worse.err
check "--quiet: a warning is said" says worse.err '^warning: the validation loss is above'
check "--quiet: and nothing else" equal "$(grep -vc '^warning: ' worse.err)" 0
for command in "eval silent/model.blzt --data text.txt" "tokenize --tokenizer byte --out x.shard text.txt" \
    "tokenizer train --vocab 300 --out x.json text.txt" "stories --bytes 1000 --out x.txt" \
    "audit silent/model.blzt --data text.txt --seeds 8"; do
    must "$DUET" $command --quiet >q.out 2>q.err
    check "${command%% *} --quiet: nothing on stderr" [ ! -s q.err ]
    rm -f x.*
    must "$DUET" $command >q.out 2>q.err
    rm -f x.*
    check "${command%% *}: no bar of short work" sh -c "! grep -e '%' -e ' left' q.err"
done
# ---- what grows is told before the loss has run away
refuses "far too high a rate diverges" 6 'the smoothed loss rose' "$DUET" train $TINY --data text.txt \
    --steps 400 --lr 1 --no-rollback --out wild --checkpoint-every 1000
grew=$(sed -n 's/.*"growth","step":\([0-9]*\),"what":"[a-z]*","layer":[12],"value":[0-9.e+]*,"first":[0-9.]*,.*/\1/p' \
    wild/log.jsonl)
check "and its growth was in the log, once" [ "$(grep -c '"growth"' wild/log.jsonl)" = 1 ]
check "before" [ "$grew" -lt "$(json from wild/log.jsonl)" ]
check "and was said" says refuse.err "^warning: step $grew: the .* have grown from .* (layer [12]): the rate is too high"
check "a rate that works: nothing grows" sh -c '! grep -q grown off.err && ! grep -q growth off/log.jsonl'
must train zo --engine mezo --estimator grzo --lr 1e-4 --steps 20
check "MeZO's log has peaks too" sh -c \
    '[ $(grep -c "\"max_activation\":\[[0-9.]*,[0-9.]*\],\"max_logit\":\[[-0-9.e]*,[-0-9.e]*\]" zo/log.jsonl) = 2 ]'
finish
