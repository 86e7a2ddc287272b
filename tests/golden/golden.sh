#!/bin/sh
# The bits of numbers: the runs of configs.sh on every instruction set of this processor have the
# weights, losses, optimizer state, trajectory and answers that table.txt records. Whatever the
# compiler: another number of threads, and being killed and resumed, change nothing.
# Arguments: duet, the source root, what duet was compiled with.
. "$(dirname "$0")/../cli/lib.sh"
. "$SRC/tests/golden/configs.sh"
compiler=${3:-$(compiled_with)}
prepare
HERE=$(tiers_here) || { echo "Bail out! no instruction set"; exit 1; }

# compare NAME TIER ROW: with the recorded one; says what differs and how to renew it
compare() {
    old=$(recorded "$1" "$2")
    [ "$old" != "$3" ] || return 0
    set -- "$1" "$2" $3 $old
    echo "$1 on $2 is not what tests/golden/table.txt records:"
    for column in $COLUMNS; do
        [ "$3" = "${9:-}" ] || echo "  $column: $3, recorded ${9:-nothing}"
        c_name=$1 c_tier=$2
        shift 3
        set -- "$c_name" "$c_tier" "$@"
    done
    echo "If numbers were changed on purpose: ninja -C build goldens, and see docs/numerics.md"
    return 1
}

# killed NAME DIR: kill -9 in its midst, then resumed to the end
killed() {
    for try in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf "$2"
        ("$DUET" train $(options "$1") --checkpoint-every 1 --out "$2" & echo $! >kill.pid; wait $!
            echo $? >kill.rc) >kill.out 2>&1 &
        shell=$!
        until grep -q '"step":6,' "$2/log.jsonl" 2>/dev/null; do
            kill -0 $shell 2>/dev/null || break
            sleep 0.01
        done
        kill -9 "$(cat kill.pid)" 2>/dev/null
        wait $shell
        [ "$(cat kill.rc)" -ne 137 ] || break # else it had ended before
    done
    [ "$(cat kill.rc)" -eq 137 ] || { echo "not killed in $try tries"; cat kill.out; return 1; }
    "$DUET" train --resume "$2" --threads 2 --quiet >resume.out 2>&1 ||
        { cat resume.out; return 1; }
    grep -q '"resumed": \[{' "$2/config.json" || { echo "nothing was left to resume"; return 1; }
}
same_weights() { tensors "$(weights_of "$1")" >w.a; tensors "$(weights_of "$2")" >w.b; [ -s w.a ] &&
    cmp w.a w.b; }

for tier in $TIERS; do
    case " $HERE " in
    *" $tier "*) ;;
    *) skip "$tier" "this processor has not got it"; continue ;;
    esac
    export DUET_CPU="$tier"
    rm -rf base
    for name in $(names); do
        dir=$name
        rm -rf "$dir" again
        if ! golden_train "$name" "$dir"; then
            not_ok "$name, $tier: trains" "$dir.err"
            continue
        fi
        grep -q "\"tier\": \"$tier\"" "$dir/config.json" || not_ok "$name, $tier: another tier"
        if ! comparable "$compiler" "$tier"; then
            skip "$name, $tier" "recorded with $(compiled_with), this is $compiler"
        elif [ -z "$(recorded "$name" "$tier")" ]; then
            skip "$name, $tier" "not recorded: ninja -C build goldens on this machine, and commit"
        elif ! found=$(row "$dir"); then
            not_ok "$name, $tier: eval and generate" answers.err
        else
            check "$name, $tier: the recorded bits" compare "$name" "$tier" "$found"
        fi
        threads=$(options "$name" | sed 's/.*--threads \([0-9]*\).*/\1/')
        golden_train "$name" again --threads $((threads % 3 + 1))
        check "$name, $tier: another number of threads" same_weights "$dir" again
    done
    for name in lion compact mezo-spsa mezo-fzoo mezo-lora; do
        check "$name, $tier: killed and resumed" killed "$name" killed
        check "$name, $tier: killed and resumed, weights" same_weights "$name" killed
        check "$name, $tier: killed and resumed, optimizer" equal "$(state_of "$name")" \
            "$(state_of killed)"
        check "$name, $tier: killed and resumed, losses" equal \
            "$(figures '"event":"step"' step loss lr <"$name/log.jsonl")" \
            "$(figures '"event":"step"' step loss lr <killed/log.jsonl)"
    done
    must golden_train lion kept --no-recompute
    check "lion, $tier: without --recompute" same_weights lion kept
    rm -rf kept killed
done
finish
