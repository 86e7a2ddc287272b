#!/bin/sh
# Tokenizers that do not belong to a model, tokenizers inside of model files, special tokens in
# prompts, and whose vocabulary a new model gets.
. "$(dirname "$0")/lib.sh"
must stories 60000 3 >text.txt
must stories 60000 99 | tr 'aeiou' 'oieau' >other.txt
for t in text other; do must "$DUET" tokenizer train --quiet --vocab 300 --out $t.json $t.txt; done
cat >small.json <<'J'
{"model_type": "llama", "vocab_size": 280, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
 "num_key_value_heads": 1, "max_position_embeddings": 64, "tie_word_embeddings": true, "duet": {"seq_len": 32}}
J
train() { "$DUET" train --steps 2 --batch 2 "$@" >out 2>err; }
says() { grep -qF -- "$1" "$2" || { cat "$2"; false; }; }
fails() { # STATUS SENTENCE COMMAND...
    want=$1 sentence=$2
    shift 2
    "$@" >out 2>err
    [ $? -eq "$want" ] && says "$sentence" err
}
hash_of() { "$DUET" tokenizer info --tokenizer "$1" | sed -n 's/^hash: //p'; }

check "a new model gets the tokenizer's vocabulary, larger as well" train --model small.json \
    --data text.txt --tokenizer text.json --out run
check "that is said" says \
    "the tokenizer decides the vocabulary: 300 tokens, not the 280 of small.json" err
check "--set vocab_size is kept" fails 1 \
    "the tokenizer has 300 tokens, but the model's vocabulary only 290: they do not belong together" \
    "$DUET" train --steps 2 --batch 2 --model small.json --set vocab_size=290 --data text.txt \
    --tokenizer text.json --out no
check "larger than the tokenizer too" train --model small.json --set vocab_size=310 \
    --data text.txt --tokenizer text.json --out run310
check "without a word" sh -c '! grep -q decides err'

# the number is of what a tokenizer computes: through a GGUF and a folder
model=run/model.blzt
must "$DUET" convert $model m.gguf >out
must "$DUET" convert m.gguf folder/ >out
number=$(hash_of text.json)
for file in $model m.gguf folder; do check "$file has the tokenizer's number" test \
    "$(hash_of $file)" = "$number"; done
must "$DUET" tokenize --tokenizer text.json --out text.shard text.txt >out 2>&1
check "a GGUF made by duet takes the shard of its tokenizer" "$DUET" eval m.gguf --data text.shard \
    --windows 2 --quiet
check "encode takes a model file" sh \
    -c "'$DUET' tokenizer encode --tokenizer m.gguf --text 'a boy' >a && '$DUET' tokenizer encode --tokenizer text.json --text 'a boy' >b && cmp a b"
check "convert takes one too" "$DUET" tokenizer convert m.gguf --out again.json
check "it is the same" test "$(hash_of again.json)" = "$number"
must "$DUET" convert $model bare.gguf --tokenizer none >out
check "a model file without one is named" fails 1 "bare.gguf: a model file without a tokenizer" \
    "$DUET" tokenizer info --tokenizer bare.gguf

# another one of the same size is an error with both numbers, wherever it meets the model
other=$(hash_of other.json)
check "the other number is another" test "$other" != "$number"
sentence="the model's own tokenizer is another one (its hash is $number, this one's $other)"
check "eval --tokenizer" fails 1 "$sentence" "$DUET" eval $model --data text.txt \
    --tokenizer other.json --quiet
check "eval --exact --tokenizer" fails 1 "$sentence" "$DUET" eval $model --exact --data text.txt \
    --tokenizer other.json --quiet
check "audit --tokenizer" fails 1 "$sentence" "$DUET" audit $model --data text.txt \
    --tokenizer other.json --quiet --batch 1
check "generate --tokenizer" fails 1 "$sentence" "$DUET" generate $model --prompt a \
    --tokenizer other.json
check "train --init --tokenizer" fails 1 "$sentence" "$DUET" train --steps 2 --init $model \
    --data text.txt --tokenizer other.json --out no
check "nothing is begun" absent no
check "convert --tokenizer" fails 1 "$sentence" "$DUET" convert $model no.gguf \
    --tokenizer other.json
check "nothing is written" absent no.gguf
check "a shard of the other" fails 1 "was made by another tokenizer" sh \
    -c "'$DUET' tokenize --tokenizer other.json --out o.shard text.txt && '$DUET' eval $model --data o.shard"
must "$DUET" convert $model bare.blzt --to blzt5 --tokenizer none >out
check "convert, when the own one was taken away" "$DUET" convert bare.blzt given.gguf \
    --tokenizer other.json
check "the same tokenizer from another file is none of that" "$DUET" generate $model --prompt a \
    --tokens 2 --tokenizer again.json
must "$DUET" tokenizer train --quiet --vocab 320 --out large.json text.txt
for c in "eval $model --data text.txt" "generate $model --prompt a" "convert $model no.gguf"; do
    check "too large: ${c%% *}" fails 1 \
        "the tokenizer has 320 tokens, but the model's vocabulary only 300: they do not belong together" "$DUET" $c --tokenizer large.json
done

# a vocabulary that cannot be used: why is said; only numbers need none
spoil() { # FILE FROM TO: of m.gguf
    LC_ALL=C sed "s/$2/$3/" m.gguf >"$1"
    must differ "$1" m.gguf
}
size2='\x02\x00\x00\x00\x00\x00\x00\x00'
spoil nul.gguf "${size2}he" "${size2}h\\x00"
spoil merge.gguf 'h e' 'h Q'
spoil pre.gguf 'gpt-2' 'gpt-x'
head -c 4000 /dev/zero >raw.bin
printf 'a\tlabel\nb\t0\nc\t1\n' >task.tsv
for c in "nul:has a NUL byte" "merge:is not in model.vocab" \
    'pre:pre-tokenizer "gpt-x" is not one that duet knows'; do
    file=${c%%:*}.gguf why=${c#*:}
    for data in text.txt text.shard; do
        for command in "eval $file" "audit $file --batch 1" "plan --init $file" \
            "train --init $file --steps 1 --out no"; do
            check "$command --data $data: why" fails 1 "$why" "$DUET" $command --data $data
            check "and what to do" says "; give another one with --tokenizer" err
        done
    done
    for command in plan "train --steps 1 --out no"; do
        check "$command --task: why" fails 1 "$why" "$DUET" $command --init $file --task task.tsv \
            --template '{a}:' --labels x,y
    done
    check "$file: another tokenizer" "$DUET" eval $file --data text.txt --tokenizer text.json \
        --quiet
    check "$file: numbers" train --init $file --data raw.bin --format raw16 --out ${file%.gguf}
    check "that its tokenizer is left out is said" says \
        "$why" err
    check "once" equal 1 "$(grep -c '; the tokenizer is left out$' err)"
    check "$file: numbers are evaluated" "$DUET" eval $file --data raw.bin --format raw16
done
train --init m.gguf --data raw.bin --format raw16 --out raw
check "of one that can be used nothing" sh -c '! grep "left out" err'
LC_ALL=C sed '0,/\x00llama/s//\x00llamb/' m.gguf >other.gguf
check "architectures in a sentence" fails 1 '"llamb"; duet knows llama, qwen2, qwen3 and arcee' \
    "$DUET" info other.gguf

# special tokens in a prompt are text unless asked for
check "a prompt is text" "$DUET" generate $model --prompt '<|endoftext|>a' --tokens 1 \
    --temperature 0
"$DUET" generate $model --prompt '<|endoftext|>a' --tokens 1 --temperature 0 >plain 2>plain.err
"$DUET" generate $model --prompt '<|endoftext|>a' --tokens 1 --temperature 0 --special >special \
    2>special.err
check "that is said" says \
    "note: <|endoftext|> in the prompt is read as text; --special reads it as the token" plain.err
check "with --special it is the token" says "[prompt 2 tokens" special.err
check "then nothing is said" sh \
    -c '! grep -q note special.err && ! grep -q "prompt 2 tokens" plain.err'
finish
