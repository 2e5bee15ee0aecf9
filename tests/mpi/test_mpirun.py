# SPDX-License-Identifier: Apache-2.0
"""Whole clusters under mpirun: test_mpirun.py MUSTER MPIRUN"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

MUSTER, MPIRUN = (os.path.abspath(path) for path in sys.argv[1:3])
ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = ["--set", "train.steps=30"]


class Mpirun(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = os.path.join(self.folder.name, "run")

    def run_ranks(self, ranks, *arguments, job="demo.json", wrapper=(), quick=QUICK,
                  **variables):
        env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   OMPI_MCA_rmaps_base_oversubscribe="1", **variables)
        return subprocess.run(
            [*wrapper, MPIRUN, "-n", str(ranks), MUSTER, "run", str(ROOT / "configs" / job),
             "--out", self.out, *quick, *arguments], env=env, capture_output=True, text=True,
            timeout=100, stdin=subprocess.DEVNULL)

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

    def test_with_a_cluster_and_no_task_the_rank_is_the_position(self):
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
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
        script = ('"$@" & while ! grep -q . "$OUT/metrics.jsonl" 2>/dev/null; do sleep 0.05; done; '
                  'kill -TERM $(sed -n "s/.*starts as pid \\([0-9]*\\).*/\\1/p" '
                  '"$OUT/logs/chief-0.log"); wait $!')
        done = self.run_ranks(3, "--roles", "chief=1,worker=2", "--epochs", "1000000",
                              wrapper=["bash", "-c", script, "-"], quick=[], OUT=self.out)
        self.assertEqual(done.returncode, 75, done.stdout + done.stderr)
        self.assertRegex(done.stdout + done.stderr,
                         r"to go on from the last checkpoint: mpirun -n 3 \S*muster run \S+ --out "
                         rf"{self.out} --resume .*--roles chief=1,worker=2")

    def test_the_exit_code_is_ours(self):
        done = self.run_ranks(2, "--set", "data.kind=idx", "--set", "data.path=/nowhere")
        self.assertEqual(done.returncode, 66, done.stdout + done.stderr)
        done = self.run_ranks(3, "--roles", "worker=2")
        self.assertEqual(done.returncode, 78, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
