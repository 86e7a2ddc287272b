#!/bin/sh
# duet experiment: one trial by hand. What may be changed and what not, the trailer, keep and discard
# with their exit statuses, files and programs that are known by what is in them.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
# search OUT [MEMBER...]: the base is a rate that is much too low, so that there is something to find
search() {
    s_out=$1
    shift
    cat >$s_out.json <<END
{"base": {"model": "$SRC/models/stories260k.json", "tokenizer": "byte", "data": "text.txt",
  "set": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48,
          "num_attention_heads": 4, "num_key_value_heads": 2},
  "seq": 32, "batch": 4, "threads": 1, "lr": 1e-4, "val-windows": 16},
 "metric": "val_bpb", "strategy": "hand", "trials": 10, "seeds": 5, $*
 "budget": {"steps": 8}}
END
    sed -i 's/"metric": "val_bpb"/"metric": {"key": "val_bpb", "exact": false}/' $s_out.json
    "$DUET" search $s_out.json --out $s_out --quiet >search.out
}
# try NAME STATUS ARGUMENT...: an experiment in exp that ends so; stdout in run.log, stderr in run.err
try() {
    t_name=$1 t_status=$2
    shift 2
    "$DUET" experiment --search exp "$@" --quiet >run.log 2>run.err
    t_found=$?
    if [ $t_found -eq "$t_status" ]; then ok "$t_name"; else
        not_ok "$t_name: exit status $t_found, expected $t_status" run.err run.log
    fi
}
trials() { grep -c '"event":"proposal"\|"event": "proposal"' exp/ledger.jsonl; }
must search exp
sed -n 's/^{"base": //; 1,/val-windows/s/"val-windows": 16},/"val-windows": 16}/; 1,/val-windows/p' exp.json >base.json
check "without a file" "$DUET" search --base base.json --strategy hand --steps 4 --out short --quiet
check "it has the base alone" equal "$(value trials check.out)" '1: 0 kept, 0 discarded, 0 failed'
check "and no space" sh -c '! grep -q "\"space\"" short/search.json'
check "and takes experiments" sh -c '"$1" experiment --search short lr=0.03 --quiet; [ $? = 0 ] ||
    [ $? = 3 ]' - "$DUET"

# ---- kept
try "a better rate is kept" 0 lr=1e-2 -m "a rate that learns"
check "it says so" equal "$(value decision run.log)" keep
check "why" equal "$(value reason run.log)" proven
check "against the base" equal "$(value against run.log)" 0
check "it is the incumbent" equal "$(value incumbent run.log)" 1
for key in val_bpb training_seconds total_seconds peak_vram_mb mfu_percent total_tokens_M num_steps \
    num_params_M depth; do echo $key; done >expected
sed '1d; s/:.*//' run.log | head -9 >keys
check "the predecessors' trailer, in order" diff keys expected
check "behind a line" equal "$(head -1 run.log)" ---
R=exp/trials/0001/seed-1/summary.json
for pair in val_bpb:val_bpb num_steps:num_steps depth:depth peak_vram_mb:peak_rss_mb \
    total_tokens_M:total_tokens_M num_params_M:num_params_M; do
    check "trailer: ${pair%:*} is the first seed's" close_to "$(value ${pair%:*} run.log)" \
        "$(json ${pair#*:} $R)" 0.051
done
check "val_bpb has six digits" close_to "$(value val_bpb run.log)" "$(json val_bpb $R)" 5.1e-7
check "best.json has it" says exp/best.json '"lr": 0.01'
check "what is other than in the base" equal "$("$DUET" experiment --search exp lr=1e-2 --json --quiet |
    sed -n 's/.*"changes": "\(.*\)".*/\1/p')" "lr 0.0001 -> 0.01"
check "the note is on record" says exp/ledger.jsonl 'a rate that learns'
seeds=$(value seeds run.log)
check "its mean is that of its runs" close_to "$(value value run.log)" "$(for i in $(seq 1 5); do
    [ -f exp/trials/0001/seed-$i/summary.json ] && json val_bpb exp/trials/0001/seed-$i/summary.json
done | awk '{ s += $1 } END { print s / NR }')" 2e-2
check "several seeds" [ "$seeds" -ge 2 ]

# ---- discarded; known; from there on
try "what is worse is discarded" 3 lr=1e-5
check "it says so, too" equal "$(value decision run.log)" discard
check "the incumbent stays" equal "$(value incumbent run.log)" 1
n=$(trials)
try "what is known is not trained again" 3 lr=1e-5
check "and told" says run.err 'trial 2 was'
check "no row more" equal "$(trials)" "$n"
check "as discarded" equal "$(value known run.log)" "trial 2, discarded then"
try "the base is known, too, and the incumbent no more" 3 lr=1e-4
check "which trial it was" equal "$(value trial run.log)" 0
check "it was kept once" equal "$(value decision run.log)" keep
check "and what replaced it" equal "$(value known run.log)" "trial 0, kept then, replaced by 1"
try "what changes nothing is the incumbent" 0 lr=0.01
check "as it was kept" equal "$(value trial run.log)" 1
check "and still is" equal "$(value known run.log)" "trial 1, kept then, the incumbent still"
try "it begins with the incumbent" 3 batch=1
check "its rate is the incumbent's" says exp/trials/0003/config.json '"lr": 0.01'
check "and its batch the new one" says exp/trials/0003/config.json '"batch": 1'
try "a config file begins with the base" 0 --config exp/best.json
check "that of the incumbent is the same trial" equal "$(value trial run.log)" 1
sed 's/"lr": 0.01/"lr": 0.0001/' exp/best.json >lower.json
try "edited, it is the base, which is not the incumbent" 3 --config lower.json
check "and known" equal "$(value trial run.log)" 0
check "JSON" "$DUET" experiment --search exp lr=0.01 --json --quiet
check "has the same" equal "$(json trial check.out)" 1

# ---- what fails
try "what the planner refuses" 4 set.num_attention_heads=3
check "has no trailer" sh -c '! grep -q "^val_bpb" run.log'
check "nor figures of what was not measured" sh -c '! grep -q "unknown\|nan\|difference" run.log'
check "its status" equal "$(value status run.log)" refused
check "one sentence" [ "$(grep -c '^duet: error: ' run.err)" = 1 ]
try "what diverges" 6 lr=9 clip=0 warmup=0 rollback=false optimizer=lion
check "its status is nan" equal "$(value status run.log)" nan
try "a hard limit of time" 1 set.num_hidden_layers=2 --seconds 0.0001
check "its status is time" equal "$(value status run.log)" time
check "where to look is told" says run.err 'exp/trials/[0-9]*/seed-1.txt'

# ---- what may not be changed
n=$(wc -c <exp/ledger.jsonl)
must stories 3000 6 >other.txt
for pair in "data=other.txt:is of the data" "tokenizer=other.txt:is of the data" \
    "val-fraction=0.3:is of the data" "test-fraction=0.3:is of the data" \
    "val-windows=3:is of the evaluation" "steps=9:is how long a trial is" \
    "time=9:is how long a trial is" "seed=7:would search for luck" \
    "threads=2:does not change what is trained" "out=x:does not change what is trained"; do
    refuses "${pair%%:*}" 2 "cannot be changed in a search: it ${pair#*:}" "$DUET" experiment \
        --search exp "${pair%%:*}"
done
sed 's/"val-windows": 16/"val-windows": 3/' exp/best.json >eval.json
refuses "the evaluation in a file" 2 '"val-windows" cannot be changed' "$DUET" experiment \
    --search exp --config eval.json
refuses "an option that is none" 2 'unknown option "lrr"; did you mean "lr"' "$DUET" experiment \
    --search exp lrr=3
refuses "no change" 2 '"lr" is no change, expected OPTION=VALUE' "$DUET" experiment --search exp lr
refuses "a value that it cannot have" 2 'optimizer is "adamx"' "$DUET" experiment --search exp \
    optimizer=adamx
refuses "nothing" 2 'nothing to try' "$DUET" experiment --search exp
refuses "no folder" 2 'with --search DIR' "$DUET" experiment lr=1
refuses "another folder" 2 'not the folder of a search' "$DUET" experiment --search . lr=1
refuses "no program" 2 'text.txt is no program' "$DUET" experiment --search exp --program text.txt
check "nothing of this is on record" equal "$(wc -c <exp/ledger.jsonl)" "$n"

# ---- files and programs count by what is in them
sed 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 1e-3/' "$SRC/models/stories260k.json" >my.json
try "a description of one's own" 3 model=my.json
one=$(value trial run.log)
sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 1e-2/' my.json
try "the same name, edited" 3 model=my.json
check "is another trial" [ "$(value trial run.log)" -gt "$one" ]
cp "$SRC/models/stories260k.json" my.json
try "a copy of the base's is the base's" 0 model=my.json
check "and so known" equal "$(value trial run.log)" 1
try "this program is the search's" 0 --program "$DUET"
check "and so known" equal "$(value trial run.log)" 1
cat "$DUET" >driver && printf x >>driver && chmod +x driver
check "and its copy, whoever drives" sh -c './driver experiment --search exp --program "$1" --quiet |
    grep -q "^trial: *1$"' - "$DUET"
check "the driver, built anew, trains nothing by itself" sh -c './driver experiment --search exp \
    --program ./driver --json --quiet >other.json; [ "$(sed -n "s/.*\"trial\": //p" other.json)" != "1," ] &&
    grep -q "\"./programs/driver-[0-9a-f]*\"" exp/ledger.jsonl'
# Another build: it learns with twice the rate that it is told.
cat >built <<END
#!/bin/sh
case "\$*" in "train --config"*) exec "$DUET" "\$@" --schedule constant --warmup 0 ;; esac
exec "$DUET" "\$@"
END
chmod +x built
try "another build competes" 0 --program ./built -m "no warmup"
check "it is a copy that counts" says exp/ledger.jsonl '"./programs/built-[0-9a-f]\{16\}"'
echo 'exit 7' >built
row=$(value incumbent run.log)
check "its row repeats, by the copy" sh -c '"$1" search rerun exp "$2" --quiet | grep -q "The row repeats"' \
    - "$DUET" "$row"
check "so does that of a description that was edited" sh -c '"$1" search rerun exp "$2" --quiet |
    grep -q "The row repeats"' - "$DUET" "$one"
copy=exp/$(sed -n '/"model":/s/.*"model": *"\.\/\(files\/my-[0-9a-f]*.json\)".*/\1/p' exp/ledger.jsonl | head -1)
cp "$copy" kept.json
n=$(wc -c <exp/ledger.jsonl)
sed -i 's/"rms_norm_eps": [^,]*/"rms_norm_eps": 1e-4/' "$copy"
# kept WORDS: whoever trains in exp refuses, and says why
kept() {
    refuses "an experiment: $1" 1 "$copy $1" "$DUET" experiment --search exp lr=2e-3 --quiet
    refuses "going on: $1" 1 "$copy $1" "$DUET" search --resume exp --quiet
    refuses "a dry run: $1" 1 "$copy $1" "$DUET" search --resume exp --dry-run --quiet
    refuses "a confirmation: $1" 1 "$copy $1" "$DUET" search confirm exp --quiet
}
kept "was changed since it was kept"
rm "$copy"
kept "is not there any more"
cp kept.json "$copy"
check "nothing of it is on record" equal "$(wc -c <exp/ledger.jsonl)" "$n"
try "what is tried next is trained by what was kept" 3 lr=1e-5
check "by the copy" says exp/trials/"$(printf %04d "$(value trial run.log)")"/seed-1/config.json \
    '"schedule": "constant"'

# ---- a description that comes with duet, of programs that lie elsewhere
sed 's/"model": "[^"]*"/"model": "stories260k"/; s/"seeds": 5/"seeds": 1, "confidence": 0/' exp.json >named.json
check "a name, and a copy of the program" "$DUET" search named.json --out named --quiet
check "its trials find it" grep -q "\"model\": \"$SRC/models/stories260k.json\"" named/trials/0000/config.json
named() { "$DUET" experiment --search named "$@" --quiet >named.out 2>named.err
    case $? in 0|3) ;; *) cat named.err; return 1 ;; esac; }
check "another build, too" named --program ./driver
check "it is trained" equal "$(value status named.out)" ok

# ---- a search with a space
sed -e 's/"strategy": "hand"/"strategy": "random", "confidence": 0, "space": SPACE/; s/"trials": 10/"trials": 2/' \
    -e 's/SPACE/{"optimizer": {"choice": ["adamw", "lion"]}, "accum": {"int": [1, 3]}, BETA}/' \
    -e 's/BETA/"beta2": {"linear": [0.9, 0.99], "when": {"optimizer": "adamw"}}/' exp.json >space.json
must "$DUET" search space.json --out space --quiet >search.out
spaced() { "$DUET" experiment --search space "$@" --quiet >spaced.out 2>spaced.err
    case $? in 0|3) ;; *) cat spaced.err; return 1 ;; esac; }
config_of() { cat "space/trials/$(printf %04d "$1")/config.json"; }
check "outside of it, and beside it" spaced accum=5 --set num_hidden_layers=2
config_of "$(value trial spaced.out)" >outside.json
check "is what is trained" sh -c 'grep -q "\"accum\": 5" outside.json &&
    grep -q "\"num_hidden_layers\": 2" outside.json'
check "the other axes are the incumbent's" says outside.json '"optimizer": '
check "a condition that is met no more" spaced optimizer=lion accum=2
config_of "$(value trial spaced.out)" >lion.json
check "takes its axis away" sh -c 'grep -q "\"optimizer\": \"lion\"" lion.json && ! grep -q beta2 lion.json'
check "the search goes on" "$DUET" search --resume space --trials 4 --quiet
check "to as many proposals of its own" equal "$(grep -c '"from": *"random"' space/ledger.jsonl)" 3

# ---- where nothing was tried yet, it begins where the base will
sed -e 's/"lr": 1e-4, //' -e 's/"seeds": 5,/"seeds": 1, "confidence": 0, SPACE,/' \
    -e 's/SPACE/"space": {"lr": {"log": [1e-4, 1e-1]}, "accum": {"int": [1, 3]}}/' exp.json >new.json
must "$DUET" search new.json --out new --quiet >search.out
sed -i '2,$d' new/ledger.jsonl
rm -r new/trials new/best.json
check "the first experiment" sh -c '"$1" experiment --search new accum=2 --quiet >new.out; [ $? = 0 ] ||
    [ $? = 3 ]' - "$DUET"
check "has two trials" equal "$(grep -c '"event":"proposal"' new/ledger.jsonl)" 2
check "of one rate, the base's" equal \
    "$(grep '"event":"proposal"' new/ledger.jsonl | grep -o '"lr":[^,}]*' | sort -u)" '"lr":0.001'
tier=$(sed -n '1s/.*"tier":"\([^"]*\)".*/\1/p' new/ledger.jsonl)
[ "$tier" = generic ] ||
    refuses "with another instruction set" 1 "the instruction set $tier, here is generic" \
        env DUET_CPU=generic "$DUET" experiment --search new accum=3

# ---- what decides is what is printed: val_bpb of whole documents, not the windows' of summary.json
sed 's/{"key": "val_bpb", "exact": false}/"val_bpb"/; s/"seeds": 5/"seeds": 2/' exp.json >whole.json
must "$DUET" search whole.json --out whole --quiet >search.out
"$DUET" experiment --search whole lr=1e-2 --quiet >whole.log 2>whole.err
result() { grep '"event": *"result"' whole/ledger.jsonl | grep "\"trial\": *$1, *\"seed\": *1,"; }
check "val_bpb is the ledger's of the first seed" close_to "$(value val_bpb whole.log)" \
    "$(result 1 | sed 's/.*"value": *\([0-9.]*\).*/\1/')" 5.1e-7
check "and not that of the windows" [ "$(value val_bpb whole.log)" != \
    "$(printf %.6f "$(json val_bpb whole/trials/0001/seed-1/summary.json)")" ]

# ---- what the base leaves to the defaults is named by its value
sed 's/, "lr": 1e-4//; s/"seeds": 5/"seeds": 2/' exp.json >bare.json
must "$DUET" search bare.json --out bare --quiet >search.out
check "a default" sh -c '"$1" experiment --search bare accum=2 --quiet | grep "^changes: *accum 1 -> 2$"' - "$DUET"
check "the optimizer's own rate" sh -c '"$1" experiment --search bare lr=3e-4 --quiet |
    grep "^changes: *lr '"$(json lr bare/trials/0000/seed-1/config.json)"' -> 0.0003$"' - "$DUET"

# ---- weights to begin with, by what is in them
sed 's/"seeds": 5/"seeds": 1, "confidence": 0/; s/"num_hidden_layers"/"vocab_size": 257, &/' exp.json >begin.json
must "$DUET" search begin.json --out begin --quiet >search.out
# weights OUT OPTION...: a run of the base's model; later options win
weights() { "$DUET" train --config begin/trials/0000/config.json --out "$@" --overwrite --quiet >train.out 2>&1; }
# tried OPTION...: an experiment in begin; stdout in run.log
tried() { "$DUET" experiment --search begin "$@" --quiet >run.log 2>run.err
    case $? in 0|3) ;; *) cat run.err; return 1 ;; esac; }
repeats() { "$DUET" search rerun "$1" "$2" --quiet | grep "The row repeats"; }
must weights start --steps 3
check "weights of a run" tried init=start
first=$(value trial run.log)
check "are kept by what is in them" says begin/ledger.jsonl '"init": *"./files/model-[0-9a-f]\{16\}.blzt"'
check "the same start" tried init=start
check "is known" equal "$(value trial run.log)" "$first"
check "and so are its weights, as a file" tried init=start/model.blzt
check "which it is" equal "$(value trial run.log)" "$first"
must weights start --steps 6
check "others under the same name" tried init=start
second=$(value trial run.log)
check "are another trial" equal "$second" $((first + 1))
check "the first repeats, from its own" repeats begin "$first"
must "$DUET" convert start hf --to hf --quiet >convert.out 2>&1
check "a folder of Hugging Face" tried init=hf
check "is kept whole" says begin/ledger.jsonl '"init": *"./files/hf-[0-9a-f]\{16\}"'
must weights lora --init start --lora 2 --steps 3
check "a LoRA run" tried init=lora
check "is its base and its adapter" grep -q '"init": *"./files/model-[0-9a-f]*.blzt", *"adapter": *"./files/adapter-[0-9a-f]*.blzt"' \
    begin/ledger.jsonl
third=$(value trial run.log)
check "other weights" tried init=hf
check "have none" sh -c '! grep -q adapter begin/trials/"$(printf %04d "$(sed -n "s/^trial: *//p" run.log)")"/config.json'
rm -r start lora hf
check "rows repeat without the files" repeats begin "$second"
check "of an adapter, too" repeats begin "$third"

# ---- a driver that is killed
"$DUET" experiment --search exp batch=2 --quiet >kill.out 2>&1 &
pid=$!
sleep 0.4
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
n=$(trials)
try "the next experiment ends what was left" 3 batch=3
check "both are decided" equal "$(grep -c '"event": *"decision"' exp/ledger.jsonl)" "$(trials)"
sort exp/ledger.jsonl | grep '"event": *"result"' | sed 's/.*"trial": *\([0-9]*\).*"seed": *\([0-9]*\).*/\1 \2/' |
    sort | uniq -d >twice
check "no result is there twice" [ ! -s twice ]

# ---- a folder that is moved finds what it keeps
mkdir away
mv exp away/moved
mv begin away/begin
check "moved: the program of a row" repeats away/moved "$row"
check "its description" repeats away/moved "$one"
check "weights" repeats away/begin "$second"
check "it goes on" "$DUET" search --resume away/moved --quiet
check "a program is known" sh -c '"$1" experiment --search away/moved --program ./driver --quiet >known.out 2>known.err
    grep -q "is not trained again" known.err' - "$DUET"
finish
