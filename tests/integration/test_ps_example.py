#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Parameter servers without the trainer: test_ps_example.py EXAMPLE ROWS BUILD SOURCE

EXAMPLE is examples/ps.c as built here; it is also built as its users do, by pkg-config. ROWS is
examples/ps_rows.c.
"""
import os
import shutil
import socket
import sys
import tempfile
import unittest

from examples import build_by_pkg_config, free_addresses, outputs, start

EXAMPLE, ROWS, BUILD, SOURCE = (os.path.abspath(path) for path in sys.argv[1:5])


def cluster_of(ps, workers):
    addresses = free_addresses(ps + workers)
    return {"ps": addresses[:ps], "worker": addresses[ps:]}


class Example(unittest.TestCase):
    def fit(self, program, workers):
        cluster = cluster_of(1, workers)
        places = [("worker", index) for index in range(workers)] + [("ps", 0)]
        *said, server = outputs(self, [start(program, cluster, *place) for place in places])
        for index, line in enumerate(said):
            self.assertIn(f"worker {index} of {workers}: y = 3.0 x + 2.0 at version", line)
        self.assertEqual(server, "this server ends with the slope 3.0\n"
                                 "this server ends with the offset 2.0\n")

    def test_workers_and_a_server_fit_the_line(self):
        for workers in (1, 3):
            self.fit(EXAMPLE, workers)

    def test_two_servers_have_a_number_each(self):
        cluster = cluster_of(2, 1)
        places = [("worker", 0), ("ps", 0), ("ps", 1)]
        said, *servers = outputs(self, [start(EXAMPLE, cluster, *place) for place in places])
        self.assertIn("worker 0 of 1: y = 3.0 x + 2.0 at version", said)
        self.assertEqual(servers, ["this server ends with the slope 3.0\n",
                                   "this server ends with the offset 2.0\n"])

    def test_workers_learn_the_rows_of_two_servers(self):
        cluster = cluster_of(2, 2)
        places = [("worker", 0), ("worker", 1), ("ps", 0), ("ps", 1)]
        *said, _, _ = outputs(self, [start(ROWS, cluster, *place) for place in places])
        for index, line in enumerate(said):
            self.assertEqual(line, f"worker {index} of 2: off by 0.0\n")

    def test_a_chief_is_worker_0(self):
        server, chief = free_addresses(2)
        cluster = {"ps": [server], "chief": [chief]}
        places = [("chief", 0), ("ps", 0)]
        said, _ = outputs(self, [start(EXAMPLE, cluster, *place) for place in places])
        self.assertIn("worker 0 of 1: y = 3.0 x + 2.0", said)

    def test_without_a_cluster_it_says_what_is_missing(self):
        process = start(EXAMPLE)
        _, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertIn("there is no parameter server in the cluster", stderr)

    def test_who_waits_says_for_whom_on_stderr(self):
        cluster = cluster_of(1, 2)
        worker, server = (start(EXAMPLE, cluster, *place) for place in (("worker", 0), ("ps", 0)))
        said = server.stderr.readline()
        self.assertRegex(said,
                         r"^muster: waiting since 2\.\S+ s for worker/1: it has not called \(")
        alone = start(EXAMPLE, cluster_of(1, 1), "worker", 0)
        self.assertRegex(alone.stderr.readline(), r"^muster: waiting since 2\.\S+ s for ps/0 "
                         r"\(127\.0\.0\.1:\d+\): Connection refused \(")
        for process in (worker, server, alone):
            process.kill()
            process.communicate(timeout=60)

    def test_a_port_in_use_is_said_with_its_holder(self):
        cluster = cluster_of(1, 1)
        host, port = cluster["ps"][0].split(":")
        with socket.create_server((host, int(port))):
            server = start(EXAMPLE, cluster, "ps", 0)
            _, stderr = server.communicate(timeout=60)
        self.assertEqual(server.returncode, 1)
        self.assertRegex(stderr, rf"E0302.*in use by pid {os.getpid()} \(.*test_ps_example")
        self.assertIn(f"`kill {os.getpid()}` ends it", stderr)

    def test_a_server_that_comes_again_before_all_are_there_is_found(self):
        cluster = cluster_of(1, 2)
        server = start(EXAMPLE, cluster, "ps", 0)
        first = start(EXAMPLE, cluster, "worker", 0)  # waits for the other, and so does the server
        server.kill()
        server.communicate(timeout=60)
        again = start(EXAMPLE, cluster, "ps", 0)
        second = start(EXAMPLE, cluster, "worker", 1)
        outputs(self, [first, second, again])

    @unittest.skipUnless(shutil.which("pkg-config") and shutil.which("cc"), "no pkg-config")
    def test_it_builds_by_pkg_config(self):
        with tempfile.TemporaryDirectory() as folder:
            self.fit(build_by_pkg_config(BUILD, SOURCE, "ps", folder), 1)

    def test_the_examples_have_at_most_60_lines(self):
        for name in ("ps.c", "ps_rows.c"):
            with open(os.path.join(SOURCE, "examples", name), encoding="utf-8") as file:
                self.assertLessEqual(len(file.readlines()), 60)

    def test_one_of_them_has_all_calls(self):
        with open(os.path.join(SOURCE, "examples", "ps_rows.c"), encoding="utf-8") as file:
            text = file.read()
        for call in ("pull", "push", "push_pull", "pull_rows", "push_rows", "wait"):
            self.assertIn(f"mu_ps_{call}(", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
