#!/usr/bin/env python3
"""Do the strategies find more than chance, and halving as much with less? (results/search.md)

    results/scripts/search-strategies.py DUET [--dir DIR] [--times N] [--jobs N] [--tables]

Eight knobs of tiny models on the built-in corpus, ten starts (seeds of the search): 100 trials each of random, tpe and cmaes,
at confidence 0, which is one seed a trial. halving (shares 1/9, 1/3 and 1, over random and over tpe) has 118 configurations, with
2 rungs (1/3 and 1) 58, which are trained on a third of the tokens. The best at the end of each is trained with 8 fresh seeds and measured on the third
split (duet search confirm); what is compared are means of these, paired by the seed of the search.
--times 8 asks the same of longer trainings, whose first rung is past the warm-up: random, tpe, and halving over both.

What is in DIR is not run again: stopped or killed, the same command goes on. Budgets are in tokens, so other load on the
machine changes no result. At the end, and with --tables at any time, it prints the tables."""
import statistics

import search_study
from search_study import interval, row

STARTS = 10
STRATEGIES = {
    "random": (100, "random"),
    "tpe": (100, "tpe"),
    "cmaes": (100, "cmaes"),
    "halving over random": (118, {"name": "halving", "over": "random"}),
    "halving over tpe": (118, {"name": "halving", "over": "tpe"}),
    "halving, 2 rungs, over tpe": (58, {"name": "halving", "over": "tpe", "rungs": 2}),
}
LONGER = ("random", "halving over random", "tpe", "halving over tpe")  # asked of longer trainings
MARKS = (10, 25, 50, 100)


def one(study, name, seed):
    trials, strategy = STRATEGIES[name]
    ledger = study.search("%s-%d" % (name.replace(",", "").replace(" ", "-"), seed), study.file(trials, strategy, seed, 0))
    if len(ledger.decided) >= trials:
        study.confirm(ledger, ledger.incumbent())
    return ledger


def mean_fresh(ledger):
    x = ledger.fresh(ledger.incumbent())
    return statistics.mean(x) if x and None not in x else None


def best_so_far(ledger, trials):
    """Value at its first seed of the best of so many."""
    x = [v for t, v in ledger.value.items() if t < trials]
    return min(x) if x else None


def print_spread(done):
    values = sorted(v for (name, _), s in done.items() if name == "random" for v in s.value.values())
    seeds = [statistics.stdev(x) for s in done.values() for x in [s.fresh(s.incumbent())] if x and None not in x]
    if len(values) < 10 or not seeds:
        return
    q = statistics.quantiles(values, n=20)
    print("random trials: 5 %% of them below %.3f, quartiles %.3f, %.3f, %.3f, least %.3f; standard deviation between seeds of one"
          " of the best %.3f (median of %d)\n" % (q[0], q[4], q[9], q[14], values[0], statistics.median(seeds), len(seeds)))


def against(mine, other):
    """Mean difference with its interval over the starts that both have, and of these how many are better."""
    both = sorted(set(mine) & set(other))
    diff = [mean_fresh(mine[i]) - mean_fresh(other[i]) for i in both]
    if len(diff) < 2:
        return "", ""
    return "%+.3f (%+.3f to %+.3f)" % interval(diff), "%d of %d" % (sum(d < 0 for d in diff), len(diff))


def tables(study, done):
    study.print_machine()
    print_spread(done)
    measured = {name: {seed: s for (n, seed), s in done.items() if n == name and mean_fresh(s) is not None} for name in STRATEGIES}
    row("strategy", "starts", "configurations", "trainings", "tokens, of random's", "best, first seed", "best, fresh seeds",
        "less random (95 %)", "better", "less the one halved (95 %)")
    row("---", *["---:"] * 9)
    for name, mine in measured.items():
        if not mine:
            continue
        both = set(mine) & set(measured["random"])
        diff, won = against(mine, measured["random"]) if name != "random" else ("", "")
        over = name.split(" over ")[-1]
        row(name, "%d" % len(mine), "%d" % statistics.mean(len(s.trials) for s in mine.values()),
            "%d" % statistics.mean(s.trainings for s in mine.values()),
            "%.2f" % statistics.mean(mine[i].compute / measured["random"][i].compute for i in both) if both else "",
            "%.3f" % statistics.mean(s.value[s.incumbent()] for s in mine.values()),
            "%.3f" % statistics.mean(mean_fresh(s) for s in mine.values()), diff, won,
            against(mine, measured[over])[0] if over != name else "")
    print("\nBest so far at its first seed, mean of starts, after so many trials:\n")
    row("strategy", *["%d" % m for m in MARKS])
    row("---", *["---:"] * len(MARKS))
    for name, (trials, _) in STRATEGIES.items():
        mine = [s for (n, _), s in done.items() if n == name and len(s.decided) >= trials]
        if mine and trials == MARKS[-1]:
            row(name, *["%.3f" % statistics.mean(best_so_far(s, m) for s in mine) for m in MARKS])
    print("\nBest, fresh seeds, by start:\n")
    row("strategy", *["%d" % i for i in range(1, STARTS + 1)])
    row("---", *["---:"] * STARTS)
    for name in STRATEGIES:
        x = [mean_fresh(done[(name, i)]) if (name, i) in done else None for i in range(1, STARTS + 1)]
        if any(v is not None for v in x):
            row(name, *["" if v is None else "%.3f" % v for v in x])


def main():
    study = search_study.Study(search_study.arguments(__doc__, "strategies").parse_args())
    done = {}
    for names in [LONGER[:2], LONGER[2:]] if study.times > 1 else [list(STRATEGIES)[:4], list(STRATEGIES)[4:]]:
        study.all([lambda n=name, s=seed: done.update({(n, s): one(study, n, s)})
                   for seed in range(1, STARTS + 1) for name in names])
    tables(study, done)


if __name__ == "__main__":
    main()
