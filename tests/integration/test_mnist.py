# SPDX-License-Identifier: Apache-2.0
"""Real MNIST, to the accuracy that configs/mnist-*.json promise. The data is in the folder `mnist`
of MUSTER_DATA, by default ../shared/data beside the checkout; without it this test is skipped."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

MUSTER = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("MUSTER_DATA", ROOT.parent / "shared" / "data")) / "mnist"
RUNS = [("mnist-sync", "chief=1,worker=3", 0.975), ("mnist-async", "worker=3,ps=2", 0.970)]

if not (DATA / "train-images-idx3-ubyte.gz").exists():
    print(f"skipped: there is no MNIST in {DATA} (MUSTER_DATA names another folder)")
    sys.exit(77)

failed = 0
for job, roles, least in RUNS:
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "run")
        done = subprocess.run(
            [MUSTER, "run", str(ROOT / "configs" / f"{job}.json"), "--local", roles, "--out", out,
             "--set", f"data.path={DATA}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{job}: exit {done.returncode}\n{done.stdout}{done.stderr}")
            failed += 1
            continue
        with open(os.path.join(out, "summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
    accuracy = summary["test_accuracy"]
    print(f"{job}: {100 * accuracy:.2f} % after {summary['epochs']} epochs, "
          f"{100 * least:.1f} % are promised")
    failed += accuracy < least or summary["samples"] != 5 * 60000
sys.exit(1 if failed else 0)
