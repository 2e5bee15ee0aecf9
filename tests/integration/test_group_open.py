#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The collectives without the trainer: test_group_open.py EXAMPLE BUILD SOURCE

EXAMPLE is examples/allreduce.c as built here; it is also built as its users do, by pkg-config.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

EXAMPLE, BUILD, SOURCE = (os.path.abspath(path) for path in sys.argv[1:4])
LAUNCHERS = ("TF_CONFIG", "CLUSTER_SPEC", "MUSTER_", "SM_", "SLURM_", "OMPI_", "PMIX_", "RANK",
             "WORLD_SIZE")


def environment(**variables):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    return dict(clean, **variables)


def start(program, **variables):
    return subprocess.Popen([program], env=environment(**variables), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)


def free_addresses(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return found


def config(cluster, role, index):
    return json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})


class Group(unittest.TestCase):
    def finish(self, processes):
        out = []
        for process in processes:
            stdout, stderr = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, stderr)
            out.append(stdout)
        return out

    def check(self, lines, ranks):
        self.assertEqual(sorted(lines), [
            f"rank {rank} of {ranks}: 1048576 of 1048576 sums are right\n"
            for rank in range(ranks)])

    def test_alone_it_is_a_group_of_one(self):
        self.check(self.finish([start(EXAMPLE)]), 1)

    def test_workers_of_a_cluster_are_the_ranks(self):
        for count in (2, 3):
            cluster = {"worker": free_addresses(count)}
            self.check(self.finish([start(EXAMPLE, TF_CONFIG=config(cluster, "worker", index))
                                    for index in reversed(range(count))]), count)

    def test_a_chief_is_rank_0(self):
        chief, *workers = free_addresses(3)
        cluster = {"worker": workers, "chief": [chief]}
        places = [("chief", 0), ("worker", 0), ("worker", 1)]
        out = self.finish([start(EXAMPLE, TF_CONFIG=config(cluster, *place)) for place in places])
        self.check(out, 3)
        self.assertTrue(out[0].startswith("rank 0"))

    def test_a_parameter_server_is_told_that_it_has_no_rank(self):
        cluster = {"worker": ["127.0.0.1:1111"], "ps": ["127.0.0.1:1112"]}
        process = start(EXAMPLE, TF_CONFIG=config(cluster, "ps", 0))
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("ps/0 has no rank in a group", stderr)

    def test_two_clusters_that_differ_do_not_mix(self):
        one, two, three = free_addresses(3)
        first = start(EXAMPLE, TF_CONFIG=config({"worker": [one, two, three]}, "worker", 0))
        second = start(EXAMPLE, TF_CONFIG=config({"worker": [one, two]}, "worker", 1))
        for process in (first, second):
            _, stderr = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1)
            self.assertIn("rank 1 of a group of 2 has met rank 0", stderr)
            self.assertIn("of a group of 3", stderr)

    @unittest.skipUnless(shutil.which("pkg-config") and shutil.which("cc"), "no pkg-config")
    def test_it_builds_by_pkg_config(self):
        path = os.path.join(BUILD, "meson-uninstalled")
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "--static", "muster"],
                               env=dict(os.environ, PKG_CONFIG_PATH=path), check=True,
                               capture_output=True, text=True).stdout.split()
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "allreduce")
            subprocess.run([*os.environ.get("CC", "cc").split(), "-o", program,
                            os.path.join(SOURCE, "examples/allreduce.c"), *flags], check=True)
            self.check(self.finish([start(program)]), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
