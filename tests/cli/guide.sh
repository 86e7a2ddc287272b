#!/bin/sh
# docs/guide.md: every command of its blocks, in order and in one folder, as a reader would type them; with a text of a
# megabyte instead of sixteen and seconds instead of minutes.
. "$(dirname "$0")/lib.sh"
mkdir bin
ln -s "$DUET" bin/duet
PATH=$WORK/bin:$PATH
for d in models docs results; do ln -s "$SRC/$d" $d; done

# ---- the commands: a line each, continued lines joined
awk '/^```sh$/ {inside = 1; next} /^```$/ {inside = 0} inside' "$SRC/docs/guide.md" |
    sed -e ':a' -e '/\\$/{N;s/\\\n *//;ba' -e '}' >typed
[ -s typed ] || must false
sed -e 's/--bytes 16M/--bytes 1200k/' -e 's/--time 120/--time 4/' -e 's/--time 60/--time 2/' -e 's/--steps 400/--steps 30/' \
    -e 's/--val-every 200/--val-every 20/' -e '/duet train/s/$/ --val-windows 32/' -e '/--config/s/ --val-windows 32//' \
    typed >scaled
lines=$(wc -l <typed)
i=0
while read -r line; do
    i=$((i + 1))
    case $line in
    *"duet plot"*)
        if ! command -v gnuplot >/dev/null; then
            skip "$line" "gnuplot is not installed"
            continue
        fi
        ;;
    esac
    if sh -c "$line" >out.$i 2>err.$i </dev/null; then ok "$line"; else not_ok "$line" err.$i out.$i; fi
done <scaled
check "all $lines lines were run" equal "$i" "$lines"
finish
