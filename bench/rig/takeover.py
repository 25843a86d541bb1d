"""The terminals' longest gap when Main dies, and when its cable is pulled; between two faults the pair is made whole again."""

import statistics
import time

from rig.boxes import Failure
from rig.duplex import REJOIN_LIMIT_S, UNSETTLED, read_report

TERMINALS, COMMANDS_PER_S = 50, 500
# The fault comes when all terminals are long at work, and the rest shows the gap's end and a while of normal work.
FAULT_AFTER_S, SECONDS = 2, 7
LOAD = "takeover-load"
LOAD_LIMIT_S = SECONDS + 90
# What the issue asks of each fault, ms.
GOALS = {"SIGKILL": 300, "pulled cable": 1_500}


def show(pair, count):
    print(f"\ntakeover at {TERMINALS} terminals and {COMMANDS_PER_S} commands/s: the terminals' longest gap, ms")
    print(f"{'fault':<14} {'n':>3} {'min':>8} {'median':>8} {'max':>8} {'asked':>8}  {'retried':>8} {'unsettled':>9}   back as a pair, s (median)")
    for fault, goal in GOALS.items():
        outcomes = [once(pair, fault) for _ in range(count)]
        gaps = [outcome["gap_ms"] for outcome in outcomes]
        median = statistics.median(gaps)
        print(
            f"{fault:<14} {count:>3} {min(gaps):>8.0f} {median:>8.0f} {max(gaps):>8.0f} {'< ' + str(goal):>8}  "
            f"{sum(o['retried'] for o in outcomes):>8} {sum(o['unsettled'] for o in outcomes):>9}   "
            f"{statistics.median(o['rejoined_s'] for o in outcomes):.1f}" + ("" if median < goal else "   <- short of its goal"),
            flush=True,
        )


def once(pair, fault):
    """One fault under load, and the way back to a pair."""
    pair.wait_for_pair(REJOIN_LIMIT_S)
    main = pair.main()
    pace = ["--rate", COMMANDS_PER_S, "--mark", FAULT_AFTER_S - 0.5]
    history, arguments = pair.load_arguments(TERMINALS, SECONDS, *pace)
    load = pair.boxes.begin("client", LOAD, [pair.binary, *arguments])
    time.sleep(FAULT_AFTER_S)
    if load.poll() is not None:
        raise Failure(f"{LOAD} ended early: {pair.boxes.last_words(LOAD)}")
    break_main(pair, main, fault)
    report = read_report(pair.boxes.finish(LOAD, load, LOAD_LIMIT_S, may_fail=(UNSETTLED,)), history)
    began = time.monotonic()
    mend_main(pair, main, fault)
    pair.wait_for_pair(REJOIN_LIMIT_S)
    return {**report, "gap_ms": report["gaps"][-1]["longest_ms"], "rejoined_s": time.monotonic() - began}


def break_main(pair, main, fault):
    if fault == "SIGKILL":
        pair.boxes.kill(pair.process(main))
    else:
        pair.boxes.pull_cable(main)


def mend_main(pair, main, fault):
    if fault == "SIGKILL":
        pair.start(main)
    else:
        pair.boxes.plug_in_cable(main)
