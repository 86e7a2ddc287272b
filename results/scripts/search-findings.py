#!/usr/bin/env python3
"""The tables of results/findings.md from the ledgers of search-findings.sh: search-findings.py DIR

Of each side of a question the best of its learning rates, by the mean of its seeds, and its difference to one side, seed by
seed, with the interval of Student's t. Searches of which a trial is not decided are named and left out.
"""
import json
import math
import statistics
import sys
from pathlib import Path

# two-sided 95 %, by degrees of freedom from 1 on
T95 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228]

# stage: title, searches, what tells sides apart, and the side that others are compared with (a later one: in each group alone)
QUESTIONS = [
    ("Rates by role", ["rates"], ["embed-lr"], [1]),
    ("Optimizers", ["optimizer"], ["optimizer"], ["adamw"]),
    ("Widths at equal operations", ["shapes-1", "shapes-1-wide", "shapes-4", "shapes-4-wide", "shapes-15", "shapes-15-wide"],
     ["flops", "set.hidden_size"], [None, 128]),
    ("Depths at equal operations", ["depths"], ["set.num_hidden_layers"], [2]),
    ("Sequence length", ["length-32", "length-64", "length-128", "length-256"], ["seq"], [128]),
    ("Accumulation", ["accumulation"], ["accum"], [1]),
    ("Weight decay", ["decay"], ["weight-decay"], [0.1]),
    ("Softcap", ["softcap"], ["set.duet.logit_softcap"], [0]),
]


def read(folder):
    """Options and values by seed of a search's trials; None: not there, or not all of them are decided."""
    ledger = folder / "ledger.jsonl"
    if not ledger.is_file():
        return None, "not begun"
    configs, values, failed, decided = {}, {}, {}, set()
    for line in ledger.read_bytes().split(b"\n")[:-1]:
        event = json.loads(line)
        kind = event["event"]
        if kind == "search":
            file = event["file"]
        elif kind == "proposal":
            configs[event["trial"]] = event["config"]
        elif kind == "result" and event["status"] == "ok":
            values.setdefault(event["trial"], {})[event["seed"]] = (event["value"], event["summary"])
        elif kind == "result":
            failed[event["trial"]] = event["status"]
        elif kind == "decision":
            decided.add(event["trial"])
    if len(decided) < file["trials"]:
        return None, f"{len(decided)} of {file['trials']} trials"
    base = {k: v for k, v in file["base"].items() if k != "set"}
    base.update({f"set.{k}": v for k, v in file["base"].get("set", {}).items()})
    base.update(file["budget"])
    trials = []
    for number, config in configs.items():
        trials.append({"options": base | config, "seeds": values.get(number, {}), "failed": failed.get(number)})
    return trials, file["seeds"]


def interval(differences):
    """Mean and half of the width."""
    n = len(differences)
    if n < 2:
        return differences[0], math.inf
    return statistics.mean(differences), T95[min(n - 1, len(T95)) - 1] * statistics.stdev(differences) / math.sqrt(n)


def number(x):
    return f"{x:g}".replace("e-0", "e-") if isinstance(x, (int, float)) else str(x)


def means(trial):
    """Mean and its standard error."""
    values = [value for value, _ in trial["seeds"].values()]
    if len(values) < 2:
        return statistics.mean(values), math.nan
    return statistics.mean(values), statistics.stdev(values) / math.sqrt(len(values))


def table(text, names, keys, against):
    trials, missing = [], []
    for name in names:
        some, why = read(text / name)
        if some is None:
            missing.append(f"{name}: {why}")
        else:
            trials += some
    sides = {}
    for trial in trials:
        sides.setdefault(tuple(trial["options"].get(k) for k in keys), []).append(trial)
    rows = []
    for side in sorted(sides, key=lambda s: [(isinstance(x, str), x) for x in s]):
        whole = [t for t in sides[side] if t["seeds"] and not t["failed"]]
        rates = sorted(t["options"]["lr"] for t in sides[side])
        if not whole:
            rows.append([*map(number, side), "", "", "", "all fail", ""])
            continue
        best = min(whole, key=lambda t: means(t)[0])
        reference = tuple(x if a is None else a for x, a in zip(side, against))
        rivals = [t for t in sides.get(reference, []) if t["seeds"] and not t["failed"]]
        compared = ""
        if side != reference and rivals:
            rival = min(rivals, key=lambda t: means(t)[0])
            shared = sorted(set(best["seeds"]) & set(rival["seeds"]))
            mean, half = interval([best["seeds"][s][0] - rival["seeds"][s][0] for s in shared])
            compared = f"{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})"
        mean, error = means(best)
        lr = best["options"]["lr"]
        edge = " (the lowest)" if lr == rates[0] else " (the highest)" if lr == rates[-1] else ""
        steps = statistics.mean(s["num_steps"] for _, s in best["seeds"].values())
        failures = sum(1 for t in sides[side] if t["failed"])
        tried = f"{number(rates[0])} to {number(rates[-1])}" + (f", {failures} of {len(rates)} fail" if failures else "")
        rows.append([*map(number, side), f"{steps:.0f}", tried, number(lr) + edge, f"{mean:.4f} ± {error:.4f}", compared])
    if rows:
        reference = " ".join(number(a) for a in against if a is not None)
        head = [k.removeprefix("set.") for k in keys] + ["updates", "rates tried", "best rate", "bits a byte", f"against {reference}"]
        print(f"\n{text.name}\n\n| " + " | ".join(head) + " |")
        print("|" + "---:|" * (len(keys) + 1) + "---|---|---:|---:|")
        for row in rows:
            print("| " + " | ".join(row) + " |")
    for words in missing:
        print(f"\n{text.name}/{words}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    texts = [Path(sys.argv[1]) / name for name in ("builtin", "tinystories")]
    for title, names, keys, against in QUESTIONS:
        print(f"\n### {title}")
        for text in texts:
            table(text, names, keys, against)


if __name__ == "__main__":
    main()
