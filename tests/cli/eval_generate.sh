#!/bin/sh
# `duet eval` agrees with the training's own validation and reads every kind of data; `duet generate`
# prints exactly the prompt and its continuation, deterministically where it says so.
. "$(dirname "$0")/lib.sh"
must stories 40000 3 >text.txt
must train run --steps 40 --lr 5e-3 --val-windows 20
MODEL=run/model.blzt
evaluate() { "$DUET" eval "$MODEL" --quiet --threads 1 "$@"; }

# ---- eval
must evaluate --data text.txt --split val --windows 20 >e.out
for key in val_loss val_loss_stderr val_bpb floor_bpb; do
    check "eval --split val: $key as in training" equal "$(value $key e.out)" "$(value $key run.out)"
done
check "perplexity is exp of the loss" close_to "$(value perplexity e.out)" \
    "$(awk -v l="$(value val_loss e.out)" 'BEGIN { print exp(l) }')" 1e-2
check "tokens" equal "$(value tokens e.out)" 640
check "windows" equal "$(value windows e.out)" 20
must evaluate --data text.txt --split val --windows 20 --json >e.json
for key in val_loss val_loss_stderr val_bpb floor_bpb perplexity tokens bytes windows; do
    check "--json: $key" close_to "$(json $key e.json)" "$(value $key e.out)" 6e-5
done
must evaluate --data text.txt --split val --windows 20 --batch 3 >e2.out
check "the batch does not matter" same e.out e2.out
must evaluate --data text.txt >all.out
check "all of the text, every window" equal "$(value windows all.out)" "$(awk -v n="$("$DUET" tokenize --tokenizer byte \
    text.txt --out text.shard --json | sed 's/.*"tokens":\([0-9]*\).*/\1/')" 'BEGIN { print int((n - 1) / 32) }')"
must evaluate --data text.shard >shard.out
check "a shard gives what its text gives" same all.out shard.out
if command -v zstd >zstd.out 2>&1; then
    must zstd -q text.txt
    must evaluate --data text.txt.zst >zst.out
    check "compressed text gives what the text gives" same all.out zst.out
else
    skip "compressed text" "no zstd program"
fi
grep -v 'endoftext\|^<|' text.txt | head -c 6000 >plain.txt
printf "$(od -An -v -tu1 -w1 plain.txt | awk '{ printf "\\%o\\000", $1 }')" >raw.bin
check "raw tokens: two bytes each" [ "$(wc -c <raw.bin)" -eq 12000 ]
must evaluate --data plain.txt >plain.out
must evaluate --data raw.bin --format raw16 >raw.out
check "raw16 gives what its text gives" same plain.out raw.out
must evaluate --data text.txt --seq 16 >short.out
check "--seq: shorter windows, higher loss" awk -v a="$(value val_loss short.out)" -v b="$(value val_loss all.out)" \
    'BEGIN { exit !(a > b) }'
must evaluate --data text.txt --split val --val-fraction 0.5 >half.out
check "--val-fraction" awk -v a="$(value windows half.out)" -v b="$(value windows all.out)" \
    'BEGIN { exit !(a > 0.4 * b && a < 0.6 * b) }'
must evaluate --data text.txt --compute bf16 >bf16.out
check "--compute bf16: near, but not the same" close_to "$(value val_loss bf16.out)" "$(value val_loss all.out)" 0.05
check "--compute bf16: another number" differ bf16.out all.out
must evaluate --data text.txt --set duet.logit_softcap=1 >cap.out
check "--set changes the function" differ cap.out all.out

# ---- compacted vocabulary: saved whole
must train compact --steps 40 --lr 5e-3 --val-windows 20 --compact-vocab --full-vocab-loss
must "$DUET" eval compact/model.blzt --data text.txt --split val --windows 20 --quiet --threads 1 >c.out
check "a compacted run's model scores over the full vocabulary as --full-vocab-loss says" \
    equal "$(value val_loss c.out)" "$(value val_loss_full compact.out)"
check "over the tokens that occur the loss is lower" awk -v a="$(value val_loss compact.out)" -v b="$(value val_loss c.out)" \
    'BEGIN { exit !(a < b) }'

# ---- generate
gen() { "$DUET" generate "$MODEL" --threads 1 "$@"; }
must gen --prompt 'The dog' --tokens 20 --temperature 0 --ignore-eos >g1 2>g1.err
must gen --prompt 'The dog' --tokens 20 --temperature 0 --ignore-eos >g2 2>g2.err
check "stdout begins with the prompt" [ "$(head -c 7 g1)" = "The dog" ]
check "and has one byte a token more, nothing else" [ "$(wc -c <g1)" -eq 27 ]
check "tokens/s goes to stderr" says g1.err 'tokens/s'
check "--quiet: nothing on stderr" [ -z "$(gen --prompt a --tokens 3 --quiet 2>&1 >g.out)" ]
check "greedy is deterministic" same g1 g2
must gen --prompt 'The dog' --tokens 10 --temperature 0 --ignore-eos --quiet >g3
check "--tokens: the beginning of a longer text" [ "$(cat g3)" = "$(head -c 17 g1)" ]
must gen --prompt 'The dog' --tokens 20 --top-k 1 --ignore-eos --quiet >g4
check "--top-k 1 is greedy" same g1 g4
must gen --prompt 'The dog' --tokens 20 --top-p 0 --ignore-eos --quiet >g5
check "--top-p 0 is greedy" same g1 g5
must gen --prompt 'The dog' --tokens 20 --min-p 1 --ignore-eos --quiet >g6
check "--min-p 1 is greedy" same g1 g6
must gen --prompt 'The dog' --tokens 40 --seed 5 --quiet >s1
must gen --prompt 'The dog' --tokens 40 --seed 5 --quiet >s2
must gen --prompt 'The dog' --tokens 40 --seed 6 --quiet >s3
check "the same seed, the same text" same s1 s2
check "another seed, another text" differ s1 s3
for option in "--temperature 0.3" "--top-k 3" "--top-p 0.5" "--min-p 0.5"; do
    must gen --prompt 'The dog' --tokens 40 --seed 5 --quiet $option >s4
    check "$option changes the text" differ s1 s4
done
must gen --tokens 8 --temperature 0 --quiet --ignore-eos >empty.out
check "without a prompt" [ "$(wc -c <empty.out)" -eq 8 ]
must gen --prompt 'Once upon a time' --tokens 200 --temperature 0 --ignore-eos --quiet >long
check "past the context" [ "$(wc -c <long)" -eq 216 ]
must gen --prompt "$(head -c 300 plain.txt | tr '\n' ' ')" --tokens 20 --temperature 0 --ignore-eos --quiet >longer
check "a prompt longer than the context" [ "$(wc -c <longer)" -eq 320 ]
must gen --prompt 'Once upon a time' --tokens 30 --temperature 0 --context 64 --ignore-eos --quiet >wide
must gen --prompt 'Once upon a time' --tokens 30 --temperature 0 --context 256 --ignore-eos --quiet >wider
check "the size of the cache does not matter while it lasts" same wide wider
must gen --prompt "$(printf 'caf\303\251 \360\237\230\200')" --tokens 5 --temperature 0 --ignore-eos --quiet >utf8
check "a prompt of any UTF-8" [ "$(head -c 10 utf8 | od -An -tx1 | tr -d ' \n')" = "636166c3a920f09f9880" ]

# ---- logits: what eval --logits writes has the loss that eval computes
head -c 65 text.txt >short.txt
must "$DUET" tokenize --tokenizer byte short.txt --out short.shard --quiet 2>/dev/null
must "$DUET" eval $MODEL --data short.shard --seq 64 --logits logits.f32 --quiet
must "$DUET" eval $MODEL --data short.shard --seq 64 --quiet >short.out
{ od -An -v -tu1 -w1 short.txt; od -An -v -tf4 -w4 logits.f32; } | awk 'NR <= 65 { id[NR - 1] = $1; next }
    { x[n++] = $1 } END { v = n / 64; for (t = 0; t < 64; t++) { s = 0; for (i = 0; i < v; i++) s += exp(x[t * v + i]);
    nll += log(s) - x[t * v + id[t + 1]] } printf "%.6f\n", nll / 64 }' >nll
check "--logits: they give the loss" close_to "$(cat nll)" "$(value val_loss short.out)" 1e-4
refuses "--logits with --windows" 2 'no effect on --logits' "$DUET" eval $MODEL --data short.shard --logits x --windows 2
refuses "--logits with --task" 2 'no effect on --task' "$DUET" eval $MODEL --task x --template x --labels a --logits x

# ---- end of text
awk 'BEGIN { for (i = 0; i < 400; i++) print "ab cd.\n<|endoftext|>" }' >ends.txt
must "$DUET" train $TINY --data ends.txt --out ends --steps 120 --lr 1e-2 >ends.out 2>ends.err
MODEL=ends/model.blzt
must gen --prompt 'ab' --tokens 100 --temperature 0 >e1 2>e1.err
check "generation stops at the end of the text" [ "$(cat e1)" = "ab cd." ]
check "and says so" says e1.err 'end of text'
check "the end token is not printed" [ "$(tail -c 1 e1 | od -An -tx1 | tr -d ' ')" = 0a ]
must gen --prompt 'ab' --tokens 100 --temperature 0 --ignore-eos --quiet >e2
check "--ignore-eos goes on" [ "$(grep -c 'ab cd' e2)" -gt 5 ]
finish
