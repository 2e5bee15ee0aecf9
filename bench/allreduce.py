#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of all-reduces in docs/COLLECTIVES.md: bench/allreduce.py MUSTER [--write FILE]

Runs `muster bench allreduce` for every row, a peer by turns with ours, and prints Markdown; with
--write it replaces what FILE has between its two lines of comment. Gloo takes part where
TORCH_PYTHON, or python3, has torch; MPICH where this build has found it. The limit is what
bench_limits measures: the same bytes with nothing of an all-reduce around them.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

SHORT, MIDDLE, LONG = (4, 1024), (16384, 262144, 4194304), (67108864, 268435456)
# title, arguments, sizes, peers, limit
ROWS = [
    ("one host, 2 ranks, arena", "--ranks 2 --transport route --memory arena",
     SHORT + MIDDLE + LONG, ("openmpi", "mpich"), "memory"),
    ("one host, 2 ranks, any memory", "--ranks 2 --transport route --memory any",
     SHORT + MIDDLE + LONG, ("openmpi", "mpich"), None),
    ("one host, 4 ranks, arena", "--ranks 4 --transport route --memory arena",
     (4, 262144, 67108864), ("openmpi", "openmpi-plain"), "memory"),
    ("tcp, 2 ranks", "--ranks 2 --transport tcp --memory any",
     (4, 4194304, 67108864), ("openmpi", "gloo"), "unix"),
    ("tcp without unix sockets, 2 ranks", "--ranks 2 --transport tcp --home tcp --memory any",
     (4, 4194304, 67108864), ("openmpi", "gloo"), "tcp"),
    ("tcp, 4 ranks", "--ranks 4 --transport tcp --memory any",
     (4, 4194304, 67108864), ("openmpi", "gloo"), "unix"),
    ("Open MPI's messages, 2 ranks", "--ranks 2 --transport mpi --memory any",
     (4, 262144, 67108864), ("openmpi",), None),
]
BEGIN, END = "<!-- bench/allreduce.py begins -->", "<!-- bench/allreduce.py ends -->"


def measure(muster, arguments, sizes, peer):
    command = [muster, "bench", "allreduce", *arguments.split(), "--peer", peer, "--json",
               "--bytes", ",".join(map(str, sizes))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"no {peer} here: {done.stderr.splitlines()[0]}", file=sys.stderr)
        return {}
    return {row["bytes"]: row for row in map(json.loads, done.stdout.splitlines())}


def size_name(count):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            return f"{count // unit} {name}"
    return f"{count} B"


def microseconds(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def find_limits(muster, name, arguments, sizes):
    """Microseconds by size."""
    program = os.path.join(os.path.dirname(muster), "bench", "bench_limits")
    if not name or not os.path.exists(program):
        return {}
    ranks = arguments.split()[1]
    out = subprocess.run([program, name, ranks, *map(str, sizes)], check=True, capture_output=True,
                         text=True).stdout
    return {row["bytes"]: row["us"] for row in map(json.loads, out.splitlines())}


def line(title, row, limit):
    share = f"{row['median_us'] / limit:.1f}" if limit else ""
    return (f"| {title} | {size_name(row['bytes'])} | {row['algorithm']} | "
            f"{microseconds(row['median_us'])} | {row['peer']} | "
            f"{microseconds(row['peer_median_us'])} | {row['ratio']:.2f} | "
            f"{microseconds(limit) if limit else ''} | {share} |")


def table(muster):
    yield "| | bytes | algorithm | us | peer | its us | ratio | limit us | ours / limit |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for title, arguments, sizes, peers, limit in ROWS:
        limits = find_limits(muster, limit, arguments, sizes)
        for peer in peers:
            rows = measure(muster, arguments, sizes, peer)
            for size in sizes:
                if size in rows:
                    yield line(title, rows[size], limits.get(size))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("muster")
    parser.add_argument("--write", metavar="FILE", type=pathlib.Path)
    options = parser.parse_args()
    lines = []
    for text in table(os.path.abspath(options.muster)):
        print(text, flush=True)
        lines.append(text)
    if options.write:
        text = options.write.read_text(encoding="utf-8")
        head, rest = text.split(BEGIN)
        tail = rest.split(END)[1]
        options.write.write_text(head + BEGIN + "\n" + "\n".join(lines) + "\n" + END + tail,
                                 encoding="utf-8")


if __name__ == "__main__":
    main()
