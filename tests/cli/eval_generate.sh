#!/bin/sh
# `duet eval` agrees with the training's own validation and reads every kind of data; `duet
# generate` prints exactly the prompt and its continuation, deterministically where it says so.
. "$(dirname "$0")/lib.sh"
must stories 40000 3 >text.txt
must train run --steps 40 --lr 5e-3 --val-windows 20
MODEL=run/model.blzt
evaluate() { "$DUET" eval "$MODEL" --quiet --threads 1 "$@"; }

# ---- eval
must evaluate --data text.txt --split val --windows 20 >e.out
must evaluate --data text.txt --split val --windows 20 --json >e.json
for key in val_loss val_loss_stderr val_bpb floor_bpb; do
    check "eval --split val: $key as in training" equal "$(json $key e.json)" \
        "$(json $key run/summary.json)"
done
check "perplexity is exp of the loss" close_to "$(value perplexity e.out)" \
    "$(awk -v l="$(value val_loss e.out)" 'BEGIN { print exp(l) }')" 1e-2
check "tokens" equal "$(value tokens e.out)" 640
check "windows" equal "$(value windows e.out)" 20
for key in val_loss val_loss_stderr val_bpb floor_bpb tokens bytes windows; do
    check "--json: $key" close_to "$(json $key e.json)" "$(value $key e.out)" 6e-5
done
check "--json: perplexity" close_to "$(json perplexity e.json)" "$(value perplexity e.out)" 6e-3
must evaluate --data text.txt --split val --windows 20 --batch 3 >e2.out
check "the batch does not matter" same e.out e2.out
must evaluate --data text.txt >all.out
check "all of the text, every window" equal "$(value windows all.out)" \
    "$(awk -v n="$("$DUET" tokenize --tokenizer byte \
    text.txt --out text.shard --json | sed 's/.*"tokens":\([0-9]*\).*/\1/')" \
    'BEGIN { print int((n - 1) / 32) }')"
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
check "--seq: shorter windows, higher loss" awk -v a="$(value val_loss short.out)" \
    -v b="$(value val_loss all.out)" \
    'BEGIN { exit !(a > b) }'
must evaluate --data text.txt --split val --val-fraction 0.5 >half.out
check "--val-fraction" awk -v a="$(value windows half.out)" -v b="$(value windows all.out)" \
    'BEGIN { exit !(a > 0.4 * b && a < 0.6 * b) }'
for type in f32 bf16; do must evaluate --data text.txt --compute $type --json >$type.json; done
check "--compute bf16: near, but not the same" close_to "$(json val_loss bf16.json)" \
    "$(json val_loss f32.json)" 0.05
check "--compute bf16: another number" [ "$(json val_loss bf16.json)" != "$(json val_loss f32.json)" ]
must evaluate --data text.txt --set duet.logit_softcap=1 >cap.out
check "--set changes the function" differ cap.out all.out

# ---- compacted vocabulary: saved whole
must train compact --steps 40 --lr 5e-3 --val-windows 20 --compact-vocab --full-vocab-loss
must "$DUET" eval compact/model.blzt --data text.txt --split val --windows 20 --quiet --threads 1 \
    >c.out
check "a compacted run's model scores over the full vocabulary as --full-vocab-loss says" \
    equal "$(value val_loss c.out)" "$(printf %.4f "$(json val_loss_full compact/summary.json)")"
check "over the tokens that occur the loss is lower" awk -v a="$(value val_loss compact.out)" \
    -v b="$(value val_loss c.out)" \
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
check "past the training length" [ "$(wc -c <long)" -eq 216 ]
must gen --prompt "$(head -c 300 plain.txt | tr '\n' ' ')" --tokens 20 --temperature 0 \
    --ignore-eos >longer 2>longer.err
check "a prompt longer than the training length" [ "$(wc -c <longer)" -eq 320 ]
check "which is said" says longer.err 'longer than the 32 tokens that the model was last trained at'
must gen --prompt 'Once upon a time' --tokens 30 --temperature 0 --context 64 --ignore-eos --quiet \
    >wide
must gen --prompt 'Once upon a time' --tokens 30 --temperature 0 --context 256 --ignore-eos \
    --quiet >wider
check "the size of the cache does not matter while it lasts" same wide wider
must gen --prompt "$(printf 'caf\303\251 \360\237\230\200')" --tokens 5 --temperature 0 \
    --ignore-eos --quiet >utf8
check "a prompt of any UTF-8" [ "$(head -c 10 utf8 | od -An -tx1 | tr -d ' \n')" \
    = "636166c3a920f09f9880" ]


# ---- the context: max_position_embeddings (512 here), a prompt fits or is refused, the end is said
head -c 513 plain.txt | tr '\n' ' ' >p513
refuses "a prompt longer than the context" 1 'the prompt has 513 tokens, the context only 512' \
    gen --prompt "$(cat p513)" --tokens 5
refuses "a prompt longer than --context" 1 'the prompt has 16 tokens, the context only 15 of the model.s 512' \
    gen --prompt 'Once upon a time' --tokens 5 --context 15
refuses "--context beyond the model's" 2 'a context of 513 tokens is more than the model.s 512' \
    gen --prompt 'Once' --tokens 5 --context 513
must gen --prompt "$(head -c 510 p513)" --tokens 9 --temperature 0 --ignore-eos >full 2>full.err
check "text stops where the context is full" [ "$(wc -c <full)" -eq 513 ]
check "and says so" says full.err '; context full'
must gen --prompt "$(head -c 510 p513)" --tokens 9 --temperature 0 --ignore-eos --context-shift \
    >shift 2>shift.err
check "--context-shift goes on" [ "$(wc -c <shift)" -eq 519 ]
check "with the same text until then" [ "$(cat full)" = "$(head -c 513 shift)" ]
check "and says so" says shift.err \
    'the older half of the context was forgotten 1 time;\|forgotten 1 time\]'

# ---- the seed of the clock is printed, before the text, and gives it again
must gen --prompt 'The dog' --tokens 40 >c1 2>c1.err
check "the seed is the first that is printed" [ "$(sed -n 's/^seed [0-9]*$/seed/p;q' c1.err)" = seed ]
must gen --prompt 'The dog' --tokens 40 --seed "$(sed -n 's/^seed //p' c1.err)" >c2 2>c2.err
check "it repeats the text" same c1 c2
check "a seed that was given is not printed" [ -z "$(grep seed c2.err)" ]
check "nor one that nothing was drawn with" [ -z "$(grep seed g1.err)" ]

# ---- where the prompt comes from
must gen 'The dog' --tokens 40 --seed 5 --quiet >p1
check "a prompt behind the model" same s1 p1
printf 'The dog' >prompt.txt
printf 'The dog\n' >prompt-lf.txt
printf 'The dog\r\n' >prompt-crlf.txt
for f in prompt.txt prompt-lf.txt prompt-crlf.txt; do
    must gen --prompt-file $f --tokens 40 --seed 5 --quiet >p1
    check "--prompt-file $f: one line break at the end is the file's" same s1 p1
done
must gen --prompt-file - --tokens 40 --seed 5 --quiet <prompt-lf.txt >p1
check "--prompt-file -: standard input" same s1 p1
must gen - --tokens 40 --seed 5 --quiet <prompt-lf.txt >p1
check "-: standard input" same s1 p1
must gzip -k prompt-lf.txt
must gen --prompt-file prompt-lf.txt.gz --tokens 40 --seed 5 --quiet >p1
check "a compressed one" same s1 p1
printf 'a\n\n' >two.txt
must gen --prompt-file two.txt --tokens 1 --temperature 0 --ignore-eos --quiet >p1
check "a second line break is the prompt's" [ "$(head -c 2 p1 | od -An -tx1 | tr -d ' ')" = 610a ]
check "and nothing else" [ "$(wc -c <p1)" -eq 3 ]
printf 'a\000b' >nul.txt
must gen --prompt-file nul.txt --tokens 2 --temperature 0 --ignore-eos --quiet >p1
check "a NUL is a byte like any other" [ "$(head -c 3 p1 | od -An -tx1 | tr -d ' ')" = 610062 ]
check "and counts" [ "$(wc -c <p1)" -eq 5 ]
: >empty.txt
must gen --prompt-file empty.txt --tokens 8 --temperature 0 --quiet --ignore-eos >p1
check "an empty file is no prompt" same empty.out p1
refuses "no such file" 1 'cannot open gone.txt' gen --prompt-file gone.txt
refuses "two prompts" 2 'the prompt is given twice' gen a --prompt b
refuses "a file and a prompt" 2 'the prompt is given twice' gen a --prompt-file prompt.txt
refuses "a prompt without quotes" 2 'a prompt of several words is one argument in quotes' gen \
    Once upon a time
refuses "no model" 2 'takes a model and a prompt, found neither' "$DUET" generate
head -c 513 plain.txt >p513.txt
refuses "a file longer than the context" 1 'the prompt has 513 tokens, the context only 512' \
    gen --prompt-file p513.txt --tokens 5

# ---- several texts: each with a seed of its own, and the same alone
must gen 'The dog' --tokens 40 --seed 5 -n 3 --quiet >n3
for i in 5 6 7; do
    must gen 'The dog' --tokens 40 --seed $i --quiet >n3.$i
    printf '=== %s of 3, seed %s\n' $((i - 4)) $i
    cat n3.$i
    [ $i = 7 ] && echo || printf '\n\n'
done >n3.want
check "-n 3: three texts under their seeds" same n3.want n3
check "they differ" differ n3.5 n3.6
must gen 'The dog' --tokens 40 --seed 6 --samples 2 --quiet >n2
check "--samples: from another seed on" [ "$(sed -n 2p n2)" = "$(sed -n 1p n3.6)" ]
refuses "the same text many times" 2 'would all be the same text' gen a -n 2 --temperature 0
refuses "no samples" 2 'samples is 0' gen a --samples 0

# ---- stop texts, within a token or over several, and none of it is printed
stop=$(head -c 19 g1 | tail -c 4)
must gen 'The dog' --tokens 20 --temperature 0 --ignore-eos --stop "$stop" >stop.out 2>stop.err
n=$(wc -c <stop.out)
head -c "$n" g1 >stop.want
check "--stop: the text is a beginning of it" same stop.want stop.out
check "that ends before the stop" [ "$(tail -c +$((n + 1)) g1 | head -c 4)" = "$stop" ]
check "the first there is" [ "$n" -ge 7 -a "$n" -le 15 ]
check "and says so" says stop.err '; stop text'
must gen 'The dog' --tokens 20 --temperature 0 --ignore-eos --stop zzzz --stop "$stop" --quiet \
    >stop.out
check "one of several" same stop.want stop.out
must gen 'The dog' --tokens 20 --temperature 0 --ignore-eos --stop zzzz --quiet >stop.out
check "one that does not come" same g1 stop.out
must gen 'The dog' --tokens 20 --temperature 0 --ignore-eos --stop 'The dog' --quiet >stop.out
check "one in the prompt alone" [ "$(head -c 7 stop.out)" = 'The dog' ]
half=$(tail -c 2 g1)
must gen 'The dog' --tokens 20 --temperature 0 --ignore-eos --stop "${half}zzz" --quiet >stop.out
check "one that only began is text" same g1 stop.out
refuses "an empty one" 2 'stop is empty' gen a --stop ''

# ---- repetition
must gen 'The dog' --tokens 20 --temperature 0 --ignore-eos --repetition-penalty 1 --quiet >r1
check "--repetition-penalty 1 is off" same g1 r1
must gen 'The dog' --tokens 40 --temperature 0 --ignore-eos --repetition-penalty 1000 --quiet >r2
distinct() { od -An -v -tx1 -w1 "$1" | sort -u | wc -l; }
must gen 'The dog' --tokens 40 --temperature 0 --ignore-eos --quiet >r3
check "a large one: hardly a byte comes twice" [ "$(distinct r2)" -gt "$(($(distinct r3) + 15))" ]
must gen 'The dog' --tokens 40 --temperature 0 --ignore-eos --repetition-penalty 1000 \
    --repeat-last 1 --quiet >r4
check "--repeat-last 1: never one after itself" [ -z "$(tail -c +7 r4 | grep '\(.\)\1')" ]
check "but again later" differ r2 r4
refuses "--repeat-last alone" 2 'no effect without --repetition-penalty' gen a --repeat-last 3
refuses "--repetition-penalty 0" 2 'repetition-penalty is 0' gen a --repetition-penalty 0

# ---- JSON
must gen 'The dog' --tokens 40 --seed 5 -n 2 --json --quiet >j.out
if command -v python3 >tool 2>&1; then
    must python3 - >j.err <<END
import json
j = json.load(open("j.out"))
want = [open("n3.5").read()[7:], open("n3.6").read()[7:]]
assert j["prompt"] == "The dog" and j["prompt_tokens"] == 7, j
assert [s["text"] for s in j["samples"]] == want, (j, want)
assert [s["seed"] for s in j["samples"]] == [5, 6]
for s in j["samples"]:
    assert s["finish_reason"] in ("length", "eos"), s
    assert s["finish_reason"] == "eos" or s["tokens"] == 40
    assert s["ms"] > 0 and abs(s["tokens_per_second"] - 1e3 * s["tokens"] / s["ms"]) < 1
END
    ok "--json: texts, seeds, sizes"
else
    skip "--json: texts, seeds, sizes" "no python3"
fi
reason() { gen "$@" --json --quiet --temperature 0 >reason.out && json finish_reason reason.out; }
check "finish_reason length" equal "$(reason a --tokens 3 --ignore-eos)" length
check "finish_reason context" equal "$(reason "$(head -c 510 p513)" --tokens 9 --ignore-eos)" \
    context
check "finish_reason stop" equal "$(reason 'The dog' --tokens 20 --ignore-eos --stop "$stop")" stop
must gen --prompt-file nul.txt --tokens 2 --json --quiet >j.out
check "a NUL as JSON" says j.out '"prompt": "a.u0000b"'
check "--json: the clock's seed is in it" [ -n "$(json seed j.out)" ]

# ---- whole characters: byte tokens of Chinese text
awk 'BEGIN { for (i = 0; i < 300; i++) printf "\344\275\240\345\245\275\344\270\226\347\225\214\n" }' >zh.txt
must "$DUET" train $TINY --data zh.txt --out zh --steps 80 --lr 1e-2 >zh.out 2>zh.err
utf8() { iconv -f UTF-8 -t UTF-16 "$1" >utf16.out; }
for n in 3 4 5; do
    must "$DUET" generate zh/model.blzt --prompt "$(head -c 6 zh.txt)" --tokens $n --temperature 0 \
        --threads 1 >zh$n 2>zh$n.err
    check "$n byte tokens: UTF-8" utf8 zh$n
done
check "three bytes are a character" [ "$(cat zh3)" = "$(head -c 9 zh.txt)" ]
check "which is said to be whole" [ -z "$(grep 'no character' zh3.err)" ]
check "one more is an incomplete one: U+FFFD" [ "$(cat zh4)" \
    = "$(head -c 9 zh.txt)$(printf '\357\277\275')" ]
check "so are two" [ "$(cat zh5)" = "$(cat zh4)" ]
check "which is said" says zh5.err '; 1 U+FFFD in place of bytes that are no character'

# ---- a weight that is no number, or too large: an error that names it
must "$DUET" convert run/model.blzt ok.gguf --dtype f32 >conv.out 2>conv.err
evil() { # FILE BYTES: the last number of the file replaced
    cp ok.gguf "$1" && printf "$2" | dd of="$1" bs=1 seek=$(($(wc -c <ok.gguf) - 4)) conv=notrunc \
        2>dd.err
}
must evil nan.gguf '\000\000\300\177'
must evil inf.gguf '\000\000\200\177'
printf 'label\tsentence\n0\tbad\n1\tgood\n' >task.tsv
head -c 65 text.txt >short.txt
for what in nan inf; do
    said=NaN
    [ $what = inf ] && said=infinity
    refuses "$what: eval" 1 "tensor .* holds $said at \[" "$DUET" eval $what.gguf --data text.txt \
        --quiet
    refuses "$what: generate" 1 "tensor .* holds $said at \[" "$DUET" generate $what.gguf \
        --prompt 'The dog' --quiet
    refuses "$what: eval --exact" 1 "document 1, from byte 0 on: .* tensor .* holds $said at \[" \
        "$DUET" eval $what.gguf --data text.txt --exact --quiet
    refuses "$what: eval --logits" 1 "tensor .* holds $said at \[" "$DUET" eval $what.gguf \
        --data short.txt --logits $what.f32
    check "$what: eval --logits writes nothing" absent $what.f32
    refuses "$what: eval --task" 1 "tensor .* holds $said at \[" "$DUET" eval $what.gguf --quiet \
        --task task.tsv --template '{sentence} It was' --labels 'b,g'
done

# ---- logits: what eval --logits writes has the loss that eval computes
must "$DUET" tokenize --tokenizer byte short.txt --out short.shard --quiet 2>/dev/null
must "$DUET" eval $MODEL --data short.shard --seq 64 --logits logits.f32 --quiet
must "$DUET" eval $MODEL --data short.shard --seq 64 --quiet >short.out
{ od -An -v -tu1 -w1 short.txt; od -An -v -tf4 -w4 logits.f32; } |
    awk 'NR <= 65 { id[NR - 1] = $1; next }
    { x[n++] = $1 } END { v = n / 64; for (t = 0; t < 64; t++) { s = 0; for (i = 0; i < v; i++) s += exp(x[t * v + i]);
    nll += log(s) - x[t * v + id[t + 1]] } printf "%.6f\n", nll / 64 }' >nll
check "--logits: they give the loss" close_to "$(cat nll)" "$(value val_loss short.out)" 1e-4
refuses "--logits with --windows" 2 'no effect on --logits' "$DUET" eval $MODEL --data short.shard \
    --logits x --windows 2
refuses "--logits with --task" 2 'no effect on --task' "$DUET" eval $MODEL --task x --template x \
    --labels a --logits x

# ---- end of text
awk 'BEGIN { for (i = 0; i < 400; i++) print "ab cd.\n<|endoftext|>" }' >ends.txt
must "$DUET" train $TINY --data ends.txt --out ends --steps 120 --lr 1e-2 >ends.out 2>ends.err
MODEL=ends/model.blzt
must gen --prompt 'ab' --tokens 100 --temperature 0 >e1 2>e1.err
check "generation stops at the end of the text" [ "$(cat e1)" = "ab cd." ]
check "and says so" says e1.err 'end of text'
check "the end token is not printed" [ "$(tail -c 1 e1 | od -An -tx1 | tr -d ' ')" = 0a ]
must gen --prompt 'ab' --tokens 100 --temperature 0 --ignore-eos --quiet >e2
check "finish_reason eos" equal "$(reason ab --tokens 100)" eos
check "--ignore-eos goes on" [ "$(grep -c 'ab cd' e2)" -gt 5 ]
# ---- terminals: nothing that a model or a prompt says drives one
ESCAPE=$(printf 'a\033[31mb')
gen_escape() { "$DUET" generate $MODEL --prompt "$ESCAPE" --tokens 1 --temperature 0 --threads 1 \
    --quiet; }
gen_escape >escape.out
check "a file gets the bytes" grep -qF "$ESCAPE" escape.out
if script -qec true /dev/null >script.out 2>&1; then
    cat >shown.sh <<END
"$DUET" generate $MODEL --prompt "$ESCAPE" --tokens 1 --temperature 0 --threads 1 --quiet
"$DUET" tokenizer decode --tokenizer byte 0 99 27 100
END
    script -qec "sh shown.sh" /dev/null >shown.out 2>&1 </dev/null
    check "generate: a terminal gets a word for a control character" grep -qF 'a\x1b[31mb' shown.out
    check "tokenizer decode: so too" grep -qF '\x00c\x1bd' shown.out
else
    skip "a terminal gets a word for a control character" "no script(1) that makes one"
fi
finish
