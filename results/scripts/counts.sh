#!/bin/sh
# Instructions and cache misses of one training step, of two programs side by side:
#
#     results/scripts/counts.sh OLD NEW -- OPTIONS OF bench step...
#     results/scripts/counts.sh build/old/tools/duet build/tools/duet -- --model demo --batch 1 --seq 64
#
# callgrind runs the AVX2 kernels (it knows no AVX-512) on one thread and counts what it sees, whatever else the machine
# does: a step after one that warms up. Millions of instructions, and thousands of misses of the first-level data cache (32 KB,
# 8 ways) and of a last level of the size of a core's own second (512 KB, 8 ways): what misses that one comes from memory or
# from a cache that cores share. First by operation of the graph, with all that it calls (needs symbols of files: meson setup
# -Ddebug=true, which changes no instruction), then by function itself, down to 0.2 % of the instructions or misses.
#
# Fewer passes over the activations are fewer last-level misses, or first-level ones where they fit into the last. Counts do not
# know bandwidth, prefetching or clocks: they back a claim of less work, `duet bench step --against` one of speed.
# STEP: the function that is a step (run_step). KEEP=DIR: keeps the profiles.
set -eu
[ $# -ge 4 ] && [ "$3" = -- ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
old=$1 new=$2
shift 3
step=${STEP:-run_step}
tab=$(printf '\t')
dir=${KEEP:-$(mktemp -d)}
mkdir -p "$dir"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$dir"' EXIT
DUET_CPU=avx2
export DUET_CPU

# profile NAME PROGRAM OPTION...: $dir/NAME.last is the profile of the last step alone. Programs that know --serve measure no peak.
profile() {
    name=$1 program=$2
    shift 2
    echo "counting a step of $program: some fifty times as long as the step" >&2
    set -- valgrind --tool=callgrind --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=524288,8,64 \
        --collect-atstart=no --toggle-collect="$step" --dump-before="$step" --callgrind-out-file="$dir/$name.out" \
        "$program" bench step "$@" --warmup 1 --threads 1 --quiet
    if "$program" bench --help all | grep -q -e '^  --serve'; then
        echo 1 | "$@" --serve >"$dir/$name.said" 2>&1
    else
        "$@" --runs 1 --json >"$dir/$name.said" 2>&1
    fi || { grep -v '^==' "$dir/$name.said" | tail -n 5 >&2; exit 1; }
    ls "$dir" | grep -q "^$name.out" || { echo "counts: no profile: is $step a function of $program?" >&2; exit 1; }
    # the part that is written at the end comes after those that were dumped before each step
    mv "$(ls -t "$dir/$name".out* | head -n 1)" "$dir/$name.last"
}
# numbers NAME OPTION...: file:function, or only function where the file is not known, instructions, D1 misses, LL misses
numbers() {
    name=$1
    shift
    callgrind_annotate --threshold=100 --auto=no --show=Ir,D1mr,D1mw,DLmr,DLmw "$@" "$dir/$name.last" | awk '
        function n(s) { gsub(",", "", s); return s == "." ? 0 : s + 0 }
        /PROGRAM TOTALS/ || (/ [^ ]*:[^ ]/ && /^ *[0-9,.]+ /) {
            line = $0
            gsub(/\([^)]*%\)/, "", line)
            if (split(line, f, " ") < 6) next
            what = f[6] == "PROGRAM" ? "total" : f[6]
            sub(".*/", "", what)
            sub("^\\?\\?\\?:", "", what)
            sub("\x27[0-9]+$", "", what) # of a recursion
            print what "\t" n(f[1]) "\t" n(f[2]) + n(f[3]) "\t" n(f[4]) + n(f[5])
        }'
}
# table LEAST FILE FILE: side by side, the largest first
table() {
    printf '%-34s %9s %9s %6s | %8s %8s %6s | %8s %8s %6s\n' '' 'M instr.' new ratio 'k D1' new ratio 'k LL' new ratio
    awk -F'\t' -v least="$1" '
        function of(a, b) { return a > 0 ? sprintf("%.3f", b / a) : "-" }
        # what calls a step has all of its counts
        $1 == "total" { all[FILENAME] = $2 }
        $1 != "total" && $2 == all[FILENAME] { next }
        { side = FILENAME == ARGV[1] ? 1 : 2; seen[$1]; for (i = 2; i <= 4; i++) c[$1, side, i] += $i }
        END {
            for (w in seen) {
                keep = w == "total"
                for (s = 1; s <= 2; s++)
                    for (i = 2; i <= 4; i++) keep = keep || c[w, s, i] >= least * c["total", s, i]
                if (!keep) continue
                printf "%.0f\t%-34.34s", c[w, 1, 2] + c[w, 2, 2], w
                for (i = 2; i <= 4; i++)
                    printf(i == 2 ? " %9.2f %9.2f %6s" : " | %8.2f %8.2f %6s", c[w, 1, i] / (i == 2 ? 1e6 : 1e3), \
                        c[w, 2, i] / (i == 2 ? 1e6 : 1e3), of(c[w, 1, i], c[w, 2, i]))
                print ""
            }
        }' "$2" "$3" | sort -rn | cut -f2-
}

profile old "$old" "$@"
profile new "$new" "$@"
for p in old new; do
    numbers $p | sed 's/^[^\t]*\.[a-zS]*://' >"$dir/$p.self" # static functions of one name are one row
    { grep '^total' "$dir/$p.self"; numbers $p --inclusive=yes | # each twice, with and without what the linker calls it: the larger
        grep -E '^(op_[a-z0-9]+\.c:(forward|backward)|opt\.c:opt_step)[[:space:]]' | sort -t"$tab" -k1,1 -k2,2nr | awk -F'\t' '!had[$1]++'; } \
        >"$dir/$p.ops" || true
done
echo "old: $old; new: $new; $*"
echo
if grep -q '^op_' "$dir/old.ops" && grep -q '^op_' "$dir/new.ops"; then
    echo "by operation, with what it calls"
    table 0 "$dir/old.ops" "$dir/new.ops"
    echo
fi
echo "by function"
table 0.002 "$dir/old.self" "$dir/new.self"
