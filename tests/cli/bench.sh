#!/bin/sh
# `duet bench`: what it says of itself adds up, and what it cannot measure it refuses. Nothing here depends on speed.
. "$(dirname "$0")/lib.sh"

# ---- matrix products: every backend in turns
must "$DUET" bench gemm --shapes weight-grad:24x33x40 --shapes 40x16x24 --runs 3 --threads 2 --json \
    --quiet >gemm.json 2>gemm.err
check "bench gemm: only the peak is warned of" sh -c "! grep -v '^warning: the machine.s peak moved' gemm.err"
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
refuses "--against what is no backend" 2 'against' "$DUET" bench gemm --against mkl --shapes 8x8x8
refuses "--shapes with step" 2 '--shapes has no effect on bench step' "$DUET" bench step --model stories260k --shapes usual
refuses "--model with gemm" 2 '--model has no effect on bench gemm' "$DUET" bench gemm --model stories260k
refuses "neither step nor gemm" 2 'step, gemm' "$DUET" bench
finish
