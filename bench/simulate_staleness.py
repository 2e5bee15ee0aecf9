#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What to do with stale gradients, in simulated time: accuracy against virtual time.

    bench/simulate_staleness.py MUSTER [--quick] [--seeds N]

16 workers train an MLP 784-128-10 on MNIST (MUSTER_DATA has a folder mnist) through a parameter
server, each step of a worker about a second long and two in a hundred ten. A gradient is about 15
versions late. At the first learning rate plain asynchronous SGD does not get on: which policy does?
At the second, lower one the modes are compared by time: waiting for all, for some, for nobody.

Exits 1 unless scale (Zhang et al. 2016) and compensate (Zheng et al. 2017) are well above apply at
the first rate, and bounded (Ho et al. 2013) is faster than waiting for all at the second and bounds
what is late.
"""
import statistics, sys
import simulations

WORKERS = 16
FLAGS = ["--compute", "lognormal:1s,0.3", "--straggle", "0.02,10", "--link", "10G,50us"]

APPLY = {"kind": "async", "policy": "apply"}
SCALE = {"kind": "async", "policy": "scale"}
COMPENSATE = {"kind": "async", "policy": "compensate"}
BOUNDED_0 = {"kind": "bounded", "bound": 0}
BOUNDED_4 = {"kind": "bounded", "bound": 4}
POLICIES = {"apply": APPLY, "scale": SCALE, "compensate": COMPENSATE, "bounded(4)": BOUNDED_4,
            "bounded(4), scale": BOUNDED_4 | {"policy": "scale"},
            "bounded(4), compensate": BOUNDED_4 | {"policy": "compensate"}}
MODES = {"bounded(0)": BOUNDED_0, "bounded(4)": BOUNDED_4, "async": APPLY}


class Study:
    """Numbers that differ between the whole study and the quick one."""

    def __init__(self, options):
        quick = options.quick
        self.muster, self.quick = options.muster, quick
        self.seeds = range(1, options.seeds + 1)
        self.rate_high, self.rate_low = (0.08, 0.03) if quick else (0.12, 0.03)
        self.epochs = 3 if quick else 2
        self.policies = dict(list(POLICIES.items())[:4]) if quick else POLICIES
        self.moments = (20, 40, 60, 80) if quick else (30, 60, 120, 180, 240, 300)
        self.accuracy = 0.8 if quick else 0.9

    def job(self, mode, rate, every_steps, epochs):
        return {"name": "staleness",
                "model": {"kind": "mlp", "widths": [784, 32 if self.quick else 128, 10]},
                "data": simulations.data_section(self.quick) | {"batch": 15 if self.quick else 30},
                "mode": mode, "optimizer": {"kind": "sgd", "learning_rate": rate},
                "log": {"every_steps": 0}, "checkpoint": {"every_steps": every_steps, "keep": 3},
                "train": {"epochs": epochs}}

    def runs(self, mode, rate, every_steps, epochs):
        job = self.job(mode, rate, every_steps, epochs)
        return [simulations.simulate(self.muster, job, WORKERS, seed, *FLAGS)
                for seed in self.seeds]


def accuracy_at(run, moment):
    """Of the newest checkpoint then; a run that was given up because of its loss guesses."""
    known = [each[2] for each in run.evaluations if each[0] <= moment]
    return known[-1] if known and run.status == 0 else 0.1


def lateness(runs):
    known = [run.summary["staleness"] for run in runs if run.status == 0]
    if not known:
        return "-", "-"
    return f"{statistics.mean(each['mean'] for each in known):.1f}", max(
        each["max"] for each in known)


def compare_policies(study):
    """{policy: accuracy, the mean over the moments}"""
    result, rows = {}, []
    for name, mode in study.policies.items():
        runs = study.runs(mode, study.rate_high, 100 if study.quick else 250, study.epochs)
        means = [statistics.mean(accuracy_at(run, moment) for run in runs)
                 for moment in study.moments]
        result[name] = statistics.mean(means)
        rows.append((name, *(f"{100 * mean:.1f}" for mean in means), *lateness(runs)))
    print(f"test accuracy, %, at a rate of {study.rate_high}")
    simulations.table(("", *(f"{moment} s" for moment in study.moments), "late", "at most"), rows)
    return result


def compare_modes(study):
    """{mode: (mean seconds to the accuracy, largest staleness)}"""
    result, rows = {}, []
    for name, mode in MODES.items():
        runs = study.runs(mode, study.rate_low, 50 if study.quick else 100,
                          study.epochs if study.quick else 1)
        seconds = [run.seconds_to(study.accuracy) or float("inf") for run in runs]
        mean, late = statistics.mean(seconds), lateness(runs)
        result[name] = (mean, late[1])
        rows.append((name, f"{mean:.0f}", *late))
    print(f"\nat a rate of {study.rate_low}")
    simulations.table(("", f"to {100 * study.accuracy:.0f} %, s", "late", "at most"), rows)
    return result


def main():
    study = Study(simulations.options_of(__doc__, seeds=3))
    policies, modes = compare_policies(study), compare_modes(study)
    helps = all(policies[name] > policies["apply"] + 0.1 for name in ("scale", "compensate"))
    waits = modes["bounded(4)"][0] < 0.8 * modes["bounded(0)"][0]
    bounds = modes["bounded(4)"][1] < modes["async"][1]
    return 0 if helps and waits and bounds else 1


if __name__ == "__main__":
    sys.exit(main())
