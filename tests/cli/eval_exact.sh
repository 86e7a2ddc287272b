#!/bin/sh
# `duet eval --exact`: every byte of every document once, in figures that pair between models,
# tokenizers, formats and lengths.
. "$(dirname "$0")/lib.sh"
stories 40000 3 >text.txt
must train run --steps 40 --lr 5e-3 --set intermediate_size=64
must train more --steps 80 --lr 5e-3 --set intermediate_size=64
stories 6000 9 >held.txt
MODEL=run/model.blzt
exact() { "$DUET" eval "$MODEL" --data held.txt --exact --quiet "$@"; }
bytes=$(awk 'BEGIN { RS = "<\\|endoftext\\|>" } { sub(/<\|corpus\|>.*/, ""); gsub(/^[ \n]+|[ \n]+$/, ""); n += length($0) } END { print n }' held.txt)
docs=$(grep -c 'endoftext' held.txt)

must exact --out a.tsv >a.out
check "every document" equal "$(value documents a.out)" "$docs"
check "every byte of them, without the white space around" equal "$(value bytes a.out)" "$bytes"
check "byte tokens: one each" equal "$(value tokens a.out)" "$bytes"
check "the start token" equal "$(value start_token a.out)" '<|endoftext|>'
check "the context is the model's" equal "$(value context a.out)" 512
check "a line a document and a heading" [ "$(wc -l <a.tsv)" -eq $((docs + 1)) ]
check "the file's sum" close_to "$(awk 'NR > 1 { s += $6 } END { printf "%.6f", s }' a.tsv)" \
    "$(value nats a.out)" 2e-5
check "its bytes" equal "$(awk 'NR > 1 { s += $3 } END { print s }' a.tsv)" "$bytes"
check "bits per byte" close_to "$(value bits_per_byte a.out)" \
    "$(awk -v n="$(value nats a.out)" -v b="$bytes" 'BEGIN { print n / log(2) / b }')" 1e-5
check "their error over documents" close_to "$(value bits_per_byte_stderr a.out)" \
    "$(awk 'NR > 1 { x[++n] = $6; b[n] = $3; sx += $6; sb += $3 }
    END { for (i = 1; i <= n; i++) { d = x[i] - sx / sb * b[i]; s += d * d } print sqrt(n / (n - 1) * s) / sb / log(2) }' a.tsv)" 1e-5
i=2
while [ $i -le 4 ]; do # the documents stand where the file says
    set -- $(sed -n "${i}p" a.tsv)
    tail -c +$(($2 + 1)) held.txt | head -c "$3" >doc.txt
    check "document $1 begins with a letter and ends with a mark" grep -q '^[A-Z"]' doc.txt
    check "and its mark of the end follows" \
        [ "$(tail -c +$(($2 + $3 + 1)) held.txt | tr -d '\n' | head -c 13)" = '<|endoftext|>' ]
    i=$((i + 1))
done

# ---- what does not matter
must exact --threads 1 --out t1.tsv >t1.out
must exact --threads 3 --out t3.tsv >t3.out
check "threads do not matter" same t1.tsv t3.tsv
must exact --json >a.json
for key in nats bits_per_byte bits_per_byte_stderr documents bytes tokens context; do
    check "--json: $key" close_to "$(json $key a.json)" "$(value $key a.out)" 6e-7
done
must "$DUET" convert $MODEL run.gguf --dtype f32 >conv.out 2>conv.err
must "$DUET" eval run.gguf --data held.txt --exact --quiet --out gguf.tsv >gguf.out
check "a GGUF of the same weights: the same file" same a.tsv gguf.tsv
must "$DUET" eval $MODEL --data - --exact --quiet --out pipe.tsv <held.txt >pipe.out
check "standard input gives what the file gives" same a.tsv pipe.tsv

# ---- what does
must exact --seq 64 --out short.tsv >short.out
check "a shorter context: more nats" awk -v a="$(value nats a.out)" -v b="$(value nats short.out)" \
    'BEGIN { exit !(b != a) }'
check "of the same bytes" equal "$(value bytes short.out)" "$bytes"
must exact --weights q8_0 >q8.out
check "--weights q8_0: near, but not the same" close_to "$(value bits_per_byte q8.out)" \
    "$(value bits_per_byte a.out)" 0.02
check "--weights q8_0: another number" differ q8.out a.out
must "$DUET" eval $MODEL --data held.txt --exact 2>note.err >note.out
check "positions that training never reached are said" says note.err \
    'last trained at 32; --seq 32 keeps to that'

# ---- pairs
must "$DUET" eval more/model.blzt --data held.txt --exact --quiet --paired a.tsv --out b.tsv >b.out
check "the paired difference" close_to "$(value paired_nats b.out)" \
    "$(awk -v a="$(value nats a.out)" -v b="$(value nats b.out)" \
    'BEGIN { printf "%.6f", b - a }')" 1e-5
check "its error is that of the pairs" close_to "$(value paired_bits_per_byte_stderr b.out)" \
    "$(paste a.tsv b.tsv | awk 'NR > 1 { x[++n] = $13 - $6; b[n] = $3
    sx += x[n]; sb += $3 } END { for (i = 1; i <= n; i++) { d = x[i] - sx / sb * b[i]; s += d * d } print sqrt(n / (n - 1) * s) / sb / log(2) }')" 1e-6
check "documents that became better" equal "$(value documents_better b.out)" \
    "$(paste a.tsv b.tsv | awk 'NR > 1 && $13 < $6' | wc -l | tr -d ' ')"
must exact --paired a.tsv >self.out
check "with itself: 0" equal \
    "$(value paired_nats self.out) $(value paired_bits_per_byte_stderr self.out)" \
    "0.000000 0.000000"
sed 's/the/tha/' held.txt >other.txt
must "$DUET" eval $MODEL --data other.txt --exact --quiet --out other.tsv >other.out
refuses "other documents" 1 'other.tsv: document [0-9]* is another text' exact --paired other.tsv
refuses "no such file" 1 'nothing.tsv' exact --paired nothing.tsv
refuses "not such a file" 1 'another first line' exact --paired text.txt

awk -F '\t' -v OFS='\t' 'NR == 3 { $6 = -$6 } { print }' a.tsv >negative.tsv
refuses "negative nats" 1 'negative.tsv: line 3 is not document 2' exact --paired negative.tsv

# ---- another tokenizer, the same bytes
must "$DUET" tokenizer train --vocab 400 --out bpe.json text.txt >tok.out 2>tok.err
must "$DUET" train $SHAPE --tokenizer bpe.json --seq 32 --batch 4 --threads 1 --quiet \
    --data text.txt --steps 40 --out bpe >bpe.out 2>bpe.err
must "$DUET" eval bpe/model.blzt --data held.txt --exact --quiet --paired a.tsv --out bpe.tsv \
    >bpe.eval
check "two tokenizers: the same bytes" equal "$(value bytes bpe.eval)" "$bytes"
check "fewer tokens" [ "$(value tokens bpe.eval)" -lt "$bytes" ]
check "columns of documents are equal" [ "$(cut -f1-4 a.tsv)" = "$(cut -f1-4 bpe.tsv)" ]

check "no byte is lost" equal "$(value lost_bytes a.out) $(value lost_bytes bpe.eval)" "0 0"

# ---- a tokenizer that drops every "the": they cost nothing, which is said
split='{"type": "Split", "pattern": {"String": "the"}, "behavior": "Removed", "invert": false}'
sed -e 's/"pre_tokenizer": {/"pre_tokenizer": {"type": "Sequence", "pretokenizers": ['"$split"', {/' \
    -e '/"pre_tokenizer"/,/^  },/s/^  },/  }]},/' bpe.json >lossy.json
must "$DUET" train $SHAPE --tokenizer lossy.json --seq 32 --batch 4 --threads 1 --quiet \
    --data text.txt --steps 2 --out lossy >l.out 2>l.err
must "$DUET" eval lossy/model.blzt --data held.txt --exact --quiet --out lossy.tsv >lossy.out \
    2>lossy.err
lost=$(($(awk 'BEGIN { RS = "<\\|endoftext\\|>" } { sub(/<\|corpus\|>.*/, ""); n += gsub(/the/, "") } END { print n }' held.txt) * 3))
check "lost bytes are counted" [ "$lost" -gt 0 ]
check "each of them" equal "$(value lost_bytes lossy.out)" "$lost"
check "in each document" equal "$(awk 'NR > 1 { n += $7 } END { print n }' lossy.tsv)" "$lost"
check "of the same bytes" equal "$(value bytes lossy.out)" "$bytes"
check "which is said" says lossy.err \
    "warning: the tokenizer has no tokens for $lost of the $bytes bytes"
refuses "they do not pair" 1 'a.tsv: document [0-9]*: .*losses of other bytes do not pair' \
    "$DUET" eval lossy/model.blzt --data held.txt --exact --paired a.tsv
refuses "nor the other way" 1 'losses of other bytes do not pair' exact --paired lossy.tsv
must "$DUET" eval lossy/model.blzt --data held.txt --exact --quiet --paired lossy.tsv >self.out \
    2>self.err
check "with its own kind they do" equal "$(value paired_nats self.out)" "0.000000"

# ---- corpora joined byte by byte: the trailer inside is text, which is said
must stories 3000 21 >one.txt
must stories 3000 22 >two.txt
cat one.txt two.txt >joined.txt
must "$DUET" eval $MODEL --data one.txt --data two.txt --exact --quiet >apart.out 2>apart.err
must "$DUET" eval $MODEL --data joined.txt --exact --quiet >joined.out 2>joined.err
check "files of their own: nothing to say" sh -c '! grep -q trailer apart.err'
check "joined: a note" says joined.err 'note: 1 trailer of built-in corpora inside the text is'
check "the line is in its bytes" equal "$(value bytes joined.out)" \
    $(($(value bytes apart.out) + $(tail -1 one.txt | wc -c)))
must "$DUET" eval $MODEL --data one.txt --data two.txt --seq 32 --quiet >apart.out 2>apart.err
must "$DUET" eval $MODEL --data joined.txt --seq 32 --quiet >joined.out 2>joined.err
check "eval of files of their own: a floor" says apart.out '^floor_bpb: *[0-9]'
check "eval joined: none, and a note" sh -c \
    '! grep -q floor joined.out && grep -q "joined.txt: 1 trailer .* floor_bpb is not known; give" joined.err'

# ---- an adapter
must "$DUET" train --lora 4 --init $MODEL --data text.txt --lr 1e-2 --batch 4 --seq 32 --steps 20 \
    --out lora --quiet >l.out 2>l.err
must exact --adapter lora/adapter.blzt --paired a.tsv >lora.out
check "--adapter counts" differ lora.out a.out
must exact --adapter lora/adapter.blzt --adapter-scale 0 --paired a.tsv >zero.out
check "and at scale 0 does not" close_to "$(value paired_nats zero.out)" 0 1e-4

# ---- what makes no sense
must "$DUET" tokenize --tokenizer byte held.txt --out held.shard --quiet 2>/dev/null
refuses "a shard" 1 'held.shard is a shard; --exact needs the text' "$DUET" eval $MODEL \
    --data held.shard --exact
printf '\n<|endoftext|>\n' >empty.txt
refuses "no document" 1 'empty.txt holds no text' "$DUET" eval $MODEL --data empty.txt --exact
refuses "a context beyond the model's" 2 'a context of 600 tokens: expected 2 to the model.s 512' \
    exact --seq 600
refuses "no data" 2 'give the data' "$DUET" eval $MODEL --exact
for option in "--split val" "--windows 3" "--batch 2" "--val-fraction 0.2" "--format raw16" \
    "--logits x" "--task x"; do
    refuses "$option" 2 'has no effect on --exact' exact $option
done
refuses "--out without --exact" 2 '\-\-out belongs to --exact' "$DUET" eval $MODEL --data held.txt \
    --out x
refuses "--paired without --exact" 2 '\-\-paired belongs to --exact' "$DUET" eval $MODEL \
    --data held.txt --paired a.tsv
finish
