# SPDX-License-Identifier: Apache-2.0
"""The adult data as sparse text, to what the best linear models reach on it. The data is in the
folder `a9a` of MUSTER_DATA, by default ../shared/data beside the checkout; without it this test is
skipped."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

MUSTER = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("MUSTER_DATA", ROOT.parent / "shared" / "data")) / "a9a"
ROWS = 32560
ALONE = "one process"
RUNS = [ALONE, "worker=4,ps=1", "worker=4,ps=2"]
LEAST = {"test_accuracy": 0.850, "test_auc": 0.902}

if not (DATA / "a9a.gz").exists():
    print(f"skipped: there is no a9a in {DATA} (MUSTER_DATA names another folder)")
    sys.exit(77)

failed = 0
for roles in RUNS:
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "run")
        where = () if roles == ALONE else ("--local", roles)
        done = subprocess.run(
            [MUSTER, "run", str(ROOT / "configs" / "a9a.json"), "--out", out, *where,
             "--set", f"data.path={DATA}/a9a.gz", "--set", f"data.test_path={DATA}/a9a.t.gz"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            print(f"{roles}: exit {done.returncode}\n{done.stdout}{done.stderr}")
            failed += 1
            continue
        with open(os.path.join(out, "summary.json"), encoding="utf-8") as file:
            summary = json.load(file)
    for name, least in LEAST.items():
        print(f"{roles}: {name} {summary[name]:.4f}, {least:.3f} are promised")
        failed += round(summary[name], 3) < least
    failed += summary["samples"] != summary["epochs"] * ROWS
sys.exit(1 if failed else 0)
