"""The tables of `bench/steps`."""

import json
import os
import sqlite3
import sys

from rig import five_steps, metrics, reports
from rig.boxes import ADDRESSES, MAIN_ADDRESS, SUB_ADDRESS
from rig.cpu import TICKS_PER_S, Meter, family_ticks
from rig.duplex import HTTP_PORT, TERMINAL_PORT
from rig.postgres import DATABASE, OWNER, STEP_LIMIT_S, TUNING, Cluster, create_tables

HERE = os.path.dirname(os.path.abspath(__file__))
TERMINALS = 32
CONNECTIONS = {"each": "for each update", "kept": "kept"}


def show_five_steps(boxes, programs, updates):
    cluster = Cluster(boxes, programs, "a", "steps-postgres")
    cluster.create(TUNING)
    cluster.start()
    create_tables(cluster, five_steps.MEMBERS)
    version = cluster.ask("SHOW server_version").split()[0]
    print(f"\none full-row update, {updates} times, durable at commit, on SQLite {sqlite3.sqlite_version} and PostgreSQL {version}: p50 / p99, microseconds")
    print(f"{'':<24} {'connection':<15}" + "".join(f"{step:>14}" for step in (*five_steps.STEPS, "whole")))
    target = f"user={OWNER} dbname={DATABASE} sslmode=disable host="
    file = boxes.path("steps.db")
    ways = [
        ("a", "sqlite", file, "SQLite, local"),
        ("a", "postgres", target + cluster.socket, "PostgreSQL, local"),
        ("b", "postgres", target + ADDRESSES["a"], "PostgreSQL, over a cable"),
    ]
    for box, engine, where, title in ways:
        argv = [sys.executable, os.path.join(HERE, "five_steps.py"), engine, where, updates]
        taken = json.loads(boxes.run(box, "five-steps", argv, STEP_LIMIT_S))
        for way, connection in CONNECTIONS.items():
            print_steps(title, connection, taken[way], updates)
    print(f"{'SQLite, over a cable':<24} {'n/a: an embedded engine has no server to reach'}")
    cluster.stop()


def print_steps(title, connection, taken, updates):
    whole = [sum(taken[step][update] for step in five_steps.STEPS if len(taken[step]) == updates) for update in range(updates)]
    columns = [taken[step] for step in five_steps.STEPS] + [whole]
    print(f"{title:<24} {connection:<15}" + "".join(f"{spread(values):>14}" for values in columns), flush=True)


def spread(nanoseconds):
    if len(nanoseconds) == 1:
        return f"once {nanoseconds[0] / 1000:.0f}"
    return f"{at(nanoseconds, 0.5) / 1000:.0f} / {at(nanoseconds, 0.99) / 1000:.0f}"


def at(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def show_lag(pair, options):
    """From Main's OK to visibility on Sub, asked for from outside; and what both servers' own histograms say."""
    main, sub = pair.main_and_sub()
    before = {server: pair.metrics(server) for server in (main, sub)}
    probe = [sys.executable, os.path.join(HERE, "visible.py"), json.dumps(probe_arguments(pair, options.seconds))]
    printed, load = beside(pair, probe, options)
    after = {server: pair.metrics(server) for server in (main, sub)}
    found = json.loads(printed)
    print(f"\nlag at {load['per_s']:.0f} deposits/s, {len(found['plain_ms'])} probes, ms: p50 / p99")
    for name, title in (("containing_ms", "read on Sub that holds the deposit just answered"), ("plain_ms", "the same read, of whatever Sub has")):
        print(f"  {title:<52} {at(found[name], 0.5):.2f} / {at(found[name], 0.99):.2f}")
    lag = counted(before[main], after[main], "duplex_visible_after_microseconds").get("", [])
    print(f"  {'confirmed until Main hears of it (/metrics)':<52} {milliseconds(lag)}")
    print("\neach step of a command as /metrics counts it (buckets double, so within a factor of 2), ms: p50 / p99")
    for role, server in (("main", main), ("sub", sub)):
        for step, buckets in counted(before[server], after[server], "duplex_step_microseconds").items():
            if buckets[-1][1]:
                print(f"  {role:<5} {step:<46} {milliseconds(buckets)}")


def counted(before, after, name):
    return metrics.since(metrics.histograms(before, name), metrics.histograms(after, name))


def milliseconds(buckets):
    p50, p99 = metrics.quantile(buckets, 0.5), metrics.quantile(buckets, 0.99)
    return "nothing counted" if p50 is None else f"{p50 / 1000:.2f} / {p99 / 1000:.2f}"


def probe_arguments(pair, seconds):
    # The last seat: the load does not use it.
    terminal_id, key = pair.terminals("seat")[-1]
    who = {"terminal_id": terminal_id, "key": key, "card_id": "C00000001", "office": pair.terminals("analysis")[0]}
    where = {"main": MAIN_ADDRESS, "sub": SUB_ADDRESS, "terminal_port": TERMINAL_PORT, "http_port": HTTP_PORT}
    return {**who, **where, "seconds": seconds - 1}


def show_reports(pair, options):
    print(f"\ndeposits while reports read the ledger, {options.rate} deposits/s from {TERMINALS} terminals, {options.pages} pages/s of {reports.LINES} lines")
    print(f"{'reports read from':<18} {'deposits/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'Main CPU':>9} {'Sub CPU':>9} {'pages/s':>8} {'page p50 / p99 ms':>18} {'foreign':>8}")
    main, sub = pair.main_and_sub()
    for title, address in (("nobody", None), ("Main", MAIN_ADDRESS), ("Sub", SUB_ADDRESS)):
        reader = [sys.executable, os.path.join(HERE, "reports.py"), address, HTTP_PORT, options.pages, options.seconds]
        reader += pair.terminals("analysis")[0]
        before = [server_ticks(pair, server) for server in (main, sub)]
        meter = Meter()
        printed, load = beside(pair, reader if address else None, options)
        foreign, _ = meter.read()
        used = [(server_ticks(pair, server) - ticks) / TICKS_PER_S / options.seconds for server, ticks in zip((main, sub), before)]
        pages = json.loads(printed) if printed else {"pages": 0, "ms": []}
        page_ms = f"{at(pages['ms'], 0.5):.1f} / {at(pages['ms'], 0.99):.1f}" if pages["ms"] else "-"
        print(
            f"{title:<18} {load['per_s']:>10.0f} {load['p50_ms']:>8.2f} {load['p99_ms']:>8.2f} {used[0]:>8.1%} {used[1]:>8.1%} "
            f"{pages['pages'] / options.seconds:>8.1f} {page_ms:>18} {foreign:>7.0%}",
            flush=True,
        )


def server_ticks(pair, server):
    store = family_ticks(pair.stores[server].pid) if pair.stores else 0
    return family_ticks(pair.pid(server)) + store


def beside(pair, argv, options):
    """What the companion program printed, and the figures of the deposits that ran at the same time."""
    name = os.path.basename(argv[1]) if argv else None
    companion = pair.boxes.begin("client", name, argv) if argv else None
    load = pair.load(TERMINALS, options.seconds, "--rate", options.rate)
    return pair.boxes.finish(name, companion, options.seconds + STEP_LIMIT_S) if argv else None, load
