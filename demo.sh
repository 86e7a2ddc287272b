#!/bin/sh
# From nothing to a trained model: installs what is missing, builds, writes the built-in corpus, trains
# a tokenizer and a model (about a minute), evaluates it, lets it tell stories, and exports it to GGUF.
set -eu
cd "$(dirname "$0")"

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
# Prints a command as it could be typed, and runs it.
run() {
    printf '$'
    for word; do
        case $word in *' '*) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\n'
    "$@"
}

say "Installing what is missing, building"
tools/setup.sh
[ -f build/build.ninja ] || meson setup build >/dev/null
meson compile -C build >/dev/null
duet=build/tools/duet
dir=${DUET_DEMO_DIR:-demo-run}
seconds=${DUET_DEMO_SECONDS:-60}
mkdir -p "$dir"

# What an earlier demo left; duet writes over nothing unless it is told.
for f in stories.txt tokenizer.json unseen.txt model.gguf model-q8_0.gguf Modelfile; do rm -f "$dir/$f"; done

say "A corpus: 16 MB of stories from the built-in grammar, which knows how much information they hold"
run $duet stories --bytes 16M --seed 1 --out "$dir/stories.txt"

say "A tokenizer: byte-level BPE with 2048 tokens"
run $duet tokenizer train --vocab 2048 --out "$dir/tokenizer.json" "$dir/stories.txt"

say "What training will need"
run $duet plan --model models/demo.json --batch 2

say "Training for $seconds seconds"
run $duet train --model models/demo.json --data "$dir/stories.txt" --tokenizer "$dir/tokenizer.json" \
    --time "$seconds" --batch 2 --lr 1.5e-3 --embed-lr 4 --beta2 0.98 --min-lr 0.02 --out "$dir/model" --overwrite

say "Evaluating on stories of another seed: val_bpb can approach floor_bpb but not pass it"
run $duet stories --bytes 300k --seed 2 --out "$dir/unseen.txt"
run $duet eval "$dir/model" --data "$dir/unseen.txt"

say "A story by the model"
run $duet generate "$dir/model" --prompt "Once upon a time" --temperature 0.7 --seed 3

say "The model as GGUF, read back and compared, and what Ollama is told of it"
run $duet convert "$dir/model" "$dir/model.gguf" --verify --name duet-demo --modelfile "$dir/Modelfile"
run $duet convert "$dir/model" "$dir/model-q8_0.gguf" --dtype q8_0 --verify
cat "$dir/Modelfile"

say "Done"
echo "The model is $dir/model. Try:"
echo "  $duet generate $dir/model --prompt \"One day, a little cat\""
echo "  $duet train --resume $dir/model --time $((seconds * 2))    # train on"
echo "In llama.cpp:"
echo "  llama-completion -m $dir/model.gguf -no-cnv --temp 0.7 -n 200 -p \"Once upon a time\"    # older builds: llama-cli"
echo "In Ollama:"
echo "  ollama create duet-demo -f $dir/Modelfile && ollama run duet-demo \"Once upon a time\""
echo "As a folder of Hugging Face:"
echo "  $duet convert $dir/model $dir/hf/"
