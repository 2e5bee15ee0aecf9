#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run takes: allocations, memory, time to the first byte.
test_resources.py MUSTER; COUNT_ALLOCATIONS_LIBRARY names the library that counts."""
import os
import pathlib
import statistics
import struct
import subprocess
import time
import unittest

from cluster import (ASYNC, LONG, MUSTER, SLOW, SYNC, Case, Cluster, Process, environment, main,
                     until)
from side_by_side import alone

COUNTER = os.environ.get("COUNT_ALLOCATIONS_LIBRARY")
MIB = 1 << 20


@alone
class Allocations(Case):
    def points(self, cluster):
        path = cluster.out / "metrics.jsonl"
        return path.read_text().count("\n") if path.exists() else 0

    def counts(self, cluster):
        return {name: struct.unpack("q", (self._root / name.replace("/", "-")).read_bytes())[0]
                for name in cluster.names}

    def start(self, job, arguments, counts):
        cluster = Cluster(self, job=job, arguments=[*LONG, "--set", "log.every_steps=100", "--set",
                                                    "checkpoint.every_steps=0", *arguments],
                          **counts)
        for name in cluster.names:
            variables = {"LD_PRELOAD": COUNTER, "TF_CONFIG": cluster.config(name),
                         "COUNT_ALLOCATIONS": str(self._root / name.replace("/", "-"))}
            task = Process(name, [MUSTER, "run", job, "--out", str(cluster.out),
                                  *cluster.arguments], **variables)
            self.own(task)
            cluster.tasks[name] = task
        return cluster

    def settle(self, job, *arguments, **counts):
        """Between two points of a run that has warmed up, some hundred steps apart, nothing is
        allocated in any task. What grows once (a longer queue than ever before) may do so in one
        of three stretches; what a step allocates would show in all."""
        cluster = self.start(job, arguments, counts)
        seen = []
        until(lambda: self.points(cluster) >= 3, "the warm-up")
        for _ in range(3):
            before, first = self.counts(cluster), self.points(cluster)
            self.assertTrue(all(before.values()), before)
            until(lambda: self.points(cluster) >= first + 4, "400 more steps")
            after = self.counts(cluster)
            seen.append({name: after[name] - before[name] for name in before})
            if not any(seen[-1].values()):
                return
        self.fail(f"allocations in stretches of 400 steps: {seen}")

    @unittest.skipUnless(COUNTER, "COUNT_ALLOCATIONS_LIBRARY is not set")
    def test_a_synchronous_step_allocates_nothing(self):
        self.settle(SYNC, chief=1, worker=1)
        self.settle(SYNC, "--set", "mode.bucket_bytes=4096", "--set", 'optimizer={"kind":"adam"}',
                    chief=1, worker=2)

    @unittest.skipUnless(COUNTER, "COUNT_ALLOCATIONS_LIBRARY is not set")
    def test_an_asynchronous_step_allocates_nothing(self):
        self.settle(ASYNC, chief=1, worker=1, ps=1)
        self.settle(ASYNC, "--set", "mode.in_flight=4", chief=1, worker=1, ps=2)


@unittest.skipIf("MUSTER_SLOW" in os.environ, "a sanitizer takes memory of its own")
class Memory(Case):
    WIDTHS = [784, 512, 512, 10]
    BATCH = 64

    def resident(self, pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def own_memory(self, task, job, counts, vectors):
        cluster = Cluster(self, job=job, arguments=[
            *LONG, "--set", f"model.widths={self.WIDTHS}", "--batch", str(self.BATCH), "--set",
            "checkpoint.every_steps=0"], **counts).start_all().trains()
        data = 12000 * (784 + 1)  # a byte a pixel, and the label
        floats = sum((first + 1) * last for first, last in zip(self.WIDTHS, self.WIDTHS[1:]))
        batches = 3 * self.BATCH * 785 * 4
        known = vectors * floats * 4 + data + batches
        beyond = self.resident(cluster.tasks[task].pid) - known
        print(f"{task} of {job.rsplit('/', 1)[1]}: {beyond / MIB:.1f} MiB beyond "
              f"{known / MIB:.1f} MiB", flush=True)
        self.assertLess(beyond, 32 * MIB)

    def test_a_synchronous_worker_needs_little_beyond_vectors_and_data(self):
        # Parameters, gradients, one slot of momentum.
        self.own_memory("worker/0", SYNC, dict(chief=1, worker=1), 3)

    def test_an_asynchronous_worker_needs_little_beyond_vectors_and_data(self):
        # Parameters, gradients; the fresh parameters of a push are counted as its own.
        self.own_memory("worker/0", ASYNC, dict(chief=1, worker=1, ps=1), 2)


@alone
class Help(Case):
    def test_help_begins_within_twenty_milliseconds(self):
        def first_byte():
            start = time.perf_counter()
            with subprocess.Popen([MUSTER, "--help"], stdout=subprocess.PIPE,
                                  env=environment()) as process:
                process.stdout.read(1)
                took = time.perf_counter() - start
                process.stdout.read()
            return took
        self.assertLess(statistics.median(first_byte() for _ in range(5)), 0.02 * SLOW)


if __name__ == "__main__":
    main()
