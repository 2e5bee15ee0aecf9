#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What real MNIST is learned to, and how fast: bench/mnist.py MUSTER

configs/mnist-sync.json by a chief and three workers, and by one worker with the same global batch,
whose gradient is the same sum in another order; configs/mnist-async.json by three workers and two
parameter servers. One JSON line each. The data is in the folder `mnist` of MUSTER_DATA, by default
../shared/data beside the checkout.
"""
import json, os, pathlib, subprocess, sys, tempfile

MUSTER = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parents[1]
MNIST = pathlib.Path(os.environ.get("MUSTER_DATA", ROOT.parent / "shared" / "data")) / "mnist"
REPLICAS = 4
RUNS = [("mnist-sync", f"chief=1,worker={REPLICAS - 1}", 1, 0.975),
        ("mnist-sync", "worker=1", REPLICAS, 0.975),
        ("mnist-async", "worker=3,ps=2", 1, 0.970)]


def learn(job, roles, times, least):
    path = ROOT / "configs" / f"{job}.json"
    batch = times * json.loads(path.read_text())["data"]["batch"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([MUSTER, "run", str(path), "--local", roles, "--quiet", "--out",
                        folder + "/run", "--batch", str(batch), "--set", f"data.path={MNIST}"],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        summary = json.loads(pathlib.Path(folder, "run/summary.json").read_text())
    row = {"bench": "mnist", "job": job, "roles": roles, "batch": batch, "at_least": least}
    row |= {key: summary[key] for key in ("test_accuracy", "epochs", "steps", "samples_per_second",
                                          "wall_seconds", "parameters_crc32c")}
    print(json.dumps(row), flush=True)
    return summary["test_accuracy"] >= least


if not MNIST.exists():
    sys.exit(f"there is no MNIST in {MNIST} (MUSTER_DATA names another folder)")
sys.exit(not all([learn(*run) for run in RUNS]))
