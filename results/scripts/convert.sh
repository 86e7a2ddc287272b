#!/bin/sh
# The figures of results/convert.md: results/scripts/convert.sh build/tools/duet [ROUNDS]
# A random SmolLM2-360M in bf16 (725 MB), converted; beside each, in alternation, cp and sync of a file of the source's size: what
# reading and writing costs here. One line a conversion: medians of seconds, and the peak memory.
set -eu
duet=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
rounds=${2:-3}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/duet-convert-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
"$duet" stories --bytes 20000 --out text.txt --quiet
"$duet" train --model "$root/models/smollm2_360m.json" --set vocab_size=49152 --data text.txt --tokenizer byte --engine mezo \
    --weights bf16 --seq 16 --batch 1 --steps 1 --out run --quiet >train.log 2>&1
mv run/model.blzt m.blzt
"$duet" convert m.blzt hf/ >/dev/null
"$duet" convert m.blzt m.gguf --dtype q8_0 >/dev/null 2>&1
median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
measure() { # LABEL IN OUT OPTION...
    label=$1 in=$2 out=$3
    shift 3
    : >s; : >k; : >c
    for i in $(seq "$rounds"); do
        rm -rf "$out"
        sync
        /usr/bin/time -f '%e %M' -o t "$duet" convert "$in" "$out" "$@" >/dev/null 2>&1
        cut -d' ' -f1 t >>s
        cut -d' ' -f2 t >>k
        rm -f copy
        sync
        /usr/bin/time -f '%e' -o t sh -c 'cp m.blzt copy && sync copy'
        cat t >>c
    done
    echo "$label: $(median s) s, $(median k | awk '{printf "%.0f", $1 / 1024}') MiB, cp $(median c) s, written $(du -sm "$out" | cut -f1) MiB"
}
measure "BLZT to GGUF, bf16 kept" m.blzt x.gguf
measure "BLZT to GGUF, f32" m.blzt x.gguf --dtype f32
measure "BLZT to GGUF, f16" m.blzt x.gguf --dtype f16
measure "BLZT to GGUF, Q8_0" m.blzt x.gguf --dtype q8_0
measure "BLZT to GGUF, Q4_0" m.blzt x.gguf --dtype q4_0
measure "BLZT to Hugging Face, bf16 kept" m.blzt x/
measure "Hugging Face to BLZT, bf16 kept" hf x.blzt
measure "Hugging Face to GGUF, Q8_0" hf x.gguf --dtype q8_0
measure "GGUF Q8_0 to Hugging Face, bf16" m.gguf x/ --dtype bf16
