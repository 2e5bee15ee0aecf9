#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs that are asked to stop, and runs that go on: test_stop.py MUSTER"""
import json
import os
import pathlib
import signal

from cluster import ASYNC, LONG, SLOW, SYNC, Case, Cluster, alive, checkpoints, main, until

SAMPLES = 12000  # of the embedded set
EPOCHS = 4


def newest(out):
    return json.loads((checkpoints(out)[-1] / "manifest.json").read_text())


class Stop(Case):
    def stopped(self, job, roles, number, *arguments):
        """A run under the launcher that was asked to stop after some steps."""
        launcher = self.local(roles, *arguments, job=job)
        self.trains(launcher.out)
        asked = launcher.signal(number)
        self.assertEqual(launcher.ends(), 75, launcher.text)
        self.assertLess(launcher.ended - asked, 3 * SLOW)
        launcher.says(r"asked to save its state and stop")
        self.assertTrue(checkpoints(launcher.out))
        self.assertEqual(json.loads((launcher.out / "summary.json").read_text())["exit"], 75)
        return launcher

    def test_a_stopped_synchronous_run_resumes_to_the_same_bits(self):
        arguments = ["--epochs", EPOCHS]
        whole = self.trained("chief=1,worker=2", *arguments)
        for number in (signal.SIGTERM, signal.SIGINT):
            stopped = self.stopped(SYNC, "chief=1,worker=2", number, *arguments)
            again = self.trained("chief=1,worker=2", *arguments, "--resume", out=stopped.out)
            self.assertRegex(again.text, r"resuming from step \d+")
            for key in ("parameters_crc32c", "steps", "epochs", "test_accuracy"):
                self.assertEqual(again.summary[key], whole.summary[key], key)
            self.assertEqual(newest(stopped.out)["samples_done"], EPOCHS * SAMPLES)

    def test_a_signal_to_one_worker_stops_all_after_the_same_step(self):
        cluster = Cluster(self, arguments=LONG, chief=1, worker=2).start_all().trains()
        asked = cluster.tasks["worker/1"].signal(signal.SIGTERM)
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 75, (task.name, task.text))
            self.assertLess(task.ended - asked, 2 * SLOW)
        cluster.tasks["chief/0"].says(r"worker/1 .* asks the run to stop")
        summary = json.loads((cluster.out / "summary.json").read_text())
        self.assertEqual(newest(cluster.out)["step"], summary["steps"])
        self.assertEqual(newest(cluster.out)["parameters_crc32c"], summary["parameters_crc32c"])

    def test_a_signal_to_one_worker_or_server_stops_an_asynchronous_run(self):
        for name in ("worker/0", "ps/0"):
            cluster = Cluster(self, job=ASYNC, arguments=LONG, chief=1, worker=1, ps=1)
            cluster.start_all().trains()
            asked = cluster.tasks[name].signal(signal.SIGTERM)
            for task in cluster.tasks.values():
                self.assertEqual(task.ends(), 75, (name, task.name, task.text))
                self.assertLess(task.ended - asked, 2 * SLOW)
            self.assertTrue(checkpoints(cluster.out))

    def test_an_evaluator_that_is_asked_to_stop_leaves_and_training_goes_on(self):
        cluster = Cluster(self, arguments=[*LONG, "--set", "checkpoint.every_steps=50"],
                          chief=1, worker=1, evaluator=1).start_all()
        evaluator, chief = cluster.tasks["evaluator/0"], cluster.tasks["chief/0"]
        for text in ("evaluator/0", "evaluator/0 once more"):  # one that was started again, too
            evaluator.says("test loss")
            asked = evaluator.signal(signal.SIGTERM)
            self.assertEqual(evaluator.ends(), 75, (text, evaluator.text))
            self.assertLess(evaluator.ended - asked, 3 * SLOW)
            self.assertIn("asked to stop: leaving the run", evaluator.text)
            chief.says(r"^evaluator/0 .* is gone \(it was asked to stop\); training goes on")
            done = len((cluster.out / "metrics.jsonl").read_text().splitlines())
            cluster.trains(done + 3)
            evaluator = cluster.start("evaluator/0")
        evaluator.says("test loss")
        self.assertEqual(chief.text.count("training goes on without it"), 2, chief.text)
        self.assertNotIn("asks the run to stop", chief.text)
        cluster.tasks["worker/0"].signal(signal.SIGTERM)  # now all are asked: it sees the end
        for task in (chief, evaluator):
            self.assertEqual(task.ends(), 75, task.text)
        evaluator.says(rf"step {newest(cluster.out)['step']}: test loss")

    def test_an_evaluator_that_is_asked_to_stop_does_not_decide_how_a_run_ends(self):
        launcher = self.local("chief=1,worker=1,evaluator=1", "--steps", "1500", "--set",
                              "checkpoint.every_steps=50")
        pids = self.pids(launcher)
        launcher.says(r"^\[evaluator/0\] .*test loss")
        os.kill(pids["worker/0"], signal.SIGSTOP)  # so that the run does not end before that
        os.kill(pids["evaluator/0"], signal.SIGTERM)
        launcher.says(r"^\[muster\] evaluator/0 ended with exit code 75")
        os.kill(pids["worker/0"], signal.SIGCONT)
        self.assertEqual(launcher.ends(), 0, launcher.text)
        self.assertEqual(launcher.text.count("training goes on without it"), 1, launcher.text)
        self.assertNotIn("failed", launcher.text)
        self.assertNotIn("error", launcher.text)

    def test_who_ends_because_a_task_was_asked_to_stop_has_not_failed(self):
        for name in ("worker/1", "ps/0"):
            launcher = self.local("chief=1,worker=2,ps=1,evaluator=1", *LONG, job=ASYNC)
            pids = self.pids(launcher)
            self.trains(launcher.out)
            os.kill(pids[name], signal.SIGTERM)
            self.assertEqual(launcher.ends(), 75, launcher.text)
            self.assertIn("[muster] evaluator/0 ended with exit code 75", launcher.text)
            self.assertNotIn("failed", launcher.text)
            self.assertNotIn("error", launcher.text)

    def test_another_number_of_workers_reads_every_sample_once_an_epoch(self):
        stopped = self.trained("chief=1,worker=3", "--steps", 140)
        self.assertTrue(SAMPLES < newest(stopped.out)["samples_done"] < 2 * SAMPLES)
        again = self.trained("chief=1,worker=1", "--epochs", EPOCHS, "--resume", out=stopped.out)
        self.assertEqual(newest(stopped.out)["samples_done"], EPOCHS * SAMPLES)
        self.assertEqual(again.summary["epochs"], EPOCHS)
        self.assertGreater(again.summary["test_accuracy"], 0.94)  # 0.93 when it stopped

    def test_more_workers_and_a_larger_batch_train_the_epochs_that_are_left(self):
        for job, one, more in ((SYNC, "chief=1", ["chief=1,worker=2", "--batch", "64"]),
                               (ASYNC, "chief=1,ps=1", ["chief=1,worker=2,ps=1"])):
            first = self.trained(one, "--epochs", 1, job=job)
            roles, *batch = more
            again = self.trained(roles, "--epochs", 3, *batch, "--resume", job=job, out=first.out)
            self.assertEqual(again.summary["epochs"], 3, again.text)
            self.assertEqual(again.summary["samples"], 3 * SAMPLES, again.text)
            self.assertEqual(newest(first.out)["samples_done"], 3 * SAMPLES)

    def test_a_finished_run_says_that_nothing_is_left(self):
        first = self.trained("chief=1,worker=1", "--epochs", 1)
        again = self.trained("chief=1,worker=1", "--epochs", 1, "--resume", out=first.out)
        self.assertIn("nothing is left to train", again.text)
        self.assertNotIn("nan", again.text)
        self.assertEqual(again.summary["parameters_crc32c"], first.summary["parameters_crc32c"])

    def test_a_run_that_has_done_more_than_it_is_asked_for_says_both_numbers(self):
        first = self.trained("chief=1", "--epochs", 1)
        self.assertEqual(first.summary["steps"], 375)
        fewer = self.trained("chief=1", "--steps", 100, "--resume", out=first.out)
        self.assertIn("the run has done 375 steps, and train.steps is 100; raise it", fewer.text)
        self.trained("chief=1", "--epochs", 2, "--resume", out=first.out)
        fewer = self.trained("chief=1", "--epochs", 1, "--resume", out=first.out)
        self.assertIn("done 2 epochs in 750 steps, and train.epochs is 1; raise it", fewer.text)

    def test_a_run_that_goes_on_has_no_summary_until_it_ends(self):
        first = self.trained("chief=1,worker=1", "--steps", 24)
        self.assertEqual(first.summary["exit"], 0)
        again = self.local("chief=1,worker=1", *LONG, "--resume", out=first.out)
        self.trains(first.out)
        self.assertFalse((first.out / "summary.json").exists())
        os.kill(self.pids(again)["chief/0"], signal.SIGKILL)
        self.assertEqual(again.ends(), 137, again.text)
        self.assertFalse((first.out / "summary.json").exists())

    def test_a_run_that_cannot_go_on_leaves_no_summary_of_the_one_before(self):
        first = self.trained("chief=1,worker=1", "--steps", 24)
        for checkpoint in checkpoints(first.out):
            (checkpoint / "model.safetensors").write_bytes(b"nothing")
        again = self.trained("chief=1,worker=1", "--steps", 48, "--resume", out=first.out, code=65)
        self.assertIsNone(again.summary)

    def test_one_step_has_no_speed(self):
        first = self.trained("chief=1", "--steps", 1)
        first.says(r"^\[chief/0\] 1 step, 32 samples: loss \d")
        again = self.trained("chief=1", "--steps", 2, "--resume", out=first.out)
        again.says(r"^\[chief/0\] 2 steps, 64 samples: loss \d")
        for run in (first, again):
            self.assertNotIn("nan", run.text)
            self.assertIsNone(run.summary["samples_per_second"])
            self.assertGreater(run.summary["rows_per_second"], 0)

    def test_samples_of_dropped_gradients_count(self):
        run = self.trained("chief=1,worker=2,ps=1", "--epochs", 1, "--set", "mode.bound=0",
                           job=ASYNC)
        verdicts = run.summary["verdicts"]
        self.assertGreater(verdicts["drop"], 0)
        self.assertEqual(verdicts["apply"], run.summary["steps"])
        self.assertEqual(run.summary["samples"], SAMPLES)
        self.assertEqual(verdicts["apply"] + verdicts["drop"], SAMPLES // 32)

    def test_an_asynchronous_run_resumes_with_other_numbers_of_workers_and_servers(self):
        arguments = ["--epochs", EPOCHS]
        stopped = self.stopped(ASYNC, "chief=1,worker=1,ps=2", signal.SIGTERM, *arguments)
        done = newest(stopped.out)["samples_done"]
        self.assertTrue(0 < done < EPOCHS * SAMPLES, done)
        again = self.trained("chief=1,worker=2,ps=1", *arguments, "--resume", job=ASYNC,
                             out=stopped.out)
        self.assertEqual(newest(stopped.out)["samples_done"], EPOCHS * SAMPLES)
        self.assertGreater(again.summary["test_accuracy"], 0.90)
        self.assertEqual(again.summary["parameters_crc32c"],
                         newest(stopped.out)["parameters_crc32c"])

    def test_a_second_signal_ends_a_task_at_once(self):
        # A lone chief that waits for a worker that is stopped cannot finish its step.
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            cluster = Cluster(self, arguments=LONG, chief=1, worker=1).start_all().trains()
            cluster.tasks["worker/0"].signal(signal.SIGSTOP)
            chief = cluster.tasks["chief/0"]
            chief.signal(number)
            chief.says("^asked to stop: finishing the step")
            self.assertNotIn("", [line for _, line in chief.lines])
            asked = chief.signal(number)
            self.assertEqual(chief.ends(), code, chief.text)
            self.assertLess(chief.ended - asked, 1 * SLOW)
            for task in cluster.others("chief/0"):
                task.close()

    def test_a_second_signal_to_the_launcher_kills_all_at_once(self):
        launcher = self.local("chief=1,worker=1", *LONG)
        pids = self.pids(launcher)
        self.trains(launcher.out)
        os.kill(pids["worker/0"], signal.SIGSTOP)  # so that the first request cannot be met
        launcher.says(r"worker/0 is stopped")
        launcher.signal(signal.SIGINT)
        launcher.says(r"SIGINT: every task is asked")
        asked = launcher.signal(signal.SIGINT)
        self.assertIn(launcher.ends(), (130, 137), launcher.text)
        self.assertLess(launcher.ended - asked, 1 * SLOW)
        self.assertFalse([name for name in pids if alive(pids[name])])

    def stopped_while_it_waits(self, name, wrapper=()):
        cluster = Cluster(self, arguments=LONG, chief=1, worker=1)
        task = cluster.start(name, wrapper=wrapper)
        host = "".join(f"{int(byte):02X}" for byte in reversed(cluster.host.split(".")))
        until(lambda: f"{host}:{cluster.port(name):04X} 00000000:0000 0A" in
              pathlib.Path("/proc/net/tcp").read_text(), "its port")
        return task, task.signal(signal.SIGTERM)

    def test_a_run_that_waits_for_others_stops_when_asked(self):
        for name in ("chief/0", "worker/0"):
            task, asked = self.stopped_while_it_waits(name)
            self.assertEqual(task.ends(), 143, task.text)
            self.assertLess(task.ended - asked, 1 * SLOW)
            task.says("^asked to stop before the run has begun: nothing to save")
            self.assertNotIn("saving", task.text)

    def test_a_launchers_task_that_waits_for_others_leaves_the_words_to_the_launcher(self):
        # It stops its tasks where the run was refused, too, and has said why.
        task, _ = self.stopped_while_it_waits("worker/0", ["env", "MUSTER_LAUNCHED=pipe"])
        self.assertEqual(task.ends(), 143, task.text)
        self.assertNotIn("asked to stop", task.text)

    def test_one_process_that_goes_on_with_the_run_of_many_is_told_so(self):
        first = self.trained("chief=1,worker=1", "--epochs", 1)
        again = ["run", SYNC, "--out", first.out, "--epochs", 1, "--resume"]
        alone = self.muster(*again)
        alone.says(r"^warning: this run was started with 2 tasks \(chief 1, worker 1\), and now "
                   r"this process alone")
        # What it was started with is kept, and is said: what goes on alone has no cluster.
        self.assertIn(f"`--cluster {first.out}/cluster-before.json --task TYPE/N`", alone.text)
        self.assertEqual(json.loads((first.out / "cluster.json").read_text()), {})
        before = self.muster("spec", "check", "--cluster", first.out / "cluster-before.json",
                             "--task", "worker/0")
        self.assertEqual(before.code, 0, before.text)
        self.assertNotIn("warning: this run", self.muster(*again).text)


if __name__ == "__main__":
    main()
