#!/bin/sh
# A search that is killed at any moment and goes on proposes and decides as one that was not; no
# result is lost or there twice, and no process outlives the driver. Arguments behind the first two:
# kills (5), a seed, a strategy as JSON ("tpe"), and trials (6).
. "$(dirname "$0")/lib.sh"
KILLS=${3:-5}
SEED=${4:-1}
STRATEGY=${5:-'"tpe"'}
TRIALS=${6:-6}
must stories 30000 5 >text.txt
cat >s.json <<END
{"base": {"model": "$SRC/models/stories260k.json", "tokenizer": "byte", "data": "text.txt",
          "seq": 32, "batch": 4,
          "set": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48,
                  "num_attention_heads": 4, "num_key_value_heads": 2}},
 "budget": {"steps": 30}, "seeds": 3, "trials": $TRIALS, "jobs": 2, "strategy": $STRATEGY,
 "space": {"lr": {"log": [1e-4, 1e-2]}, "batch": {"choice": [2, 4, 8]}}}
END
# Proposals, and decisions with their evidence, in order, without what the clock says. Where what was
# left behind stands among the others hangs on which process ended first
events() { grep "\"event\":\"$2\"" "$1/ledger.jsonl" | sed 's/,"date":"[^"]*"//'; }
story() {
    events "$1" proposal
    events "$1" decision | grep -v '"outrun"'
    events "$1" decision | grep '"outrun"' | sort
}
values() {
    sed -n 's/.*"event":"result",\(.*"value":[^,]*\),.*/\1/p' "$1/ledger.jsonl" | sed 's/,"date".*//' |
        sort
}
# Milliseconds from 1 to $1, the $2-th of a seed
moment() { awk -v s="$SEED" -v k="$2" -v n="$1" 'BEGIN { srand(1000 * s + k); print int(1 + n * rand()) }'; }
orphans() { pgrep -f "$WORK/k/trials" >orphans.out && { ps -fp $(cat orphans.out); return 1; }; return 0; }

began=$(date +%s%N)
must "$DUET" search s.json --out whole --quiet >whole.out
took=$((($(date +%s%N) - began) / 1000000))

"$DUET" search s.json --out k --quiet >k.out 2>k.err &
n=0
while :; do
    ms=$(moment $((2 * took / KILLS)) $n)
    sleep "$(awk -v ms=$ms 'BEGIN { print ms / 1000 }')"
    if [ $n -ge "$KILLS" ] || ! kill -9 $! 2>kill.err; then break; fi
    wait $! 2>kill.err
    n=$((n + 1))
    sleep 0.3
    check "kill $n: no process is left" orphans
    if [ -s k/ledger.jsonl ]; then
        "$DUET" search --resume k --quiet >k.out 2>k.err &
    else
        rm -rf k
        "$DUET" search s.json --out k --quiet >k.out 2>k.err &
    fi
done
check "after $n kills it ends well" wait $!
story whole >whole.story
story k >k.story
check "the proposals and decisions of the undisturbed search" diff whole.story k.story
values whole >whole.values
values k >k.values
check "no result is there twice" equal "$(sed 's/"status.*//' k.values | sort | uniq -d | wc -l)" 0
check "and those that both have are the same" equal "$(comm -12 whole.values k.values | wc -l)" \
    "$(sed 's/"value.*//' whole.values | sort >a.keys; sed 's/"value.*//' k.values | sort >b.keys; comm -12 a.keys b.keys | wc -l)"
check "the same best" same whole/best.json k/best.json

# A signal: what runs saves, and the search goes on
"$DUET" search s.json --out i --quiet >i.out 2>i.err &
sleep "$(awk -v ms=$((took / 2)) 'BEGIN { print ms / 1000 }')"
kill -INT $! 2>kill.err
check "SIGINT ends it well" wait $!
check "and it goes on" "$DUET" search --resume i --quiet
story i >i.story
check "as if it had not been" diff whole.story i.story
finish
