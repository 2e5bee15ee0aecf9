#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Parameter servers that are lost and come back: test_recover.py MUSTER"""
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import time

from cluster import (ASYNC, LONG, MUSTER, SLOW, SYNC, Case, Cluster, Process, alive, checkpoints,
                     main, steps, until)
from side_by_side import alone, waits

TASKS = dict(chief=1, worker=1, ps=2)
PATIENCE = 30 * SLOW
WAITS = ["--set", f"mode.recovery_seconds={PATIENCE}", "--set", "mode.policy=apply"]
SAVES = ["--set", "checkpoint.every_steps=50"]
CLICKS = {"name": "clicks", "model": {"kind": "wide_deep", "dimension": 4, "widths": [8]},
          "data": {"kind": "clicks", "samples": 20000, "test_samples": 500, "batch": 20,
                   "fields": "10,60x3"},
          "optimizer": {"kind": "adam", "learning_rate": 0.002},
          "train": {"epochs": 2, "seed": 1}, "checkpoint": {"every_steps": 100}}
BACK = (r"^(\S.*) is back after ([^:]+): the run goes on from version (\d+), (.*); "
        r"updates lost: (\d+)")


def sockets(address):
    """State, bytes to read and inode of each that is there, as in /proc/net/tcp."""
    host, port = address.split(":")
    where = f"{socket.inet_aton(host)[::-1].hex().upper()}:{int(port):04X}"
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()]
    return [(row[3], int(row[4].split(":")[1], 16), row[9]) for row in rows if row[1] == where]


def listens(address):
    return any(state == "0A" for state, _, _ in sockets(address))


def unheard(address):
    """Of each call that has said something and that nobody has accepted: does its caller live?"""
    return [state == "01" for state, unread, inode in sockets(address)
            if unread > 0 and inode == "0"]


def summary(out):
    return json.loads((out / "summary.json").read_text())


class Recovers(Case):
    def back(self, process, said=0, count=1):
        """The line that says that the run goes on; of what was said after so many lines."""
        def look():
            found = [re.search(BACK, re.sub(r"^\[\S+\] ", "", line))
                     for _, line in process.lines[said:]]
            found = [match for match in found if match]
            return found[-1] if len(found) >= count else None
        try:
            return until(look, "the run to go on")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{process.text}") from None


class Recover(Recovers):
    def cluster(self, *arguments, **counts):
        return Cluster(self, job=ASYNC, arguments=[*WAITS, *arguments], **(counts or TASKS))

    def saved(self, cluster):
        until(lambda: checkpoints(cluster.out), "a checkpoint")
        return cluster

    def lose(self, cluster, *names, how="died: "):
        """Kills them and waits until the others have said so."""
        for name in names:
            cluster.tasks[name].signal(signal.SIGKILL)
        for name in names:
            cluster.tasks[name].ends()
            for task in cluster.others(*names, "evaluator/0"):
                task.says(rf"^warning: {name} \({cluster.address(name)}\) {how}.*; the run waits "
                          r"for it since \S+T\S+, for up to \S+")

    def again(self, cluster, *names):
        """Loses them, starts them again, and waits until the run goes on."""
        said = len(cluster.tasks["chief/0"].lines)
        self.lose(cluster, *names)
        for name in names:
            cluster.start(name)
        return self.back(cluster.tasks["chief/0"], said)

    def sums_up_what_is_lost(self, cluster):
        """The summary of a run that ended with a lost server counts what the leader said."""
        lost = int(re.findall(r"updates lost: (\d+)", cluster.tasks["chief/0"].text)[-1])
        self.assertEqual(summary(cluster.out)["updates_lost"], lost)

    def ends_well(self, cluster):
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        return summary(cluster.out)

    def test_a_job_without_servers_cannot_wait_for_one(self):
        process = self.muster("run", SYNC, "--local", "worker=2", "--out", self.folder("run"),
                              "--set", "mode.recovery_seconds=5")
        self.assertEqual(process.code, 78, process.text)
        self.assertIn("mode.recovery_seconds is for training through parameter servers",
                      process.text)

    def test_a_job_that_says_nothing_about_it_waits_a_minute(self):
        cluster = Cluster(self, job=ASYNC, arguments=[*SAVES, "--steps", str(steps(1500))],
                          **TASKS)
        self.saved(cluster.start_all())
        chief = cluster.tasks["chief/0"]
        cluster.tasks["ps/0"].signal(signal.SIGKILL)
        cluster.tasks["ps/0"].ends()
        for task in cluster.others("ps/0"):
            task.says(rf"^warning: ps/0 \({cluster.address('ps/0')}\) died: .*; the run waits for "
                      r"it since \S+T\S+Z, for up to 1m00s$")
        start = chief.says(rf"^`{MUSTER} (run .* --cluster {cluster.out}/cluster.json --task "
                           r"ps/0)` starts ps/0, if nothing else does$")[0].group(1)
        again = Process("ps/0", [MUSTER, *shlex.split(start)])
        self.own(again)
        cluster.tasks["ps/0"] = again
        match = self.back(chief)
        ended = self.ends_well(cluster)
        self.assertEqual((ended["recoveries"], ended["updates_lost"]), (1, int(match.group(5))))
        job = json.loads((cluster.out / "job.json").read_text())
        self.assertEqual(job["mode"]["recovery_seconds"], "auto")

    def test_a_server_that_comes_back_gets_the_checkpoint_and_the_run_ends_well(self):
        count = steps(3000, least=1500)
        for name in ("ps/0", "ps/1"):
            cluster = self.saved(self.cluster(*SAVES, "--steps", str(count)).start_all())
            match = self.again(cluster, name)
            for task in cluster.tasks.values():
                self.assertEqual(self.back(task).group(0), match.group(0))
            self.assertEqual(match.group(1), f"{name} ({cluster.address(name)})")
            self.assertEqual(match.group(4), "the last checkpoint")
            self.assertGreaterEqual(int(match.group(3)), 50)
            ended = self.ends_well(cluster)
            self.assertEqual((ended["steps"], ended["recoveries"]), (count, 1))
            self.assertEqual(ended["updates_lost"], int(match.group(5)))
            self.assertEqual(ended["servers_since"], int(match.group(3)))
            self.assertGreaterEqual(ended["samples_again"], 16 * ended["updates_lost"])
            self.assertGreater(ended["test_accuracy"], 0.95)

    def test_a_run_of_one_worker_ends_with_the_rows_of_one_that_lost_no_server(self):
        """What was lost is read again in the same order, so the bits are the same."""
        path = self.folder("job").with_suffix(".json")
        for rows in ("touch", "dense"):
            path.write_text(json.dumps({**CLICKS, "mode": {"kind": "async", "rows": rows}}))
            whole = self.trained("chief=1,ps=2", job=str(path))
            for name in ("ps/0", "ps/1"):
                cluster = self.saved(Cluster(self, job=str(path), arguments=WAITS, chief=1,
                                             ps=2).start_all())
                self.again(cluster, name)
                ended = self.ends_well(cluster)
                self.assertEqual(ended["recoveries"], 1)
                for key in ("steps", "parameters_crc32c", "embedding_rows", "test_auc"):
                    self.assertEqual(ended[key], whole.summary[key], (rows, name, key))
                tables = [(checkpoints(out)[-1] / "embedding.safetensors").read_bytes()
                          for out in (whole.out, cluster.out)]
                self.assertEqual(*tables)

    def test_without_a_checkpoint_the_run_goes_on_from_its_initial_parameters(self):
        count = steps(1500)
        cluster = self.cluster("--steps", str(count)).start_all().trains()
        match = self.again(cluster, "ps/1")
        self.assertEqual((match.group(3), match.group(4)), ("0", "its initial parameters"))
        self.assertGreater(int(match.group(5)), 0)
        ended = self.ends_well(cluster)
        self.assertEqual(ended["steps"], count)

    def test_servers_may_be_lost_one_after_the_other_and_together(self):
        cluster = self.saved(self.cluster(*SAVES, *LONG).start_all())
        lost = 0
        for names in (("ps/0",), ("ps/0",), ("ps/1",), ("ps/0", "ps/1")):
            newest = int(checkpoints(cluster.out)[-1].name)
            match = self.again(cluster, *names)
            lost += int(match.group(5))
            for name in names:
                self.assertIn(name, match.group(1))
            until(lambda: int(checkpoints(cluster.out)[-1].name) > newest, "a newer checkpoint")
        cluster.tasks["chief/0"].signal(signal.SIGTERM)
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 75, task.text)
        ended = summary(cluster.out)
        self.assertEqual((ended["recoveries"], ended["updates_lost"]), (4, lost))

    @waits
    def test_a_server_that_hangs_is_lost_at_the_deadline_and_its_successor_taken(self):
        cluster = self.saved(self.cluster(*SAVES, "--steps", str(steps(3000))).start_all())
        hangs = cluster.tasks["ps/1"]
        hangs.signal(signal.SIGSTOP)
        chief = cluster.tasks["chief/0"]
        chief.says(r"^warning: ps/1 .*(is stopped|is unresponsive).*; the run waits for it")
        chief.says(rf"^warning: `kill -KILL {hangs.pid}` ends it, so that it can be started again")
        hangs.signal(signal.SIGKILL)
        hangs.ends()
        chief.says(r"waiting for ps/1 .* \(gone since \S+Z, \S+( s)? ago\) to come back, \S+( s)? "
                   r"left")
        start = chief.says(rf"^`{MUSTER} (run .* --cluster {cluster.out}/cluster.json --task "
                           r"ps/1)` starts ps/1")[0].group(1)
        self.assertLess(chief.text.index("`kill -KILL"), chief.text.index("` starts ps/1"))
        again = Process("ps/1", [MUSTER, *shlex.split(start)])
        self.own(again)
        cluster.tasks["ps/1"] = again
        self.back(chief)
        self.assertEqual(self.ends_well(cluster)["recoveries"], 1)

    def test_one_that_was_given_up_and_goes_on_knows_it_and_its_successor_is_taken(self):
        cluster = self.saved(self.cluster(*SAVES, "--steps", str(steps(3000)),
                                          "--failure-detection", "fast").start_all())
        hangs, chief = cluster.tasks["ps/0"], cluster.tasks["chief/0"]
        hangs.signal(signal.SIGSTOP)
        chief.says(r"^warning: ps/0 .*(is stopped|is unresponsive).*; the run waits for it")
        hangs.signal(signal.SIGCONT)
        self.assertEqual(hangs.ends(), 69, hangs.text)
        self.assertRegex(
            hangs.text, r"^error\[E0405\]: this task was given up: chief/0 .* had heard nothing "
                        r"from it since \S+, and the limit is 800 ms; the run waits for it to be "
                        rf"started again\n  = help: `{MUSTER} run .* --task ps/0` starts it "
                        r"again, if nothing else does")
        self.assertEqual(hangs.text.count("error["), 1, hangs.text)
        start = re.search(rf"help: `{MUSTER} (.*)` starts it again", hangs.text).group(1)
        again = Process("ps/0", [MUSTER, *shlex.split(start)])
        self.own(again)
        cluster.tasks["ps/0"] = again
        self.back(chief)
        self.assertEqual(self.ends_well(cluster)["recoveries"], 1)

    @waits
    def test_a_server_that_does_not_come_back_in_time_ends_the_run(self):
        cluster = Cluster(self, job=ASYNC, **TASKS, arguments=[
            *LONG, *SAVES, "--set", "mode.recovery_seconds=1"]).start_all()
        self.saved(cluster)
        killed = cluster.tasks["ps/0"].signal(signal.SIGKILL)
        cluster.tasks["chief/0"].ends()
        saved = checkpoints(cluster.out)[-1].name
        for task in cluster.others("ps/0"):
            self.assertEqual(task.ends(), 69, task.text)
            self.assertGreater(task.ended - killed, 1)
            self.assertLess(task.ended - killed, 1 + 2 * SLOW)
            self.assertRegex(task.text, r"error\[E0401\]: ps/0 .* died: .*; it did not come back "
                                        r"within 1\.00? s; updates lost: \d+, since version "
                                        rf"{saved}, the last checkpoint")
            self.assertRegex(task.text, r"help: to go on from the last checkpoint.* --resume")
        self.sums_up_what_is_lost(cluster)

    def test_a_run_that_is_stopped_while_it_waits_says_how_to_go_on(self):
        cluster = self.saved(self.cluster(*LONG, *SAVES).start_all())
        self.lose(cluster, "ps/0")
        cluster.tasks["chief/0"].signal(signal.SIGTERM)
        for task in cluster.others("ps/0"):
            self.assertEqual(task.ends(), 75, task.text)
        said = cluster.tasks["chief/0"].text
        saved = checkpoints(cluster.out)[-1].name
        match = re.search(r"stopped while it waited: ps/0 .* died: .*; updates lost: (\d+), "
                          rf"since version {saved}, the (last checkpoint|checkpoint that is "
                          r"being written)\n  = help: to go on from the last checkpoint.* "
                          r"--resume", said)
        self.assertTrue(match, said)
        ended = summary(cluster.out)
        self.assertEqual((ended["recoveries"], ended["updates_lost"]), (0, int(match.group(1))))
        self.assertEqual(re.findall(r"\d+/\d+ alive", said)[-1], "3/4 alive", said)

    def test_the_status_of_such_a_run_says_what_is_not_saved(self):
        cluster = self.cluster(*LONG, "--set", "checkpoint.every_steps=0").start_all().trains()
        self.lose(cluster, "ps/0")
        cluster.tasks["chief/0"].signal(signal.SIGTERM)
        for task in cluster.others("ps/0"):
            self.assertEqual(task.ends(), 75, task.text)
        unsaved = r" ended with exit code 75 \(preempted, its last steps not saved\), at .*\n"
        text = self.muster("status", cluster.out).text
        self.assertRegex(text, unsaved + r"  = help: it was asked to stop while it could not save; "
                                         r"nothing is saved; to begin anew, ")
        (cluster.out / "checkpoints" / "1").mkdir(parents=True)
        text = self.muster("status", cluster.out).text
        self.assertRegex(text, unsaved + r"  = help: it was asked to stop while it could not save, "
                                         r"what came after step 1 is lost; to go on from the last ")

    def test_a_worker_that_dies_ends_the_run_also_while_a_server_is_waited_for(self):
        for first in ((), ("ps/1",)):
            cluster = self.saved(self.cluster(*LONG, *SAVES).start_all())
            if first:
                self.lose(cluster, *first)
            cluster.tasks["worker/0"].signal(signal.SIGKILL)
            for task in cluster.others("worker/0", *first):
                self.assertEqual(task.ends(), 69, task.text)
                self.assertRegex(task.text, r"error\[E0401\]: worker/0 .* died: ")

    def test_a_run_that_waits_can_be_stopped(self):
        cluster = self.saved(self.cluster(*LONG, *SAVES).start_all())
        self.lose(cluster, "ps/1")
        cluster.tasks["chief/0"].signal(signal.SIGTERM)
        for task in cluster.others("ps/1"):
            self.assertEqual(task.ends(), 75, task.text)

    def test_the_evaluator_does_not_notice(self):
        cluster = self.cluster("--steps", str(steps(3000)), *SAVES, **TASKS,
                               evaluator=1).start_all()
        evaluator = cluster.tasks["evaluator/0"]
        evaluator.says("test loss")
        self.again(cluster, "ps/0")
        self.ends_well(cluster)
        self.assertNotRegex(evaluator.text, "warning|error|ps/0")

    def test_one_that_was_killed_before_its_leader_looked_is_not_in_its_successors_way(self):
        cluster = self.cluster("--steps", str(steps(100)))
        chief, address = cluster.start("chief/0"), cluster.address("chief/0")
        until(lambda: listens(address), "chief/0 to listen")
        chief.signal(signal.SIGSTOP)
        first = cluster.start("ps/0")
        until(lambda: any(unheard(address)), "the hello of ps/0")
        first.signal(signal.SIGKILL)
        first.ends()
        cluster.start("ps/0")
        until(lambda: len(unheard(address)) > 2 and any(unheard(address)), "it to call twice")
        chief.signal(signal.SIGCONT)
        for name in ("ps/1", "worker/0"):
            cluster.start(name)
        self.assertEqual(self.ends_well(cluster)["recoveries"], 0)

    def test_a_second_copy_of_a_server_that_lives_is_refused(self):
        cluster = self.saved(self.cluster(*LONG, *SAVES).start_all())
        lives = cluster.tasks["ps/1"]
        self.assertEqual(cluster.start("ps/1").ends(), 76)
        self.assertTrue(alive(lives.pid))
        self.assertNotIn("warning", cluster.tasks["chief/0"].text)


class Launcher(Recovers):
    def test_a_job_that_says_nothing_about_it_goes_on_with_a_server_that_died(self):
        launcher = self.local("chief=1,worker=1,ps=1", *SAVES, "--steps", str(steps(3000)),
                              job=ASYNC)
        until(lambda: checkpoints(launcher.out), "a checkpoint")
        os.kill(self.pids(launcher)["ps/0"], signal.SIGKILL)
        launcher.says(r"ps/0 .* died: .*; the run waits for it since \S+, for up to 1m00s")
        launcher.says(r"\[muster\] ps/0 ended with signal 9 \(SIGKILL\): started again, pid \d+ "
                      r"\(1 of at most 5 times\)")
        match = self.back(launcher)
        self.assertEqual(launcher.ends(), 0, launcher.text)
        ended = summary(launcher.out)
        self.assertEqual((ended["recoveries"], ended["updates_lost"]), (1, int(match.group(5))))

    def start(self, *arguments):
        launcher = self.local("chief=1,worker=1,ps=2", *WAITS, *SAVES, *arguments, job=ASYNC)
        until(lambda: checkpoints(launcher.out), "a checkpoint")
        return launcher, self.pids(launcher)

    def test_the_launcher_starts_a_server_again_and_the_run_ends_well(self):
        launcher, pids = self.start("--steps", str(steps(8000)))
        os.kill(pids["ps/0"], signal.SIGKILL)
        match, _ = launcher.says(r"\[muster\] ps/0 ended with signal 9 \(SIGKILL\): started again, "
                                 r"pid (\d+) \(1 of at most 5 times\)")
        self.back(launcher)
        self.assertEqual(launcher.text.count("; the run waits for it since"), 1, launcher.text)
        # It is its successor's turn, and the port is still its own.
        os.kill(int(match.group(1)), signal.SIGKILL)
        launcher.says(r"\(2 of at most 5 times\)")
        self.back(launcher, count=2)
        self.assertEqual(launcher.text.count("; the run waits for it since"), 2, launcher.text)
        self.assertEqual(launcher.ends(), 0, launcher.text)
        self.assertEqual(summary(launcher.out)["recoveries"], 2)
        self.assertEqual(launcher.text.count("; updates lost: "), 2, launcher.text)

    def test_the_launcher_ends_a_server_that_is_stopped_and_starts_it_again(self):
        launcher, pids = self.start("--steps", str(steps(8000)))
        os.kill(pids["ps/1"], signal.SIGSTOP)
        launcher.says(r"\[muster\] ps/1 is stopped \(state T\) and the others have given it up: "
                      r"killed, to be started again")
        launcher.says(r"\[muster\] ps/1 ended with signal 9 \(SIGKILL\): started again, pid \d+ "
                      r"\(1 of at most 5 times\)")
        self.back(launcher)
        self.assertEqual(launcher.ends(), 0, launcher.text)
        self.assertEqual(summary(launcher.out)["recoveries"], 1)
        self.assertNotIn("kill -KILL", launcher.text)

    @alone
    def test_the_successor_of_a_server_that_was_stopped_and_then_killed_may_stay(self):
        launcher, pids = self.start(*LONG, "--failure-detection", "fast")
        os.kill(pids["ps/1"], signal.SIGSTOP)
        _, stopped = launcher.says(r"ps/1 is stopped \(state T\)")
        os.kill(pids["ps/1"], signal.SIGKILL)
        self.back(launcher)
        until(lambda: time.monotonic() > stopped + 1.5, "what was due for the one before it")
        newest = int(checkpoints(launcher.out)[-1].name)
        until(lambda: int(checkpoints(launcher.out)[-1].name) > newest, "a newer checkpoint")
        self.assertNotIn("after training has ended", launcher.text)
        launcher.signal(signal.SIGTERM)
        self.assertEqual(launcher.ends(), 75, launcher.text)

    @alone
    def test_the_launcher_leaves_a_server_alone_that_goes_on_in_time(self):
        launcher, pids = self.start("--steps", str(steps(8000)))
        os.kill(pids["ps/1"], signal.SIGSTOP)
        launcher.says(r"ps/1 is stopped \(state T\)")
        os.kill(pids["ps/1"], signal.SIGCONT)
        launcher.says(r"ps/1 goes on")
        self.assertEqual(launcher.ends(), 0, launcher.text)
        self.assertNotIn("again", launcher.text)
        self.assertEqual(summary(launcher.out)["recoveries"], 0)

    def test_the_audit_log_begins_anew_with_what_the_servers_came_back_with(self):
        count = steps(12000)
        launcher, pids = self.start("--steps", str(count), "--set", "mode.audit=true", "--set",
                                    "model.widths=[784,2,10]")
        os.kill(pids["ps/1"], signal.SIGKILL)
        version = self.back(launcher).group(3)
        self.assertEqual(launcher.ends(), 0, launcher.text)
        replay = self.muster("audit", "replay", launcher.out)
        self.assertEqual(replay.code, 0, replay.text)
        self.assertIn(f"versions {version} to {count}\n", replay.text)
        self.assertIn("parameters_crc32c " + summary(launcher.out)["parameters_crc32c"],
                      replay.text)
        # The log of the one that was killed ends somewhere; the checkpoint is before that, or not.
        self.assertRegex(replay.text, rf"(?m)^from the checkpoint of version {version}(, to which "
                                      r"the logs before lead \(1\) from version 0 on)?$")
        for order in (0, 1):
            self.assertTrue((launcher.out / "audit" / f"ps-{order}.log.1").is_file())

    def test_the_launcher_does_not_start_servers_of_a_run_that_has_lost_a_worker(self):
        launcher, pids = self.start(*LONG)
        os.kill(pids["worker/0"], signal.SIGKILL)
        self.assertEqual(launcher.ends(), 137, launcher.text)
        self.assertNotIn("again", launcher.text)
        self.assertFalse([name for name in pids if alive(pids[name])])

    @waits
    def test_the_launcher_gives_up_a_server_that_dies_again_and_again(self):
        launcher, pids = self.start(*LONG, "--set", "mode.recovery_seconds=2")
        pid = pids["ps/1"]
        for time in range(1, 6):
            os.kill(pid, signal.SIGKILL)
            launcher.says(rf"\({time} of at most 5 times\)")
            self.back(launcher, count=time)
            pid = int(re.findall(r"ps/1 .*: started again, pid (\d+)", launcher.text)[-1])
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(launcher.ends(), 137, launcher.text)
        self.assertRegex(launcher.text, r"ps/1 .* died: .*; it did not come back within 2\.00? s")
        self.assertIn("ps/1 was the first to fail", launcher.text)
        self.assertRegex(launcher.text, r"\[muster\] ps/1 ended with signal 9 \(SIGKILL\): it has "
                                        r"been started again 5 times, which is the most")


if __name__ == "__main__":
    main()
