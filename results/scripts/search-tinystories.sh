#!/bin/sh
# From the run of results/tinystories-300s.md, a search for a better one of the same 300 seconds, and the proof on text that no trial
# saw:
#   results/scripts/search-tinystories.sh DUET TRAIN_TXT DIR [--dry-run]
# About 45 minutes of search and 30 of confirming, on a machine that does nothing else. What was stopped goes on. TIME: seconds of a
# training (300).
#
# The base is that run, in the machine's fastest type. One seed decides (confidence 0): what is looked for is a tenth of a bit and more,
# and seeds differ by a hundredth; whether it is real confirm says, with three fresh seeds on the third part of the text. Two cohorts of
# ten configurations begin: at 60 s the best two go on to 300 s, each from where it was. 1 whole training of the base, 20 fifths, 4
# times four fifths: 8.2 times 300 s, and measuring. The later cohort is drawn by what the earlier one showed.
# At a fifth the rates have not fallen yet: it says little of decay-share, and is kind to small rates and small models. At a ninth
# many configurations would still be in their warm-up.
set -eu
[ $# -ge 3 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
duet=$(realpath "$1")
text=$(realpath "$2")
mkdir -p "$3"
cd "$3"
[ -f tok4096.json ] || "$duet" tokenizer train --vocab 4096 --quiet --out tok4096.json "$text"
[ -f data.shard ] || "$duet" tokenize --tokenizer tok4096.json --quiet --out data.shard "$text"
[ -f search-file.json ] || cat >search-file.json <<END
{"base": {"model": "$(realpath "$here/../../models/autoresearch.json")", "tokenizer": "tok4096.json", "data": "data.shard",
          "val-fraction": 0.01, "test-fraction": 0.05, "val-windows": 8, "compute": "auto", "seq": 128, "batch": 2, "lr": 4e-4, "embed-lr": 5,
          "beta2": 0.98, "warmup": 100, "min-lr": 0.02, "decay-share": 0.6, "weight-decay": 0.1,
          "set": {"vocab_size": 4096, "max_position_embeddings": 256}},
 "budget": {"time": ${TIME:-300}}, "trials": 21, "confidence": 0,
 "strategy": {"name": "halving", "eta": 5, "rungs": 2, "cohort": 10, "over": "tpe"},
 "space": {
    "lr": {"log": [4e-4, 5e-3]},
    "embed-lr": {"log": [1, 10]},
    "set.num_hidden_layers": {"int": [2, 6]},
    "set.hidden_size": {"choice": [128, 192, 256, 320, 384, 512]},
    "set.num_attention_heads": {"share_of": "set.hidden_size", "choice": [0.015625], "multiple_of": 1},
    "set.num_key_value_heads": {"share_of": "set.num_attention_heads", "choice": [0.25, 1], "multiple_of": 1},
    "set.intermediate_size": {"share_of": "set.hidden_size", "choice": [2.75], "multiple_of": 32},
    "batch": {"choice": [1, 2, 4, 8]},
    "seq": {"choice": [128, 256]},
    "beta2": {"choice": [0.98, 0.99]},
    "decay-share": {"linear": [0.5, 1]},
    "warmup": {"choice": [20, 50, 100]}}}
END
if [ "${4:-}" = --dry-run ]; then
    exec "$duet" search search-file.json --dry-run
fi
if [ -f search/search.json ]; then
    "$duet" search --resume search
else
    "$duet" search search-file.json --out search
fi
"$duet" search confirm search --seeds 3
