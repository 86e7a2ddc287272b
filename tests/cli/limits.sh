#!/bin/sh
# What the machine grants: memory and processors of control groups and of setrlimit, room on the
# disk. What will not fit is refused before it starts, with numbers, and nothing is left behind.
. "$(dirname "$0")/lib.sh"
must stories 30000 5 >text.txt

# ---- a real control group of version 1, where one can be made
# group CONTROLLER: makes one below the own group of that hierarchy, its folder in $group
group() {
    g_point=$(awk -v c="$1" '$0 ~ " - cgroup " && $NF ~ "(^|,)" c "(,|$)" { print $5; exit }' /proc/self/mountinfo)
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
    check "v1: plan sees the limit of the group" awk '/^available/ { exit !($2 > 20 && $2 <= 210) }' plan.txt
    refuses "v1: a run above it is refused" 1 'this run needs [0-9.]* MB .* and [0-9.]* MB are free' \
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
refuses "a run above the limit of the address space" 1 'this run needs [0-9.]* MB .* and [0-9.]* MB are free' \
    sh -c 'ulimit -v 400000 && exec "$@"' sh "$DUET" train $TINY $BIG --data text.txt --out big --steps 1
check "nothing is left of it" absent big
finish
