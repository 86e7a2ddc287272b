#!/bin/sh
# Files of duet in the programs that they are for: llama.cpp (by way of npm's node-llama-cpp) and
# Hugging Face's own readers. What is compared is in tests/clients/*.mjs; this script installs the
# clients, makes the models and numbers the results.
#
# The clients are optional: without node, npm or a registry nothing fails, and the output says why.
# They are kept in $DUET_CLIENTS (default: ~/.cache/duet/clients; 91 MB) for the next run.
# DUET_CLIENTS=none leaves this test out.
. "$(dirname "$0")/lib.sh"
export DUET
CLIENTS=${DUET_CLIENTS:-$CACHE/duet/clients}

not_here() {
    skip "clients" "$1"
    finish
}

# ---- the clients -------------------------------------------------------------------------------
[ "$CLIENTS" != none ] || not_here "DUET_CLIENTS is none"
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || not_here \
    "the prebuilt llama.cpp is for Linux on x86_64"
command -v node >/dev/null || not_here "node is not installed"
command -v npm >/dev/null || not_here "npm is not installed"
[ "$(node -p 'process.versions.node.split(".")[0] >= 20')" = true ] ||
    not_here "node $(node -v) is older than 20"

# `npm ci` wants every optional package of other systems in the lock, also those that a mirror does
# not have; `npm install` takes from the lock what it needs. One run installs, others wait.
install_clients() {
    cmp -s "$SRC/tests/clients/package-lock.json" "$CLIENTS/installed" && return 0
    cp "$SRC/tests/clients/package.json" "$SRC/tests/clients/package-lock.json" "$CLIENTS" ||
        return 1
    (cd "$CLIENTS" && timeout 180 npm install --omit=optional --ignore-scripts --no-audit \
        --no-fund --fetch-retries=1 \
        --fetch-timeout=15000) >npm.out 2>&1 || return 1
    cp "$SRC/tests/clients/package-lock.json" "$CLIENTS/installed"
}
mkdir -p "$CLIENTS" 2>npm.out || not_here "$CLIENTS cannot be made"
if command -v flock >/dev/null; then
    exec 9>"$CLIENTS/lock"
    flock -w 200 9 || not_here "another run has been installing the clients for 200 seconds"
fi
if ! install_clients; then
    why=$(sed -n 's/^npm error \(code .*\)/\1/p' npm.out | head -1)
    not_here "npm could not install the clients: ${why:-no answer in 180 seconds}"
fi
command -v flock >/dev/null && exec 9>&-
cp "$SRC"/tests/clients/*.mjs . # imports are looked for beside the script
ln -s "$CLIENTS/node_modules" node_modules

# ---- the models --------------------------------------------------------------------------------
must stories 600000 >text.txt
must stories 20000 2 >other.txt
must "$DUET" tokenizer train --vocab 1024 --out tok.json text.txt --quiet 2>train.err
must "$DUET" tokenize --tokenizer tok.json text.txt --out data.shard --quiet 2>>train.err
must "$DUET" tokenize --tokenizer tok.json other.txt --out other.shard --quiet 2>>train.err
# make NAME OPTION...: a model NAME.blzt of the built-in corpus
make() {
    m_name=$1
    shift
    "$DUET" train --tokenizer tok.json --out "$m_name" --quiet "$@" >"$m_name.out" 2>>train.err ||
        { cat train.err; return 1; }
    cp "$m_name/model.blzt" "$m_name.blzt"
}
SHAPE="--model $SRC/models/stories260k.json --seq 64 --batch 4 --set vocab_size=1024 --set num_hidden_layers=3"
NEW="$SHAPE --data data.shard"
# A residual scale, which GGUF has no key for, and a classifier of its own.
must make trained $NEW --steps 150 --batch 8 --lr 3e-3 --embed-lr 4 --set hidden_size=96 \
    --set intermediate_size=256 \
    --set num_attention_heads=6 --set num_key_value_heads=2 --set head_dim=16 \
    --set duet.residual_scale=0.6 \
    --set tie_word_embeddings=false
# Random weights with peaked distributions; a few steps so that biases are not zero and norms not
# one.
RANDOM_ONES="--steps 5 --lr 1e-3 --norm-lr 50 --warmup 0 --spike 0 --set duet.init=normal --set initializer_range=0.17"
must make qwen2 $NEW $RANDOM_ONES --set model_type=qwen2 --set attention_bias=true \
    --set rope_theta=1000000
must make qwen3 $NEW $RANDOM_ONES --set model_type=qwen3 --set hidden_size=96 \
    --set num_attention_heads=4 \
    --set num_key_value_heads=2 --set head_dim=32 --set rms_norm_eps=1e-6
must make arcee $NEW $RANDOM_ONES --set model_type=arcee --set hidden_act=relu2 \
    --set num_attention_heads=4 --set num_key_value_heads=2 --set head_dim=16
must make untied $NEW $RANDOM_ONES --set tie_word_embeddings=false --set num_key_value_heads=8 \
    --set rope_theta=50000
# Llama 3's rotary scaling, for a length of 32 that the test goes beyond.
sed 's/"rope_theta".*/"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,\
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32},/' \
    "$SRC/models/stories260k.json" >rope.json
must make rope $NEW $RANDOM_ONES --model rope.json --set num_attention_heads=4 \
    --set num_key_value_heads=2 --set head_dim=16
must "$DUET" train --init trained.blzt --data other.shard --seq 64 --batch 4 --lora 4 \
    --lora-targets q,k,v,o,gate,up,down \
    --steps 30 --lr 3e-2 --out lora --quiet >lora.out 2>>train.err
must "$DUET" adapter merge trained.blzt lora/adapter.blzt --out merged.blzt >merge.out
# Vocabularies that llama.cpp knows by name.
SMOLLM=$DATA/tokenizers/smollm2/tokenizer.json
if [ -f "$SMOLLM" ]; then
    must make smollm2 $SHAPE --steps 1 --data other.txt --tokenizer "$SMOLLM" \
        --set vocab_size=49152 --set hidden_size=32
fi

# ---- trying them -------------------------------------------------------------------------------
# Lines "ok - NAME", "not ok - NAME", "skip - NAME: WHY" and comments become TAP.
try() {
    node "$1" >try.out 2>try.err
    t_status=$?
    while IFS= read -r line; do
        case $line in
        "ok - "*) ok "${line#ok - }" ;;
        "not ok - "*) not_ok "${line#not ok - }" ;;
        "skip - "*) line=${line#skip - } && skip "${line%%: *}" "${line#*: }" ;;
        *) echo "$line" ;;
        esac
    done <try.out
    check "$1 came to its end" [ $t_status -eq 0 ]
    [ $t_status -eq 0 ] || head -c 2000 try.err | sed "s/^/# /"
}
export DATA
try llama.mjs
try files.mjs
finish
