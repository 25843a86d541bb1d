"""Analysis clients that read the ledger page after page, at a fixed pace. A program of its own, for the client's box.

Arguments: address, port, pages per second, seconds, terminal and key of an office PC. Prints JSON: pages and lines read, and
milliseconds of each page.
"""

import http.client
import json
import sys
import time

LINES = 200
PAGE_LIMIT_S = 5


def read(address, port, pages_per_s, seconds, office):
    connection = http.client.HTTPConnection(address, port, timeout=PAGE_LIMIT_S)
    first = path = f"/api/v1/ledger?limit={LINES}"
    began, taken, lines = time.perf_counter(), [], 0
    while (next_turn := began + len(taken) / pages_per_s) < began + seconds:
        time.sleep(max(0.0, next_turn - time.perf_counter()))
        if time.perf_counter() > began + seconds:
            break
        asked = time.perf_counter()
        page = get(connection, path, office)
        taken.append((time.perf_counter() - asked) * 1000)
        lines += len(page["rows"])
        # From the end to the beginning again, as another report would.
        path = page.get("next") or first
    return {"pages": len(taken), "lines": lines, "ms": taken}


def headers(terminal_id, key):
    return {"X-Duplex-Terminal": terminal_id, "X-Duplex-Key": key}


def get(connection, path, headers):
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise OSError(f"GET {path}: {answer.status} {body[:200].decode(errors='replace')}")
    return json.loads(body)


if __name__ == "__main__":
    where, pace, who = (sys.argv[1], int(sys.argv[2])), (float(sys.argv[3]), float(sys.argv[4])), sys.argv[5:7]
    try:
        print(json.dumps(read(*where, *pace, headers(*who))))
    except (OSError, http.client.HTTPException, ValueError) as error:
        sys.exit(f"reports: {error}")
