# SPDX-License-Identifier: Apache-2.0
"""The public collectives under mpirun: test_mpi_group.py MPIRUN EXAMPLE GROUP_RANK MUSTER HAS_MPI

EXAMPLE is examples/allreduce.c; GROUP_RANK tries every operation over a transport that it is given.
"""
import json
import os
import re
import subprocess
import sys
import unittest

MPIRUN, EXAMPLE, GROUP_RANK, MUSTER = (os.path.abspath(path) for path in sys.argv[1:5])
HAS_MPI = sys.argv[5] == "true"


# What Open MPI keeps until the process ends is not ours to free.
KEEPS = {"ASAN_OPTIONS": "detect_leaks=0"}


def mpirun(ranks, *command, **variables):
    env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
               OMPI_MCA_rmaps_base_oversubscribe="1", **variables)
    return subprocess.run([MPIRUN, "-n", str(ranks), *command], env=env, capture_output=True,
                          text=True, timeout=100, stdin=subprocess.DEVNULL)


class MpiGroup(unittest.TestCase):
    def all_right(self, ranks, transport):
        keeps = KEEPS if transport == "mpi" else {}
        done = mpirun(ranks, GROUP_RANK, transport, **keeps)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(sorted(done.stdout.splitlines()),
                         [f"rank {rank} of {ranks}: all is right" for rank in range(ranks)])

    def test_the_example_needs_nothing_but_mpirun(self):
        done = mpirun(4, EXAMPLE)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(sorted(done.stdout.splitlines()), [
            f"rank {rank} of 4: 1048576 of 1048576 sums are right" for rank in range(4)])

    def test_every_operation_over_our_own_transports(self):
        for transport in ("route", "shm", "tcp"):
            self.all_right(4, transport)

    def test_errors_name_ranks_by_address_and_process(self):
        for transport in ("route", "tcp"):
            done = mpirun(2, GROUP_RANK, transport, "differ")
            told = dict(re.findall(r"^rank (\d), pid (\d+): ", done.stdout, re.M))
            self.assertEqual(sorted(told), ["0", "1"], done.stdout + done.stderr)
            for rank, process in told.items():
                name = rf"rank {rank} \([^ ]+:\d+, pid {process}\) does all-reduce "
                self.assertEqual(len(re.findall(name, done.stdout)), 2, done.stdout)

    @unittest.skipUnless(HAS_MPI, "built without Open MPI")
    def test_every_operation_over_mpi(self):
        for ranks in (1, 2, 4, 5):
            self.all_right(ranks, "mpi")

    @unittest.skipUnless(HAS_MPI, "built without Open MPI")
    def test_ranks_that_differ_are_told_over_mpi(self):
        for ranks, algorithm in ((2, ()), (3, ()), (3, ("ring",)), (3, ("mpi",))):
            done = mpirun(ranks, GROUP_RANK, "mpi", "differ", *algorithm, **KEEPS)
            self.assertIn("of 1 float32", done.stdout, done.stdout + done.stderr)
            self.assertIn("of 2 float32", done.stdout, done.stdout + done.stderr)
            self.assertNotIn("ranks that differ", done.stdout, done.stdout + done.stderr)

    @unittest.skipUnless(HAS_MPI, "built without Open MPI")
    def test_the_bench_runs_over_mpi_and_with_its_all_reduce(self):
        for algorithm in ((), ("--algorithm", "mpi"), ("--algorithm", "ring")):
            done = subprocess.run(
                [MUSTER, "bench", "allreduce", "--transport", "mpi", "--bytes", "4,40000", "--json",
                 "--rounds", "3", "--budget", "2", *algorithm], capture_output=True, text=True,
                timeout=100, stdin=subprocess.DEVNULL, env=dict(os.environ, **KEEPS))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual([row["bytes"] for row in rows], [4, 40000])
            if algorithm:
                self.assertEqual(rows[0]["algorithm"], algorithm[1])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
