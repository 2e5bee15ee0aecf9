#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The collectives without the trainer: test_group_open.py EXAMPLE BUILD SOURCE

EXAMPLE is examples/allreduce.c as built here; it is also built as its users do, by pkg-config.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from examples import build_by_pkg_config, free_addresses, outputs, start

EXAMPLE, BUILD, SOURCE = (os.path.abspath(path) for path in sys.argv[1:4])


class Group(unittest.TestCase):
    def check(self, lines, ranks):
        self.assertEqual(sorted(lines), [
            f"rank {rank} of {ranks}: 1048576 of 1048576 sums are right\n"
            for rank in range(ranks)])

    def test_alone_it_is_a_group_of_one(self):
        self.check(outputs(self, [start(EXAMPLE)]), 1)

    def test_workers_of_a_cluster_are_the_ranks(self):
        for count in (2, 3):
            cluster = {"worker": free_addresses(count)}
            self.check(outputs(self, [start(EXAMPLE, cluster, "worker", index)
                                      for index in reversed(range(count))]), count)

    def test_a_chief_is_rank_0(self):
        chief, *workers = free_addresses(3)
        cluster = {"worker": workers, "chief": [chief]}
        places = [("chief", 0), ("worker", 0), ("worker", 1)]
        out = outputs(self, [start(EXAMPLE, cluster, *place) for place in places])
        self.check(out, 3)
        self.assertTrue(out[0].startswith("rank 0"))

    def test_a_parameter_server_is_told_that_it_has_no_rank(self):
        cluster = {"worker": ["127.0.0.1:1111"], "ps": ["127.0.0.1:1112"]}
        process = start(EXAMPLE, cluster, "ps", 0)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("ps/0 has no rank in a group", stderr)

    def test_two_clusters_that_differ_do_not_mix(self):
        one, two, three = free_addresses(3)
        first = start(EXAMPLE, {"worker": [one, two, three]}, "worker", 0)
        second = start(EXAMPLE, {"worker": [one, two]}, "worker", 1)
        for process in (first, second):
            _, stderr = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1)
            self.assertIn("rank 1 of a group of 2 has met rank 0", stderr)
            self.assertIn("of a group of 3", stderr)

    def small_shm(self, size):
        """What to start processes with that see one /dev/shm of this size."""
        holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec",
             f"mount -t tmpfs -o size={size} none /dev/shm; echo ready; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(holder.communicate)
        if holder.stdout.readline() != "ready\n":
            self.skipTest("this user may not mount over /dev/shm")
        return ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]

    def test_a_shm_without_room_is_one_line_and_the_sums_are_right(self):
        private = (r"a vector of 4\.0 MiB lies in each rank's own memory, not in shared memory "
                   r"\(rank \d.*: /dev/shm is full \(needs 4\.0 MiB, has .*\)\)")
        said = {"4k": r"is full .*only tcp reaches it",
                "6m": r"\(rank \d.*: /dev/shm is full .*\): they add by messages",
                "9m": private, "12m": private, "16m": private}
        for size, line in said.items():
            with self.subTest(size=size):
                cluster = {"worker": free_addresses(3)}
                wrapper = self.small_shm(size)
                tasks = [start(EXAMPLE, cluster, "worker", index, wrapper) for index in range(3)]
                found = [task.communicate(timeout=60) for task in tasks]
                self.assertEqual([task.returncode for task in tasks], [0, 0, 0], found)
                self.check([stdout for stdout, _ in found], 3)
                for _, stderr in found:
                    self.assertEqual(stderr.count("/dev/shm is full"), 1, stderr)
                    self.assertRegex(stderr, line)

    @unittest.skipUnless(shutil.which("pkg-config") and shutil.which("cc"), "no pkg-config")
    def test_it_builds_by_pkg_config(self):
        with tempfile.TemporaryDirectory() as folder:
            program = build_by_pkg_config(BUILD, SOURCE, "allreduce", folder)
            self.check(outputs(self, [start(program)]), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
