#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What fewer bytes cost in accuracy: MNIST 784-128-10, chief and three workers, synchronous.

usage: bench/compress.py MUSTER [EPOCHS [SEEDS]]

Every compressor with the same job and the same seeds, at a rate that late gradients and momentum
bear; random-k, whose gradients come in bursts, without momentum and beside plain sgd. Bytes are
those one replica sends in a step.
MNIST is read from MUSTER_DATA/mnist (default ../shared/data/mnist). One JSON object a row.
"""
import json, os, pathlib, statistics, subprocess, sys, tempfile

MUSTER = os.path.abspath(sys.argv[1])
EPOCHS = sys.argv[2] if len(sys.argv) > 2 else "3"
SEEDS = int(sys.argv[3]) if len(sys.argv) > 3 else 3
ROOT = pathlib.Path(__file__).resolve().parents[1]
DATA = os.path.join(os.path.abspath(os.environ.get("MUSTER_DATA", "../shared/data")), "mnist")
MOMENTUM = ("optimizer.learning_rate=0.05",)
PLAIN = ("optimizer.learning_rate=0.2", "optimizer.momentum=0")
KINDS = [({"kind": "none"}, MOMENTUM), ({"kind": "bf16"}, MOMENTUM), ({"kind": "fp16"}, MOMENTUM),
         ({"kind": "topk", "density": 0.01}, MOMENTUM), ({"kind": "onebit"}, MOMENTUM),
         ({"kind": "powersgd", "rank": 2}, MOMENTUM), ({"kind": "none"}, PLAIN),
         ({"kind": "randomk", "density": 0.1}, PLAIN),
         ({"kind": "randomk", "density": 0.01}, PLAIN)]

if not os.path.isdir(DATA):
    sys.exit(f"skipped: there is no {DATA}")


def run(compress, sets, seed):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "run")
        subprocess.run(
            [MUSTER, "run", str(ROOT / "configs" / "mnist-sync.json"), "--local",
             "chief=1,worker=3", "--quiet", "--out", out, "--epochs", EPOCHS,
             "--set", f"data.path={DATA}", "--set", f"train.seed={seed}",
             "--set", f"compress={json.dumps(compress)}",
             *(word for pair in sets for word in ("--set", pair))],
            check=True, stdout=subprocess.DEVNULL)
        return json.loads(pathlib.Path(out, "summary.json").read_text())


for kind, sets in KINDS:
    runs = [run(kind, sets, seed) for seed in range(1, SEEDS + 1)]
    print(json.dumps({
        "compress": kind, "optimizer": sets, "epochs": int(EPOCHS), "seeds": SEEDS,
        "test_accuracy": round(statistics.mean(r["test_accuracy"] for r in runs), 4),
        "least": round(min(r["test_accuracy"] for r in runs), 4),
        "bytes_per_step": round(runs[0]["exchange_bytes"] / runs[0]["steps"])}), flush=True)
