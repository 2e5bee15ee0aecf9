#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training speed beside PyTorch and TensorFlow, in turns, ratios as medians.

usage: bench/compare_train.py BUILD [ROUNDS] [ROW ...]

BUILD is a build folder that has `muster`. Peers: programs in MUSTER_PEERS (default
../shared/peers), Pythons TORCH_PYTHON and TF_PYTHON, MNIST for TensorFlow in MUSTER_DATA (default
../shared/data). A row whose peer is not there is skipped, and says so. The model is
784-512-512-10, batch 64, one compute thread a process.
"""
import json, os, re, statistics, subprocess, sys

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
ROWS = sys.argv[3:]
PEERS = os.path.abspath(os.environ.get("MUSTER_PEERS", "../shared/peers"))
DATA = os.path.abspath(os.environ.get("MUSTER_DATA", "../shared/data"))
JOB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "configs", "bench-mlp.json")


def muster(*arguments):
    def run():
        out = subprocess.run([os.path.join(BUILD, "muster"), "bench", "train", "--job", JOB,
                              "--json", *arguments], capture_output=True, text=True, check=True)
        return json.loads(out.stdout)["samples_per_second"]
    return run


def apart():
    """Two processes at once that know nothing of each other."""
    command = [os.path.join(BUILD, "muster"), "bench", "train", "--job", JOB, "--json",
               "--workers", "1"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    return sum(json.loads(one.communicate()[0])["samples_per_second"] for one in both)


def compute():
    out = subprocess.run([os.path.join(BUILD, "bench", "bench_compute"), "64"],
                         capture_output=True, text=True, check=True)
    return float(json.loads(out.stdout.splitlines()[-1])["samples_per_second"]["median"])


def torch(*command):
    def run():
        python = os.environ.get("TORCH_PYTHON")
        if not python or not os.path.exists(python):
            return None
        env = dict(os.environ, PYTHON=python, OMP_NUM_THREADS="1")
        words = [python if w == "PYTHON" else os.path.join(PEERS, w) if "." in w else w
                 for w in command]
        out = subprocess.run(words, capture_output=True, text=True, env=env, cwd=PEERS)
        found = re.search(r"samples/s median (\d+)", out.stdout)
        return float(found[1]) if found else None
    return run


def tensorflow(*arguments, **extra):
    def run():
        python = os.environ.get("TF_PYTHON")
        if not python or not os.path.exists(python):
            return None
        env = dict(os.environ, MNIST=os.path.join(DATA, "mnist"),
                   PATH=os.path.dirname(python) + ":" + os.environ["PATH"], **extra)
        env.pop("LD_LIBRARY_PATH", None)
        out = subprocess.run([os.path.join(PEERS, "tf_cluster.sh"), *arguments],
                             capture_output=True, text=True, env=env)
        found = re.search(r"samples/s (\d+)", out.stdout)
        return float(found[1]) if found else None
    return run


TCP = ["--set", "mode.transport=tcp"]
ASYNC = ["--workers", "2", "--ps", "1", "--set", "mode.kind=async", "--set", "train.steps=3000"]
DDP = torch("torch_ranks.sh", "2", "torch_ddp.py", "mlp", "64")
MWMS = tensorflow("multi", "2", "0", "64", "500", "512,512,10")
SERVER = tensorflow("ps", "2", "1", "64", "30", "512,512,10", K="20")

# Where nothing else is said ours goes the way that it finds by itself: shared memory.
TABLE = [
    ("one", "one process / PyTorch", 1.4, compute,
     torch("PYTHON", "torch_train.py", "mlp", "64", "1")),
    ("ddp", "2 workers synchronous / PyTorch DDP gloo", 3.6, muster("--workers", "2"), DDP),
    ("ddp-tcp", "the same, ours over TCP", 2.0, muster("--workers", "2", *TCP), DDP),
    ("mwms", "2 workers synchronous / TensorFlow MultiWorkerMirrored", 5.5,
     muster("--workers", "2"), MWMS),
    ("mwms-tcp", "the same, ours over TCP", 3.0, muster("--workers", "2", *TCP), MWMS),
    ("apart", "2 workers synchronous / two processes that do not talk", 0.9,
     muster("--workers", "2"), apart),
    ("ps", "2 workers + 1 ps asynchronous / TensorFlow ParameterServer, 20 steps", 3.0,
     muster(*ASYNC), SERVER),
    ("ps-tcp", "the same, ours over TCP", 2.0, muster(*ASYNC, *TCP), SERVER),
]

for name, what, target, ours, peer in TABLE:
    if ROWS and name not in ROWS:
        continue
    pairs = []
    for _ in range(ROUNDS):
        theirs = peer()
        if theirs is None:
            break
        pairs.append((ours(), theirs))
    if not pairs:
        print(json.dumps({"row": name, "what": what, "skipped": "the peer is not installed"}))
        continue
    ratios = sorted(a / b for a, b in pairs)
    print(json.dumps({
        "row": name, "what": what, "target": target, "rounds": len(pairs),
        "ours": round(statistics.median(a for a, _ in pairs)),
        "peer": round(statistics.median(b for _, b in pairs)),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(r, 2) for r in ratios]}), flush=True)
