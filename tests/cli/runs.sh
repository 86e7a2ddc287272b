#!/bin/sh
# The folder of a run stands for its model in every command; training goes on from an adapter.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt
must stories 30000 6 >other.txt
S="--seq 32 --batch 4 --threads 1 --quiet"
must "$DUET" train $TINY --data text.txt --steps 6 --val-every 3 --out run >s.out 2>s.err
must "$DUET" train $S --init run/model.blzt --lora 2 --lora-targets q,v --data other.txt --steps 6 \
    --checkpoint-every 3 --keep 2 \
    --out lora >s.out 2>s.err
evaluate() { "$DUET" eval "$@" --data text.txt --windows 4 --seq 32 --threads 1 --quiet; }
generate() { "$DUET" generate "$@" --prompt One --tokens 8 --temperature 0 --threads 1 --quiet; }

# ---- whole weights
evaluate run >e1.out 2>e.err
evaluate run/model.blzt >e2.out 2>e.err
check "eval RUN" sh -c \
    'grep -q val_loss e1.out && grep -v seconds e1.out >a; grep -v seconds e2.out | diff - a'
generate run >g1.out 2>g.err
generate run/model.blzt >g2.out 2>g.err
check "generate RUN" sh -c '[ -s g1.out ] && cmp g1.out g2.out'
"$DUET" info run --json >i1.out 2>i.err
check "info RUN names the file" sh -c 'grep -q "run/model.blzt\|hidden_size" i1.out'
check "convert RUN" "$DUET" convert run c1.gguf
must "$DUET" convert run/model.blzt c2.gguf >s.out 2>s.err
check "convert RUN: as of the file" same c1.gguf c2.gguf
"$DUET" plan --init run --batch 2 --json >p1.out 2>p.err
"$DUET" plan --init run/model.blzt --batch 2 --json >p2.out 2>p.err
check "plan --init RUN" sh -c 'grep -v available p1.out >p1 && grep -v available p2.out | diff - p1'
check "train --init RUN" "$DUET" train $S --init run --data other.txt --steps 2 --out t1
must "$DUET" train $S --init run/model.blzt --data other.txt --steps 2 --out t2 >s.out 2>s.err
check "train --init RUN: as from the file" same t1/model.blzt t2/model.blzt
check "train --init RUN: on record is the file" equal "$(json init t1/config.json)" \
    ../run/model.blzt
refuses "train --init RUN into RUN" 2 'run/model.blzt is to be read, but would be overwritten' \
    "$DUET" train $S --init run --data other.txt --steps 2 --out run --overwrite
check "audit RUN" "$DUET" audit run --data text.txt --batch 2 --seq 32 --threads 1 --quiet

# ---- without --data: what the run validates on
for r in run lora; do
    [ $r = run ] || must "$DUET" train $S --init run/model.blzt --lora 2 --lora-targets q,v \
        --data other.txt --steps 6 --val-windows 5 --val-fraction 0.2 --out own_text >s.out 2>s.err
    [ $r = run ] || r=own_text
    n=$(sed -n 's/.*"event":"val".*"windows":\([0-9]*\).*/\1/p' $r/log.jsonl | tail -1)
    must "$DUET" eval $r --windows "$n" --threads 1 >o.out 2>o.err
    check "eval $r: its own val_loss" equal "$(value val_loss o.out)" \
        "$(awk -v x="$(json val_loss $r/summary.json)" 'BEGIN { printf "%.4f", x }')"
    check "eval $r: says on what" says o.err "^on the validation text of $r\$"
done
refuses "eval RUN --split all" 2 '--split all is of --data' "$DUET" eval run --split all
refuses "eval of a file without --data" 2 'give the data' "$DUET" eval run/model.blzt
cp -r run untold && rm untold/tokens.shard
refuses "eval RUN without its tokens" 1 'no --data: untold: the tokens that it validates on' \
    "$DUET" eval untold --threads 1

# ---- LoRA: base and adapter
evaluate lora >e1.out 2>e.err
evaluate run/model.blzt --adapter lora/adapter.blzt >e2.out 2>e.err
check "eval of a LoRA run: its base with its adapter" sh \
    -c 'grep -q val_loss e1.out && grep -v seconds e1.out >a; grep -v seconds e2.out | diff - a'
evaluate lora/checkpoints/3 >e3.out 2>e.err
check "eval of an earlier checkpoint" sh -c 'grep -q val_loss e3.out && ! diff e3.out e1.out >d'
generate lora --adapter-scale 0 >g3.out 2>g.err
check "generate of a LoRA run, without effect of the adapter" same g3.out g1.out
must "$DUET" audit run/model.blzt --adapter lora/adapter.blzt --data text.txt --seq 32 --batch 2 \
    --threads 1 --quiet >one.audit
must "$DUET" audit lora --data text.txt --seq 32 --batch 2 --threads 1 --quiet >folder.audit
check "audit: a LoRA run's folder" equal "$(sed 1d folder.audit)" "$(sed 1d one.audit)"
check "audit: audits its adapter" says folder.audit '^LoRA B '
refuses "audit: with new adapters" 2 \
    'either --lora for new adapters or a trained one, that of lora' \
    "$DUET" audit lora --lora 4 --data text.txt
refuses "a LoRA run with another adapter" 2 'lora is a LoRA run, with its own adapter' evaluate \
    lora --adapter lora/adapter.blzt
check "info of a LoRA run" sh -c '"$1" info lora | grep -q rank' - "$DUET"
check "adapter info RUN" sh -c '"$1" adapter info lora --json | grep -q "\"rank\": *2"' - "$DUET"
check "adapter merge RUN RUN" "$DUET" adapter merge run lora -o m1.blzt
must "$DUET" adapter merge run/model.blzt lora/adapter.blzt -o m2.blzt >s.out 2>s.err
check "adapter merge: as of the files" same m1.blzt m2.blzt
check "convert of a LoRA run: its adapter" "$DUET" convert lora peft --base run --to peft
evaluate lora/adapter.blzt >e5.out 2>e.err
check "eval of a LoRA run's adapter by its name" sh -c 'grep -v seconds e5.out | diff - a'
must "$DUET" train $S --init run --lora 2 --data other.txt --steps 4 --val-every 2 --lr 0.01 \
    --out low >s.out 2>s.err
rm low/adapter.blzt && cp lora/adapter.blzt low # the best is another file then
evaluate low/adapter.best.blzt >e6.out 2>e.err
evaluate run --adapter low/adapter.best.blzt >e7.out 2>e.err
check "the best adapter by its name" sh \
    -c 'grep -q val_loss e6.out && grep -v seconds e6.out >b; grep -v seconds e7.out | diff - b'
evaluate low >e8.out 2>e.err
check "is not the last" sh -c '! diff e6.out e8.out >d'
check "merge of it" "$DUET" adapter merge low/adapter.best.blzt -o best3.blzt
check "plan --init of it" "$DUET" plan --init low/adapter.best.blzt
check "plan RUN is that of --resume" sh -c '"$1" plan lora --json | grep -v available >p1
    "$1" plan --resume lora --json | grep -v available | diff - p1' - "$DUET"
check "plan of a checkpoint is that of --init" sh -c '"$1" plan lora/checkpoints/3 --json |
    grep -v available >p1
    "$1" plan --init lora/checkpoints/3 --json | grep -v available | diff - p1' - "$DUET"
check "plan of a description is that of --model" sh -c '"$1" plan "$2" --json |
    grep -v available >p1; "$1" plan --model "$2" --json | grep -v available | diff - p1' - \
    "$DUET" "$SRC/models/stories260k.json"
refuses "plan RUN --init" 2 'give either run or --init' "$DUET" plan run --init run
refuses "plan RUN RUN" 2 'takes one run or model, found 2' "$DUET" plan run lora
hash() { "$DUET" tokenizer info --tokenizer "$1" | sed -n 's/^hash: //p'; }
check "--tokenizer of a checkpoint is the run's" equal "$(hash lora/checkpoints/3)" "$(hash run)"
for begin in "--init run" "$SHAPE --tokenizer byte"; do
    name=${begin%% *}
    must "$DUET" train $begin $S --engine mezo --data other.txt --steps 3 --out zo >s.out 2>s.err
    check "replay RUN, $name" "$DUET" replay zo -o again.blzt --overwrite
    check "replay RUN, $name: the weights" same again.blzt zo/model.blzt
    mv zo "zo-$name"
done
check "replay BASE RUN" "$DUET" replay run zo---init -o again.blzt \
    --overwrite
check "replay BASE RUN: the weights" same again.blzt zo---init/model.blzt
refuses "replay of a run without a trajectory" 1 'run: no trajectory.zo in it' "$DUET" replay run \
    -o x.blzt
refuses "replay of a trajectory alone" 2 'give the base and this trajectory, or the folder' \
    "$DUET" replay zo---init/trajectory.zo -o x.blzt
mkdir sub && mv run lora sub
evaluate sub/lora >e4.out 2>e.err
check "a moved pair of runs" sh -c 'grep -v seconds e4.out | diff - a'
mv sub/* .
mkdir empty && echo '{"event":"start"}' >empty/log.jsonl && echo '{}' >empty/config.json
refuses "a run without a checkpoint" 1 \
    'empty: a run without a checkpoint: neither model.blzt nor adapter.blzt' evaluate empty
refuses "a run without a checkpoint: how it goes on" 1 'duet train --resume empty goes on' \
    evaluate empty
refuses "the folder of the checkpoints" 1 'earlier checkpoints: give one of the folders' evaluate \
    lora/checkpoints
refuses "what a run began from" 1 "start.blzt holds no weights: .* give the run's folder" evaluate \
    run/start.blzt
refuses "--model FOLDER" 1 'a folder, and --model takes a description .*--init run begins' \
    "$DUET" plan --model run
refuses "a folder with nothing" 1 'sub: a folder with neither' evaluate sub

# ---- training from an adapter
check "--adapter goes on" "$DUET" train $S --init run --adapter lora --data text.txt --steps 4 \
    --out more
check "its settings are the adapter's" equal \
    "$(json lora more/config.json) $(sed -n 's/.*"lora-targets": "\(.*\)",/\1/p' \
    more/config.json)" "2 q,v"
first=$(sed -n 's/.*"val","step":0,.*"val_loss":\([0-9.]*\),.*/\1/p' more/log.jsonl)
must "$DUET" adapter merge run lora -o merged.blzt >s.out 2>s.err
must "$DUET" train $S --init merged.blzt --data text.txt --steps 1 --out whole >s.out 2>s.err
check "it begins where the adapter ended" close_to "$first" \
    "$(sed -n 's/.*"val","step":0,.*"val_loss":\([0-9.]*\),.*/\1/p' whole/log.jsonl)" 1e-4
check "and trains it" differ more/adapter.blzt lora/adapter.blzt
must "$DUET" train $S --init run --adapter lora --data text.txt --steps 2 --schedule constant \
    --out half >s.out 2>s.err
must "$DUET" train $S --init run --adapter lora --data text.txt --steps 4 --schedule constant \
    --out four >s.out 2>s.err
mv lora away
check "it resumes without that adapter" "$DUET" train --resume half --steps 4 --threads 1 --quiet
check "to the same weights" same half/adapter.blzt four/adapter.blzt
mv away lora
refuses "another rank" 2 '--lora contradicts --adapter lora, which has rank 2' \
    "$DUET" train $S --init run --adapter lora --lora 4 --data text.txt --steps 2 --out no
refuses "other targets" 2 '--lora-targets contradicts --adapter lora, which has targets q,v' \
    "$DUET" train $S --init run --adapter lora --lora-targets k --data text.txt --steps 2 --out no
refuses "without its base" 2 '--adapter needs the model it was trained on: --init' \
    "$DUET" train $TINY --adapter lora --data text.txt --steps 2 --out no
refuses "another base" 1 'belongs to a base with hash' "$DUET" train $S --init t1 --adapter lora \
    --data text.txt --steps 2 --out no
refuses "with MeZO" 2 '--adapter does not go with --engine mezo' \
    "$DUET" train $S --init run --adapter lora --engine mezo --data text.txt --steps 2 --out no
refuses "with --resume" 2 '--adapter does not belong to --resume' "$DUET" train --resume more \
    --adapter lora --steps 9
cp lora/adapter.blzt lone.blzt
refuses "an adapter as --init" 1 \
    'is an adapter, and a model is wanted here: give its base, and --adapter' \
    "$DUET" train $S --init lone.blzt --data text.txt --steps 2 --out no
check "nothing was made" absent no
must "$DUET" train $S --init lora --data text.txt --steps 4 --out folder >s.out 2>s.err
check "train --init of a LoRA run: from base and adapter" same folder/adapter.blzt more/adapter.blzt
check "on record are the files" equal \
    "$(json init folder/config.json) $(json adapter folder/config.json)" \
    "../run/model.blzt ../lora/adapter.blzt"
for a in "--init lora" "--init run --adapter lora"; do
    refuses "train $a over it" 2 'lora/adapter.blzt is to be read, but would be overwritten' \
        "$DUET" train $S $a --data text.txt --steps 2 --out lora --overwrite
done
check "the adapter is still there" [ -s lora/adapter.blzt ]
must "$DUET" adapter merge lora -o m3.blzt >s.out 2>s.err
check "adapter merge of a LoRA run: as of the files" same m3.blzt m2.blzt
refuses "adapter merge of another run" 2 'run is no LoRA run' "$DUET" adapter merge run -o m4.blzt
must "$DUET" convert lora peft2/ >s.out 2>s.err
check "convert of a LoRA run takes its base" same peft2/adapter_model.safetensors \
    peft/adapter_model.safetensors
"$DUET" plan --init lora --json >p1.out 2>p.err
"$DUET" plan --init run --adapter lora --json >p2.out 2>p.err
check "plan --init of a LoRA run" sh -c \
    'grep -v available p1.out >p1 && grep -v available p2.out | diff - p1'
"$DUET" plan --init run --adapter lora --json >p1.out 2>p.err
"$DUET" plan --init run --lora 2 --lora-targets q,v --json >p2.out 2>p.err
check "plan --adapter" sh -c 'grep -v available p1.out >p1 && grep -v available p2.out | diff - p1'

# ---- a base without a tokenizer, which --tokenizer named
must "$DUET" tokenizer train text.txt --vocab 300 -o tok.json >s.out 2>s.err
must "$DUET" train $SHAPE --tokenizer tok.json --seq 32 --batch 4 --threads 1 --quiet --data \
    text.txt --steps 3 --out bare >s.out 2>s.err
must "$DUET" convert bare/model.blzt bare.blzt --tokenizer none >s.out 2>s.err
must "$DUET" train $S --init bare.blzt --tokenizer tok.json --lora 2 --data text.txt --steps 4 \
    --checkpoint-every 2 --keep 2 --out own >s.out 2>s.err
refuses "the base alone has none" 1 'holds no tokenizer' generate bare.blzt
evaluate bare.blzt --adapter own/adapter.blzt --tokenizer tok.json >e1.out 2>e.err
evaluate own >e2.out 2>e.err
check "eval of the run: its tokenizer" sh -c \
    'grep -q val_bpb e1.out && grep -v seconds e1.out >a; grep -v seconds e2.out | diff - a'
evaluate bare.blzt --adapter own >e3.out 2>e.err
check "of the base with the run as adapter" sh -c 'grep -v seconds e3.out | diff - a'
evaluate own/checkpoints/2 >e4.out 2>e.err
check "of a checkpoint" says e4.out val_bpb
generate bare.blzt --adapter own/adapter.blzt --tokenizer tok.json >g1.out 2>g.err
generate own >g2.out 2>g.err
check "generate" sh -c '[ -s g1.out ] && cmp g1.out g2.out'
check "audit" "$DUET" audit own --data text.txt --batch 2 --seq 32 --threads 1 --quiet
check "adapter merge" "$DUET" adapter merge own -o whole.blzt
generate whole.blzt >g3.out 2>g.err
check "the merged model has it" says g3.out '^One'
must "$DUET" train $S --init own --data text.txt --steps 2 --out next >s.out 2>s.err
check "train --init goes on with it" equal "$(json tokenizer next/config.json)" ../own/start.blzt

# ---- --tokenizer of a run's folder; what is read is not written over
must "$DUET" tokenize --tokenizer own --out run.shard --quiet text.txt
must "$DUET" tokenize --tokenizer tok.json --out file.shard --quiet text.txt
check "--tokenizer RUN: that of the run" same run.shard file.shard
refuses "--tokenizer RUN over it" 2 'own is to be read, but would be overwritten' \
    "$DUET" train $SHAPE --tokenizer own --data text.txt --steps 1 --out own --overwrite
must "$DUET" convert bare/model.blzt hfm/ >/dev/null
refuses "a folder of Hugging Face over itself" 2 'hfm is to be read, but would be overwritten' \
    "$DUET" train $S --init hfm --data text.txt --steps 1 --out hfm --overwrite
check "it is still whole" evaluate hfm

# ---- a base that moved
mkdir there && mv bare.blzt there
refuses "eval: the base is gone" 1 \
    'own: its base .*bare.blzt is gone: give the base where it is now, and --adapter own' \
    evaluate own
refuses "train --init: the base is gone" 1 'own: its base .*bare.blzt is gone' \
    "$DUET" train $S --init own --data text.txt --steps 2 --out no
refuses "train --resume: the base is gone" 1 \
    'bare.blzt, which own was begun with, is gone: --init FILE names it' \
    "$DUET" train --resume own --steps 6 --threads 1 --quiet
evaluate there/bare.blzt --adapter own >e5.out 2>e.err
check "what is advised works" sh -c 'grep -v seconds e5.out | diff - a'
must "$DUET" convert own peft3/ --base there/bare.blzt >s.out 2>s.err
check "convert --base over what it wrote" "$DUET" convert own peft3/ --base there/bare.blzt \
    --overwrite
check "train --resume --init" "$DUET" train --resume own --init there/bare.blzt --steps 6 \
    --threads 1 --quiet
finish
