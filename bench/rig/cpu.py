"""Who used the processor: our processes, each of their threads, and everybody else on the machine."""

import os
import re
import time
from collections import Counter

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# A cell with more than this of one core used by others is not worth much.
FOREIGN_MAX = 0.20
# Others' compilers come and go; longer than this nobody wants to wait for them.
QUIET = 0.12


class Meter:
    """Shares of one core since its making. Every process that is visible here is ours: the process namespace is this run's."""

    def __init__(self):
        self.began, self.busy, self.ours = time.monotonic(), busy_ticks(), our_ticks()

    def read(self):
        """(others' share, our share)"""
        elapsed = (time.monotonic() - self.began) * TICKS_PER_S
        busy, ours = busy_ticks() - self.busy, our_ticks() - self.ours
        return max(0.0, busy - ours) / elapsed, ours / elapsed


def busy_ticks():
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _waiting, irq, soft_irq = map(int, stat.readline().split()[1:8])
    return user + nice + system + irq + soft_irq


def our_ticks():
    return sum(sum(times(fields)) for fields in map(stat_of, processes()) if fields)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat_of(pid, task=None):
    """Name, then the fields of proc(5) from `state` on; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat" if task is None else f"/proc/{pid}/task/{task}/stat") as stat:
            text = stat.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, rest = text.split("(", 1)[1].rsplit(")", 1)
    return [name, *rest.split()]


def times(fields, with_children=True):
    """Own ticks, and those of children that have ended."""
    return [int(ticks) for ticks in fields[12 : 16 if with_children else 14]]


def wait_for_quiet(limit_s):
    """Waits until others use little of the machine, at most `limit_s`."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        meter = Meter()
        time.sleep(1)
        if meter.read()[0] < QUIET:
            return


def thread_ticks(pid):
    """Ticks of a process's threads by name (numbers at the end left out), and of threads that have ended."""
    ticks = Counter()
    for task in tasks(pid):
        if fields := stat_of(pid, task):
            ticks[re.sub(r"[-#:]?\d+$", "", fields[0]) or fields[0]] += sum(times(fields, with_children=False))
    whole = stat_of(pid)
    ticks["(ended threads)"] = sum(times(whole, with_children=False)) - sum(ticks.values()) if whole else 0
    return ticks


def tasks(pid):
    try:
        return os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return []


def family_ticks(pid):
    """Ticks of a process and all that descend from it."""
    parents = {child: int(fields[2]) for child in processes() if (fields := stat_of(child))}
    family, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sum(sum(times(fields)) for fields in map(stat_of, family) if fields)


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def microseconds(ticks, commands):
    return ticks / TICKS_PER_S * 1e6 / max(1, commands)
