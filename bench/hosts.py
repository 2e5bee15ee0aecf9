#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All-reduce across four hosts that are namespaces of this machine, beside Open MPI and gloo.

    bench/hosts.py BUILD_FOLDER [--bytes N,N,...] [--wire float32|float16|bfloat16]
                   [--algorithm NAME] [--streams N] [--peer openmpi|gloo|none] [--rate MBIT]
                   [--rounds N] [--budget MS]

The hosts hang on one bridge, each link limited both ways. They have their own network, their own
/dev/shm and their own name, and the machine's processors in common: whoever computes or spins takes
that from the others. Needs root, ip and tc; says that it is skipped otherwise. One JSON object a
size; microseconds are of the slowest rank, the ratio is the median of the rounds', floor_us is what
the limited links take for the float32 that an all-reduce must move.
"""
import argparse, json, os, pathlib, shutil, signal, socket, statistics, subprocess, sys, tempfile

HOSTS = 4
PORT = 5000
BURST_BYTES = 128 << 10
# What travels beside a full segment of TCP: Ethernet, IP and TCP with timestamps. The queue counts
# Ethernet's header, but no preamble.
MTU, HEADERS = 1500, 52
GOODPUT = (MTU - HEADERS) / (MTU + 14)
OPERATIONS_MAX = 20000
# A host of its own to whatever asks: shared memory, the kernel's number of this boot, a name.
BECOME_HOST = ('mount -t tmpfs none /dev/shm && mount --bind "$1" /proc/sys/kernel/random/boot_id '
               '&& hostname "$2" && shift 2 && exec "$@"')


def say(*words):
    subprocess.run(words, check=True)


class Hosts:
    """Four namespaces and a fifth with the bridge; they go when this does."""

    def __init__(self, rate_mbit):
        self.rate = f"{rate_mbit}mbit"
        self.prefix = f"muster{os.getpid()}"
        self.switch = self.prefix + "-switch"
        self.names = [f"{self.prefix}-{i}" for i in range(HOSTS)]
        self.addresses = [f"10.77.0.{i + 1}" for i in range(HOSTS)]

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="muster-hosts-")
        try:
            self.make()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def make(self):
        say("ip", "netns", "add", self.switch)
        say("ip", "-n", self.switch, "link", "add", "bridge", "type", "bridge")
        say("ip", "-n", self.switch, "link", "set", "bridge", "up")
        for host, name in enumerate(self.names):
            self.make_host(host, name)

    def make_host(self, host, name):
        port = f"port{host}"
        say("ip", "netns", "add", name)
        say("ip", "-n", name, "link", "set", "lo", "up")
        say("ip", "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port,
            "netns", self.switch)
        say("ip", "-n", name, "addr", "add", self.addresses[host] + "/24", "dev", "eth0")
        say("ip", "-n", name, "link", "set", "eth0", "up")
        say("ip", "-n", self.switch, "link", "set", port, "master", "bridge")
        say("ip", "-n", self.switch, "link", "set", port, "up")
        for at, device in (name, "eth0"), (self.switch, port):
            say("tc", "-n", at, "qdisc", "add", "dev", device, "root", "tbf", "rate", self.rate,
                "burst", str(BURST_BYTES), "latency", "10ms")
        say("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno")
        self.make_boot(host)

    def make_boot(self, host):
        digits = f"{os.getpid():024x}{host:08x}"
        pathlib.Path(self.folder, f"boot{host}").write_text(
            "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) + "\n")

    def remove(self):
        for name in [*self.names, self.switch]:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def at(self, host, *command):
        return ["ip", "netns", "exec", self.names[host], "unshare", "--uts", "sh", "-c",
                BECOME_HOST, "sh", f"{self.folder}/boot{host}", f"host{host}", *command]

    def script(self):
        """What ssh is elsewhere: SCRIPT ADDRESS COMMAND..."""
        path = pathlib.Path(self.folder, "run-at")
        boot = " ".join(f'{address}) set -- {name} {host} "$*" ;;' for host, (name, address) in
                        enumerate(zip(self.names, self.addresses)))
        path.write_text(f"""#!/bin/sh
to=$1; shift
case $to in {boot} *) exit 68 ;; esac
exec ip netns exec "$1" unshare --uts sh -c '{BECOME_HOST}' sh "{self.folder}/boot$2" "host$2" \\
    sh -c "$3"
""")
        path.chmod(0o755)
        return str(path)


class Crew:
    """The ranks of one side, led over a socket each: the lines are those of cli/bench_rank.h."""

    def __init__(self, folder, name, commands):
        self.path = f"{folder}/{name}"
        self.name = name
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen(HOSTS)
            listener.settimeout(1)
            self.children = [subprocess.Popen(command, stdin=subprocess.DEVNULL)
                             for command in commands(self.path)]
            try:
                self.lines = [self.accept(listener) for _ in range(HOSTS)]
                for line in self.lines:
                    line.readline()  # "rank R"
            except BaseException:
                self.finish()
                raise

    def accept(self, listener):
        for _ in range(60):
            try:
                return listener.accept()[0].makefile("rw")
            except TimeoutError:
                if any(child.poll() is not None for child in self.children):
                    break
        raise SystemExit(f"{self.name}: its ranks do not start")

    def do(self, order):
        for line in self.lines:
            line.write(order + "\n")
            line.flush()
        answers = [line.readline().strip() for line in self.lines]
        for answer in answers:
            if not answer or answer.startswith("failed"):
                raise SystemExit(f"{self.name}: {order}: {answer or 'a rank is gone'}")
        return answers

    def batch(self, operations):
        answers = self.do(f"batch {operations}")
        return max(int(answer.split()[1]) for answer in answers) / 1e3 / operations

    def operations(self, budget_us):
        operations, us = 1, self.batch(1)
        while us * operations < 0.2 * budget_us and operations < OPERATIONS_MAX:
            operations = min(operations * 4, OPERATIONS_MAX)
            us = self.batch(operations)
        return max(1, min(OPERATIONS_MAX, int(budget_us / us)))

    def finish(self):
        for line in getattr(self, "lines", []):
            line.close()
        pathlib.Path(self.path).unlink(missing_ok=True)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.terminate()
                child.wait()


# ---- who runs ----

def ours(hosts, build, options):
    def commands(path):
        addresses = [f"{address}:{PORT}" for address in hosts.addresses]
        return [hosts.at(rank, f"{build}/bench/bench_hosts", path, options.wire,
                         options.algorithm, str(options.streams), str(rank), *addresses)
                for rank in range(HOSTS)]
    return Crew(hosts.folder, "muster", commands)


def open_mpi(hosts, build):
    def commands(path):
        return [hosts.at(0, "mpirun", "--allow-run-as-root", "-np", str(HOSTS), "--host",
                         ",".join(hosts.addresses), "--mca", "plm_rsh_agent", hosts.script(),
                         "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "eth0",
                         "--mca", "oob_tcp_if_include", "eth0",
                         # Each host believes that the processors are its own: ranks would all take
                         # the first one, and never let go of it.
                         "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1",
                         "-x", "MALLOC_MMAP_THRESHOLD_=1073741824",
                         "-x", "MALLOC_TRIM_THRESHOLD_=4294967296",
                         "-x", "MALLOC_TOP_PAD_=268435456",
                         f"{build}/bench/peer_openmpi", path)]
    return Crew(hosts.folder, "openmpi", commands)


def gloo(hosts, build):
    def commands(path):
        os.environ["GLOO_SOCKET_IFNAME"] = "eth0"
        python = os.environ.get("TORCH_PYTHON", "python3")
        return [hosts.at(rank, python, "-c",
                         f"import sys; sys.path.insert(0, '{build}/bench'); import peer_gloo; "
                         f"peer_gloo.serve('{path}', {rank}, {HOSTS})") for rank in range(HOSTS)]
    return Crew(hosts.folder, "gloo", commands)


PEERS = {"openmpi": open_mpi, "gloo": gloo}


# ---- measuring ----

def floor_us(byte_count, options):
    moved = 2 * (HOSTS - 1) / HOSTS * byte_count
    return moved * 8 / (options.rate * GOODPUT)


def measure(byte_count, options, us, peer):
    us.do(f"size {byte_count}")
    budget_us = 1000 * options.budget
    our_operations = us.operations(budget_us)
    if peer:
        peer.do(f"size {byte_count}")
        peer_operations = peer.operations(budget_us)
    rounds = []
    for _ in range(options.rounds):
        mine = us.batch(our_operations)
        rounds.append((mine, peer.batch(peer_operations) if peer else None))
    us.do("check")
    median = statistics.median(mine for mine, _ in rounds)
    row = {"bytes": byte_count, "ranks": HOSTS, "wire": options.wire, "ours_us": round(median, 1),
           "floor_us": round(floor_us(byte_count, options), 1)}
    row["of_floor"] = round(median / floor_us(byte_count, options), 3)
    if peer:
        row |= {"peer": options.peer,
                "peer_us": round(statistics.median(their for _, their in rounds), 1),
                "ratio": round(statistics.median(mine / their for mine, their in rounds), 3)}
    print(json.dumps(row), flush=True)


def bench(options):
    build = str(pathlib.Path(options.build).resolve())
    with Hosts(options.rate) as hosts:
        us = ours(hosts, build, options)
        peer = None
        try:
            if options.peer != "none":
                peer = PEERS[options.peer](hosts, build)
            for byte_count in map(int, options.bytes.split(",")):
                measure(byte_count, options, us, peer)
        finally:
            us.finish()
            if peer:
                peer.finish()


# ---- the command ----

def why_not():
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in "ip", "tc", "unshare":
        if not shutil.which(program):
            return f"there is no {program}"
    probe = subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], capture_output=True)
    return probe.stderr.decode().strip() if probe.returncode else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    parser.add_argument("--bytes", default="4,1024,16384,262144,4194304,67108864")
    parser.add_argument("--wire", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--algorithm", default="best")
    parser.add_argument("--peer", default="openmpi", choices=[*PEERS, "none"])
    parser.add_argument("--rate", type=float, default=1000, help="of each link, Mbit/s")
    parser.add_argument("--streams", type=int, default=0, help="to each host; 0: as measured")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--budget", type=float, default=100, help="milliseconds of a batch")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        return 0
    bench(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
