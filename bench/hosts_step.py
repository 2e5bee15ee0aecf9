#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training step across the four hosts of hosts.py whose computing and talking take about as long.

    bench/hosts_step.py BUILD_FOLDER [--batch N] [--widths N,N,...] [--steps N] [--rate MBIT]
                        [--set KEY=VALUE ...] [--timeline FILE]

Milliseconds of a step: of four processes that compute and do not talk; of four that talk and
compute next to nothing (a batch of one sample); and of the real thing. The ratio is the real step
to the longer of the two. Needs what hosts.py needs.
"""
import argparse, json, os, pathlib, shutil, statistics, subprocess, sys, tempfile
import hosts

POINT_STEPS = 5  # between two lines of metrics.jsonl
COLD_POINTS = 4


def job(options, batch):
    widths = [784, *map(int, options.widths.split(",")), 10]
    return {"name": "step", "model": {"kind": "mlp", "widths": widths},
            "data": {"kind": "glyphs", "batch": batch, "samples": 100000, "test_samples": 16},
            "mode": {"kind": "sync", "check_every": 0},
            "optimizer": {"kind": "sgd", "learning_rate": 1e-4},
            "log": {"every_steps": POINT_STEPS, "timeline_steps": 40},
            "train": {"epochs": 1000, "steps": options.steps, "seed": 1}}


def step_ms(folder):
    lines = pathlib.Path(folder, "metrics.jsonl").read_text().splitlines()
    points = [json.loads(line) for line in lines][COLD_POINTS:]
    return statistics.median(1000 * (b["time"] - a["time"]) / (b["step"] - a["step"])
                             for a, b in zip(points, points[1:]) if b["step"] > a["step"])


def spec(world, rank):
    return json.dumps({"cluster": {"worker": [f"{a}:{hosts.PORT}" for a in world.addresses]},
                       "task": {"type": "worker", "index": rank}})


def run(world, options, batch, together):
    """Milliseconds of a step, the slowest that is known."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "job.json")
        path.write_text(json.dumps(job(options, batch)))
        children = []
        for rank in range(hosts.HOSTS):
            env = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
            if together:
                env["TF_CONFIG"] = spec(world, rank)
            out = f"{folder}/run" if together else f"{folder}/run{rank}"
            sets = [word for given in options.set for word in ("--set", given)]
            children.append(subprocess.Popen(
                world.at(rank, f"{options.build}/muster", "run", str(path), "--out", out,
                         "--quiet", *sets), env=env, stdin=subprocess.DEVNULL))
        if any([child.wait() for child in children]):
            raise SystemExit("hosts_step: a task has failed")
        if together and options.timeline and batch > 1:
            shutil.copy(f"{folder}/run/timeline.json", options.timeline)
        return max(step_ms(out) for out in sorted(pathlib.Path(folder).glob("run*")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build", type=lambda build: str(pathlib.Path(build).resolve()))
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--widths", default="64" + 12 * ",512")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--timeline", help="where the leader's timeline.json is copied to")
    options = parser.parse_args()
    reason = hosts.why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    with hosts.Hosts(options.rate) as world:
        computing = run(world, options, options.batch, False)
        talking = run(world, options, 1, True)
        both = run(world, options, options.batch, True)
    print(json.dumps({"batch": options.batch, "compute_ms": round(computing, 2),
                      "exchange_ms": round(talking, 2), "step_ms": round(both, 2),
                      "ratio": round(both / max(computing, talking), 3)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
