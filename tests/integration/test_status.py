#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run tells of itself while it lives and after: test_status.py MUSTER"""
import json

from cluster import ASYNC, Case, main

CLICKS = {"name": "clicks", "model": {"kind": "wide_deep"},
          "data": {"kind": "clicks", "samples": 2000, "test_samples": 500, "batch": 50},
          "mode": {"kind": "async"}, "train": {"epochs": 1},
          "optimizer": {"kind": "adagrad", "learning_rate": 0.05}}


class Loads(Case):
    def check_everywhere(self, run):
        """metrics.jsonl ends with the numbers of the summary; the event files have all names."""
        servers = run.summary["servers"]
        last = json.loads((run.out / "metrics.jsonl").read_text().splitlines()[-1])
        for name, load in servers.items():
            for key, value in load.items():
                self.assertEqual(last[f"load/{key}/{name}"], value)
            events = b"".join(path.read_bytes() for path in
                              (run.out / "tb" / name.replace("/", "-")).iterdir())
            for key in load:
                self.assertIn(f"ps/load/{key}".encode(), events)
        return list(servers.values())

    def test_the_loads_of_all_servers_are_told_exactly(self):
        run = self.trained("chief=1,worker=1,ps=3", "--steps", "90", job=ASYNC)
        loads = self.check_everywhere(run)
        self.assertEqual(list(run.summary["servers"]), ["ps/0", "ps/1", "ps/2"])
        pushes = sum(run.summary["verdicts"].values())
        parameters = 784 * 128 + 128 + 128 * 10 + 10
        for load in loads:
            # Besides the pushes: the first pull of each replica, its leaving, the leader's last.
            self.assertEqual(load["requests"], pushes + 2 + 2 + 1)
            self.assertEqual(load["gradients"], pushes)
            self.assertEqual(load["memory_bytes"] // load["dense_bytes"], 4)
            self.assertEqual((load["rows"], load["unread"], load["cut_off"]), (0, 0, 0))
        padded = sum(load["dense_bytes"] for load in loads)  # tensors begin at multiples of 16
        self.assertIn(padded, range(4 * parameters, 4 * parameters + 256))
        self.assertGreaterEqual(run.summary["dense_balance"], 1)
        self.assertLess(run.summary["dense_balance"], 1.1)
        self.assertGreater(sum(load["bytes_in"] for load in loads), 4 * parameters * pushes)

    def test_the_rows_of_all_servers_are_those_of_the_table(self):
        path = self.folder("job")
        path.write_text(json.dumps(CLICKS))
        run = self.trained("worker=2,ps=2", job=str(path))
        loads = self.check_everywhere(run)
        self.assertEqual(sum(load["rows"] for load in loads), run.summary["embedding_rows"])
        for load in loads:
            self.assertGreater(load["rows_wanted"], load["rows"])
            self.assertGreater(load["row_bytes"], 0)
            self.assertGreater(load["memory_bytes"], load["row_bytes"] + load["dense_bytes"])

    def test_a_run_without_servers_has_no_loads(self):
        run = self.trained("worker=2", "--steps", "20")
        self.assertEqual((run.summary["servers"], run.summary["dense_balance"]), ({}, None))


if __name__ == "__main__":
    main()
