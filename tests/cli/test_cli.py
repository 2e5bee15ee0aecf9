#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the built program says and how it exits: test_cli.py MUSTER SOURCE_ROOT"""

import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

MUSTER = os.path.abspath(sys.argv[1])
ROOT = os.path.abspath(sys.argv[2])
W2 = '"worker":["a:1","b:1"]'
LAUNCHERS = ("TF_CONFIG", "CLUSTER_SPEC", "AIP_", "MUSTER_", "SM_", "SLURM_", "OMPI_", "PMIX_",
             "RANK", "WORLD_SIZE")
SLOW = float(os.environ.get("MUSTER_SLOW", "1"))  # how many times slower a sanitizer may make it


def muster(*arguments, **environment):
    """Runs it in an environment without any launcher's variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    clean.update(environment)
    return subprocess.run([MUSTER, *arguments], env=clean, capture_output=True, text=True,
                          errors="replace", timeout=60)


def commands():
    """The commands of this build, from its help."""
    lines = muster("--help").stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    return [line[2:20].strip() for line in lines]


class Help(unittest.TestCase):
    def test_overview_fits_a_terminal_and_comes_with_examples_first(self):
        result = muster("--help")
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stderr, "")
        lines = result.stdout.splitlines()
        self.assertLessEqual(len(lines), 24)
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertLess(lines.index("Examples:"), lines.index("Commands:"))
        self.assertEqual(muster("-h").stdout, result.stdout)
        self.assertEqual(muster("help").stdout, result.stdout)
        self.assertEqual(muster("help", "spec", "make").stdout,
                         muster("spec", "make", "--help").stdout)

    def test_half_a_command_s_help_is_of_those_that_it_begins(self):
        result = muster("spec", "--help")
        self.assertEqual(result.returncode, 0)
        self.assertEqual([line.split()[:2] for line in result.stdout.splitlines()
                          if line.startswith("  ")], [["spec", "check"], ["spec", "make"]])
        self.assertEqual(muster("help", "spec").stdout, result.stdout)

    def test_help_comes_at_once(self):
        def took():
            start = time.perf_counter()
            muster("--help")
            return time.perf_counter() - start
        # With the start of a process by Python; the best of some, for the machine may be busy.
        self.assertLess(min(took() for _ in range(10)), 0.02 * SLOW)

    def test_no_command_is_wrong_usage(self):
        result = muster()
        self.assertEqual(result.returncode, 64)
        self.assertIn("Examples:", result.stdout)

    def test_every_command_has_help_and_a_manual_page_with_the_same_flags(self):
        for command in commands():
            words = command.split()
            page = muster(*words, "--help")
            self.assertEqual(page.returncode, 0, command)
            self.assertTrue(page.stdout.startswith(f"Usage: muster {command}"), command)
            self.assertLessEqual(max(map(len, page.stdout.splitlines())), 100, command)
            man = muster("man", *words)
            self.assertEqual(man.returncode, 0, command)
            self.assertTrue(man.stdout.startswith(".TH MUSTER"), command)
            flags = re.findall(r"^  (?:-\w, )?--([a-z-]+)", page.stdout, re.M)
            for flag in flags:
                self.assertIn("\\-\\-" + flag.replace("-", "\\-"), man.stdout, command)
            again = muster(*words, "anything", "--flag", "-h")
            self.assertEqual(again.stdout, page.stdout)

    def test_manual_pages_are_good_troff(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not here")
        for name in [""] + commands() + ["job"]:
            page = muster("man", *name.split()).stdout
            result = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=page, text=True,
                                    capture_output=True)
            self.assertEqual(result.returncode, 0, name)
            self.assertEqual(result.stderr, "", name)

    def test_the_page_of_the_job_names_every_section(self):
        page = muster("man", "job").stdout
        for section in ("model:", "data:", "mode:", "optimizer:", "schedule:", "train:",
                        "checkpoint:", "log:"):
            self.assertIn("\n" + section, page)

    def test_version(self):
        result = muster("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^muster \d+\.\d+\.\d+\n")

    def test_stdout_may_be_closed(self):
        result = subprocess.run(f"{MUSTER} explain | head -1", shell=True, capture_output=True,
                                text=True)
        self.assertEqual(result.stderr, "")


    def test_whoever_starts_it_may_have_closed_stdin_stdout_and_stderr(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
        with tempfile.TemporaryDirectory() as folder:
            result = subprocess.run(["bash", "-c", 'exec <&- >&- 2>&-; exec "$@"', "bash", MUSTER,
                                     "run", f"{ROOT}/configs/demo.json", "--steps", "5", "--out",
                                     f"{folder}/run"], env=clean)
            self.assertEqual(result.returncode, 0)
            self.assertEqual(pathlib.Path(folder, "run", ".lock").read_text(), "")

    def test_vertex_says_where_the_run_directory_is(self):
        for said, where in (("own/checkpoints", "own"), ("own/checkpoints//", "own"),
                            ("own/other", "runs/demo"), ("checkpoints", "runs/demo")):
            for local in ([], ["--local", "2"]):
                with tempfile.TemporaryDirectory() as folder:
                    command = [MUSTER, "run", f"{ROOT}/configs/demo.json", "--steps", "2"]
                    done = subprocess.run(command + local, cwd=folder, capture_output=True,
                                          env=dict(os.environ, AIP_CHECKPOINT_DIR=said))
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertTrue(os.path.exists(os.path.join(folder, where, "summary.json")))
                    self.assertEqual(len(os.listdir(folder)), 1)

    def test_a_path_that_is_too_long_is_refused_before_anything_is_written(self):
        with tempfile.TemporaryDirectory() as folder:
            for size in (896, 1100, 4080, 4095):
                out = (f"{folder}/" + "/".join(["d" * 200] * 21))[:size]
                for command in (["run"], ["run", "--local", "2"], ["simulate"]):
                    result = muster(*command, f"{ROOT}/configs/demo.json", "--steps", "5",
                                    "--out", out)
                    self.assertEqual(result.returncode, 73, (size, command, result.stderr))
                    self.assertIn(f"error[E0604]: the path of the run directory has {size} bytes, "
                                  "more than 895\n  = help: choose a shorter --out, or a link to "
                                  "it\n", result.stderr)
                    self.assertEqual(result.stdout, "")  # of tasks that were started
            self.assertEqual(os.listdir(folder), [])


class Usage(unittest.TestCase):
    def refused(self, arguments, *said):
        result = muster(*arguments)
        self.assertEqual(result.returncode, 64, arguments)
        self.assertIn("error[E0001]", result.stderr)
        for text in said:
            self.assertIn(text, result.stderr, arguments)
        self.assertEqual(result.stdout, "", arguments)

    def test_wrong_usage_is_refused_with_the_next_thing_to_type(self):
        self.refused(["sepc"], "unknown command `sepc`", "did you mean `spec`?")
        self.refused(["nonsense"], "unknown command `nonsense`", "`muster --help`")
        self.refused(["spec"], "`muster spec` is not a whole command", "`muster spec check`")
        self.refused(["spec", "chek"], "unknown command `spec chek`", "`muster spec check`")
        self.refused(["spec", "check", "--clutser", "x"], "unknown flag `--clutser`",
                     "did you mean `--cluster`?")
        self.refused(["spec", "check", "--gpu"], "unknown flag `--gpu`",
                     "`muster spec check --help` lists the flags")
        self.refused(["spec", "check", "-x"], "unknown flag `-x`")
        self.refused(["spec", "check", "--cluster"], "--cluster has no value", "--cluster FILE")
        self.refused(["spec", "check", "--cluster", "--task"], "--cluster has no value")
        self.refused(["spec", "check", "--cluster="], "--cluster: the value is empty")
        self.refused(["spec", "check", "extra"], "`extra` is one argument too many")
        self.refused(["spec", "check", "--task", "x" * 64], "--task")
        self.refused(["simulate", "job.json", "--wrkers", "3"], "unknown flag `--wrkers`",
                     "did you mean `--workers`?")
        self.refused(["spec", "make", "--wrkers", "a:1"], "did you mean `--worker`?")
        demo = os.path.join(ROOT, "configs", "demo.json")
        self.refused(["simulate", demo, "--straggle", "2,10"], "--straggle cannot be `2,10`",
                     "a fraction of 0 to 1 and a factor of 1 to 1000")
        self.refused(["simulate", demo, "--compute", "normal:1,2"], "--compute", "0 to 1e7 ms")
        self.refused(["simulate", demo, "--link", "1,1"], "--link", "1e3 to 1e15 bits")
        self.refused(["simulate", "job.json", "--resume"], "--resume needs --out", "add --out DIR")
        self.refused(["explain", "E9999"], "there is no error `E9999`")
        self.refused(["man", "spec", "chck"], "no manual page for `spec chck`",
                     "did you mean `spec check`?")

    def test_every_error_has_one_line_of_help(self):
        job = os.path.join(ROOT, "configs", "demo.json")
        tasks = ",".join(f'"h{i}:1"' for i in range(5000))
        with tempfile.TemporaryDirectory() as folder:
            def file(name, content):
                path = os.path.join(folder, name)
                with open(path, "wb") as out:
                    out.write(content)
                return path
            big = file("big", b" " * (1 << 20) + b"{")
            nul = file("nul.json", b'{"model":{"kind":"a\0"}}')
            cases = [
                (["spec", "check", "--cluster", "/nonexist"], "E0002"),
                (["spec", "check", "--cluster", folder], "E0002"),
                (["spec", "check", "--cluster", big], "E0103"),
                (["run", job, "--cluster", "/nonexist"], "E0002"),
                (["run", nul], "E0201"), (["run", folder], "E0002"),
                (["run", job, "--set", "x"], "E0001"),
                (["run", job, "--set", "name.x=1"], "E0001"),
                (["run", job, "--set", "model=1"], "E0203"),
                (["run", job, "--set", "name=/"], "E0203"),
                (["run", job, "--set", "model.kind=7"], "E0203"),
                (["run", job, "--set", "model.kind=zzzzzzzz"], "E0202"),
                (["run", job, "--set", "train.device=gpux9"], "E0202"),
                (["run", job, "--out", "/proc/none"], "E0604"),
                (["run", job, "--local", "worker=5000"], "E0001"),
                (["run", job, "--local", "worker=1,worker=1"], "E0001"),
                (["run", job, "--steps", "nan"], "E0001"),
                (["run", job, "--resume=yes"], "E0001"),
                (["checkpoint", "list", folder], "E0603"),
                (["checkpoint", "show", "/nonexist"], "E0002"),
                (["explain", "E9999"], "E0001"), (["man", "zzzz"], "E0001"),
                (["spec", "make", "--worker", "h1"], "E0108"),
                (["spec", "make"], "E0106"),
                (["spec", "check"], "E0101"),
            ]
            for text, number in (
                    ("[", "E0102"), ("[1]", "E0105"), ("{}", "E0105"),
                    ('{"cluster":{}}', "E0106"),
                    ('{"cluster":{"wrker":[]}}', "E0104"),
                    ('{"cluster":{"worker":["a"]}}', "E0108"),
                    ('{"cluster":{"worker":["a:1","a:1"]}}', "E0109"),
                    ('{"cluster":{"chief":["a:1","b:1"]}}', "E0106"),
                    ('{"cluster":{"worker":["a\\u0000b:22"]}}', "E0102"),
                    ('{"cluster":{"worker":[%s]}}' % tasks, "E010"),
                    ('{"cluster":{"worker":["a:1"]},"task":{"type":"worker","index":3}}', "E0107")):
                cases.append((["spec", "check"], number, {"TF_CONFIG": text}))
            for arguments, number, *environment in cases:
                result = muster(*arguments, **(environment[0] if environment else {}))
                self.assertIn(f"error[{number}", result.stderr, arguments)
                self.assertEqual(result.stderr.count("error["), 1, result.stderr)
                self.assertEqual(len(re.findall(r"^ *= help: \S.*$", result.stderr, re.M)), 1,
                                 (arguments, result.stderr))
                self.assertNotIn("\n\n", result.stderr.strip(), arguments)
                self.assertNotIn("JSON_", result.stderr)

    def test_a_spec_of_a_byte_too_many_is_told_in_bytes(self):
        with tempfile.NamedTemporaryFile() as big:
            big.write(b" " * ((1 << 20) + 1))
            big.flush()
            result = muster("spec", "check", "--cluster", big.name)
            self.assertEqual(result.returncode, 78)
            self.assertIn("1048577 bytes, at most 1048576", result.stderr)
            self.assertIn(f"`head -c 300 {big.name}`", result.stderr)

    def test_a_character_that_is_not_allowed_names_its_element(self):
        result = muster("spec", "check", TF_CONFIG='{"cluster":{"worker":["a:1","a\\u0000b:2"]}}')
        self.assertEqual(result.returncode, 78)
        self.assertIn("cluster.worker[1]: a NUL character (\\u0000)", result.stderr)

    @unittest.skipUnless("run" in commands(), "this build has no `muster run`")
    def test_the_caret_is_under_what_was_set(self):
        job = os.path.join(ROOT, "configs", "demo.json")
        result = muster("run", job, "--set", "optimizer.learning_rte=0.2")
        self.assertIn("--> command line:1:7", result.stderr)
        self.assertIn("1 | --set optimizer.learning_rte=0.2\n", result.stderr)
        result = muster("run", job, "--set", "optimizer.kind=adam")
        self.assertIn("`optimizer.momentum` is an option of `momentum`, not of `adam`",
                      result.stderr)
        with open(job, encoding="utf-8") as file:
            lines = file.read().split("\n")
        line = int(re.search(r"demo.json:(\d+):", result.stderr).group(1))
        self.assertIn('"momentum"', lines[line - 1])

    def test_mpich_is_not_measured_over_a_tcp_that_it_does_not_use(self):
        self.refused(["bench", "allreduce", "--transport", "tcp", "--peer", "mpich"], "mpich: ",
                     "--peer openmpi")

    def test_values_stand_after_equals_signs_or_alone(self):
        spec = '{"cluster":{%s}}' % W2
        for flags in (["--task=worker/1"], ["--task", "worker/1"], ["--"]):
            result = muster("spec", "check", *flags, TF_CONFIG=spec)
            self.assertEqual(result.returncode, 0, result.stderr)


@unittest.skipUnless("run" in commands(), "this build has no `muster run`")
class Run(unittest.TestCase):
    def refused(self, code, arguments, *said):
        result = muster("run", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        for text in said:
            self.assertIn(text, result.stderr, arguments)

    def test_values_out_of_range_name_the_flag_and_the_range(self):
        job = os.path.join(ROOT, "configs", "demo.json")
        self.refused(64, [job, "--steps", "abc"], "--steps cannot be `abc`")
        self.refused(64, [job, "--lr", "nan"], "--lr cannot be `nan`")
        self.refused(64, [job, "--batch", "0"], "--batch cannot be `0`", "1 to 1048576",
                     "as in `--batch 64`, its default")
        self.refused(64, [job, "--start_timeout", "0"], "--start-timeout cannot be `0`",
                     "1 to 86400")
        self.refused(64, [job, "--failure-detection", "fats"], "did you mean `fast`?")
        self.refused(64, [job, "--setp", "a=b"], "did you mean `--set")
        self.refused(64, [job, "--set", "nonsense"], "is not section.key=value")
        self.refused(64, [job, "--local", "workers=2"], "did you mean `worker`?")
        self.refused(64, [job, "--local", "2", "--task", "worker/0"], "--local", "--task")
        self.refused(64, [job, "--resume=yes"], "--resume takes no value")
        self.refused(64, [], "JOB is missing")
        self.refused(66, ["/nowhere.json"], "/nowhere.json")
        self.refused(78, [job, "--set", "model.kind=mpl"], "did you mean `mlp`?")

    def test_a_job_file_that_is_not_there_is_answered_with_the_nearest(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(os.path.join(folder, "configs"))
            for path in ("mine.json", "notes.txt", "configs/mine-async.json", "configs/demo.json"):
                with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                    file.write("{}")
            for asked, meant in (("mien.json", "mine.json"), ("mine", "mine.json"),
                                 ("configs/demo", "configs/demo.json"),
                                 ("configs/mine-asinc.json", "configs/mine-async.json"),
                                 ("./mime.json", "mine.json"), ("demo.json", "configs/demo.json"),
                                 (f"{folder}/mne.json", f"{folder}/mine.json"),
                                 ("notes.tx", None), ("elsewhere/mine.json", None),
                                 ("x" * 300, None)):
                for command in (["run"], ["simulate"], ["bench", "train", "--job"]):
                    result = subprocess.run([os.path.abspath(MUSTER), *command, asked], text=True,
                                            cwd=folder, capture_output=True, timeout=60)
                    self.assertEqual(result.returncode, 66, (command, asked, result.stderr))
                    self.assertIn(f"error[E0002]: cannot read {asked}: ", result.stderr)
                    self.assertEqual(f"did you mean `{meant}`?" in result.stderr,
                                     meant is not None, result.stderr)

    def test_every_shipped_job_is_a_job(self):
        jobs = glob.glob(os.path.join(ROOT, "configs", "*.json"))
        self.assertGreaterEqual(len(jobs), 3)
        for job in jobs:  # the data is missing, which is found out after the job was read
            with tempfile.TemporaryDirectory() as out:
                self.refused(66, [job, "--set", "data={\"kind\":\"idx\",\"path\":\"/nowhere\"}",
                                  "--out", os.path.join(out, "run")], "/nowhere")

    def test_what_no_replica_can_do_is_said_once_and_nothing_is_started(self):
        job = os.path.join(ROOT, "configs", "demo.json")
        for sets in (["mode.algorithm=tree"], ["mode.algorithm=mpi"],
                     ["mode.algorithm=direct", "mode.transport=tcp"]):
            with tempfile.TemporaryDirectory() as out:
                run = os.path.join(out, "run")
                result = muster("run", job, "--local", "chief=1,worker=2", "--steps", "2",
                                "--out", run, *(part for set in sets for part in ("--set", set)))
                self.assertEqual(result.returncode, 78, result.stderr)
                self.assertEqual(result.stderr.count("error"), 1, result.stderr)
                self.assertIn("ring, doubling, halving can", result.stderr)
                self.assertFalse(os.path.exists(run))

    def test_without_a_cluster_it_says_that_it_trains_alone(self):
        for name, roles in (("demo", "2"), ("demo-async", "worker=2,ps=1")):
            job = os.path.join(ROOT, "configs", name + ".json")
            with tempfile.TemporaryDirectory() as out:
                result = muster("run", job, "--steps", "2", "--out", os.path.join(out, "run"))
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn("this process trains alone", result.stderr)
                self.assertIn(f"`{MUSTER} run {job} --local {roles}` starts", result.stderr)

    def test_a_task_alone_in_a_larger_world_refuses(self):
        job = os.path.join(ROOT, "configs", "demo.json")
        result = muster("run", job, RANK="0", WORLD_SIZE="4")
        self.assertEqual(result.returncode, 78)
        self.assertIn("torchrun ($RANK) started 4 tasks", result.stderr)

    def test_a_local_cluster_in_each_process_of_a_launcher_is_refused(self):
        job = os.path.join(ROOT, "configs", "demo.json")
        for name, variables in (
                ("torchrun ($RANK)", dict(RANK="1", WORLD_SIZE="4")),
                ("Open MPI ($OMPI_COMM_WORLD_RANK)",
                 dict(OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="2"))):
            with tempfile.TemporaryDirectory() as out:
                run = os.path.join(out, "run")
                result = muster("run", job, "--local", "2", "--steps", "2", "--out", run,
                                **variables)
                self.assertEqual(result.returncode, 64, result.stderr)
                self.assertIn(f"error[E0001]: --local starts a whole cluster, and {name}",
                              result.stderr)
                self.assertIn("`--roles ROLES` in its place", result.stderr)
                self.assertFalse(os.path.exists(run))


@unittest.skipUnless("simulate" in commands(), "this build has no `muster simulate`")
class Simulate(unittest.TestCase):
    JOB = os.path.join(ROOT, "configs", "demo.json")

    def simulate(self, out, *arguments):
        result = muster("simulate", self.JOB, *arguments, "--out", out)
        path = os.path.join(out, "summary.json")
        summary = None
        if result.returncode == 0:
            with open(path, encoding="utf-8") as file:
                summary = json.load(file)
        return result, summary

    def test_a_simulation_that_is_resumed_ends_as_one_that_was_not_interrupted(self):
        with tempfile.TemporaryDirectory() as folder:
            first, again = os.path.join(folder, "first"), os.path.join(folder, "again")
            _, whole = self.simulate(again, "--steps", "40")
            result, _ = self.simulate(first, "--steps", "20")
            self.assertEqual(result.returncode, 0, result.stderr)
            result, _ = self.simulate(first, "--steps", "40")
            self.assertEqual(result.returncode, 73)
            self.assertIn("add --resume", result.stderr)
            result, resumed = self.simulate(first, "--steps", "40", "--resume")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("resuming from step 20", result.stderr)
            self.assertEqual(resumed["parameters_crc32c"], whole["parameters_crc32c"])

    def test_a_job_that_the_cluster_cannot_train_is_refused_once(self):
        result = muster("simulate", os.path.join(ROOT, "configs", "demo-async.json"))
        self.assertEqual(result.returncode, 78)
        self.assertEqual(result.stderr.count("error[E0204]"), 1, result.stderr)


class Checkpoint(unittest.TestCase):
    def test_one_entry_can_be_named_by_its_directory(self):
        job = os.path.join(ROOT, "configs", "demo.json")
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "run")
            made = muster("run", job, "--steps", "20", "--set", "checkpoint.every_steps=10",
                          "--set", "checkpoint.keep=9", "--out", out)
            self.assertEqual(made.returncode, 0, made.stderr)
            steps = os.listdir(os.path.join(out, "checkpoints"))
            self.assertIn("20", steps)
            for step in steps:
                entry = os.path.join(out, "checkpoints", step)
                for path, where in ((entry, None), (entry + "//", None), (step, "checkpoints"),
                                    (f"./{step}/", "checkpoints")):
                    result = subprocess.run(
                        [os.path.abspath(MUSTER), "checkpoint", "show", path], text=True,
                        cwd=os.path.join(out, where or "."), capture_output=True, timeout=60)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertIn(f"\n  step {step}, epoch ", result.stdout)
                listed = muster("checkpoint", "list", "--json", entry).stdout
                self.assertEqual([json.loads(line)["step"] for line in listed.splitlines()],
                                 [int(step)])
            # One that is a link is passed over by all, and all say so.
            os.rename(entry, os.path.join(folder, "elsewhere"))
            os.symlink(os.path.join(folder, "elsewhere"), entry)
            for words in (["checkpoint", "list", out], ["checkpoint", "verify", out],
                          ["run", job, "--steps", "21", "--out", out, "--resume"]):
                result = muster(*words)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn(f"{entry} is a symbolic link and is passed over", result.stderr)
            # Neither a folder without a manifest nor a step that is not there.
            os.mkdir(os.path.join(folder, "7"))
            self.assertEqual(muster("checkpoint", "show", os.path.join(folder, "7")).returncode, 66)
            self.assertEqual(muster("checkpoint", "show", "--step", "7", entry).returncode, 66)

    def test_a_default_that_stands_for_something_is_explained(self):
        for words in (["checkpoint", "show", "x"], ["checkpoint", "list", "x"]):
            result = muster(*words, "--step", "abc")
            self.assertEqual(result.returncode, 64)
            self.assertRegex(result.stderr, r"as in `--step -1`, its default: .*-1: the newest")

    def test_the_help_of_status_has_the_directory_as_it_was_given(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(os.path.join(folder, "runs", "my run"))
            with open(os.path.join(folder, "runs", "my run", "status.json"), "w") as file:
                json.dump({"phase": "training", "tasks": {
                    "worker/0": {"process": 1, "state": "gone"}}}, file)
            for given, command in (([], "muster status"),
                                   (["runs/my run"], "muster status 'runs/my run'")):
                for task, code, what in (("worker/9", 64, "lists the tasks"),
                                         ("worker/0", 69, "says how the run is doing")):
                    result = subprocess.run(
                        [os.path.abspath(MUSTER), "status", "--pid", task, *given], text=True,
                        cwd=folder, capture_output=True, timeout=60)
                    self.assertEqual(result.returncode, code, result.stderr)
                    self.assertIn(f"= help: `{command}` {what}\n", result.stderr)


class Spec(unittest.TestCase):
    def test_no_spec_shows_a_working_example(self):
        result = muster("spec", "check")
        self.assertEqual(result.returncode, 78)
        self.assertIn("error[E0101]: no cluster spec", result.stderr)
        self.assertIn("muster run --local 2", result.stderr)
        example = re.search(r"export TF_CONFIG='(.*)'\n.*--task (worker/0)", result.stderr)
        again = muster("spec", "check", "--task", example.group(2), TF_CONFIG=example.group(1))
        self.assertEqual(again.returncode, 0, again.stderr)

    def test_check_explains_every_task(self):
        spec = ('{"cluster":{"chief":["10.0.0.1:1"],"worker":["10.0.0.2:1"],"ps":["10.0.0.3:1"],'
                '"evaluator":["10.0.0.4:1"]},"task":{"type":"ps","index":0}}')
        result = muster("spec", "check", TF_CONFIG=spec)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(result.stderr, "")
        self.assertRegex(result.stdout, r"chief/0 +10.0.0.1:1 +replica 0 of 2, leads\n")
        self.assertRegex(result.stdout, r"worker/0 +10.0.0.2:1 +replica 1 of 2\n")
        self.assertRegex(result.stdout, r"ps/0 +10.0.0.3:1 +holds parameters +<- this task\n")
        self.assertIn("never waited for", result.stdout)

    def test_check_needs_no_task(self):
        result = muster("spec", "check", TF_CONFIG='{"cluster":{%s}}' % W2)
        self.assertEqual(result.returncode, 0)
        self.assertIn("as the first worker where there is no chief", result.stdout)
        self.assertNotIn("<- this task", result.stdout)

    def test_check_reads_a_file_and_names_it(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write('{"cluster":{"workers":["a:1"]}}')
            file.flush()
            result = muster("spec", "check", "--cluster", file.name)
            self.assertEqual(result.returncode, 78)
            self.assertIn(f"--> {file.name}:1:13", result.stderr)
        self.assertEqual(muster("spec", "check", "--cluster", "/nowhere").returncode, 66)

    def test_check_refuses_what_run_refuses_in_the_name_of_the_task(self):
        spec = '{"cluster":{%s},"taks":{"type":"worker","index":0}}' % W2
        job = os.path.join(ROOT, "configs", "demo.json")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(spec)
            file.flush()
            for result in (muster("spec", "check", TF_CONFIG=spec),
                           muster("run", job, TF_CONFIG=spec),
                           muster("spec", "check", "--cluster", file.name),
                           muster("run", job, "--cluster", file.name)):
                self.assertEqual(result.returncode, 78, result.stderr)
                self.assertIn("error[E0105]: unknown key `taks`", result.stderr)
                self.assertIn("did you mean `task`?", result.stderr)

    def test_malformed_specs_are_refused_in_a_hundred_milliseconds(self):
        specs = ["", "null", "{", "{}", '{"cluster":{}}', '{"cluster":{"ps":["a:1"]}}',
                 '{"cluster":{"worker":["a:1","a:1"]}}', '{"cluster":{"worker":["a"]}}',
                 '{"cluster":{%s},"task":{"type":"worker","index":2}}' % W2,
                 "[" * 100000, '{"cluster":{"worker":[%s]}}' % ",".join(
                     '"%x:1"' % i for i in range(10000))]
        for spec in specs:
            took = 1
            for _ in range(3):  # the best, for the machine may be busy
                start = time.perf_counter()
                result = muster("spec", "check", TF_CONFIG=spec)
                took = min(took, time.perf_counter() - start)
            self.assertEqual(result.returncode, 78, spec[:80])
            self.assertRegex(result.stderr, r"^error\[E01\d\d\]: ")
            self.assertIn("= help: ", result.stderr, spec[:80])
            self.assertLess(took, 0.1 * SLOW, spec[:80])

    def test_a_huge_file_is_refused_in_time_and_memory(self):
        with tempfile.NamedTemporaryFile("wb", suffix=".json") as file:
            file.write(b'{"cluster":' + b" " * (10 << 20))
            file.flush()
            start = time.perf_counter()
            result = muster("spec", "check", "--cluster", file.name)
            self.assertLess(time.perf_counter() - start, 0.2 * SLOW)
            self.assertEqual(result.returncode, 78)
            self.assertIn("error[E0103]", result.stderr)

    def test_what_make_writes_check_reads(self):
        made = muster("spec", "make", "--chief", "h0:1", "--worker", "h1:1,[::1]:2", "--ps", "h3:1",
                      "--evaluator", "h4:1", "--task", "worker/1")
        self.assertEqual(made.returncode, 0, made.stderr)
        checked = muster("spec", "check", TF_CONFIG=made.stdout.strip())
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertRegex(checked.stdout, r"worker/1 +\[::1\]:2 .*<- this task")

    def test_addresses_of_a_flag_that_is_repeated_are_added(self):
        made = muster("spec", "make", "--worker", "a:1,b:1", "--worker", "c:1", "--ps", "d:1",
                      "--ps=e:1")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(json.loads(made.stdout), {
            "cluster": {"worker": ["a:1", "b:1", "c:1"], "ps": ["d:1", "e:1"]}})
        two = muster("spec", "make", "--chief", "a:1", "--chief", "b:1", "--worker", "c:1")
        self.assertEqual(two.returncode, 78, two.stderr)
        self.assertIn("a cluster has at most one chief, this one has 2", two.stderr)

    def test_make_refuses_what_check_would_refuse(self):
        result = muster("spec", "make", "--worker", "h1,h2:1")
        self.assertEqual(result.returncode, 78)
        self.assertIn("--worker: `h1` has no port", result.stderr)
        result = muster("spec", "make", "--worker", "h1:1", "--task", "worker/3")
        self.assertEqual(result.returncode, 78)
        self.assertIn("index 3 is out of range: the cluster has worker/0", result.stderr)
        self.assertEqual(muster("spec", "make").returncode, 78)

    def test_make_speaks_of_flags_and_not_of_json(self):
        for words, number in (
                ([], "E0106"), (["--worker", "h1"], "E0108"), (["--worker", "::1:2"], "E0108"),
                (["--worker", "a:1,,b:1"], "E0108"), (["--ps", "a:1"], "E0106"),
                (["--worker", "a:1,a:1"], "E0109"), (["--chief", "a:1,b:1"], "E0106"),
                (["--worker", "a:1", "--evaluator", "b:1,c:1"], "E0106"),
                (["--worker", "h1:1", "--task", "worker/3"], "E0107")):
            result = muster("spec", "make", *words)
            self.assertEqual(result.returncode, 78, result.stderr)
            self.assertIn(f"error[{number}]: ", result.stderr)
            self.assertNotRegex(result.stderr, r'[{}"]|-->|`muster spec make`')
            if number in ("E0108", "E0106") and "--chief" not in words:
                self.assertIn("help: as in `--worker 10.0.0.1:2222,10.0.0.2:2222`", result.stderr)


class Rest(unittest.TestCase):
    def test_explain_has_every_error(self):
        listed = muster("explain").stdout.splitlines()
        self.assertGreater(len(listed), 40)
        for line in listed:
            number = line.split()[0]
            row = muster("explain", number)
            self.assertEqual(row.returncode, 0)
            self.assertTrue(row.stdout.startswith(line + "\n"))
            self.assertIn("exits with " + line.split()[2], row.stdout)
            for part in ("meaning", "causes", "to do"):
                self.assertRegex(row.stdout, rf"\n  {part} +[^( \n].{{9}}", number)
            self.assertLessEqual(max(map(len, row.stdout.splitlines()[1:])), 80, number)
        self.assertEqual(muster("explain", "104").stdout, muster("explain", "E0104").stdout)

    def test_doctor_tells_what_is_here(self):
        result = muster("doctor", TF_CONFIG="x")
        self.assertEqual(result.returncode, 0)
        for word in ("version", "processors", "instruction sets", "MPI", "systemd", "GPUs",
                     "open files"):
            self.assertIn("  " + word, result.stdout)
        self.assertRegex(result.stdout, r"cluster from +TF_CONFIG\n")

    def test_doctor_looks_at_the_room_for_shared_memory_and_checkpoints(self):
        result = muster("doctor")
        for place in ("/dev/shm", "this directory"):
            self.assertRegex(result.stdout, rf"\n  {place} +\S+ \w+, \S+ \w+ free\n")

    def test_doctor_warns_of_few_open_files(self):
        result = subprocess.run(["sh", "-c", f"ulimit -n 64; exec {MUSTER} doctor"], text=True,
                                capture_output=True)
        self.assertEqual(result.returncode, 0)
        self.assertIn("64 open files are enough for about 16 tasks", result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
