#!/bin/sh
# results/scripts/search-findings.sh: its search files are accepted, and its tables are those of the ledgers.
. "$(dirname "$0")/lib.sh"
if ! command -v python3 >/dev/null; then
    skip "search-findings" "no python3"
    finish
fi
script=$SRC/results/scripts/search-findings.sh

# ---- files ---------------------------------------------------------------------------------------
TEXTS=builtin "$script" "$DUET" dir all --dry-run >dry.out 2>&1
check "a dry run of all stages" equal $? 0
check "every search says what it takes" equal "$(grep -c '^trainings:' dry.out)" "$(grep -c '^builtin/' dry.out)"
check "there are that many" equal "$(grep -c '^builtin/' dry.out)" 16
check "nothing of them is refused" [ "$(grep -c '^refused:' dry.out)" = 0 ]
check "all seeds are trained" [ "$(grep '^trainings:' dry.out | awk '$2 != $4' | wc -l)" = 0 ]
check "and nothing is left" [ "$(ls dir/builtin | tr '\n' ' ')" = "data.shard text.txt tok.json " ]
TEXTS=builtin "$script" "$DUET" dir dacay >none.out 2>&1
check "another stage is none" [ "$?" = 2 ]
check "and is told" says none.out "^dacay: no such stage$"

# ---- tables --------------------------------------------------------------------------------------
# trial NUMBER DECAY LR VALUE...: one with a result a seed
trial() {
    t=$1 seed=0
    echo "{\"event\":\"proposal\",\"trial\":$t,\"config\":{\"weight-decay\":$2,\"lr\":$3}}"
    shift 3
    for value; do
        seed=$((seed + 1))
        echo "{\"event\":\"result\",\"trial\":$t,\"seed\":$seed,\"status\":\"ok\",\"value\":$value,\"summary\":{\"num_steps\":400}}"
    done
    echo "{\"event\":\"decision\",\"trial\":$t,\"decision\":\"discard\"}"
}
mkdir -p dir/builtin/decay dir/tinystories/decay
{
    echo '{"event":"search","file":{"base":{"lr":1e-3},"budget":{"steps":400},"trials":4,"seeds":3}}'
    trial 0 0.1 0.001 1.0 1.1 1.2
    trial 1 0.1 0.002 1.3 1.3 1.3
    trial 2 0.3 0.001 1.3 1.4 1.5
    trial 3 0.3 0.002 0.9 1.05 1.05
} >dir/builtin/decay/ledger.jsonl
head -c -30 dir/builtin/decay/ledger.jsonl >dir/tinystories/decay/ledger.jsonl # a line that is being written
check "tables" "$script" "$DUET" dir tables
cp check.out tables.out
# mean and sd / sqrt(3); of the differences -0.1 -0.05 -0.15: 4.303 * 0.05 / sqrt(3) = 0.1242
check "each side at its best rate" says tables.out '^| 0\.1 | 400 | 0\.001 to 0\.002 | 0\.001 (the lowest) | 1\.1000 ± 0\.0577 |  |$'
check "and its difference, seed by seed" says tables.out \
    '^| 0\.3 | 400 | 0\.001 to 0\.002 | 0\.002 (the highest) | 1\.0000 ± 0\.0500 | -0\.1000 (-0\.2242 to +0\.0242) |$'
check "what is not complete is named" says tables.out '^tinystories/decay: 3 of 4 trials$'
check "and what is not begun" says tables.out '^builtin/softcap: not begun$'
finish
