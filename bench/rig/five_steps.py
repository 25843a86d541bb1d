"""Times the five steps of a database update, one by one: connect, begin, execute, commit, disconnect.

A program of its own, because it runs in the box that the update comes from. Prints JSON: nanoseconds of each step, in order.
"""

import json
import os
import random
import sqlite3
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rig import libpq  # noqa: E402

STEPS = ("connect", "begin", "execute", "commit", "disconnect")
MEMBERS = 20_000
COLUMNS = ("card_no", "name", "status", "balance", "points", "version")


def values_of(member, update):
    """Every column of one row, as replication by full rows writes it; the key last."""
    return (f"C{member:08}", f"Member number {member}", 1, 1_000_000 + update, update, update, member)


class Postgres:
    def __init__(self, conninfo):
        self.library, self.conninfo = libpq.Library(), conninfo
        assignments = ", ".join(f"{name} = ${place}" for place, name in enumerate(COLUMNS, 1))
        self.update = f"UPDATE member SET {assignments}, updated_at = now() WHERE id = ${len(COLUMNS) + 1}".encode()

    def connect(self):
        return self.library.connect(self.conninfo)

    def values(self, member, update):
        return libpq.parameters(values_of(member, update))

    begin = staticmethod(lambda connection: connection.execute(b"BEGIN"))
    commit = staticmethod(lambda connection: connection.execute(b"COMMIT"))
    disconnect = staticmethod(lambda connection: connection.close())

    def execute(self, connection, values):
        connection.execute(self.update, values)


class Sqlite:
    """Write-ahead log, and a sync at each commit, so that a commit means the same as PostgreSQL's."""

    def __init__(self, file):
        self.file = file
        # Stays open, as in a server at work: otherwise each disconnect, being the last, would checkpoint and remove the log.
        self.other = self.connect()
        self.other.execute("PRAGMA journal_mode = WAL")
        self.other.execute(
            "CREATE TABLE member (id INTEGER PRIMARY KEY, card_no TEXT NOT NULL UNIQUE, name TEXT NOT NULL, status INTEGER NOT NULL,"
            " balance INTEGER NOT NULL, points INTEGER NOT NULL, version INTEGER NOT NULL, updated_at INTEGER)"
        )
        self.other.execute("BEGIN")
        rows = ((*values_of(member, 0), ) for member in range(1, MEMBERS + 1))
        self.other.executemany(f"INSERT INTO member ({', '.join(COLUMNS)}, id) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self.other.execute("COMMIT")
        self.other.execute("SELECT count(*) FROM member").fetchall()
        self.update = f"UPDATE member SET {', '.join(f'{name} = ?' for name in COLUMNS)}, updated_at = unixepoch() WHERE id = ?"

    def connect(self):
        connection = sqlite3.connect(self.file, isolation_level=None, timeout=5)
        # The first statement opens the file; before it, "connected" would mean nothing.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        return connection

    values = staticmethod(values_of)
    begin = staticmethod(lambda connection: connection.execute("BEGIN IMMEDIATE"))
    commit = staticmethod(lambda connection: connection.execute("COMMIT"))
    disconnect = staticmethod(lambda connection: connection.close())

    def execute(self, connection, values):
        connection.execute(self.update, values)


def measure(engine, updates, kept):
    """Nanoseconds of each step; with a kept connection, connect and disconnect happen once."""
    taken = {step: [] for step in STEPS}

    def timed(step, work, *arguments):
        began = time.perf_counter_ns()
        outcome = work(*arguments)
        taken[step].append(time.perf_counter_ns() - began)
        return outcome

    connection = timed("connect", engine.connect) if kept else None
    for update in range(1, updates + 1):
        values = engine.values(random.randint(1, MEMBERS), update)
        if not kept:
            connection = timed("connect", engine.connect)
        timed("begin", engine.begin, connection)
        timed("execute", engine.execute, connection, values)
        timed("commit", engine.commit, connection)
        if not kept:
            timed("disconnect", engine.disconnect, connection)
    if kept:
        timed("disconnect", engine.disconnect, connection)
    return taken


def main():
    engine, target, updates = sys.argv[1], sys.argv[2], int(sys.argv[3])
    database = Postgres(target) if engine == "postgres" else Sqlite(target)
    print(json.dumps({way: measure(database, updates, way == "kept") for way in ("each", "kept")}))


if __name__ == "__main__":
    try:
        main()
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"five_steps: {error}")
