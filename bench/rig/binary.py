"""The program under measurement: given, found, or built."""

import os
import subprocess

from rig.boxes import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Everything from source, SQLite and libpq included, on one core.
BUILD_LIMIT_S = 3_600


def find_binary(given):
    if given:
        if not os.access(given, os.X_OK):
            raise Failure(f"--duplex {given}: no program there")
        return os.path.abspath(given)
    built = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "duplex")
    if not os.path.exists(built):
        print(f"building {built}", flush=True)
        try:
            built_well = subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, timeout=BUILD_LIMIT_S).returncode == 0
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failure(f"cargo build --release: {error}") from None
        if not built_well:
            raise Failure("cargo build --release failed (its words are above)")
    return os.path.abspath(built)
