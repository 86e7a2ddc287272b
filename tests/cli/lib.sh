# Shared by tests/cli/*.sh, which start with:  . "$(dirname "$0")/lib.sh"
# and end with:  finish
# Arguments of every script: the duet binary, the source root. Output is TAP. Everything happens in
# a temporary folder that goes away at the end; KEEP=1 keeps it and prints where it is.
set -u
LC_ALL=C
CACHE=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
XDG_CACHE_HOME=/dev/null # no history of what was measured, and none in the user's home
export LC_ALL XDG_CACHE_HOME
unset NO_COLOR COLUMNS OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS # what the user sets for programs
DUET=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
SRC=$(cd "$2" && pwd)
DATA=${DUET_DATA:-$SRC/../shared/data}
# IN_MEMORY=yes before this is read: of tests that wait for syncs of a disk for most of their time,
# which is not what they test. Programs must start there, too.
starts_in() {
    s_file=$(mktemp "$1/duet-cli-XXXXXX" 2>/dev/null) || return 1
    printf '#!/bin/sh\n' >"$s_file"
    chmod +x "$s_file"
    "$s_file" 2>/dev/null
    s_found=$?
    rm -f "$s_file"
    return $s_found
}
if [ -n "${IN_MEMORY:-}" ] && [ -z "${TMPDIR:-}" ] && starts_in /dev/shm; then
    TMPDIR=/dev/shm
    export TMPDIR
fi
WORK=$(mktemp -d "${TMPDIR:-/tmp}/duet-cli-XXXXXX")
cd "$WORK" || exit 1
exec 3>&1
n_tests=0
n_failed=0

leave() {
    if [ -n "${KEEP:-}" ]; then echo "# kept $WORK"; else chmod -R u+rwx "$WORK"; rm -rf "$WORK"; fi
}
trap leave EXIT
trap 'exit 1' INT TERM

ok() {
    n_tests=$((n_tests + 1))
    echo "ok $n_tests - $1"
}

# not_ok NAME [FILE...]: the files are shown
not_ok() {
    n_tests=$((n_tests + 1))
    n_failed=$((n_failed + 1))
    echo "not ok $n_tests - $1"
    shift
    for f; do
        echo "# $f:"
        head -c 3000 "$f" | sed 's/^/#   /'
    done
}

# check NAME COMMAND...: ok when the command succeeds
check() {
    check_name=$1
    shift
    if "$@" >check.out 2>&1; then ok "$check_name"; else not_ok "$check_name ($*)" check.out; fi
}

skip() {
    n_tests=$((n_tests + 1))
    echo "ok $n_tests - $1 # SKIP $2"
}

# need FILE...: of the real data; without one of them the whole script is skipped
need() {
    for need_file; do
        [ -e "$DATA/$need_file" ] || { echo "1..0 # SKIP no $need_file in $DATA"; exit 0; }
    done
}

finish() {
    echo "1..$n_tests"
    [ $n_failed -eq 0 ] || echo "# $n_failed failed"
    [ $n_failed -eq 0 ] && exit 0
    exit 1
}

same() { cmp "$1" "$2"; }
differ() { ! cmp -s "$1" "$2"; }
absent() { for f; do [ ! -e "$f" ] || { echo "$f is there: $(ls -A "$f")"; return 1; }; done; }
says() { grep -q -e "$2" "$1" || { echo "no \"$2\" in:"; cat "$1"; return 1; }; }
equal() { [ "$1" = "$2" ] || { echo "\"$1\" is not \"$2\""; return 1; }; }

# refuses NAME STATUS PATTERN COMMAND...: the command fails with that exit status and exactly one
# line on stderr that begins "duet: error:"; it contains PATTERN. Nothing goes to stdout.
refuses() {
    r_name=$1 r_status=$2 r_pattern=$3
    shift 3
    "$@" >refuse.out 2>refuse.err
    r_found=$?
    if [ $r_found -ne "$r_status" ]; then
        not_ok "$r_name: exit status $r_found, expected $r_status ($*)" refuse.err
    elif [ "$(grep -c '^duet: error: ' refuse.err)" -ne 1 ] ||
        grep -qi 'sanitizer\|assert' refuse.err; then
        not_ok "$r_name: not one line of error ($*)" refuse.err
    elif ! grep '^duet: error: ' refuse.err | grep -q -e "$r_pattern"; then
        not_ok "$r_name: the message lacks \"$r_pattern\"" refuse.err
    elif [ -s refuse.out ]; then
        not_ok "$r_name: printed something on stdout" refuse.out
    else
        ok "$r_name"
    fi
}

# A text of stories, about $1 bytes, of seed $2.
stories() { "$DUET" stories --bytes "$1" --seed "${2:-1}" --quiet; }

SHAPE="--model $SRC/models/stories260k.json --set num_hidden_layers=2 --set hidden_size=32
 --set intermediate_size=48 --set num_attention_heads=4 --set num_key_value_heads=2"
TINY="$SHAPE --tokenizer byte --seq 32 --batch 4 --threads 1"

# data_for OPTION...: --data text.txt, unless the options give data of their own
data_for() { case " $* " in *" --data"*) ;; *) echo "--data text.txt" ;; esac; }

# train OUT OPTION...: a tiny run on text.txt; later options win. stdout OUT.out, stderr OUT.err.
# Words of TINY are options, so it is not quoted.
train() {
    t_out=$1
    shift
    "$DUET" train $TINY $(data_for "$@") --out "$t_out" "$@" >"$t_out.out" 2>"$t_out.err" &&
        return 0
    t_status=$?
    cat "$t_out.err" >&2
    return $t_status
}

# must COMMAND...: for preparations; the script cannot go on without
must() {
    "$@" && return 0
    exec >&3 # the command's own output may go to a file
    not_ok "preparation failed: $*"
    finish
}

# The tensors of a BLZT file, without the header, which tells the options.
tensors() { tail -c +$((33 + $(od -An -tu8 -j8 -N8 "$1" | tr -d ' '))) "$1"; }

# Lines of updates in a log, without timings.
steps_of() { grep '"event":"step"' "$1" | sed 's/,"seconds":.*//'; }
same_steps() {
    steps_of "$1/log.jsonl" >steps.a
    steps_of "$2/log.jsonl" >steps.b
    [ -s steps.a ] || { echo "no step lines in $1/log.jsonl"; return 1; }
    diff steps.a steps.b
}

# value KEY FILE: of a "key: value" line
value() { sed -n "s/^$1: *//p" "$2"; }
# json KEY FILE: of a simple value in JSON that is indented or on one line
json() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" "$2" | head -1; }
# options_of CONFIG: without the record of where and when they were used
options_of() { sed '/^  "run": {/d; s/,$//' "$1"; }
same_options() { options_of "$1" >options.a; options_of "$2" >options.b; [ -s options.a ] &&
    diff options.a options.b; }
# close_to A B TOLERANCE
close_to() { awk -v a="$1" -v b="$2" -v t="$3" \
    'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a != "" && b != "" && d <= t) }' ||
    { echo "$1 is not within $3 of $2"; return 1; }; }
