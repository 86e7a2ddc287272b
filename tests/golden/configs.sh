# The runs whose bits are recorded in table.txt, and how they are taken down. Sourced by golden.sh
# and renew.sh after ../cli/lib.sh, which sets DUET and SRC and makes the folder to work in.
# Whatever enters a number is given here, so that another default is not another number.
GOLDEN=$SRC/tests/golden
TIERS="generic avx2 avx512 avx512bf16"
COLUMNS="weights losses state trajectory answers train_loss"

# Options that belong together: duet refuses those that have no effect.
COMMON="--gemm native --steps 24 --accum 1 --batch 4 --seed 1 --spike 0 --val-every 10 \
--checkpoint-every 7 --log-every 1 --no-keep-best --quiet"
TEXT="--data $GOLDEN/text.txt --seq 32 --val-fraction 0.1 --val-windows 16"
NEW="$TEXT --model $GOLDEN/tiny.json"
BYTES="$NEW --tokenizer byte"
WORDS="$NEW --tokenizer $GOLDEN/bpe.json --set vocab_size=300"
WSD="--schedule wsd --decay-share 0.5 --min-lr 0.1"
LINEAR="--schedule linear --min-lr 0.1"
COSINE="--schedule cosine --min-lr 0.1"
BACKPROP="--engine backprop --warmup 3 --clip 1"
DECAY="--weight-decay 0.1 --embed-decay 0 --norm-decay 0 --embed-lr 1 --matrix-lr 1 --norm-lr 1"
MEZO="--engine mezo --steps 16 --warmup 0 --clip 0 --weight-decay 0"
ADAMW="--optimizer adamw --beta1 0.9 --beta2 0.95 --adam-eps 1e-8"
LION="--optimizer lion --beta1 0.9 --beta2 0.99"
MOMENTUM="--optimizer momentum --beta1 0.9"
SGD="--optimizer sgd"
LORA="--init base/model.blzt --lora-init peft"
TASK="--init base/model.blzt --task examples.tsv --task-eval examples.tsv --template {words}: \
--labels x,y --batch 6"

# NAME | OPTIONS beside COMMON; later options win. The first is the one that others begin from.
CONFIGS="
base       | $BYTES $BACKPROP $DECAY $ADAMW $WSD --lr 3e-3 --threads 1
lion       | $BYTES $BACKPROP $DECAY $LION $COSINE --lr 1e-3 --recompute --accum-end 3 --order epoch --threads 3
sgd        | $BYTES $BACKPROP $DECAY $SGD $WSD --lr 0.3 --clip 0.5 --set tie_word_embeddings=false --set num_key_value_heads=4 --threads 2
momentum   | $BYTES $BACKPROP $DECAY $MOMENTUM $WSD --lr 0.05 --weights bf16 --set model_type=qwen2 --embed-lr 0.5 --norm-decay 0.1 --threads 2
bf16       | $BYTES $BACKPROP $DECAY $ADAMW $WSD --lr 3e-3 --weights bf16 --compute bf16 --set model_type=qwen3 --set duet.logit_softcap=5 --set duet.residual_scale=0.5 --threads 1
compact    | $WORDS $BACKPROP $DECAY $ADAMW $LINEAR --lr 3e-3 --compact-vocab --full-vocab-loss --seq 17 --batch 3 --threads 3
lora       | $TEXT $LORA $BACKPROP $ADAMW $WSD --lr 0.01 --lora 4 --lora-alpha 8 --lora-norms --lora-decay 0.1 --threads 2
lora-merge | $TEXT $LORA $BACKPROP $LION $WSD --lr 3e-3 --lora 3 --lora-mode merge --lora-targets q,v,gate,down --rslora --weights q8_0 --recompute --threads 3
mezo       | $BYTES $MEZO $SGD $LINEAR --lr 1e-4 --estimator grzo --eps 1e-3 --threads 1
mezo-spsa  | $BYTES $MEZO $MOMENTUM $LINEAR --lr 2e-5 --estimator spsa --directions 2 --eps 1e-3 --weights bf16 --clip 20 --accum 2 --threads 2
mezo-fzoo  | $WORDS $MEZO $ADAMW $LINEAR --lr 1e-3 --estimator fzoo --directions 4 --eps 1e-3 --compact-vocab --seq 17 --threads 3
mezo-lora  | $TEXT $LORA $MEZO $LION $LINEAR --lr 1e-3 --lora 4 --estimator grzo --eps 1e-2 --weights q8_0 --threads 2
mezo-merge | $TEXT $LORA $MEZO $SGD $LINEAR --lr -1 --lora 2 --lora-mode merge --estimator spsa --directions 1 --eps 1e-2 --compute bf16 --threads 2
pair       | $BYTES $BACKPROP $DECAY $ADAMW --optimizer-matrix momentum --matrix-beta1 0.9 --matrix-lr 10 $WSD --lr 3e-3 --set model_type=arcee --set hidden_act=relu2 --threads 2
muon       | $BYTES $BACKPROP $DECAY $ADAMW --optimizer-matrix muon --matrix-beta1 0.95 --matrix-lr 7 --muon-steps 5 --muon-polynomial polar-express $WSD --lr 3e-3 --threads 2
muon-all   | $BYTES $BACKPROP $DECAY $ADAMW --optimizer-matrix muon --matrix-beta1 0.95 --matrix-beta2 0.9 --matrix-lr 7 --muon-steps 4 --muon-polynomial newton-schulz --muon-equalise --muon-rescale --muon-normalise --cautious-decay --weights bf16 --compute bf16 $WSD --lr 3e-3 --threads 3
mezo-part  | $BYTES $MEZO $SGD $LINEAR --lr 1e-4 --estimator spsa --directions 2 --eps 1e-3 --perturb matrix,norm=0.5,!*.layers.0.* --threads 2
mezo-low   | $BYTES $MEZO $ADAMW $LINEAR --lr 1e-3 --estimator spsa --directions 2 --eps 1e-3 --direction lowrank --direction-rank 2 --direction-every 5 --set duet.rope_local_theta=100 --set duet.rope_global_every=2 --set duet.value_embeds=true --threads 3
task       | $TASK $BACKPROP $DECAY $ADAMW $WSD --lr 3e-3 --objective ce --threads 2
mezo-f1    | $TASK $MEZO $SGD $LINEAR --lr 0.01 --objective f1 --estimator fzoo --directions 3 --eps 0.2 --threads 3
"
names() { echo "$CONFIGS" | sed -n 's/^\([a-z0-9-]*\) *|.*/\1/p'; }
options() { echo "$COMMON $(echo "$CONFIGS" | sed -n "s/^$1 *| //p")"; }

# golden_train NAME DIR OPTION...: a run; what it says is in DIR.out and DIR.err
golden_train() {
    g_name=$1 g_dir=$2
    shift 2
    "$DUET" train $(options "$g_name") --out "$g_dir" "$@" >"$g_dir.out" 2>"$g_dir.err"
}

hash() { sha256sum | cut -c1-16; }
weights_of() {
    if [ -f "$1/adapter.blzt" ]; then echo "$1/adapter.blzt"; else echo "$1/model.blzt"; fi
}

# figures PATTERN KEY... <JSON: the keys' values of each line that contains PATTERN, exact digits
figures() {
    f_pattern=$1
    shift
    awk -v pattern="$f_pattern" -v keys="$*" 'BEGIN { n = split(keys, key, " ") }
        index($0, pattern) {
            line = ""
            for (i = 1; i <= n; i++)
                if (match($0, "\"" key[i] "\": *[^],}]*")) {
                    value = substr($0, RSTART + length(key[i]) + 3, RLENGTH - length(key[i]) - 3)
                    gsub(/[ "]/, "", value)
                    line = line (line == "" ? "" : " ") key[i] " " value
                }
            if (line != "") print line
        }'
}

# The losses of a run: every update and validation of its log, and the summary's, of 9 digits.
losses_of() {
    figures '"event":"step"' step loss lr grad_norm <"$1/log.jsonl"
    figures '"event":"val"' step val_loss val_loss_stderr val_accuracy val_f1 <"$1/log.jsonl"
    figures '' val_loss val_loss_full val_loss_stderr val_bpb val_accuracy val_f1 train_loss \
        <"$1/summary.json"
}

# The arrays of the optimizer: name, length and hash of each, as the footer of the state has them.
state_of() {
    tail -c +$((1 + $(od -An -tu8 -j16 -N8 "$1/state" | tr -d ' '))) "$1/state" | tr '{' '\n' |
        figures '"xxh3"' name n xxh3
}

# The records of a trajectory, without the seconds that an update took and the checksum over them:
# the head holds the options, of which numbers are independent.
trajectory_of() {
    t_head=$(od -An -tu4 -j12 -N4 "$1/trajectory.zo" | tr -d ' ')
    t_ids=$(od -An -tu4 -j24 -N4 "$1/trajectory.zo" | tr -d ' ')
    tail -c +$((33 + t_head + 4 * t_ids)) "$1/trajectory.zo" | od -An -v -tx4 -w4 | awk '
        function number(hex,   i, x) {
            for (i = 1; i <= 8; i++) x = 16 * x + index("0123456789abcdef", substr(hex, i, 1)) - 1
            return x
        }
        { if (at == 2) n = number($1)
          if (at != 6 && !(at > 6 && at == 7 + 3 * n)) printf "%s ", $1
          if (at > 6 && at == 7 + 3 * n) { print ""; at = 0 } else at++ }
        END { if (at) print "cut" }'
}

# What a model says: loss of windows and of whole documents, a text, and the most likely one.
answers_of() {
    "$DUET" eval "$1" --data $GOLDEN/text.txt --windows 12 --seq 32 --batch 5 --gemm native \
        --threads 2 --json --quiet | figures '' val_loss val_loss_stderr val_bpb perplexity &&
        "$DUET" eval "$1" --data $GOLDEN/short.txt --exact --seq 64 --gemm native --threads 1 \
            --json --quiet | figures '' nats bits_per_byte bits_per_byte_stderr &&
        "$DUET" generate "$1" --prompt Once --tokens 24 --seed 5 --temperature 0.8 --top-k 40 \
            --gemm native --threads 2 --quiet &&
        "$DUET" generate "$1" --prompt 'The ' --tokens 24 --temperature 0 --repetition-penalty 1.2 \
            --gemm native --threads 1 --quiet
}

# row DIR: what is recorded of a finished run, in the order of COLUMNS: hashes, "-" for what it has
# not, and the loss for the eye, which tells another last bit from another model.
row() {
    r_weights=$(tensors "$(weights_of "$1")" | hash)
    r_losses=$(losses_of "$1" | hash)
    r_state=- r_trajectory=-
    [ -z "$(state_of "$1")" ] || r_state=$(state_of "$1" | hash)
    [ ! -f "$1/trajectory.zo" ] || r_trajectory=$(trajectory_of "$1" | hash)
    answers_of "$1" >answers.txt 2>answers.err || return 1
    echo "$r_weights $r_losses $r_state $r_trajectory $(hash <answers.txt) $(json train_loss \
        "$1/summary.json")"
}

# tiers_here: the instruction sets of this processor
tiers_here() {
    th_best=$("$DUET" --help | sed -n 's/.*(here: \([a-z0-9]*\)).*/\1/p')
    case " $TIERS " in
    *" $th_best "*) echo "${TIERS%"$th_best"*}$th_best" ;;
    *) echo "duet --help does not say which of \"$TIERS\" is here" >&2; return 1 ;;
    esac
}

# prepare: what the runs read; whatever the caller's machine is set to
prepare() {
    unset DUET_CPU
    awk 'BEGIN { print "words\tlabel"
        for (i = 0; i < 40; i++) printf "the %d dogs\t%d\n", i * 7 % 13, i % 5 % 2 }' >examples.tsv
}

# recorded NAME TIER: its row of the table, if there is one
recorded() { sed -n "s/^$1  *$2  *//p" "$GOLDEN/table.txt" | tr -s ' '; }
# comparable COMPILER TIER: whether its bits are those of the table. Without fused instructions there
# is nothing for a compiler to choose.
comparable() {
    case $1-$2 in
    "$(compiled_with)"-* | *" x86_64"-generic) return 0 ;;
    *) return 1 ;;
    esac
}
# compiled_with: the compiler whose bits the table has, as tests/meson.build names it
compiled_with() { sed -n 's/^# compiler: //p' "$GOLDEN/table.txt"; }
