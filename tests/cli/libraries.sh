#!/bin/sh
# What program and library (argument 3) link, and that duet works where the libraries it loads at
# run time are not installed.
lib=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
. "$(dirname "$0")/lib.sh"

# Every licence of these lets program and library be given away under MIT; see LICENSE. (The last
# two lines: the C library, the compiler's, and what sanitizers bring.)
ALLOWED='jansson|pcre2-8|utf8proc|xxhash|zstd|z
|c|m|dl|pthread|rt|gomp|omp|gcc_s
|ld-linux.*|asan|ubsan|tsan|lsan'
allowed=$(printf %s "$ALLOWED" | tr -d '\n')

# links FILE: only allowed libraries, and at least the C library
links() {
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' >needed
    grep -q '^libc\.so' needed || { echo "no libc among:"; cat needed; return 1; }
    grep -vE "^(lib)?($allowed)\.so" needed >others || return 0
    echo "links, with a licence that LICENSE does not account for:"
    cat others
    return 1
}
if command -v readelf >/dev/null; then
    check "the program links what LICENSE says" links "$DUET"
    check "the library links what LICENSE says" links "$lib"
else
    skip "what program and library link" "no readelf"
fi

# Files of 0 bytes in place of the libraries: as if they were not installed.
mkdir none
for name in libopenblas.so.0 libopenblas.so libdnnl.so.2; do : >none/$name; done
without() { LD_LIBRARY_PATH=$WORK/none "$@"; }
must stories 30000 6 >text.txt
for type in f32 bf16; do
    must train run-$type --steps 3 --warmup 1 --compute $type
    LD_LIBRARY_PATH=$WORK/none must train none-$type --steps 3 --warmup 1 --compute $type
    check "training in $type without OpenBLAS and oneDNN" [ -s none-$type/model.blzt ]
    for backend in openblas onednn; do
        refuses "$backend $type that is not there" 1 \
            "GEMM backend $backend cannot compute $type here (library missing" \
            without "$DUET" eval run-f32/model.blzt --data text.txt --gemm $backend --compute $type
    done
done
# native f32 is preferred, whatever else is there
check "f32: the same weights" same run-f32/model.blzt none-f32/model.blzt
without "$DUET" generate run-f32/model.blzt --prompt Once --tokens 5 --quiet >gen.out 2>gen.err
check "generation" [ -s gen.out ]
finish
