"""Does a command cost more with more members, or with an older journal? Each round appends to the same journal.

Two questions are kept apart. With as many cards in use as the smallest site has members, only the site is larger: that is what must
not cost more. With every member's card in use at random, nearly each deposit on a large site is its member's first: it makes an
account, marks the member as seen today, and reads rows that a small site has in memory.
"""

import time

from rig.duplex import Pair
from rig.profile import CLIENTS, measure, watched


def show(boxes, binary, programs, options):
    print(f"\ncost of a command by number of members and age of the journal, {CLIENTS} clients, {options.seconds} s each, store {options.engine}")
    print(
        f"{'members':>9} {'cards in use':>12} {'entries before':>14} {'per s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'to the first':>12}"
    )
    first, fewest = None, min(options.members)
    for members in options.members:
        began = time.monotonic()
        pair = Pair(boxes, binary, members, options.engine, options.tls, programs, f"members-{members}")
        imported_s = time.monotonic() - began
        # Twice as many deposits as cards come before what is compared: everybody has an account and was seen today.
        pair.load(CLIENTS, options.seconds, cards=fewest)
        for cards in sorted({fewest, members}):
            for _ in range(options.rounds):
                before = pair.status(pair.main())["sequence"]
                cost, found = one_round(pair, options.seconds, cards)
                first = first or cost
                print(
                    f"{members:>9} {cards:>12} {before:>14} {found['per_s']:>8.0f} {found['p50_ms']:>8.2f} {found['p99_ms']:>8.2f} "
                    f"{cost:>8.1f} {cost / first:>11.2f}x",
                    flush=True,
                )
        print(f"{members:>9} members were ready {imported_s:.0f} s after the first process started")
        pair.stop()


def one_round(pair, seconds, cards):
    kept = {}

    def load():
        kept.update(pair.load(CLIENTS, seconds, cards=cards))
        return kept

    costs, _ = measure(load, watched(pair))
    return sum(cost for _, cost in costs), kept
