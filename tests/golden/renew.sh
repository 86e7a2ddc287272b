#!/bin/sh
# Writes the rows of table.txt that this processor can make; those of other instruction sets stay.
#   ninja -C build goldens
# Arguments: duet, the source root, what duet was compiled with. docs/numerics.md says when.
. "$(dirname "$0")/../cli/lib.sh"
. "$SRC/tests/golden/configs.sh"
prepare
if [ "$3" != "$(compiled_with)" ]; then
    echo "renew.sh: the table is made with $(compiled_with), this is $3" >&2
    exit 1
fi
HERE=$(tiers_here) || exit 1
sed '/^[^#]/d' "$GOLDEN/table.txt" >table.new
for name in $(names); do
    for tier in $TIERS; do
        old=$(recorded "$name" "$tier") new=
        case " $HERE " in
        *" $tier "*)
            export DUET_CPU="$tier"
            rm -rf base
            [ ! -d "base-$tier" ] || cp -r "base-$tier" base
            golden_train "$name" run || { cat run.err >&2; exit 1; }
            new=$(row run) || { cat answers.err >&2; exit 1; }
            if [ "$name" = base ]; then mv run "base-$tier"; else rm -rf run; fi
            [ "$new" = "$old" ] || echo "$name $tier: ${old:-nothing} -> $new" >&2
            ;;
        esac
        new=${new:-$old}
        [ -z "$new" ] || printf '%-10s %-10s %s\n' "$name" "$tier" "$new" >>table.new
    done
done
cp table.new "$GOLDEN/table.txt"
echo "renewed: $HERE; rows of other instruction sets are as they were" >&2
