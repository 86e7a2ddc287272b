#!/usr/bin/env python3
"""duet beside PyTorch, in turns of a few steps, on a machine whose speed changes by the minute:

    tools/python-env.sh                      once: installs PyTorch into ~/.cache/duet/venv
    results/scripts/peers.py --list          the cases: SHAPE/METHOD/TYPE
    results/scripts/peers.py [CASE...]       rows of the table in results/speed.md; a case is a regular expression
    results/scripts/peers.py --tune CASE     PyTorch's settings beside each other, none of duet

Every round gives each rival a turn, in another order: `duet bench step` (a process of its own), torch-peer.py eager and
compiled (processes that live on and wait). What is compared is time within a round, so that what the machine does to one it
does to the others. A row: median milliseconds of the rounds, and how many times as fast as the *fastest* of PyTorch's duet
is: median, least and greatest of the rounds. Every turn goes to --out as a JSON line."""
import argparse
import atexit
import glob
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
VENV = os.environ.get("DUET_VENV") or os.path.join(CACHE, "duet", "venv")


def wide(width, layers, heads, kv, hidden, vocab):
    """The demo's model with other sizes."""
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv,
             "head_dim": 64, "intermediate_size": hidden, "vocab_size": vocab}
    return ["--model", "models/demo.json"] + [f"--set={k}={v}" for k, v in sizes.items()]


SHAPES = {  # what it is called in the table, options of both, batch, tokens
    "demo": ("demo, 4 layers of 128", ["--model", "models/demo.json"], 2, 256),
    "w256": ("4 layers of 256", wide(256, 4, 4, 2, 704, 4096), 4, 256),
    "w384": ("6 layers of 384", wide(384, 6, 6, 2, 1056, 8192), 4, 256),
    "autoresearch": ("autoresearch", ["--model", "models/autoresearch.json", "--set=vocab_size=16893"], 8, 128),
    "135m": ("SmolLM2-135M", ["--model", "models/smollm2_135m.json"], 4, 256),
    "360m": ("SmolLM2-360M", ["--model", "models/smollm2_360m.json"], 1, 256),
}
ALL, ONLY_MEZO = ("autoresearch", "135m"), ("360m",)  # shapes of all methods, and of MeZO's; the others: backprop
SPSA = ["--engine", "mezo", "--estimator", "spsa", "--directions", "1"]
METHODS = {  # in the table, options of duet, variants of PyTorch
    "backprop": ("backprop, AdamW", [], {"eager": [], "compiled": ["--compile=default"]}),
    "backprop-lora": ("backprop, LoRA r8", ["--lora", "8"], {"eager": ["--lora=8"], "compiled": ["--lora=8", "--compile=default"]}),
    "mezo": ("MeZO", SPSA, {"eager": ["--engine=mezo"], "compiled": ["--engine=mezo", "--compile=default"],
                            "as published": ["--engine=mezo", "--mezo=published"],
                            "compiled, direction kept": ["--engine=mezo", "--mezo=kept", "--compile=default"]}),
    "mezo-lora": ("MeZO, LoRA r8", [*SPSA, "--lora", "8"], {"eager": ["--engine=mezo", "--lora=8"],
                                                            "compiled": ["--engine=mezo", "--lora=8", "--compile=default"]}),
}
TYPES = {  # options of duet, of PyTorch
    "f32": ([], []),
    "autocast": (["--compute", "auto"], ["--dtype=autocast"]),
    "bf16": (["--compute", "auto", "--weights", "bf16"], ["--dtype=bf16"]),
}


def library(name):
    return next(iter(sorted(glob.glob(f"/usr/lib/*/{name}") + glob.glob(f"/usr/lib64/{name}"))), "")


ALLOCATORS = {"malloc": "", "tcmalloc": library("libtcmalloc_minimal.so.4"), "jemalloc": library("libjemalloc.so.2")}
JEMALLOC = {"MALLOC_CONF": "oversize_threshold:1,background_thread:true,metadata_thp:auto,"
                           "dirty_decay_ms:9000000000,muzzy_decay_ms:9000000000"}  # as PyTorch's tuning guide has it


# PyTorch's tuning guide; --tune shows what each is worth on the machine at hand
TUNED = {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores", "THP_MEM_ALLOC_ENABLE": "1"}


def settings(threads, allocator, **more):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), LD_PRELOAD=ALLOCATORS[allocator]) | TUNED | more
    return {k: v for k, v in env.items() if v}


def has_bf16():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", f.read()))


def measured(shape, method):
    if shape in ONLY_MEZO:
        return method.startswith("mezo")
    return shape in ALL or method == "backprop"


def cases(all_types):
    """Name: shape, method, type."""
    for shape, method in itertools.product(SHAPES, METHODS):
        if measured(shape, method):
            for kind in TYPES if all_types or has_bf16() else ["f32"]:
                if kind != "autocast" or method.startswith("backprop"):
                    yield f"{shape}/{method}/{kind}", (shape, method, kind)


# ---- rivals: turn(n) takes n steps after one that does not count ------------------------------------


class Duet:
    def __init__(self, program, case):
        _, model, batch, seq = SHAPES[case[0]]
        self.command = [program, "bench", "step", *model, "--batch", str(batch), "--seq", str(seq), "--warmup", "1", "--quiet",
                        "--json", *METHODS[case[1]][1], *TYPES[case[2]][0]]

    def turn(self, n):
        return json.loads(subprocess.run([*self.command, "--runs", str(n)], check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)

    def close(self):
        pass


class Torch:
    def __init__(self, case, options, env):
        _, model, batch, seq = SHAPES[case[0]]
        python = os.path.join(VENV, "bin", "python")
        if not os.path.exists(python):
            sys.exit(f"peers: no {python}: tools/python-env.sh makes it")
        command = [python, os.path.join(HERE, "torch-peer.py"), *model, "--batch", str(batch), "--seq", str(seq), "--turns",
                   *TYPES[case[2]][1], *options]
        self.p = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                  start_new_session=True)  # a group with stopped processes is hung up when its shell ends
        atexit.register(self.close)
        self.facts = self.answer()
        self.p.send_signal(signal.SIGSTOP)  # OpenMP's threads may spin between turns

    def answer(self):
        line = self.p.stdout.readline()
        if not line:
            sys.exit(f"peers: {' '.join(self.p.args)} ended with {self.p.wait()}")
        return json.loads(line)

    def turn(self, n):
        self.p.stdin.write(f"{n}\n")
        self.p.stdin.flush()
        self.p.send_signal(signal.SIGCONT)
        answer = self.answer()
        self.p.send_signal(signal.SIGSTOP)
        return answer

    def close(self):
        self.p.kill()
        self.p.wait()


def one_round(rivals, steps, i):
    """A turn of each, another one first in every round."""
    k = i % len(rivals)
    return {r: rivals[r].turn(steps[r]) for r in [*rivals][k:] + [*rivals][:k]}


def in_turns(rivals, rounds, seconds, out, name):
    """Of each rival its turns, of as many steps as take `seconds`, one at least."""
    first = one_round(rivals, dict.fromkeys(rivals, 1), 0)
    steps = {r: max(1, min(50, round(1e3 * seconds / t["ms_per_step"]))) for r, t in first.items()}
    turns = {r: [] for r in rivals}
    for i in range(rounds):
        for r, t in one_round(rivals, steps, i).items():
            turns[r].append(t)
            out.write(json.dumps({"case": name, "rival": r, "round": i, "steps": steps[r], "load": os.getloadavg()[0]} | t) + "\n")
            out.flush()
    return turns


def median(turns, key):
    return statistics.median(t[key] for t in turns)


def spread(x):
    return f"{statistics.median(x):.2f} ({min(x):.2f}–{max(x):.2f})"


def ratio(of, to, key="ms_per_step"):
    return [a[key] / b[key] for a, b in zip(of, to)]


# ---- what is printed ------------------------------------------------------------------------------


def row(name, case, turns, rivals):
    """A row of the table; the rival is the fastest form of PyTorch. Under it, forms of PyTorch that have no column."""
    title, _, batch, seq = SHAPES[case[0]]
    duet = turns.pop("duet")
    best = min(turns, key=lambda r: median(turns[r], "ms_per_step"))
    params = rivals[best].facts["num_params_M"]
    if abs(params - duet[0]["num_params_M"]) > 0.005 * params and "lora" not in case[1]:
        sys.exit(f"peers: {name}: {params} million parameters of PyTorch, {duet[0]['num_params_M']} of duet")
    ms = " | ".join(f"{median(turns[r], 'ms_per_step'):,.0f}" for r in ("eager", "compiled"))
    share = statistics.median(t["peak_fraction"] for t in duet)
    print(f"| {title}, {batch} × {seq} | {METHODS[case[1]][0]}, {case[2]} | {median(duet, 'ms_per_step'):,.0f} | {share:.2f} | {ms} | "
          f"**{spread(ratio(turns[best], duet))}** | {median(duet, 'peak_rss_mb'):,.0f} | {median(turns[best], 'peak_rss_mb'):,.0f} |")
    for r in turns:
        if r not in ("eager", "compiled"):
            print(f"| | PyTorch, {r} | | | {median(turns[r], 'ms_per_step'):,.0f} | | {spread(ratio(turns[r], duet))} | | "
                  f"{median(turns[r], 'peak_rss_mb'):,.0f} |")
    peaks = [t["gemm_peak_gflops"] for t in duet]
    if max(peaks) > 1.1 * min(peaks):
        print(f"peers: {name}: the machine's peak moved from {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s", file=sys.stderr)
    sys.stdout.flush()


def compare(o, name, case, out):
    env = settings(o.threads, o.allocator)
    rivals = {"duet": Duet(o.duet, case)}
    for variant, options in METHODS[case[1]][2].items():
        rivals[variant] = Torch(case, options, env)
    turns = in_turns(rivals, o.rounds, o.seconds, out, name)
    row(name, case, turns, rivals)
    for r in rivals.values():
        r.close()


def variants(o, case):
    """PyTorch's settings, each with the others as they are in compare()."""
    usual = METHODS[case[1]][2]["eager"]
    env = settings(o.threads, o.allocator)
    yield "eager", usual, env
    for allocator, path in ALLOCATORS.items():
        if allocator != o.allocator and (path or allocator == "malloc"):
            yield allocator, usual, settings(o.threads, allocator, **JEMALLOC if allocator == "jemalloc" else {})
    if o.threads > 1:
        yield "1 thread", usual, settings(1, o.allocator)
    yield "OMP_WAIT_POLICY=active", usual, env | {"OMP_WAIT_POLICY": "active"}
    for without in ["THP_MEM_ALLOC_ENABLE"], ["OMP_PROC_BIND", "OMP_PLACES"], [*TUNED]:
        yield f"no {' '.join(without)}", usual, settings(o.threads, o.allocator, **dict.fromkeys(without, ""))
    llvm = library("libomp.so.5")
    if llvm:
        yield "LLVM's OpenMP", usual, env | {"LD_PRELOAD": f"{llvm} {env.get('LD_PRELOAD', '')}", "KMP_BLOCKTIME": "1"}
    if case[1].startswith("backprop"):
        for adamw in "foreach", "loop":
            yield f"AdamW {adamw}", [*usual, f"--adamw={adamw}"], env
    else:
        for mezo in "published", "kept":
            yield f"MeZO {mezo}", [*usual, f"--mezo={mezo}"], env
    for mode in "default", "reduce-overhead", "max-autotune":
        yield f"compile {mode}", [*usual, f"--compile={mode}"], env


def tune(o, name, case, out):
    rivals = {v: Torch(case, options, env) for v, options, env in variants(o, case)}
    turns = in_turns(rivals, o.rounds, o.seconds, out, name)
    print(f"{name}: milliseconds of the clock, of processors; time of eager / time of this; MB")
    for r, t in turns.items():
        print(f"{r:40} {median(t, 'ms_per_step'):9.1f} {median(t, 'cpu_ms'):9.1f}  {spread(ratio(turns['eager'], t))} "
              f"{median(t, 'peak_rss_mb'):6.0f}", flush=True)
        rivals[r].close()


def main():
    p = argparse.ArgumentParser(description="duet beside PyTorch, in turns.", allow_abbrev=False)
    p.add_argument("cases", nargs="*", metavar="CASE", help="those that match one of these; all if none is given")
    p.add_argument("--list", action="store_true", help="names of the cases")
    p.add_argument("--all-types", action="store_true", help="bf16, too, where the processor does not multiply it")
    p.add_argument("--tune", action="store_true", help="PyTorch's settings beside each other")
    p.add_argument("--duet", default="build/tools/duet", metavar="PROGRAM")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=1, help="how long a turn takes, or one step (default: 1)")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch")
    p.add_argument("--allocator", choices=ALLOCATORS, default="tcmalloc" if ALLOCATORS["tcmalloc"] else "malloc", help="of PyTorch")
    p.add_argument("--out", default="/dev/null", metavar="FILE", help="every turn as a JSON line")
    o = p.parse_args()
    o.duet = os.path.abspath(o.duet)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no stopped process is left
    chosen = {n: c for n, c in cases(o.all_types) if not o.cases or any(re.search(x, n) for x in o.cases)}
    if not chosen:
        sys.exit("peers: no such case; --list names them")
    if o.list:
        print("\n".join(chosen))
        return
    if o.allocator == "malloc":
        print("peers: PyTorch is slower with malloc than with tcmalloc: tools/setup.sh peers", file=sys.stderr)
    if not o.tune:
        print("| shape, batch × tokens | method, type | duet, ms | share of peak | PyTorch eager, ms | compiled, ms | ratio to the fastest | "
              "duet, MB | PyTorch, MB |\n|---|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    with open(o.out, "a", encoding="utf-8") as out:
        for name, case in chosen.items():
            (tune if o.tune else compare)(o, name, case, out)


if __name__ == "__main__":
    main()
