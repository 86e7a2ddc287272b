# What a duet makes of the files in this folder. Sourced by make.sh, where the duet is the one that
# wrote them, and by first.sh, where it is today's; after ../../cli/lib.sh and ../configs.sh.
FIRST=$GOLDEN/first

# facts: "KEY VALUE" lines. A command that fails has the value "failed".
facts() {
    rm -rf w
    mkdir w
    cp "$GOLDEN/text.txt" "$GOLDEN/bpe.json" w/
    head -c 4000 w/text.txt >w/short.txt
    cp -r "$FIRST"/files/* w/
    chmod -R u+w w
    cd w || return 1
    fact tokenize shard
    for file in base.blzt q8_0.blzt base.gguf hf done/model.blzt llama2c.bin llama2c_v1.bin \
        v4.blzt4; do
        fact "$file-loss" loss "$file"
        fact "$file-tensors" f32 "$file"
        fact "$file-text" text "$file"
    done
    for file in zo/base.blzt zo/model.blzt half/model.blzt compat/model.blzt; do
        fact "$file-loss" loss "$file"
        fact "$file-tensors" f32 "$file"
    done
    for file in lora/adapter.blzt zo-lora/adapter.blzt peft adapter.gguf; do
        fact "$file-loss" loss base.blzt --adapter "$file"
        fact "$file-tensors" merged "$file"
    done
    fact text.shard-loss on_shard
    fact text.shard-run from_shard
    fact half-resumed resumed half
    fact half-log log_of half
    fact done-longer resumed done --steps 310
    fact done-log log_of done
    fact zo-replayed replayed zo zo/base.blzt
    fact zo-resumed resumed zo
    fact zo-trajectory trajectory_of zo
    fact zo-lora-replayed replayed zo-lora base.blzt
    fact zo-lora-resumed resumed zo-lora --init base.blzt
    fact zo-lora-trajectory trajectory_of zo-lora
    fact lora-longer resumed lora --init base.blzt --steps 20
    fact lora-log log_of lora
    cd ..
}

# fact KEY COMMAND...: the hash of what the command prints, or its one figure
fact() {
    key=$1
    shift
    if "$@" >fact.out 2>fact.err; then
        case $key in
        *-loss) echo "$key $(cat fact.out)" ;;
        *) echo "$key $(hash <fact.out)" ;;
        esac
    else
        echo "$key failed"
        [ ! -d ../failed ] || cp fact.err "../failed/$(echo "$key" | tr / _)"
    fi
}

# Behind the header, whose hash of the tokenizer is computed in another way today.
shard() {
    rm -f again.shard
    "$DUET" tokenize --tokenizer bpe.json --out again.shard --quiet text.txt >shard.out &&
        tail -c +129 again.shard
}
on_shard() {
    "$DUET" eval base.blzt --data text.shard --seq 32 --windows 20 --gemm native --threads 1 \
        --json --quiet | figures '' val_loss | sed 's/val_loss //'
}
from_shard() {
    rm -rf run
    "$DUET" train --model "$FIRST/width32.json" --set vocab_size=300 --tokenizer bpe.json \
        --data text.shard --seq 32 --batch 2 --steps 3 --gemm native --threads 1 --out run --quiet >run.out &&
        tensors run/model.blzt
}
# The log's updates; the first edition had fewer keys, and no other spelling of these.
log_of() { figures '"event":"step"' step loss lr grad_norm <"$1/log.jsonl"; }
resumed() {
    r_run=$1
    shift
    "$DUET" train --resume "$r_run" --threads 2 --quiet "$@" >resume.out &&
        tensors "$(weights_of "$r_run")" && state_of "$r_run"
}
replayed() {
    rm -f replayed.blzt &&
        "$DUET" replay "$2" "$1/trajectory.zo" -o replayed.blzt --quiet >replay.out &&
        tensors replayed.blzt
}
loss() {
    l_file=$1
    shift
    set -- "$l_file" --data text.txt --seq 32 --windows 20 --gemm native --threads 1 --json \
        --quiet "$@"
    case $l_file in
    llama2c* | v4*) set -- "$@" --tokenizer byte ;; # no room for one
    esac
    "$DUET" eval "$@" | figures '' val_loss | sed 's/val_loss //'
}
f32() {
    "$DUET" convert "$1" f32.blzt --dtype f32 >convert.out && tensors f32.blzt && rm f32.blzt
}
merged() {
    "$DUET" adapter merge base.blzt "$1" --out merged.blzt >merge.out &&
        tensors merged.blzt && rm merged.blzt
}
text() {
    case $1 in
    llama2c* | v4*) set -- "$1" --tokenizer byte ;;
    esac
    t_file=$1
    shift
    "$DUET" generate "$t_file" --prompt 'One day' --tokens 20 --temperature 0 --gemm native \
        --threads 1 --quiet "$@"
}
