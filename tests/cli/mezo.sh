#!/bin/sh
# A MeZO run's trajectory gives its weights again, bit for bit; a killed run loses no update that it
# has recorded; what is not a trajectory of this base is refused and nothing is written.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
seed=${SEED:-$(date +%s)}
echo "# SEED=$seed"
random() { # MAX: seconds from 0 to MAX, in $delay
    seed=$((seed + 1))
    delay=$(awk -v s=$seed -v max="$1" 'BEGIN { srand(s); printf "%.3f\n", rand() * max }')
}

mezo() { # OUT OPTION...
    m_out=$1
    shift
    train "$m_out" --engine mezo "$@"
}
tune() { # OUT OPTION...: from the weights of start/model.blzt
    t_out=$1
    shift
    "$DUET" train --init start/model.blzt --data text.txt --engine mezo --seq 32 --batch 4 --threads 1 --quiet \
        --out "$t_out" "$@" >"$t_out.out" 2>"$t_out.err" && return 0
    cat "$t_out.err" >&2
    return 1
}
replay() { "$DUET" replay "$@" --threads 1 --quiet; }
# The tensors of a BLZT file, without the header.
tensors() { tail -c +$((33 + $(od -An -tu8 -j8 -N8 "$1" | tr -d ' '))) "$1"; }
same_weights() {
    tensors "$1" >weights.a
    tensors "$2" >weights.b
    [ -s weights.a ] && cmp weights.a weights.b
}

# replays NAME RUN...: COMMAND is mezo or tune; the replay is the file that the run saved
replays() {
    p_name=$1
    shift
    must "$@"
    p_base=start/model.blzt
    [ "$1" = mezo ] && p_base=$2/base.blzt
    p_file=$2/model.blzt
    [ -f "$p_file" ] || p_file=$2/adapter.blzt
    check "$p_name: replays" replay "$p_base" "$2/trajectory.zo" -o "$2.blzt"
    check "$p_name: the same file" same "$2.blzt" "$p_file"
}

# ---- every way to train
must train start --steps 30
replays "sgd" mezo sgd --steps 12
replays "momentum, accumulation ramp, cosine, clip" mezo ramp --steps 10 --optimizer momentum --accum 1 --accum-end 3 \
    --schedule cosine --clip 0.5
replays "adamw, decay" mezo adamw --steps 8 --optimizer adamw --weight-decay 0.2
replays "bf16, compacted vocabulary, untied" mezo bf16 --steps 8 --weights bf16 --lr 1e-3 --compact-vocab \
    --set tie_word_embeddings=false
replays "fzoo, 4 directions" mezo fzoo --steps 6 --estimator fzoo --directions 4
replays "grzo" mezo grzo --steps 6 --estimator grzo
replays "compat signs, 2 directions" mezo compat --steps 4 --rng compat --directions 2
replays "from a file" tune init --steps 8
replays "LoRA, norms" tune lora --steps 8 --lora 4 --lora-norms
replays "LoRA, merged, bf16 base, compacted vocabulary" tune lora2 --steps 6 --lora 2 --lora-mode merge \
    --weights bf16 --compact-vocab
check "each run moved its weights" differ sgd/model.blzt sgd/base.blzt

# ---- steps
must mezo five --steps 5
check "--to-step: replays" replay sgd/base.blzt sgd/trajectory.zo -o to5.blzt --to-step 5
check "--to-step: the weights of a run of so many steps" same to5.blzt five/model.blzt
check "--to-step 0: replays" replay sgd/base.blzt sgd/trajectory.zo -o to0.blzt --to-step 0
check "--to-step 0: the weights it began from" same_weights to0.blzt sgd/base.blzt
check "3 threads: the same" "$DUET" replay sgd/base.blzt sgd/trajectory.zo -o threads.blzt --threads 3 --quiet
check "3 threads: the same file" same threads.blzt sgd/model.blzt
# one byte more: "steps": 12
check "44 bytes an update of one direction" equal \
    $(($(wc -c <sgd/trajectory.zo) - $(wc -c <five/trajectory.zo))) $((7 * 44 + 1))

# ---- kill -9: no recorded update is lost
LONG="--steps 2000 --checkpoint-every 150 --log-every 10 --optimizer adamw"
must mezo straight $LONG
for i in 1 2 3 4 5; do
    rm -f kill.err # the last one's
    if [ -f broken/config.json ]; then
        (exec "$DUET" train --resume broken --threads 1 --quiet) >kill.out 2>kill.err &
    else
        (exec "$DUET" train $TINY --data text.txt --out broken --engine mezo $LONG) >kill.out 2>kill.err &
    fi
    pid=$!
    while kill -0 $pid 2>/dev/null && ! grep -qs 'GEMM peak' kill.err; do sleep 0.02; done
    random 0.3
    sleep "$delay"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    size=$(wc -c <broken/trajectory.zo 2>/dev/null)
    echo "# killed after $delay s: trajectory of ${size:-0} bytes"
    check "killed $i: no error" [ "$(grep -c 'duet: error' kill.err)" -eq 0 ]
done
check "resumes to the end" "$DUET" train --resume broken --threads 1 --quiet
check "killed and resumed: the same weights" same straight/model.blzt broken/model.blzt
check "killed and resumed: the same log" same_steps straight broken
check "killed and resumed: replays" replay broken/base.blzt broken/trajectory.zo -o broken.blzt
check "killed and resumed: the replay is the same file" same broken.blzt straight/model.blzt

# An end that a power failure has torn: it goes, and the update is made again.
cp -r sgd torn
head -c $(($(wc -c <sgd/trajectory.zo) - 50)) sgd/trajectory.zo >torn/trajectory.zo
refuses "a torn end" 1 'record of step 10 at offset [0-9]* is cut off or damaged; --to-step 10' \
    replay sgd/base.blzt torn/trajectory.zo -o x.blzt
check "a torn end: what is before it" replay sgd/base.blzt torn/trajectory.zo -o x.blzt --to-step 10
rm x.blzt
refuses "fewer updates than the checkpoint has seen" 1 'torn/trajectory.zo' "$DUET" train --resume torn --quiet
rm torn/state torn/model.blzt torn/summary.json # as if there had been no checkpoint yet
head -c $(($(wc -c <sgd/trajectory.zo) - 50)) sgd/trajectory.zo >torn/trajectory.zo
check "a torn end: resumes" "$DUET" train --resume torn --threads 1 --quiet
check "a torn end: the same weights" same torn/model.blzt sgd/model.blzt
check "a torn end: replays" replay sgd/base.blzt torn/trajectory.zo -o x.blzt
check "a torn end: the replay is the same file" same x.blzt sgd/model.blzt
rm x.blzt
cp -r sgd lost
rm lost/trajectory.zo
refuses "a checkpoint without its trajectory" 1 'lost/trajectory.zo' "$DUET" train --resume lost --quiet
check "a checkpoint without its trajectory: nothing is changed" same lost/base.blzt sgd/base.blzt

# ---- what is refused
T=sgd/trajectory.zo B=sgd/base.blzt
cp $B base.copy
cp $T trajectory.copy
refuses "another base" 1 'is not the file that sgd/trajectory.zo began from: its hash is' replay start/model.blzt $T -o x.blzt
refuses "--to-step beyond the end" 1 'sgd/trajectory.zo holds 12 updates, --to-step asks for 13' \
    replay $B $T -o x.blzt --to-step 13
refuses "not a trajectory" 1 'sgd/state: not a trajectory' replay $B sgd/state -o x.blzt
refuses "not a model" 1 'is not the file' replay text.txt $T -o x.blzt
refuses "no such base" 1 'nowhere' replay nowhere $T -o x.blzt
refuses "no such trajectory" 1 'nowhere' replay $B nowhere -o x.blzt
refuses "no --out" 2 'give the file to write' replay $B $T
refuses "one argument" 2 'takes a model file and a trajectory, found 1' replay $B -o x.blzt
refuses "onto the base" 2 'sgd/base.blzt is to be read' replay $B $T -o $B
refuses "onto the trajectory" 2 'sgd/trajectory.zo is to be read' replay $B $T -o sgd/../$T
size=$(wc -c <$T)
bad=0
for at in 0 8 12 16 24 28 40 100 $((size - 500)) $((size - 100)); do
    byte=$(od -An -tu1 -j$at -N1 $T | tr -d ' ')
    cp $T flip.zo
    printf "\\$(printf %o $((byte ^ 16)))" | dd of=flip.zo bs=1 seek=$at conv=notrunc 2>/dev/null
    replay $B flip.zo -o x.blzt 2>flip.err && bad=1
    [ "$(grep -c '^duet: error: flip.zo' flip.err)" -eq 1 ] || { bad=1; echo "# byte $at: $(cat flip.err)"; }
done
check "a flipped bit is found, anywhere" [ $bad = 0 ]
check "nothing was written" absent x.blzt x.blzt.duet-tmp
check "the base is as it was" same $B base.copy
check "the trajectory is as it was" same $T trajectory.copy

# ---- the data is not needed
rm -r text.txt sgd/tokens.shard
check "without the data" replay $B $T -o x.blzt
check "without the data: the same file" same x.blzt sgd/model.blzt
finish
