#!/bin/sh
# What is read as text, in every command: compressed, through pipes, with a byte order mark, several
# files and folders, data of its own for validation; and what is refused by name.
. "$(dirname "$0")/lib.sh"
must stories 30000 8 >text.txt
must stories 9000 9 >other.txt
must gzip -k text.txt
mkfifo fifo
must train base --steps 4 --warmup 1
MODEL=base/model.blzt
mark() { printf '\357\273\277'; cat "$1"; }

# ---- one text, stored in any way, gives the same tokens in every command
loss() { "$DUET" eval $MODEL --quiet --threads 1 "$@" 2>eval.err; }
must loss --data text.txt >want.eval
must "$DUET" audit $MODEL --quiet --threads 1 --seeds 8 --batch 2 --seq 16 --data text.txt --json \
    >want.audit
must "$DUET" tokenize --tokenizer byte --out want.shard --quiet text.txt >tok.out 2>&1
must "$DUET" tokenizer train --vocab 300 --out want.json --quiet text.txt
must "$DUET" tokenizer encode --tokenizer byte text.txt >want.ids
mark text.txt >marked.txt
cat >ways.table <<'END'
a file with a mark    | marked.txt  |
gzip                  | text.txt.gz |
standard input        | -           | cat text.txt
gzip by a pipe        | -           | cat text.txt.gz
/dev/stdin            | /dev/stdin  | cat text.txt
a mark by a pipe      | /dev/stdin  | cat marked.txt
a FIFO                | fifo        | cat text.txt
gzip by a FIFO        | fifo        | cat text.txt.gz
END
# way FILE SOURCE COMMAND...: COMMAND with what SOURCE writes as its standard input or in the FIFO
way() {
    w_file=$1 w_source=$2
    shift 2
    case $w_file in
    fifo) $w_source >fifo & ;;
    -|/dev/stdin) $w_source | "$@"; return ;;
    esac
    "$@"
}
while IFS='|' read -r name file source; do
    name=$(echo $name) file=$(echo $file)
    way $file "$source" loss --data $file >got.eval
    check "eval: $name" same want.eval got.eval
    way $file "$source" "$DUET" audit $MODEL --quiet --threads 1 --seeds 8 --batch 2 --seq 16 \
        --data $file --json >got.audit 2>audit.err
    check "audit: $name" same want.audit got.audit
    way $file "$source" "$DUET" tokenize --tokenizer byte --out got.shard --overwrite --quiet $file >tok.out \
        2>&1
    check "tokenize: $name" same want.shard got.shard
    way $file "$source" "$DUET" tokenizer train --vocab 300 --out got.json --overwrite --quiet $file >tok.out \
        2>&1
    check "tokenizer train: $name" same want.json got.json
    way $file "$source" "$DUET" tokenizer encode --tokenizer byte $file >got.ids 2>tok.err
    check "tokenizer encode: $name" same want.ids got.ids
    rm -rf got
    way $file "$source" train got --steps 4 --warmup 1 --data $file
    check "train: $name" same $MODEL got/model.blzt
done <ways.table
if command -v zstd >/dev/null; then
    must zstd -q text.txt
    zstd -qdc text.txt.zst | zstd -q | loss --data - >got.eval
    check "eval: zstd by a pipe" same want.eval got.eval
else
    skip "zstd by a pipe" "no zstd program"
fi
# ---- records with a text in each are no documents, which is said
for i in $(seq 40); do echo "{\"text\": \"the cat $i\"}"; done >lines.jsonl
must "$DUET" tokenize --tokenizer byte lines.jsonl --out lines.shard >tok.out 2>tok.err
check "JSON lines: a note" says tok.err 'note: lines.jsonl: its lines are JSON, which is taken as text'
printf '{"quoted"} words begin a text\n' >braces.txt
must "$DUET" tokenize --tokenizer byte braces.txt --out braces.shard >tok.out 2>tok.err
check "a text with a brace: none" sh -c '! grep note: tok.err'

# A run on a pipe has its tokens in its folder.
check "train - : it goes on without the pipe" sh \
    -c "'$DUET' train --resume got --steps 6 --quiet >resumed.out 2>&1 </dev/null"
cp -r base six
must "$DUET" train --resume six --steps 6 --quiet >six.out 2>&1
check "and is the run of the file" same six/model.blzt got/model.blzt
check "the pipe is named in config.json" grep -q '"data": \["../fifo"\]' got/config.json
cat want.shard >fifo &
refuses "a shard by a pipe" 1 'fifo is a token shard: it is read only as a file given alone' \
    "$DUET" eval $MODEL --data fifo --quiet

# Off a terminal, too, a pipe that has to be waited for shows a line at its start, and its end.
{ head -c 20000 text.txt; sleep 0.3; tail -c +20001 text.txt; } |
    "$DUET" train ${TINY% --quiet} --data - --steps 1 --out slow >slow.out 2>slow.err
check "a slow pipe: progress at once" says slow.err '^tokenizing standard input: 0.0 MB$'
check "and its end" says slow.err '^tokenized standard input: 30,[0-9]* tokens from 0.0 MB in [0-9.]*s$'

# ---- a byte order mark in every other file
mark "$SRC/models/stories260k.json" >model.json
echo '{"lr": 0.002}' >lr.json
mark lr.json >lr-marked.json
must train lr --steps 4 --warmup 1 --config lr.json
must train lr-marked --steps 4 --warmup 1 --config lr-marked.json --model model.json
check "in a description and a config" same lr/model.blzt lr-marked/model.blzt
mark want.json >tok-marked.json
must "$DUET" tokenizer info --tokenizer want.json --json >want.info
must "$DUET" tokenizer info --tokenizer tok-marked.json --json >got.info
check "in a tokenizer" sh \
    -c "sed 's/\"tokenizer\":\"[^\"]*\"//' want.info >a; sed 's/\"tokenizer\":\"[^\"]*\"//' got.info >b; cmp a b"
must train bpe --steps 1 --tokenizer want.json
must "$DUET" convert bpe/model.blzt hf/ >hf.out
mkdir hf-marked
for f in hf/*; do
    case $f in
    *.json|*.txt) mark "$f" >"hf-marked/${f#hf/}" ;;
    *) cp "$f" hf-marked ;;
    esac
done
must "$DUET" eval hf --data text.txt --quiet --threads 1 >hf.eval
must "$DUET" eval hf-marked --data text.txt --quiet --threads 1 >hf-marked.eval
check "in the files of a model folder" same hf.eval hf-marked.eval
awk 'BEGIN { print "sentence\tlabel"; for (i = 0; i < 40; i++) printf "the %d dog\t%d\n", i * 7 % 13, (i * 5 % 3 > 0) }' >a.tsv
mark a.tsv >a-marked.tsv
gzip -c a-marked.tsv >a.tsv.gz
task() { "$DUET" eval $MODEL --template '{sentence} is ' --labels 'a,b' --quiet --threads 1 \
    --task "$@" 2>task.err; }
must task a.tsv >want.task
must task a-marked.tsv >got.task
check "in a task table" same want.task got.task
must task a.tsv.gz >got.task
check "a compressed task table" same want.task got.task
cat a-marked.tsv | task - >got.task
check "a task table by a pipe" same want.task got.task

# ---- several files and folders
mkdir texts
cp text.txt texts/b.txt
gzip -c other.txt >texts/a.gz
echo hidden >texts/.hidden
must "$DUET" tokenize --tokenizer byte --out two.shard --quiet other.txt text.txt >tok.out 2>&1
must "$DUET" tokenize --tokenizer byte --out folder.shard --quiet texts >tok.out 2>&1
check "tokenize: a folder is its files in order" same two.shard folder.shard
must train two --steps 4 --warmup 1 --data other.txt --data text.txt
must train folder --steps 4 --warmup 1 --data texts
must train shard --steps 4 --warmup 1 --data two.shard
check "train: two files" same two/model.blzt shard/model.blzt
check "train: a folder" same folder/model.blzt shard/model.blzt
check "config.json names both" grep -q '"data": \[".*/other.txt", ".*/text.txt"\]' two/config.json
must "$DUET" train --config two/config.json --out again --quiet --threads 1 >again.out 2>&1
check "and repeats the run" same two/model.blzt again/model.blzt
must loss --data two.shard --tokenizer byte >want.two
must loss --data other.txt --data text.txt >got.two
check "eval: two files" same want.two got.two
must loss --data texts >got.two
check "eval: a folder" same want.two got.two
must "$DUET" tokenizer train --vocab 300 --out two.json --quiet other.txt text.txt
must "$DUET" tokenizer train --vocab 300 --out folder.json --quiet texts
check "tokenizer train: a folder" same two.json folder.json
mkdir texts/sub
refuses "a folder in a folder" 1 \
    'texts/sub is a folder, a folder of texts holds regular files only' "$DUET" eval $MODEL \
    --data texts
rmdir texts/sub
refuses "a shard among texts" 1 'two.shard is a token shard' "$DUET" eval $MODEL --data text.txt \
    --data two.shard
refuses "a shard and a text" 2 'two.shard is a token shard: only texts can be several files' \
    "$DUET" eval $MODEL --data two.shard --data text.txt
mkdir none
refuses "an empty folder" 1 'none is a folder without files' "$DUET" tokenize --tokenizer byte \
    --out no.shard none
absent no no.shard

# ---- validation on data of its own
must train val --steps 4 --warmup 1 --val-data other.txt --val-fraction 0.1
must train all --steps 4 --warmup 1 --val-fraction 0
check "--val-data: all of --data is trained on" same all/model.blzt val/model.blzt
must "$DUET" eval val/model.blzt --data other.txt --windows 256 --seq 32 --quiet --threads 1 \
    >val.eval
check "--val-data: val_loss is eval's of that file" equal "$(value val_loss val.out)" \
    "$(value val_loss val.eval)"
must "$DUET" tokenize --tokenizer byte --out other.shard --quiet other.txt >tok.out 2>&1
must train val-shard --steps 4 --warmup 1 --val-data other.shard
check "--val-data: a shard" equal "$(value val_loss val.out)" "$(value val_loss val-shard.out)"
must train val-pipe --steps 4 --warmup 1 --val-data - <other.txt
check "--val-data: standard input" equal "$(value val_loss val.out)" \
    "$(value val_loss val-pipe.out)"
cp other.txt gone.txt
must train val-gone --steps 4 --warmup 1 --val-data gone.txt
rm gone.txt
check "--val-data: a run goes on without the file" sh \
    -c "'$DUET' train --resume val-gone --steps 6 --quiet >gone.out 2>&1"
must "$DUET" eval val-gone/model.blzt --data other.txt --windows 256 --seq 32 --quiet --threads 1 \
    >val.eval
check "--val-data: and validates on it" equal "$(value val_loss gone.out)" \
    "$(value val_loss val.eval)"
printf 'zebra QUIZ' | tr -d '\n' >>text2.txt
cat other.txt text2.txt >odd.txt
must train compact --steps 4 --warmup 1 --compact-vocab --val-data odd.txt
check "--val-data: its tokens are in a compacted vocabulary" [ -n "$(value val_loss compact.out)" ]
refuses "--val-data and --val-fraction" 2 'either --val-data or --val-fraction' \
    "$DUET" train $TINY --data text.txt --val-data other.txt --val-fraction 0.2 --steps 1 --out no
refuses "--val-data of another tokenizer" 1 'two.shard was made by another tokenizer' \
    "$DUET" train $TINY --tokenizer want.json --data text.txt --val-data two.shard --steps 1 \
    --out no
refuses "--val-data that is not there" 1 'cannot read nope.txt' "$DUET" train $TINY \
    --data text.txt --val-data nope.txt --steps 1 --out no
refuses "--val-data too short" 1 'text2.txt has 1[01] tokens, a window of 32' \
    "$DUET" train $TINY --data text.txt --val-data text2.txt --steps 1 --out no
check "nothing is left of them" absent no

# ---- what is no text
task_shown() { "$DUET" eval $MODEL --template '{sentence} is ' --labels 'a,b' --quiet --task "$1"; }
printf 'PK\003\004' >x.zip
printf '\377\376O\000n\000c\000e\000' >x.txt
cat >kinds.table <<'END'
x.zip          | x.zip is a zip archive
x.txt          | x.txt is text in UTF-16: duet reads UTF-8: iconv
base/model.blzt| model.blzt is a BLZT file
base/state     | state is the state of a run
base/log.jsonl | log.jsonl is the log of a run
base/config.json | config.json is the options of a run
want.json      | want.json is a tokenizer (tokenizer.json): a tokenizer is given with --tokenizer
hf/config.json | hf/config.json is a model.s description
want.json.gz   | want.json.gz, unpacked, is a tokenizer
index.json     | index.json is the index of a model.s weights
END
gzip -c want.json >want.json.gz
echo '{"metadata": {"total_size": 4}, "weight_map": {"model.norm.weight": "model-1.safetensors"}}' \
    >index.json
while IFS='|' read -r file word; do
    file=$(echo $file) word=$(echo $word)
    refuses "train on $file" 1 "$word" "$DUET" train $TINY --data $file --steps 1 --out no
    refuses "eval on $file" 1 "$word" "$DUET" eval $MODEL --data $file
    refuses "tokenize $file" 1 "$word" "$DUET" tokenize --tokenizer byte --out no.shard $file
    refuses "tokenizer train on $file" 1 "$word" "$DUET" tokenizer train --out no.json $file
    refuses "tokenizer encode of $file" 1 "$word" "$DUET" tokenizer encode --tokenizer byte $file
    refuses "a task in $file" 1 "$word" task_shown $file
done <kinds.table
check "nothing is written" absent no no.shard no.json

# Without a mark the advice is the encoding's own: what it makes is the text.
{ cat text.txt; printf 'Ein K\303\244fer \342\202\254 \360\237\230\200\n'; } >plain.txt
for code in UTF-16LE UTF-16BE UTF-32LE UTF-32BE UTF-16 UTF-32; do
    iconv -f UTF-8 -t $code plain.txt >coded.txt
    refuses "$code" 1 "text in ${code%[LB]E}[ :].* iconv -f $code -t UTF-8" "$DUET" tokenize \
        --tokenizer byte --out no.shard coded.txt
    iconv -f "$(sed 's/.*iconv -f \([^ ]*\).*/\1/' refuse.err)" -t UTF-8 coded.txt >back.txt
    check "$code: what is advised makes the text" same back.txt plain.txt
done

# ---- what can be read once is given once
twice() { t_name=$1; shift; refuses "$t_name" 2 'is given twice: what is read of it is gone' "$@"; }
twice "--data - --val-data -" "$DUET" train $TINY --data - --val-data - --steps 1 --out no <text.txt
twice "--data - --val-data /dev/stdin" sh -c 'cat text.txt | "$@"' - "$DUET" train $TINY --data - \
    --val-data /dev/stdin --steps 1 --out no
mkfifo once.fifo
twice "a FIFO" "$DUET" train $TINY --data once.fifo --val-data once.fifo --steps 1 --out no
twice "--data - --data -" "$DUET" eval $MODEL --data - --data - <text.txt
twice "eval --exact" "$DUET" eval $MODEL --exact --data - --data - <text.txt
twice "tokenize - -" "$DUET" tokenize --tokenizer byte --out no.shard - - <text.txt
twice "tokenizer train - -" "$DUET" tokenizer train --vocab 300 --out no.json - - <text.txt
twice "plan" "$DUET" plan $TINY --data - --data - <text.txt
check "a file twice is read twice" "$DUET" tokenize --tokenizer byte --out two2.shard --quiet \
    text.txt text.txt
check "nothing is written" absent no no.shard no.json
for file in want.json hf/config.json base/config.json; do
    refuses "$file by a pipe" 1 'standard input is ' "$DUET" train $TINY --data - --steps 1 \
        --out no <$file
    refuses "$file among texts" 1 "$file is " "$DUET" train $TINY --data text.txt --data $file \
        --steps 1 --out no
    refuses "$file to validate on" 1 "$file is " "$DUET" train $TINY --data text.txt \
        --val-data $file --steps 1 --out no
done
awk '{ gsub(/["\\\\]/, ""); printf "{\"text\": \"%s\", \"version\": %d}\n", $0, NR }' text.txt \
    >docs.jsonl
must train jsonl --steps 2 --data docs.jsonl
(printf '{"version": 1, "documents": ["'; tr -d '"\\\n' <text.txt; printf '"]}\n') >docs.json
must train json --steps 2 --data docs.json
check "documents in JSON are text" [ "$(value num_steps json.out) $(value num_steps jsonl.out)" \
    = "2 2" ]
head -c 7 two.shard >cut.shard
refuses "7 bytes of a shard" 1 'shard cut.shard is cut off' "$DUET" train $TINY --data cut.shard \
    --steps 1 --out no
for n in 7 60 900; do
    head -c $n two.shard >cut.shard
    refuses "$n bytes of a shard among texts" 1 'cut.shard is .*cut off' "$DUET" train $TINY \
        --data text.txt --data cut.shard --steps 1 --out no
    refuses "$n bytes of a shard, then texts" 1 'cut.shard is .*cut off' "$DUET" train $TINY \
        --data cut.shard --data text.txt --steps 1 --out no
done
head -c 900 text.txt.gz >cut.gz
refuses "gzip that is cut" 1 'cut.gz is cut off: it ends at byte 900' "$DUET" train $TINY \
    --data cut.gz --steps 1 --out no
refuses "UTF-16 as a config" 1 'x.txt is text in UTF-16' "$DUET" train --config x.txt
printf 'abc\000def ghi jkl mno pqr stu vwx yz 0123456789 and so on and on and on' >nul.txt
loss --data nul.txt >nul.out
check "NUL bytes get a note" says eval.err \
    'note: nul.txt: 1.45% of its bytes are NUL, the first at byte 3'

# ---- a text shorter than a window
echo 'The dog ran.' >short.txt
loss --data short.txt >short.out
check "eval of a short text: one window" equal 12 "$(value tokens short.out)"
check "and says so" says eval.err 'short.txt has 1[34] tokens: one window of 1[23] instead of 32'
finish
