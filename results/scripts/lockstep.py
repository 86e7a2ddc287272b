#!/usr/bin/env python3
"""Programs take the same steps in turns of 0.2 s, on a machine whose speed changes by the minute:

    results/scripts/lockstep.py ROUNDS PROGRAM PROGRAM... -- OPTIONS OF bench step...

All processes are started and stopped (SIGSTOP); then one after the other is let run for 0.2 s until all have ended. What the
machine does to one it does to the others, so that the seconds in which each was running differ by 1 % where single measurements
differ by 30. Seconds are those of whole processes: start, warm-up and steps. A row a program and round: seconds running, seconds
of processor, and both divided by those of the first program; who begins changes.
"""
import os
import signal
import subprocess
import sys
import time

TURN = 0.2


def start(program, options):
    # of a session of its own: a group with stopped processes is hung up when its shell ends
    p = subprocess.Popen([program, "bench", "step", *options], stdout=subprocess.DEVNULL, start_new_session=True)
    os.kill(p.pid, signal.SIGSTOP)
    return p.pid


def turn(pid):
    """Lets it run for TURN. Seconds that it ran, and of processor if it has ended (else None)."""
    begin = time.monotonic()
    os.kill(pid, signal.SIGCONT)
    while time.monotonic() < begin + TURN:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            if status:
                sys.exit(f"bench step failed, status {status}")
            return time.monotonic() - begin, used.ru_utime + used.ru_stime
        time.sleep(0.002)
    os.kill(pid, signal.SIGSTOP)
    return time.monotonic() - begin, None


def measure(programs, options):
    pids = [start(p, options) for p in programs]
    wall, cpu = [0.0] * len(pids), [None] * len(pids)
    while None in cpu:
        for i, pid in enumerate(pids):
            if cpu[i] is None:
                seconds, cpu[i] = turn(pid)
                wall[i] += seconds
    return wall, cpu


rest = sys.argv[2:]
programs, options = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
print("round\tprogram\tseconds\tratio\tcpu s\tratio", flush=True)
for r in range(int(sys.argv[1])):
    k = r % len(programs)
    order = [*range(k, len(programs)), *range(k)]
    wall, cpu = measure([programs[i] for i in order], options)
    w0, c0 = wall[order.index(0)], cpu[order.index(0)]
    for i, name in enumerate(programs):
        w, c = wall[order.index(i)], cpu[order.index(i)]
        print(f"{r}\t{name}\t{w:.2f}\t{w / w0:.3f}\t{c:.2f}\t{c / c0:.3f}", flush=True)
