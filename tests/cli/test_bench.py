#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""muster bench allreduce and bench ps, as others call them: test_bench.py MUSTER"""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

MUSTER = os.path.abspath(sys.argv[1])
PEERS = os.path.join(os.path.dirname(MUSTER), "bench")
QUICK = ["--rounds", "3", "--budget", "2"]
FIELDS = {"bytes": int, "ranks": int, "transport": str, "algorithm": str, "median_us": float,
          "min_us": float, "max_us": float}


def bench(*arguments, **variables):
    env = dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1", **variables)
    return subprocess.run([MUSTER, "bench", "allreduce", *arguments], env=env,
                          capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)


def rows(*arguments):
    done = bench("--json", *QUICK, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def has_peer(name, launcher):
    return os.path.exists(os.path.join(PEERS, "peer_" + name)) and shutil.which(launcher)


def children(process):
    try:
        with open(f"/proc/{process}/task/{process}/children") as listed:
            return [int(child) for child in listed.read().split()]
    except OSError:
        return []


def processors(process):
    try:
        return tuple(sorted(os.sched_getaffinity(process)))
    except OSError:
        return None


def bound_as(how, expected, allowed):
    """Whether four ranks on the processors `allowed` are seen where they are expected."""
    running = subprocess.Popen(
        [MUSTER, "bench", "allreduce", "--ranks", "4", "--bytes", "4", "--transport", "tcp",
         "--rounds", "9", "--budget", "100", "--bind", how], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, allowed))
    seen = False
    while running.poll() is None:
        found = [processors(child) for child in children(running.pid)]
        seen = seen or (None not in found and sorted(found) == sorted(expected))
    running.stdout.close()
    return seen and running.returncode == 0


class Bench(unittest.TestCase):
    def test_ranks_that_share_processors_are_bound_where_that_is_asked_for(self):
        allowed = sorted(os.sched_getaffinity(0))[:2]
        self.assertTrue(bound_as("spread", [(one,) for one in allowed] * (4 // len(allowed)),
                                 allowed))
        self.assertTrue(bound_as("auto", [tuple(allowed)] * 4, allowed))

    def test_ranks_have_a_processor_each_while_there_are_enough_unless_told_otherwise(self):
        allowed = sorted(os.sched_getaffinity(0))[:4]
        if len(allowed) == 4:
            self.assertTrue(bound_as("auto", [(one,) for one in allowed], allowed))
        self.assertTrue(bound_as("none", [tuple(allowed)] * 4, allowed))

    def test_one_object_a_size_with_what_is_promised(self):
        found = rows("--ranks", "2", "--bytes", "4,1024,65536", "--transport", "tcp",
                     "--memory", "any")
        self.assertEqual([row["bytes"] for row in found], [4, 1024, 65536])
        for row in found:
            for field, kind in FIELDS.items():
                self.assertIsInstance(row[field], kind, row)
            self.assertLessEqual(row["min_us"], row["median_us"])
            self.assertLessEqual(row["median_us"], row["max_us"])
            self.assertEqual((row["ranks"], row["transport"]), (2, "tcp"))
            self.assertNotIn("ratio", row)

    def test_every_transport_and_memory_adds_right(self):
        for transport in ("shm", "tcp", "route"):
            for memory in ("arena", "any"):
                found = rows("--ranks", "3", "--bytes", "4,4000,1048580", "--transport", transport,
                             "--memory", memory)
                self.assertEqual(len(found), 3)

    def test_plain_tcp_can_be_asked_for(self):
        self.assertEqual(len(rows("--bytes", "4096", "--transport", "tcp", "--home", "tcp")), 1)

    def test_an_algorithm_can_be_forced(self):
        for name in ("ring", "doubling", "halving"):
            row, = rows("--bytes", "40000", "--transport", "tcp", "--algorithm", name)
            self.assertEqual(row["algorithm"], name)

    def test_the_deterministic_setting_is_taken(self):
        self.assertEqual(len(rows("--bytes", "4,262144", "--deterministic")), 2)

    def test_the_table_has_a_line_a_size(self):
        done = bench("--bytes", "4,1024", *QUICK)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 4)
        self.assertRegex(lines[1], r"bytes +algorithm +median us +min us +max us$")

    def test_the_choice_is_explained_for_every_size(self):
        done = bench("--explain", "--bytes", "4,1048576", "--transport", "tcp")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout.splitlines()[0], r"bytes +ring +doubling")
        self.assertEqual(done.stdout.count(" *"), 2)
        self.assertRegex(done.stdout, r"(?m)^direct: needs shared memory")
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100)
        self.assertRegex(done.stdout, r"(?m)^ *4 ")
        self.assertRegex(done.stdout, r"(?m)^ *1048576 ")

    def test_what_cannot_be_is_told(self):
        done = bench("--bytes", "6")
        self.assertEqual(done.returncode, 64)
        self.assertIn("6 is no multiple of 4", done.stderr)
        done = bench("--bytes", "8", "--algorithm", "rng")
        self.assertEqual(done.returncode, 64)
        self.assertIn("did you mean `ring`?", done.stderr)
        done = bench("--bytes", "8", "--algorithm", "direct", "--transport", "tcp", *QUICK)
        self.assertEqual(done.returncode, 64, done.stderr)
        self.assertIn("direct cannot do all-reduce of 2 float32: it needs shared memory",
                      done.stderr)
        self.assertIn("ring, doubling", done.stderr)
        self.assertIn("without --algorithm", done.stderr)
        done = bench("--bytes", "8", "--algorithm", "pairwise", *QUICK)
        self.assertEqual(done.returncode, 64, done.stderr)
        self.assertIn("pairwise cannot do all-reduce: it does other operations; direct, ring",
                      done.stderr)


class Peers(unittest.TestCase):
    def compare(self, peer, *arguments):
        for row in rows("--bytes", "4,65536", "--peer", peer, *arguments):
            self.assertEqual(row["peer"], peer)
            self.assertGreater(row["peer_median_us"], 0)
            self.assertGreater(row["ratio"], 0)

    @unittest.skipUnless(has_peer("openmpi", "mpirun"), "no Open MPI")
    def test_open_mpi_runs_by_turns_with_ours(self):
        for arguments in ((), ("--transport", "tcp"), ("--ranks", "3")):
            self.compare("openmpi", *arguments)
        self.compare("openmpi-plain")

    @unittest.skipUnless(has_peer("openmpi", "mpirun"), "no Open MPI")
    def test_nothing_is_left_behind(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            done = bench("--bytes", "8", "--peer", "openmpi", *QUICK, TMPDIR=folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(glob.glob(folder + "/muster-bench-*"), [])

    @unittest.skipUnless(has_peer("mpich", "mpirun.mpich"), "no MPICH")
    def test_mpich_runs_by_turns_with_ours(self):
        self.compare("mpich")

    def test_a_peer_that_is_not_there_is_told(self):
        if has_peer("mpich", "mpirun.mpich"):
            self.skipTest("MPICH is there")
        done = bench("--bytes", "4", "--peer", "mpich", *QUICK)
        self.assertEqual(done.returncode, 69)
        self.assertIn("mpich", done.stderr)


PS_FIELDS = {"bytes": int, "op": str, "workers": int, "servers": int, "transport": str,
             "p50_us": float, "p99_us": float, "ops_per_second": float, "bytes_per_second": int}


def bench_ps(*arguments):
    return subprocess.run([MUSTER, "bench", "ps", *QUICK, *arguments], capture_output=True,
                          text=True, timeout=100, stdin=subprocess.DEVNULL)


class BenchPs(unittest.TestCase):
    def test_one_object_a_row_with_what_is_promised(self):
        done = bench_ps("--bytes", "4,4096,1048580", "--workers", "2", "--servers", "2", "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        ops = ["push", "pull", "push-in-flight", "pull-in-flight"]
        self.assertEqual([(row["bytes"], row["op"]) for row in found],
                         [(size, op) for size in (4, 4096, 1048580) for op in ops])
        for row in found:
            for field, kind in PS_FIELDS.items():
                self.assertIsInstance(row[field], kind, row)
            self.assertLessEqual(row["p50_us"], row["p99_us"])
            self.assertEqual((row["workers"], row["servers"], row["transport"]), (2, 2, "tcp"))

    def test_a_table_without_json(self):
        done = bench_ps("--bytes", "4096", "--workers", "3", "--in-flight", "5")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 6)

    def test_rows_of_a_table_with_the_bytes_that_they_took(self):
        for servers, transport in (("1", "tcp"), ("3", "tcp"), ("1", "shm"), ("3", "shm")):
            done = bench_ps("--rows", "20001", "--row-width", "16", "--batch", "1000", "--workers",
                            "2", "--servers", servers, "--in-flight", "3", "--transport", transport,
                            "--json")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            found = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual([(row["op"], row["in_flight"]) for row in found],
                             [("rows", 1), ("rows-in-flight", 3)])
            for row in found:
                for field, kind in PS_FIELDS.items():
                    self.assertIsInstance(row[field], kind, row)
                self.assertEqual((row["bytes"], row["rows"], row["row_width"], row["batch"]),
                                 (64000, 20001, 16, 1000))
                self.assertEqual(row["transport"], transport)
                self.assertAlmostEqual(row["rows_per_second"], 1000 * row["ops_per_second"],
                                       delta=1000)
                self.assertTrue(1 < row["wire_ratio"] < 1.1, row)

    def test_rows_that_are_there_before(self):
        done = bench_ps("--rows", "20001", "--batch", "1000", "--servers", "2", "--dense",
                        "--transport", "shm", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 2)

    def test_rows_for_which_there_is_no_memory(self):
        done = bench_ps("--rows", "1000000000", "--row-width", "1024", "--batch", "65536")
        self.assertEqual((done.returncode, done.stdout), (71, ""))
        self.assertRegex(done.stderr, r"E0801.*--rows 1000000000 of 1024 floats .* GB are free")

    def test_rows_without_json(self):
        done = bench_ps("--rows", "5000", "--batch", "100", "--op", "rows")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 4)

    def test_operations_of_a_table_need_one_and_only_they(self):
        for arguments in (("--op", "rows"), ("--rows", "100", "--op", "push"),
                          ("--rows", "1"), ("--dense",), ("--rows", "300000", "--batch", "1")):
            done = bench_ps(*arguments)
            self.assertEqual(done.returncode, 64, arguments)
            self.assertIn("--rows", done.stderr)

    def test_what_is_no_float_is_refused(self):
        self.assertEqual(bench_ps("--bytes", "4097").returncode, 64)


def state(process):
    with open(f"/proc/{process}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


class Killed(unittest.TestCase):
    """Of children one is killed: it is named, whoever of them was the first to notice."""
    LONG = ["--rounds", "9", "--budget", "40"]

    def begun(self, *arguments, count):
        lead = subprocess.Popen([MUSTER, "bench", *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lead.kill)
        while lead.poll() is None and len(children(lead.pid)) < count:
            pass
        self.assertEqual(len(children(lead.pid)), count)
        return lead

    def named(self, lead, child, name):
        said = lead.communicate(timeout=60)[1]
        self.assertEqual(lead.returncode, 69, said)
        self.assertRegex(said, rf"(?m)^error\[E0401\]: muster {name} \(pid {child}\) ended with "
                               r"signal 9 \(SIGKILL\)\n *= help: run it again; `dmesg ")
        self.assertNotRegex(said, r"--resume|TASK|the command in the message")
        self.assertEqual(said.count("error["), 1, said)
        self.assertNotIn("waiting since", said)

    def test_a_task_of_bench_ps(self):
        for place, name in enumerate(("server 0", "server 1", "worker 0", "worker 1")):
            lead = self.begun("ps", "--servers", "2", "--workers", "2", *self.LONG, count=4)
            lead.stdout.readline()
            child = children(lead.pid)[place]
            os.kill(child, signal.SIGKILL)
            self.named(lead, child, name)

    def test_a_rank_at_any_time(self):
        for place in range(3):
            for lines in range(3):
                lead = self.begun("allreduce", "--ranks", "3", "--bytes", "4,8", "--rounds", "99",
                                  "--budget", "40", count=3)
                for _ in range(lines):
                    lead.stdout.readline()
                child = children(lead.pid)[place]
                os.kill(child, signal.SIGKILL)
                self.named(lead, child, f"rank {place}")

    def test_a_rank_that_waits_for_the_next_line(self):
        lead = self.begun("allreduce", "--ranks", "2", "--rounds", "99", "--budget", "20", count=2)
        lead.stdout.readline()
        os.kill(lead.pid, signal.SIGSTOP)
        ranks = children(lead.pid)
        while not all(state(rank) == "S" for rank in ranks):
            pass
        os.kill(ranks[1], signal.SIGKILL)
        os.kill(lead.pid, signal.SIGCONT)
        self.named(lead, ranks[1], "rank 1")

    def test_a_rank_that_mpirun_has_started(self):
        version = subprocess.run([MUSTER, "--version"], capture_output=True, text=True).stdout
        if "no MPI" in version or not shutil.which("mpirun"):
            self.skipTest("no Open MPI")
        env = dict(os.environ, OMPI_MCA_rmaps_base_oversubscribe="1")
        lead = subprocess.Popen([MUSTER, "bench", "allreduce", "--transport", "mpi", "--rounds",
                                 "99"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.PIPE, env=env)
        self.addCleanup(lead.kill)
        lead.stdout.readline()
        command, = children(lead.pid)
        os.kill(children(command)[-1], signal.SIGKILL)
        said = lead.communicate(timeout=60)[1]
        self.assertEqual(lead.returncode, 69, said)
        self.assertRegex(said, rf"E0401\]: the command of muster \(pid {command}\) ended with exit "
                               r"code \d+ .*\n *= help: what it said is above")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
