#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backup workers in simulated time: what they are worth, and what they should be worth.

    bench/simulate_backups.py MUSTER [--quick] [--seeds N]

An MLP 784-128-10 learns MNIST (MUSTER_DATA has a folder mnist) with stragglers as Chen et al. 2016
saw them: each step of a worker computes for a time drawn from a lognormal distribution, and two in
a hundred take ten times as long. Two modes: `sync` of 8 workers, and of the first 8 of 10.

The step time is predicted from the very draws (they stand in events.log) and nothing else:

  fresh   the 8th smallest of the draws of each step, as if all began every step together
  carried the same with late workers: one that misses its step begins the next one when it is done

Exits 1 if the measured mean step is not within 3 % of `carried`, or if the time to the accuracy
does not shrink as the step does.
"""
import heapq, statistics, sys
import simulations

WORKERS, BACKUPS = 8, (0, 2)
FLAGS = ["--compute", "lognormal:1s,0.3", "--straggle", "0.02,10", "--link", "10G,50us"]
STEP_TOLERANCE = 0.03


def job(quick, backups):
    return {"name": "backups", "model": {"kind": "mlp", "widths": [784, 32 if quick else 128, 10]},
            "data": simulations.data_section(quick) | {"batch": 15 if quick else 60},
            "mode": {"kind": "sync", "workers": WORKERS, "backups": backups},
            "optimizer": {"kind": "momentum", "learning_rate": 0.2, "momentum": 0.9},
            "log": {"every_steps": 1}, "checkpoint": {"every_steps": 5, "keep": 3},
            "train": {"epochs": 100, "steps": 200 if quick else 600}}


def fresh(draws):
    """Mean over the steps of the WORKERS-th smallest draw."""
    steps = zip(*draws.values())
    return statistics.mean(sorted(step)[WORKERS - 1] for step in steps) / 1e9


def carried(draws, versions):
    """The moments, in seconds, at which each version is there."""
    tasks = list(draws.values())
    version, gathered, at = 0, [], [0.0]
    taken = [0] * len(tasks)
    running = []  # (when done, worker, version it computes with)

    def begin(worker, now):
        if taken[worker] == len(tasks[worker]):
            return  # the run was over for it
        ns = tasks[worker][taken[worker]]
        taken[worker] += 1
        heapq.heappush(running, (now + ns / 1e9, worker, version))

    for worker in range(len(tasks)):
        begin(worker, 0.0)
    while version < versions and running:
        now, worker, seen = heapq.heappop(running)
        if seen < version:
            begin(worker, now)
            continue
        gathered.append(worker)
        if len(gathered) == WORKERS:
            version += 1
            at.append(now)
            if version < versions:
                for each in gathered:
                    begin(each, now)
            gathered = []
    return at


def measured(run):
    """Mean step, in seconds, and how many versions it is about. A point is written when the chief
    has computed, so it had that version as long ago as its draw was."""
    draws = run.draws["chief/0"]
    (first, version), (last, end) = run.points[0], run.points[-1]
    begin = first - draws[0] / 1e9
    return (last - draws[len(run.points) - 1] / 1e9 - begin) / (end - version), end


def study(options, backups, seed):
    run = simulations.simulate(options.muster, job(options.quick, backups), WORKERS + backups, seed,
                               *FLAGS)
    if run.status != 0:
        raise SystemExit(f"simulate_backups: exit {run.status}")
    step, versions = measured(run)
    at = carried(run.draws, versions)
    return {"step": step, "fresh": fresh(run.draws), "carried": at[-1] / (len(at) - 1),
            "seconds": run.seconds_to(options.accuracy), "judged": run.summary["verdicts"]}


def main():
    options = simulations.options_of(__doc__, seeds=5)
    options.accuracy = 0.9 if options.quick else 0.97
    rows, means = [], {}
    for backups in BACKUPS:
        runs = [study(options, backups, seed) for seed in range(1, options.seeds + 1)]
        never = [run for run in runs if run["seconds"] is None]
        if never:
            raise SystemExit("simulate_backups: the accuracy was never reached")
        mean = {key: statistics.mean(run[key] for run in runs)
                for key in ("step", "fresh", "carried", "seconds")}
        means[backups] = mean
        worst = max(abs(run["step"] / run["carried"] - 1) for run in runs)
        dropped = sum(run["judged"]["drop"] for run in runs) / sum(
            sum(run["judged"].values()) for run in runs)
        rows.append((f"{WORKERS} of {WORKERS + backups}", f"{mean['fresh']:.3f}",
                     f"{mean['carried']:.3f}", f"{mean['step']:.3f}", f"{100 * worst:.2f} %",
                     f"{100 * dropped:.1f} %", f"{mean['seconds']:.0f}"))
        mean["worst"] = worst
    simulations.table(("sync", "fresh, s", "carried, s", "measured step, s", "off at most",
                       "dropped", f"to {100 * options.accuracy:.0f} %, s"), rows)
    return judge(means)


def judge(means):
    none, some = means[0], means[BACKUPS[1]]
    step, whole = none["step"] / some["step"], none["seconds"] / some["seconds"]
    print(f"a step is {step:.2f} times as fast, the accuracy is there {whole:.2f} times as soon")
    off = max(mean["worst"] for mean in means.values())
    ok = off <= STEP_TOLERANCE and abs(whole / step - 1) <= 0.15 and step > 1.3
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
