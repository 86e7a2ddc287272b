#!/bin/sh
# duet info of every file that duet writes, in one layout; adapter info is part of it.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
must stories 20000 6 >other.txt
must "$DUET" train $TINY --data text.txt --steps 20 --val-every 10 --checkpoint-every 10 --keep 2 \
    --out run >s.out 2>s.err
S="--seq 32 --batch 4 --threads 1 --quiet --data other.txt"
must "$DUET" train $S --init run --lora 2 --steps 4 --out lora >s.out 2>s.err
must "$DUET" train $S --init run --engine mezo --steps 5 --out zo >s.out 2>s.err
must "$DUET" train $TINY --data text.txt --compact-vocab --steps 2 --out small >s.out 2>s.err
must "$DUET" tokenize text.txt --tokenizer byte -o t.shard >s.out 2>s.err
must "$DUET" tokenizer train --vocab 300 --out bpe.json --quiet text.txt

# kind NAME FILE KIND: rows in one column, and the same kind as JSON
kind() {
    "$DUET" info "$2" >i.out 2>i.err
    check "info $1: exit status" [ $? -eq 0 ]
    check "info $1: what it is" says i.out "^  kind  *$3\$"
    check "info $1: the first line names it" equal "$(head -1 i.out)" "$2"
    check "info $1: values in one column" equal "$(sed 1d i.out | grep '^ *[^ ][^ ]*  *[^ ]' |
        sed 's/^\( *[^ ][^ ]* *\).*/\1/' | awk '{ print length }' | sort -u | wc -l)" 1
    check "info $1: no raw JSON" sh -c '! grep -v damaged i.out | grep "[{}]"'
    "$DUET" info "$2" --json >i.json 2>i.err
    check "info $1 --json" equal "$(json kind i.json)" "$3"
}
fact() { check "info: $1 $2" says i.out "^ *$1  *$2\$"; } # of the last kind

kind "a run" run run
fact status finished
fact step 20
fact checkpoint_step 20
fact earlier_checkpoints 2
fact best_file run/best.blzt
fact lr 0.001
fact val_loss "$(json val_loss run/summary.json)"
check "info: given options, not defaults" \
    sh -c 'grep -q "^    seq  *32$" i.out && ! grep "^    rollback " i.out'
n=$(sed -n 's/^    at_defaults  *\([0-9]*\) options, shown with --all$/\1/p' i.out)
"$DUET" info run --all >all.out 2>i.err
check "info --all: as many more" \
    equal $(($(wc -l <i.out) - 1 + ${n:-0})) "$(wc -l <all.out)"
check "info --all: a default" says all.out '^    rollback  *yes$'
check "info --json: all" says i.json '"rollback": true'
# a run's end counts before its last line
must train late --steps 13 --log-every 10
kind "a run that ended between two lines" late run
fact step 13
fact tokens 1664
fact last_line_step 10
check "info: seconds once" \
    equal "$(sed -n 's/^ *training_seconds  *//p' i.out | sort -u | wc -l)" 1
cp -r late gone && rm gone/summary.json
kind "such a run without its end" gone run
fact tokens 1280
fact last_line_step 10
kind "a LoRA run" lora run
fact rank 2
kind "a MeZO run" zo run
kind "a model" run/model.blzt model
fact parameters 23744
fact step 20
fact hidden_size 32
kind "a compacted model" small/model.blzt model
check "info: its map" says i.out '^  vocab_map  *[0-9]* of 257 ids occurred in training$'
kind "an adapter" lora/adapter.blzt adapter
fact rank 2
fact targets q,k,v,o
squeezed() { sed '1d; s/  */ /g' | sort; }
"$DUET" adapter info lora/adapter.blzt | squeezed >part
squeezed <i.out >all
check "adapter info is part of it" sh -c '[ -s part ] && ! comm -13 all part | grep .'
kind "what a run began from" run/start.blzt 'what a run began from'
check "info: a source" says i.out "^        path  *$(pwd -P)/text.txt\$"
kind "a state" run/state 'state of a run'
fact optimizer adamw
fact floats 47488
fact step 20
must "$DUET" eval run --exact --out exact.tsv --quiet >exact.out 2>s.err
kind "an exact evaluation" exact.tsv 'exact evaluation'
fact documents "$(value documents exact.out)"
fact tokens "$(value tokens exact.out)"
check "info: bits per byte" close_to "$(json bits_per_byte i.json)" \
    "$(value bits_per_byte exact.out)" 1e-6
sed '3s/\t/x/' exact.tsv >bad.tsv
refuses "info: a line that is none" 1 "bad.tsv: line 3 is not document 2's seven numbers" \
    "$DUET" info bad.tsv
head -c $(($(wc -c <exact.tsv) - 1)) exact.tsv >cut.tsv
refuses "info: half a line" 1 'cut.tsv: line [0-9]* is not document' "$DUET" info cut.tsv
kind "a trajectory" zo/trajectory.zo 'trajectory of a zeroth-order run'
fact updates 5
fact estimator grzo
fact directions 4
fact base_hash "$("$DUET" info run/state --json | json model_hash /dev/stdin)"
fact bytes "$(wc -c <zo/trajectory.zo)"
kind "a log" run/log.jsonl 'log of a run'
fact step_lines 2
fact validations 2
fact start 1
fact last_loss "$(sed -n 's/.*"step":20,"loss":\([0-9.]*[1-9]\).*/\1/p' run/log.jsonl)"
kind "a summary" run/summary.json 'summary of a run'
fact num_steps 20
kind "options" run/config.json 'options of a run'
kind "first losses" run/val-first.json "losses of a run's first validation"
fact step 10
kind "checkpoints" run/checkpoints 'earlier checkpoints of a run'
check "info: which" says i.out '^  steps  *10, 20$'
kind "a checkpoint" run/checkpoints/10 model
fact optimizer_updates 10
kind "a shard" t.shard shard
fact documents "$(grep -c '<|endoftext|>' text.txt)"
kind "a tokenizer" bpe.json tokenizer
fact vocab_size 300
kind "a text" text.txt text
fact bytes "$(wc -c <text.txt)"
fact documents "$(grep -c '<|endoftext|>' text.txt)"
fact lines "$(wc -l <text.txt)"
gzip -k text.txt
kind "a compressed text" text.txt.gz text
fact bytes "$(wc -c <text.txt)"
printf 'one\n<|endoftext|>\ntwo \303\244' >two.txt
kind "a text without a last line break" two.txt text
fact documents 2
fact lines 3
fact characters 23
kind "a description" "$SRC/models/demo.json" 'description of a model'

# ---- runs that are cut short
cp -r run cut && printf '{"event":"st' >>cut/log.jsonl && printf '{' >cut/summary.json
kind "a damaged run" cut run
check "info: says what is damaged" says i.out '^  damaged  *cut/summary.json, line 1: .*cut/log.jsonl: its last line is cut'
mkdir new && cp run/config.json new && head -1 run/log.jsonl >new/log.jsonl
kind "a run that never began" new run
fact status 'never began'

# ---- nothing that is known
: >empty
refuses "info of nothing" 1 'empty: not a model file' "$DUET" info empty
refuses "info of a program" 1 'it is a program' "$DUET" info "$DUET"
refuses "info of a folder" 1 'a folder with neither' "$DUET" info "$SRC/docs"
refuses "info of what is not there" 1 'cannot open' "$DUET" info nowhere
head -c 60 run/state >cut.state
refuses "info of a cut state" 1 'cut.state: .*offset' "$DUET" info cut.state
head -c 50 zo/trajectory.zo >cut.zo
refuses "info of a cut trajectory" 1 'cut.zo' "$DUET" info cut.zo
finish
