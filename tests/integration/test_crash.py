#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tasks that die or hang, and what the others say and do: test_crash.py MUSTER"""
import os
import pathlib
import re
import shlex
import shutil
import signal
import time
import unittest

from cluster import (ASYNC, LONG, MUSTER, SLOW, SYNC, Case, Cluster, Process, alive, checkpoints,
                     main, until)
from side_by_side import alone, waits

SYNC_TASKS = dict(chief=1, worker=2)
ASYNC_TASKS = dict(chief=1, worker=1, ps=2)
SAVES = ["--set", "checkpoint.every_steps=10"]
FAST = ["--failure-detection", "fast"]
AT_ONCE = ["--set", "mode.recovery_seconds=0"]  # ends a run that has lost a parameter server
WITHHOLDER = os.environ.get("WITHHOLD_MEMORY_LIBRARY")


class Survivors(Case):
    def saves(self, cluster):
        until(lambda: checkpoints(cluster.out), "a checkpoint")

    def told(self, cluster, culprit, since, within, pattern):
        """Every other task ends with 69 and names the culprit, once."""
        for task in cluster.others(culprit):
            self.assertEqual(task.ends(), 69, (task.name, task.text))
            self.assertLess(task.ended - since, within * SLOW, (task.name, task.text))
            who = rf"{culprit} \({cluster.address(culprit)}\)"
            self.assertRegex(task.text, rf"error\[E040[12]\]: .*{who} {pattern}", task.name)
            self.assertRegex(task.text, r"; last seen \S.*, since \S", task.name)
            self.assertRegex(task.text, rf"help: .*to go on from the last checkpoint.*: {MUSTER} "
                                        rf"run \S+ --out {cluster.out} --resume", task.name)
            self.assertEqual(task.text.count("error["), 1, task.text)


@alone  # they claim how soon everybody ends
class Crash(Survivors):
    def kill(self, job, counts, culprit, *arguments):
        cluster = Cluster(self, job=job, arguments=[*LONG, *SAVES, *arguments], **counts)
        self.saves(cluster.start_all().trains())
        killed = cluster.tasks[culprit].signal(signal.SIGKILL)
        self.told(cluster, culprit, killed, 2, "died: ")
        return cluster

    def kill_server(self, culprit):
        """All say what the loss costs, alike."""
        cluster = self.kill(ASYNC, ASYNC_TASKS, culprit, *AT_ONCE)
        saved = checkpoints(cluster.out)[-1].name
        said = {re.search(r"; updates lost: (\d+), since version (\d+), the "
                          "(?:last checkpoint|checkpoint that is being written)",
                          task.text).groups() for task in cluster.others(culprit)}
        self.assertEqual([version for _, version in said], [saved])

    def test_a_killed_worker_of_a_synchronous_run_is_named_by_all(self):
        self.kill(SYNC, SYNC_TASKS, "worker/1")

    def test_a_killed_chief_of_a_synchronous_run_is_named_by_all(self):
        self.kill(SYNC, SYNC_TASKS, "chief/0")

    def test_a_killed_leading_worker_is_named_by_all(self):
        self.kill(SYNC, dict(worker=3), "worker/0")

    def test_a_killed_server_of_a_synchronous_run_is_named_by_all(self):
        self.kill(SYNC, dict(chief=1, worker=1, ps=1), "ps/0")

    def test_a_killed_worker_of_an_asynchronous_run_is_named_by_all(self):
        self.kill(ASYNC, ASYNC_TASKS, "worker/0")

    def test_a_killed_chief_of_an_asynchronous_run_is_named_by_all(self):
        self.kill(ASYNC, ASYNC_TASKS, "chief/0")

    def test_a_killed_first_server_is_named_by_all(self):
        self.kill_server("ps/0")

    def test_a_killed_second_server_is_named_by_all(self):
        self.kill_server("ps/1")

    def dies(self, *arguments):
        cluster = Cluster(self, arguments=[*LONG, *arguments], chief=1, worker=1).start_all()
        cluster.trains().tasks["worker/0"].signal(signal.SIGKILL)
        chief = cluster.tasks["chief/0"]
        self.assertEqual(chief.ends(), 69)
        return cluster, chief

    def test_nobody_is_told_to_resume_where_nothing_was_saved(self):
        for setting, why in (("checkpoint.every_steps=0", r"this job saves at its end alone "),
                             ("checkpoint.every_steps=1000000",
                              r"this job saves only every 1000000 steps")):
            cluster, chief = self.dies("--set", setting)
            self.assertEqual(checkpoints(cluster.out), [])
            command = chief.says(rf"= help: nothing was saved.*, for {why}.*; "
                                 rf"to begin anew, .*: {MUSTER} (run .*)$")[0].group(1).split()
            self.assertNotIn("--resume", command)
            cluster.paste(shlex.join(command), "--epochs", "1", "--steps", "20")
            for task in cluster.tasks.values():
                self.assertEqual(task.ends(), 0, task.text)

    def test_the_command_that_resumes_goes_on(self):
        # Of the leader, and of who does not lead, each in a shell that has no TF_CONFIG.
        for offers in ("chief/0", "worker/1"):
            cluster = Cluster(self, arguments=["--steps", "2000", "--set",
                                               "checkpoint.every_steps=50"], **SYNC_TASKS)
            cluster.start_all()
            until(lambda: checkpoints(cluster.out), "a checkpoint")
            cluster.tasks["worker/0"].signal(signal.SIGKILL)
            for task in cluster.others("worker/0"):
                self.assertEqual(task.ends(), 69)
            again = cluster.tasks[offers].says(
                rf"to go on .*, each with its own --task: {MUSTER} (run \S.*)$")[0].group(1)
            self.assertEqual(again.split()[1], cluster.job)
            self.assertTrue(again.endswith(
                f" --cluster {cluster.out}/cluster.json --task {offers}"), again)
            cluster.paste(again).tasks["chief/0"].says(r"resuming from step \d+")
            for task in cluster.tasks.values():
                self.assertEqual(task.ends(), 0, task.text)

    def test_a_task_on_a_host_without_the_leaders_directory_offers_a_command_that_works(self):
        cluster = Cluster(self, arguments=LONG, chief=1, worker=1)
        elsewhere = self.folder("elsewhere")
        worker = cluster.start("worker/0", "--out", str(elsewhere))
        chief = cluster.start("chief/0")
        cluster.trains()
        chief.signal(signal.SIGKILL)
        self.assertEqual(worker.ends(), 69, worker.text)
        self.assertIn(f" --cluster {elsewhere}/cluster.json --task worker/0", worker.text)
        self.assertEqual((elsewhere / "cluster.json").read_text(),
                         (cluster.out / "cluster.json").read_text())

    def test_the_launcher_exits_as_the_killed_task_did(self):
        for job, roles, culprit in ((SYNC, "chief=1,worker=2", "worker/1"),
                                    (SYNC, "chief=1,worker=1", "chief/0"),
                                    (ASYNC, "chief=1,worker=1,ps=1", "ps/0")):
            launcher = self.local(roles, *LONG, *SAVES, *AT_ONCE, job=job)
            pids = self.pids(launcher)
            self.trains(launcher.out)
            self.saves(launcher)
            os.kill(pids[culprit], signal.SIGKILL)
            killed = time.monotonic()
            self.assertEqual(launcher.ends(), 137, launcher.text)
            self.assertLess(launcher.ended - killed, 3 * SLOW)
            self.assertIn(f"{culprit} was the first to fail", launcher.text)
            self.assertEqual(launcher.text.count("] error[E0401]: "), 1, launcher.text)
            self.assertEqual(launcher.text.count("to go on from the last checkpoint"), 1)
            self.assertRegex(launcher.text, r"--local " + roles)
            self.assertFalse([name for name in pids if alive(pids[name])])


    def test_why_an_evaluator_failed_is_said_by_the_leader(self):
        cluster = Cluster(self, arguments=[*LONG, "--set", "checkpoint.every_steps=1000000"],
                          chief=1, worker=1, evaluator=1).start_all()
        chief = cluster.tasks["chief/0"]
        chief.says("epoch 1/")
        torn = pathlib.Path(cluster.out, "checkpoints", "5")
        torn.mkdir(parents=True)
        (torn / "manifest.json").write_text("{", encoding="utf-8")
        self.assertEqual(cluster.tasks["evaluator/0"].ends(), 65)
        chief.says(r"^warning: evaluator/0 .* is gone \(.*manifest.json.*\); training goes on")
        shutil.rmtree(torn)
        chief.signal(signal.SIGTERM)
        self.assertEqual(chief.ends(), 75, chief.text)

    def test_a_killed_evaluator_is_said_by_the_leader_and_training_goes_on(self):
        cluster = Cluster(self, arguments=[*LONG, "--set", "checkpoint.every_steps=50"],
                          chief=1, worker=1, evaluator=1).start_all()
        cluster.tasks["evaluator/0"].says("test loss")
        cluster.tasks["evaluator/0"].signal(signal.SIGKILL)
        chief = cluster.tasks["chief/0"]
        chief.says(r"^warning: evaluator/0 .* is gone \(.*\); training goes on without it")
        start = chief.says(rf"^`{MUSTER} (run .* --cluster {cluster.out}/cluster.json --task "
                           r"evaluator/0)` starts evaluator/0")[0].group(1)
        again = Process("evaluator/0", [MUSTER, *shlex.split(start)])
        self.own(again)
        again.says("test loss")
        chief.signal(signal.SIGTERM)
        self.assertEqual(chief.ends(), 75, chief.text)


class Hang(Survivors):
    def stop(self, job, counts, culprit, dead, *arguments):
        cluster = Cluster(self, job=job, arguments=[*LONG, *SAVES, *arguments], **counts)
        self.saves(cluster.start_all().trains())
        stopped = cluster.tasks[culprit].signal(signal.SIGSTOP)
        self.told(cluster, culprit, stopped, dead + 1, "(is stopped|is unresponsive)")
        for task in cluster.others(culprit):
            self.assertGreater(task.ended - stopped, dead - 0.2, task.text)
            self.assertRegex(task.text, r"help: (`kill -KILL|on .+: `ps -o pid,stat,cmd -)")
        pid = cluster.tasks[culprit].pid
        self.assertTrue(alive(pid))
        self.assertTrue(any(f"help: `kill -KILL {pid}` ends it; " in
                            task.text for task in cluster.others(culprit)))
        return cluster

    @alone
    def test_a_stopped_worker_is_named_after_the_fast_deadline(self):
        self.stop(SYNC, SYNC_TASKS, "worker/0", 0.8, *FAST)

    @alone
    def test_a_stopped_chief_is_named_after_the_fast_deadline(self):
        self.stop(SYNC, SYNC_TASKS, "chief/0", 0.8, *FAST)

    @alone
    def test_a_stopped_server_is_named_after_the_fast_deadline(self):
        self.stop(ASYNC, ASYNC_TASKS, "ps/1", 0.8, *FAST, *AT_ONCE)

    @alone
    def test_a_stopped_asynchronous_worker_is_named_after_the_fast_deadline(self):
        self.stop(ASYNC, ASYNC_TASKS, "worker/0", 0.8, *FAST)

    @waits
    def test_a_stopped_worker_is_named_after_the_default_deadline(self):
        self.stop(SYNC, SYNC_TASKS, "worker/1", 5)

    @alone
    def test_a_pause_shorter_than_the_deadline_loses_nothing(self):
        cluster = Cluster(self, arguments=["--steps", "6000"], chief=1, worker=1)
        cluster.start_all().trains()
        worker = cluster.tasks["worker/0"]
        stopped = worker.signal(signal.SIGSTOP)
        until(lambda: time.monotonic() - stopped > 0.5, "half a second")
        worker.signal(signal.SIGCONT)
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)

    def stick(self, culprit):
        cluster = Cluster(self, arguments=[*LONG, *SAVES, "--step-timeout", "2"], **SYNC_TASKS)
        self.saves(cluster.start_all().trains())
        stuck = cluster.tasks[culprit]
        since = time.monotonic()
        holder = self.hold(stuck)
        # Whether the leader sees it or who waits in the all-reduce depends on where it was held.
        self.told(cluster, culprit, since, 4, "(does not get on|has not come)")
        for task in cluster.others(culprit):
            self.assertGreater(task.ended - since, 1.8, task.text)
        self.assertTrue(alive(stuck.pid))
        holder.close()
        self.assertEqual(stuck.ends(), 69, stuck.text)

    @waits
    def test_a_worker_whose_heartbeats_come_but_not_its_steps_is_named_after_the_step_timeout(self):
        self.stick("worker/0")

    @waits
    def test_a_chief_whose_heartbeats_come_but_not_its_steps_is_named_after_the_step_timeout(self):
        self.stick("chief/0")

    def withhold(self, culprit, pattern):
        """A task does not come to the memory that the gradients lie in, and nothing is lost."""
        cluster = Cluster(self, arguments=["--step-timeout", "2", "--set", "data.batch=10", "--set",
                                           "model.widths=[784,9000,10]"], chief=1, worker=1)
        for name in cluster.names:
            if name == culprit:
                task = Process(name, [MUSTER, "run", SYNC, "--out", str(cluster.out),
                                      *cluster.arguments],
                               LD_PRELOAD=WITHHOLDER, TF_CONFIG=cluster.config(name))
                self.own(task)
                cluster.tasks[name] = task
            else:
                cluster.start(name)
        for task in cluster.others(culprit):
            self.assertEqual(task.ends(), 69, task.text)
            who = rf"{culprit} \({cluster.address(culprit)}\)"
            self.assertRegex(task.text, rf"error\[E0402\]: sharing memory for the gradients waited "
                                        rf"\S+ s[:;] {who}{pattern}.*, and the time-out of a step "
                                        rf"is 2\.0 s")
            self.assertRegex(task.text, "help: .*`--step-timeout SECONDS` gives all tasks longer")
            self.assertRegex(task.text, rf"to begin anew.*: {MUSTER} run .* --step-timeout 2\b")
            self.assertEqual(task.text.count("error["), 1, task.text)

    @unittest.skipUnless(WITHHOLDER, "WITHHOLD_MEMORY_LIBRARY is not set")
    @waits
    def test_a_worker_that_is_late_with_the_shared_memory_is_behind_and_not_dead(self):
        self.withhold("worker/0", r" has not come; last seen starting")

    @unittest.skipUnless(WITHHOLDER, "WITHHOLD_MEMORY_LIBRARY is not set")
    @waits
    def test_a_chief_that_is_late_with_the_shared_memory_is_behind_and_not_dead(self):
        self.withhold("chief/0", ", which knows for whom, is silent")

    @waits
    def test_a_stale_chief_writes_nothing(self):
        cluster = self.stop(SYNC, SYNC_TASKS, "chief/0", 0.8, *FAST, "--set",
                            "checkpoint.every_steps=20")
        before = [(path, path.stat().st_mtime_ns) for path in checkpoints(cluster.out)]
        chief = cluster.tasks["chief/0"]
        going_on = chief.signal(signal.SIGCONT)
        self.assertEqual(chief.ends(), 69, chief.text)
        self.assertLess(chief.ended - going_on, 2 * SLOW)
        # It was given up itself, and what it finds is not what went wrong.
        self.assertEqual(re.findall(r"error\[(E\d+)\]: this task was given up: it did nothing for "
                                    r"\S+ m?s, since \S+Z \(stopped", chief.text), ["E0405"])
        self.assertNotRegex(chief.text, r"error\[E040[^5]\]")
        # What it was writing when it was stopped may still appear; nothing that came after.
        after = [(path, path.stat().st_mtime_ns) for path in checkpoints(cluster.out)]
        newer = [path for path, when in after if (path, when) not in before]
        self.assertLessEqual(len(newer), 1)

    def test_a_stale_worker_does_not_disturb_the_next_run(self):
        self.next_run("--resume")

    @waits
    def test_nor_one_of_another_job(self):
        self.next_run("--set", "train.seed=9")

    def next_run(self, *arguments):
        cluster = self.stop(SYNC, SYNC_TASKS, "worker/1", 0.8, *FAST)
        stale = cluster.tasks["worker/1"]
        if "--resume" not in arguments:
            cluster.out = self.folder("next")
        cluster.arguments = ["--steps", "1500", *arguments]
        chief, worker = cluster.start("chief/0"), cluster.start("worker/0")
        for task in (chief, worker): # they have called it, and will again
            task.says("waiting for 1 of")
        stale.signal(signal.SIGCONT)
        self.assertIn(stale.ends(), (69, 76), stale.text)
        self.assertRegex(stale.text, r"error\[E0[34]0\d\]: ")
        fresh = cluster.start("worker/1")
        for task in (chief, worker, fresh):
            self.assertEqual(task.ends(), 0, task.text)


if __name__ == "__main__":
    main()
