#!/bin/sh
# What the machine grants: memory and processors of control groups and of setrlimit, room on the
# disk. What will not fit is refused before it starts, with numbers, and nothing is left behind.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt

# ---- a real control group of version 1, where one can be made
# group CONTROLLER: makes one below the own group of that hierarchy, its folder in $group
group() {
    g_point=$(awk -v c="$1" '$0 ~ " - cgroup " && $NF ~ "(^|,)" c "(,|$)" { print $5; exit }' \
        /proc/self/mountinfo)
    g_path=$(awk -F: -v c="$1" '$2 ~ "(^|,)" c "(,|$)" { print $3; exit }' /proc/self/cgroup)
    group=$g_point$g_path/duet-test-$$
    [ -n "$g_point" ] && mkdir "$group" 2>/dev/null
}
# inside COMMAND...: in the group $group
inside() { (sh -c 'echo $PPID' >"$group/cgroup.procs" 2>/dev/null; exec "$@"); }
ungroup() {
    for u in 1 2 3 4 5 6 7 8 9 10; do rmdir "$group" 2>/dev/null && return; sleep 0.2; done
}

BIG="--set num_hidden_layers=8 --set hidden_size=512 --set intermediate_size=1376 --set num_attention_heads=8
 --set num_key_value_heads=8 --batch 16 --seq 256"
if group memory && echo 209715200 >"$group/memory.limit_in_bytes" 2>/dev/null; then
    inside "$DUET" plan $TINY >plan.txt 2>plan.err
    check "v1: plan sees the limit of the group" awk \
        '/^available/ { exit !($2 > 20 && $2 <= 210) }' plan.txt
    refuses "v1: a run above it is refused" 4 \
        'this run needs [0-9.]* MB .* and [0-9.]* MB are free' \
        inside "$DUET" train $TINY $BIG --data text.txt --out big --steps 1
    check "v1: nothing is left of it" absent big
    check "v1: a small one runs" inside "$DUET" train $TINY --data text.txt --out small --steps 2
else
    skip "v1: memory limit of a group" "no control group of version 1 can be made here"
fi
[ -n "${group:-}" ] && ungroup
if group cpu && echo 50000 >"$group/cpu.cfs_quota_us" 2>/dev/null; then
    inside "$DUET" plan $TINY --threads 0 >plan.txt 2>plan.err
    check "v1: half a processor is one thread" says plan.txt ', 1 threads'
    echo 150000 >"$group/cpu.cfs_quota_us"
    [ "$(nproc)" -gt 1 ] && inside "$DUET" plan $TINY --threads 0 >plan.txt 2>plan.err &&
        check "v1: one and a half are two threads" says plan.txt ', 2 threads'
else
    skip "v1: CPU quota of a group" "no control group of version 1 can be made here"
fi
[ -n "${group:-}" ] && ungroup

# ---- setrlimit
if (ulimit -v 400000 && "$DUET" --version) >/dev/null 2>&1; then
    refuses "a run above the limit of the address space" 4 \
        'this run needs [0-9.]* MB .* and [0-9.]* MB are free' \
        sh -c 'ulimit -v 400000 && exec "$@"' sh "$DUET" train $TINY $BIG --data text.txt \
        --out big --steps 1
    check "nothing is left of it" absent big
else
    skip "a run above the limit of the address space" \
        "the program does not start within it (a sanitizer)"
fi

# ---- room on the disk: what does not fit is refused before it starts
WIDE="--set hidden_size=128 --set intermediate_size=352 --set num_hidden_layers=4"
refuses "a run whose weights are above the limit of a file" 1 \
    'this run needs [0-9.]* MB, and the limit of a file.s size is 0.1 MB' \
    sh -c 'ulimit -f 200 && exec "$@"' sh "$DUET" train $TINY $WIDE --data text.txt --out big \
    --steps 1
check "nothing is left of it" absent big
must train wide $WIDE --steps 1
refuses "a conversion above it" 1 'big.gguf: the model needs [0-9.]* MB, and the limit' \
    sh -c 'ulimit -f 200 && exec "$@"' sh "$DUET" convert wide/model.blzt big.gguf
refuses "a text above it" 1 'big.txt: the text needs 1.0 MB, and the limit' \
    sh -c 'ulimit -f 200 && exec "$@"' sh "$DUET" stories --bytes 1000000 --out big.txt
check "nothing is left of them" absent big.gguf big.txt big.gguf.duet-tmp big.txt.duet-tmp

mkdir disk
if mount -t tmpfs -o size=4m duet-test disk 2>/dev/null; then
    trap 'umount "$WORK/disk" 2>/dev/null; leave' EXIT
    refuses "a run larger than the disk" 1 \
        'disk/run: this run needs [0-9.]* MB, and [0-9.]* MB are free on its disk' \
        "$DUET" train $TINY $WIDE --data text.txt --out disk/run --steps 1
    check "nothing is left of it" absent disk/run
    head -c 3500000 /dev/zero >disk/fill
    refuses "a conversion larger than what is free" 1 \
        'disk/m.gguf: the model needs [0-9.]* MB, and [0-9.]* MB are free' \
        "$DUET" convert wide/model.blzt disk/m.gguf
    refuses "a text larger than what is free" 1 'disk/t.txt: the text needs 2.0 MB' "$DUET" \
        stories --bytes 2000000 --out disk/t.txt
    check "nothing is left of them" equal "$(ls disk)" fill
    rm disk/fill

    # The disk becomes full while a run trains: its last checkpoint stays, and it goes on later.
    must train straight --steps 400 --checkpoint-every 20
    "$DUET" train $TINY --data text.txt --out disk/run --steps 400 --checkpoint-every 20 >run.out \
        2>run.err &
    pid=$!
    i=0
    until [ -f disk/run/state ] || [ $i -gt 600 ]; do i=$((i + 1)); sleep 0.1; done
    cat /dev/zero >disk/fill 2>/dev/null
    wait $pid
    check "disk full at a checkpoint: exit status 1" [ $? -eq 1 ]
    check "disk full at a checkpoint: one sentence" says run.err \
        '^duet: error: .*\(are free on its disk\|No space left\)'
    check "disk full at a checkpoint: nothing half is left" absent disk/run/*.duet-tmp \
        disk/run/model.next.blzt
    rm disk/fill
    check "disk full at a checkpoint: goes on" "$DUET" train --resume disk/run --quiet --threads 1
    check "disk full at a checkpoint: same weights" same straight/model.blzt disk/run/model.blzt
    umount disk
else
    skip "a full disk" "no file system can be mounted here"
fi
finish
