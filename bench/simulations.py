# SPDX-License-Identifier: Apache-2.0
"""What the studies in simulated time share: a job, its run, and what the run has left behind."""
import argparse, json, os, pathlib, re, subprocess, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
MNIST = pathlib.Path(os.environ.get("MUSTER_DATA", ROOT.parent / "shared" / "data")) / "mnist"
MEMORY = "/dev/shm"  # checkpoints by the hundred need no disk
STARTED = 1767225600  # MU_SIM_WALL_START_NS

COMPUTES = re.compile(r"(\S+) (\S+) computes \S+ of step (\d+) for (\d+) ns")
EVALUATES = re.compile(
    r"(\S+) evaluator/0 info: step (\d+): test loss (\S+), test accuracy (\S+) %")


def options_of(doc, seeds):
    """The command line; without MNIST a study is quick."""
    parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    parser.add_argument("muster")
    parser.add_argument("--quick", action="store_true",
                        help="digits that the program draws, a smaller model, fewer steps")
    parser.add_argument("--seeds", type=int, default=seeds)
    options = parser.parse_args()
    if not options.quick and not (MNIST / "train-images-idx3-ubyte.gz").exists():
        print(f"there is no MNIST in {MNIST} (MUSTER_DATA names another folder): as with --quick")
        options.quick = True
    return options


def data_section(quick):
    if quick:
        return {"kind": "glyphs", "samples": 6000, "test_samples": 1000}
    return {"kind": "idx", "path": str(MNIST)}


class Run:
    """draws: {task: [ns of its steps]}; points: [(seconds, version that the chief had, its own
    step)]; evaluations: [(seconds, version, accuracy, loss)]; summary: summary.json, {} if the run
    failed."""

    def __init__(self, folder, status):
        self.status = status
        self.draws, self.evaluations = {}, []
        with open(f"{folder}/events.log", encoding="utf-8") as lines:
            for line in lines:
                self.read(line)
        with open(f"{folder}/metrics.jsonl", encoding="utf-8") as lines:
            points = [json.loads(line) for line in lines]
        self.points = [(point["time"] - STARTED, point["step"]) for point in points
                       if "loss" in point]
        path = pathlib.Path(folder, "summary.json")
        self.summary = json.loads(path.read_text()) if path.exists() else {}

    def read(self, line):
        computes = COMPUTES.match(line)
        if computes:
            _, task, step, ns = computes.groups()
            steps = self.draws.setdefault(task, [])
            if int(step) == len(steps):
                steps.append(0)
            steps[int(step)] += int(ns)
            return
        evaluates = EVALUATES.match(line)
        if evaluates:
            time, step, loss, accuracy = evaluates.groups()
            self.evaluations.append((float(time), int(step), float(accuracy) / 100, float(loss)))

    def seconds_to(self, accuracy, in_row=3):
        """When the mean of so many evaluations in a row has come there; None: never."""
        for i in range(in_row - 1, len(self.evaluations)):
            last = self.evaluations[i - in_row + 1:i + 1]
            if sum(each[2] for each in last) / in_row >= accuracy:
                return last[-1][0]
        return None


def simulate(muster, job, workers, seed, *flags):
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as folder:
        path = pathlib.Path(folder, "job.json")
        path.write_text(json.dumps(job | {"train": job["train"] | {"seed": seed}}))
        done = subprocess.run(
            [muster, "simulate", str(path), "--workers", str(workers), "--ps", "1", "--evaluator",
             "--seed", str(seed), "--out", f"{folder}/run", *flags],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if not os.path.exists(f"{folder}/run/events.log"):
            raise SystemExit(done.stderr)
        return Run(f"{folder}/run", done.returncode)


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)
