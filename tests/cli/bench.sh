#!/bin/sh
# `duet bench`: what it says of itself adds up, and what it cannot measure it refuses. Nothing here depends on speed.
. "$(dirname "$0")/lib.sh"

# ---- matrix products: every backend in turns
must "$DUET" bench gemm --shapes weight-grad:24x33x40 --shapes 40x16x24 --runs 3 --threads 2 --json \
    --quiet >gemm.json 2>gemm.err
check "bench gemm: only other work is warned of" sh -c "! grep -v \
    -e '^warning: the machine.s peak moved' -e '^warning: a share of .* cannot be' gemm.err"
cat >adds_up.py <<'EOF'
import json, sys
r = json.load(open(sys.argv[1]))
assert r["runs"] == 3 and r["threads"] == 2 and abs(r["interval_level"] - 0.75) < 1e-9
assert [p["compute"] for p in r["peaks"]][0] == "f32"
for p in r["peaks"]:
    assert 0 < p["gflops_low"] <= p["gflops_high"] and p["side"] >= 128
    assert abs(p["gflops_high"] / p["gflops_low"] - 1 - p["moved"]) < 1e-3
f32 = [s for s in r["shapes"] if s["compute"] == "f32"]
assert [(s["form"], s["m"], s["n"], s["k"]) for s in f32] == [("weight-grad", 24, 33, 40), ("forward", 40, 16, 24)]
for s in r["shapes"]:
    names = [x["backend"] for x in s["rivals"]]
    assert names[:2] == ["auto", "native"] and "ref" not in names and len(set(names)) == len(names)
    assert s["subject"] == "native" and s["best"] in names[1:]
    if len(names) > 2:
        assert s["other"] in names[2:]
        other = s["ratio_to_other"]
    for x in s["rivals"]:
        for key in "gflops", "ms", "cpu_ms", "ratio_to_best", "cpu_ratio_to_best", "peak_fraction", "cpu_peak_fraction":
            assert 0 < x[key + "_low"] <= x[key] <= x[key + "_high"], (x, key)
        flops = 2e-6 * s["m"] * s["n"] * s["k"]
        assert abs(x["gflops"] * x["ms"] / flops - 1) < 1e-3, x
        if x["backend"] == s["best"]:
            assert x["ratio_to_best"] == x["ratio_to_best_low"] == x["ratio_to_best_high"] == 1
            assert x["cpu_ratio_to_best"] == 1
    best = min(x["ms"] for x in s["rivals"][1:])
    assert [x["ms"] for x in s["rivals"] if x["backend"] == s["best"]] == [best]
EOF
if python3 -c '' 2>/dev/null; then
    check "bench gemm --json: medians lie in their intervals, the best is 1 of itself" python3 adds_up.py gemm.json
else
    skip "bench gemm --json" "no python3"
fi
"$DUET" bench gemm --gemm native --against ref --shapes 16x24x8 --shapes 16777216x16777216x16777216 \
    --compute f32 --runs 1 --threads 1 >gemm.txt 2>gemm.err
check "bench gemm --against: exit status" [ $? -eq 0 ]
check "... of these two" grep -q '^f32 .* native  *ref  *native/ref ' gemm.txt
check "... one shape a row" [ "$(grep -c '^forward  *16x24x8 ' gemm.txt)" -eq 1 ]
check "... what does not fit is left out, with the reason" \
    grep -q '^forward .*16777216x16777216x16777216 left out: .* MB' gemm.txt
check "... no line is wider than 100" [ -z "$(grep '.\{101\}' gemm.txt | grep -v 'left out')" ]

for word in demi 1x2 0x1x1 back:1x2x3 ''; do
    refuses "--shapes '$word'" 2 '--shapes .*MxNxK' "$DUET" bench gemm --shapes "$word"
done
refuses "--against what is neither backend nor path" 2 'against mkl: expected native' \
    "$DUET" bench gemm --against mkl --shapes 8x8x8

# ---- other programs
# program NAME: a script from standard input
program() { { echo '#!/bin/sh'; cat; } >"$1" && chmod +x "$1"; }
ln -s "$DUET" before
SMALL="--model stories260k --batch 1 --seq 16 --warmup 1"
must "$DUET" bench step $SMALL --against ./before --against native --runs 3 --threads 1 --json --quiet >step.json 2>step.err
cat >step.py <<'EOF'
import json, sys
r = json.load(open(sys.argv[1]))
assert r["whole_processes"] == (sys.argv[2] == "whole") and r["steps_a_turn"] >= 1, r
assert 0 < r["peak_low"] <= r["peak_high"] and r["interval_level"] == (0.75 if r["runs"] == 3 else 0)
assert [p["program"] for p in r["programs"]] == sys.argv[3:]
for p in r["programs"]:
    for key in "ms_per_step", "times", "peak_fraction":
        assert 0 < p[key + "_low"] <= p[key] <= p[key + "_high"], (p, key)
first = r["programs"][0]
assert first["times"] == first["times_high"] == first["cpu_times"] == 1
if r["runs"] == 1:
    for p in r["programs"]:
        assert abs(p["times"] * first["ms_per_step"] / p["ms_per_step"] - 1) < 1e-4
EOF
if python3 -c '' 2>/dev/null; then
    check "bench step --against: medians lie in their intervals" python3 step.py step.json turns this ./before native
else
    skip "bench step --against" "no python3"
fi
# A duet from before --serve: it says what main.c says of any option that it does not have.
program old <<EOF
for a; do [ "\$a" != --serve ] || { echo "duet: error: unknown option --serve; --help lists the options" >&2; exit 2; }; done
exec "$DUET" "\$@"
EOF
must "$DUET" bench step $SMALL --against ./old --runs 1 --threads 1 --json --quiet >old.json 2>old.err
if python3 -c '' 2>/dev/null; then
    check "... a program without --serve, by whole processes" python3 step.py old.json whole this ./old
else
    skip "bench step --against an old one" "no python3"
fi
refuses "... not for products" 1 './old .*no --serve' "$DUET" bench gemm --against ./old --shapes 8x8x8
must "$DUET" bench gemm --gemm native --against ./before --shapes input-grad:9x8x7 --compute f32 --runs 1 --threads 1 \
    >gemm.txt 2>gemm.err
check "bench gemm --against a program" grep -q '^input-grad  *9x8x7 ' gemm.txt

program nonsense <<'EOF'
echo hello
EOF
program silent </dev/null
program broken <<'EOF'
echo $$ >broken.pid
echo ready 1
read -r line
echo one second
exec sleep 100
EOF
for seconds in "-1 -1" "0 0" "nan 1" "1 inf"; do
    program "not $seconds" <<EOF
echo ready 1
read -r line
echo $seconds
exec sleep 100
EOF
done
program short <<'EOF'
echo ready 1
read -r line
echo "duet: error: the bits fell off" >&2
exit 1
EOF
echo text >text
against() { refuses "--against $1" 1 "$2" "$DUET" bench step $SMALL --against "$1"; }
against ./absent 'cannot start ./absent: No such file'
against ./text 'cannot start ./text: Permission denied'
against ./nonsense './nonsense is no duet .*"hello"'
against ./silent './silent: bench step failed: ended with status 0'
against ./short './short: bench step failed: the bits fell off'
against ./broken './broken answered "one second", expected seconds above 0'
for seconds in "-1 -1" "0 0" "nan 1" "1 inf"; do
    against "./not $seconds" "./not $seconds answered \"$seconds\", expected seconds above 0"
done
check "what is started is ended" sh -c '! kill -0 "$(cat broken.pid)" 2>/dev/null'
refuses "what is wrong for the other, too" 1 'bench step failed: .*q8_0' \
    "$DUET" bench step $SMALL --weights q8_0 --against ./before
program noted <<EOF
echo \$\$ >noted.pid
exec "$DUET" "\$@"
EOF
"$DUET" bench step $SMALL --against ./noted --runs 100000 --threads 1 --quiet >/dev/null 2>&1 &
bench=$!
i=0
while [ ! -s noted.pid ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done
sleep 0.5
check "the other runs" kill -0 "$(cat noted.pid)"
kill -KILL $bench
wait $bench 2>/dev/null
i=0
while kill -0 "$(cat noted.pid)" 2>/dev/null && [ $i -lt 300 ]; do sleep 0.1; i=$((i + 1)); done
check "... and ends when nobody asks any more" [ $i -lt 300 ]

# ---- the other side
printf '2\n1\n' | "$DUET" bench step $SMALL --serve --threads 1 >serve.out 2>serve.err
check "--serve: status" [ $? -eq 0 ]
check "... ready, and seconds for each request" equal \
    "$(sed 's/[0-9.e+-]*[0-9]/N/g' serve.out | tr '\n' ';')" "ready N;N N;N N;"
printf '0\n' | "$DUET" bench step $SMALL --serve --threads 1 >serve.out 2>serve.err
check "... a request that is none" [ $? -eq 1 ]
check "... is named" grep -q '^duet: error: asked for "0" steps' serve.err
refuses "--serve with --against" 2 'exclude each other' "$DUET" bench step $SMALL --serve --against native
refuses "--shapes with step" 2 '--shapes has no effect on bench step' "$DUET" bench step --model stories260k --shapes usual
refuses "--model with gemm" 2 '--model has no effect on bench gemm' "$DUET" bench gemm --model stories260k
refuses "neither step nor gemm" 2 'step, gemm' "$DUET" bench
finish
