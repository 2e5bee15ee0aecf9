#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nobody reads what a run says, and it trains on all the same: test_console.py MUSTER"""
import fcntl
import os
import pty
import re
import signal
import threading
import time

from cluster import LONG, SLOW, Case, Cluster, checkpoints, main, tell, until
from side_by_side import alone

# Nearly every step is a bad one: a warning each, from every task.
WORDY = ["--lr", "1e6", "--set", "optimizer.weight_decay=1e6", "--set",
         "train.bad_steps_max=1000000"]
MISSING = r"\[(\d+) lines? w(?:as|ere) not shown here; (\S+)/logs/chief-0.log has them\]"
STOP, GO_ON = b"\x13", b"\x11"  # ^S and ^Q


class Reader:
    """The other end of a console. It reads nothing before it is told to."""

    def __init__(self, case, ours, theirs):
        self.fd, self.theirs = ours, theirs
        self.got = b""
        self.ended = False
        case.addCleanup(self.close)

    def given_away(self):
        """The processes that write there have it; once they are gone, there is an end."""
        os.close(self.theirs)
        self.theirs = None

    def read(self):
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while piece := os.read(self.fd, 65536):
                self.got += piece
                tell()
        except OSError:  # a terminal that nobody has open any more
            pass
        self.ended = True
        tell()

    @property
    def text(self):
        return self.got.decode(errors="replace").replace("\r\n", "\n")

    def close(self):
        os.close(self.fd)
        if self.theirs is not None:
            os.close(self.theirs)


def fill(fd):
    """With whole lines, until not a byte finds room."""
    os.set_blocking(fd, False)
    try:
        while True:
            os.write(fd, b"filling\n" * 512)
    except BlockingIOError:
        os.set_blocking(fd, True)


class Console(Case):
    def full_pipe(self):
        ours, theirs = os.pipe()
        fill(theirs)
        return Reader(self, ours, theirs)

    def terminal(self):
        ours, theirs = pty.openpty()
        return Reader(self, ours, theirs)

    def grows(self, path, bytes_more):
        before = path.stat().st_size
        until(lambda: path.stat().st_size >= before + bytes_more, f"{bytes_more} bytes in {path}")

    def warned(self, log):
        """The steps of which a log says that they were left out."""
        return [int(step) for step in re.findall(r"WARN \S+ step (\d+) is left", log.read_text())]

    def chief(self, console, *arguments):
        """A chief that writes there, its worker, and the log of the chief."""
        cluster = Cluster(self, chief=1, worker=1)
        cluster.start("chief/0", *arguments, output=console.theirs, TERM="xterm")
        console.given_away()
        cluster.start("worker/0", *arguments)
        return cluster, cluster.out / "logs" / "chief-0.log"

    def test_a_pipe_that_nobody_reads_does_not_hold_up_a_run(self):
        pipe = self.full_pipe()
        cluster, log = self.chief(pipe, *WORDY, "--steps", "400")
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        steps = self.warned(log)
        self.assertGreater(len(steps), 300)
        self.assertEqual(steps, list(range(steps[0], 401)))
        self.assertIn("400 steps, ", log.read_text())

    def test_a_terminal_stopped_by_control_s_does_not_stop_training(self):
        terminal = self.terminal()
        terminal.read()
        cluster, log = self.chief(terminal, *WORDY, *LONG)
        until(lambda: "is left out" in terminal.text, "a line on the terminal")
        os.write(terminal.fd, STOP)
        self.grows(log, 100_000)
        shown = terminal.text
        self.assertNotIn("not shown", shown)
        os.write(terminal.fd, GO_ON)
        until(lambda: re.search(MISSING, terminal.text), "how many lines are missing")
        until(lambda: "is left out" in terminal.text.split("not shown")[1], "the next line")
        cluster.tasks["chief/0"].signal(signal.SIGTERM)
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 75, task.text)
        # What is on the terminal and what is said to be missing are all that the log has.
        until(lambda: terminal.ended, "the end of what is on the terminal")
        missing = sum(int(count) for count, _ in re.findall(MISSING, terminal.text))
        self.assertGreater(missing, 100)
        shown = re.findall(r"(?m)^.*warning: step (\d+) is left out on all replicas: .*finite$",
                           terminal.text)
        others = len(shown) + missing - len(self.warned(log))
        self.assertIn(others, range(4))  # the last words may be missing, too

    def test_a_terminal_that_is_not_read_does_not_stop_training(self):
        terminal = self.terminal()
        cluster, log = self.chief(terminal, *WORDY, "--steps", "3000")
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
        steps = self.warned(log)
        self.assertEqual(steps, list(range(steps[0], 3001)))

    @alone
    def test_a_launcher_whose_console_is_full_obeys_a_signal(self):
        pipe = self.full_pipe()
        launcher = self.local("chief=1,worker=1", *WORDY, *LONG, output=pipe.theirs)
        pipe.given_away()
        self.trains(launcher.out)
        self.grows(launcher.out / "logs" / "chief-0.log", 200_000)
        asked = launcher.signal(signal.SIGTERM)
        self.assertEqual(launcher.ends(), 75)
        self.assertLess(time.monotonic() - asked, 5 * SLOW)
        self.assertTrue(checkpoints(launcher.out))
        self.assertIn("stopped at step", (launcher.out / "logs" / "chief-0.log").read_text())

    def test_a_launcher_says_how_many_lines_it_could_not_show(self):
        pipe = self.full_pipe()
        launcher = self.local("chief=1,worker=1", *WORDY, *LONG, output=pipe.theirs)
        pipe.given_away()
        self.trains(launcher.out)
        # More than the chief's pipe holds: the launcher has read on, and let lines go.
        self.grows(launcher.out / "logs" / "chief-0.log", 200_000)
        pipe.read()
        folder = re.escape(str(launcher.out))
        until(lambda: re.search(r"(?m)^filling\n\[\d+ lines were not shown here; the logs of the "
                                rf"tasks are in {folder}/logs\]$", pipe.text), "what is missing")
        launcher.signal(signal.SIGTERM)
        self.assertEqual(launcher.ends(), 75)
        until(lambda: pipe.ended, "the end of what is in the pipe")
        for line in pipe.text.splitlines():
            self.assertRegex(line, r"^filling$|^\[")

    def test_a_stopped_launcher_does_not_stop_training(self):
        launcher = self.local("chief=1,worker=1", *WORDY, *LONG)
        pids = self.pids(launcher)
        self.trains(launcher.out)
        # The tasks' pipes to it are short: soon full.
        for pid in pids.values():
            with open(f"/proc/{pid}/fd/1", "wb") as theirs:
                fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
        launcher.signal(signal.SIGSTOP)
        for name in ("chief-0", "worker-0"):
            self.grows(launcher.out / "logs" / f"{name}.log", 200_000)
        points = (launcher.out / "metrics.jsonl").read_text().count("\n")
        self.trains(launcher.out, points + 3)
        launcher.signal(signal.SIGCONT)
        match, _ = launcher.says(rf"^\[chief/0\] {MISSING}$")
        self.assertEqual(match.group(2), str(launcher.out))
        self.assertGreater(int(match.group(1)), 100)
        launcher.signal(signal.SIGTERM)
        self.assertEqual(launcher.ends(), 75, launcher.text[-3000:])
        self.assertIn("stopped at step", (launcher.out / "logs" / "chief-0.log").read_text())


if __name__ == "__main__":
    main()
