#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How gradients are summed: transports, algorithms, compression, accumulation, the timeline:
test_exchange.py MUSTER"""
import json
import os

from cluster import ASYNC, MUSTER, SYNC, Case, Process, checkpoints, main, tensors

SHORT = ["--set", "data.samples=2400", "--set", "data.test_samples=500", "--epochs", "2"]
WAYS = [["mode.transport=tcp"], ["mode.transport=shm"], ["mode.arena=false"],
        ["mode.algorithm=direct"]] + [
    ["mode.transport=tcp", f"mode.algorithm={name}"] for name in ("ring", "doubling", "halving")]
KEEPING = {"topk": '{"kind":"topk","density":0.05}', "onebit": '{"kind":"onebit"}',
           "powersgd": '{"kind":"powersgd","rank":2}',
           "randomk": '{"kind":"randomk","density":0.05}'}


def sets(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


class Exchange(Case):
    def test_every_way_to_sum_gives_the_same_bits(self):
        for roles in ("worker=2", "chief=1,worker=2"):
            crcs = {}
            for way in WAYS:
                run = self.trained(roles, *SHORT, "--steps", "20", *sets(*way))
                crcs[" ".join(way)] = run.summary["parameters_crc32c"]
            self.assertEqual(len(set(crcs.values())), 1, crcs)

    def test_an_algorithm_that_cannot_run_is_refused_with_those_that_can(self):
        run = self.trained("worker=2", *SHORT, *sets("mode.algorithm=direct", "mode.transport=tcp"),
                           code=78)
        self.assertIn("ring", run.text)
        run = self.trained("worker=2", *SHORT, *sets("mode.algorithm=rign"), code=78)
        self.assertIn("ring", run.text)

    def test_the_thread_that_sums_is_told_with_the_reason(self):
        # Forced: on a busy machine the measured costs may prefer messages, which need the other.
        run = self.trained("worker=2", *SHORT, "--steps", "2", "--verbose",
                           *sets("mode.algorithm=direct"))
        crowded = len(os.sched_getaffinity(0)) < 4
        self.assertIn("not every replica has a processor to spare: gradients are summed on the "
                      "training thread" if crowded else "waking the communication thread", run.text)

    def test_compression_of_an_asynchronous_run_is_refused(self):
        run = self.muster("run", ASYNC, "--local", "chief=1,ps=1", "--set",
                          'compress={"kind":"topk"}', "--out", self.folder("async"))
        self.assertEqual(run.code, 78, run.text)
        self.assertIn("topk", run.text)

    def test_accumulated_batches_train_like_one_large_batch(self):
        parts = self.trained("worker=2", *SHORT, "--batch", "8", *sets("data.accumulate=4"))
        whole = self.trained("worker=2", *SHORT, "--batch", "32")
        for key in ("steps", "samples", "epochs"):
            self.assertEqual(parts.summary[key], whole.summary[key], key)
        theirs = tensors(checkpoints(whole.out)[-1] / "model.safetensors")
        for name, values in tensors(checkpoints(parts.out)[-1] / "model.safetensors").items():
            largest = max(map(abs, theirs[name]))
            worst = max(abs(a - b) for a, b in zip(values, theirs[name]))
            self.assertLess(worst, 2e-5 * max(largest, 1), name)

    def test_late_gradients_with_momentum_are_warned_of(self):
        for kind, rate, warned in (("randomk", 0.05, True), ("onebit", 0.2, True),
                                   ("onebit", 0.05, False), ("powersgd", 0.2, False)):
            run = self.trained("worker=2", *SHORT, "--steps", "2", *sets(
                f"compress={KEEPING[kind]}",
                f'optimizer={{"kind":"momentum","momentum":0.9,"learning_rate":{rate}}}'))
            self.assertEqual("may diverge" in run.text, warned, f"{kind} {rate}: {run.text}")

    def test_a_compressed_run_that_is_interrupted_goes_on_bit_exactly(self):
        for kind, section in KEEPING.items():
            way = sets(f"compress={section}")
            through = self.trained("worker=2", *SHORT, "--steps", "30", *way)
            broken = self.trained("worker=2", *SHORT, "--steps", "17", *way)
            again = self.trained("worker=2", *SHORT, "--steps", "30", *way, "--resume",
                                 out=broken.out)
            self.assertEqual(again.summary["parameters_crc32c"],
                             through.summary["parameters_crc32c"], kind)

    def test_residuals_go_on_with_another_number_of_workers(self):
        way = sets(f"compress={KEEPING['topk']}")
        run = self.trained("worker=3", *SHORT, "--steps", "12", *way)
        kept = tensors(checkpoints(run.out)[-1] / "residual.safetensors")["residuals"]
        self.assertGreater(max(map(abs, kept)), 0)
        again = self.trained("worker=2", *SHORT, "--steps", "13", *way, "--resume", out=run.out)
        self.assertEqual(again.summary["steps"], 13)

    def test_a_replica_without_rows_takes_part_with_zeros(self):
        """193 samples, 3 times 64 a step: the second step of an epoch has one row in all."""
        for mode in ("mode.transport=tcp", "mode.transport=route"):
            run = self.trained("worker=3", "--epochs", "3", "--batch", "64", *sets(
                mode, "data.samples=193", "model.widths=[784,1024,512,10]",
                "mode.bucket_bytes=65536"))
            self.assertEqual(run.summary["samples"], 3 * 193)
            self.assertEqual(run.summary["steps"], 6)

    def test_who_is_not_in_shared_memory_is_named_as_in_the_spec(self):
        run = Process("launcher", [
            "unshare", "--mount", "sh", "-ec",
            'mount -t tmpfs -o size=64k none /dev/shm || exec echo no mount; exec "$0" "$@"',
            MUSTER, "run", SYNC, "--local", "chief=1,worker=1", *SHORT, "--steps", "2", "--out",
            str(self.folder("run"))])
        self.own(run)
        code = run.ends()
        if run.text.endswith("no mount") or "unshare failed" in run.text:
            self.skipTest("this user may not mount over /dev/shm")
        self.assertEqual(code, 0, run.text)
        self.assertRegex(run.text, r"chief/0\] warning: worker/0 is on this host, but not in "
                                   r"shared memory with us: /dev/shm is full")

    def test_the_timeline_shows_buckets_that_travel_while_backward_runs(self):
        run = self.trained("worker=2", *SHORT, "--steps", "20", *sets(
            "mode.transport=tcp", "log.timeline_steps=10", "model.widths=[784,512,512,10]",
            "mode.bucket_bytes=262144", "data.batch=512", "data.samples=20480"))
        events = [e for e in json.loads((run.out / "timeline.json").read_text()) if e["ph"] == "X"]
        computing = [e for e in events if e["name"].startswith("forward")]
        buckets = [e for e in events if e["name"].startswith("exchange")]
        self.assertEqual([e["args"]["step"] for e in computing], list(range(1, 11)))
        overlapping = sum(
            c["args"]["step"] == b["args"]["step"] and c["ts"] < b["ts"] < c["ts"] + c["dur"]
            for c in computing for b in buckets)
        self.assertGreater(overlapping, 10)


if __name__ == "__main__":
    main()
