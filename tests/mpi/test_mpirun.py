# SPDX-License-Identifier: Apache-2.0
"""Whole clusters under mpirun: test_mpirun.py MUSTER MPIRUN"""
import json
import os
import pathlib
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

MUSTER, MPIRUN = (os.path.abspath(path) for path in sys.argv[1:3])
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "integration"))

import side_by_side
from side_by_side import waits

QUICK = ["--set", "train.steps=30"]


def hold_a_port():
    """Below those that the kernel gives to whoever asks for any: mpirun does."""
    while True:
        try:
            return socket.create_server(("127.0.0.1", random.randrange(20000, 30000)))
        except OSError:
            pass


@waits  # for mpirun, above all
class Mpirun(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = os.path.join(self.folder.name, "run")

    def command(self, ranks, *arguments, job="demo.json", mpirun=()):
        return [MPIRUN, *mpirun, "-n", str(ranks), MUSTER, "run", str(ROOT / "configs" / job),
                "--out", self.out, *arguments]

    def environment(self, **variables):
        return dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                    OMPI_MCA_rmaps_base_oversubscribe="1", **variables)

    def run_ranks(self, ranks, *arguments, job="demo.json", **variables):
        return subprocess.run(
            self.command(ranks, *QUICK, *arguments, job=job), env=self.environment(**variables),
            capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)

    def start_ranks(self, ranks, *arguments, mpirun=(), job="demo.json"):
        """mpirun with a run that does not end by itself, and that has saved: its evaluator has said
        so."""
        process = subprocess.Popen(
            self.command(ranks, "--epochs", "1000000", *arguments, mpirun=mpirun, job=job),
            env=self.environment(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        patience = threading.Timer(100, process.kill)
        patience.start()
        for undo in (process.stdout.close, process.wait, process.kill, patience.cancel):
            self.addCleanup(undo)  # the last one first
        said = ""
        while "test loss" not in said:
            line = process.stdout.readline()
            self.assertTrue(line, f"it has ended:\n{said}")
            said += line
        return process

    def log(self, name):
        return pathlib.Path(self.out, "logs", name + ".log").read_text(encoding="utf-8")

    def summary(self):
        return json.loads(pathlib.Path(self.out, "summary.json").read_text(encoding="utf-8"))

    def test_ranks_take_the_roles_in_their_order(self):
        done = self.run_ranks(5, "--roles", "chief=1,worker=2,ps=1,evaluator=1",
                              job="demo-async.json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.summary()["exit"], 0)
        logs = sorted(os.listdir(os.path.join(self.out, "logs")))
        self.assertEqual(logs, ["chief-0.log", "evaluator-0.log", "ps-0.log", "worker-0.log",
                                "worker-1.log"])

    def test_without_roles_all_are_workers(self):
        done = self.run_ranks(3)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.summary()["steps"], 30)
        self.assertEqual(len(os.listdir(os.path.join(self.out, "logs"))), 3)

    def test_a_launcher_that_only_speaks_pmix_will_do(self):
        command = self.command(3, *QUICK, "--roles", "chief=1,worker=1,ps=1", job="demo-async.json")
        hidden = ["env", *(f"--unset=OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE"))]
        at = command.index(MUSTER)
        done = subprocess.run([*command[:at], *hidden, *command[at:]], env=self.environment(),
                              capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(len(os.listdir(os.path.join(self.out, "logs"))), 3)

    def test_with_a_cluster_and_no_task_the_rank_is_the_position(self):
        held = [hold_a_port() for _ in range(3)]
        chief, *workers = (f"127.0.0.1:{one.getsockname()[1]}" for one in held)
        for one in held:
            one.close()
        cluster = json.dumps({"cluster": {"worker": workers, "chief": [chief]}})
        done = self.run_ranks(3, TF_CONFIG=cluster)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        logs = sorted(os.listdir(os.path.join(self.out, "logs")))
        self.assertEqual(logs, ["chief-0.log", "worker-0.log", "worker-1.log"])

    def test_the_command_that_resumes_starts_all_ranks(self):
        # One rank is asked to stop, as a scheduler would, once the run has been going.
        process = self.start_ranks(4, "--roles", "chief=1,worker=2,evaluator=1")
        os.kill(int(re.search(r"starts as pid (\d+)", self.log("chief-0")).group(1)),
                signal.SIGTERM)
        said = process.stdout.read()
        self.assertEqual(process.wait(), 75, said)
        self.assertRegex(said,
                         r"to go on from the last checkpoint: mpirun -n 4 \S*muster run \S+ --out "
                         rf"{self.out} --resume .*--roles chief=1,worker=2,evaluator=1")

    def test_ranks_save_and_end_by_themselves_when_mpirun_is_asked_to_stop(self):
        # By default a rank has one second to save, and a busy machine is no claim of ours.
        process = self.start_ranks(4, "--roles", "chief=1,worker=2,evaluator=1",
                                   mpirun=["--mca", "odls_base_sigkill_timeout", "5"])
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
        self.assertEqual(process.wait(), 1, said)  # mpirun's own
        summary = self.summary()
        self.assertEqual(summary["exit"], 75, said)
        for name in ("chief-0", "worker-0", "worker-1", "evaluator-0"):
            self.assertIn("ends with exit code 75", self.log(name).splitlines()[-1], name)
        saved = pathlib.Path(self.out, "checkpoints", str(summary["steps"]), "manifest.json")
        self.assertEqual(json.loads(saved.read_text(encoding="utf-8"))["parameters_crc32c"],
                         summary["parameters_crc32c"])

    def test_a_rank_that_is_killed_is_the_cause_and_the_summary_is_written(self):
        for _ in range(3):
            self.folder.cleanup()
            process = self.start_ranks(4, "--roles", "chief=1,worker=2,evaluator=1")
            os.kill(int(re.search(r"starts as pid (\d+)", self.log("worker-1")).group(1)),
                    signal.SIGKILL)
            said = process.stdout.read()
            self.assertEqual(process.wait(), 128 + signal.SIGKILL, said)
            self.assertEqual(self.summary()["exit"], 69, said)
            self.assertIn("ends with exit code 69", self.log("chief-0").splitlines()[-1])

    def pid(self, name):
        return int(re.search(r"starts as pid (\d+)", self.log(name)).group(1))

    def test_a_server_comes_back_by_the_command_that_is_said_if_mpirun_lets_it(self):
        process = self.start_ranks(4, "--roles", "chief=1,worker=1,ps=1,evaluator=1",
                                   mpirun=["--enable-recovery"], job="demo-async.json")
        os.kill(self.pid("ps-0"), signal.SIGKILL)
        said = start = ""
        while " is back after " not in said:
            line = process.stdout.readline()
            self.assertTrue(line, f"it has ended:\n{said}")
            said += line
            found = re.search(r"`(\S+ run .* --task ps/0)` starts ps/0, if nothing else does", line)
            if found:
                start = shlex.split(found.group(1))
                again = subprocess.Popen(start, text=True, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                for undo in (again.stdout.close, again.wait, again.kill):
                    self.addCleanup(undo)
        self.assertRegex(said, r"ps/0 .* died: .*; the run waits for it since \S+, for up to 1m00s")
        os.kill(self.pid("chief-0"), signal.SIGTERM)
        said += process.stdout.read()
        self.assertEqual(again.wait(), 75, again.stdout.read())
        process.wait()
        self.assertEqual((self.summary()["exit"], self.summary()["recoveries"]), (75, 1), said)

    def test_a_server_that_is_killed_ends_the_ranks_though_they_wait_for_it(self):
        process = self.start_ranks(4, "--roles", "chief=1,worker=1,ps=1,evaluator=1",
                                   job="demo-async.json")
        os.kill(self.pid("ps-0"), signal.SIGKILL)
        said = process.stdout.read()
        self.assertEqual(process.wait(), 128 + signal.SIGKILL, said)
        self.assertEqual(self.summary()["exit"], 75, said)
        self.assertRegex(said, r"stopped while it waited: ps/0 .* died: ")
        self.assertRegex(said, r"help: to go on from the last checkpoint: mpirun -n 4 ")

    def test_the_exit_code_is_ours(self):
        done = self.run_ranks(2, "--set", "data.kind=idx", "--set", "data.path=/nowhere")
        self.assertEqual(done.returncode, 66, done.stdout + done.stderr)
        done = self.run_ranks(3, "--roles", "worker=2")
        self.assertEqual(done.returncode, 78, done.stdout + done.stderr)

    def test_a_rank_that_is_told_to_be_another_task_refuses(self):
        for named, arguments, variables in (
                ("--task says that this task is worker/0", ["--task", "worker/0"], {}),
                ("--task says that this task is worker/0",
                 ["--task", "worker/0", "--roles", "worker=2"], {}),
                ("$MUSTER_TASK says that this task is worker/5", [], {"MUSTER_TASK": "worker/5"})):
            done = self.run_ranks(2, *arguments, **variables)
            self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
            self.assertIn("error[E0110]: " + named, done.stderr)
            self.assertFalse(os.path.exists(os.path.join(self.out, "summary.json")))

    def test_roles_beside_another_cluster_are_refused(self):
        cluster = json.dumps({"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}})
        done = self.run_ranks(2, "--roles", "worker=3", TF_CONFIG=cluster)
        self.assertEqual(done.returncode, 78, done.stdout + done.stderr)
        self.assertIn("--roles says worker=3, but $TF_CONFIG lists worker=2", done.stderr)


if __name__ == "__main__":
    side_by_side.main()
