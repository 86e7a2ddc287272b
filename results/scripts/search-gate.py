#!/usr/bin/env python3
"""Are the keeps of a search real, and what does it cost to prove them? (results/search.md)

    results/scripts/search-gate.py DUET [--dir DIR] [--jobs N] [--tables]

Searches at confidence 0.95 over tiny models on the built-in corpus, tpe and local in turns with seed 1, 2, ..., until they
have kept 60 configurations. Each of these and the incumbent that it replaced are trained with 8 fresh seeds and measured on
the third split (duet search confirm): a keep holds if the mean paired difference is below 0. Beside each search goes one with
the same strategy and seed at confidence 0 (whatever is better at its first seed is kept), which has as many trainings in all.

What is in DIR is not run again: stopped or killed, the same command goes on. Budgets are in tokens, so other load on the
machine changes no result. At the end, and with --tables at any time, it prints the tables."""
import statistics

import search_study
from search_study import interval, row

TRIALS = 40
KEEPS = 60
STRATEGIES = ["tpe", "local"]
MOST = 40  # searches


def tree(study, number, confidence, trials):
    strategy, seed = STRATEGIES[number % len(STRATEGIES)], 1 + number // len(STRATEGIES)
    return "%s-%d-%s" % (strategy, seed, "gated" if confidence else "free"), study.file(trials, strategy, seed, confidence)


def gated(study, number):
    ledger = study.search(*tree(study, number, 0.95, TRIALS))
    for trial, against in ledger.keeps():
        study.confirm(ledger, trial, against)
    return ledger


def free(study, number, trainings):
    ledger = study.search(*tree(study, number, 0, max(trainings, TRIALS)))
    for before in (TRIALS, None):
        study.confirm(ledger, ledger.incumbent(before))
    return ledger


def free_keeps(study, ledger):
    for trial, against in ledger.keeps(TRIALS):
        study.confirm(ledger, trial, against)


def pair(study, number):
    ledger = gated(study, number)
    return ledger, free(study, number, ledger.trainings) if len(ledger.decided) >= TRIALS else None


def run(study):
    """The gated searches in their order, as few as have the keeps, and what stands beside them."""
    searches, frees = [], {}
    while len(searches) < MOST and sum(len(s.keeps()) for s in searches) < KEEPS:
        numbers = range(len(searches), min(MOST, len(searches) + study.jobs))
        more = {}
        study.all([lambda n=n: more.update({n: pair(study, n)}) for n in numbers])
        for n in numbers:
            if n not in more or len(more[n][0].decided) < TRIALS:  # failed: those that follow count when it has ended
                return searches, frees
            if sum(len(s.keeps()) for s in searches) < KEEPS:
                searches.append(more[n][0])
                frees[n] = more[n][1]
    return searches, frees


def holds(ledger, keeps):
    """Measured keeps, those that hold, and the differences."""
    d = [ledger.difference(t, a) for t, a in keeps]
    d = [x for x in d if x]
    return len(d), sum(x[0] < 0 for x in d), d


def gain(ledger, trial):
    if trial == 0:
        return 0.0
    d = ledger.difference(trial, 0)
    return -d[0] if d else None


def tables(study, searches, frees):
    study.print_machine()
    row("search", "trainings", "kept", "hold", "gain", "one seed: trials", "gain at %d trials" % TRIALS, "gain at equal trainings",
        "kept of %d" % TRIALS, "hold")
    row("---", *["---:"] * 9)
    total = {k: 0 for k in ("kept", "measured", "hold", "free", "freehold", "trainings")}
    three, misses = [], []
    for n, s in enumerate(searches):
        measured, held, d = holds(s, s.keeps())
        misses += [(s.dir.split("/")[-1], t, a, s.difference(t, a)) for t, a in s.keeps() if s.difference(t, a) and s.difference(t, a)[0] >= 0]
        total["kept"] += len(s.keeps())
        total["measured"] += measured
        total["hold"] += held
        total["trainings"] += s.trainings
        f = frees.get(n)
        whole = f and len(f.decided) >= max(s.trainings, TRIALS)
        gains = [gain(s, s.incumbent()), whole and gain(f, f.incumbent(TRIALS)), whole and gain(f, f.incumbent())]
        fm, fh, _ = holds(f, f.keeps(TRIALS)) if whole else (0, 0, None)
        all_measured = whole and fm == len(f.keeps(TRIALS))
        if all_measured:
            total["free"] += fm
            total["freehold"] += fh
        if all(isinstance(g, float) for g in gains):
            three.append(gains)
        show = ["%.4f" % g if isinstance(g, float) else "" for g in gains]
        row(s.dir.split("/")[-1].replace("-gated", ""), "%d" % s.trainings, "%d" % len(s.keeps()),
            "%d" % held if measured == len(s.keeps()) else "", show[0], "%d" % len(f.decided) if whole else "", show[1], show[2],
            "%d" % len(f.keeps(TRIALS)) if whole else "", "%d" % fh if all_measured else "")
    print("\nkeeps: %d in %d searches of %d trials (%d trainings); on %d fresh seeds measured %d, hold %d, fail %d" % (
        total["kept"], len(searches), TRIALS, total["trainings"], search_study.FRESH, total["measured"], total["hold"],
        total["measured"] - total["hold"]))
    for name, t, a, d in misses:
        print("fails: %s trial %d against %d: %+.4f (sd of a difference %.4f)" % (name, t, a, d[0], d[1]))
    if total["free"]:
        print("keeps by one seed in the first %d trials: measured %d, hold %d, fail %d" % (
            TRIALS, total["free"], total["freehold"], total["free"] - total["freehold"]))
    for k, what in ((1, "trials"), (2, "trainings")):
        if len(three) > 1:
            gated_sum, free_sum = sum(g[0] for g in three), sum(g[k] for g in three)
            m, low, high = interval([g[0] - g[k] for g in three])
            print("true gain at equal %s, %d searches: %.3f of the ungated one's (mean %.4f and %.4f; difference %+.4f, %+.4f to %+.4f)" % (
                what, len(three), gated_sum / free_sum, gated_sum / len(three), free_sum / len(three), m, low, high))
    sizes = [-x[0] for s in searches for x in holds(s, s.keeps())[2]]
    if len(sizes) > 1:
        print("size of the keeps: median %.4f, least %.4f, greatest %.4f" % (statistics.median(sizes), min(sizes), max(sizes)))


def main():
    study = search_study.Study(search_study.arguments(__doc__, "gate").parse_args())
    searches, frees = run(study)
    study.all([lambda f=f: free_keeps(study, f) for f in frees.values()])
    tables(study, searches, frees)


if __name__ == "__main__":
    main()
