#!/bin/sh
# `duet hardware`: what it says is whole, agrees with itself and with `duet plan`. Nothing here depends on speed.
. "$(dirname "$0")/lib.sh"

"$DUET" hardware --quick --threads 2 --json --quiet >two.json 2>two.err
check "hardware: exit status" [ $? -eq 0 ]
check "only what moved is warned of" sh -c "! grep -v '^warning: .* GFLOP/s' two.err"
cat >schema.py <<'EOP'
import json, subprocess, sys
r = json.load(open(sys.argv[1]))
threads, tier = int(sys.argv[2]), sys.argv[3]
known = sys.argv[4] == "known"
assert list(r) == ["cpu", "tiers", "tiles", "caches", "memory", "nodes", "quick", "threads", "bandwidth", "peaks",
                   "reference", "shapes", "classes", "class", "cut", "seconds"], list(r)
assert r["quick"] is True and r["threads"] == threads and r["seconds"] > 0
c = r["cpu"]
assert c["model"] and c["usable_threads"] >= 1 and isinstance(c["kinds"], list)
for key in "sockets", "cores", "threads":
    assert (c[key] or 0) >= (1 if known and key == "threads" else 0), key
if c["cores"] and c["sockets"]:
    assert c["sockets"] <= c["cores"] <= c["threads"]
names = [t["name"] for t in r["tiers"]]
assert names == ["generic", "avx2", "avx512", "avx512bf16"]
assert [t["name"] for t in r["tiers"] if t["chosen"]] == ([tier] if tier != "any" else [t["name"] for t in r["tiers"] if t["chosen"]])
assert sum(t["chosen"] for t in r["tiers"]) == 1
for t in r["tiers"]:
    assert not t["chosen"] or t["runs"] and t["built"]
for x in r["caches"]:
    assert x["bytes"] > 0 and x["level"] >= 1 and x["type"] in ("data", "instructions", "unified")
    assert x["name"].startswith("L%d" % x["level"]) and x["shared_by_threads"] >= 1
m = r["memory"]
assert 0 < m["usable_bytes"] <= m["total_bytes"] and m["available_bytes"] <= m["total_bytes"]
assert m["usable_bytes"] <= (m["rlimit_bytes"] or m["total_bytes"])
assert (m["group_limit_bytes"] is None) == (m["group_left_bytes"] is None)
assert (m["rlimit_bytes"] is None) == (m["rlimit_left_bytes"] is None)
b = r["bandwidth"]
kinds = ["read_one", "copy_one", "read_all", "copy_all"]
assert b["threads"] == threads and b["rounds"] >= 1
sizes = [p["bytes"] for p in b["curve"]]
assert sizes[0] == 16384 and sizes == sorted(set(sizes))
for p in b["curve"]:
    for k in kinds:
        small = k.endswith("all") and p["bytes"] < 8192 * threads
        assert p[k] is None if small else p[k] > 0, (p, k)
for k in kinds:
    assert b[k + "_gb_s"] == b["curve"][-1][k]
for x in b["cliffs"]:
    assert x["curve"] in kinds and x["from_bytes"] in sizes and x["to_bytes"] in sizes
    assert x["from_bytes"] < x["to_bytes"] and x["after_gb_s"] < 0.8001 * x["before_gb_s"] and x["what"]
ways = [(p["tier"], p["tiles"], p["threads"], p["compute"]) for p in r["peaks"]]
assert len(set(ways)) == len(ways)
for p in r["peaks"]:
    assert 0 < p["gflops_low"] <= p["gflops"] <= p["gflops_high"] and p["side"] >= 128
    assert p["products"] in ("loops", "rounded", "vectors", "tiles") and p["backend"]
    assert p["chosen"] == (p["tier"] == [t["name"] for t in r["tiers"] if t["chosen"]][0] and p["tiles"] == r["tiles"])
runs = names[:names.index([t["name"] for t in r["tiers"] if t["chosen"]][0]) + 1]
assert not b["cut"] or r["cut"]
for t in runs[-1:] if r["cut"] else runs:
    for n in {1, threads}:
        assert (t, False, n, "f32") in ways, (t, n)
peak = {k: [p["gflops"] for p in r["peaks"] if p["chosen"] and p["threads"] == threads and p["compute"] == k][0]
        for k in ("f32", "bf16")}
ref = r["reference"]
assert ref["side"] >= 128 and 0 < ref["gflops_low"] <= ref["gflops_high"]
assert abs(ref["gflops_high"] / ref["gflops_low"] - 1 - ref["moved"]) < 1e-6
assert [s["name"] for s in r["shapes"]] == ["demo", "autoresearch", "SmolLM2-135M"]
assert [s["name"] for s in r["classes"]] == ["Base", "Pro", "Max", "Ultra"]
for s in r["shapes"] + r["classes"]:
    want = s["peak_share_f32"] * peak["f32"] * 1e9 / s["flops_per_update"] * s["tokens_per_update"]
    assert abs(s["tokens_per_second_f32"] / want - 1) < 1e-6, s
    assert s["fits"] == (s["planned_bytes"] <= m["usable_bytes"]), s
    if s["tokens_per_second_bf16"] is not None:
        want = s["peak_share_bf16"] * peak["bf16"] * 1e9 / s["flops_per_update"] * s["tokens_per_update"]
        assert abs(s["tokens_per_second_bf16"] / want - 1) < 1e-6, s
best = None
for s in r["classes"]:
    rate = max(s["tokens_per_second_f32"], s["tokens_per_second_bf16"] or 0)
    assert abs(s["updates_in_300_s"] / (rate / s["tokens_per_update"] * 300) - 1) < 1e-6
    assert s["fast_enough"] == (s["updates_in_300_s"] >= 210) and s["threads_needed"] >= 1
    assert s["fast_enough"] == (s["threads_needed"] <= threads)
    if s["fits"] and s["fast_enough"]:
        best = s["name"]
assert r["class"] == best
EOP
python=$(python3 -c '' 2>/dev/null && echo python3)
# whole NAME FILE THREADS TIER KNOWN
whole() {
    if [ "$python" ]; then check "$1" python3 schema.py "$2" "$3" "$4" "$5"; else skip "$1" "no python3"; fi
}
whole "--json: whole, and agrees with itself" two.json 2 any known

# Every shape's options are those of `duet train`, and its memory and operations are the plan's.
plans() {
    python3 - "$DUET" two.json <<'EOP'
import json, subprocess, sys
r = json.load(open(sys.argv[2]))
for s in r["shapes"] + r["classes"]:
    out = subprocess.run([sys.argv[1], "plan", "--json", "--threads", "2"] + s["options"].split(), capture_output=True, text=True)
    p = json.loads(out.stdout)
    assert p["total_bytes"] == s["planned_bytes"], (s["name"], p["total_bytes"], s["planned_bytes"])
    assert p["params"] == s["params"] and abs(p["flops_per_step"] / s["flops_per_update"] - 1) < 1e-9, s["name"]
EOP
}
if [ "$python" ]; then check "memory and operations are those of duet plan" plans; else skip plans "no python3"; fi

less() { (ulimit -v 400000 && exec "$@"); }
DUET_CPU=generic less "$DUET" hardware --quick --threads 1 --json >one.json 2>one.err
check "DUET_CPU, ulimit -v and --threads 1: exit status" [ $? -eq 0 ]
check "... the limit is told" equal "$(json rlimit_bytes one.json)" 409600000
whole "... nothing above the tier is measured, and by one thread" one.json 1 generic known
"$DUET" hardware --quick --threads 2 >two.txt 2>two.err
check "as text: exit status" [ $? -eq 0 ]
check "... the tiers" says two.txt '^tiers: .*duet has generic avx2 avx512 avx512bf16; this processor runs generic'
check "... bandwidth" says two.txt '^read:  *[0-9.]* GB/s by one thread, [0-9.]* by 2, of [0-9.]* MB$'
check "... the curve" says two.txt '^ *16 KB .*####'
check "... an estimate is called one" says two.txt '^Estimates for training'
check "... the class" says two.txt '^class:  *\(below Base\|Base\|Pro\|Max\|Ultra\)$'
check "... no progress off a terminal" sh -c "! grep -v '^warning: ' two.err"

# Without what /sys says: in a name space of its own, where that may be made.
hidden() { unshare -m sh -c 'mount -t tmpfs none /sys/devices && exec "$@"' hidden "$@"; }
if hidden true 2>/dev/null; then
    hidden "$DUET" hardware --quick --threads 2 --json >hidden.json 2>hidden.err
    check "without /sys/devices: exit status" [ $? -eq 0 ]
    whole "... the rest is whole" hidden.json 2 any hidden
    check "... cores are not known" sh -c 'grep -q "\"cores\": null" hidden.json && grep -q "\"nodes\": \[\]" hidden.json'
else
    skip "without /sys/devices" "no name space of mounts"
fi
refuses "--threads -1" 2 '--threads' "$DUET" hardware --threads -1
refuses "--threads 5000" 2 '--threads' "$DUET" hardware --threads 5000
refuses "--threads x" 2 '--threads' "$DUET" hardware --threads x
refuses "an argument" 2 'hardware takes no argument' "$DUET" hardware now
refuses "an unknown option" 2 'quick' "$DUET" hardware --quik
finish
