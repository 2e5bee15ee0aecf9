#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Damaged and missing data is found before the first step: test_data.py MUSTER"""
import gzip
import json
import random
import struct

from cluster import ALONE, ASYNC, SLOW, SYNC, Case, Cluster, main

SIDE, COUNT = 8, 200


def images(count, seed=1, side=SIDE):
    pixels = random.Random(seed).randbytes(count * side * side)
    return struct.pack(">4I", 0x00000803, count, side, side) + pixels


def labels(count, seed=1):
    chance = random.Random(seed)
    return struct.pack(">2I", 0x00000801, count) + bytes(chance.randrange(10) for _ in range(count))


class Data(Case):
    def setUp(self):
        super().setUp()
        self.files = {"train-images-idx3-ubyte": images(COUNT),
                      "train-labels-idx1-ubyte": labels(COUNT),
                      "t10k-images-idx3-ubyte": images(50, 2),
                      "t10k-labels-idx1-ubyte": labels(50, 2)}

    def written(self):
        folder = self.folder("data")
        folder.mkdir()
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        return '{"kind":"idx","path":"%s","batch":10}' % folder

    def ends_with(self, code, job=SYNC, roles="chief=1,worker=1"):
        run = self.trained(roles, "--steps", "8", "--set", f"data={self.written()}", "--set",
                           "model.widths=[64,16,10]", code=code, job=job)
        self.assertLess(run.took, 5 * SLOW)
        if code:
            metrics = run.out / "metrics.jsonl"
            self.assertFalse(metrics.exists() and metrics.read_text(), "a step was taken")
        return run

    def edit(self, name, data):
        self.files[name] = data

    def test_sound_files_train_plain_and_packed(self):
        plain = self.ends_with(0)
        self.files = {name + ".gz": gzip.compress(data) for name, data in self.files.items()}
        packed = self.ends_with(0)
        self.assertEqual(plain.summary["parameters_crc32c"], packed.summary["parameters_crc32c"])

    def test_a_label_out_of_range_is_named_with_its_record(self):
        name = "train-labels-idx1-ubyte"
        data = bytearray(self.files[name])
        data[8 + 137] = 10
        self.edit(name, bytes(data))
        for job, roles in ((SYNC, "chief=1,worker=1"), (ASYNC, "chief=1,worker=1,ps=1")):
            run = self.ends_with(65, job, roles)
            self.assertRegex(run.text, rf"error\[E0503\]: label 10 of record 137 in \S+{name} is "
                                       r"out of range 0 to 9")

    def test_a_truncated_file_is_named(self):
        for name, cut in (("train-images-idx3-ubyte", 16 + 100 * SIDE * SIDE + 5),
                          ("train-labels-idx1-ubyte", 8 + 150), ("t10k-images-idx3-ubyte", 10)):
            whole = self.files[name]
            self.edit(name, whole[:cut])
            run = self.ends_with(65)
            self.assertRegex(run.text, rf"error\[E0502\]: \S*{name}.*")
            self.edit(name, whole)

    def test_a_truncated_packed_file_is_named(self):
        name = "train-images-idx3-ubyte"
        packed = gzip.compress(self.files.pop(name))
        self.edit(name + ".gz", packed[:len(packed) // 2])
        self.assertRegex(self.ends_with(65).text, rf"error\[E0502\]: \S*{name}.gz")

    def test_counts_that_do_not_match_are_both_named(self):
        self.edit("train-labels-idx1-ubyte", labels(COUNT - 1))
        self.assertRegex(self.ends_with(65).text,
                         rf"error\[E0504\]: .* {COUNT} images.* {COUNT - 1} labels")

    def test_test_images_of_another_size_are_refused_with_both_files(self):
        for side in (SIDE // 2, SIDE + 2):
            self.edit("t10k-images-idx3-ubyte", images(50, 2, side))
            for job, roles in ((SYNC, "1"), (SYNC, "chief=1,worker=2,evaluator=1"),
                               (ASYNC, "chief=1,worker=1,ps=1")):
                run = self.ends_with(65, job, roles)
                self.assertRegex(run.text, r"error\[E0504\]: the images of \S+t10k-images-idx3"
                                           rf"-ubyte are of {side}x{side} pixels, but those "
                                           rf"of \S+train-images-idx3-ubyte of {SIDE}x{SIDE}")

    def test_a_simulation_refuses_test_images_of_another_size(self):
        self.edit("t10k-images-idx3-ubyte", images(50, 2, SIDE * 2))
        run = self.muster("simulate", SYNC, "--workers", "2", "--ps", "0", "--seed", "1", "--set",
                          f"data={self.written()}", "--set", "model.widths=[64,16,10]")
        self.assertEqual(run.code, 65, run.text)
        self.assertIn("error[E0504]", run.text)

    def test_another_kind_of_file_is_refused(self):
        self.edit("train-images-idx3-ubyte", b"\x89PNG\r\n\x1a\n" + bytes(100))
        self.assertIn("error[E0502]", self.ends_with(65).text)

    def test_a_missing_file_is_named(self):
        for name in list(self.files):
            whole = self.files.pop(name)
            run = self.ends_with(66)
            self.assertRegex(run.text, rf"^error\[E0501\]: there is no \S*{name}")
            self.assertEqual(run.text.count("error"), 1, run.text)
            self.assertFalse(run.out.exists(), "a task was started")
            self.edit(name, whole)

    def test_a_missing_text_is_said_once_before_a_task_is_started(self):
        missing, job = self.folder("missing"), self.folder("job")
        for kind in ("libsvm", "csv"):
            columns = {"numeric": "1-2"} if kind == "csv" else {}
            job.write_text(json.dumps({
                "name": "text", "model": {"kind": "linear"},
                "data": {"kind": kind, "path": str(missing), "test_path": str(missing), **columns},
                "mode": {"kind": "async"}}))
            run = self.trained("worker=2,ps=1", job=str(job), code=66)
            self.assertEqual(run.text, f"error[E0501]: {missing} cannot be read: No such file or "
                             f"directory\n  = help: `ls -l {missing}` on the host of the task; the "
                             "job's `data` names the file")

    def test_tasks_with_different_data_do_not_train_together(self):
        folders = []
        for _ in range(2):
            folder = self.folder("data")
            folder.mkdir()
            for name, data in self.files.items():
                (folder / name).write_bytes(data)
            folders.append(folder)
            changed = bytearray(self.files["train-images-idx3-ubyte"])
            changed[-1] ^= 1
            self.files["train-images-idx3-ubyte"] = bytes(changed)
        cluster = Cluster(self, arguments=["--steps", "8", "--set", "model.widths=[64,16,10]"],
                          chief=1, worker=1)
        for name, folder in zip(cluster.names, folders):
            cluster.start(name, "--set", 'data={"kind":"idx","path":"%s"}' % folder)
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 76, task.text)
            self.assertRegex(task.text, r"error\[E0305\]: .*another (training data|job)")


class Tables(Case):
    """Files of lines, and jobs that read them."""

    def file(self, lines):
        path = self.folder("table")
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def job(self, model, **data):
        path = self.folder("job")
        path.write_text(json.dumps({
            "name": "tables", "model": {"kind": model}, "data": {"batch": 10, **data},
            "optimizer": {"kind": "adagrad", "learning_rate": 0.5},
            "train": {"epochs": 4, "seed": 1}}))
        return str(path)

    def numbers(self, count, seed):
        """The sum of the two says which class it is."""
        chance = random.Random(seed)
        rows = [(chance.uniform(-1, 1), chance.uniform(-1, 1)) for _ in range(count)]
        return self.file(f"{int(a + b > 0)},{a:.4f},{b:.4f}" for a, b in rows)

    def test_columns_of_numbers_alone_train_the_models_of_sparse_data(self):
        data = {"kind": "csv", "delimiter": ",", "numeric": "1-2",
                "path": self.numbers(400, 1), "test_path": self.numbers(100, 2)}
        for model in ("linear", "factorization"):
            for roles in (ALONE, "chief=1,worker=1,ps=1,evaluator=1"):
                job = self.job(model, **data)
                run = self.trained(roles, "--set", "mode.kind=async", job=job)
                self.assertGreater(run.summary["test_accuracy"], 0.85, run.text)
                self.assertEqual(run.summary["embedding_rows"], 0)
                more = self.trained(roles, "--set", "mode.kind=async", "--epochs", "5",
                                    "--resume", job=job, out=run.out)
                self.assertIn("resuming from step", more.text)
                self.assertGreater(more.summary["steps"], run.summary["steps"])

    def ends_at_once(self, job, said, *arguments, code=65):
        """Before the first step, whoever reads the test data."""
        for roles in (ALONE, "chief=1,worker=1,ps=1,evaluator=1"):
            run = self.trained(roles, "--set", "mode.kind=async", *arguments, job=job, code=code)
            self.assertRegex(run.text, said)
            metrics = run.out / "metrics.jsonl"
            self.assertFalse(metrics.exists() and metrics.read_text(), "a step was taken")
        run = self.muster("simulate", job, "--workers", "2", "--ps", "1", "--seed", "1", "--set",
                          "mode.kind=async", *arguments)
        self.assertEqual(run.code, code, run.text)
        self.assertRegex(run.text, said)

    def test_test_labels_that_training_lacks_are_refused_with_file_and_record(self):
        path = self.numbers(40, 1)
        test = self.file(["0,1,2"] * 7 + ["4,1,2"])
        for model in ("linear", "softmax"):
            job = self.job(model, kind="csv", delimiter=",", numeric="1-2", path=path,
                           test_path=test)
            self.ends_at_once(job, rf"error\[E0503\]: label 4 of record 7 in {test} is out of "
                                   "range 0 to 1")
        path, test = self.file(["-1 1:1", "1 2:1"] * 20), self.file(["1 1:1", "0 2:1"])
        self.ends_at_once(self.job("linear", kind="libsvm", path=path, test_path=test),
                          rf"error\[E0503\]: label 0 of record 1 in {test} is out of range -1 or 1")

    def test_a_wrong_test_line_is_named_before_the_first_step(self):
        rows = [f"{i % 2} {i + 1}:1" for i in range(200)]
        path = self.file(rows)
        for wrong, said in (("1 7:x", r":201:5: expected a finite .*, found `x`"),
                            ("1 7 8:1", r":201:4: expected `:` and a value")):
            test = self.file(rows + [wrong])
            self.ends_at_once(self.job("linear", kind="libsvm", path=path, test_path=test),
                              rf"error\[E0502\]: {test}{said}")
        test = self.file(["0,1,2"] * 100 + ["1,nan,2"])
        self.ends_at_once(self.job("linear", kind="csv", delimiter=",", numeric="1-2",
                                   path=self.numbers(40, 1), test_path=test),
                          rf"error\[E0502\]: {test}:101:3: expected a finite")

    def test_ids_that_only_the_test_file_has_are_tested_as_if_new(self):
        path = self.file(["0 1:1", "1 2:1"] * 50)
        test = self.file(["0 1:1 7000:1", "1 2:1 900000:1"] * 10)
        job = self.job("linear", kind="libsvm", path=path, test_path=test)
        for roles in (ALONE, "chief=1,worker=1,ps=2,evaluator=1"):
            run = self.trained(roles, "--set", "mode.kind=async", job=job)
            self.assertEqual(run.summary["test_accuracy"], 1, run.text)
            self.assertEqual(run.summary["embedding_rows"], 2)

    def test_an_evaluator_knows_the_classes_of_a_test_file_that_lacks_some(self):
        path, test = self.file(["0,1,2", "1,2,1", "2,0,1"] * 20), self.file(["1,2,1"] * 9)
        job = self.job("softmax", kind="csv", delimiter=",", numeric="1-2", path=path,
                       test_path=test)
        run = self.trained("chief=1,evaluator=1", job=job)
        self.assertRegex(run.text, r"\[evaluator/0\] step \d+: test loss")

    def test_a_model_of_categories_says_that_there_are_none(self):
        path = self.numbers(40, 1)
        job = self.job("wide_deep", kind="csv", delimiter=",", numeric="1-2", path=path,
                       test_path=path)
        self.assertRegex(self.trained("1", job=job, code=78).text,
                         r"error\[E0204\]: .* one entry a field.*\n.*linear, factorization")


if __name__ == "__main__":
    main()
