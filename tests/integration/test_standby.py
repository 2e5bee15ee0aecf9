#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Parameter servers with a hot standby, and links that break: test_standby.py MUSTER"""
import datetime
import json
import os
import pathlib
import random
import re
import signal
import threading
import time

from cluster import ASYNC, LONG, SLOW, Case, Cluster, checkpoints, main, steps, until
from proxy import Proxy, shut, start_behind
from side_by_side import alone, waits

TWICE = ["--set", "mode.replicas=1", "--set", "mode.policy=apply"]
SAVES = ["--set", "checkpoint.every_steps=100"]
STEPS = steps(6000, least=1500)
FIELDS, FIELD_ROWS = "10,60x3", 190
FAST = ["--failure-detection", "fast"]
TOOK = r"the standby took over in (\S+) (us|ms|s), (\S+) (us|ms|s) after (ps/\d) was last heard$"
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1}


def summary(out):
    return json.loads((out / "summary.json").read_text())


def shared(task):
    """Which pieces of shared memory it has mapped."""
    maps = pathlib.Path(f"/proc/{task.pid}/maps").read_text()
    return set(re.findall(r" rw-s \S+ (\S+ \d+) +/dev/shm/muster-", maps))


def idle(task):
    """A condition: it has not computed for so long that it waits for others."""
    seen = {"ticks": -1, "since": 0}

    def look():
        fields = pathlib.Path(f"/proc/{task.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        if ticks != seen["ticks"]:
            seen.update(ticks=ticks, since=time.monotonic())
        return fields[0] == "S" and time.monotonic() - seen["since"] > 0.3 * SLOW

    return look


class Standby(Case):
    def lose(self, name, *arguments, servers=2, job=ASYNC):
        cluster = Cluster(self, job=job, arguments=[*TWICE, *SAVES, *arguments], chief=1, worker=1,
                          ps=servers).start_all()
        until(lambda: checkpoints(cluster.out), "a checkpoint")
        cluster.tasks[name].signal(signal.SIGKILL)
        return cluster

    def goes_on(self, cluster, name):
        """Everybody says so and ends well; the summary."""
        self.assertEqual(cluster.tasks[name].ends(), 137)
        for task in cluster.others(name):
            self.assertEqual(task.ends(), 0, task.text)
            self.assertEqual(len(re.findall(
                rf"^warning: {name} \({cluster.address(name)}\) died: .*; the run goes on without "
                "it$", task.text, re.M)), 1, task.text)
        ended = summary(cluster.out)
        said = re.search(TOOK, cluster.tasks["chief/0"].text, re.M)
        self.assertTrue(said, cluster.tasks["chief/0"].text)
        took, unit, silence, its_unit, heard = said.groups()
        self.assertEqual(heard, name)
        self.assertLess(ended["takeover_seconds"], 1 * SLOW)
        # Both are rounded in what is said.
        self.assertAlmostEqual(float(took) * SECONDS[unit], ended["takeover_seconds"], delta=0.06)
        self.assertAlmostEqual(float(silence) * SECONDS[its_unit],
                               ended["takeover_silence_seconds"], delta=0.06)
        self.assertGreaterEqual(ended["takeover_silence_seconds"], ended["takeover_seconds"])
        self.assertLess(ended["takeover_silence_seconds"], 2 * SLOW)
        return ended

    def test_a_run_goes_on_without_any_of_its_servers(self):
        for servers in (2, 3):
            for order in range(servers):
                name = f"ps/{order}"
                cluster = self.lose(name, "--steps", str(STEPS), "--epochs", "100",
                                    servers=servers)
                ended = self.goes_on(cluster, name)
                # Every gradient that was acknowledged is a version, and every one was.
                self.assertEqual(ended["steps"], STEPS)
                self.assertEqual(ended["verdicts"]["apply"], STEPS)
                self.assertEqual(sum(ended["verdicts"].values()), STEPS)
                self.assertGreater(ended["test_accuracy"], 0.95)

    def test_rows_of_an_embedding_table_are_there_without_a_server(self):
        for name, rows in (("ps/0", "touch"), ("ps/1", "touch"), ("ps/0", "dense"),
                           ("ps/1", "dense")):
            cluster = self.lose(
                name, "--set", f"mode.rows={rows}", "--set", "model.dimension=4", "--set",
                "model.widths=[8]", "--set", "data.kind=clicks", "--set",
                "data.samples=60000", "--set", "data.test_samples=2000", "--set",
                "data.batch=32", "--set", "train.epochs=2",
                job=self.rows_job())
            ended = self.goes_on(cluster, name)
            self.assertGreater(ended["embedding_rows"], 100)
            if rows == "dense":
                self.assertEqual(ended["embedding_rows"], FIELD_ROWS)
            self.assertEqual(ended["verdicts"]["apply"], ended["steps"])

    def rows_job(self):
        path = self.folder("job").with_suffix(".json")
        path.write_text(json.dumps({
            "name": "rows", "mode": {"kind": "async"}, "model": {"kind": "wide_deep"},
            "data": {"kind": "clicks", "fields": FIELDS},
            "optimizer": {"kind": "adagrad", "learning_rate": 0.05}, "train": {"seed": 1}}))
        return str(path)

    def test_a_second_loss_ends_the_run(self):
        cluster = self.lose("ps/1", *LONG, servers=3)
        cluster.tasks["chief/0"].says(TOOK)
        cluster.tasks["ps/0"].signal(signal.SIGKILL)
        for task in cluster.others("ps/0", "ps/1"):
            self.assertEqual(task.ends(), 69, task.text)
            self.assertRegex(task.text, r"error\[E0401\]: ps/0 .* died: ")

    def test_a_server_that_is_gone_cannot_come_back_but_by_resuming(self):
        cluster = self.lose("ps/1", *LONG)
        cluster.tasks["chief/0"].says(TOOK)
        cluster.tasks["ps/1"].ends()
        again = cluster.start("ps/1")
        self.assertEqual(again.ends(), 76, again.text)
        self.assertRegex(again.text, r"error\[E0309\]: .*the run is under way")
        self.is_told_to_leave_it(again, "ps/1", "ps/0")
        cluster.tasks["chief/0"].signal(signal.SIGTERM)
        for task in cluster.others("ps/1"):
            self.assertEqual(task.ends(), 75, task.text)
        before = summary(cluster.out)["steps"]
        cluster.arguments += ["--resume", "--steps", str(before + 200)]
        for task in cluster.start_all().tasks.values():
            self.assertEqual(task.ends(), 0, task.text)

    @waits
    def test_a_server_that_hangs_is_gone_at_the_deadline(self):
        cluster = Cluster(
            self, job=ASYNC, arguments=[*TWICE, *SAVES, "--steps", str(STEPS), "--epochs", "100"],
            chief=1, worker=1, ps=2).start_all()
        until(lambda: checkpoints(cluster.out), "a checkpoint")
        cluster.tasks["ps/0"].signal(signal.SIGSTOP)
        for name in ("chief/0", "worker/0", "ps/1"):
            task = cluster.tasks[name]
            self.assertEqual(task.ends(), 0, task.text)
            self.assertRegex(task.text, r"ps/0 .*nothing heard from it.*; the run goes on without")
        ended = summary(cluster.out)
        self.assertEqual(ended["steps"], STEPS)
        self.assertGreaterEqual(ended["takeover_silence_seconds"], 5)  # the deadline
        self.assertLess(ended["takeover_seconds"], ended["takeover_silence_seconds"])

    def is_told_to_leave_it(self, task, name, standby):
        """And nothing else."""
        self.assertRegex(task.text, f"goes on without (it|{name}): {standby} has what it had.* and "
                                    "nothing acknowledged is lost")
        self.assertRegex(task.text, f"= help: nothing to type: leave {name} ended")
        self.assertEqual(task.text.count("error["), 1, task.text)
        self.assertNotRegex(task.text, r"--resume|start all tasks again|can be resumed")

    def given_up(self, name, *arguments, sleeps=0):
        """A run that goes on without a server, which goes on too, only later."""
        cluster = Cluster(self, job=ASYNC, arguments=[*TWICE, *LONG, *FAST, *arguments], chief=1,
                          worker=1, ps=2).start_all().trains()
        stopped = time.time()
        task = cluster.tasks[name]
        task.signal(signal.SIGSTOP)
        cluster.tasks["chief/0"].says(TOOK)
        until(lambda: time.time() - stopped > sleeps, "the end of a sleep")
        going_on = task.signal(signal.SIGCONT)
        self.assertEqual(task.ends(), 69, task.text)
        self.assertLess(task.ended - going_on, 2 * SLOW)
        return cluster, task, stopped

    def silence(self, cluster, task):
        """Since when its leader had heard nothing from it, as the task was told."""
        told = re.search(
            r"error\[E0405\]: this task was given up: chief/0 "
            rf"\({cluster.address('chief/0')}\) had heard nothing from it since "
            r"(\S+)Z, and the limit is 800 ms; the run ", task.text)
        self.assertTrue(told, task.text)
        return datetime.datetime.fromisoformat(told.group(1) + "+00:00").timestamp()

    @waits
    def test_a_server_that_was_given_up_and_goes_on_knows_it_and_what_to_do(self):
        for name, standby in (("ps/0", "ps/1"), ("ps/1", "ps/0")):
            cluster, task, stopped = self.given_up(name)
            self.assertAlmostEqual(self.silence(cluster, task), stopped, delta=2 * SLOW)
            self.is_told_to_leave_it(task, name, standby)
            again = cluster.start(name)
            self.assertEqual(again.ends(), 76, again.text)
            self.assertRegex(again.text, r"error\[E0309\]: .* nothing heard from it for ")
            self.is_told_to_leave_it(again, name, standby)
            cluster.tasks["chief/0"].signal(signal.SIGTERM)
            for other in cluster.others(name):
                self.assertEqual(other.ends(), 75, other.text)

    @waits
    def test_a_server_that_was_given_up_has_no_memory_in_common_with_a_worker_any_more(self):
        for name, standby in (("ps/0", "ps/1"), ("ps/1", "ps/0")):
            cluster = Cluster(self, job=ASYNC, arguments=[*TWICE, *LONG, *FAST], chief=1,
                              worker=1, ps=2).start_all().trains()
            workers = [cluster.tasks[one] for one in ("chief/0", "worker/0")]
            server = cluster.tasks[name]
            for worker in workers:
                self.assertTrue(shared(worker) & shared(server))
            server.signal(signal.SIGSTOP)
            workers[0].says(TOOK)
            for worker in workers:
                until(lambda: not shared(worker) & shared(server), "memory of its own")
                until(lambda: shared(worker) & shared(cluster.tasks[standby]),
                      "memory in common with the standby")
            server.signal(signal.SIGCONT)
            self.assertEqual(server.ends(), 69, server.text)
            workers[0].signal(signal.SIGTERM)
            for other in cluster.others(name):
                self.assertEqual(other.ends(), 75, other.text)
                self.assertNotIn("not in shared memory", other.text)

    def sleeps_through_the_end(self, lost, standby, count):
        """One of two workers, from when it waits for an answer until the other has made the last
        step without it and without the server that was lost in between."""
        cluster = Cluster(self, job=ASYNC, arguments=[
            *TWICE, "--steps", str(count), "--epochs", "1000", "--set", "mode.kind=sync", "--set",
            "mode.workers=1", "--set", "mode.backups=1", "--set", "log.every_steps=1"], chief=1,
                          worker=1, ps=2).start_all().trains()
        worker, metrics = cluster.tasks["worker/0"], cluster.out / "metrics.jsonl"
        for name in (lost, standby):
            cluster.tasks[name].signal(signal.SIGSTOP)
        until(idle(worker), "a worker that waits for its answer")
        worker.signal(signal.SIGSTOP)
        cluster.tasks[lost].signal(signal.SIGKILL)
        cluster.tasks[standby].signal(signal.SIGCONT)
        # The line of a step is written when the gradient for the next one is on its way.
        until(lambda: f'"step":{count - 1},' in metrics.read_text(), "the last gradient")
        worker.signal(signal.SIGCONT)
        for task in cluster.others(lost):
            self.assertEqual(task.ends(), 0, task.text)
        return cluster

    @alone
    def test_the_last_step_is_so_for_one_that_slept_through_it(self):
        """Its answer is of an earlier step, and the pull after the loss of the last one: another
        gradient would make a step too many, for the other has left. (Which of the answer and the
        loss it hears of first is chance: hence twice.)"""
        # All are made before the one that sleeps is missed.
        count = steps(500)
        for servers in (("ps/0", "ps/1"), ("ps/1", "ps/0")) * 2:
            cluster = self.sleeps_through_the_end(*servers, count=count)
            self.assertEqual(summary(cluster.out)["steps"], count)
            self.assertEqual(int(checkpoints(cluster.out)[-1].name), count)

    def test_it_knows_it_also_if_it_slept_longer_than_a_step_may_take(self):
        cluster, task, stopped = self.given_up("ps/0", "--step-timeout", "1", sleeps=2.5)
        self.silence(cluster, task)
        self.is_told_to_leave_it(task, "ps/0", "ps/1")
        self.assertGreater(time.time() - stopped, 2.5)

    def test_a_server_whose_chief_has_died_still_says_so(self):
        cluster = Cluster(self, job=ASYNC, arguments=[*TWICE, *LONG, *SAVES], chief=1, worker=1,
                          ps=2).start_all().trains()
        until(lambda: checkpoints(cluster.out), "a checkpoint")
        server, chief = cluster.tasks["ps/1"], cluster.tasks["chief/0"]
        server.signal(signal.SIGSTOP)
        chief.signal(signal.SIGKILL)
        self.assertEqual(cluster.tasks["worker/0"].ends(), 69)
        server.signal(signal.SIGCONT)
        self.assertEqual(server.ends(), 69, server.text)
        self.assertRegex(
            server.text, rf"error\[E0401\]: chief/0 \({cluster.address('chief/0')}\) died: ")
        self.assertRegex(server.text, r"= help: to go on from the last checkpoint.* --resume")

    def test_a_worker_that_was_given_up_and_goes_on_knows_it_and_how_to_resume(self):
        cluster = Cluster(self, job=ASYNC, arguments=[*TWICE, *LONG, *SAVES, *FAST], chief=1,
                          worker=1, ps=2).start_all().trains()
        until(lambda: checkpoints(cluster.out), "a checkpoint")
        worker = cluster.tasks["worker/0"]
        stopped = time.time()
        worker.signal(signal.SIGSTOP)
        for task in cluster.others("worker/0"):
            self.assertEqual(task.ends(), 69, task.text)
        worker.signal(signal.SIGCONT)
        self.assertEqual(worker.ends(), 69, worker.text)
        self.assertAlmostEqual(self.silence(cluster, worker), stopped, delta=2 * SLOW)
        self.assertRegex(worker.text,
                         r"the run has ended with that\n  = help: to go on .* --resume")
        self.assertEqual(worker.text.count("error["), 1, worker.text)

    def test_the_launcher_says_of_the_second_server_that_no_standby_is_left(self):
        launcher = self.local("chief=1,worker=1,ps=3", *TWICE, *LONG, job=ASYNC)
        pids = self.pids(launcher)
        self.trains(launcher.out)
        os.kill(pids["ps/0"], signal.SIGKILL)
        launcher.says(r"^\[muster\] ps/0 ended .* takes over")
        os.kill(pids["ps/1"], signal.SIGKILL)
        launcher.says(r"^\[muster\] ps/1 ended with signal 9 \(SIGKILL\): no standby is left, "
                      r"for it is the server number 2 that ended")
        self.assertEqual(launcher.ends(), 137, launcher.text)
        self.assertRegex(launcher.text, r"error: ps/1 was the first to fail after ps/0, lost .* "
                                        r"after the start, which the run survived\n")

    def test_the_launcher_goes_on_without_a_server_and_exits_with_0(self):
        launcher = self.local("chief=1,worker=1,ps=2", *TWICE, *SAVES, "--steps", str(STEPS),
                              "--epochs", "100", job=ASYNC)
        until(lambda: checkpoints(launcher.out), "a checkpoint")
        os.kill(self.pids(launcher)["ps/0"], signal.SIGKILL)
        launcher.says(r"^\[muster\] ps/0 ended with signal 9 \(SIGKILL\): ps/1 has what it had and "
                      "takes over")
        self.assertEqual(launcher.ends(), 0, launcher.text)
        self.assertEqual(summary(launcher.out)["steps"], STEPS)

    @waits
    def test_the_launcher_does_not_wait_for_a_stopped_server_that_nobody_needs(self):
        run = self.local("chief=1,ps=2", *TWICE, *SAVES, "--steps", str(STEPS), "--epochs", "100",
                         "--failure-detection", "fast", job=ASYNC)
        until(lambda: checkpoints(run.out), "a checkpoint")
        os.kill(self.pids(run)["ps/1"], signal.SIGSTOP)
        self.assertEqual(run.ends(), 0, run.text)
        ended = next(time for time, line in run.lines if f"{STEPS} steps, " in line)
        killed = next(time for time, line in run.lines if "the run is over: killed" in line)
        self.assertLess(killed - ended, 15 * SLOW)

    def test_the_launcher_of_a_run_that_was_stopped_after_a_loss_exits_with_75(self):
        run = self.local("chief=1,worker=1,ps=2", "--set", "mode.replicas=1", *LONG, job=ASYNC)
        self.trains(run.out)
        os.kill(self.pids(run)["ps/1"], signal.SIGKILL)
        run.says(r"the standby took over in ")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.ends(), 75)
        self.assertNotIn("was the first to fail", run.text)

    def test_who_fails_after_a_loss_is_named_and_not_the_server(self):
        run = self.local("chief=1,worker=1,ps=2", "--set", "mode.replicas=1", *LONG, job=ASYNC)
        self.trains(run.out)
        os.kill(self.pids(run)["ps/0"], signal.SIGKILL)
        run.says(r"the standby took over in ")
        # Another signal than the first; one that no sanitizer catches.
        os.kill(self.pids(run)["worker/0"], signal.SIGABRT)
        self.assertEqual(run.ends(), 128 + signal.SIGABRT, run.text)
        self.assertIn("worker/0 was the first to fail", run.text)

    def test_what_cannot_be_is_refused_with_what_would_do(self):
        for servers, more, why in (
                (1, (), "add a parameter server"),
                (2, ("--set", "mode.recovery_seconds=5"), "leave out one of them"),
                (2, ("--set", "mode.recovery_seconds=60"), "leave out one of them"),
                (2, ("--set", "mode.replicas=2"), "mode.replicas")):
            process = self.muster("run", ASYNC, "--local", f"worker=2,ps={servers}", "--out",
                                  self.folder("run"), "--set", "mode.replicas=1", *more)
            self.assertEqual(process.code, 78, process.text)
            self.assertIn(why, process.text)


# In the HELLO of a link: of a worker, of another server, of the leader for checkpoints.
PUSH, ORDER, STATE = (b"\xa4kind" + bytes([kind]) for kind in (3, 4, 5))


class Cutter(Proxy):
    """It cuts the connections of the given kinds when it is told to."""

    def __init__(self, host, port, to, kinds):
        self.kinds = kinds
        self.pairs = []
        self.lock = threading.Lock()
        super().__init__(host, port, to)

    def join(self, near, far):
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(source, sink, far), daemon=True).start()

    def _pump(self, source, sink, far):
        try:
            while data := source.recv(1 << 16):
                if (sink is far and b"\xa7cluster" in data and
                        any(kind in data for kind in self.kinds)):
                    with self.lock:
                        self.pairs.append((source, sink))
                sink.sendall(data)
        except OSError:
            pass
        shut(source, sink)
        source.close()

    def cut(self):
        """All that there are now; returns how many."""
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            shut(*pair)
        return len(pairs)

    def close(self):
        super().close()
        self.cut()


class BrokenLinks(Case):
    def behind_a_proxy(self, kinds, **cluster):
        cluster = Cluster(self, job=ASYNC, **cluster)
        proxy = start_behind(self, cluster, lambda *where: Cutter(*where, kinds))
        return cluster.trains(), proxy

    def cut_some(self, cluster, proxy, most):
        """Now and then while it trains; all end well all the same. How often there was one."""
        chance, chief = random.Random(7), cluster.tasks["chief/0"]
        path = cluster.out / "metrics.jsonl"
        cuts = 0
        while chief.ended is None and cuts < most:
            lines = len(path.read_text().splitlines())
            until(lambda: chief.ended is not None or
                  len(path.read_text().splitlines()) > lines + chance.randrange(3), "a step")
            cuts += proxy.cut() > 0
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        return cuts

    def is_told(self, cluster, caller, called):
        self.assertRegex(cluster.tasks[caller].text, f"the connection to {called} broke and is "
                                                     r"there again after \S+ \S+: nothing is lost")
        self.assertRegex(cluster.tasks[called].text, f"the connection of {caller} broke and is "
                                                     "there again: nothing is taken twice")

    @waits
    def test_links_that_break_are_made_anew_and_nothing_is_lost_or_taken_twice(self):
        count = steps(3000, least=800)
        cluster, proxy = self.behind_a_proxy((PUSH,), chief=1, worker=2, ps=1, arguments=[
            "--steps", str(count), "--epochs", "100", "--set", "mode.policy=apply",
            "--set", "mode.transport=tcp"])
        self.assertGreater(self.cut_some(cluster, proxy, 12), 3)
        ended = summary(cluster.out)
        self.assertEqual(ended["steps"], count)
        self.assertEqual(ended["verdicts"]["apply"], count)
        for name in ("worker/0", "worker/1"):
            self.is_told(cluster, name, "ps/0")
        self.assertRegex(cluster.tasks["ps/0"].text, rf"{count} gradients judged: apply {count};")

    def test_links_between_servers_and_those_for_checkpoints_heal_too(self):
        count = steps(4000, least=800)
        for replicas in (0, 1):
            cluster, proxy = self.behind_a_proxy((ORDER, STATE), chief=1, worker=1, ps=2,
                arguments=["--steps", str(count), "--epochs", "100", "--set", "mode.policy=apply",
                           "--set", f"mode.replicas={replicas}",
                           "--set", "checkpoint.every_steps=20"])
            self.assertGreater(self.cut_some(cluster, proxy, 8), 3)
            ended = summary(cluster.out)
            self.assertEqual(ended["steps"], count)
            self.assertEqual(ended["verdicts"]["apply"], count)
            self.assertEqual(sum(ended["verdicts"].values()), count)
            self.is_told(cluster, "chief/0", "ps/0")
            self.is_told(cluster, "ps/1", "ps/0")
            self.assertEqual(int(checkpoints(cluster.out)[-1].name), count)

    @waits
    def test_servers_that_cannot_reach_each_other_any_more_end_the_run(self):
        cluster, proxy = self.behind_a_proxy(
            (ORDER,), chief=1, worker=1, ps=2, arguments=[
                *LONG, "--step-timeout", str(2 * SLOW), "--set", "mode.recovery_seconds=0"])
        proxy.close()
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 69, task.text)
            self.assertRegex(task.text, r"error\[E040\d\]: .*ps/")


if __name__ == "__main__":
    main()
