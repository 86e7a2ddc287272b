#!/bin/sh
# Files that broke other loaders, and files that a format forbids: each is refused with one sentence
# that names it, at once, without much memory, and nothing is written. tests/malformed makes them.
#
# One of the published flaws has no file here: CVE-2026-43629, sizes in a saved state of keys and
# values. duet saves no such state; the state of a training run is damaged in resume.sh and by
# fuzz_state.
MAKE=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
. "$(dirname "$0")/lib.sh"
must mkdir files out
must sh -c "'$MAKE' files >list"
printf 'a text to encode\n' >text.txt
MEMORY=1000000 # KiB of address space
SECONDS_OF_CPU=1
if grep -q __asan_init "$DUET"; then
    MEMORY=unlimited # the sanitizer maps terabytes
    SECONDS_OF_CPU=10
fi

# limited STATUS NAMES NAME COMMAND...: the command ends with this exit status within the limits. A
# refusal is one line on stderr, which contains NAME and NAMES, and out/ stays empty.
limited() {
    l_status=$1 l_names=$2 l_name=$3
    shift 3
    (ulimit -t $SECONDS_OF_CPU && ulimit -v $MEMORY && ulimit -c 0 &&
        exec timeout 5 "$@") >l.out 2>l.err
    l_found=$?
    if [ $l_found -ne "$l_status" ]; then
        echo "exit status $l_found, expected $l_status: $*"
    elif grep -q 'runtime error\|Sanitizer' l.err; then
        echo "a sanitizer's report: $*"
    elif [ "$l_status" -ne 0 ] && [ "$(wc -l <l.err)" -ne 1 ]; then
        echo "not one line: $*"
    elif [ "$l_status" -ne 0 ] && ! grep '^duet: error: ' l.err | grep -F -e "$l_name" |
        grep -qF -e "$l_names"; then
        echo "the message lacks \"$l_name\" or \"$l_names\": $*"
    elif grep -q "$(printf '\033')" l.out l.err; then
        echo "an escape sequence reaches the terminal: $*"
    elif [ "$l_status" -ne 0 ] && [ -n "$(ls -A out)" ]; then
        echo "left behind: $(ls -A out)"
    else
        return 0
    fi
    head -c 2000 l.err
    return 1
}

info() { limited "$1" "$2" "$3" "$DUET" info "files/$3"; }
convert() { limited "$1" "$2" "$3" "$DUET" convert "files/$3" out/out.blzt; }
tokenize() { limited "$1" "$2" "$3" "$DUET" tokenize --tokenizer "files/$3" text.txt \
    --out out/out.shard; }
weights() { limited 0 "" "$1" "$DUET" convert "files/$1" out/out.blzt --tokenizer none; }
# Whatever it says, it ends in an orderly way.
info_any() { info 0 "$1" "$2" >any.out 2>&1 || info 1 "$1" "$2"; }

# verdict KIND NAME NAMES
verdict() {
    case $1 in
    model) info 0 "$3" "$2" && convert 0 "$3" "$2" ;;
    no_model) info 1 "$3" "$2" && convert 1 "$3" "$2" ;;
    no_convert) info_any "$3" "$2" && convert 1 "$3" "$2" ;;
    no_vocab) info 0 "$3" "$2" && convert 1 "$3" "$2" && weights "$2" ;;
    tokenizer) info 0 "$3" "$2" && tokenize 0 "$3" "$2" ;;
    no_tokenizer) info 1 "$3" "$2" && tokenize 1 "$3" "$2" ;;
    adapter) info 0 "$3" "$2" ;;
    no_adapter) info 1 "$3" "$2" ;;
    *) echo "unknown kind $1"; return 1 ;;
    esac
}

while read -r kind name names label; do
    [ "$names" = - ] && names=
    if verdict "$kind" "$name" "$names" >why 2>&1; then ok "$label"; else not_ok \
        "$label ($kind $name)" why; fi
    rm -rf out
    mkdir out
done <list
check "every format has a valid file" [ "$(grep -c '^model\|^tokenizer\|^adapter' list)" -ge 14 ]
finish
