#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The audit log of real parameter servers: test_audit.py MUSTER"""
import json
import os
import re
import shlex
import signal

from cluster import ASYNC, LONG, Case, checkpoints, main, until

AUDIT = ["--set", "mode.audit=true", "--set", "model.widths=[784,16,10]"]
SYNC_OF_TWO = ["--set", "mode.kind=sync", "--set", "mode.backups=1", "--set", "mode.policy=apply"]


CLICKS = {"name": "clicks", "model": {"kind": "wide_deep", "dimension": 4, "widths": [8]},
          "data": {"kind": "clicks", "samples": 2000, "test_samples": 200, "batch": 50},
          "optimizer": {"kind": "adagrad", "learning_rate": 0.01}, "train": {"epochs": 2},
          "mode": {"kind": "async", "audit": True}}


class Audit(Case):
    def audited(self, roles, *arguments, **more):
        return self.trained(roles, *AUDIT, *arguments, job=ASYNC, **more)

    def replay(self, run, *arguments, code=0):
        process = self.muster("audit", "replay", *arguments, run.out)
        self.assertEqual(process.code, code, process.text)
        return process

    def replayed(self, run, *arguments):
        return json.loads(self.replay(run, "--json", *arguments).text.splitlines()[-1])

    def test_a_replay_gives_the_checksum_of_the_summary(self):
        for mode in ([], ["--set", "mode.policy=compensate"], SYNC_OF_TWO):
            run = self.audited("chief=1,worker=2,ps=2", "--steps", "120", *mode)
            found = self.replayed(run)
            self.assertEqual(found["parameters_crc32c"], run.summary["parameters_crc32c"])
            self.assertEqual(found["version"], run.summary["steps"])
            self.assertEqual(found["servers"], 2)
            for verdict, count in run.summary["verdicts"].items():
                self.assertEqual(found["verdicts"][verdict], count)
            self.assertIn("parameters_crc32c " + run.summary["parameters_crc32c"],
                          self.replay(run).text)

    def test_a_run_without_logs_is_told_where_they_would_be(self):
        run = self.trained("chief=1,worker=1,ps=1", "--steps", "5", job=ASYNC)
        self.assertIn(f"cannot read {run.out}/audit/ps-0.log: ", self.replay(run, code=66).text)
        other = self.audited("chief=1,worker=1,ps=1", "--steps", "5")
        other.out = other.out / "audit"
        self.assertEqual(self.replayed(other)["version"], 5)

    def clicks(self, **sections):
        path = self.folder("clicks")
        path.write_text(json.dumps({**CLICKS, **sections}))
        return str(path)

    def test_a_replay_rebuilds_embedding_tables(self):
        of_mode = CLICKS["mode"]
        for job in ({}, {"mode": {**of_mode, "kind": "softsync", "gradients": 3}},
                    {"mode": {**of_mode, "policy": "compensate"},
                     "optimizer": {"kind": "sgd", "learning_rate": 0.01}},
                    {"model": {"kind": "linear"},
                     "optimizer": {"kind": "ftrl", "learning_rate": 0.01}},
                    {"mode": {**of_mode, "row_limit": 2000}},
                    {"mode": {**of_mode, "rows": "dense"}},
                    {"mode": {**of_mode, "row_split": "range"}}):
            run = self.trained("chief=1,worker=2,ps=2", job=self.clicks(**job))
            found = self.replayed(run)
            for key in ("parameters_crc32c", "embedding_rows"):
                self.assertEqual(found[key], run.summary[key], (job, key))
            self.assertIn(f"embedding_rows {run.summary['embedding_rows']}\n",
                          self.replay(run).text)

    def test_a_resumed_log_begins_with_the_rows_of_the_checkpoint(self):
        job = self.clicks()
        run = self.trained("chief=1,worker=1,ps=2", "--epochs", "1", job=job)
        again = self.trained("chief=1,worker=1,ps=3", "--resume", job=job, out=run.out)
        found = self.replayed(again)
        self.assertEqual(found["version_first"], run.summary["steps"])
        self.assertEqual(found["parameters_crc32c"], again.summary["parameters_crc32c"])
        self.assertEqual((found["earlier_logs"], found["version_earliest"]), (1, 0))
        first = self.replayed(again, "--to", str(run.summary["steps"]))
        self.assertEqual(first["parameters_crc32c"], run.summary["parameters_crc32c"])
        self.assertEqual(first["embedding_rows"], run.summary["embedding_rows"])

    def test_logs_of_rows_at_first_touch_lead_to_those_of_dense_rows_and_back(self):
        job = self.clicks()
        run = self.trained("chief=1,worker=1,ps=2", "--epochs", "1", job=job)
        for epochs, rows in ((2, "dense"), (3, "touch")):
            again = self.trained("chief=1,ps=3", "--resume", "--epochs", str(epochs), "--set",
                                 f"mode.rows={rows}", job=job, out=run.out)
            found = self.replayed(again)
            self.assertEqual(found["parameters_crc32c"], again.summary["parameters_crc32c"])
            self.assertEqual((found["earlier_logs"], found["version_earliest"]), (epochs - 1, 0))
            self.assertGreater(found["embedding_rows"], run.summary["embedding_rows"])

    def test_an_audit_cannot_begin_with_rows_that_have_left(self):
        job = self.clicks()
        run = self.trained("chief=1,ps=1", "--epochs", "1", job=job)
        again = self.trained("chief=1,ps=1", "--resume", "--set", "mode.row_limit=1000", job=job,
                             out=run.out, code=78)
        self.assertRegex(again.text, r"error\[E0204\]: ps/0 was given more embedding rows")
        echo = (run.out / "logs" / "chief-0.log").read_text()
        self.assertRegex(echo, r"error\[E0403\]: ps/0 .* failed \(exit 78\): .*\n  = help: the "
                               r"first error in logs/ps-0\.log of the run directory says why; mend "
                               r"that first: .* exit code 78 again\n")

    def test_without_the_key_there_is_no_log(self):
        run = self.trained("chief=1,ps=1", "--steps", "10", job=ASYNC)
        self.assertFalse((run.out / "audit").exists())
        self.assertIn("mode.audit=true", self.replay(run, code=66).text)

    def test_a_resumed_run_begins_a_log_with_what_it_restored(self):
        run = self.audited("chief=1,worker=1,ps=2", "--steps", "30")
        again = self.audited("chief=1,worker=1,ps=2", "--steps", "60", "--resume", out=run.out)
        found = self.replayed(again)
        self.assertEqual(found["version_first"], run.summary["steps"])
        self.assertEqual(found["parameters_crc32c"], again.summary["parameters_crc32c"])
        self.assertTrue((run.out / "audit" / "ps-1.log.1").exists())
        self.assertEqual((found["earlier_logs"], found["version_earliest"]), (1, 0))
        self.assertIn(f"\nfrom the checkpoint of version {run.summary['steps']}, to which the logs "
                      "before lead (1) from version 0 on\n", self.replay(again).text)
        first = self.replayed(again, "--to", str(run.summary["steps"]))
        self.assertEqual(first["parameters_crc32c"], run.summary["parameters_crc32c"])

    def test_the_log_of_a_killed_server_is_cut_and_says_so(self):
        run = self.local("chief=1,worker=1,ps=1", *AUDIT, *LONG, "--set",
                         "mode.recovery_seconds=0", job=ASYNC)
        self.trains(run.out)
        log = run.out / "audit" / "ps-0.log"
        until(lambda: log.stat().st_size > 1 << 20, "a log of some length")
        os.kill(self.pids(run)["ps/0"], signal.SIGKILL)
        self.assertEqual(run.ends(), 137, run.text)
        text = self.replay(run, code=65).text
        self.assertRegex(text, r"ps-0\.log: at byte \d+: .* cut")
        command, newest = re.search(r"help: the log is whole for versions 0 to \d+: `muster "
                                    r"(audit replay --to (\d+) .*)` makes", text).groups()
        process = self.muster(*shlex.split(command), "--json")
        self.assertEqual(json.loads(process.text)["version"], int(newest))
        self.assertEqual(self.replayed(run, "--to", "5")["version"], 5)

    def test_what_is_offered_names_the_directory_or_nothing(self):
        run = self.audited("chief=1,ps=1", "--steps", "5", out=self.folder("a run's"))
        text = self.replay(run, "--to", "99", code=64).text
        command = re.search(r"help: .*`muster (audit replay .*)` goes to the end", text).group(1)
        self.assertEqual(self.muster(*shlex.split(command)).code, 0)
        log = run.out / "audit" / "ps-0.log"
        for count in (5000, 50, 0):  # no whole state; no header; nothing
            log.write_bytes(log.read_bytes()[:count])
            self.assertIn("help: no version is whole in these logs: there is nothing to replay",
                          self.replay(run, code=65).text)

    def test_a_run_that_lost_a_server_is_replayed_from_the_logs_of_those_that_went_on(self):
        steps = 6000
        for servers, victim in ((2, 0), (2, 1), (3, 1)):
            run = self.local(f"chief=1,worker=1,ps={servers}", "--set", "mode.audit=true", "--set",
                             "model.widths=[784,2,10]", "--set", "mode.replicas=1", "--set",
                             "checkpoint.every_steps=100", "--steps", str(steps), "--epochs",
                             "100", job=ASYNC)
            until(lambda: checkpoints(run.out), "a checkpoint")
            os.kill(self.pids(run)[f"ps/{victim}"], signal.SIGKILL)
            self.assertEqual(run.ends(), 0, run.text)
            ended = json.loads((run.out / "summary.json").read_text())
            found = self.replayed(run)
            self.assertEqual(found["parameters_crc32c"], ended["parameters_crc32c"])
            self.assertEqual((found["version_first"], found["version"]), (0, ended["steps"]))
            self.assertEqual(found["standbys"], [victim])
            self.assertIn(f"\nps/{victim}: from the log of its standby on "
                          f"ps/{(victim + 1) % servers}\n", self.replay(run).text)

    def test_a_flipped_bit_is_named_with_its_record(self):
        run = self.audited("chief=1,ps=1", "--steps", "20")
        log = run.out / "audit" / "ps-0.log"
        data = bytearray(log.read_bytes())
        data[len(data) // 2] ^= 4
        log.write_bytes(data)
        self.assertRegex(self.replay(run, code=65).text,
                         r"error\[E0608\]: .*ps-0\.log: at byte \d+: .*checksum")

    def test_a_job_without_servers_cannot_be_audited(self):
        run = self.trained("chief=1,worker=1", "--set", "mode.audit=true", code=78)
        self.assertIn("parameter server", run.text)


if __name__ == "__main__":
    main()
