"""How long after Main's OK is a deposit visible on Sub? A program of its own, for the client's box.

Each probe sends one deposit to Main, and at its answer asks Sub for a read that must contain it (X-Duplex-At-Least). The same read
without the header is timed beside it, since every read takes its time. Arguments: one JSON object. Prints JSON: milliseconds.
"""

import http.client
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rig.reports import get, headers  # noqa: E402

ANSWER_LIMIT_S = 5
ONE_LINE = "/api/v1/ledger?limit=1"
# Rare enough to leave the load as it is.
BETWEEN_PROBES_S = 0.02


class Terminal:
    """The line protocol, one command at a time, without encryption."""

    def __init__(self, about):
        self.about = {"v": 1, "terminal_id": about["terminal_id"], "key": about["key"]}
        self.socket = socket.create_connection((about["main"], about["terminal_port"]), ANSWER_LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.lines = self.socket.makefile("rb")

    def command(self, name, body):
        request = {**self.about, "command_id": os.urandom(16).hex(), "command": name, "body": body}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(self.lines.readline() or b"{}")
        if answer.get("status") != "ok":
            raise OSError(f"{name}: {answer.get('code', 'no answer')}")
        return answer


def probe(about):
    terminal = Terminal(about)
    hello = terminal.command("hello", {})
    terminal.about["rate_table_ver"] = hello["body"]["rate_table"]["version"]
    sub = http.client.HTTPConnection(about["sub"], about["http_port"], timeout=ANSWER_LIMIT_S)
    office = headers(*about["office"])
    plain, containing = [], []
    until = time.perf_counter() + about["seconds"]
    while time.perf_counter() < until:
        deposit = {"card_id": about["card_id"], "rate_id": 1, "units": 1}
        answer = terminal.command("deposit", deposit)
        containing.append(timed(sub, {**office, "X-Duplex-At-Least": str(answer["sequence"])}))
        plain.append(timed(sub, office))
        time.sleep(BETWEEN_PROBES_S)
    return {"containing_ms": containing, "plain_ms": plain}


def timed(sub, with_headers):
    began = time.perf_counter()
    get(sub, ONE_LINE, with_headers)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    try:
        print(json.dumps(probe(json.loads(sys.argv[1]))))
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        sys.exit(f"visible: {type(error).__name__}: {error}")
