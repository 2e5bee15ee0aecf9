# SPDX-License-Identifier: Apache-2.0
"""Real clusters on loopback, for the tests beside this file.

A test waits for what it can see, never for a while: a line of output, an end, a file. MUSTER_SLOW=N
(for sanitizers and valgrind) makes every bound on time N times as long. MUSTER_SLOW_STEPS=N (for
ThreadSanitizer, with which a step takes some twenty times as long) makes runs that only have to
last while something is done to them N times shorter.
"""
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import side_by_side

SLOW = float(os.environ.get("MUSTER_SLOW", "1"))
SLOW_STEPS = float(os.environ.get("MUSTER_SLOW_STEPS", "1"))
PATIENCE = 30 * SLOW  # for what must come, and no claim says how soon
LAUNCHERS = ("TF_CONFIG", "CLUSTER_SPEC", "AIP_", "MUSTER_", "SM_", "SLURM_", "OMPI_", "PMIX_",
             "RANK", "WORLD_SIZE")
MUSTER = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else "muster"
ROOT = pathlib.Path(__file__).resolve().parents[2]
SYNC = str(ROOT / "configs" / "demo.json")
ASYNC = str(ROOT / "configs" / "demo-async.json")
LONG = ["--epochs", "1000000"]  # a run that does not end by itself
ALONE = "alone"  # one process without a cluster


def steps(count, least=0):
    """That many where a step takes what it should; fewer, which last no less, where it does not.
    `least`: what is claimed of the end needs so many."""
    return max(int(count / SLOW_STEPS), least)


def environment(**more):
    """Without any launcher's variables."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    clean.update(more)
    return clean


# A process of ours has said something or has ended. Files tell nobody when they change: they are
# looked at that often.
NEWS = threading.Condition()
LOOK_EVERY = 0.01


def tell():
    with NEWS:
        NEWS.notify_all()


def until(condition, what, patience=None):
    """The first value of `condition()` that is true; fails after a while."""
    deadline = time.monotonic() + (patience or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        with NEWS:
            NEWS.wait(LOOK_EVERY)


class Process:
    """One process of ours and its lines, each with the time it came; unless `output`, a descriptor,
    takes them."""

    def __init__(self, name, arguments, pass_fds=(), output=subprocess.PIPE, **variables):
        self.name = name
        self.lines = []
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=environment(**variables), pass_fds=pass_fds)
        self.pid = self.process.pid
        self.ended = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.waiter = threading.Thread(target=self._wait, daemon=True)
        self.waiter.start()

    def _read(self):
        for line in self.process.stdout or ():
            self.lines.append((time.monotonic(), line.decode(errors="replace").rstrip("\n")))
            tell()

    def _wait(self):
        self.process.wait()
        self.ended = time.monotonic()
        tell()

    @property
    def text(self):
        return "\n".join(line for _, line in self.lines)

    def says(self, pattern, patience=None):
        """Waits for a line; returns its match and when it came."""
        def look():
            for when, line in list(self.lines):
                match = re.search(pattern, line)
                if match:
                    return match, when
            if self.ended is not None and not self.reader.is_alive():
                raise AssertionError(f"{self.name} ended without saying {pattern!r}:\n{self.text}")
            return None
        try:
            return until(look, f"{self.name} to say {pattern!r}", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    def ends(self, patience=None):
        """The exit code, as a shell gives it."""
        until(lambda: self.ended is not None, f"the end of {self.name}:\n{self.text}\n",
              patience)
        self.reader.join(PATIENCE)
        if self.reader.is_alive():
            raise AssertionError(f"{self.name} has ended, and somebody holds its output:\n"
                                 f"{self.text}")
        code = self.process.returncode
        return code if code >= 0 else 128 - code

    @property
    def took(self):
        return self.ended - self.started

    def signal(self, number):
        """Returns when it was sent. After a SIGSTOP nothing of the process runs any more: its
        threads stop one after the other, under load some time later."""
        if self.ended is None:
            os.kill(self.pid, number)
        sent = time.monotonic()
        if number == signal.SIGSTOP:
            until(lambda: self.ended is not None or all(s in "tT" for s in thread_states(self.pid)),
                  f"{self.name} to stop")
        return sent

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)
        if self.process.stdout:
            self.process.stdout.close()


# Holds the first thread of a process, the one that trains, where it is; the others go on.
HOLD = """
import ctypes, os, signal, sys
SEIZE, INTERRUPT, ANY_THREAD = 0x4206, 0x4207, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
for request in SEIZE, INTERRUPT:
    if libc.ptrace(request, int(sys.argv[1]), None, None) != 0:
        sys.exit("cannot trace: " + os.strerror(ctypes.get_errno()))
os.waitpid(int(sys.argv[1]), ANY_THREAD)
print("held", flush=True)
signal.pause()
"""


def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def free_ports(count, host="127.0.0.1"):
    held = [socket.socket(family(host)) for _ in range(count)]
    for one in held:
        one.bind((host, 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Cluster:
    """Tasks that are started one by one, each by its own command. Unless told otherwise the cluster
    has an address of the loopback network to itself, so that no connection of others takes its
    ports."""

    def __init__(self, case, job=SYNC, arguments=(), host=None, **counts):
        self.case = case
        self.job = job
        self.arguments = list(arguments)
        self.out = case.folder("run")
        self.host = host or ".".join(
            str(random.randint(1, 254)) if i else "127" for i in range(4))
        ports = iter(free_ports(sum(counts.values()), self.host))
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.spec = {role: [f"{shown}:{next(ports)}" for _ in range(count)]
                     for role, count in counts.items() if count}
        self.names = [f"{role}/{i}" for role in self.spec for i in range(len(self.spec[role]))]
        self.tasks = {}

    def address(self, name):
        role, index = name.split("/")
        return self.spec[role][int(index)]

    def port(self, name):
        return int(self.address(name).rsplit(":", 1)[1])

    def config(self, name, spec=None):
        role, index = name.split("/")
        return json.dumps({"cluster": spec or self.spec,
                           "task": {"type": role, "index": int(index)}})

    def start(self, name, *arguments, spec=None, job=None, wrapper=(), **more):
        task = Process(name, [*wrapper, MUSTER, "run", job or self.job, "--out", str(self.out),
                              *self.arguments, *arguments], **more,
                       TF_CONFIG=self.config(name, spec))
        self.case.own(task)
        self.tasks[name] = task
        return task

    def start_all(self, *arguments):
        for name in self.names:
            self.start(name, *arguments)
        return self

    def paste(self, command, *arguments):
        """A command that a task has offered, typed for each task into a shell where nothing else
        says who is in the cluster."""
        words = shlex.split(command)
        for name in self.names:
            words[words.index("--task") + 1] = name
            task = Process(name, [MUSTER, *words, *arguments])
            self.case.own(task)
            self.tasks[name] = task
        return self

    def trains(self, points=3):
        """Waits until some steps are behind."""
        self.case.trains(self.out, points)
        return self

    def others(self, *names):
        return [self.tasks[name] for name in self.tasks if name not in names]


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self._owned = []
        self._bad_before = self._bad()
        self._root = pathlib.Path(tempfile.mkdtemp(prefix="muster-test-"))
        self._runs = 0

    def tearDown(self):
        for one in reversed(self._owned):  # who holds another is last, and lets it go
            one.close()
        if self._bad() > self._bad_before:
            for one in self._owned:
                print(f"---- {one.name}: {one.process.returncode}\n{one.text[-3000:]}",
                      file=sys.stderr)
        shutil.rmtree(self._root, ignore_errors=True)

    def _bad(self):
        result = self._outcome.result
        return len(result.failures) + len(result.errors)

    def own(self, process):
        self._owned.append(process)

    def hold(self, process):
        """Its thread that trains does not get on any more, until what this returns is closed."""
        holder = Process("holder", [sys.executable, "-c", HOLD, str(process.pid)])
        self.own(holder)
        until(lambda: holder.lines or holder.ended, "a hold on a thread")
        if holder.text != "held":
            self.skipTest(f"{holder.text}: allow ptrace (kernel.yama.ptrace_scope=0, or root)")
        return holder

    def folder(self, name):
        self._runs += 1
        return self._root / f"{name}-{self._runs}"

    def small_disk(self):
        """A disk of 8 MiB that only they see whom the second part starts."""
        disk = self.folder("disk")
        disk.mkdir()
        holder = Process("holder", ["unshare", "--mount", "sh", "-c",
                                    f"mount -t tmpfs -o size=8m none {disk} && echo ready && "
                                    "exec tail -f /dev/null"])
        self.own(holder)
        until(lambda: holder.lines or holder.ended, "a disk")
        if holder.text != "ready":
            self.skipTest(f"this user may not mount: {holder.text}")
        return disk, ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]

    def muster(self, *arguments, **variables):
        """One command to its end."""
        process = Process("muster", [MUSTER, *map(str, arguments)], **variables)
        self.own(process)
        process.code = process.ends()
        return process

    def local(self, roles, *arguments, job=SYNC, out=None, **variables):
        """A cluster under the launcher, or ALONE, started."""
        out = out or self.folder("run")
        where = () if roles == ALONE else ("--local", roles)
        process = Process("launcher", [MUSTER, "run", job, *where, "--out", str(out),
                                       *map(str, arguments)], **variables)
        process.out = out
        self.own(process)
        return process

    def trained(self, roles, *arguments, code=0, **more):
        """A cluster under the launcher, to its end; its summary in `.summary`."""
        process = self.local(roles, *arguments, **more)
        self.assertEqual(process.ends(), code, process.text)
        path = process.out / "summary.json"
        process.summary = json.loads(path.read_text()) if path.exists() else None
        return process

    def trains(self, out, points=3):
        path = out / "metrics.jsonl"
        until(lambda: path.exists() and path.read_text().count("\n") >= points,
              f"{points} points in {path}")

    def pids(self, launcher):
        """Of the tasks of a launcher, by name."""
        match, _ = launcher.says(r"started (.*)")
        return {name: int(pid) for name, pid in re.findall(r"(\S+) pid (\d+)", match.group(1))}


def state(folder):
    """Of a process or a thread, by its folder in /proc: a letter; X where it is no more."""
    try:
        return (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def alive(pid):
    return state(pathlib.Path(f"/proc/{pid}")) not in "ZX"


def thread_states(pid):
    try:
        return [state(thread) for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:
        return []


def tensors(path):
    """The tensors of a safetensors file of float32: name -> array of floats."""
    data = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + header_bytes])
    found = {}
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        first, last = tensor["data_offsets"]
        assert tensor["dtype"] == "F32", tensor
        found[name] = struct.unpack(f"<{(last - first) // 4}f",
                                    data[8 + header_bytes + first:8 + header_bytes + last])
    return found


def checkpoints(out):
    """Folders of the checkpoints of a run, oldest first."""
    return sorted((path for path in (out / "checkpoints").glob("[0-9]*") if path.is_dir()),
                  key=lambda path: int(path.name))


def main():
    """`test.py MUSTER [TEST...]`: without names, all cases of the file, side by side."""
    if len(sys.argv) <= 2:
        side_by_side.main()
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
