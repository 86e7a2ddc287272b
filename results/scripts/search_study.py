"""What search-gate.py and search-strategies.py share: the corpus and model of their searches, running and continuing many of
them, and reading their ledgers. Everything is made from the built-in corpus."""
import argparse
import concurrent.futures
import json
import math
import os
import platform
import signal
import statistics
import subprocess
import sys
import threading

CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
TOKENS = 16384  # of a training
FRESH = 8  # seeds that a configuration is confirmed with

# 10 to 100 thousand parameters.
MODEL = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 48, "intermediate_size": 96,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
    "hidden_act": "silu", "attention_bias": False, "torch_dtype": "float32", "initializer_range": 0.02,
    "duet": {"seq_len": 64},
}

# The eight knobs. With a budget of tokens a smaller batch has more updates.
SPACE = {
    "lr": {"log": [5e-4, 0.1]},
    "embed-lr": {"log": [0.1, 10]},
    "beta2": {"linear": [0.8, 0.999]},
    "warmup": {"int": [0, 60]},
    "batch": {"choice": [1, 2, 4, 8]},
    "set.num_hidden_layers": {"int": [1, 3]},
    "set.hidden_size": {"multiple_of": 16, "range": [16, 64]},
    "set.intermediate_size": {"multiple_of": 32, "range": [32, 160]},
}


def arguments(doc, default_dir):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("duet", help="the program")
    p.add_argument("--dir", default=os.path.join(CACHE, "duet", "search-studies", default_dir),
                   help="folder of ledgers (default %(default)s)")
    p.add_argument("--times", type=int, default=1, metavar="N", help="trainings of N times the tokens, a study of its own (DIR-timesN)")
    p.add_argument("--jobs", type=int, default=2, help="searches at a time, a thread each (default %(default)s)")
    p.add_argument("--tables", action="store_true", help="only print the tables of what is there")
    return p


class Study:
    def __init__(self, options):
        self.duet = os.path.realpath(options.duet)
        self.times = options.times
        self.dir = os.path.realpath(options.dir) + ("-times%d" % self.times if self.times > 1 else "")
        self.jobs = options.jobs
        self.tables_only = options.tables
        os.makedirs(self.dir, exist_ok=True)
        self.corpus = os.path.join(self.dir, "stories.txt")
        self.model = os.path.join(self.dir, "model.json")
        self.tokenizer = os.path.join(self.dir, "tok512.json")
        self.lock = threading.Lock()
        self.running = set()
        self.stopped = False
        if self.tables_only:
            return
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        if not os.path.exists(self.corpus):
            self.call(["stories", "--bytes", "400k", "--seed", "1", "--quiet", "--out", self.corpus])
        if not os.path.exists(self.tokenizer):  # of other stories than those that are learned
            other = os.path.join(self.dir, "other.txt")
            self.call(["stories", "--bytes", "400k", "--seed", "2", "--quiet", "--overwrite", "--out", other])
            self.call(["tokenizer", "train", "--vocab", "512", "--quiet", "--out", self.tokenizer, other])
        if not os.path.exists(self.model):
            self.write(self.model, MODEL)

    @staticmethod
    def write(path, tree):
        with open(path + ".new", "w") as f:
            json.dump(tree, f, indent=1)
        os.replace(path + ".new", path)

    def call(self, words, allowed=(0,)):
        with self.lock:
            if self.stopped:
                raise RuntimeError("stopped")
            r = subprocess.Popen([self.duet] + words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True, start_new_session=True)
            self.running.add(r)
            if self.stopped:  # meanwhile
                r.send_signal(signal.SIGTERM)
        said = r.communicate()[1]
        with self.lock:
            self.running.discard(r)
        if r.returncode not in allowed:
            raise RuntimeError("duet %s: exit status %d: %s" % (" ".join(words), r.returncode, said.strip()))

    def stop(self, number, frame):
        """The searches save what they run; what has ended is in their ledgers."""
        self.stopped = True
        for r in list(self.running):
            r.send_signal(signal.SIGTERM)

    def file(self, trials, strategy, seed, confidence):
        return {
            "base": {"model": self.model, "tokenizer": self.tokenizer, "data": self.corpus, "seq": 64, "threads": 1, "lr": 0.001,
                     "batch": 4, "warmup": 20, "embed-lr": 1, "val-fraction": 0.025, "test-fraction": 0.1, "val-windows": 1},
            "budget": {"tokens": TOKENS * self.times}, "trials": trials, "strategy": strategy, "seed": seed, "confidence": confidence,
            "space": SPACE,
        }

    def search(self, name, tree):
        """Runs a search to its end, or goes on with it; then its Ledger."""
        at = os.path.join(self.dir, name)
        here = Ledger(at)
        if self.tables_only or len(here.decided) >= tree["trials"]:
            return here
        if here.trials:
            self.call(["search", "--resume", at, "--quiet"])
        else:
            self.write(at + ".json", tree)
            self.call(["search", at + ".json", "--out", at, "--quiet"])
        return Ledger(at)

    def confirm(self, ledger, trial, against=0):
        """Both on fresh seeds and the third split; what is on record is not run again."""
        if trial == against:  # the base stayed: it needs its values all the same
            trial, against = (1, 0)
        if not self.tables_only and (ledger.fresh(trial) is None or ledger.fresh(against) is None):
            self.call(["search", "confirm", ledger.dir, "--trial", str(trial), "--against", str(against), "--seeds", str(FRESH),
                       "--json", "--quiet"], (0, 3))
            ledger.read()

    def all(self, work):
        """Runs functions, --jobs at a time; of what failed the rest goes on, and it is said at the end."""
        failed = 0
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            for f in concurrent.futures.as_completed([pool.submit(w) for w in work]):
                if f.exception():
                    failed += 1
                    if not self.stopped:
                        print("failed: %s" % f.exception(), file=sys.stderr)
        if self.stopped:
            sys.exit("stopped; the same command goes on")
        if failed:
            print("%d failed; the same command tries them again" % failed, file=sys.stderr)

    def machine(self):
        for name in sorted(os.listdir(self.dir)):
            here = Ledger(os.path.join(self.dir, name))
            if here.first:
                return here.first
        return {}

    def print_machine(self):
        first = self.machine()
        where = [str(first[k]) for k in ("version", "commit", "cpu", "isa", "backend") if k in first]
        print("ledgers: %s; first begun with %s, Python %s\n" % (self.dir, ", ".join(where) or "nothing yet", platform.python_version()))


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as f:
        text = f.read()
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


class Ledger:
    def __init__(self, folder):
        self.dir = folder
        self.read()

    def read(self):
        events = lines(os.path.join(self.dir, "ledger.jsonl"))
        self.first = events[0] if events else {}
        self.trials = {}   # number -> configuration
        self.share = {}    # how far it was trained, of the budget
        self.value = {}    # trial -> value of its first seed at the whole budget
        self.results = []
        self.decided = []  # decisions in their order
        for e in events:
            if e["event"] == "proposal":
                self.trials[e["trial"]] = e["config"]
            elif e["event"] == "result":
                self.results.append(e)
            elif e["event"] == "decision":
                self.decided.append(e)
        rungs = {(e["trial"], e["rung"]): e["share"] for e in events if e["event"] == "proposal"}
        done = {}
        for r in self.results:
            share = rungs.get((r["trial"], r["rung"]), 1)
            if r["status"] != "refused" and "same" not in r:
                done[(r["trial"], r["seed"])] = max(done.get((r["trial"], r["seed"]), 0), share)
            if r["seed"] == 1 and share == 1 and r["value"] is not None:
                self.value[r["trial"]] = r["value"]
        self.trainings = len(done)
        self.compute = sum(done.values())  # whole budgets
        self.confirmed = {}
        for c in lines(os.path.join(self.dir, "confirm.jsonl")):
            if c["event"] == "result":
                self.confirmed.setdefault(c["trial"], {})[c["seed"]] = c["bits_per_byte"]

    def keeps(self, before=None):
        """(trial, the one that it replaced), in their order, of the trials below a number."""
        return [(d["trial"], d["against"]) for d in self.decided
                if d["decision"] == "keep" and "against" in d and (before is None or d["trial"] < before)]

    def incumbent(self, before=None):
        kept = self.keeps(before)
        return kept[-1][0] if kept else 0

    def fresh(self, trial):
        """Its values on fresh seeds in their order; None: not all are there. None in it: diverged."""
        have = self.confirmed.get(trial, {})
        return [have[s] for s in sorted(have)][:FRESH] if len(have) >= FRESH else None

    def difference(self, trial, against):
        """Mean of the paired differences, and their standard deviation; infinite where trial diverged. None: not measured."""
        a, b = self.fresh(trial), self.fresh(against)
        if a is None or b is None:
            return None
        pairs = [x - y for x, y in zip(a, b) if x is not None and y is not None]
        if None in a or len(pairs) < 2:
            return (math.inf, math.nan)
        return (statistics.mean(pairs), statistics.stdev(pairs))


def t_quantile(p, df):
    """Of Student's t, by the integral of its density (Simpson)."""
    c = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)

    def cdf(x, n=2000):
        h = x / n
        f = [(1 + (i * h) ** 2 / df) ** (-(df + 1) / 2) for i in range(n + 1)]
        return 0.5 + c * h / 3 * (f[0] + f[n] + 4 * sum(f[1:n:2]) + 2 * sum(f[2:n - 1:2]))

    low, high = 0.0, 100.0
    for _ in range(60):
        low, high = ((low + high) / 2, high) if cdf((low + high) / 2) < p else (low, (low + high) / 2)
    return low


def interval(x):
    """Mean and the ends of its interval of 95 %."""
    m = statistics.mean(x)
    if len(x) < 2:
        return m, -math.inf, math.inf
    half = t_quantile(0.975, len(x) - 1) * statistics.stdev(x) / math.sqrt(len(x))
    return m, m - half, m + half


def row(*cells):
    print("| " + " | ".join(cells) + " |")
