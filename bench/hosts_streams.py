#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All-reduce between two hosts that are far from each other, over one stream and over several.

    bench/hosts_streams.py BUILD_FOLDER [--bytes N,N,...] [--streams N,N,...] [--delay MS]
                           [--window BYTES] [--rounds N] [--expect RATIO]

The hosts are namespaces of this machine whose packets this script carries, each `delay` later one
way; TCP's buffers hold at most `window` bytes, so that one stream moves no more than that in a
round trip. That is what a long line, or a network that limits each flow, looks like. 0 streams are
as many as are measured to be worth it. Needs root, ip and /dev/net/tun; says that it is skipped
otherwise. One JSON object a size and number of streams; with --expect it fails unless several of
them are so much faster than one.
"""
import argparse, collections, fcntl, json, os, pathlib, signal, statistics, struct, sys, threading
import time

import hosts

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 9000


class Line:
    """Carries packets one way, each `delay` seconds after it came."""

    def __init__(self, source, sink, delay):
        self.source, self.sink, self.delay = source, sink, delay
        self.packets = collections.deque()
        self.filled = threading.Semaphore(0)
        for work in self.take, self.give:
            threading.Thread(target=work, daemon=True).start()

    def take(self):
        while True:
            try:
                packet = os.read(self.source, MTU + 100)
            except OSError:  # the host is gone
                return
            self.packets.append((time.monotonic() + self.delay, packet))
            self.filled.release()

    def give(self):
        while True:
            self.filled.acquire()
            due, packet = self.packets.popleft()
            left = due - time.monotonic()
            if left > 0:
                time.sleep(left)
            try:
                os.write(self.sink, packet)
            except OSError:  # the host is gone
                return


class FarHosts(hosts.Hosts):
    """Two namespaces at the ends of a line."""

    def __init__(self, delay, window):
        super().__init__(0)
        self.delay, self.window, self.ends = delay, window, []

    def make(self):
        for host, name in enumerate(self.names):
            self.make_host(host, name)
        a, b = self.ends
        self.lines = [Line(a, b, self.delay), Line(b, a, self.delay)]

    def make_host(self, host, name):
        device = f"mu{os.getpid() % 1000000}x{host}"
        end = os.open("/dev/net/tun", os.O_RDWR)
        self.ends.append(end)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
        hosts.say("ip", "netns", "add", name)
        hosts.say("ip", "link", "set", device, "netns", name)
        for words in (("link", "set", "lo", "up"), ("link", "set", device, "mtu", str(MTU), "up"),
                      ("addr", "add", self.addresses[host] + "/24", "dev", device)):
            hosts.say("ip", "-n", name, *words)
        for way in "wmem", "rmem":
            hosts.say("ip", "netns", "exec", name, "sysctl", "-qw",
                      f"net.ipv4.tcp_{way}=4096 {self.window} {self.window}")
        self.make_boot(host)


def measure(far, build, options, streams):
    options.streams = streams
    crew = hosts.ours(far, build, options)
    try:
        for byte_count in options.sizes:
            crew.do(f"size {byte_count}")
            us = statistics.median(crew.batch(1) for _ in range(options.rounds))
            crew.do("check")
            row = {"bytes": byte_count, "streams": streams, "us": round(us, 1),
                   "mbyte_per_second": round(byte_count / us, 2)}
            print(json.dumps(row), flush=True)
    finally:
        crew.finish()
    return us


def why_not():
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    return hosts.why_not()


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--bytes", dest="sizes", type=numbers, default=[4, 1 << 20, 4 << 20])
    parser.add_argument("--streams", dest="tried", type=numbers, default=[1, 2, 4, 8, 0])
    parser.add_argument("--delay", type=float, default=10, help="milliseconds, each way")
    parser.add_argument("--window", type=int, default=131072, help="bytes of TCP's buffers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--expect", type=float, help="times faster than one stream, the last size")
    options = parser.parse_args()
    options.wire, options.algorithm = "float32", "best"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 77
    hosts.HOSTS = 2
    build = str(pathlib.Path(options.build).resolve())
    with FarHosts(options.delay / 1000, options.window) as far:
        us = {streams: measure(far, build, options, streams) for streams in options.tried}
    several = [value for streams, value in us.items() if streams != 1]
    if options.expect and us[1] < options.expect * min(several):
        print(f"several streams are not {options.expect} times faster than one")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
