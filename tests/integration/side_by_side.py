# SPDX-License-Identifier: Apache-2.0
"""The cases of a test file, several at a time, each in a process of its own.

Most of what a cluster does in a test is to wait: for a task that never comes, for a deadline. A
case that is marked with `waits` computes next to nothing meanwhile: many of those run at a time.
Beside them run as many others as there are processors, and last, one by one, those that are marked
with `alone`: what they claim does not hold beside others.
"""
import os
import sys
import tempfile
import time
import unittest

SLOWLY = "MUSTER_SLOW" in os.environ  # what hardly computes does so with a sanitizer
LIMITS = {"waits": 4 if SLOWLY else 12, "computes": 1 if SLOWLY else os.cpu_count() or 1}


def waits(case):
    """A function or a class of cases that hardly compute."""
    case.kind = "waits"
    return case


def alone(case):
    """A function or a class of cases whose claims do not hold beside others."""
    case.kind = "alone"
    return case


def kind_of(test):
    function = getattr(test, test._testMethodName)
    return getattr(function, "kind", getattr(test, "kind", "computes"))


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


class Run:
    """One case in a process."""

    def __init__(self, test, kind):
        self.kind = kind
        self.output = tempfile.TemporaryFile()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(test)

    def _be(self, test):
        for stream in (1, 2):
            os.dup2(self.output.fileno(), stream)
        result = unittest.TextTestRunner(verbosity=2).run(test)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0 if result.wasSuccessful() else 1)

    def text(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")


def heading(text):
    """What unittest says of a case before its own summary, without the rest where all is well."""
    return text.split("\n\n-----", 1)[0].rstrip("\n")


def run_all(left, limits):
    """Runs what is left of each kind, so many at a time; how many have failed."""
    running, failed = {}, 0
    while running or any(left[kind] for kind in limits):
        for kind, limit in limits.items():
            while left[kind] and sum(run.kind == kind for run in running.values()) < limit:
                run = Run(left[kind].pop(0), kind)
                running[run.pid] = run
        pid, status = os.wait()
        text = running.pop(pid).text()
        failed += status != 0
        print(heading(text) if status == 0 else text, flush=True)
    return failed


def main():
    """Of all cases of the module `__main__`; the exit code says whether all have passed."""
    began = time.monotonic()
    left = {"waits": [], "computes": [], "alone": []}
    for test in flatten(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])):
        left[kind_of(test)].append(test)
    count = sum(map(len, left.values()))
    failed = run_all(left, LIMITS)
    failed += run_all(left, {"alone": 1})
    print(f"{count} cases in {time.monotonic() - began:.1f} s, {failed} failed")
    sys.exit(1 if failed else 0)
