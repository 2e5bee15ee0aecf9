# SPDX-License-Identifier: Apache-2.0
"""The cases of a test file, several at a time, each in a process of its own.

Most of what a cluster does in a test is to wait: for a task that never comes, for a deadline. A
case that is marked with `waits` computes next to nothing meanwhile: many of those run at a time.
Beside them run as many others as there are processors, and last, one by one, those that are marked
with `alone`: what they claim does not hold beside others.
"""
import os
import signal
import sys
import tempfile
import time
import unittest

SLOWLY = "MUSTER_SLOW" in os.environ  # what hardly computes does so with a sanitizer
PROCESSORS = min(len(os.sched_getaffinity(0)), 4)  # a case has several processes
LIMITS = {"waits": 4 if SLOWLY else 12, "computes": 1 if SLOWLY else PROCESSORS}
SKIPPED = 77
ENDS = (signal.SIGTERM, signal.SIGINT)


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
    """One case, in a process with a group of its own."""

    def __init__(self, test, kind):
        self.kind = kind
        self.output = tempfile.TemporaryFile()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(test)

    def _be(self, test):
        code = 1
        try:
            os.setpgid(0, 0)
            for number in ENDS:
                signal.signal(number, signal.SIG_DFL)
            for stream in (1, 2):
                os.dup2(self.output.fileno(), stream)
            result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite([test]))
            code = (1 if not result.wasSuccessful() or result.testsRun != 1 else
                    SKIPPED if result.skipped else 0)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def text(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def sweep(self):
        """Ends what it has left behind."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def heading(text):
    """What unittest says of a case before its own summary, without the rest where all is well."""
    return text.split("\n\n-----", 1)[0].rstrip("\n")


class Runs:
    """All cases of a file, so many of each kind at a time."""

    def __init__(self, tests):
        self.left = {"waits": [], "computes": [], "alone": []}
        for test in tests:
            self.left[kind_of(test)].append(test)
        self.running = {}
        self.codes = []
        for number in ENDS:
            signal.signal(number, self._give_up)

    def _give_up(self, number, _):
        """Whoever ends us has waited for too long: for whom?"""
        for run in self.running.values():
            print(f"---- still running:\n{run.text()}", flush=True)
            run.sweep()
        os._exit(128 + number)

    def run(self, limits):
        while self.running or any(self.left[kind] for kind in limits):
            for kind, limit in limits.items():
                while self.left[kind] and self._count(kind) < limit:
                    run = Run(self.left[kind].pop(0), kind)
                    self.running[run.pid] = run
            self._end(*os.wait())

    def _count(self, kind):
        return sum(run.kind == kind for run in self.running.values())

    def _end(self, pid, status):
        run = self.running.pop(pid)
        run.sweep()
        code = os.waitstatus_to_exitcode(status)
        print(heading(run.text()) if code in (0, SKIPPED) else run.text(), flush=True)
        self.codes.append(code)


def main():
    """Of all cases of the module `__main__`; the exit code says whether all have passed."""
    began = time.monotonic()
    runs = Runs(flatten(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])))
    runs.run(LIMITS)
    runs.run({"alone": 1})
    skipped = runs.codes.count(SKIPPED)
    failed = len(runs.codes) - runs.codes.count(0) - skipped
    took = time.monotonic() - began
    print(f"{len(runs.codes)} cases in {took:.1f} s: {failed} failed, {skipped} skipped")
    sys.exit(1 if failed or not runs.codes else 0)
