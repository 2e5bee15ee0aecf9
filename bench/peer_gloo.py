#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch's gloo all-reduce as a peer of `muster bench allreduce`: peer_gloo.py SOCKET RANKS

Forks a process for each rank. Each speaks the lines of cli/bench_rank.h over SOCKET and does what
our own ranks do: the same data, the same runs, the same rest in between.
"""
import importlib.util
import math
import os
import socket
import sys
import time

PERIOD = 977
SCALE = 2.0 ** -110
DOUBLINGS = 220
WARM_UPS = 3


class Rank:
    def __init__(self, torch, rank, ranks):
        self.torch, self.rank, self.ranks = torch, rank, ranks
        self.run_max = int(DOUBLINGS / math.log2(ranks))
        self.data = None

    def period(self, count, values):
        repeats = -(-count // PERIOD)
        return (values * SCALE).to(self.torch.float32).repeat(repeats)[:count]

    def size(self, byte_count):
        count = byte_count // 4
        index = self.torch.arange(PERIOD, dtype=self.torch.float64)
        ranks = self.ranks
        self.start = self.period(count, index + self.rank + 1)
        expected = self.period(count, (index + 1) * ranks + ranks * (ranks - 1) // 2)
        self.data = self.start.clone()
        self.allreduce()
        return self.torch.equal(self.data, expected)

    def allreduce(self):
        self.torch.distributed.all_reduce(self.data)

    def timed_run(self, operations):
        self.data.copy_(self.start)
        self.torch.distributed.barrier()
        begin = time.perf_counter()
        for _ in range(operations):
            self.allreduce()
        return time.perf_counter() - begin

    def batch(self, operations):
        self.timed_run(min(WARM_UPS, self.run_max))
        total, done = 0.0, 0
        while done < operations:
            run = min(self.run_max, operations - done)
            total += self.timed_run(run)
            done += run
        return total

    def obey(self, line):
        word, _, argument = line.strip().partition(" ")
        if word == "size":
            return "ready gloo" if self.size(int(argument)) else "failed the sum is wrong"
        if word == "batch":
            return f"took {self.batch(int(argument)) * 1e9:.0f}"
        return f"failed it does not know `{line.strip()}`"


def serve(path, rank, ranks):
    import torch
    import torch.distributed
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}.gloo", rank=rank,
                                         world_size=ranks)
    with socket.socket(socket.AF_UNIX) as lead:
        lead.connect(path)
        with lead.makefile("rw") as lines:
            lines.write(f"rank {rank}\n")
            lines.flush()
            one = Rank(torch, rank, ranks)
            for line in iter(lines.readline, ""):
                lines.write(one.obey(line) + "\n")
                lines.flush()


def main():
    path, ranks = sys.argv[1], int(sys.argv[2])
    if not importlib.util.find_spec("torch"):
        sys.exit(f"{sys.executable} has no torch: TORCH_PYTHON names a Python that has")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    children = []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            serve(path, rank, ranks)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if os.path.exists(path + ".gloo"):
        os.unlink(path + ".gloo")
    return max(abs(code) for code in codes)


if __name__ == "__main__":
    sys.exit(main())
