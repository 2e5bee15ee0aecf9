#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run tells of itself while it lives and after: test_status.py MUSTER"""
import json
import os
import re
import shlex
import signal
import subprocess

import events
from cluster import ASYNC, LONG, MUSTER, SYNC, Case, Cluster, Process, checkpoints, main, until
from side_by_side import waits

CLICKS = {"name": "clicks", "model": {"kind": "wide_deep"},
          "data": {"kind": "clicks", "samples": 2000, "test_samples": 500, "batch": 50},
          "mode": {"kind": "async"}, "train": {"epochs": 1},
          "optimizer": {"kind": "adagrad", "learning_rate": 0.05}}


class Loads(Case):
    def check_everywhere(self, run):
        """metrics.jsonl ends with the numbers of the summary; the event files have all names."""
        servers = run.summary["servers"]
        last = json.loads((run.out / "metrics.jsonl").read_text().splitlines()[-1])
        for name, load in servers.items():
            for key, value in load.items():
                self.assertEqual(last[f"load/{key}/{name}"], value)
            events = b"".join(path.read_bytes() for path in
                              (run.out / "tb" / name.replace("/", "-")).iterdir())
            for key in load:
                self.assertIn(f"ps/load/{key}".encode(), events)
        return list(servers.values())

    def test_the_loads_of_all_servers_are_told_exactly(self):
        run = self.trained("chief=1,worker=1,ps=3", "--steps", "90", job=ASYNC)
        loads = self.check_everywhere(run)
        self.assertEqual(list(run.summary["servers"]), ["ps/0", "ps/1", "ps/2"])
        pushes = sum(run.summary["verdicts"].values())
        parameters = 784 * 128 + 128 + 128 * 10 + 10
        for load in loads:
            # Besides the pushes: the first pull of each replica, its leaving, the leader's last.
            self.assertEqual(load["requests"], pushes + 2 + 2 + 1)
            self.assertEqual(load["gradients"], pushes)
            self.assertEqual(load["memory_bytes"] // load["dense_bytes"], 4)
            self.assertEqual((load["rows"], load["unread"], load["cut_off"]), (0, 0, 0))
        padded = sum(load["dense_bytes"] for load in loads)  # tensors begin at multiples of 16
        self.assertIn(padded, range(4 * parameters, 4 * parameters + 256))
        self.assertGreaterEqual(run.summary["dense_balance"], 1)
        self.assertLess(run.summary["dense_balance"], 1.1)
        self.assertGreater(sum(load["bytes_in"] for load in loads), 4 * parameters * pushes)

    def test_a_run_that_fails_tells_what_its_leader_knows(self):
        cluster = Cluster(self, job=ASYNC, arguments=[
            *LONG, "--set", "log.every_steps=1", "--set", "mode.recovery_seconds=0"],
                          chief=1, worker=1, ps=1).start_all().trains(points=20)
        cluster.tasks["ps/0"].signal(signal.SIGKILL)
        chief = cluster.tasks["chief/0"]
        self.assertEqual(chief.ends(), 69, chief.text)
        told = json.loads((cluster.out / "summary.json").read_text())
        self.assertEqual(list(told["verdicts_by_task"]), ["chief/0"])
        self.assertEqual(told["verdicts_by_task"]["chief/0"], told["verdicts"])
        pushes = sum(told["verdicts"].values())
        self.assertGreaterEqual(pushes, 15)
        self.assertEqual(sum(told["staleness"]["histogram"]), pushes)
        last = json.loads((cluster.out / "metrics.jsonl").read_text().splitlines()[-1])
        given = {f"verdict/{verdict}/chief/0": count for verdict, count in told["verdicts"].items()
                 if count}
        self.assertEqual({key: last[key] for key in given}, given)

    def test_what_became_of_each_gradient_is_told_alike_in_all_places(self):
        run = self.trained("chief=1,worker=2,ps=2", "--steps", "120", "--set", "mode.bound=1",
                           "--set", "log.every_steps=1", job=ASYNC)
        told = run.summary["verdicts_by_task"]
        self.assertEqual(list(told), ["chief/0", "worker/0", "worker/1"])
        given = {f"verdict/{verdict}/{task}": count for task, verdicts in told.items()
                 for verdict, count in verdicts.items() if count}
        self.assertEqual(sum(given.values()), 120)
        for verdict, count in run.summary["verdicts"].items():
            self.assertEqual(sum(verdicts[verdict] for verdicts in told.values()), count)
        late = run.summary["staleness"]
        self.assertEqual(sum(late["histogram"]), 120)
        self.assertEqual(late["max"], len(late["histogram"]) - 1)
        self.assertAlmostEqual(
            late["mean"], sum(i * count for i, count in enumerate(late["histogram"])) / 120)
        last = json.loads((run.out / "metrics.jsonl").read_text().splitlines()[-1])
        self.assertEqual({key: last[key] for key in last if key.startswith("verdict/")}, given)
        self.assertEqual({key: last[key] for key in last if key.startswith("staleness/")},
                         {f"staleness/{i}": n for i, n in enumerate(late["histogram"]) if n})
        for key in ("requests", "bytes_in", "bytes_out", "rows_given", "rows_wanted"):
            self.assertEqual([last[f"load/{key}/ps/{i}"] for i in range(2)],
                             [server[key] for server in run.summary["servers"].values()])
        head = events.points(run.out / "tb" / "ps-0")
        self.assertEqual({tag[3:]: head[tag][-1] for tag in head if tag.startswith("ps/verdict/")},
                         given)
        self.assertEqual(sum(events.last_histogram(head["ps/staleness"])), 120)
        for task, verdicts in told.items():
            own = events.points(run.out / "tb" / task.replace("/", "-"))
            for late_by in own["train/staleness"]:
                self.assertIn(late_by, range(late["max"] + 1))
            for verdict in ("apply", "drop"):
                curve = own.get(f"verdict/{verdict}", [0])
                self.assertEqual(curve, sorted(curve))
                self.assertLessEqual(curve[-1], verdicts[verdict])
            self.assertGreater(own["verdict/apply"][-1], 0)

    def test_what_becomes_of_gradients_is_told_while_the_run_lives(self):
        cluster = Cluster(self, job=ASYNC, arguments=[*LONG, "--set", "mode.bound=1"], chief=1,
                          worker=2, ps=2).start_all().trains()
        tasks = ("chief/0", "worker/0", "worker/1")

        def told():
            whole, _, _ = (cluster.out / "metrics.jsonl").read_text().rpartition("\n")
            lines = whole.splitlines()
            found = [line for line in map(json.loads, lines) if "load/requests/ps/0" in line]
            return [line for line in found if all(f"verdict/apply/{task}" in line
                                                  for task in tasks)]

        until(lambda: len(told()) >= 3, "three lines with what became of gradients")
        curves = events.points(cluster.out / "tb" / "ps-0")
        cluster.tasks["chief/0"].signal(signal.SIGTERM)
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 75, task.text)
        lines = told()
        for key in (f"verdict/{verdict}/{task}" for task in tasks for verdict in ("apply", "drop")):
            counts = [line.get(key, 0) for line in lines]
            self.assertEqual(counts, sorted(counts), key)
        for line in lines:
            judged = sum(line[key] for key in line if key.startswith("verdict/"))
            late = sum(line[key] for key in line if key.startswith("staleness/"))
            self.assertAlmostEqual(judged, late, delta=len(tasks))  # heartbeats are of a moment
            self.assertNotIn(0, [line[key] for key in line if key.startswith("verdict/")])
        ended = json.loads((cluster.out / "summary.json").read_text())["verdicts_by_task"]
        for task in tasks:
            self.assertGreater(lines[-2][f"verdict/apply/{task}"], 0)
            self.assertLessEqual(lines[-2][f"verdict/apply/{task}"], ended[task]["apply"])
            curve = curves[f"ps/verdict/apply/{task}"]
            self.assertGreater(len(curve), 1)
            self.assertEqual(curve, sorted(curve))
        self.assertGreater(sum(events.last_histogram(curves["ps/staleness"])), 0)
        second = events.points(cluster.out / "tb" / "ps-1")
        self.assertFalse([tag for tag in second if tag.startswith("ps/verdict/")])

    def test_what_a_process_does_for_a_standby_is_its_load_too(self):
        alone, doubled = (self.trained("chief=1,worker=1,ps=2", "--steps", "90", "--set",
                                       f"mode.replicas={replicas}", job=ASYNC)
                          for replicas in (0, 1))
        for name, load in doubled.summary["servers"].items():
            plain = alone.summary["servers"][name]
            self.assertEqual(load["dense_bytes"], plain["dense_bytes"])
            self.assertGreater(load["requests"], 1.9 * plain["requests"])
            self.assertGreater(load["memory_bytes"], 1.9 * plain["memory_bytes"])

    def test_the_rows_of_all_servers_are_those_of_the_table(self):
        path = self.folder("job")
        path.write_text(json.dumps(CLICKS))
        run = self.trained("worker=2,ps=2", job=str(path))
        loads = self.check_everywhere(run)
        self.assertEqual(sum(load["rows"] for load in loads), run.summary["embedding_rows"])
        for load in loads:
            self.assertGreater(load["rows_wanted"], load["rows"])
            self.assertGreater(load["row_bytes"], 0)
            self.assertGreater(load["memory_bytes"], load["row_bytes"] + load["dense_bytes"])

    def test_a_run_without_servers_has_no_loads(self):
        run = self.trained("worker=2", "--steps", "20")
        self.assertEqual((run.summary["servers"], run.summary["dense_balance"]), ({}, None))


class Status(Case):
    """`muster status`, beside runs that live, have ended, were killed, or wait."""

    def status(self, out, *arguments, code=0):
        process = self.muster("status", *arguments, out)
        self.assertEqual(process.code, code, process.text)
        return process.text

    def as_json(self, out, code=0):
        return json.loads(self.status(out, "--json", code=code))

    def seen(self, out, condition, what):
        """The status, as soon as it is so."""
        def look():
            process = self.muster("status", "--json", out)
            found = json.loads(process.text) if process.text.startswith("{") else None
            return found if found and condition(found) else None
        return until(look, what)

    def test_a_run_that_lives_says_who_does_what_and_how_fast(self):
        run = self.local("chief=1,worker=1,ps=2", *LONG, job=ASYNC)
        pids = self.pids(run)
        found = self.seen(run.out, lambda found: found["servers"].get("ps/1", {}).get(
            "requests_per_second"), "a rate")
        self.assertEqual((found["state"], found["phase"], found["exit"]),
                         ("running", "training", None))
        self.assertEqual({name: task["process"] for name, task in found["tasks"].items()}, pids)
        self.assertGreater(found["step"], 0)
        self.assertLess(found["age_seconds"], 10)
        for name, task in found["tasks"].items():
            self.assertEqual(task["state"], "here", name)
            self.assertLess(task["heard_seconds"], 5)
            self.assertRegex(task["doing"], r"(step|version) \d+$")
        for server in found["servers"].values():
            self.assertGreater(server["bytes_in_per_second"], 4 * 784)
            self.assertIsNotNone(server["staleness"])
        for name, pid in pids.items():
            self.assertEqual(self.status(run.out, "--pid", name), str(pid))
        self.assertIn("no task `ps/2`", self.status(run.out, "--pid", "ps/2", code=64))
        text = self.status(run.out)
        self.assertRegex(text, r"is running, for .* \(training\); .* ago chief/0 \(pid \d+ on")
        self.assertRegex(text, r"worker/0 +\d+ .* now .* step \d+")
        self.assertRegex(text, r"ps/1 +\S+ KiB +- ")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.ends(), 75)
        self.assertEqual(self.as_json(run.out, code=69)["exit"], 75)
        self.assertRegex(self.status(run.out, code=69),
                         r" ended with exit code 75 \(.*\), at .*\n.*help: it was asked to stop; "
                         rf"to go on from the last checkpoint: {MUSTER} run .* --local "
                         r"\S+ --resume\n")

    def test_the_last_step_is_told_of_a_run_that_is_over(self):
        run = self.trained("chief=1,worker=1,ps=2", "--steps", "90", job=ASYNC)
        self.assertEqual(self.as_json(run.out)["step"], run.summary["steps"])

    def test_a_run_that_has_lost_a_worker_waits_for_no_server(self):
        cluster = Cluster(self, job=ASYNC, chief=1, worker=1, ps=1, arguments=LONG)
        cluster.start_all().trains()
        cluster.tasks["worker/0"].signal(signal.SIGKILL)
        self.assertEqual(cluster.tasks["chief/0"].ends(), 69)
        tasks = self.as_json(cluster.out, code=69)["tasks"]
        self.assertNotIn("come back", tasks["chief/0"]["doing"])

    @waits
    def test_the_process_of_a_task_that_is_gone_is_not_given_to_scripts(self):
        run = self.local("chief=1,worker=1,ps=2", *LONG, "--set", "mode.replicas=1", job=ASYNC)
        self.trains(run.out)
        pid = self.pids(run)["ps/1"]
        os.kill(pid, signal.SIGKILL)
        self.seen(run.out, lambda found: found["tasks"]["ps/1"]["state"] == "gone", "the loss")
        self.assertRegex(self.status(run.out, "--pid", "ps/1", code=69),
                         rf"^error\[E0401\]: ps/1 is gone; it was process {pid}\n")

    @waits
    def test_the_life_of_a_task_that_is_gone_does_not_grow(self):
        run = self.local("chief=1,worker=1,evaluator=1", *LONG)
        self.trains(run.out)
        self.seen(run.out, lambda found: found["tasks"]["evaluator/0"]["state"] == "here",
                  "the evaluator")
        os.kill(self.pids(run)["evaluator/0"], signal.SIGKILL)
        self.seen(run.out, lambda found: found["tasks"]["evaluator/0"]["state"] == "gone",
                  "the loss")
        def look(seconds):
            found = self.seen(run.out, lambda found: found["tasks"]["evaluator/0"][
                "heard_seconds"] > seconds, "time to go by")["tasks"]
            return found["evaluator/0"], found["chief/0"]
        first = look(0)
        second = look(first[0]["heard_seconds"] + 1.5)
        self.assertAlmostEqual(first[0]["up_seconds"], second[0]["up_seconds"], delta=0.05)
        self.assertGreater(second[1]["up_seconds"], first[1]["up_seconds"] + 1)

    def test_a_run_that_ends_by_its_steps_names_no_number_of_epochs(self):
        run = self.trained("worker=2", "--steps", "300", "--epochs", "1", "--set",
                           "data.samples=960")
        self.assertEqual(re.findall(r"epoch \d+/", run.text), [])
        self.assertRegex(run.text, r"epoch \d+ .* step 300/300 ")
        found = self.as_json(run.out)
        self.assertEqual((found["epoch"], found["epochs"]), (20, None))
        self.assertRegex(self.status(run.out), r"\nepoch 20 ")

    def test_the_last_line_of_progress_is_the_end_of_the_run(self):
        for job, roles in ((SYNC, "chief=1,worker=1"), (ASYNC, "chief=1,worker=2,ps=1")):
            run = self.trained(roles, "--epochs", "1", job=job)
            shown = [int(step) for step in re.findall(r"step (\d+)/\d+  loss", run.text)]
            self.assertEqual(shown[-1], run.summary["steps"], run.text)
            self.assertEqual(shown.count(shown[-1]), 1, run.text)
        run = self.local("chief=1,worker=1", *LONG)
        self.trains(run.out)
        run.signal(signal.SIGTERM)
        self.assertEqual(run.ends(), 75)
        steps = json.loads((run.out / "summary.json").read_text())["steps"]
        self.assertRegex(run.text, rf"step {steps}/\d+  loss")

    def test_the_status_counts_the_tasks_that_the_line_of_progress_counts(self):
        alive = "3/3 alive"
        for job in (ASYNC, SYNC):
            run = self.local("worker=2,ps=1,evaluator=1", *LONG, job=job)
            self.trains(run.out)
            self.seen(run.out, lambda found: found["steps_total"] and
                      found["tasks"]["evaluator/0"]["state"] == "here", "the evaluator")
            self.assertIn(alive, self.status(run.out))
            run.signal(signal.SIGTERM)
            self.assertEqual(run.ends(), 75)
            self.assertEqual(set(re.findall(r"\d+/\d+ alive", run.text)), {alive}, run.text)

    def test_a_run_whose_mode_changes_shows_no_step_beyond_its_total(self):
        """Who is late in the mode `sync` leaves out steps there, and makes more of them later."""
        job = {"name": "changes", "model": {"kind": "softmax"}, "train": {"epochs": 2},
               "data": {"kind": "glyphs", "samples": 4800, "test_samples": 100, "batch": 16},
               "schedule": {"kind": "cosine"}, "log": {"every_steps": 1},
               "mode": {"kind": "sync", "backups": 1,
                        "schedule": [{"from_step": 100, "kind": "async"}]}}
        path = self.folder("job")
        path.write_text(json.dumps(job))
        run = self.trained("worker=3,ps=1", job=str(path))
        total = json.loads((run.out / "status.json").read_text())["steps_total"]
        shown = [(int(step), int(of)) for step, of in re.findall(r"step (\d+)/(\d+) ", run.text)]
        self.assertGreater(len(shown), 0)
        self.assertEqual([one for one in shown if one[0] > one[1]], [], run.text)
        self.assertLessEqual(len([one for one in shown if one == (total, total)]), 1)
        self.assertGreaterEqual(total, run.summary["steps"])
        planned = re.findall(r"more steps than the (\d+) planned", run.text)
        self.assertEqual(len(planned), int(total > 400), run.text)
        rates = [json.loads(line).get("learning_rate")
                 for line in (run.out / "metrics.jsonl").read_text().splitlines()]
        self.assertGreater(min(rate for rate in rates if rate is not None), 0)

    def test_one_dense_number_of_a_click_model_is_no_uneven_load(self):
        path = self.folder("job")
        path.write_text(json.dumps({**CLICKS, "model": {"kind": "linear"},
                                    "data": {**CLICKS["data"], "numbers": 0}}))
        run = self.trained("worker=2,ps=3", job=str(path))
        self.assertGreater(run.summary["dense_balance"], 1.1)  # 6, 5 and 5 elements
        self.assertNotIn("the fullest server", self.status(run.out))

    def test_watching_ends_with_the_run(self):
        run = self.local("1", *LONG)
        self.trains(run.out)
        watch = self.local_watch(run.out)
        until(lambda: len(watch.lines) >= 2, "two looks")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.ends(), 75)
        self.assertEqual(watch.ends(), 69, watch.text)
        looks = [json.loads(line) for _, line in watch.lines]
        self.assertEqual({look["state"] for look in looks[:-1]}, {"running"})
        self.assertEqual((looks[-1]["state"], looks[-1]["exit"]), ("ended", 75))
        self.assertEqual(looks[-1]["checkpoint_step"],
                         int(checkpoints(run.out)[-1].name))

    def local_watch(self, out):
        process = Process("watch", [MUSTER, "status", "--watch", "--json", str(out)])
        self.own(process)
        return process

    def test_the_end_has_the_exit_code_and_the_reason(self):
        run = self.trained("worker=1", "--steps", "5")
        self.assertRegex(self.status(run.out), r" ended well, with exit code 0, at "
                         r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z, .* ago, after ")
        self.assertRegex(self.status(run.out), r"\nworker/0 .* done$")
        self.assertRegex(self.status(run.out, "--pid", "worker/0", code=69), r"E0401.* is gone")
        run = self.trained("chief=1,worker=1", "--steps", "5")
        text = self.status(run.out)
        for name in ("chief/0", "worker/0"):
            self.assertRegex(text, rf"(?m)^{name} .* done$")
        self.assertNotIn("last seen", text)
        cluster = Cluster(self, chief=1, worker=1, arguments=LONG).start_all().trains()
        cluster.tasks["worker/0"].signal(signal.SIGKILL)
        self.assertEqual(cluster.tasks["chief/0"].ends(), 69)
        found = self.as_json(cluster.out, code=69)
        self.assertEqual((found["state"], found["exit"], found["error_number"]),
                         ("ended", 69, 401))
        self.assertRegex(found["error"], r"worker/0 .* died")
        self.assertEqual(found["tasks"]["worker/0"]["state"], "gone")
        text = self.status(cluster.out, code=69)
        self.assertRegex(text, r" ended with exit code 69 \(a peer or a service is unavailable\), "
                               r"at \S+Z, .* ago, after ")
        said = cluster.tasks["chief/0"].says("= help: (.*)$")[0].group(1)
        self.assertRegex(text, r"error\[E0401\]: worker/0.*\n  = help: " + re.escape(said) + "\n")

    @waits
    def test_a_leader_that_was_killed_is_known_to_be_dead_and_one_that_is_stopped_not_to_be(self):
        cluster = Cluster(self, chief=1, worker=1, arguments=LONG).start_all().trains()
        chief = cluster.tasks["chief/0"]
        chief.signal(signal.SIGSTOP)
        self.seen(cluster.out, lambda found: found["state"] == "silent", "that it is stopped")
        text = self.status(cluster.out, code=69)
        self.assertIn(f"chief/0 (pid {chief.pid} on {os.uname().nodename}) is stopped", text)
        self.assertIn(f"`kill -CONT {chief.pid}` lets it go on", text)
        # The others wait for it no more: to let it go on would not help.
        self.assertEqual(cluster.tasks["worker/0"].ends(), 69)
        text = self.status(cluster.out, code=69)
        self.assertRegex(text, r"= help: worker/0 has ended, so the run cannot go on: `kill -KILL "
                               rf"{chief.pid}` ends the leader; then (nothing is saved|to go on)")
        self.assertNotIn("kill -CONT", text)
        chief.signal(signal.SIGKILL)
        chief.ends()
        found = self.as_json(cluster.out, code=69)
        self.assertEqual((found["state"], found["phase"]), ("died", "training"))
        text = self.status(cluster.out, code=69)
        self.assertIn("died: chief/0", text)
        self.assertRegex(text, r"= help: its last words are in \S+/logs/chief-0.log; (nothing is "
                               rf"saved; to begin anew|to go on from).*: {MUSTER} run ")

    @waits
    def test_nobody_is_told_to_wake_whom_a_run_that_has_ended_gave_up(self):
        cluster = Cluster(self, chief=1, worker=1,
                          arguments=[*LONG, "--failure-detection", "fast"])
        worker = cluster.start_all().trains().tasks["worker/0"]
        worker.signal(signal.SIGSTOP)
        chief = cluster.tasks["chief/0"]
        self.assertEqual(chief.ends(), 69, chief.text)
        text = self.status(cluster.out, code=69)
        self.assertRegex(text, r"error\[E0402\]: worker/0 .* is stopped \(state T\).*\n  = help: "
                               rf"`kill -KILL {worker.pid}` ends it; ")
        self.assertNotIn("kill -CONT", text)
        worker.signal(signal.SIGCONT)
        self.assertEqual(worker.ends(), 69, worker.text)
        text = self.status(cluster.out, code=69)  # nor to end it when it is no more
        self.assertNotIn("kill -", text)
        self.assertRegex(text, rf"worker/0 +{worker.pid} .* gone .* last seen ")

    def test_who_writes_the_status_is_here_from_the_first(self):
        cluster = Cluster(self, chief=1, worker=1, arguments=["--set", "data.samples=300000"])
        cluster.start("chief/0")
        path = cluster.out / "status.json"
        until(path.exists, "a status")
        chief = json.loads(path.read_text())["tasks"]["chief/0"]
        self.assertEqual((chief["state"], chief["doing"]), ("here", "starting"))

    @waits
    def test_a_run_that_waits_says_for_whom(self):
        cluster = Cluster(self, chief=1, worker=1)
        cluster.start("chief/0")
        found = self.seen(cluster.out, lambda found: "absent" in found["tasks"].get(
            "worker/0", {}) and found["tasks"]["worker/0"]["absent"], "why it does not come")
        self.assertEqual((found["state"], found["phase"]), ("running", "starting"))
        self.assertIn("Connection refused", found["tasks"]["worker/0"]["absent"])
        self.assertIn("has not come", self.status(cluster.out, "--pid", "worker/0", code=69))
        text = self.status(cluster.out)
        address = cluster.address("worker/0")
        self.assertIn(f"worker/0     has not come to {address}", text)
        self.assertRegex(text, rf"\nit waits for worker/0 \({address}\), \S+ more: Connection "
                               r"refused\n  = help: start it .* "
                               rf"`timeout 3 bash -c '</dev/tcp/{address.replace(':', '/')}' "
                               r"&& echo open` says")

    @waits
    def test_a_task_that_died_before_the_start_is_gone_and_one_that_is_refused_says_why(self):
        cluster = Cluster(self, chief=1, worker=2)
        cluster.start("chief/0")
        worker = cluster.start("worker/0")
        self.seen(cluster.out, lambda found: found["tasks"]["worker/0"]["state"] == "here", "it")
        worker.signal(signal.SIGKILL)
        self.seen(cluster.out, lambda found: found["tasks"]["worker/0"]["state"] == "gone",
                  "the loss")
        self.assertRegex(self.status(cluster.out), rf"\nworker/0 +{worker.pid} .* gone ")
        other = cluster.start("worker/1", "--set", "train.seed=77")
        self.assertEqual(cluster.tasks["chief/0"].ends(), 76)
        text = self.status(cluster.out, code=69)
        self.assertRegex(text, rf"\nworker/1 +never came to .*: came as pid {other.pid} on .* "
                               r"and was refused: worker/1 has another job")
        self.assertRegex(text, r"error\[E0305\].*\n  = help: start every task .*same .* job")
        self.assertNotIn("resume", text)

    def test_a_task_other_than_the_leader_that_is_stopped_is_shown_so(self):
        run = self.local("chief=1,worker=1", *LONG)
        self.trains(run.out)
        pid = self.pids(run)["worker/0"]
        os.kill(pid, signal.SIGSTOP)
        text = until(lambda: (lambda text: "state T" in text and text)(self.status(run.out)),
                     "that it is stopped")
        self.assertRegex(text, rf"worker/0 .* stopped \(state T\), `kill -CONT {pid}` lets it")
        os.kill(pid, signal.SIGCONT)
        self.seen(run.out, lambda found: found["tasks"]["worker/0"]["heard_seconds"] < 1, "it")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.ends(), 75)

    def test_a_run_that_was_stopped_before_it_began_has_saved_nothing(self):
        cluster = Cluster(self, chief=1, worker=1)
        chief = cluster.start("chief/0")
        self.seen(cluster.out, lambda found: found["phase"] == "starting", "the chief")
        chief.signal(signal.SIGTERM)
        self.assertEqual(chief.ends(), 128 + signal.SIGTERM)
        text = self.status(cluster.out, code=69)
        self.assertIn(" ended with exit code 143 (SIGTERM), ", text)
        self.assertRegex(text, r"help: it was asked to stop before it had begun; nothing is saved; "
                               rf"to begin anew, .*: {MUSTER} run .* --out {cluster.out} "
                               rf"--cluster {cluster.out}/cluster.json --task chief/0\n")

    def test_a_lost_server_is_awaited_and_the_evaluator_follows_the_next_generation(self):
        cluster = Cluster(self, job=ASYNC, chief=1, worker=1, ps=2, evaluator=1, arguments=[
            *LONG, "--set", "mode.recovery_seconds=60", "--set", "checkpoint.every_steps=50"])
        cluster.start_all().trains()
        until(lambda: checkpoints(cluster.out), "a checkpoint")
        self.seen(cluster.out, lambda found: found["servers"].get("ps/1", {}).get(
            "requests_per_second"), "a rate")
        cluster.tasks["ps/1"].signal(signal.SIGKILL)
        found = self.seen(cluster.out, lambda found: found["tasks"]["ps/1"].get(
            "awaited_seconds"), "that it is awaited")
        self.assertEqual(found["tasks"]["ps/1"]["state"], "gone")
        self.assertIsNone(found["servers"]["ps/1"]["requests_per_second"])
        text = self.status(cluster.out)
        self.assertRegex(text, r"\nit waits for ps/1 \(.*\), \S+ s more.*\n  = help: start it ")
        self.assertRegex(text, r"\nps/1 +gone$")
        cluster.start("ps/1")
        self.seen(cluster.out, lambda found: found["tasks"]["chief/0"]["doing"].startswith(
            "computing"), "training")
        found = self.seen(cluster.out, lambda found: found["tasks"]["evaluator/0"][
            "doing"] != "starting", "the evaluator")
        self.assertRegex(found["tasks"]["evaluator/0"]["doing"],
                         r"^(evaluating at|waiting for a checkpoint after) step \d+$")

    def test_a_server_that_is_awaited_and_stopped_is_named_with_what_ends_it(self):
        cluster = Cluster(self, job=ASYNC, chief=1, worker=1, ps=2, arguments=[
            *LONG, "--set", "mode.recovery_seconds=60", "--failure-detection", "fast"])
        cluster.start_all().trains()
        stopped = cluster.tasks["ps/1"]
        stopped.signal(signal.SIGSTOP)
        self.seen(cluster.out, lambda found: found["tasks"]["ps/1"].get(
            "awaited_seconds"), "that it is awaited")
        text = self.status(cluster.out)
        self.assertRegex(
            text, rf"\nit waits for ps/1 \(.*\), \S+ s more: pid {stopped.pid} has the address and "
                  rf"is stopped \(state T\)\n  = help: `kill -KILL {stopped.pid}` ends it, so that "
                  rf"it can be started again; `{MUSTER} run .* --task ps/1` starts it\n")
        self.assertNotIn("/dev/tcp", text)
        stopped.signal(signal.SIGKILL)
        stopped.ends()
        start = re.search(rf"`{MUSTER} (run .*)` starts it", self.status(cluster.out)).group(1)
        self.own(Process("ps/1", [MUSTER, *shlex.split(start)]))
        self.seen(cluster.out, lambda found: found["tasks"]["ps/1"]["state"] == "here", "it")

    def cannot_save(self, every_steps):
        """A run with a file in the place of its folder of checkpoints: it, where they belong, and
        where they are."""
        run = self.local("chief=1,worker=1", *LONG, "--set",
                         f"checkpoint.every_steps={every_steps}")
        folder, aside = run.out / "checkpoints", run.out / "aside"
        until(lambda: checkpoints(run.out), "a checkpoint")
        folder.rename(aside)
        folder.write_text("no folder")
        return run, folder, aside

    def test_a_checkpoint_that_cannot_be_written_is_told_while_that_is_so(self):
        run, folder, aside = self.cannot_save(20)
        found = self.seen(run.out, lambda found: found["checkpoint_error"], "the failure")
        self.assertEqual((found["state"], found["error"]), ("running", None))
        self.assertRegex(self.status(run.out),
                         r"\nno checkpoint can be saved since step \d+, .* ago, and the run trains "
                         rf"on: .*{folder}.*\n  = help: `df -h {run.out}; ")
        run.says(rf"warning: chief/0 cannot save step \d+, and trains on \(E0604\): .*{folder}.*; "
                 r"there is no good checkpoint")
        run.says(rf"= help: `df -h {run.out}.*make room; the next checkpoint is tried")
        folder.unlink()
        aside.rename(folder)
        run.says(rf"checkpoints are saved again: {folder}/\d+, after \d+ that failed since step")
        self.seen(run.out, lambda found: found["checkpoint_error"] is None, "that it is saved")
        run.signal(signal.SIGTERM)
        self.assertEqual(run.ends(), 75)
        self.assertIsNone(self.as_json(run.out, code=69)["error"])

    def test_the_last_checkpoint_that_cannot_be_written_is_the_error_of_the_run(self):
        run, *_ = self.cannot_save(50)
        run.says(r"warning: chief/0 cannot save step \d+")
        run.signal(signal.SIGTERM)
        self.assertIn(run.ends(), (73, 74))
        found = self.as_json(run.out, code=69)
        self.assertEqual((found["exit"], found["error_number"]), (73, 604))
        self.assertRegex(found["error"], r"^chief/0 cannot save step \d+, the last of the run.*: ")
        self.assertEqual(run.text.count("error[E0604]: chief/0 cannot save"), 2)  # and the summary

    @waits
    def test_a_leader_that_is_killed_while_it_waits_for_the_others_has_said_how_it_ends(self):
        # The server has nothing to do in this job but to hear of the end.
        cluster = Cluster(self, chief=1, worker=1, ps=1, arguments=LONG).start_all().trains()
        cluster.tasks["ps/0"].signal(signal.SIGSTOP)
        chief = cluster.tasks["chief/0"]
        chief.signal(signal.SIGTERM)
        self.seen(cluster.out, lambda found: found["state"] == "ended", "how it ends")
        chief.signal(signal.SIGKILL)
        self.assertEqual(chief.ends(), 137, chief.text)
        found = self.as_json(cluster.out, code=69)
        self.assertEqual((found["state"], found["exit"]), ("ended", 75))

    def test_a_full_disk_stops_neither_the_run_nor_its_status(self):
        disk, inside = self.small_disk()
        run = Process("launcher", [*inside, MUSTER, "run", SYNC, "--local", "chief=1,worker=1",
                                   "--set", "checkpoint.every_steps=20", *LONG,
                                   "--out", str(disk / "run")])
        self.own(run)

        def seen(condition):
            def look():
                shown = subprocess.run([*inside, MUSTER, "status", "--json", disk / "run"],
                                       capture_output=True, text=True)
                found = json.loads(shown.stdout) if shown.stdout else None
                return found and condition(found) and found
            return until(look, "a status")
        seen(lambda found: found["checkpoint_step"] is not None)
        subprocess.run([*inside, "dd", "if=/dev/zero", f"of={disk}/fill", "bs=4k"],
                       stderr=subprocess.DEVNULL)
        first = seen(lambda found: found["checkpoint_error"])
        self.assertIn("No space left on device", first["checkpoint_error"])
        later = seen(lambda found: found["written"] > first["written"] + 2)
        self.assertEqual((later["state"], later["phase"]), ("running", "training"))
        self.assertGreater(later["step"], first["step"])
        run.signal(signal.SIGTERM)
        self.assertIn(run.ends(), (73, 74))
        self.assertRegex(run.text, r"chief/0 was the first to fail\n.*\n.*\n.*cannot save step")
        last = seen(lambda found: found["state"] != "running")
        self.assertEqual((last["state"], last["exit"]), ("ended", 74))
        self.assertIn("cannot save step", last["error"])
        # As a run on a file system that could not keep room for it has left it.
        left = dict(last, phase="training", process=1, process_started=1)
        folder = disk / "silent"
        subprocess.run([*inside, "sh", "-c", f"rm {disk}/fill; mkdir {folder}; "
                        f"cat > {folder}/status.json; dd if=/dev/zero of={disk}/fill bs=4k"],
                       input=json.dumps(left), text=True, stderr=subprocess.DEVNULL)
        shown = subprocess.run([*inside, MUSTER, "status", folder], capture_output=True, text=True)
        self.assertIn(f"died: chief/0 (pid 1 on {last['host']})", shown.stdout)
        self.assertIn(f"the disk of {folder} is full (0 B free)", shown.stdout)

    def test_what_is_no_run_is_named(self):
        empty = self.folder("empty")
        self.assertIn("E0002", self.status(empty, code=66))
        empty.mkdir()
        self.assertIn("E0609", self.status(empty, code=66))
        (empty / "events.log").write_text("")
        self.assertIn(f"{empty} is the directory of a simulation", self.status(empty, code=66))
        for text in ("{", "[]", '{"phase"', "{}", "\0"):
            (empty / "status.json").write_text(text)
            self.assertIn("E0610", self.status(empty, code=65))
        for text in ('{"phase": 7}', '{"phase": "training", "tasks": 3, "servers": [1]}',
                     '{"phase": "ended", "exit": "no", "tasks": {"a": 1, "b": {}}}',
                     '{"phase": "training", "written": 1e300, "process": 1e300, "host": "x",'
                     ' "step": 1e300, "steps_total": 1e300, "servers": {"ps/0": {"unread": 1}}}'):
            (empty / "status.json").write_text(text)
            self.status(empty, code=69)
            self.as_json(empty, code=69)


if __name__ == "__main__":
    main()
