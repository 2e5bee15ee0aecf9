#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs that must come to the same parameters: test_equal.py MUSTER"""
import json
import math

from cluster import ASYNC, SYNC, Case, checkpoints, main, tensors

SHORT = ["--set", "data.samples=2400", "--set", "data.test_samples=500", "--epochs", "2"]


class Equal(Case):
    def simulated(self, *arguments, job=SYNC):
        out = self.folder("simulated")
        run = self.muster("simulate", job, *arguments, *SHORT, "--out", out)
        self.assertEqual(run.code, 0, run.text)
        run.events = (out / "events.log").read_bytes()
        run.summary = json.loads((out / "summary.json").read_text())
        return run

    def parameters(self, run):
        return tensors(checkpoints(run.out)[-1] / "model.safetensors")

    def test_the_size_of_buckets_changes_nothing(self):
        """Wide layers make many slices; a bucket may be smaller than any, or hold them all."""
        crcs = set()
        for size in (4096, 1 << 20, 1 << 28):
            run = self.trained("worker=2", "--steps", 3, "--set", f"mode.bucket_bytes={size}",
                               "--set", "model.widths=[784,1024,2048,10]")
            crcs.add(run.summary["parameters_crc32c"])
        self.assertEqual(len(crcs), 1, crcs)

    def test_four_workers_do_what_one_does_with_four_times_the_batch(self):
        four = self.trained("chief=1,worker=3", *SHORT, "--batch", "16")
        one = self.trained("1", *SHORT, "--batch", "64")
        for key in ("steps", "samples", "epochs"):
            self.assertEqual(four.summary[key], one.summary[key], key)
        theirs = self.parameters(one)
        for name, values in self.parameters(four).items():
            largest = max(map(abs, theirs[name]))
            worst = max(abs(a - b) for a, b in zip(values, theirs[name]))
            self.assertLess(worst, 2e-5 * max(largest, 1), name)
        self.assertAlmostEqual(four.summary["train_loss"], one.summary["train_loss"], places=4)

    def moved(self, job, roles, *arguments, start=None):
        """What a run at rate 1 with gradients of norm 0.01 has learned since `start` (none: the
        drawn parameters): its parameters, and the norm of the difference."""
        plain = ["--set", "optimizer.momentum=0"] if job == SYNC else []
        def parameters(*arguments):
            return self.parameters(self.trained(
                roles, "--set", "data.samples=640", "--set", "data.test_samples=50", *plain,
                "--set", "optimizer.clip_norm=0.01", "--set", "train.seed=3",
                *arguments, job=job))
        before = parameters("--lr", "0", "--steps", "1") if start is None else start
        after = parameters("--lr", "1", *arguments)
        return after, math.sqrt(sum((a - b) ** 2 for name in after
                                    for a, b in zip(after[name], before[name])))

    def test_training_clips_and_follows_its_schedule(self):
        for job, roles in ((SYNC, "1"), (SYNC, "chief=1,worker=1"), (ASYNC, "chief=1,ps=2")):
            first, whole = self.moved(job, roles, "--steps", "1")
            self.assertAlmostEqual(whole, 0.01, delta=1e-5, msg=roles)
            _, warming = self.moved(job, roles, "--steps", "1", "--set", "schedule.kind=constant",
                                    "--set", "schedule.warmup_steps=4")
            self.assertAlmostEqual(warming, 0.01 / 4, delta=1e-5, msg=roles)
            # The first of two steps is whole, and the second one half.
            _, second = self.moved(job, roles, "--steps", "2", "--set", "schedule.kind=cosine",
                                   start=first)
            self.assertAlmostEqual(second, 0.01 / 2, delta=1e-5, msg=roles)

    def test_the_same_run_twice_ends_with_the_same_bits(self):
        runs = [self.trained("chief=1,worker=2", *SHORT) for _ in range(2)]
        self.assertEqual(*(run.summary["parameters_crc32c"] for run in runs))
        other = self.trained("chief=1,worker=2", *SHORT, "--set", "train.seed=2")
        self.assertNotEqual(other.summary["parameters_crc32c"],
                            runs[0].summary["parameters_crc32c"])

    def test_a_real_run_and_a_simulated_one_end_with_the_same_bits(self):
        for replicas, bucket in ((1, 1 << 20), (3, 1 << 20), (4, 4096)):
            arguments = ["--set", f"mode.bucket_bytes={bucket}"]
            roles = "chief=1" + (f",worker={replicas - 1}" if replicas > 1 else "")
            real = self.trained(roles, *SHORT, *arguments)
            simulated = self.simulated("--workers", replicas, "--seed", 7, *arguments)
            for key in ("parameters_crc32c", "steps", "epochs", "samples", "test_accuracy"):
                self.assertEqual(real.summary[key], simulated.summary[key], (replicas, key))

    def test_a_seed_repeats_a_simulation_byte_for_byte(self):
        for job, arguments in ((SYNC, ("--workers", 3)),
                               (ASYNC, ("--workers", 2, "--ps", 2))):
            arguments += ("--compute", "lognormal:10,0.5")
            first, again, other = (self.simulated(*arguments, "--seed", seed, job=job)
                                   for seed in (3, 3, 4))
            self.assertEqual(first.events, again.events, job)
            self.assertEqual(first.summary, again.summary)
            self.assertNotEqual(first.events, other.events, job)
            self.assertGreater(len(first.events), 1000)

    def test_a_simulated_asynchronous_run_reads_every_sample(self):
        run = self.simulated("--workers", 3, "--ps", 2, "--compute", "lognormal:10,0.5", job=ASYNC)
        self.assertEqual(run.summary["samples"], 4800)
        self.assertEqual(sum(run.summary["verdicts"].values()),
                         sum(run.summary["staleness"]["histogram"]))
        self.assertGreater(run.summary["staleness"]["mean"], 0.5)


if __name__ == "__main__":
    main()
