#!/bin/sh
# Every option of `duet train` does what it is for: it changes the weights, or the output, and the
# options that say how to run do not change the weights. An option that is not in the table fails.
. "$(dirname "$0")/lib.sh"
must stories 20000 8 >text.txt
must stories 20000 9 >other.txt
must "$DUET" tokenizer train --vocab 300 --out bpe.json --quiet text.txt >bpe.out 2>&1
must "$DUET" tokenize --tokenizer byte text.txt --out text.shard --quiet >shard.out 2>&1
# Tokens without the header of a shard: bytes as little-endian 16-bit numbers.
head -c 8000 text.txt | od -An -v -tu1 -w1 | awk '{ printf "\\%o\\000", $1 }' >octal.txt
printf "$(cat octal.txt)" >raw.bin
sed 's/"rope_theta": 10000.0/"rope_theta": 50.0/' "$SRC/models/stories260k.json" >other.json
echo '{"lr": 0.002}' >lr.json
must train from --steps 6 --seed 3
must train three --steps 3 --warmup 1
must train frozen --steps 6 --seed 3 --set intermediate_size=64
# What --compute auto means here: bf16 where the CPU multiplies it.
AUTO=f32
case ${DUET_CPU:-avx512bf16} in
avx512bf16) ! grep -qw avx512_bf16 /proc/cpuinfo || AUTO=bf16 ;;
esac
# Classification by the last byte of a prompt.
awk 'BEGIN { print "sentence\tlabel"; for (i = 0; i < 40; i++) printf "the %d dog\t%d\n", i * 7 % 13, (i * 5 % 3 > 0) }' >a.tsv
sed 's/dog/cat/' a.tsv >b.tsv

# One line an option and value:  NAME | w or = | OPTIONS | CHECK
#   w: other weights than the run without it; =: the same weights
#   CHECK: a command to succeed after the run; its files are run/, run.out and run.err, those of the
#   run without it base/ and base.out
BACKPROP="--steps 4 --warmup 1"
cat >backprop.table <<'END'
model           | w | --model other.json |
set             | w | --set rope_theta=100 |
set             | w | --set rms_norm_eps=0.01 |
set             | w | --set hidden_size=40 |
set             | w | --set intermediate_size=56 |
set             | w | --set num_hidden_layers=1 |
set             | w | --set num_attention_heads=2 |
set             | w | --set num_key_value_heads=4 |
set             | w | --set head_dim=16 |
set             | w | --set vocab_size=300 |
set             | w | --set tie_word_embeddings=false |
set             | w | --set attention_bias=true |
set             | w | --set initializer_range=0.1 |
set             | w | --set model_type=qwen3 |
set             | w | --set duet.qk_norm=true |
set             | w | --set duet.residual_scale=0.5 |
set             | w | --set duet.logit_softcap=2 |
set             | w | --set duet.init=normal |
set             | w | --set duet.init=compat |
set             | w | --set duet.seq_len=16 --seq 0 |
set             | w | --set max_position_embeddings=20 --set duet.seq_len=0 --seq 0 |
init            | w | --init from/model.blzt --set vocab_size=257 |
compact-vocab   | w | --compact-vocab | says run.err compacted
full-vocab-loss | w | --compact-vocab --full-vocab-loss | says run.out val_loss_full
data            | w | --data other.txt |
data            | = | --data text.shard |
format          | w | --format raw16 --data raw.bin |
tokenizer       | w | --tokenizer bpe.json |
val-fraction    | w | --val-fraction 0.3 |
val-data        | w | --val-data other.txt | [ -s run/val.shard ]
test-fraction   | w | --test-fraction 0.2 | "$DUET" eval run --split test --windows 2
order           | w | --order epoch |
order           | = | --order random |
batch           | w | --batch 3 |
seq             | w | --seq 16 |
accum           | w | --accum 2 |
accum-end       | w | --accum-end 3 |
engine          | = | --engine backprop |
engine          | w | --engine mezo | [ -f run/trajectory.zo ]
weights         | w | --weights bf16 | less $(wc -c <run/model.blzt) $(wc -c <base/model.blzt)
optimizer       | w | --optimizer lion |
optimizer-matrix| w | --optimizer-matrix lion | says run.err 'adamw, lion for matrices'
optimizer-matrix| = | --optimizer-matrix adamw |
optimizer-matrix| w | --optimizer-matrix muon | says run.err '(matrices times 20)'
steps           | w | --steps 3 | equal 3 $(value num_steps run.out)
time            | w | --time 0.000001 | equal 1 $(value num_steps run.out)
time            | = | --time 100000 | equal 4 $(value num_steps run.out)
tokens          | w | --tokens 384 | equal 3 $(value num_steps run.out)
tokens          | = | --tokens 512 --steps 0 | equal 4 $(value num_steps run.out)
epochs          | w | --epochs 0.001 | equal 1 $(value num_steps run.out)
epochs          | = | --epochs 1 | equal 4 $(value num_steps run.out)
flops           | w | --flops 1 | equal 1 $(value num_steps run.out)
flops           | = | --flops 1e30 | equal 4 $(value num_steps run.out)
clock           | = | --steps 0 --clock base/clock | same run/clock base/clock
clock           | w | --steps 0 --clock three/clock | equal 3 $(value num_steps run.out)
stop-at         | w | --stop-at 0.5 | equal "2 stopped" "$(value num_steps run.out) $(value status run.out)"
stop-at         | = | --stop-at 1 | equal finished $(value status run.out)
name            | = | --name short | says run/config.json '"name": "short"'
note            | = | --note try | says run/summary.json '"note": "try"'
lr              | w | --lr 0.002 |
lr              | = | --lr 0.001 |
schedule        | w | --schedule constant |
schedule        | w | --schedule linear |
schedule        | w | --schedule cosine |
schedule        | = | --schedule wsd |
warmup          | w | --warmup 3 |
min-lr          | w | --min-lr 0.5 |
decay-share     | w | --decay-share 0.9 |
beta1           | w | --beta1 0.5 |
beta2           | w | --beta2 0.5 |
adam-eps        | w | --adam-eps 0.001 |
clip            | w | --clip 0.1 |
clip            | w | --clip 0 |
weight-decay    | w | --weight-decay 0.5 |
embed-decay     | w | --embed-decay 0.5 |
norm-decay      | w | --norm-decay 0.5 |
embed-lr        | w | --embed-lr 2 |
head-lr         | w | --set tie_word_embeddings=false --head-lr 2 |
matrix-lr       | w | --matrix-lr 2 |
matrix-beta1    | w | --matrix-beta1 0.5 |
matrix-beta2    | w | --matrix-beta2 0.5 |
norm-lr         | w | --norm-lr 2 |
spike           | = | --spike 0 |
seed            | w | --seed 2 |
compute         | w | --compute bf16 | says run.err bf16
compute         |   | --compute auto | says run.err $AUTO
gemm            | = | --gemm native | says run.err native
recompute       | = | --recompute | less $(value planned_mb run.out) $(value planned_mb base.out)
threads         | = | --threads 3 |
checkpoint-every| = | --checkpoint-every 1 |
checkpoint-every| = | --checkpoint-every 0.001s |
val-every       | = | --val-every 1 | equal 4 $(grep -c '"val"' run/log.jsonl)
keep-best       | = | --val-every 2 | [ -s run/best.blzt ]
keep-best       | = | --val-every 2 --no-keep-best | absent run/best.blzt
keep            | = | --keep 2 --checkpoint-every 1 | equal "$(echo $(ls run/checkpoints))" "3 4"
patience        | w | --lr 0 --val-every 1 --patience 1 | equal 2 $(value num_steps run.out)
val-windows     | = | --val-windows 3 | unlike $(value val_loss run.out) $(value val_loss base.out)
log-every       | = | --log-every 1 | equal 4 $(grep -c '"step",' run/log.jsonl)
json            | = | --json | equal 4 $(json num_steps run.out)
quiet           | = | --quiet | ! grep -v busy run.err && [ -s base.err ]
color           | w | --color always --val-every 1 --lr 1e-2 | says run.err '\[32m  best'
out             | = | | [ -f run/model.blzt ]
overwrite       | = | --overwrite | [ -f run/model.blzt ]
config          | w | --config lr.json | says run/config.json 0.002
END

MUON="$BACKPROP --optimizer-matrix muon"
cat >muon.table <<'END'
muon-steps      | w | --muon-steps 3 | says run/config.json '"muon-steps": 3'
muon-steps      | = | --muon-steps 5 |
muon-polynomial | w | --muon-polynomial newton-schulz |
muon-polynomial | = | --muon-polynomial polar-express |
muon-equalise   | w | --muon-equalise |
muon-rescale    | w | --muon-rescale |
muon-normalise  | w | --muon-normalise | less $(wc -c <base/state) $(wc -c <run/state)
matrix-beta2    | w | --muon-normalise --matrix-beta2 0.5 |
cautious-decay  | w | --cautious-decay |
matrix-beta1    | w | --matrix-beta1 0.5 |
matrix-lr       | w | --matrix-lr 2 |
weight-decay    | w | --weight-decay 0.5 |
clip            | w | --clip 0.1 |
compute         | w | --compute bf16 |
threads         | = | --threads 3 |
END

MEZO="--engine mezo --steps 4 --lr 1e-6 --batch 2"
cat >mezo.table <<'END'
optimizer       | = | --optimizer sgd |
optimizer       | w | --optimizer momentum |
optimizer       | w | --optimizer adamw |
optimizer-matrix| w | --optimizer-matrix lion |
optimizer-matrix| = | --optimizer-matrix sgd |
estimator       | = | --estimator grzo |
estimator       | w | --estimator spsa |
estimator       | w | --estimator fzoo |
lr              | = | --lr 0.000001 |
lr              | w | --lr -1 | says run.err '(measured)'
directions      | w | --directions 2 |
eps             | w | --eps 0.1 |
direction       | w | --direction lowrank |
direction-rank  | w | --direction lowrank --direction-rank 1 |
direction-every | w | --direction lowrank --direction-every 1 |
perturb         | w | --perturb matrix,norm |
perturb         | w | --perturb norm=2 |
perturb         | = | --perturb embed,matrix,norm |
eps             | = | --eps 0.001 |
weights         | w | --weights bf16 | less $(wc -c <run/model.blzt) $(wc -c <base/model.blzt)
schedule        | w | --schedule cosine |
schedule        | w | --schedule constant |
schedule        | = | --schedule linear |
warmup          | w | --warmup 2 |
accum           | w | --accum 2 |
clip            | w | --clip 0.001 |
weight-decay    | w | --weight-decay 0.5 |
seed            | w | --seed 2 |
threads         | = | --threads 3 |
END

LORA="--set intermediate_size=64 --set vocab_size=257 --init frozen/model.blzt --lora 4 --steps 4 --warmup 1"
cat >lora.table <<'END'
lora            | w | --lora 2 | less $(wc -c <run/adapter.blzt) $(wc -c <base/adapter.blzt)
adapter         | w | --adapter base/adapter.blzt |
lora-alpha      | w | --lora-alpha 1 |
lora-alpha      | = | --lora-alpha 8 |
lora-targets    | w | --lora-targets q,v | less $(wc -c <run/adapter.blzt) $(wc -c <base/adapter.blzt)
lora-targets    | w | --lora-targets gate,up,down |
lora-targets    | w | --lora-targets all |
lora-mode       | w | --lora-mode merge | close_to $(value val_loss run.out) $(value val_loss base.out) 1e-3
lora-mode       | = | --lora-mode split |
rslora          | w | --rslora |
lora-norms      | w | --lora-norms | less $(wc -c <base/adapter.blzt) $(wc -c <run/adapter.blzt)
lora-init       | w | --lora-init uniform |
lora-decay      | w | --lora-decay 0.5 |
weights         | w | --weights bf16 |
weights         | w | --weights q8_0 |
optimizer       | w | --optimizer sgd |
recompute       | = | --recompute |
END

TASK="--task a.tsv --template {sentence}: --labels x,y --init from/model.blzt --steps 4 --warmup 1"
cat >task.table <<'END'
task            | w | --task b.tsv |
task-eval       | = | --task-eval a.tsv | says run.out val_accuracy
template        | w | --template {sentence}! |
labels          | w | --labels x,z |
objective       | = | --objective ce |
engine          | w | --engine mezo |
END
OBJECTIVE="$TASK --engine mezo --lr 1e-3 --eps 0.1"
cat >objective.table <<'END'
objective       | w | --objective accuracy |
objective       | w | --objective f1 |
END

less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }' ||
    { echo "$1 is not less than $2"; return 1; }; }
unlike() { [ "$1" != "$2" ] || { echo "both are $1"; return 1; }; }
# A run on the text, or on labelled examples.
classify() {
    t_out=$1
    shift
    "$DUET" train --batch 4 --threads 1 --quiet --out "$t_out" "$@" >"$t_out.out" 2>"$t_out.err"
}
file_of() { if [ -f "$1/adapter.blzt" ]; then echo "$1/adapter.blzt"; else echo "$1/model.blzt"; \
    fi; }

# try TABLE COMMAND OPTION...
try() {
    table=$1 command=$2
    shift 2
    rm -rf base
    must $command base "$@"
    tensors "$(file_of base)" >base.w
    while IFS='|' read -r name effect options checking; do
        name=${name%% *} effect=$(echo $effect) options=$(echo $options)
        [ "$name" = overwrite ] || rm -rf run
        if ! $command run "$@" $options 2>train.err; then
            not_ok "$table: --$name ($options): runs" train.err run.err
            continue
        fi
        case $effect in
        w)
            tensors "$(file_of run)" >run.w
            check "$table: --$name ($options) changes the weights" differ run.w base.w
            ;;
        =) check "$table: --$name ($options) leaves the weights alone" same "$(file_of run)" \
            "$(file_of base)" ;;
        esac
        [ -z "$checking" ] || check "$table: --$name ($options) is seen:$checking" eval "$checking"
    done <$table.table
}
try muon train $MUON
try mezo train $MEZO
try lora train $LORA
try task classify $TASK
try objective classify $OBJECTIVE
try backprop train $BACKPROP

# ---- options that stop a run, or start one in another way
refuses "--spike stops" 6 'more than --spike 1e-09' "$DUET" train $TINY --data text.txt --out run2 \
    --steps 200 --lr 0 --spike 1e-9
refuses "--no-rollback does not go back" 6 'training stopped' "$DUET" train $TINY --data text.txt \
    --out run3 --steps 200 \
    --lr 0 --spike 1e-9 --no-rollback --checkpoint-every 1
check "--rollback does" sh \
    -c '! grep -q rollback run3/log.jsonl && ! "$@" 2>run4.err && grep -q "going back to step 1" run4.err' - \
    "$DUET" train $TINY --data text.txt --out run4 --steps 200 --lr 0 --spike 1e-9 \
    --checkpoint-every 1
check "--resume goes on" "$DUET" train --resume base --steps 5 --threads 1 --quiet
check "--help" "$DUET" train --help

# ---- the table is complete
"$DUET" train --help all | sed -n 's/^  \(-., \)\{0,1\}--\([a-z0-9-]*\).*/\2/p' >options.txt
check "help lists options" [ "$(wc -l <options.txt)" -gt 40 ]
for name in $(cat options.txt); do
    case $name in
    spike | rollback | resume | help) ;;
    *) cat ./*.table | grep -q "^$name *|" || not_ok \
        "--$name has no line in the tables of tests/cli/flags.sh" ;;
    esac
done
for name in $(cat ./*.table | sed 's/ *|.*//' | sort -u); do
    grep -qx -e "$name" options.txt || not_ok "--$name of the tables is not an option of train"
done
finish
