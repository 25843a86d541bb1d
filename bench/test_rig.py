"""What the figures are made of. `python3 -m unittest discover -s bench`."""

import io
import json
import os
import sys
import tempfile
import unittest
import xml.dom.minidom
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from rig import boxes, cpu, matrix, metrics, plot, postgres  # noqa: E402

EXPORTED = """# TYPE duplex_step_microseconds histogram
duplex_step_microseconds_sum{step="parse"} 3.5
duplex_step_microseconds_bucket{le="1.0",step="parse"} 2
duplex_step_microseconds_bucket{le="2.0",step="parse"} 4
duplex_step_microseconds_bucket{le="+Inf",step="parse"} 4
duplex_step_microseconds_bucket{le="1.0",step="queue"} 0
duplex_step_microseconds_bucket{le="2.0",step="queue"} 0
duplex_step_microseconds_bucket{le="+Inf",step="queue"} 0
"""


def figures(duplex_per_s, duplex_p99_ms):
    found = {}
    for side, per_s, p99 in (("ordinary", 500, 10), ("best_case", 1000, 2), ("duplex", duplex_per_s, duplex_p99_ms)):
        found[side, 32] = [{"per_s": per_s * times, "p50_ms": 1, "p99_ms": p99} for times in (1, 3, 2)]
    return found


class Matrix(unittest.TestCase):
    def test_a_row_holds_the_medians_and_the_ratio_of_the_throughputs(self):
        rows = matrix.compare(figures(2500, 1), [32])
        self.assertEqual(rows[1], {
            "clients": 32, "peer": "best_case", "peer_per_s": 2000, "duplex_per_s": 5000, "ratio": 2.5,
            "peer_p50_ms": 1, "peer_p99_ms": 2, "duplex_p50_ms": 1, "duplex_p99_ms": 1,
        })

    def test_a_shortfall_in_throughput_or_p99_is_named(self):
        self.assertEqual(list(matrix.shortfalls(matrix.compare(figures(2500, 1), [32]), "sqlite")), [])
        told = list(matrix.shortfalls(matrix.compare(figures(1500, 4), [32]), "sqlite"))
        self.assertEqual([line.split(" at ")[0] for line in told], [
            "1.50 times the best case's throughput", "p99 2.00 times the best case's"
        ])

    def test_the_file_is_one_json_list_of_the_rows(self):
        rows = matrix.compare(figures(2500, 1), [32])
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "matrix.json")
            matrix.write_json(open(path, "w"), rows)
            with open(path) as file:
                self.assertEqual(json.load(file), rows)

    def test_the_picture_is_well_formed_and_names_the_ratio(self):
        kept = io.StringIO()
        kept.close = lambda: None
        options = SimpleNamespace(engine="sqlite", tls=False, rounds=3, seconds=20)
        plot.write(kept, matrix.compare(figures(2500, 1), [32]), options)
        self.assertIn("2.50x", xml.dom.minidom.parseString(kept.getvalue()).toxml())


class Pgbench(unittest.TestCase):
    def outcome(self, printed, notes):
        with tempfile.TemporaryDirectory() as directory:
            with open(os.path.join(directory, "l.1"), "w") as file:
                file.write(notes)
            return postgres.outcome(printed, os.path.join(directory, "l"))

    def test_quantiles_come_from_the_note_of_each_transaction(self):
        notes = "".join(f"0 {number} {number * 10} 0 1700000000 5\n" for number in range(1, 101))
        found = self.outcome("number of failed transactions: 0 (0.000%)\ntps = 12.5 (without)\n", notes)
        self.assertEqual(found, {"per_s": 12.5, "p50_ms": 0.51, "p99_ms": 1.0, "commands": 100})

    def test_failed_transactions_are_no_result(self):
        with self.assertRaises(boxes.Failure):
            self.outcome("number of failed transactions: 3 (1.000%)\ntps = 12.5 (without)\n", "0 1 10 0 1 5\n")


class Metrics(unittest.TestCase):
    def test_quantiles_count_only_what_came_between_two_looks(self):
        before = metrics.histograms(EXPORTED, "duplex_step_microseconds")
        after = metrics.histograms(EXPORTED.replace('"parse"} 4', '"parse"} 8'), "duplex_step_microseconds")
        parse = metrics.since(before, after)["parse"]
        self.assertEqual(parse, [(1.0, 0), (2.0, 4), (float("inf"), 4)])
        self.assertEqual(metrics.quantile(parse, 0.5), 1.5)

    def test_a_histogram_without_counts_has_no_quantile(self):
        self.assertIsNone(metrics.quantile(metrics.histograms(EXPORTED, "duplex_step_microseconds")["queue"], 0.5))


class Processor(unittest.TestCase):
    def test_work_of_this_process_is_ours_and_in_its_thread(self):
        before, ours = cpu.thread_ticks(os.getpid()), cpu.family_ticks(os.getpid())
        while cpu.family_ticks(os.getpid()) < ours + 5:
            pass
        used = cpu.thread_ticks(os.getpid())
        used.subtract(before)
        self.assertGreaterEqual(sum(used.values()), 4)


if __name__ == "__main__":
    unittest.main()
