"""The same deposits on both pairs in turn: peer ordinary, peer best case, duplex; for each number of clients, in rounds."""

import json
import statistics

from rig.cpu import FOREIGN_MAX, Meter, wait_for_quiet
from rig.postgres import FORMS

# What the project promises against the best case: throughput at so many clients on each engine, and p99 anywhere.
GOALS = {"sqlite": {1: 1.5, 8: 1.5, 32: 2.0, 64: 2.0}, "postgres": {32: 1.0}}
P99_RATIO_MAX = 1.5
SIDES = (*FORMS, "duplex")


def measure(peer, pair, options):
    """One list of figures per (side, clients), in the order of the rounds."""
    figures = {(side, clients): [] for side in SIDES for clients in options.clients}
    warned = False
    print(f"{'round':>5} {'clients':>7}  {'side':<14} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8}  {'foreign CPU':>11} {'own CPU':>8}")
    for round_no in range(1, options.rounds + 1):
        for clients in options.clients:
            for side in SIDES:
                found = run_cell(peer, pair, side, clients, options)
                figures[side, clients].append(found)
                warned |= found["foreign"] > FOREIGN_MAX
                print(
                    f"{round_no:>5} {clients:>7}  {side.replace('_', ' '):<14} {found['per_s']:>8.0f} {found['p50_ms']:>8.2f} "
                    f"{found['p99_ms']:>8.2f}  {found['foreign']:>10.0%} {found['own']:>9.0%}"
                    + ("  <- others used much: repeat" if found["foreign"] > FOREIGN_MAX else ""),
                    flush=True,
                )
    if warned:
        print(f"warning: in marked cells others used more than {FOREIGN_MAX:.0%} of a core; these figures are not worth much")
    return figures


def try_peer(peer, options):
    for form in FORMS:
        for clients in options.clients:
            found = run_cell(peer, None, form, clients, options)
            print(f"{form:<10} {clients:>3} clients: {found['per_s']:.0f} per s, p50 {found['p50_ms']:.2f}, p99 {found['p99_ms']:.2f} ms, "
                  f"foreign CPU {found['foreign']:.0%}, own {found['own']:.0%}", flush=True)


def run_cell(peer, pair, side, clients, options):
    wait_for_quiet(options.quiet_wait)
    if side != "duplex":
        peer.checkpoint()
    meter = Meter()
    found = pair.load(clients, options.seconds) if side == "duplex" else peer.load(side, clients, options.seconds)
    found["foreign"], found["own"] = meter.read()
    return found


def compare(figures, clients_list):
    """The rows of `--json`: medians over the rounds, and the ratio of their throughputs."""
    def median(side, clients, name):
        return statistics.median(found[name] for found in figures[side, clients])

    rows = []
    for clients in clients_list:
        ours = {name: median("duplex", clients, name) for name in ("per_s", "p50_ms", "p99_ms")}
        for form in FORMS:
            theirs = {name: median(form, clients, name) for name in ("per_s", "p50_ms", "p99_ms")}
            rows.append({
                "clients": clients,
                "peer": form,
                "peer_per_s": round(theirs["per_s"], 1),
                "duplex_per_s": round(ours["per_s"], 1),
                "ratio": round(ours["per_s"] / theirs["per_s"], 3),
                "peer_p50_ms": round(theirs["p50_ms"], 3),
                "peer_p99_ms": round(theirs["p99_ms"], 3),
                "duplex_p50_ms": round(ours["p50_ms"], 3),
                "duplex_p99_ms": round(ours["p99_ms"], 3),
            })
    return rows


def show(rows, engine, rounds):
    print(f"\nmedians of {rounds} round(s); a ratio above 1 is in favour of duplex")
    print(f"{'clients':>7}  {'against':<10} {'throughput':>10} {'p50':>7} {'p99':>7}    duplex / peer per s, p99 ms")
    for row in rows:
        p50, p99 = (row[f"peer_{q}_ms"] / row[f"duplex_{q}_ms"] for q in ("p50", "p99"))
        print(
            f"{row['clients']:>7}  {row['peer'].replace('_', ' '):<10} {row['ratio']:>9.2f}x {p50:>6.2f}x {p99:>6.2f}x    "
            f"{row['duplex_per_s']:.0f} / {row['peer_per_s']:.0f}, {row['duplex_p99_ms']:.2f} / {row['peer_p99_ms']:.2f}"
        )
    for line in shortfalls(rows, engine):
        print(f"short of its goal: {line}")


def shortfalls(rows, engine):
    for row in (row for row in rows if row["peer"] == "best_case"):
        goal, clients = GOALS[engine].get(row["clients"]), row["clients"]
        if goal and row["ratio"] < goal:
            yield f"{row['ratio']:.2f} times the best case's throughput at {clients} clients, asked {goal:.1f}"
        if row["duplex_p99_ms"] > P99_RATIO_MAX * row["peer_p99_ms"]:
            times = row["duplex_p99_ms"] / row["peer_p99_ms"]
            yield f"p99 {times:.2f} times the best case's at {clients} clients, asked at most {P99_RATIO_MAX}"


def write_json(file, rows):
    file.write("[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]\n")
    file.close()
