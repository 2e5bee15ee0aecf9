#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of models with an embedding table: test_rows.py MUSTER"""
import json

from cluster import Case, Cluster, checkpoints, main

JOB = {"name": "clicks", "model": {"kind": "wide_deep"},
       "data": {"kind": "clicks", "samples": 2000, "test_samples": 500, "batch": 50},
       "optimizer": {"kind": "adam", "learning_rate": 0.002}, "train": {"epochs": 2},
       "checkpoint": {"every_steps": 25}}


class Rows(Case):
    def job(self, **sections):
        path = self.folder("job")
        path.write_text(json.dumps({**JOB, **sections}))
        return str(path)

    def manifest(self, run):
        return json.loads((checkpoints(run.out)[-1] / "manifest.json").read_text())

    def test_a_run_in_two_parts_ends_with_the_bits_of_one_in_one_go(self):
        for model, optimizer in (("wide_deep", "adam"), ("linear", "ftrl"),
                                 ("factorization", "adagrad"), ("linear", "sgd")):
            job = self.job(model={"kind": model},
                           optimizer={"kind": optimizer, "learning_rate": 0.01})
            whole = self.trained("1", job=job)
            part = self.trained("1", "--epochs", "1", job=job)
            again = self.trained("1", "--resume", job=job, out=part.out)
            self.assertIn("resuming from step 40", again.text)
            for key in ("parameters_crc32c", "embedding_rows", "test_auc", "test_loss"):
                self.assertEqual(again.summary[key], whole.summary[key], (model, key))
            for run in (whole, again):
                self.assertEqual(self.manifest(run)["parameters_crc32c"],
                                 run.summary["parameters_crc32c"])
            files = [(checkpoints(run.out)[-1] / "embedding.safetensors").read_bytes()
                     for run in (whole, again)]
            self.assertEqual(*files)

    def test_tables_of_servers_go_on_at_any_number_of_servers(self):
        job = self.job(mode={"kind": "async"})
        whole = self.trained("chief=1,ps=2", job=job)
        table = (checkpoints(whole.out)[-1] / "embedding.safetensors").read_bytes()
        self.assertEqual(self.manifest(whole)["parameters_crc32c"],
                         whole.summary["parameters_crc32c"])
        for before, after in (("chief=1,ps=2", "chief=1,ps=3"), ("chief=1,ps=3", "1"),
                              ("1", "chief=1,ps=1")):
            part = self.trained(before, "--epochs", "1", job=job)
            again = self.trained(after, "--resume", job=job, out=part.out)
            self.assertIn("resuming from step 40", again.text)
            for key in ("parameters_crc32c", "embedding_rows", "test_auc", "test_loss"):
                self.assertEqual(again.summary[key], whole.summary[key], (before, after, key))
            newest = checkpoints(again.out)[-1]
            self.assertEqual((newest / "embedding.safetensors").read_bytes(), table)
            self.assertEqual(self.muster("checkpoint", "verify", again.out).code, 0)

    def test_snapshots_of_tables_are_taken_while_workers_push(self):
        job = self.job(mode={"kind": "async", "in_flight": 2}, train={"epochs": 30},
                       checkpoint={"every_steps": 10, "keep": 1000})
        run = self.trained("chief=1,worker=2,ps=2", job=job)
        self.assertGreater(len(checkpoints(run.out)), 1)
        self.assertEqual(self.muster("checkpoint", "verify", run.out).code, 0)
        again = self.trained("chief=1,worker=1,ps=3", "--resume", "--epochs", "31", job=job,
                             out=run.out)
        self.assertGreaterEqual(again.summary["embedding_rows"], run.summary["embedding_rows"])

    def test_the_evaluator_reads_the_tables_of_servers(self):
        cluster = Cluster(self, job=self.job(mode={"kind": "async"}), chief=1, ps=2,
                          evaluator=1).start_all()
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        summary = json.loads((cluster.out / "summary.json").read_text())
        said, _ = cluster.tasks["evaluator/0"].says(
            r"step 80: test loss (\S+), test accuracy \S+ %, test AUC (\S+)")
        self.assertEqual(said.group(1), f"{summary['test_loss']:.4f}")
        self.assertEqual(said.group(2), f"{summary['test_auc']:.4f}")

    def test_a_damaged_table_is_named_and_the_checkpoint_before_is_taken(self):
        job = self.job()
        run = self.trained("1", "--epochs", "1", job=job)
        newest = checkpoints(run.out)[-1] / "embedding.safetensors"
        data = bytearray(newest.read_bytes())
        data[-5] ^= 0x10
        newest.write_bytes(data)
        verified = self.muster("checkpoint", "verify", run.out)
        self.assertEqual(verified.code, 65, verified.text)
        again = self.trained("1", "--resume", job=job, out=run.out)
        for text in (verified.text, again.text):
            self.assertRegex(text, r"40/embedding.safetensors: crc mismatch in `embedding\.square`")
        self.assertIn("resuming from step 25 ", again.text)
        self.assertEqual(again.summary["parameters_crc32c"],
                         self.trained("1", job=job).summary["parameters_crc32c"])

    def test_a_table_of_another_width_is_refused_with_both_shapes(self):
        run = self.trained("1", "--epochs", "1", job=self.job(model={"kind": "factorization"}))
        other = self.trained("1", "--resume", "--set", "model.dimension=3", out=run.out,
                             job=self.job(model={"kind": "factorization"}), code=65)
        self.assertRegex(other.text, r"error\[E0602\]")
        self.assertRegex(other.text, r"embedding\.rows +expected Nx4 F32, found \d+x9 F32")

    def test_the_evaluator_finds_what_the_run_finds_at_its_end(self):
        cluster = Cluster(self, job=self.job(), chief=1, evaluator=1).start_all()
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        summary = json.loads((cluster.out / "summary.json").read_text())
        said, _ = cluster.tasks["evaluator/0"].says(
            r"step 80: test loss (\S+), test accuracy \S+ %, test AUC (\S+)")
        self.assertEqual(said.group(1), f"{summary['test_loss']:.4f}")
        self.assertEqual(said.group(2), f"{summary['test_auc']:.4f}")
        events = next((cluster.out / "tb" / "evaluator-0").glob("events.*")).read_bytes()
        self.assertIn(b"eval/auc", events)


if __name__ == "__main__":
    main()
