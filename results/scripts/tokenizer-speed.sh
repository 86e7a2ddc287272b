#!/bin/sh
# Encoding, against npm's @huggingface/tokenizers in alternation:
#   results/scripts/tokenizer-speed.sh build/tools/duet TOKENIZER_JSON TEXT [MODULES] [ROUNDS]
# MODULES: a node_modules folder that has the package; without it the package is installed into a temporary folder.
# duet's seconds are those of the whole program: start, tokenizer, text, ids written as decimal numbers. The other's are those of
# the call that encodes alone. Every round the ids must be the same: their number and their SHA-256.
set -eu
duet=$1
tokenizer=$2
text=$3
modules=${4:-}
rounds=${5:-3}
here=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
if [ -z "$modules" ]; then
    (cd "$tmp" && npm install --silent --no-fund --no-audit @huggingface/tokenizers >npm.log 2>&1) || {
        cat "$tmp/npm.log" >&2
        exit 1
    }
    modules=$tmp/node_modules
fi

now() { date +%s.%N; }
median() { sort -n "$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

mb=$(wc -c <"$text" | awk '{print $1 / 1e6}')
i=0
while [ "$i" -lt "$rounds" ]; do
    i=$((i + 1))
    start=$(now)
    "$duet" tokenizer encode --tokenizer "$tokenizer" "$text" >"$tmp/ids"
    end=$(now)
    ours="$(wc -w <"$tmp/ids" | tr -d ' ') $(sha256sum <"$tmp/ids" | cut -d' ' -f1)"
    echo "$start $end" | awk '{print $2 - $1}' >>"$tmp/duet"
    node --max-old-space-size=8192 "$here/tokenizer-speed.mjs" "$modules" "$tokenizer" "$text" >"$tmp/line"
    cut -d' ' -f1 "$tmp/line" >>"$tmp/npm"
    theirs=$(cut -d' ' -f2- "$tmp/line")
    echo "round $i: duet $(tail -n 1 "$tmp/duet") s, @huggingface/tokenizers $(tail -n 1 "$tmp/npm") s, ${ours%% *} ids"
    [ "$ours" = "$theirs" ] || {
        echo "the ids differ: duet $ours, @huggingface/tokenizers $theirs" >&2
        exit 1
    }
done
echo "$mb $(median "$tmp/duet") $(median "$tmp/npm")" |
    awk '{printf "median of %.1f MB: duet %.3f s (%.1f MB/s), @huggingface/tokenizers %.3f s (%.1f MB/s), the same ids: %.1f times as fast\n",
          $1, $2, $1 / $2, $3, $1 / $3, $3 / $2}'
