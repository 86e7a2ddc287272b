#!/bin/sh
# Pictures of `duet plot` in a browser: 50 tables of runs made by chance (random.awk), drawn with
# options made by chance; headless Chromium measures the boxes of all texts (boxes.js).
#   tests/pictures/pictures.sh DUET SOURCE_ROOT
# Needs gnuplot and chromium ($CHROMIUM, or Debian's names). KEEP=1 keeps the pictures and page.html.
. "$(dirname "$0")/../cli/lib.sh"
N=${PICTURES:-50}

not_here() {
    skip "pictures" "$1"
    finish
}
command -v gnuplot >/dev/null || not_here "gnuplot is not installed"
for browser in "${CHROMIUM:-}" chromium chromium-browser google-chrome ''; do
    [ -n "$browser" ] && command -v "$browser" >/dev/null && break
done
[ -n "$browser" ] || not_here "chromium is not installed"

# Options for picture number $1, one a line.
options() {
    awk -v seed="$1" 'function pick(n) { return int(rand() * n) }
        BEGIN {
            srand(1000 + seed)
            split("steps seconds tokens", x)
            if (pick(2)) print "--x=" x[1 + pick(3)]
            if (!pick(4)) print "--log-x"
            if (!pick(4)) print "--log-y"
            if (!pick(3)) print "--width=" 320 + pick(1400)
            if (!pick(3)) print "--height=" 240 + pick(900)
            if (!pick(3)) print "--dark"
            if (!pick(4)) print "--panels=loss,lr,grad-norm,throughput"
            if (!pick(3)) {
                title = "A title `x` $(y) {z}_a "
                while (!pick(2)) title = title title
                print "--title=" title
            }
        }'
}

echo '<!DOCTYPE html><meta charset="utf-8"><body>' >page.html
i=0
drawn=0
while [ $i -lt "$N" ]; do
    i=$((i + 1))
    awk -v seed=$i -f "$SRC/tests/pictures/random.awk" >$i.tsv
    set --
    while IFS= read -r option; do set -- "$@" "$option"; done <<END
$(options $i)
END
    [ "$1" ] || set --
    if ! "$DUET" plot $i.tsv -o $i.svg "$@" >$i.out 2>&1; then
        # Not a single number that can be drawn: then that is said.
        check "picture $i: $*" says $i.out 'error: .* draw'
        continue
    fi
    drawn=$((drawn + 1))
    { echo "<figure id=\"picture $i\"><img src=\"$i.svg\">"; sed 1d $i.svg; echo '</figure>'; } >>page.html
done
check "most could be drawn ($drawn of $N)" [ $drawn -ge $((N * 9 / 10)) ]
check "no name was run as a command" absent pwned
{ echo '<pre id="answer"></pre><script>'; cat "$SRC/tests/pictures/boxes.js"; echo '</script>'; } >>page.html
timeout 300 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --user-data-dir="$WORK/profile" --dump-dom "file://$WORK/page.html" >dom.html 2>browser.err
sed -n '/<pre id="answer">/,/^end$/p' dom.html >answer
check "the browser came to its end" grep -q '^end$' answer
grep -v '^<pre\|^end$' answer >lines
while IFS= read -r line; do
    case $line in
    "ok - "*) ok "${line#ok - }" ;;
    "not ok - "*) not_ok "${line#not ok - }" ;;
    *) echo "$line" ;;
    esac
done <lines
finish
