#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are damaged or of another model: test_saved.py MUSTER"""
import re

import events
from cluster import ASYNC, SYNC, Case, checkpoints, main


def flip_last(path):
    """A bit of the last tensor in the file."""
    data = bytearray(path.read_bytes())
    data[-5] ^= 0x10
    path.write_bytes(data)


class Saved(Case):
    def run_of_three(self, job=SYNC, roles="chief=1,worker=1"):
        run = self.trained(roles, "--steps", "20", job=job)
        for steps in ("40", "60"):
            run = self.trained(roles, "--steps", steps, "--resume", job=job, out=run.out)
        self.assertEqual(len(checkpoints(run.out)), 3)
        return run

    def resume(self, run, *arguments, code=0, job=SYNC, roles="chief=1,worker=1"):
        return self.trained(roles, "--steps", "80", *arguments, "--resume", out=run.out, job=job,
                            code=code)

    def test_a_damaged_newest_checkpoint_is_replaced_by_the_one_before_and_this_is_said(self):
        for job, roles in ((SYNC, "chief=1,worker=1"), (ASYNC, "chief=1,worker=1,ps=2")):
            run = self.run_of_three(job, roles)
            steps = [int(path.name) for path in checkpoints(run.out)]
            flip_last(checkpoints(run.out)[-1] / "model.safetensors")
            again = self.resume(run, job=job, roles=roles)
            self.assertRegex(again.text, r"warning: .*%d.*(dense|layer)\S*/" % steps[-1])
            self.assertIn(f"resuming from step {steps[-2]} ", again.text)

    def test_the_evaluator_tries_a_damaged_newest_checkpoint_once(self):
        run = self.run_of_three()
        flip_last(checkpoints(run.out)[-1] / "model.safetensors")
        roles = "chief=1,worker=1,evaluator=1"
        again = self.resume(run, roles=roles)
        said = [line for line in again.text.splitlines() if line.startswith("[evaluator/0]")]
        evaluated = [line for line in said if "test loss" in line]
        self.assertEqual(len(evaluated), len(set(evaluated)), again.text)
        self.assertIn("step 80: ", evaluated[-1])
        self.assertLessEqual(sum("fell back" in line for line in said), 1, again.text)

    def test_what_evaluator_and_server_said_of_steps_that_are_void_is_purged(self):
        roles = "chief=1,worker=1,ps=1,evaluator=1"
        run = self.trained(roles, "--steps", "200", "--set", "checkpoint.every_steps=100",
                           "--set", "checkpoint.keep=9", job=ASYNC)
        first, *_, newest = checkpoints(run.out)
        flip_last(newest / "model.safetensors")
        before = int(checkpoints(run.out)[-2].name)
        again = self.trained(roles, "--steps", str(before + 20), "--set",
                             "checkpoint.every_steps=1000", "--resume", job=ASYNC, out=run.out)
        self.assertIn(f"resuming from step {before} ", again.text)
        for task, tag in (("evaluator-0", "eval/loss"), ("ps-0", "ps/load/requests")):
            steps = events.steps(run.out / "tb" / task, tag)
            # The last numbers of a server may stand beside those of a moment before.
            self.assertEqual(steps, sorted(steps), task)
            self.assertEqual(steps[-1], again.summary["steps"], task)

    def test_another_seed_in_the_middle_of_an_epoch_is_warned_of(self):
        run = self.trained("chief=1,worker=1", "--steps", "20")
        again = self.resume(run, "--set", "train.seed=77")
        self.assertRegex(again.text,
                         r"warning: train\.seed is 77 and was \d+: what is left of epoch")
        self.assertNotIn("train.seed is", self.trained("chief=1,worker=1", "--steps", "90",
                         "--set", "train.seed=77", "--resume", out=run.out).text)

    def test_when_all_are_damaged_the_tensor_is_named(self):
        run = self.run_of_three()
        for path in checkpoints(run.out):
            flip_last(path / "optimizer.safetensors")
        again = self.resume(run, code=65)
        self.assertRegex(again.text, r"error\[E0601\]: .*(dense|layer)\S*/")
        # What is to be typed can be pasted.
        self.assertIn(f"in another directory: --out {run.out}-anew in", again.text)
        command = re.search(r"`muster (checkpoint verify \S+)`", again.text).group(1).split()
        said = self.muster(*command)
        self.assertEqual(said.code, 65, said.text)
        self.assertEqual(said.text.count("error[E0601]: "), 3, said.text)
        self.assertNotRegex(said.text, r"\b(DIR|PATH)\b")
        status = self.muster("status", run.out).text
        self.assertRegex(status, r"\nnewest checkpoint: step 60, .*, which is damaged\n")

    def test_the_only_checkpoint_is_damaged_and_the_help_begins_again(self):
        run = self.trained("chief=1,worker=1", "--steps", "20", "--set", "checkpoint.keep=1")
        flip_last(checkpoints(run.out)[-1] / "model.safetensors")
        again = self.resume(run, code=65)
        self.assertIn("error[E0601]: the only checkpoint is damaged: ", again.text)
        self.assertIn(f"in another directory: --out {run.out}-anew in", again.text)

    def test_a_damaged_newest_checkpoint_is_not_shown_and_an_older_one_is_offered(self):
        run = self.run_of_three()
        flip_last(checkpoints(run.out)[-1] / "model.safetensors")
        said = self.muster("checkpoint", "show", run.out)
        self.assertEqual(said.code, 65)
        command = re.search(r"whole is of step 40: `muster (.*)`", said.text).group(1).split()
        self.assertEqual(self.muster(*command).code, 0)

    def test_a_checkpoint_cut_at_any_place_is_refused(self):
        run = self.run_of_three()
        for path in checkpoints(run.out):
            data = (path / "model.safetensors").read_bytes()
            (path / "model.safetensors").write_bytes(data[:len(data) // (1 + int(path.name))])
        self.assertIn("error[E0601]", self.resume(run, code=65).text)

    def test_a_checkpoint_of_another_model_is_refused_with_both_shapes(self):
        run = self.run_of_three()
        again = self.resume(run, "--set", "model.widths=[784,64,10]", code=65)
        self.assertIn("error[E0602]", again.text)
        self.assertRegex(again.text, r"128")
        show = re.search(r"help: `muster (checkpoint show \S+)` shows what it was", again.text)
        self.assertIn("step", self.muster(*show.group(1).split()).text)
        self.assertEqual(self.muster(*show.group(1).split()).code, 0)
        self.assertRegex(again.text, r"64")

    def test_a_checkpoint_of_another_optimizer_is_refused(self):
        run = self.run_of_three()
        again = self.resume(run, "--set", 'optimizer={"kind":"adam"}', code=65)
        self.assertIn("error[E0602]", again.text)
        self.assertIn("momentum", again.text)

    def test_a_directory_with_a_run_is_not_written_over(self):
        run = self.run_of_three()
        again = self.trained("1", "--steps", "80", out=run.out, code=73)
        self.assertIn("error[E0604]", again.text)
        self.assertIn("--resume", again.text)


if __name__ == "__main__":
    main()
