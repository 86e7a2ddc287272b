#!/bin/sh
# Files and runs of the first edition (commit 7279bbc) are still read, resumed and replayed, with
# the values that it got itself; or refused in one sentence. See first/make.sh.
# Arguments: duet, the source root, what duet was compiled with.
. "$(dirname "$0")/../cli/lib.sh"
. "$SRC/tests/golden/configs.sh"
. "$SRC/tests/golden/first/facts.sh"
compiler=${3:-$(compiled_with)}
HERE=$(tiers_here) || { echo "Bail out! no instruction set"; exit 1; }
expected() { sed -n "s|^$1 $2 ||p" "$FIRST/expected.txt"; }

# expect KEY TIER VALUE: the first edition's value. Where it was not recorded (another instruction
# set, another compiler), what is read is still the same, and losses are but for rounding.
expect() {
    old=$(expected "$2" "$1")
    if comparable "$compiler" "$2" && [ -n "$old" ]; then
        check "$1, $2" equal "$3" "$old"
        return
    fi
    old=$(expected avx2 "$1")
    case $1 in
    tokenize | *.blzt-tensors | hf-tensors | *.gguf-tensors | llama2c*-tensors | v4*-tensors)
        case $1 in
        *adapter*) ;; # merged, which is arithmetic
        *) check "$1, $2" equal "$3" "$old"; return ;;
        esac
        ;;
    *-loss) check "$1, $2: but for rounding" close_to "$3" "$old" 1e-3; return ;;
    esac
    skip "$1, $2" \
        "no value for $compiler: first/make.sh DUET SOURCE rows, DUET of the first edition"
}

prepare
mkdir failed
for tier in $TIERS; do
    case " $HERE " in
    *" $tier "*) ;;
    *) skip "$tier" "this processor has not got it"; continue ;;
    esac
    export DUET_CPU="$tier"
    facts >found.txt
    while read -r key value; do
        if [ "$value" = failed ]; then
            not_ok "$key, $tier" "failed/$(echo "$key" | tr / _)"
        else
            expect "$key" "$tier" "$value"
        fi
    done <found.txt
done
check "every value of the first edition was looked at" equal "$(wc -l <found.txt)" \
    "$(grep -c '^avx2 ' "$FIRST/expected.txt")"

# What has gone since then is said in one sentence, and nothing is lost.
cp -r "$FIRST/files/compat" .
refuses "the predecessors' stream of signs: replay" 1 '"rng" is "compat"' "$DUET" replay \
    compat/base.blzt compat/trajectory.zo -o new.blzt
refuses "the predecessors' stream of signs: resume" 1 '"rng" is "compat"' "$DUET" train \
    --resume compat --steps 9
check "the refused run is as it was" diff -r compat "$FIRST/files/compat"
check "and nothing was written" absent new.blzt
finish
