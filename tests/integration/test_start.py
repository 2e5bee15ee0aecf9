#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How a cluster comes together, and what it says when it cannot: test_start.py MUSTER"""
import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import unittest

from cluster import ASYNC, MUSTER, PATIENCE, SLOW, SYNC, Case, Cluster, Process, main, until
from side_by_side import alone, waits

QUICK = ["--steps", "24", "--set", "data.samples=2000"]
BASE = dict(chief=1, worker=2, ps=1, evaluator=1)


class StartOrders(Case):
    def crc_of(self, order):
        cluster = Cluster(self, arguments=QUICK, **BASE)
        for name in order:
            cluster.start(name)
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, (order, task.name, task.text))
        summary = json.loads((cluster.out / "summary.json").read_text())
        self.assertLess(summary["first_step_seconds"], 1 * SLOW, order)
        return summary["parameters_crc32c"]

    def converge(self, orders):
        found = {self.crc_of(order) for order in orders}
        self.assertEqual(len(found), 1, found)

    def test_any_order_of_starting_converges_to_the_same_parameters(self):
        names = Cluster(self, **BASE).names
        turned = [names[i:] + names[:i] for i in range(1, len(names))]
        self.converge([names, names[::-1], *turned[::2]])

    @unittest.skipUnless(os.environ.get("MUSTER_ALL_ORDERS"), "MUSTER_ALL_ORDERS is not set")
    def test_all_orders_of_starting_converge_to_the_same_parameters(self):
        self.converge(itertools.permutations(Cluster(self, **BASE).names))

    def test_an_evaluator_that_misses_a_short_run_evaluates_its_end(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1, evaluator=1)
        evaluator = cluster.start("evaluator/0", "--verbose")
        until(lambda: (cluster.out / "tb" / "evaluator-0").exists(), "the evaluator to begin")
        evaluator.signal(signal.SIGSTOP)
        for name in ("chief/0", "worker/0"):
            cluster.start(name)
        for name in ("chief/0", "worker/0"):
            self.assertEqual(cluster.tasks[name].ends(), 0)
        evaluator.signal(signal.SIGCONT)
        self.assertEqual(evaluator.ends(5 * SLOW), 0, evaluator.text)
        self.assertIn("step 24: test loss", evaluator.text)

    @waits
    def test_an_evaluator_that_comes_after_the_end_evaluates_it_and_says_no_error(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1, evaluator=1)
        ended = [cluster.start(name) for name in ("chief/0", "worker/0")]
        for task in ended:
            self.assertEqual(task.ends(), 0, task.text)
        evaluator = cluster.start("evaluator/0", "--verbose", "--start-timeout", "1")
        self.assertEqual(evaluator.ends(), 0, evaluator.text)
        self.assertNotIn("error", evaluator.text)
        self.assertIn("nobody trains: the last checkpoint that a run has left here was evaluated",
                      evaluator.text)
        self.assertIn("step 24: test loss", evaluator.text)


@waits
class Waiting(Case):
    def test_who_waits_says_for_whom_at_which_address_and_how_much_longer(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1, ps=1)
        chief, ps = cluster.start("chief/0"), cluster.start("ps/0")
        wanted = rf"waiting for 1 of 3 tasks: worker/0 \({cluster.address('worker/0')}\).*s left"
        for task in (chief, ps):
            match, when = task.says(wanted)
            self.assertLess(when - task.started, 5.5 * SLOW)
            self.assertRegex(match.group(), r"refused \(it has not joined in \S+ s of waiting\), ")
        # What the leader offers starts it, where nothing else says who is in the cluster.
        start = chief.says(rf"^`{MUSTER} (run .* --cluster {cluster.out}/cluster.json --task "
                           r"worker/0)` starts worker/0")[0].group(1)
        worker = Process("worker/0", [MUSTER, *shlex.split(start)])
        self.own(worker)
        for task in (chief, ps, worker):
            self.assertEqual(task.ends(), 0, task.text)

    def test_a_task_that_was_there_is_waited_for_since_it_went(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=2)
        chief, went = cluster.start("chief/0"), cluster.start("worker/0")
        went.says("waiting for 1 of 3 tasks: worker/1")
        went.signal(signal.SIGKILL)
        gone, waited = map(float, chief.says(
            r"waiting for 2 of 3 tasks: worker/0 .* \(gone since \S+Z, (\S+) s ago\), worker/1 .* "
            r"\(it has not joined in (\S+) s of waiting\), \S+ left")[0].groups())
        self.assertLess(gone, waited - 1)

    def test_a_member_without_its_leader_says_so(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        worker = cluster.start("worker/0")
        worker.says(rf"waiting for chief/0 \({cluster.address('chief/0')}\): .*refused.* left")

    @alone
    def test_tasks_that_never_come_are_all_named_with_the_last_error(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=2, ps=2)
        chief = cluster.start("chief/0", "--start-timeout", "2")
        worker = cluster.start("worker/1", "--start-timeout", "4")
        self.assertEqual(chief.ends(), 69, chief.text)
        self.assertTrue(2 <= chief.took < 3 * SLOW, chief.took)
        self.assertIn("error[E0301]: 3 of 5 tasks did not come within 2.0 s", chief.text)
        for name in ("worker/0", "ps/0", "ps/1"):
            self.assertRegex(chief.text, rf"{name} \({cluster.address(name)}\): .*refused")
        self.assertNotRegex(chief.text, r"error.*worker/1")
        self.assertIn("--start-timeout", chief.text)
        # The worker hears of it, or sees its leader go and waits for another to its own time-out.
        self.assertEqual(worker.ends(), 69, worker.text)

    def test_a_leader_that_is_stopped_is_said_to_accept_and_not_to_answer(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=2)
        chief = cluster.start("chief/0")
        chief.says("waiting for 2 of 3 tasks")
        chief.signal(signal.SIGSTOP)
        worker = cluster.start("worker/0", "--start-timeout", "8")
        where = re.escape(cluster.address("chief/0"))
        mute = (rf"chief/0 \({where}\).*: it accepts connections but has not answered for "
                rf"(\S+) s: it is stopped or hangs, or is not muster; on {cluster.host} `ps .*`ss "
                rf"-ltnp 'sport = :{cluster.port('chief/0')}'`")
        self.assertGreaterEqual(float(worker.says("waiting for " + mute)[0].group(1)), 2)
        self.assertEqual(worker.ends(), 69, worker.text)
        found = re.search(r"error\[E0301\]: " + mute, worker.text)
        self.assertGreaterEqual(float(found.group(1)), 6)  # since the first call
        chief.signal(signal.SIGCONT)

    def test_the_last_error_of_an_address_is_kept_when_it_gives_no_answer_any_more(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        address = (cluster.host, cluster.port("chief/0"))
        worker = cluster.start("worker/0", "--start-timeout", "9")
        worker.says("waiting for chief/0 .*: Connection refused")
        worker.signal(signal.SIGSTOP)  # or its call takes the only place
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(socket.socket())
            full.bind(address)
            full.listen(0)
            for _ in range(4):  # whoever calls now is not even refused
                call = stack.enter_context(socket.socket())
                call.setblocking(False)
                call.connect_ex(address)
            worker.signal(signal.SIGCONT)
            self.assertEqual(worker.ends(), 69, worker.text)
        self.assertRegex(worker.text,
                         r"error\[E0301\]: chief/0 .*: Connection refused, then no answer")

    def test_a_task_whose_port_is_mute_is_said_to_be(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        with socket.socket() as mute:
            mute.bind((cluster.host, cluster.port("worker/0")))
            mute.listen()
            chief = cluster.start("chief/0", "--start-timeout", "5")
            self.assertEqual(chief.ends(), 69, chief.text)
        self.assertRegex(chief.text, r"error\[E0301\]: .*worker/0 .*: it accepts connections but "
                                     r"has not answered for \S+ s: it is stopped")

    def test_a_leader_that_never_comes_is_named(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        worker = cluster.start("worker/0", "--start-timeout", "1")
        self.assertEqual(worker.ends(), 69, worker.text)
        self.assertRegex(worker.text, rf"error\[E0301\]: chief/0 \({cluster.address('chief/0')}\)"
                                      r" did not begin the run within 1.0 s: .*refused")

    def test_what_to_type_for_an_address_and_a_name_is_said(self):
        for name, host, typed in (("worker", "192.0.2.1", "`ip route get 192.0.2.1`"),
                                  ("worker", "no-such-host.invalid",
                                   "`getent hosts no-such-host.invalid`"),
                                  ("chief", "192.0.2.1", "`ip route get 192.0.2.1`")):
            cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
            cluster.spec[name] = [f"{host}:7777"]
            task = cluster.start("chief/0" if name == "worker" else "worker/0",
                                 "--start-timeout", "1")
            self.assertEqual(task.ends(), 69, task.text)
            self.assertIn("error[E0301]: ", task.text)
            self.assertRegex(task.text, rf"= help: start .*--start-timeout SECONDS; {typed} shows")


class Addresses(Case):
    @alone
    def test_a_port_in_use_is_said_at_once_with_its_holder(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        with socket.socket() as holder:
            holder.bind((cluster.host, cluster.port("worker/0")))
            holder.listen()
            worker = cluster.start("worker/0")
            self.assertEqual(worker.ends(), 69, worker.text)
        self.assertLess(worker.took, 1 * SLOW)
        self.assertRegex(worker.text, rf"error\[E0302\]: {cluster.address('worker/0')} is in use "
                                      rf"by .*\b{os.getpid()}\b")
        self.assertIn(f"ss -ltnp 'sport = :{cluster.port('worker/0')}'", worker.text)
        # With its command, and what ends it.
        self.assertRegex(worker.text, rf"is in use by pid {os.getpid()} \(.*test_start.*\)")
        self.assertIn(f"= help: `kill {os.getpid()}` ends it", worker.text)

    def test_an_address_of_another_host_is_refused(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        cluster.spec["worker"] = ["192.0.2.1:7777"]
        worker = cluster.start("worker/0")
        self.assertEqual(worker.ends(), 78, worker.text)
        self.assertRegex(worker.text, r"error\[E0303\]: 192.0.2.1 is not an address of this host "
                                      r"\(it has .*\)")

    @waits
    def test_a_name_that_cannot_be_resolved_is_tried_until_the_start_timeout(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        cluster.spec["worker"] = ["no-such-host.invalid:7777"]
        worker = cluster.start("worker/0", "--start-timeout", "7")
        self.assertEqual(worker.ends(), 69, worker.text)
        self.assertGreaterEqual(worker.took, 7)
        self.assertIn("error[E0310]: the name no-such-host.invalid cannot be resolved",
                      worker.text)
        self.assertIn("`getent hosts no-such-host.invalid`", worker.text)
        self.assertEqual(len(re.findall(r"cannot be resolved yet", worker.text)), 1, worker.text)
        self.assertRegex(worker.text, r"worker/0: the name no-such-host.invalid of its own host "
                                      r"cannot be resolved yet: trying for [\d.]+ s, [\d.]+ s left")

    @waits
    def test_a_resolver_that_does_not_answer_delays_no_end(self):
        # Whose name it is: its own, its leader's, its member's.
        for name, other in (("worker/0", "worker"), ("worker/0", "chief"), ("chief/0", "worker")):
            cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
            wrapper = self.silent_resolver(cluster.host)
            cluster.spec[other] = ["nowhere.example:7777"]
            task = cluster.start(name, "--start-timeout", "3", wrapper=wrapper)
            self.assertEqual(task.ends(), 69, task.text)
            self.assertTrue(3 <= task.took < 4 * SLOW, (name, other, task.took))
            self.assertRegex(task.text, r"error\[E03(01|10)\]: .*nowhere\.example")

    def silent_resolver(self, host):
        """What to start a command with, so that it asks one that never answers."""
        folder = self.folder("resolver")
        folder.mkdir()
        (folder / "resolv.conf").write_text(
            f"nameserver {host}\noptions timeout:30 attempts:2\n")
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")
        wrapper = ["unshare", "--mount", "sh", "-ec",
                   f"for file in resolv.conf nsswitch.conf; do "
                   f"mount --bind {folder}/$file /etc/$file; done; exec \"$@\"", "sh"]
        resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(resolver.close)
        try:
            resolver.bind((host, 53))
            subprocess.run([*wrapper, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"this user may not bind port 53 or mount over /etc/resolv.conf: {error}")
        return wrapper

    def test_a_cluster_of_ipv6_addresses_trains_to_the_end(self):
        try:
            found = [Cluster(self, job=job, arguments=QUICK, host=host, **BASE)
                     for job, host in ((SYNC, "::1"), (ASYNC, "::1"), (SYNC, None))]
        except OSError as error:
            self.skipTest(f"::1 cannot be bound: {error}")
        crcs = [self.trained_by_hand(cluster)["parameters_crc32c"] for cluster in found]
        self.assertEqual(crcs[0], crcs[2])
        spec = json.loads((found[0].out / "cluster.json").read_text())
        self.assertIn(found[0].address("chief/0"), json.dumps(spec))

    def trained_by_hand(self, cluster):
        for task in cluster.start_all().tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        summary = json.loads((cluster.out / "summary.json").read_text())
        self.assertEqual(summary["steps"], 24)
        return summary


class Terminals(Case):
    LINES = (r"^{name} has joined the run; chief/0 \({chief}\) shows its progress$",
             r"^the run is over: done$")

    def lines(self, cluster, name, wrapper):
        command = [MUSTER, "run", cluster.job, "--out", str(cluster.out), *cluster.arguments]
        task = Process(name, wrapper(command), TF_CONFIG=cluster.config(name))
        self.own(task)
        cluster.start("chief/0")
        self.assertEqual(task.ends(), 0, task.text)
        self.assertEqual(cluster.tasks["chief/0"].ends(), 0)
        return [line.rstrip("\r") for _, line in task.lines]

    @unittest.skipUnless(shutil.which("script"), "script (bsdutils) is not here")
    def test_a_task_started_by_hand_says_that_it_has_joined_and_that_the_run_is_over(self):
        for name in ("worker/0", "ps/0"):
            cluster = Cluster(self, arguments=QUICK, **{"chief": 1, name[:-2]: 1})
            said = self.lines(cluster, name, lambda command: [
                "script", "-qec", shlex.join(command), "/dev/null"])
            if name == "ps/0":  # of a synchronous job
                self.assertIn("nothing to do for a parameter server", said.pop(1))
            self.assertEqual(len(said), 2, said)
            for line, wanted in zip(said, self.LINES):
                self.assertRegex(line, wanted.format(
                    name=name, chief=re.escape(cluster.address("chief/0"))))

    def test_where_nobody_looks_it_says_nothing(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        self.assertEqual(self.lines(cluster, "worker/0", lambda command: command), [])


class Strangers(Case):
    LINE = "peers are not authenticated"

    def own_address(self):
        """One by which other hosts could reach this one; nothing is sent."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asks:
            try:
                asks.connect(("203.0.113.1", 9))
            except OSError as error:
                self.skipTest(f"this machine has no address but loopback: {error}")
            return asks.getsockname()[0]

    def said(self, **more):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1, ps=1, **more).start_all()
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        return {name: task.text.count(self.LINE) for name, task in cluster.tasks.items()}

    def test_off_loopback_the_leader_says_once_that_peers_are_not_authenticated(self):
        self.assertEqual(self.said(host=self.own_address()),
                         {"chief/0": 1, "worker/0": 0, "ps/0": 0})

    def test_on_loopback_nobody_does(self):
        self.assertEqual(set(self.said().values()), {0})


class Patience(Case):
    @waits
    def test_one_that_waits_no_longer_does_not_end_the_start_of_the_others(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=2)
        hasty = cluster.start("worker/0", "--start-timeout", "2")
        chief = cluster.start("chief/0")
        self.assertEqual(hasty.ends(), 69, hasty.text)
        chief.says(r"^warning: worker/0 \(\S+\) waits no longer: chief/0 .* did not begin the run")
        again = cluster.start("worker/0")
        cluster.start("worker/1")
        self.assertEqual([chief.ends(), again.ends()], [0, 0], chief.text + again.text)


class Doubles(Case):
    def test_a_second_copy_of_a_task_is_refused_and_the_first_is_undisturbed(self):
        steps = int(3000 / SLOW)
        cluster = Cluster(self, arguments=["--steps", str(steps)], chief=1, worker=1).start_all()
        cluster.trains()
        running = dict(cluster.tasks)
        for name in ("worker/0", "chief/0"):
            copy = cluster.start(name, "--out", str(self.folder("copy")))
            self.assertEqual(copy.ends(), 76, copy.text)
            self.assertRegex(copy.text, rf"error\[E0307\]: {name} is already running as pid "
                                        rf"{running[name].pid} on \S+ since")
        for task in running.values():
            self.assertEqual(task.ends(), 0, task.text)
        self.assertEqual(json.loads((cluster.out / "summary.json").read_text())["steps"],
                         steps)

    @waits
    def test_a_copy_with_another_spec_does_not_disturb_the_first_while_it_waits(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        first = cluster.start("worker/0")
        first.says("waiting for chief/0")
        elsewhere = dict(cluster.spec, chief=["127.0.0.9:1"])
        copy = cluster.start("worker/0", "--out", str(self.folder("copy")), spec=elsewhere)
        self.assertEqual(copy.ends(), 76, copy.text)
        self.assertRegex(copy.text, r"error\[E0307\]: worker/0 is already running as pid "
                                    rf"{first.pid} ")
        cluster.tasks["worker/0"] = first
        chief = cluster.start("chief/0")
        self.assertEqual([chief.ends(), first.ends()], [0, 0], chief.text + first.text)

    @waits
    def test_a_stopped_copy_that_holds_the_port_is_named_with_what_to_type(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        stopped = cluster.start("worker/0")
        stopped.says("waiting for chief/0")
        stopped.signal(signal.SIGSTOP)
        copy = cluster.start("worker/0")
        self.assertEqual(copy.ends(), 69, copy.text)
        self.assertRegex(copy.text, rf"error\[E0302\]: {cluster.address('worker/0')} is in use by "
                                    rf"pid {stopped.pid} \(\S*muster run .*\), which is stopped")
        self.assertRegex(copy.text, rf"help: `kill -KILL {stopped.pid}` ends it, as is right "
                                    r"if its run has given it up; if not, `kill -CONT "
                                    rf"{stopped.pid}` lets it go on")
        stopped.signal(signal.SIGCONT)

    def test_two_runs_do_not_share_a_directory(self):
        first = Cluster(self, arguments=["--steps", "100000"], chief=1, worker=1)
        first.out = self.folder("a run")
        first.start_all().trains()
        second = self.muster("run", first.job, "--out", first.out, "--resume", "--local", "1")
        self.assertEqual(second.code, 73, second.text)
        self.assertRegex(second.text, rf"error\[E0607\].*pid {first.tasks['chief/0'].pid}")
        self.assertIn(f"`muster status '{first.out}'`", second.text)

    def logs(self, cluster):
        return {path.name: path.read_text() for path in (cluster.out / "logs").iterdir()}

    def test_a_second_run_that_is_refused_writes_nothing_into_the_first_ones_logs(self):
        first = Cluster(self, arguments=["--steps", "100000"], chief=1, worker=1).start_all()
        first.trains()
        before = self.logs(first)
        self.assertIn("starts as pid", before["worker-0.log"])
        launched = self.muster("run", first.job, "--out", first.out, "--local", "chief=1,worker=2")
        self.assertEqual(launched.code, 73, launched.text)
        self.assertRegex(launched.text, rf"error\[E0607\].*pid {first.tasks['chief/0'].pid}")
        second = Cluster(self, arguments=QUICK, chief=1, worker=1)
        second.out = first.out
        second.start("worker/0").says("waiting for chief/0")
        self.assertEqual(second.start("chief/0").ends(), 73)
        second.tasks["worker/0"].signal(signal.SIGTERM)
        second.tasks["worker/0"].ends()
        self.assertEqual(self.logs(first), before)


class Differences(Case):
    def both(self, mine, theirs):
        for task in (mine, theirs):
            self.assertEqual(task.ends(), 76, task.text)

    def test_different_specs_end_both_sides_with_hashes_and_the_difference(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=2)
        other = dict(cluster.spec, worker=[cluster.address("worker/0"), f"{cluster.host}:9"])
        chief = cluster.start("chief/0")
        worker = cluster.start("worker/0", spec=other)
        self.both(chief, worker)
        hashes = [set(self.hashes(task)) for task in (chief, worker)]
        self.assertEqual(hashes[0], hashes[1])
        self.assertEqual(len(hashes[0]), 2)
        for task in (chief, worker):
            self.assertIn("error[E0304]", task.text)
            difference = [line for _, line in task.lines if "worker" in line and
                          (f"{cluster.host}:9" in line or cluster.address("worker/1") in line)]
            self.assertEqual(len(difference), 2, task.text)
        self.assertFalse((cluster.out / "metrics.jsonl").exists() and
                         (cluster.out / "metrics.jsonl").read_text())

    @staticmethod
    def hashes(task):
        return re.findall(r"\b[0-9a-f]{16}(?= on (?:chief|worker)/0 \([-+]\))", task.text)

    def test_different_jobs_end_both_sides(self):
        for difference in (["--lr", "0.5"], ["--set", "model.widths=[784,64,10]"],
                           ["--set", "train.seed=9"]):
            cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
            chief = cluster.start("chief/0")
            worker = cluster.start("worker/0", *difference)
            self.both(chief, worker)
            for task in (chief, worker):
                self.assertRegex(task.text, r"error\[E0305\]: .*has another job")

    def test_different_jobs_are_told_by_the_first_key_and_its_values(self):
        for difference, key, mine, theirs in (
                (["--lr", "0.5"], "optimizer.learning_rate", "0.1", "0.5"),
                (["--set", "model.widths=[784,64,10]"], "model.widths", "[784,128,10]",
                 "[784,64,10]"),
                (["--set", "schedule.kind=cosine"], "schedule.kind", '"constant"', '"cosine"')):
            cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
            chief, worker = cluster.start("chief/0"), cluster.start("worker/0", *difference)
            self.both(chief, worker)
            for task in (chief, worker):
                self.assertIn(f"worker/0 has another job: {key}: {mine} on chief/0, {theirs} on "
                              "worker/0",
                              task.text)

    @waits
    def test_one_wrong_job_ends_those_who_have_come_at_once_with_the_same_cause(self):
        cluster = Cluster(self, job=ASYNC, arguments=QUICK, chief=1, worker=2, ps=1)
        waiting = [cluster.start(name) for name in ("chief/0", "worker/0", "ps/0")]
        for task in waiting:
            task.says("waiting for 1 of 4 tasks: worker/1")
        wrong = cluster.start("worker/1", "--lr", "0.5")
        self.assertEqual(wrong.ends(), 76, wrong.text)
        for task in waiting:
            self.assertEqual(task.ends(), 76, (task.name, task.text))
            self.assertLess(abs(task.ended - wrong.ended), 1 * SLOW, task.name)
            self.assertRegex(task.text, r"error\[E0305\]: .*worker/1 has another job: "
                                        r"optimizer\.learning_rate: \S+ on \S+, 0\.5 on worker/1\n")
            self.assertNotIn("--resume", task.text)
            self.assertNotIn("begin anew", task.text)
            self.assertIn("  = help: start every task ", task.text)
            self.assertEqual(task.text.count("error["), 1, task.text)

    @waits
    def test_another_service_in_the_place_of_one_task_ends_those_who_have_come(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=2)
        tasks = [cluster.start(name) for name in ("chief/0", "worker/0")]
        for task in tasks:
            task.says("waiting for 1 of 3 tasks: worker/1")
        other = Service(cluster.host, cluster.port("worker/1"), *SSH[:2])
        self.addCleanup(other.close)
        for task in tasks:
            self.assertEqual(task.ends(), 76, task.text)
            self.assertRegex(task.text, r"error\[E0306\]: the peer at worker/1 .*SSH")
        self.assertLess(abs(tasks[0].ended - tasks[1].ended), 1 * SLOW)


class Echo:
    """Sends back what it is sent."""

    def __init__(self, host, port):
        self.server = socketserver.ThreadingTCPServer((host, port), self.Back)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    class Back(socketserver.BaseRequestHandler):
        def handle(self):
            while said := self.request.recv(4096):
                self.request.sendall(said)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Service:
    """Something else that listens where a task should: says `greeting`, or answers with it."""

    def __init__(self, host, port, greeting, asks_first):
        self.socket = socket.create_server((host, port))
        self.greeting, self.asks_first = greeting, asks_first
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            try:
                if self.asks_first:
                    connection.recv(4096)
                connection.sendall(self.greeting)
                connection.settimeout(PATIENCE)
                while connection.recv(4096):
                    pass
            except OSError:
                pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


SSH = (b"SSH-2.0-OpenSSH_9.2p1\r\n", False, "SSH-2.0-OpenSSH_9.2p1")
HTTP = (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", True, "HTTP/1.1 400 Bad Request")


class WrongService(Case):
    def finds(self, started, elsewhere, service, counts):
        greeting, asks_first, shown = service
        cluster = Cluster(self, job=ASYNC, arguments=QUICK, **counts)
        other = Service(cluster.host, cluster.port(elsewhere), greeting, asks_first)
        try:
            task = cluster.start(started)
            self.assertEqual(task.ends(), 76, task.text)
            self.assertLess(task.took, 2 * SLOW, task.text)
            self.assertIn("error[E0306]", task.text)
            self.assertIn(cluster.address(elsewhere), task.text)
            self.assertIn(f"`{shown[:7]}", task.text)
        finally:
            other.close()

    def test_at_the_leaders_address_it_is_named_by_what_it_says(self):
        for service in (SSH, HTTP):
            self.finds("worker/0", "chief/0", service, dict(chief=1, worker=1, ps=1))

    @waits
    def test_at_a_servers_address_the_leader_finds_it(self):
        for service in (SSH, HTTP):
            self.finds("chief/0", "ps/0", service, dict(chief=1, worker=1, ps=1))

    @waits
    def test_at_a_workers_address_the_leader_finds_it(self):
        for service in (SSH, HTTP):
            self.finds("chief/0", "worker/0", service, dict(chief=1, worker=1, ps=1))

    @waits
    def test_one_that_sends_back_what_it_is_sent_is_found_by_whoever_calls_it(self):
        for started, elsewhere in (("worker/0", "chief/0"), ("chief/0", "ps/0")):
            cluster = Cluster(self, job=ASYNC, arguments=QUICK, chief=1, worker=1, ps=1)
            other = Echo(cluster.host, cluster.port(elsewhere))
            self.addCleanup(other.close)
            task = cluster.start(started)
            self.assertEqual(task.ends(), 76, task.text)
            self.assertLess(task.took, 2 * SLOW, task.text)
            self.assertRegex(task.text, rf"error\[E0306\]: the peer at {elsewhere} "
                             rf"\({cluster.address(elsewhere)}\) sends back what it is sent")

    @waits
    def test_at_its_own_address_it_is_no_second_copy(self):
        cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
        other = Echo(cluster.host, cluster.port("worker/0"))
        self.addCleanup(other.close)
        task = cluster.start("worker/0")
        self.assertEqual(task.ends(), 69, task.text)
        self.assertIn(f"error[E0302]: {cluster.address('worker/0')} is in use", task.text)

    @waits
    def test_one_that_says_much_is_quoted_in_part(self):
        for bytes in (62, 63, 64, 65, 300):
            self.finds("worker/0", "chief/0", (b"A" * bytes + b"\r\n", False, "A" * 7),
                       dict(chief=1, worker=1, ps=1))

    @waits
    def test_one_that_says_too_little_to_know_is_quoted(self):
        for started, elsewhere in (("worker/0", "chief/0"), ("chief/0", "worker/0")):
            cluster = Cluster(self, arguments=QUICK, chief=1, worker=1)
            other = Service(cluster.host, cluster.port(elsewhere), b"abc", False)
            self.addCleanup(other.close)
            task = cluster.start(started, "--start-timeout", "4")
            self.assertEqual(task.ends(), 69, task.text)
            self.assertRegex(task.text, r"error\[E0301\]: .*it answered `abc` \(3 bytes\) and "
                                        r"says nothing more: is it muster\?")


class OtherVersion(Case):
    """A peer of a later version, as far as it can be known: its frames say 2 where ours say 1."""
    LATER = b"MUST\x02" + bytes(27)

    @waits
    def test_a_task_that_calls_it_ends_with_both_versions(self):
        for started, elsewhere in (("worker/0", "chief/0"), ("chief/0", "worker/0")):
            cluster = Cluster(self, job=ASYNC, arguments=QUICK, chief=1, worker=1, ps=1)
            other = Service(cluster.host, cluster.port(elsewhere), self.LATER, False)
            try:
                task = cluster.start(started)
                self.assertEqual(task.ends(), 76, task.text)
                self.assertIn("error[E0308]", task.text)
                self.assertIn("speaks protocol 2, this task 1", task.text)
                self.assertIn(cluster.address(elsewhere), task.text)
            finally:
                other.close()

    def test_a_task_that_it_calls_tells_its_own_and_ends(self):
        cluster = Cluster(self, job=ASYNC, arguments=QUICK, chief=1, worker=1, ps=1)
        task = cluster.start("chief/0")
        host, port = cluster.address("chief/0").rsplit(":", 1)
        def call():
            try:
                return socket.create_connection((host, int(port)), timeout=5)
            except OSError:
                return None
        with until(call, "the chief to listen") as connection:
            connection.sendall(self.LATER)
            self.assertEqual(connection.recv(5), b"MUST\x01")
        self.assertEqual(task.ends(), 76, task.text)
        self.assertRegex(task.text, r"error\[E0308\]: a task that called from [0-9.]+:\d+ speaks "
                                    r"protocol 2, this task 1")


if __name__ == "__main__":
    main()
