"""Where the processor goes: microseconds per command of each process and thread; and what idle servers take."""

import os
import resource
import time

from rig.cpu import family_ticks, microseconds, resident_mib, thread_ticks
from rig.postgres import FORMS

CLIENTS = 32
IDLE_S = 30
# Threads that take less than this are added up in one line.
SMALL_US = 0.1


def show_peer(peer, seconds):
    for form in FORMS:
        clusters = {"main": peer.main, "sub": peer.sub}
        costs, rate = measure(lambda: peer.load(form, CLIENTS, seconds), {
            (name, "postgres"): lambda cluster=cluster: {"": family_ticks(cluster.pid)} for name, cluster in clusters.items()
        })
        table(f"peer {form.replace('_', ' ')}", costs, rate)


def show_pair(pair, seconds):
    table("duplex", *measure(lambda: pair.load(CLIENTS, seconds), watched(pair)))


def watched(pair):
    """What to read before and after: (who, process) -> a function that gives ticks by thread."""
    sources = {}
    for role, server in zip(("main", "sub"), pair.main_and_sub()):
        sources[role, "duplex"] = lambda server=server: thread_ticks(pair.pid(server))
        if pair.stores:
            sources[role, "postgres (store)"] = lambda server=server: {"": family_ticks(pair.stores[server].pid)}
    return sources


def measure(load, sources):
    """([(name, µs per command)], commands per second); the load generator is the only child that ends meanwhile, psql's few ms aside."""
    before = {key: read() for key, read in sources.items()}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    outcome = load()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    commands, costs = outcome["commands"], []
    for key, read in sources.items():
        for thread, ticks in read().items():
            cost = microseconds(ticks - before[key].get(thread, 0), commands)
            costs.append(((*key, thread), cost))
    seconds = ended.ru_utime + ended.ru_stime - used.ru_utime - used.ru_stime
    costs.append((("client", "load", ""), seconds * 1e6 / max(1, commands)))
    return costs, outcome["per_s"]


def table(title, costs, rate):
    total = sum(cost for _, cost in costs)
    print(f"\nCPU microseconds per command, {title}, {CLIENTS} clients: {total:.1f} in all, at {rate:.0f} commands/s")
    for box, process in dict.fromkeys(name[:2] for name, _ in costs):
        threads = sorted(((cost, name[2]) for name, cost in costs if name[:2] == (box, process)), reverse=True)
        print(f"  {box:<7} {process:<18} {sum(cost for cost, _ in threads):>7.1f}")
        shown = [(cost, thread) for cost, thread in threads if thread and cost >= SMALL_US]
        for cost, thread in shown:
            print(f"  {'':<10} {thread:<15} {cost:>7.1f}")
        rest = sum(cost for cost, thread in threads if thread and cost < SMALL_US)
        if rest >= SMALL_US / 2:
            print(f"  {'':<10} {'(others)':<15} {rest:>7.1f}")


def show_idle(pair):
    """Nobody sends: what is left is heartbeats, leases and the timers."""
    pair.wait_for_pair(IDLE_S)
    # What the last load left to apply and to checkpoint is not idleness.
    time.sleep(5)
    servers = dict(zip(("main", "sub"), pair.main_and_sub()))
    before = {role: running_ns(pair.pid(server)) for role, server in servers.items()}
    began = time.monotonic()
    time.sleep(IDLE_S)
    elapsed = time.monotonic() - began
    print(f"\nidle over {IDLE_S} s, {pair.members} members (asked: under 1 % of a core and 60 MiB)")
    for role, server in servers.items():
        share = (running_ns(pair.pid(server)) - before[role]) / 1e9 / elapsed
        print(f"  {role:<5} {share:>6.2%} of a core, {resident_mib(pair.pid(server)):.0f} MiB resident")


def running_ns(pid):
    """By the scheduler's own clock: ticks of 10 ms hit or miss what runs for 50 us at a time."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as schedstat:
            total += int(schedstat.read().split()[0])
    return total
