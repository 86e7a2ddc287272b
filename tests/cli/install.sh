#!/bin/sh
# `meson install` into a folder of its own: everything is there and works from there. And models by
# name.
build=$3
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >text.txt
ONE="--data text.txt --tokenizer byte --seq 32 --batch 1 --threads 1 --steps 1 --val-windows 1 --quiet"

# ---- a description by name
must "$DUET" train --model stories260k $ONE --out a >a.out 2>&1
must "$DUET" train --model "$SRC/models/stories260k.json" $ONE --out b >b.out 2>&1
check "--model NAME is the file of the source tree" same a/model.blzt b/model.blzt
check "which is on record" equal "$(json model a/config.json)" "$(json model b/config.json)"
must "$DUET" train --model stories260k.json $ONE --out c >c.out 2>&1
check "with .json too" same a/model.blzt c/model.blzt
sed 's/"rope_theta": 10000.0/"rope_theta": 50.0/' "$SRC/models/stories260k.json" >stories260k
must "$DUET" train --model stories260k $ONE --out d >d.out 2>&1
check "a file here comes first" differ a/model.blzt d/model.blzt
rm stories260k
must "$DUET" plan --model demo >plan.out
check "plan --model NAME" says plan.out '1,\{0,1\}000,\{0,1\}576'
must "$DUET" bench step --model stories260k --batch 1 --seq 16 --runs 1 --warmup 0 --threads 1 >bench.out
check "bench step --model NAME" grep -q 'ms' bench.out
check "--resume with the name" "$DUET" train --resume a --model stories260k --steps 2 --quiet --threads 1
refuses "another name: says where it looked" 1 \
    "model nosuch: there is no such file here, and no nosuch.json in .*/models and /.*/duet/models" \
    "$DUET" train --model nosuch $ONE
refuses "a path is a path" 1 './demo' "$DUET" plan --model ./demo
check "nothing is left of it" absent runs

# ---- the tree
if ! command -v meson >meson.out; then
    skip install "no meson"
    finish
fi
if ! meson install -C "$build" --no-rebuild --destdir "$WORK/dest" >install.out 2>install.err; then
    if grep -qi 'not.*compatible\|different version\|was generated' install.out install.err; then
        skip install "another meson"
        finish
    fi
    not_ok "meson install" install.out install.err
    finish
fi
prefix=$(cd dest && find . -type d -name bin | head -1)
prefix=$WORK/dest/${prefix%/bin}
check "the program" [ -x "$prefix/bin/duet" ]
check "the header" [ -f "$prefix/include/duet.h" ]
check "the man page" [ -f "$prefix/share/man/man1/duet.1" ]
for file in "$SRC"/models/*.json "$SRC"/models/README.md; do
    check "share/duet/models: ${file##*/}" same "$file" "$prefix/share/duet/models/${file##*/}"
done
for file in "$SRC"/docs/*.md "$SRC/LICENSE" "$SRC/README.md"; do
    check "share/doc/duet: ${file##*/}" same "$file" "$prefix/share/doc/duet/${file##*/}"
done
check "share/duet/propose-openai.sh" same "$SRC/tools/propose-openai.sh" "$prefix/share/duet/propose-openai.sh"
check "which can be run" [ -x "$prefix/share/duet/propose-openai.sh" ]
for shell in bash:bash-completion/completions/duet zsh:zsh/site-functions/_duet \
    fish:fish/vendor_completions.d/duet.fish; do
    "$DUET" completion ${shell%%:*} >script
    check "completion for ${shell%%:*}" same script "$prefix/share/${shell#*:}"
done
# ---- a program that is built with what is installed
pc=$(find dest -name duet.pc)
check "duet.pc" [ -f "$pc" ]
check "duet.pc names nothing twice" sh -c \
    '[ -z "$(sed -n "s/^Libs[a-z.]*: //p" "$1" | tr " " "\n" | sort | uniq -d)" ]' - "$pc"
cat >tiny.c <<'END'
#include <duet.h>
#include <stdio.h>
int main(int argc, char **argv) {
    duet_model *m;
    duet_error err;
    if (argc < 2 || duet_open(&m, argv[1], NULL, &err)) return 1;
    puts("open");
    duet_close(&m);
    return 0;
}
END
if command -v pkg-config >pkg.out && command -v "${CC:-cc}" >cc.out; then
    flags() { PKG_CONFIG_SYSROOT_DIR=$WORK/dest PKG_CONFIG_LIBDIR=$(dirname "$pc") pkg-config "$@" duet; }
    lib=$(cd "$(dirname "$pc")/.." && pwd)
    check "pkg-config needs nothing else" flags --exists
    check "it compiles and links with what pkg-config says" ${CC:-cc} tiny.c $(flags --cflags) \
        $(flags --libs) -Wl,-rpath,"$lib" -o tiny
    check "it opens a model" ./tiny a/model.blzt
else
    skip "a program of its own" "no pkg-config or compiler"
fi

# Where no source tree is near, as on another machine.
cp -r "$prefix" "$WORK/moved" && rm -rf dest
check "the installed program" "$WORK/moved/bin/duet" --version
must "$WORK/moved/bin/duet" train --model stories260k $ONE --out e >e.out 2>e.err
check "finds its own models" same b/model.blzt e/model.blzt
check "and says so" sh -c 'case $1 in *moved/share/duet/models/stories260k.json) ;; *) echo "$1"; exit 1 ;; esac' - \
    "$(json model e/config.json)"
finish
