#!/bin/sh
# Matrices may follow another optimizer than the rest: any pair trains and goes on to the same bits,
# a record says which pair it was, and a state of another pair is refused.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
"$DUET" train --help all >help.txt
MATRIX=$(sed -n 's/^ *--optimizer-matrix auto|//p' help.txt | tr '|' ' ')
KINDS=
for kind in $MATRIX; do # some are for matrices only
    "$DUET" plan $SHAPE --optimizer $kind >plan.out 2>&1 && KINDS="$KINDS $kind" ||
        check "$kind is for matrices only" says plan.out 'for matrices only'
done
check "there are optimizers" [ "$(echo $KINDS | wc -w)" -ge 4 ]
option() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$2"; }

for kind in $KINDS; do
    for matrix in $MATRIX; do
        pair="--optimizer $kind --optimizer-matrix $matrix --schedule constant"
        must train whole $pair --steps 6
        must train part $pair --steps 3
        check "$kind, $matrix: goes on" "$DUET" train --resume part --steps 6 --threads 1 --quiet
        check "$kind, $matrix: to the same weights" same whole/model.blzt part/model.blzt
        check "$kind, $matrix: is recorded" equal "$(option optimizer-matrix whole/config.json)" $matrix
        tensors whole/model.blzt >$kind.$matrix.w
        rm -rf part again
        must "$DUET" train --config whole/config.json --threads 1 --quiet --out again >again.out
        check "$kind, $matrix: config.json repeats it" same whole/model.blzt again/model.blzt
        rm -rf whole
    done
done
sums=$(cat ./*.w | wc -c)
n_pairs=$(($(echo $KINDS | wc -w) * $(echo $MATRIX | wc -w)))
check "$n_pairs pairs, as many results" equal "$(for f in *.w; do cksum <$f; done | sort -u | wc -l)" $n_pairs
check "of all weights" [ "$sums" -gt 100000 ]

# ---- what belongs to matrices: rate and betas of their own optimizer
must train own --optimizer adamw --optimizer-matrix lion --steps 4
must train given --optimizer adamw --optimizer-matrix lion --steps 4 --lr 1e-3 --matrix-lr 0.2 \
    --beta1 0.9 --beta2 0.95 --matrix-beta1 0.9 --matrix-beta2 0.99
check "defaults of a pair" same own/model.blzt given/model.blzt
for fact in optimizer=adamw optimizer-matrix=lion lr=0.001 matrix-lr=0.2 beta2=0.95 matrix-beta2=0.99; do
    check "is recorded: $fact" says own/config.json "\"${fact%=*}\": \"\{0,1\}${fact#*=}[\",0]"
done
must train one --optimizer adamw --steps 4
check "one optimizer: nothing of a pair is recorded" sh -c \
    '! grep -q "optimizer-matrix\|matrix-beta" one/config.json && grep -q "\"matrix-lr\": 1.0" one/config.json'
must train same --optimizer adamw --optimizer-matrix adamw --steps 4
check "a pair of the same is one" same one/model.blzt same/model.blzt
check "the log says which" says own/log.jsonl '"optimizer":"adamw","optimizer_matrix":"lion"'
check "so does the start" says own.err 'adamw, lion for matrices, lr 1e-3 (matrices times 0.2)'
mkdir both && cp -r own one both
"$DUET" runs both >runs.txt 2>&1
check "runs shows where they differ" says runs.txt 'optimizer-matrix'
check "runs shows what it is" says runs.txt lion
"$DUET" info own/state >info.txt 2>&1
check "info: of a state" says info.txt 'matrix.*lion'

# ---- muon with all that it has
FULL="--optimizer-matrix muon --muon-steps 4 --muon-polynomial newton-schulz --muon-equalise --muon-rescale
 --muon-normalise --cautious-decay --schedule constant"
must train muon $FULL --steps 6
must train muon3 $FULL --steps 3
check "muon with all options: goes on" "$DUET" train --resume muon3 --steps 6 --threads 1 --quiet
check "muon with all options: to the same weights" same muon/model.blzt muon3/model.blzt
must train muon2 $FULL --steps 6 --threads 2
check "muon with all options: with other threads" same muon/model.blzt muon2/model.blzt
refuses "muon: another layout of its state" 2 'muon-normalise' "$DUET" train --resume muon --steps 8 \
    --no-muon-normalise --threads 1

# ---- a classifier of its own
UNTIED="--set tie_word_embeddings=false --schedule constant --embed-lr 2"
must train untied $UNTIED --steps 6
must train equal $UNTIED --steps 6 --head-lr 2
must train apart $UNTIED --steps 6 --head-lr 0.5
must train apart3 $UNTIED --steps 3 --head-lr 0.5
check "the classifier has the rate of embeddings" same untied/model.blzt equal/model.blzt
check "or one of its own" differ untied/model.blzt apart/model.blzt
check "which is recorded" equal "$(option head-lr apart/config.json)" 0.5
check "a rate of its own goes on" "$DUET" train --resume apart3 --steps 6 --threads 1 --quiet
check "to the same weights" same apart/model.blzt apart3/model.blzt

# ---- the plan knows the arrays of each
for kind in adamw lion; do
    "$DUET" plan $SHAPE --seq 32 --batch 4 --optimizer $kind --json >$kind.json
done
"$DUET" plan $SHAPE --seq 32 --batch 4 --optimizer-matrix lion --json >pair.json
"$DUET" plan $SHAPE --seq 32 --batch 4 --optimizer-matrix sgd --json >none.json
"$DUET" plan $SHAPE --seq 32 --batch 4 --optimizer-matrix lion >pair.txt
"$DUET" plan $SHAPE --seq 32 --batch 4 --optimizer-matrix muon --json >muon.json
"$DUET" plan $SHAPE --seq 32 --batch 4 --optimizer-matrix muon --muon-normalise --json >lines.json
check "the plan knows the array of --muon-normalise" [ $(json optimizer_bytes muon.json) -lt $(json optimizer_bytes lines.json) ]
check "plan names the pair" says pair.txt '^optimizer .* MB, adamw, lion for matrices$'
check "plan names the pair in JSON" equal "$(json optimizer_matrix pair.json)" lion
a=$(json optimizer_bytes adamw.json) l=$(json optimizer_bytes pair.json) s=$(json optimizer_bytes none.json)
check "matrices without state: less, by twice what one array of them has" \
    equal $((a - s)) $((2 * (a - l)))
check "and there are other arrays" [ $s -gt 0 -a $s -lt $l -a $l -lt $a ]
check "lion alone has half of adamw's" equal "$a" $((2 * $(json optimizer_bytes lion.json)))

# ---- a state of another pair
sed -i 's/"optimizer-matrix": "lion"/"optimizer-matrix": "adamw"/' own/config.json
refuses "a state of another pair" 1 \
    'own/state: state of optimizer lion for parameters of role matrix, but the run uses adamw' \
    "$DUET" train --resume own --steps 8 --threads 1
refuses "another pair" 2 '--optimizer-matrix is "adamw", but given was begun with "lion"' "$DUET" train \
    --resume given --steps 8 --optimizer-matrix adamw
refuses "no such optimizer" 2 '--optimizer-matrix is "sgdx"' "$DUET" train $TINY --data text.txt \
    --out x --steps 2 --optimizer-matrix sgdx

# ---- MeZO: the record is of both
zo() { # OUT OPTION...
    z_out=$1
    shift
    train "$z_out" --engine mezo "$@"
}
for pair in "sgd lion" "adamw sgd" "momentum adamw" "lion momentum" "adamw lion"; do
    set -- $pair
    must zo zo --optimizer $1 --optimizer-matrix $2 --steps 6 --schedule constant
    check "mezo, $1, $2: nothing is left to be decided" [ "$(grep -c '": -1\|"auto"' zo/config.json)" -eq 0 ]
    check "mezo, $1, $2: the factor is recorded" [ -n "$(option matrix-lr zo/config.json)" ]
    check "mezo, $1, $2: replays" "$DUET" replay zo/base.blzt zo/trajectory.zo -o zo.blzt --threads 1 --overwrite
    check "mezo, $1, $2: the same file" same zo.blzt zo/model.blzt
    must zo part --optimizer $1 --optimizer-matrix $2 --steps 3 --schedule constant
    must zo straight --optimizer $1 --optimizer-matrix $2 --steps 6 --schedule constant \
        --lr $(option lr part/config.json) --matrix-lr $(option matrix-lr part/config.json)
    check "mezo, $1, $2: goes on" "$DUET" train --resume part --steps 6 --threads 1 --quiet
    check "mezo, $1, $2: to the same weights" same part/model.blzt straight/model.blzt
    rm -rf zo part straight
done
finish
