#!/bin/sh
# The scripts that set duet beside PyTorch: what they compute from what the programs say, with
# programs that only say it; and, where tools/python-env.sh has installed PyTorch, that its model is
# duet's: as many parameters, the same loss with the same weights.
. "$(dirname "$0")/lib.sh"
if ! command -v python3 >/dev/null; then
    skip "peers" "python3 is not installed"
    finish
fi
PEERS=$SRC/results/scripts/peers.py
ENV=$SRC/tools/python-env.sh
PINNED=$SRC/tests/clients/requirements.txt
PYTHONDONTWRITEBYTECODE=1
REAL_VENV=${DUET_VENV:-$CACHE/duet/venv}
export PYTHONDONTWRITEBYTECODE

for script in "$SRC"/results/scripts/*.py; do
    check "${script##*/} is Python" python3 -c \
        'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$script"
done

# ---- the environment -----------------------------------------------------------------------------
unpinned() { grep -v -e '^#' -e '^[A-Za-z0-9_.-]*==[0-9][0-9a-z.]*$' "$1"; }
check "every package is pinned" equal "$(unpinned "$PINNED")" ""
DUET_VENV=$WORK/venv
export DUET_VENV
check "no environment: said so" equal "$("$ENV" --check 2>&1 || echo $?)" \
    "python-env: $DUET_VENV is not what $PINNED says: run tools/python-env.sh
1"
check "and none was made" absent venv
mkdir -p venv/bin
python3 "$PEERS" demo --duet "$DUET" >peers.out 2>peers.err
check "peers.py without it: exit status" equal $? 1
check "peers.py without it: what to do" says peers.err "tools/python-env.sh"

# ---- arithmetic ----------------------------------------------------------------------------------
# In round i duet takes 100 + 10 i ms, PyTorch 150 + 15 i eager and 130 + 13 i compiled.
cat >false-duet <<'END'
#!/bin/sh
n=$(cat calls.duet)
echo $((n + 1)) >calls.duet
[ "$n" -gt 0 ] || n=1
echo "{\"ms_per_step\": $((90 + 10 * n)), \"peak_rss_mb\": 40, \"num_params_M\": 1.0, \"peak_fraction\": 0.5,
    \"gemm_peak_gflops\": $((100 + 2 * n))}"
END
cat >venv/bin/python <<'END'
#!/bin/sh
case $* in *--compile=default*) a=117 b=13 ;; *) a=135 b=15 ;; esac
echo '{"num_params_M": 1.001}'
n=0
while read -r steps; do
    [ "$n" -gt 0 ] || n=1
    echo "{\"ms_per_step\": $((a + b * n)), \"cpu_ms\": $((2 * a)), \"peak_rss_mb\": 400}"
    [ "$steps" = 1 ] || n=$((n + 1))
done
END
chmod +x false-duet venv/bin/python
cp venv/bin/python python.told
cp "$PINNED" venv/installed
check "an environment with its stamp is taken" "$ENV" --check
echo "torch==1.13" >venv/installed
check "another list is not" equal "$("$ENV" --check 2>/dev/null || echo $?)" 1

# compare OPTION...: the rows of the demo
compare() {
    echo 0 >"$WORK/calls.duet"
    (cd "$WORK" && python3 "$PEERS" ^demo/backprop/f32 --duet ./told "$@") >peers.out 2>peers.err
}
# duet runs in the source's folder: it is told where its count is
sed "s|calls.duet|$WORK/calls.duet|g" false-duet >told
chmod +x told
check "compares" compare --rounds 3 --out turns.jsonl
check "the row: medians and the ratio to the faster" equal "$(tail -1 peers.out)" \
    "| demo, 4 layers of 128, 2 × 256 | backprop, AdamW, f32 | 110 | 0.50 | 165 | 143 \
| **1.30 (1.30–1.30)** | 40 | 400 |"
check "every turn is written" equal "$(grep -c '"round": [012]' turns.jsonl)" 9
# What is said of the allocator depends on the libraries that the machine has.
check "a steady peak is no news" equal "$(grep -v 'slower with malloc' peers.err)" ""
check "compares with malloc" compare --rounds 1 --allocator malloc
check "which is said to be slower" says peers.err "slower with malloc .*tools/setup.sh peers"
check "compares for longer" compare --rounds 8
check "a peak that moved is" says peers.err "peak moved from 102 to 116 GFLOP/s"
# Rivals wait stopped: they must not outlive the script.
sed "2s|^|echo \$\$ >>$WORK/pids\n|" python.told >venv/bin/python
(cd "$WORK" && exec python3 "$PEERS" ^demo/ --duet ./told --rounds 100000 --out more.jsonl) \
    >peers.out 2>peers.err &
peers=$!
for _ in $(seq 300); do [ -s more.jsonl ] && break; sleep 0.1; done
kill -TERM $peers
wait $peers
check "both forms of PyTorch were started" equal "$(wc -l <pids | tr -d ' ')" 2
check "a script that is ended ends its rivals" equal \
    "$(for p in $(cat pids); do kill -0 "$p" 2>/dev/null && echo "$p"; done)" ""
sed 's/1\.001/1.1/' python.told >venv/bin/python
check "another model is no rival" equal "$(compare --rounds 1; echo $?)" 1
check "and is said to be" says peers.err "1.1 million parameters of PyTorch, 1.0 of duet"
check "no such case" equal "$(python3 "$PEERS" nonsense 2>&1)" \
    "peers: no such case; --list names them"

# ---- PyTorch's model is duet's -------------------------------------------------------------------
DUET_VENV=$REAL_VENV
if ! "$ENV" --check 2>/dev/null; then
    skip "PyTorch's model" "PyTorch is not installed: tools/python-env.sh"
    finish
fi
torch_peer() {
    OMP_NUM_THREADS=1 "$DUET_VENV/bin/python" "$SRC/results/scripts/torch-peer.py" "$@"
}
must stories 20000 >text.txt
must train run --steps 20 --lr 3e-2 --set rope_theta=500 --set num_hidden_layers=3
must "$DUET" convert run folder --to hf --quiet >convert.out
must python3 -c 'import random; random.seed(1)
open("ids", "wb").write(b"".join(random.randrange(256).to_bytes(2, "little") for _ in range(353)))'
must "$DUET" eval run/model.blzt --data ids --format raw16 --seq 32 --json --quiet >eval.json
must torch_peer --model folder/config.json --seq 32 --weights folder --ids ids >torch.json
check "windows" equal "$(json windows torch.json)" "$(json windows eval.json)"
check "the same loss with the same weights" python3 -c '
import json
a, b = (json.load(open(f))["val_loss"] for f in ("eval.json", "torch.json"))
print(a, b)
assert 2 < a and abs(a - b) < 2e-6 * a'
# step NAME MILLIONS OPTION...: a step of PyTorch's trains that many parameters
step() {
    s_name=$1 s_trained=$2
    shift 2
    must torch_peer --model "$SRC/models/demo.json" --batch 1 --seq 32 --runs 1 --warmup 0 "$@" \
        >step.json
    check "$s_name: parameters that are trained" equal "$(json trained_M step.json)" "$s_trained"
}
step "backprop, bf16" 1.000576 --dtype bf16
step "backprop, LoRA" 0.028672 --lora 8 --dtype autocast
for form in published inplace kept; do step "MeZO, $form" 1.000576 --engine mezo --mezo $form; done
step "MeZO, LoRA" 0.028672 --engine mezo --lora 8
finish
