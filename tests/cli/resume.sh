#!/bin/sh
# A run can be killed at any instant and resumed to the bit-identical weights of the run that was
# not killed; stopped by a signal it saves; a damaged state is refused.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt

seed=${SEED:-$(date +%s)}
echo "# SEED=$seed"

# random MAX: a number of seconds from 0 to MAX, in $delay
random() {
    seed=$((seed + 1))
    delay=$(awk -v s=$seed -v max="$1" 'BEGIN { srand(s); printf "%.3f\n", rand() * max }')
}

# go DIR OPTION...: starts the run, or goes on with what a killed one has left
go() {
    g_dir=$1
    shift
    if [ -f "$g_dir/config.json" ]; then
        exec "$DUET" train --resume "$g_dir" --threads 1 --quiet
    else
        exec "$DUET" train $TINY --data text.txt --out "$g_dir" "$@"
    fi
}

# killed DIR MAX COUNT OPTION...: COUNT times kill -9, in turn some time after the first update may
# come and some time after the start of the program; then to the end
killed() {
    k_dir=$1 k_max=$2 k_left=$3
    shift 3
    while [ "$k_left" -gt 0 ]; do
        (go "$k_dir" "$@") >kill.out 2>kill.err &
        k_pid=$!
        if [ $((k_left % 2)) -eq 1 ]; then
            while kill -0 $k_pid 2>/dev/null && ! grep -q 'GEMM peak' kill.err; do sleep 0.02; done
        fi
        random "$k_max"
        sleep "$delay"
        kill -9 $k_pid 2>/dev/null
        wait $k_pid 2>/dev/null
        echo "# killed $((k_left % 2 ? 1 : 0))+$delay s: $(tail -1 "$k_dir/log.jsonl" 2>/dev/null |
            cut -c1-40)"
        if grep -q 'duet: error' kill.err; then
            cat kill.err
            return 1
        fi
        k_left=$((k_left - 1))
    done
    (go "$k_dir" "$@") >"$k_dir.out" 2>"$k_dir.err" || { cat "$k_dir.err"; return 1; }
}

# compare NAME MAX COUNT OPTION...
compare() {
    c_name=$1 c_max=$2 c_count=$3
    shift 3
    must train straight "$@"
    killed broken "$c_max" "$c_count" "$@" >killed.txt
    c_rc=$?
    grep '^#' killed.txt
    check "$c_name: killed and resumed without an error" [ $c_rc -eq 0 ]
    check "$c_name: weights are bit-identical" same straight/model.blzt broken/model.blzt
    check "$c_name: the log's steps are identical" same_steps straight broken
    [ ! -f straight/best.blzt ] || check "$c_name: the best is the same" same straight/best.blzt \
        broken/best.blzt
    check "$c_name: nothing is left over" absent broken/model.next.blzt broken/*.duet-tmp
    rm -rf straight broken
}

compare "adamw, checkpoint every update" 0.5 6 --steps 60 --checkpoint-every 1 --log-every 4
compare "lion, accumulation ramp, epochs, recompute" 0.5 3 --steps 50 --checkpoint-every 2 \
    --log-every 3 \
    --optimizer lion --accum 1 --accum-end 3 --order epoch --recompute --schedule cosine
compare "compacted vocabulary, untied" 0.5 3 --steps 50 --checkpoint-every 3 --log-every 7 \
    --compact-vocab \
    --set tie_word_embeddings=false --schedule linear
compare "validation, the best, two checkpoints" 0.5 4 --steps 60 --val-every 6 \
    --checkpoint-every 4 --keep 2 --lr 0.02 \
    --log-every 4
compare "killed before the first checkpoint" 0.05 3 --steps 30 --checkpoint-every 1000 --log-every 5

# ---- signals: once it trains, it saves and ends well
# Background jobs of a script have SIGINT ignored, which duet keeps.
env --default-signal=INT true 2>/dev/null && AS="env --default-signal=INT" SIGNALS="INT TERM" ||
    AS= SIGNALS=TERM
for sig in $SIGNALS; do
    $AS "$DUET" train $TINY --data text.txt --out stop --steps 100000 --schedule constant \
        --log-every 1 \
        >stop.out 2>stop.err &
    pid=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        grep -q '"step"' stop/log.jsonl 2>/dev/null && break
        sleep 0.3
    done
    kill -$sig $pid
    wait $pid
    check "SIG$sig: exit status 0" [ $? -eq 0 ]
    at=$(sed -n 's/^duet: stopped at step \([0-9]*\)[^0-9]*--resume stop$/\1/p' stop.err)
    check "SIG$sig: says where it stopped and how to go on" [ "${at:-0}" -gt 0 ]
    check "SIG$sig: that step is the last one logged" equal "$(
        steps_of stop/log.jsonl | tail -1 | sed 's/.*"step":\([0-9]*\).*/\1/')" "$at"
    check "SIG$sig: no summary of a run that has not ended" [ ! -s stop.out ]
    more=$((at + 5))
    check "SIG$sig: resumes" "$DUET" train --resume stop --steps $more --quiet --threads 1
    must train full --steps $more --schedule constant --log-every 1
    check "SIG$sig: weights as of the run that was not stopped" same full/model.blzt stop/model.blzt
    rm -rf stop full
done

# ---- the windows between the files of a checkpoint
CONSTANT="--schedule constant --warmup 2 --checkpoint-every 3"
must train six --steps 6 $CONSTANT
must train three --steps 3 $CONSTANT
must train nine --steps 9 $CONSTANT
resume() { "$DUET" train --resume "$1" --steps 9 --threads 1 --quiet; }
cp -r six w1 && mv w1/model.blzt w1/model.next.blzt
check "killed before the new model got its name: resumes" resume w1
check "killed before the new model got its name: weights" same w1/model.blzt nine/model.blzt
cp -r six w2 && mv w2/model.blzt w2/model.next.blzt && cp three/model.blzt w2/model.blzt
check "old model beside the new one: resumes" resume w2
check "old model beside the new one: weights" same w2/model.blzt nine/model.blzt
cp -r six w3 && head -c 1000 nine/model.blzt >w3/model.next.blzt &&
    head -c 500 six/state >w3/state.duet-tmp
check "half-written next files: resumes" resume w3
check "half-written next files: weights" same w3/model.blzt nine/model.blzt
check "half-written next files: gone" absent w3/model.next.blzt w3/state.duet-tmp
cp -r six w4 && cp three/model.blzt w4/model.blzt
refuses "a model of another checkpoint" 1 'w4/state belongs to a model file' resume w4
cp -r six w5 && rm w5/model.blzt
refuses "no model at all" 1 'w5/state belongs to a model file' resume w5

# ---- a damaged state: one clear sentence, nothing changed
size=$(wc -c <six/state)
foot=$(od -An -tu8 -j16 -N8 six/state | tr -d ' ')
damage() { # NAME: w/state is damaged
    resume w >damage.out 2>damage.err
    d_rc=$?
    if [ $d_rc -eq 0 ] && same w/model.blzt nine/model.blzt >/dev/null; then
        cp six/* w/ # a bit without meaning, as in the header of a zstd frame
        benign=$((benign + 1))
        return 0
    fi
    [ $d_rc -eq 1 ] && [ "$(grep -c '^duet: error: w/state' damage.err)" -eq 1 ] && return 0
    echo "$1: exit status $d_rc"
    cat damage.err
    return 1
}
cp -r six w
bad=0 benign=0
for n in 0 1 7 8 39 40 41 100 1000 $((foot / 2)) $((foot - 1)) "$foot" $((foot + 1)) \
    $((size - 1)); do
    head -c "$n" six/state >w/state
    damage "first $n bytes" >>damage.txt 2>&1 || bad=1
done
check "a truncated state is refused" [ $bad$benign = 00 ] || cat damage.txt
bad=0
# flip STATE OFFSET: one bit of a copy
flip() {
    cp six/state w/state
    f_byte=$(od -An -tu1 -j"$1" -N1 six/state | tr -d ' ')
    printf "\\$(printf %o $((f_byte ^ 16)))" | dd of=w/state bs=1 seek="$1" conv=notrunc 2>/dev/null
    damage "bit of byte $1" >>damage.txt 2>&1 || bad=1
}
i=0
while [ $i -lt 40 ]; do
    flip $i
    i=$((i + 1))
done
i=$foot
while [ $i -lt "$size" ]; do
    flip $i
    i=$((i + (size - foot) / 40))
done
check "no bit of the header or the footer is ignored" [ $bad$benign = 00 ] || cat damage.txt
for i in $(awk -v s=$seed -v n="$foot" \
    'BEGIN { srand(s); for (k = 0; k < 30; k++) print int(40 + rand() * (n - 40)) }'); do
    flip "$i"
done
check "flipped bits of the optimizer's arrays are found" [ $bad = 0 ] || cat damage.txt
check "the rest of the folder is untouched" same w/log.jsonl six/log.jsonl

# ---- other options on resuming
cp -r six o
refuses "another optimizer" 2 '--optimizer is "lion", but o was begun with' "$DUET" train \
    --resume o --optimizer lion
refuses "another shape" 2 '--set is intermediate_size=64, but o was begun with 48' \
    "$DUET" train --resume o --set intermediate_size=64
check "a refused resume leaves the recorded options" same o/config.json six/config.json
check "a refused resume leaves the weights" same o/model.blzt six/model.blzt
refuses "not a run" 1 'no config.json' "$DUET" train --resume .
refuses "no folder" 1 'nowhere: no config.json' "$DUET" train --resume nowhere
refuses "--resume with --out" 2 '--out does not belong' "$DUET" train --resume o --out p
rm text.txt
check "the text is not needed any more" resume o
check "the text is not needed any more: weights" same o/model.blzt nine/model.blzt

# ---- a finished run
cp nine/summary.json before.json
check "a finished run resumes to its summary" "$DUET" train --resume nine --quiet --threads 1
check "the summary says the same" equal \
    "$(json val_loss nine/summary.json) $(json num_steps nine/summary.json)" \
    "$(json val_loss before.json) $(json num_steps before.json)"
check "one final validation in the log" [ "$(grep -c '"val"' nine/log.jsonl)" -eq 1 ]
stories 30000 5 >text.txt

# ---- two at a time
(exec "$DUET" train $TINY --data text.txt --out two --steps 1000000) >two.out 2>two.err &
pid=$!
while [ ! -f two/log.jsonl ]; do sleep 0.1; done
refuses "a second process in the folder" 1 'another process is training' "$DUET" train \
    --resume two --quiet
kill -9 $pid
wait $pid 2>/dev/null
finish
