#!/bin/sh
# The names of tensors stand in the tables of parts, in the files of the architectures, and nowhere
# else in src and tools: not in code, and not in comments, which would go stale.
. "$(dirname "$0")/lib.sh"

# The files that may name them.
is_table() {
    case $1 in
    src/model/decoder.c | src/model/part_rows.h | src/model/arch_*.c) return 0 ;;
    *) return 1 ;;
    esac
}

# Words of the names: "q_proj" of "model.layers.*.self_attn.q_proj.weight". Left out are those that
# mean other things, too.
cd "$SRC" || exit 1 # check writes into the present folder: it is not called here
grep -hoE '"[^"]*\.(weight|bias)"' src/model/decoder.c src/model/part_rows.h src/model/arch_*.c | tr -d '"' | tr '.' '\n' |
    grep -vxE '|\*|model|layers|blk|mlp|norm|output|weight|bias' | sort -u >"$WORK/words"
# strays: lines of others with one of them
strays() {
    for file in $(find src tools -name '*.[ch]' | sort); do
        is_table "$file" || grep -HnwFf "$WORK/words" "$file"
    done
}
strays >"$WORK/strays"
if [ -s "$WORK/strays" ]; then
    not_ok "no other file names a tensor" "$WORK/strays"
else
    ok "no other file names a tensor"
fi
# blk.0 and model.layers.0, and every tensor that ends so, by whatever name
if grep -rnE '"(blk|model\.layers)\.|\.(q|k|v|o|gate|up|down)_proj|norm\.weight"' src tools \
    --include='*.[ch]' | grep -v '^src/model/\(decoder\.c\|part_rows\.h\|arch_[a-z0-9]*\.c\):' >"$WORK/strays"; then
    not_ok "nor makes one up" "$WORK/strays"
else
    ok "nor makes one up"
fi
# The build's include paths do not see a way round them.
if grep -rn '#include "\.\./\|#include "[^"]*/' src --include='*.[ch]' >"$WORK/strays"; then
    not_ok "no include goes round the layers" "$WORK/strays"
else
    ok "no include goes round the layers"
fi
cd "$WORK" || exit 1
check "words of names" test "$(wc -l <words)" -ge 20
check "among them those of both kinds" sh -c "grep -qx q_proj words &&
    grep -qx attn_q words && grep -qx lm_head words"
finish
