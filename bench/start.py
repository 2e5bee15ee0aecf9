#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How soon a cluster of six trains, and how soon --help speaks: bench/start.py MUSTER [RUNS]

Seconds from the start of the last task to the first finished step (chief, three workers, a
parameter server, an evaluator), for the embedded data and for MNIST where MUSTER_DATA (default
../shared/data) has it; and milliseconds to the first byte of --help. Medians.
"""
import json, os, pathlib, statistics, subprocess, sys, tempfile, time

MUSTER = os.path.abspath(sys.argv[1])
RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
ROOT = pathlib.Path(__file__).resolve().parents[1]
MNIST = pathlib.Path(os.environ.get("MUSTER_DATA", ROOT.parent / "shared" / "data")) / "mnist"
SIX = "chief=1,worker=3,ps=1,evaluator=1"


def first_step(job, *sets):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([MUSTER, "run", str(ROOT / "configs" / job), "--local", SIX, "--quiet",
                        "--out", folder + "/run", "--set", "train.steps=30", *sets], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return json.loads(pathlib.Path(folder, "run/summary.json").read_text())[
            "first_step_seconds"]


def help_ms():
    begin = time.perf_counter()
    with subprocess.Popen([MUSTER, "--help"], stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        return 1000 * (time.perf_counter() - begin)


def row(what, unit, values):
    print(json.dumps({"bench": "start", "what": what, "unit": unit, "runs": len(values),
                      "median": round(statistics.median(values), 4),
                      "min": round(min(values), 4), "max": round(max(values), 4)}), flush=True)


row("first step, demo", "s", [first_step("demo.json") for _ in range(RUNS)])
row("first step, demo-async", "s", [first_step("demo-async.json") for _ in range(RUNS)])
if MNIST.exists():
    row("first step, MNIST", "s",
        [first_step("mnist-sync.json", "--set", f"data.path={MNIST}") for _ in range(RUNS)])
else:
    print(f"skipped: there is no MNIST in {MNIST} (MUSTER_DATA names another folder)")
row("--help, first byte", "ms", [help_ms() for _ in range(4 * RUNS)])
