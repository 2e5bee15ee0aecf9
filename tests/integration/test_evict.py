#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that servers cut off, and what all say and do then: test_evict.py MUSTER"""
import socket
import struct
import threading

from cluster import ASYNC, LONG, Case, Cluster, main
from peer import HEADER, HELLO, crc32c, pack, unpack
from proxy import Proxy, shut, start_behind

PUSH_LINK, WORKER, PUSH = 3, 1, 12  # kind of a link, role in a HELLO, frame
GOOD = 20  # pushes before the bad ones


class Spoiler(Proxy):
    """What worker/1 pushes after some time is not what it sent; or, without `spoil`, it reads no
    answer from then on."""

    def __init__(self, host, port, to, spoil):
        self.spoil = spoil
        self.pairs = []
        self.closed = threading.Event()
        super().__init__(host, port, to)

    def reach(self):
        far = socket.socket()
        if not self.spoil:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        far.connect(self.to)
        return far

    def join(self, near, far):
        self.pairs += near, far
        turned = threading.Event()
        for pump, source, sink in ((self._frames, near, far), (self._bytes, far, near)):
            threading.Thread(target=self._run, args=(pump, source, sink, turned),
                             daemon=True).start()

    def _run(self, pump, source, sink, turned):
        try:
            pump(source, sink, turned)
        except OSError:
            pass
        shut(source, sink)

    def _bytes(self, source, sink, turned):
        while data := source.recv(1 << 16):
            sink.sendall(data)
            if turned.is_set() and not self.spoil:
                self.closed.wait()

    def _take(self, source, count):
        data = b""
        while len(data) < count:
            more = source.recv(count - len(data))
            if not more:
                raise OSError("the end")
            data += more
        return data

    def _frames(self, source, sink, turned):
        is_victim, pushes = False, 0
        while True:
            header = list(HEADER.unpack(self._take(source, HEADER.size)))
            body, payload = self._take(source, header[6]), self._take(source, header[7])
            if header[2] == HELLO:
                hello = unpack(body)[0]
                is_victim = ([hello.get(key) for key in ("kind", "role", "index")] ==
                             [PUSH_LINK, WORKER, 1])
            pushes += is_victim and header[2] == PUSH
            if pushes > GOOD:
                turned.set()
            if pushes > GOOD and header[2] == PUSH and self.spoil:
                body, payload = self.spoil(body, payload)
                header[6:8] = len(body), len(payload)
            start = HEADER.pack(*header[:8], 0)[:-4]
            sink.sendall(start + struct.pack("<I", crc32c(start + body)) + body + payload)

    def close(self):
        self.closed.set()
        super().close()
        for one in self.pairs:
            one.close()


def not_finite(body, payload):
    return body, payload[:-4] + struct.pack("<f", float("nan"))


def shorter(body, payload):
    return body, payload[:-4]


def of_the_future(body, payload):
    return pack({**unpack(body)[0], "seen": 10 ** 12}), payload


class CutOff(Case):
    def behind(self, spoil, *arguments, server=(), **counts):
        cluster = Cluster(self, job=ASYNC, chief=1, worker=2, **counts, arguments=[
            *LONG, "--set", "mode.policy=apply", "--set", "mode.transport=tcp", *arguments])
        start_behind(self, cluster, lambda *where: Spoiler(*where, spoil), *server)
        return cluster

    def told(self, cluster, why):
        did = f"worker/1 sent 3 gradients in a row that were refused, the last {why}"
        for task in cluster.others("worker/1"):
            self.assertEqual(task.ends(), 69, (task.name, task.text))
            self.assertRegex(task.text, rf"error\[E0403\]: {did} \(so says ps/0 ", task.name)
            self.assertNotRegex(task.text, r"ps/\d \S+ (failed|died)|took over|goes on without")
        worker = cluster.tasks["worker/1"]
        self.assertEqual(worker.ends(), 76, worker.text)
        self.assertRegex(worker.text, rf"error\[E0404\]: this task is put out: {did} ")
        events = b"".join(path.read_bytes() for path in cluster.out.rglob("*tfevents*"))
        self.assertIn(b"ps/verdict/refuse/worker/1", events)

    def test_a_worker_whose_gradients_are_not_finite_is_put_out_and_named_by_all(self):
        self.told(self.behind(not_finite, ps=1), "with NaN or infinity")

    def test_so_is_one_whose_gradients_have_another_length(self):
        self.told(self.behind(shorter, ps=2), "of another length than its span has")

    def test_no_standby_takes_over_for_it(self):
        self.told(self.behind(of_the_future, "--set", "mode.replicas=1", ps=2),
                  "computed with a version that is not there yet")

    def test_one_that_does_not_read_is_lost_and_its_server_is_not(self):
        # Larger answers than the network keeps. The server has less patience than its worker.
        cluster = self.behind(None, "--set", "model.widths=[784,2048,10]", ps=1,
                              server=["--step-timeout", "3"])
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 69, (task.name, task.text))
            self.assertRegex(task.text, r"error\[E0402\]: worker/1 does not read: 1 answer waits "
                                        r"for it on ps/0 .*; it is cut off \(so says ps/0 ")
            self.assertNotRegex(task.text, r"ps/0 \S+ (failed|died)")


if __name__ == "__main__":
    main()
