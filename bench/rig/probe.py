"""What this machine is like: one line above the figures."""

import os
import time

SYNCS = 300
SIZE = 8192


def describe_machine(boxes):
    p50, p99 = sync_times(boxes.path("probe"))
    return f"machine: {os.cpu_count()} cores, fdatasync of an overwritten {SIZE // 1024} KiB: p50 {p50:.2f} ms, p99 {p99:.2f} ms"


def sync_times(path):
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, b"\0" * SIZE, 0)
        os.fsync(file)
        taken = sorted(one_sync(file) for _ in range(SYNCS))
    finally:
        os.close(file)
        os.remove(path)
    return taken[SYNCS // 2] * 1000, taken[SYNCS * 99 // 100] * 1000


def one_sync(file):
    began = time.perf_counter()
    os.pwrite(file, os.urandom(SIZE), 0)
    os.fdatasync(file)
    return time.perf_counter() - began
