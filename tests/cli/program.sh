#!/bin/sh
# docs/program.md: every command of its blocks, in order and in one folder, as an assistant would type
# them; with a small text, few steps instead of seconds and two seeds.
IN_MEMORY=yes
. "$(dirname "$0")/lib.sh"
mkdir -p bin build/tools
ln -s "$DUET" bin/duet
PATH=$WORK/bin:$PATH
ln -s "$SRC/models" models
# What the reader builds: another file than the program of the search, which does the same.
cat "$DUET" >build/tools/duet
printf x >>build/tools/duet
chmod +x build/tools/duet

awk '/^```sh$/ {inside = 1; n++; next} /^```$/ {inside = 0} inside {print > ("block." n)}' \
    "$SRC/docs/program.md"
check "there are blocks" [ -s block.5 ]
i=0
while i=$((i + 1)) && [ -f block.$i ]; do
    sed -e 's/--bytes 16M/--bytes 60k/' -e 's/--vocab 2048/--vocab 300/' -e 's/"time": 300/"steps": 4/' \
        -e 's/"trials": 100/"trials": 100, "seeds": 2/' -e '/^ninja /d' \
        -e 's/"batch": 2/"batch": 2, "seq": 32, "threads": 1, "set": {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}/' \
        -e 's/^duet search confirm exp$/& --trial 1/' block.$i >run.$i
    # A command at a time; what is discarded, and a gain that is not shown, is 3.
    awk '/<<.END.$/ {inside = 1} {printf "%s%s", $0, inside && !/^END$/ ? "\n" : "\n\001\n"} /^END$/ {inside = 0}' \
        run.$i | awk -v RS='\n\001\n' -v n=$i 'length($0) > 1 {print > ("cmd." n "." ++k)}'
    k=0
    while k=$((k + 1)) && [ -f cmd.$i.$k ]; do
        name=$(head -1 cmd.$i.$k)
        case $name in *"search plot"*) command -v gnuplot >/dev/null || { skip "$name" "no gnuplot"; continue; } ;; esac
        sh cmd.$i.$k >out 2>err
        status=$?
        case $name in *experiment*|*confirm*) [ $status = 3 ] && status=0 ;; esac
        if [ $status = 0 ]; then ok "$name"; else not_ok "$name: $status" err out; fi
        case $name in *'grep "^val_bpb'*) check "it finds what it looks for" [ "$(wc -l <out)" = 4 ] ;; esac
    done
done
check "the base, and an experiment with options and one with a program" equal 3 \
    "$(grep -c '"event": *"proposal"' exp/ledger.jsonl)"
finish
