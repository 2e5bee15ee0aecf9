#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fewer bytes cost in accuracy: MNIST 784-128-10, chief and three workers, synchronous.

usage: bench/compress.py MUSTER [EPOCHS [SEEDS]]

Every compressor with the same job and the same seeds; bytes are those one replica sends in a step.
MNIST is read from MUSTER_DATA/mnist (default ../shared/data/mnist). One JSON object a row.
"""
import json, os, pathlib, statistics, subprocess, sys, tempfile

MUSTER = os.path.abspath(sys.argv[1])
EPOCHS = sys.argv[2] if len(sys.argv) > 2 else "3"
SEEDS = int(sys.argv[3]) if len(sys.argv) > 3 else 3
ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = os.path.join(os.path.abspath(os.environ.get("MUSTER_DATA", "../shared/data")), "mnist")
KINDS = ({"kind": "none"}, {"kind": "bf16"}, {"kind": "fp16"}, {"kind": "topk", "density": 0.01},
         {"kind": "randomk", "density": 0.01}, {"kind": "onebit"},
         {"kind": "powersgd", "rank": 1}, {"kind": "powersgd", "rank": 4})

if not os.path.isdir(DATA):
    sys.exit(f"skipped: there is no {DATA}")


def run(compress, seed):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "run")
        subprocess.run(
            [MUSTER, "run", str(ROOT / "configs" / "mnist-sync.json"), "--local",
             "chief=1,worker=3", "--quiet", "--out", out, "--epochs", EPOCHS,
             "--set", f"data.path={DATA}", "--set", f"train.seed={seed}",
             "--set", f"compress={json.dumps(compress)}"],
            check=True, stdout=subprocess.DEVNULL)
        return json.loads(pathlib.Path(out, "summary.json").read_text())


for kind in KINDS:
    runs = [run(kind, seed) for seed in range(1, SEEDS + 1)]
    print(json.dumps({
        "compress": kind, "epochs": int(EPOCHS), "seeds": SEEDS,
        "test_accuracy": round(statistics.mean(r["test_accuracy"] for r in runs), 4),
        "least": round(min(r["test_accuracy"] for r in runs), 4),
        "bytes_per_step": round(runs[0]["exchange_bytes"] / runs[0]["steps"])}), flush=True)
