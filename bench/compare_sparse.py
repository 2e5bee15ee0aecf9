#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Click models beside Vowpal Wabbit and TensorFlow, in turns, ratios as medians.

usage: bench/compare_sparse.py BUILD [ROUNDS] [ROW ...]

BUILD is a build folder that has `muster`. The click-through set of MUSTER_PEERS/ctr (default
../shared/peers) lies in MUSTER_CTR (default /tmp/ctr); made there by
`python3 ctr/generate.py && gcc -O2 ctr/text.c -o text && ./text`. Pythons: VW_PYTHON with
vowpalwabbit, TF_PYTHON with tensorflow. A row whose peer is not there is skipped, and says so.

Ours are the configs of the same name: rows of one pass by the time from the start of the process,
scan and reading of the text included. Vowpal Wabbit's is its run less one over a thousand lines.
TensorFlow's is the median of its own five windows, after its start and first steps, from binary
records. AUC is of the test file; memory that of the largest process.
"""
import itertools, json, os, re, statistics, subprocess, sys, tempfile, time

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
ROWS = sys.argv[3:]
HOME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PEERS = os.path.join(os.path.abspath(os.environ.get("MUSTER_PEERS", "../shared/peers")), "ctr")
DATA = os.path.abspath(os.environ.get("MUSTER_CTR", "/tmp/ctr"))
TRAIN_ROWS = 1800000


def timed(words, cwd=None, env=None):
    """Seconds, MiB of the largest process, output."""
    started = time.monotonic()
    child = subprocess.Popen(words, cwd=cwd, env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{words} exits {child.returncode}\n{text}")
    return time.monotonic() - started, usage.ru_maxrss / 1024, text


def muster(config, kind, *arguments):
    def run():
        with tempfile.TemporaryDirectory() as out:
            files = [word for key, name in (("path", "train"), ("test_path", "test"))
                     for word in ("--set", f"data.{key}={DATA}/{name}.{kind}")]
            _, mib, _ = timed([os.path.join(BUILD, "muster"), "run",
                               os.path.join(HOME, "configs", config), *files, *arguments,
                               "--out", out])
            with open(os.path.join(out, "summary.json")) as file:
                summary = json.load(file)
        return summary["rows_per_second"], {"auc": round(summary["test_auc"], 4), "mib": round(mib)}
    return run


def python_of(variable):
    python = os.environ.get(variable)
    return python if python and os.path.exists(python) else None


def vowpal(name):
    def run():
        python = python_of("VW_PYTHON")
        if not python:
            return None
        with tempfile.TemporaryDirectory() as folder:
            some = os.path.join(folder, "some.vw")
            with open(os.path.join(DATA, name)) as lines, open(some, "w") as few:
                few.writelines(itertools.islice(lines, 1000))
            command = [python, os.path.join(PEERS, "vw.py"), "--loss_function", "logistic", "-b",
                       "24", "--quiet", "-f", os.path.join(folder, "model"), "-d"]
            start, _, _ = timed([*command, some])
            whole, mib, _ = timed([*command, os.path.join(DATA, name)])
        return (TRAIN_ROWS - 1000) / (whole - start), {"mib": round(mib)}
    return run


def tensorflow(*words):
    def run():
        python = python_of("TF_PYTHON")
        if not python:
            return None
        env = dict(os.environ, ACC="1e-6", PATH=os.path.dirname(python) + ":" + os.environ["PATH"])
        env.pop("LD_LIBRARY_PATH", None)
        command = [os.path.join(PEERS, words[0]), *words[1:]]
        _, mib, text = timed([python, *command] if words[0].endswith(".py") else
                             ["bash", *command], cwd=DATA, env=env)
        found = re.search(r"rows/s wall med (\d+).* AUC ([0-9.]+)", text)
        return (float(found[1]), {"auc": float(found[2]), "mib": round(mib)}) if found else None
    return run


def deep(batch, *arguments):
    return muster("ctr-wide-deep.json", "tsv", "--batch", str(batch), *arguments)


CLUSTER = ("--local", "worker=2,ps=1")
# An eighth of the steps: a larger rate, and gradients that are less late.
LARGE = ("--lr", "0.15", "--set", "mode.in_flight=1")
LARGE_CLUSTER = (*CLUSTER, *LARGE, "--set", "mode.warmup_steps=20")
TABLE = [
    ("linear", "linear by FTRL, one process / Vowpal Wabbit", 1.2,
     muster("ctr-linear.json", "svm"), vowpal("train.vw")),
    ("deep", "wide and deep, one process, batch 512 / TensorFlow", 1.5,
     deep(512), tensorflow("tf_ctr.py", "one", "512", "450000")),
    ("deep-ps", "the same, 2 workers 1 ps, batch 512 / TensorFlow ParameterServer", 4,
     deep(512, *CLUSTER), tensorflow("tf_ctr.sh", "2", "1", "512", "300000")),
    ("deep-ps-4096", "the same, batch 4096 / TensorFlow ParameterServer", 2,
     deep(4096, *LARGE_CLUSTER), tensorflow("tf_ctr.sh", "2", "1", "4096", "900000")),
    ("deep-own", "2 workers 1 ps / our one process, batch 512", 1,
     deep(512, *CLUSTER), deep(512)),
    ("deep-own-4096", "2 workers 1 ps / our one process, batch 4096", 1,
     deep(4096, *LARGE_CLUSTER), deep(4096, *LARGE)),
]


def compare(name, what, target, ours, peer):
    pairs = []
    for _ in range(ROUNDS):
        theirs = peer()
        if theirs is None:
            break
        pairs.append((ours(), theirs))
    if not pairs:
        return {"row": name, "what": what, "skipped": "the peer is not there, or gave no result"}
    ratios = sorted(a[0] / b[0] for a, b in pairs)
    more = {f"{side}_{key}": statistics.median(pair[at][1][key] for pair in pairs)
            for at, side in ((0, "ours"), (1, "peer")) for key in pairs[0][at][1]}
    return {"row": name, "what": what, "target": target, "rounds": len(pairs),
            "ours": round(statistics.median(a[0] for a, _ in pairs)),
            "peer": round(statistics.median(b[0] for _, b in pairs)),
            "ratio": round(statistics.median(ratios), 2),
            "ratios": [round(r, 2) for r in ratios], **more}


if not os.path.exists(os.path.join(DATA, "train.svm")):
    print(json.dumps({"skipped": f"{DATA} has no click-through set; see the top of this program"}))
    sys.exit(0)
for row in TABLE:
    if not ROWS or row[0] in ROWS:
        print(json.dumps(compare(*row)), flush=True)
