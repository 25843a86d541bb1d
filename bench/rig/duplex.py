"""A duplex pair: two servers and a witness in their boxes, a business day with members, and `duplex load` as its terminals."""

import csv
import datetime
import json
import os
import urllib.error
import urllib.request

from rig.boxes import ADDRESSES, INTERFACE, MAIN_ADDRESS, SUB_ADDRESS, Failure
from rig.postgres import OWNER, STEP_LIMIT_S, STORE_TUNING, Cluster

# Ports that `duplex init` writes.
TERMINAL_PORT, HTTP_PORT, WITNESS_PORT = 7300, 7380, 7410
SERVERS = ("a", "b")
SEATS = 64
MANAGER = "manager"
SEAT = '  {{ terminal_id = "seat-{no}", kind = "seat", zone = "floor", machine_no = "{no}" }},'
SITE = """
name = "bench"
profile = "generic"
rates = [
  {{ rate_id = 1, medium = "ball", name = "4-yen ball", lend_units = 125, lend_yen = 500, payout_step = 125, max_units = 1000000000000 }},
]
staff = [{{ staff_id = "{manager}", name = "Manager", role = "manager" }}]
terminals = [
  {{ terminal_id = "office", kind = "analysis", zone = "desk" }},
{seats}
]
"""
PAIR_LIMIT_S, REJOIN_LIMIT_S, IMPORT_LIMIT_S = 60, 180, 1_800
# Status is answered from memory.
ASK_LIMIT_S = 2
UNSETTLED = 4


class Pair:
    """Ready to work when made: in step, day open, members imported."""

    def __init__(self, boxes, binary, members, engine="sqlite", tls=False, programs=None, name="duplex"):
        self.boxes, self.binary, self.members, self.tls, self.name = boxes, binary, members, tls, name
        self.stores = self.start_stores(programs) if engine == "postgres" else {}
        self.run("init", *self.init_arguments())
        keys = self.path("witness", "keys")
        listen = f"{ADDRESSES['witness']}:{WITNESS_PORT}"
        argv = [binary, "witness", "--listen", listen, "--data", self.path("witness", "data"), "--keys", keys]
        boxes.start("witness", f"{name}-witness", argv)
        for server in SERVERS:
            self.start(server)
        self.wait_for_pair(PAIR_LIMIT_S)
        self.open_day()
        self.import_members()

    def path(self, *names):
        return self.boxes.path(self.name, *names)

    def start_stores(self, programs):
        clusters = {}
        for server in SERVERS:
            cluster = clusters[server] = Cluster(self.boxes, programs, server, f"{self.name}-store-{server}")
            cluster.create(STORE_TUNING)
            cluster.start()
            cluster.ask("CREATE DATABASE duplex", "postgres")
        return clusters

    def init_arguments(self):
        arguments = ["--out", self.path(), "--witness", f"{ADDRESSES['witness']}:{WITNESS_PORT}"]
        arguments += ["--site-file", write_site(self.boxes.path(f"{self.name}-site.toml"))]
        for server in SERVERS:
            arguments += ["--server", f"{server}={ADDRESSES[server]}"]
        arguments += ["--interface", INTERFACE, "--main-address", MAIN_ADDRESS, "--sub-address", SUB_ADDRESS]
        if self.stores:
            socket = self.boxes.path(f"{self.name}-store-{{server}}")
            arguments += ["--store", f"postgres:///duplex?host={socket}&user={OWNER}"]
        return arguments if self.tls else [*arguments, "--plain"]

    def start(self, server):
        self.boxes.start(server, self.process(server), [self.binary, "serve", "--config", self.path(server, "duplex.toml")])

    def process(self, server):
        return f"{self.name}-{server}"

    def pid(self, server):
        return self.boxes.processes[self.process(server)].pid

    def stop(self):
        for name in (*map(self.process, SERVERS), f"{self.name}-witness"):
            self.boxes.stop(name)
        for cluster in self.stores.values():
            cluster.stop()

    def run(self, *words, limit_s=STEP_LIMIT_S, stdin=None, may_fail=()):
        name = f"{self.name}-{words[0]}"
        return self.boxes.run("client", name, [self.binary, *words], limit_s, stdin=stdin, may_fail=may_fail)

    def reach(self):
        security = ["--ca", self.path("ca.pem")] if self.tls else ["--plain"]
        return ["--address", f"{MAIN_ADDRESS}:{TERMINAL_PORT}", *security]

    def staff(self):
        return ["--staff", MANAGER, "--password-file", self.path("password.txt")]

    def terminals(self, kind):
        """(terminal, key) of each terminal of a kind, in the order of the file."""
        with open(self.path("terminals.csv"), newline="") as rows:
            found = [(row["terminal_id"], row["key"]) for row in csv.DictReader(rows) if row["kind"] == kind]
        if not found:
            raise Failure(f"{self.path('terminals.csv')}: names no terminal of kind {kind}")
        return found

    def open_day(self):
        terminal_id, key = self.terminals("analysis")[0]
        sender = ["--terminal", terminal_id, "--key", key, "--state", self.path("office.json")]
        body = json.dumps({"date": datetime.date.today().isoformat()})
        self.run("terminal", *self.reach(), *sender, *self.staff(), "open_day", body)

    def import_members(self):
        file = self.path("members.csv")
        with open(file, "w") as out:
            out.write(self.run("import", "sample", "--rows", self.members))
        terminals = ["--terminals-file", self.path("terminals.csv")]
        self.run("import", "members", file, *self.reach(), *terminals, *self.staff(), limit_s=IMPORT_LIMIT_S)
        os.remove(file)

    def load(self, terminals, seconds, *more, cards=None):
        """Deposits for so long, on so many cards (all, unless told). Every one must have been done, and be stored on both servers, or the figures would lie."""
        report = self.report(terminals, seconds, *more, cards=cards)
        self.in_step_or_fail()
        for wrong in ("refused", "unsettled", "not_admitted"):
            if report[wrong]:
                raise Failure(f"duplex load: {report[wrong]} commands {wrong} {report['refusals'] or report['last_trouble']}")
        if report["stored_on_one"]:
            raise Failure(f"duplex load: {report['stored_on_one']} answers were stored on one server only")
        latency = report["latency_ms"]
        figures = {"per_s": report["per_second"], "commands": report["acknowledged"]}
        return {**figures, "p50_ms": latency["p50"], "p99_ms": latency["p99"]}

    def load_arguments(self, terminals, seconds, *more, cards=None):
        history = os.path.join(self.boxes.memory, f"history-{os.urandom(4).hex()}.jsonl")
        shape = ["--terminals", terminals, "--seconds", seconds, "--cards", f"C:{cards or self.members}", "--mix", "deposit", *more]
        files = ["--terminals-file", self.path("terminals.csv"), "--history", history]
        return history, ["load", *self.reach(), *files, *shape, "--json"]

    def report(self, terminals, seconds, *more, cards=None):
        """The report of `duplex load`, with what only its history tells; the history is removed."""
        history, arguments = self.load_arguments(terminals, seconds, *more, cards=cards)
        printed = self.run(*arguments, limit_s=seconds + STEP_LIMIT_S, may_fail=(UNSETTLED, 3))
        return read_report(printed, history)

    def status(self, server):
        """None while it does not answer."""
        try:
            return json.loads(fetch(ADDRESSES[server], "/api/v1/status"))
        except (OSError, ValueError):
            return None

    def metrics(self, server):
        return fetch(ADDRESSES[server], "/metrics").decode()

    def main(self):
        for server in SERVERS:
            if (self.status(server) or {}).get("role") == "main":
                return server
        raise Failure("neither server says that it is the main server")

    def main_and_sub(self):
        main = self.main()
        return main, other(main)

    def in_step(self):
        statuses = [self.status(server) for server in SERVERS]
        return all(status and status["mode"] == "pair" and status["peer"]["in_sync"] for status in statuses)

    def in_step_or_fail(self):
        if not self.in_step():
            modes = [(self.status(server) or {"mode": "silent"})["mode"] for server in SERVERS]
            raise Failure(f"duplex: no longer a pair after the run: a {modes[0]}, b {modes[1]}")

    def wait_for_pair(self, limit_s):
        self.boxes.wait("the duplex servers to be a pair", limit_s, self.in_step)


def write_site(path):
    """The usual site, but for an account that never fills up: millions of deposits on 20,000 cards must not end in refusals."""
    seats = "\n".join(SEAT.format(no=no) for no in range(1, SEATS + 1))
    with open(path, "w") as out:
        out.write(SITE.format(manager=MANAGER, seats=seats))
    return path


def other(server):
    return "b" if server == "a" else "a"


def fetch(address, path, headers=None):
    request = urllib.request.Request(f"http://{address}:{HTTP_PORT}{path}", headers=headers or {})
    with urllib.request.urlopen(request, timeout=ASK_LIMIT_S) as answer:
        return answer.read()


def read_report(printed, history):
    try:
        report = json.loads(printed.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise Failure("duplex load left no report") from None
    with open(history, "rb") as lines:
        report["stored_on_one"] = sum(chunk.count(b'"stored_on":"one"') for chunk in lines)
    os.remove(history)
    return report
