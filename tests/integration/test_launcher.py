#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""muster run --local: what it leaves behind, and the first real cause: test_launcher.py MUSTER"""
import json
import os
import pathlib
import re
import signal
import time

from cluster import (ASYNC, LONG, SLOW, SYNC, Case, Cluster, alive, checkpoints, main,
                     until)
from side_by_side import alone, waits


class Launcher(Case):
    def ports(self, out):
        spec = until(lambda: (out / "cluster.json").exists() and
                     json.loads((out / "cluster.json").read_text()), "cluster.json")
        return re.findall(r"127\.0\.0\.1:(\d+)", json.dumps(spec))

    def listening(self, ports):
        table = pathlib.Path("/proc/net/tcp").read_text()
        return [port for port in ports if f"0100007F:{int(port):04X} 00000000:0000 0A" in table]

    @alone
    def test_a_killed_launcher_leaves_no_process_and_no_port(self):
        launcher = self.local("chief=1,worker=1,ps=1,evaluator=1", *LONG, job=ASYNC)
        pids = self.pids(launcher)
        self.trains(launcher.out)
        ports = self.ports(launcher.out)
        self.assertEqual(set(self.listening(ports[:3])), set(ports[:3]))
        killed = launcher.signal(signal.SIGKILL)
        launcher.ends()
        # A process whose first thread has ended may have others that are about to.
        until(lambda: not any(map(alive, pids.values())) and not self.listening(ports),
              "all tasks and ports to be gone", 2 * SLOW)
        self.assertLess(time.monotonic() - killed, 2 * SLOW)

    def test_a_killed_evaluator_does_not_disturb_training(self):
        launcher = self.local("chief=1,worker=1,evaluator=1", "--steps", "1500")
        pids = self.pids(launcher)
        self.trains(launcher.out)
        os.kill(pids["evaluator/0"], signal.SIGKILL)
        self.assertEqual(launcher.ends(), 0, launcher.text)
        self.assertIn("the evaluator failed; training did not depend on it", launcher.text)
        self.assertEqual(json.loads((launcher.out / "summary.json").read_text())["steps"], 1500)

    def test_a_stopped_evaluator_does_not_hold_up_training(self):
        launcher = self.local("chief=1,worker=1,evaluator=1", "--steps", "1500", "--set",
                              "checkpoint.every_steps=100")
        pids = self.pids(launcher)
        self.trains(launcher.out)
        os.kill(pids["evaluator/0"], signal.SIGSTOP)
        until(lambda: (launcher.out / "summary.json").exists(), "the end of training")
        until(lambda: not alive(pids["chief/0"]) and not alive(pids["worker/0"]), "their end")
        os.kill(pids["evaluator/0"], signal.SIGCONT)
        self.assertEqual(launcher.ends(), 0, launcher.text)

    def test_the_evaluator_evaluates_the_last_checkpoint(self):
        run = self.trained("chief=1,worker=1,evaluator=1", "--steps", "300", "--set",
                           "checkpoint.every_steps=50")
        line, _ = run.says(r"^\[evaluator/0\] step 300: test loss \S+, test accuracy (\S+) %")
        self.assertAlmostEqual(float(line.group(1)), 100 * run.summary["test_accuracy"], places=2)
        # A checkpoint is left out while another is being written; the last one never.
        self.assertEqual(checkpoints(run.out)[-1].name, "300")
        self.assertLessEqual(len(checkpoints(run.out)), 3)

    def test_every_line_says_which_task_wrote_it(self):
        run = self.trained("chief=1,worker=2,ps=1,evaluator=1", "--steps", "60", "--verbose",
                           job=ASYNC)
        tasks = set()
        for _, line in run.lines:
            match = re.match(r"\[(muster|chief/0|worker/[01]|ps/0|evaluator/0)\] \S", line)
            self.assertTrue(match, line)
            tasks.add(match.group(1))
        self.assertIn("chief/0", tasks)
        self.assertIn("evaluator/0", tasks)

    def test_the_exit_code_is_the_first_real_cause_and_not_what_it_led_to(self):
        # All tasks fail when the data are damaged.
        folder = self.folder("data")
        folder.mkdir()
        for split in ("train", "t10k"):
            for kind in ("images-idx3", "labels-idx1"):
                (folder / f"{split}-{kind}-ubyte").write_bytes(b"no data")
        run = self.trained("chief=1,worker=1", code=65, job=SYNC, *(
            "--set", 'data={"kind":"idx","path":"%s"}' % folder))
        self.assertEqual(run.text.count("was the first to fail"), 1)
        self.assertEqual(len(re.findall(r"(?m)^\[\S+\] error\[E0502\]: ", run.text)), 1, run.text)
        # One task aborts, the others end with 69 because of it.
        launcher = self.local("chief=1,worker=2", *LONG)
        pids = self.pids(launcher)
        self.trains(launcher.out)
        os.kill(pids["worker/0"], signal.SIGABRT)
        self.assertEqual(launcher.ends(), 134, launcher.text)
        self.assertIn("worker/0 was the first to fail", launcher.text)
        self.assertRegex(launcher.text, r"others .*chief/0 69")
        self.assertIn(f"log    {launcher.out}/logs/worker-0.log", launcher.text)

    @waits
    def test_a_stopped_server_is_why_the_others_gave_up(self):
        launcher = self.local("chief=1,worker=1,ps=2,evaluator=1", *LONG,
                              "--failure-detection", "fast", "--set",
                              "mode.recovery_seconds=0", job=ASYNC)
        pids = self.pids(launcher)
        self.trains(launcher.out)
        os.kill(pids["ps/0"], signal.SIGSTOP)
        self.assertEqual(launcher.ends(), 69, launcher.text)
        self.assertIn("error: ps/0 was stopped (state T), and the others gave it up",
                      launcher.text)
        self.assertNotIn("was the first to fail", launcher.text)
        # The launcher kills it itself: there is nothing to type about it.
        self.assertRegex(launcher.text, r"error\[E0402\]: ps/0 .*is stopped \(state T\)")
        self.assertNotRegex(launcher.text, r"kill -CONT|ps -o pid")
        self.assertNotIn("goes on without", launcher.text)  # the evaluator left with the others
        self.assertFalse([name for name in pids if alive(pids[name])])

    def test_a_diverging_run_ends_with_its_own_cause(self):
        run = self.trained("chief=1,worker=1", "--lr", "1e6", "--set",
                           "optimizer.weight_decay=1e6", "--set", "train.bad_steps_max=3", code=70)
        self.assertIn("error[E0702]", run.text)

    def test_a_directory_that_cannot_be_written_is_said_before_anything_else(self):
        folder = self.folder("file")
        folder.write_text("not a directory")
        run = self.trained("chief=1,worker=1", out=folder / "run", code=73)
        self.assertLess(run.took, 2 * SLOW)
        self.assertIn(str(folder), run.text)
        self.assertNotIn("  log ", run.text)  # there is none

    def test_a_job_that_the_cluster_cannot_train_is_refused_once_before_any_task_starts(self):
        run = self.trained("chief=1,worker=1", job=ASYNC, code=78)
        self.assertEqual(run.text, """\
error[E0204]: mode `async` needs a parameter server, and the cluster has none
  = help: add a parameter server to the cluster (ps), or use --set mode.kind=sync""")
        self.assertFalse(run.out.exists())

    def test_a_cluster_of_one_without_the_servers_that_its_job_asks_for_is_refused(self):
        run = self.trained("worker=1", job=ASYNC, code=78)
        self.assertEqual(run.text, """\
error[E0204]: mode `async` needs a parameter server, and the cluster has none
  = help: add a parameter server to the cluster (ps), or use --set mode.kind=sync; without any \
cluster one process trains alone""")
        self.assertFalse(run.out.exists())
        cluster = Cluster(self, job=ASYNC, worker=1)
        worker = cluster.start("worker/0")
        self.assertEqual(worker.ends(), 78, worker.text)
        self.assertIn("mode `async` needs a parameter server", worker.text)
        self.assertFalse(cluster.out.exists())
        alone = self.muster("run", ASYNC, "--steps", "20", "--out", self.folder("alone"))
        self.assertEqual(alone.code, 0, alone.text)
        self.assertIn("no cluster is given: this process trains alone", alone.text)

    def test_what_is_wrong_with_a_job_in_any_cluster_is_said_once_before_any_task_starts(self):
        table, job = self.folder("table"), self.folder("job")
        table.write_text("1,2\n0,3\n")
        clicks = {"kind": "clicks", "fields": "10,60x2", "batch": 20}
        text = {"kind": "csv", "path": str(table), "test_path": str(table), "numeric": "1",
                "delimiter": ";;"}
        for data, mode, error in (
                (clicks, {"rows": "dense", "row_limit": 6000}, r"E0204\]: mode.rows `dense` keeps"),
                (clicks, {"row_limit": 118}, r"E0204\]: of mode.row_limit 118 each parameter "
                                             r"server keeps 59 embedding rows; one step may "),
                (text, {}, r"E0203\]: data.delimiter is `;;`: expected one character")):
            job.write_text(json.dumps({"name": "wrong", "model": {"kind": "linear"}, "data": data,
                                       "mode": {"kind": "async", **mode}}))
            run = self.trained("chief=1,worker=1,ps=2", job=str(job), code=78)
            self.assertRegex(run.text, rf"^error\[{error}")
            self.assertEqual(run.text.count("error"), 1, run.text)
            self.assertFalse(run.out.exists(), "a task was started")


if __name__ == "__main__":
    main()
