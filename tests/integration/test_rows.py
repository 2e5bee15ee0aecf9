#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of models with an embedding table: test_rows.py MUSTER"""
import json
import os
import subprocess
import unittest

from cluster import ALONE, MUSTER, Case, Cluster, Process, checkpoints, main

JOB = {"name": "clicks", "model": {"kind": "wide_deep"},
       "data": {"kind": "clicks", "samples": 2000, "test_samples": 500, "batch": 50},
       "optimizer": {"kind": "adam", "learning_rate": 0.002}, "train": {"epochs": 2},
       "checkpoint": {"every_steps": 25}}


ALL_ROWS = 124400  # of the fields that clicks have by themselves


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
        self.go_on_at_any_number_of_servers(job)

    def test_dense_tables_of_servers_go_on_at_any_number_of_servers(self):
        job = self.job(mode={"kind": "async", "rows": "dense"})
        self.assertEqual(self.go_on_at_any_number_of_servers(job), ALL_ROWS)

    def go_on_at_any_number_of_servers(self, job):
        """With the same bits as a run that was not stopped, whose number of rows is returned."""
        whole = self.trained("chief=1,ps=2", job=job)
        table = (checkpoints(whole.out)[-1] / "embedding.safetensors").read_bytes()
        self.assertEqual(self.manifest(whole)["parameters_crc32c"],
                         whole.summary["parameters_crc32c"])
        for before, after in (("chief=1,ps=2", "chief=1,ps=3"), ("chief=1,ps=3", ALONE),
                              (ALONE, "chief=1,ps=1")):
            part = self.trained(before, "--epochs", "1", job=job)
            again = self.trained(after, "--resume", job=job, out=part.out)
            self.assertIn("resuming from step 40", again.text)
            for key in ("parameters_crc32c", "embedding_rows", "test_auc", "test_loss"):
                self.assertEqual(again.summary[key], whole.summary[key], (before, after, key))
            newest = checkpoints(again.out)[-1]
            self.assertEqual((newest / "embedding.safetensors").read_bytes(), table)
            self.assertEqual(self.muster("checkpoint", "verify", again.out).code, 0)
        return whole.summary["embedding_rows"]

    def rows_of(self, run):
        """id -> the bytes of its row and of its slots."""
        data = (checkpoints(run.out)[-1] / "embedding.safetensors").read_bytes()
        head = 8 + int.from_bytes(data[:8], "little")
        tensors = {name: tensor for name, tensor in json.loads(data[8:head]).items()
                   if name != "__metadata__"}
        parts = []
        for name in sorted(tensors, key=lambda name: "U64" not in tensors[name]["dtype"]):
            first, end = (head + at for at in tensors[name]["data_offsets"])
            count = tensors[name]["shape"][0]
            each = (end - first) // count
            parts.append([data[first + i * each:first + (i + 1) * each] for i in range(count)])
        return {row[0]: row[1:] for row in zip(*parts)}

    def test_dense_tables_train_to_the_bits_of_those_created_at_touch(self):
        job = self.job(mode={"kind": "async"})
        dense = ("--set", "mode.rows=dense")
        touched = self.trained(ALONE, job=job)
        rows = self.rows_of(touched)
        twice = ("--set", "mode.replicas=1")
        for before, after, sets in ((ALONE, None, ()), ("chief=1,ps=2", None, twice),
                                    (ALONE, "chief=1,ps=3", ()),
                                    ("chief=1,ps=2", ALONE, ())):
            run = self.trained(before, *dense, *sets,
                               *(("--epochs", "1") if after else ()), job=job)
            if after:  # a part of it as the other kind of table
                run = self.trained(after, "--resume", job=job, out=run.out)
            for key in ("test_auc", "test_loss"):
                self.assertEqual(run.summary[key], touched.summary[key], (before, after, key))
            found = self.rows_of(run)
            self.assertEqual(run.summary["embedding_rows"], len(found))
            self.assertGreater(len(found), len(rows))
            self.assertEqual({id: found[id] for id in rows}, rows)
        part = self.trained("chief=1,ps=1", "--epochs", "1", job=job)
        again = self.trained("chief=1,ps=2", "--resume", *dense, job=job, out=part.out)
        self.assertEqual(self.rows_of(again), found)
        self.assertEqual(self.muster("checkpoint", "verify", again.out).code, 0)

    def test_rows_split_by_ranges_train_to_the_bits_of_those_split_by_a_hash(self):
        for rows in ("touch", "dense"):
            job = self.job(mode={"kind": "async", "rows": rows})
            hashed = self.trained("chief=1,ps=3", job=job)
            for before, after, sets in (("chief=1,ps=3", None, ()),
                                        ("chief=1,ps=2", None, ("--set", "mode.replicas=1")),
                                        ("chief=1,ps=2", "chief=1,ps=3", ())):
                run = self.trained(before, "--set", "mode.row_split=range", *sets,
                                   *(("--epochs", "1") if after else ()), job=job)
                if after:  # a part of it by the hash
                    run = self.trained(after, "--resume", job=job, out=run.out)
                for key in ("parameters_crc32c", "embedding_rows", "test_auc", "test_loss"):
                    self.assertEqual(run.summary[key], hashed.summary[key], (rows, before, key))
                self.assertEqual(self.rows_of(run), self.rows_of(hashed))

    def test_a_dense_table_that_cannot_be_is_refused(self):
        clicks = {**JOB["data"], "fields": "4294967296,10"}
        for data, mode, code, said in (
                (clicks, {}, 71, r"error\[E0801\]: .* dense embedding rows .* GB are free"),
                (JOB["data"], {"row_limit": 5000}, 78, r"error\[E0204\]: mode.rows `dense` keeps")):
            job = self.job(data=data, mode={"kind": "async", "rows": "dense", **mode})
            for cluster in (ALONE, "chief=1,ps=1"):
                run = self.trained(cluster, job=job, code=code)
                self.assertRegex(run.text, said)

    def test_snapshots_of_tables_are_taken_while_workers_push(self):
        job = self.job(mode={"kind": "async", "in_flight": 2}, train={"epochs": 30},
                       checkpoint={"every_steps": 10, "keep": 1000})
        run = self.trained("chief=1,worker=2,ps=2", job=job)
        self.assertGreater(len(checkpoints(run.out)), 1)
        self.assertEqual(self.muster("checkpoint", "verify", run.out).code, 0)
        again = self.trained("chief=1,worker=1,ps=3", "--resume", "--epochs", "31", job=job,
                             out=run.out)
        self.assertGreaterEqual(again.summary["embedding_rows"], run.summary["embedding_rows"])

    @unittest.skipIf("MUSTER_SLOW" in os.environ, "a sanitizer takes memory of its own")
    def test_a_leader_with_less_memory_than_the_table_saves_it_and_goes_on(self):
        job = self.job(model={"kind": "wide_deep", "dimension": 256},
                       optimizer={"kind": "adagrad", "learning_rate": 0.002},
                       data={**JOB["data"], "samples": 500, "test_samples": 100},
                       mode={"kind": "async", "rows": "dense"}, train={"epochs": 1},
                       checkpoint={"every_steps": 1000, "keep": 1})
        limit = 144 << 20
        limited = ["prlimit", f"--data={limit}"]
        first = Cluster(self, job=job, chief=1, ps=2)
        again = Cluster(self, job=job, chief=1, ps=2,
                        arguments=("--resume", "--epochs", "2"))
        again.out = first.out
        for cluster, step in ((first, 10), (again, 20)):
            for name in cluster.names:
                cluster.start(name, wrapper=limited if name == "chief/0" else ())
            for task in cluster.tasks.values():
                self.assertEqual(task.ends(), 0, task.text)
            newest = checkpoints(cluster.out)[-1]
            self.assertEqual(newest.name, str(step))
            self.assertGreater((newest / "embedding.safetensors").stat().st_size, limit * 3 // 2)
            verified = Process("verify", [*limited, MUSTER, "checkpoint", "verify", str(newest)])
            self.own(verified)
            self.assertEqual(verified.ends(), 0, verified.text)
        self.assertIn("resuming from step 10 ", again.tasks["chief/0"].text)

    def test_a_disk_without_room_for_the_table_fails_the_last_checkpoint_and_nothing_is_left(self):
        disk, inside = self.small_disk()
        job = self.job(model={"kind": "factorization", "dimension": 8},
                       optimizer={"kind": "adagrad", "learning_rate": 0.01},
                       mode={"kind": "async", "rows": "dense"}, train={"epochs": 1})
        run = Process("launcher", [*inside, MUSTER, "run", job, "--local", "chief=1,ps=2", "--set",
                                   "checkpoint.every_steps=20", "--out", str(disk / "run")])
        self.own(run)
        self.assertEqual(run.ends(), 74, run.text)
        self.assertRegex(run.text, r"warning: .*cannot save step \d+, and trains on \(E0605\): "
                                   r"cannot write \S+/\.scratch: No space left on device")
        self.assertRegex(run.text, r"error\[E0605\]: .* step 40, the last of the run\b.*: "
                                   r"cannot write \S+/\.scratch: No space left on device")
        used = subprocess.run([*inside, "du", "-sk", disk], capture_output=True, text=True)
        self.assertLess(int(used.stdout.split()[0]), 1024)

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
