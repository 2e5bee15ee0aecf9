#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that servers cut off, and what all say and do then: test_evict.py MUSTER"""
import json
import socket
import struct
import threading

import events
from cluster import ASYNC, LONG, Case, Cluster, main
from peer import HEADER, HELLO, crc32c, pack, unpack
from proxy import Proxy, shut, start_behind

PUSH_LINK = 3  # kind of a link in a HELLO
ROLES = {"chief": 0, "worker": 1}
PUSH, FRESH, ROWS = 12, 14, 21  # frames
TYPE, TAG, BODY_BYTES, PAYLOAD_BYTES = 2, 5, 6, 7  # in a header
CLICKS = {"name": "clicks", "model": {"kind": "linear"}, "mode": {"kind": "async"},
          "data": {"kind": "clicks", "samples": 2000, "test_samples": 500, "batch": 50},
          "optimizer": {"kind": "adam", "learning_rate": 0.002},
          "checkpoint": {"every_steps": 0}}
GOOD = 20  # pushes before the bad ones


class Spoiler(Proxy):
    """What the victim pushes after some time is not what it sent; or, without `spoil`, it reads no
    answer from then on."""

    def __init__(self, host, port, to, spoil, victim, good=GOOD):
        self.spoil = spoil
        self.good = good
        self.victim = victim
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
        for pump, source, sink in ((self._frames, near, far), (self._answers, far, near)):
            threading.Thread(target=self._run, args=(pump, source, sink, turned),
                             daemon=True).start()

    def _run(self, pump, source, sink, turned):
        try:
            pump(source, sink, turned)
        except OSError:
            pass
        shut(source, sink)

    def _answers(self, source, sink, turned):
        while True:
            if self.spoil:
                header, body, payload = self._frame(source)
                if header[TYPE] == FRESH and header[TAG] >= JUMP:
                    header[TAG] -= JUMP
                self._send(sink, header, body, payload)
            else:
                sink.sendall(source.recv(1 << 16) or self._end())
                if turned.is_set():
                    self.closed.wait()

    def _end(self):
        raise OSError("the end")

    def _take(self, source, count):
        data = b""
        while len(data) < count:
            more = source.recv(count - len(data))
            data += more or self._end()
        return data

    def _frame(self, source):
        header = list(HEADER.unpack(self._take(source, HEADER.size)))
        return header, self._take(source, header[BODY_BYTES]), self._take(
            source, header[PAYLOAD_BYTES])

    def _send(self, sink, header, body, payload):
        header[BODY_BYTES:PAYLOAD_BYTES + 1] = len(body), len(payload)
        start = HEADER.pack(*header[:8], 0)[:-4]
        sink.sendall(start + struct.pack("<I", crc32c(start + body)) + body + payload)

    def _frames(self, source, sink, turned):
        is_victim, pushes = False, 0
        while True:
            header, body, payload = self._frame(source)
            if header[TYPE] == HELLO:
                hello = unpack(body)[0]
                is_victim = ([hello.get(key) for key in ("kind", "role", "index")] ==
                             [PUSH_LINK, ROLES[self.victim[0]], self.victim[1]])
            pushes += is_victim and header[TYPE] == PUSH
            if pushes > self.good:
                turned.set()
            if pushes > self.good and self.spoil:
                body, payload = self.spoil(header, body, payload)
            self._send(sink, header, body, payload)

    def close(self):
        self.closed.set()
        super().close()
        for one in self.pairs:
            one.close()


def of_pushes(spoil):
    def spoiled(header, body, payload):
        return spoil(header, body, payload) if header[TYPE] == PUSH else (body, payload)
    return spoiled


@of_pushes
def not_finite(header, body, payload):
    return body, payload[:-4] + struct.pack("<f", float("nan"))


@of_pushes
def too_large(header, body, payload):
    """Each is a number, and two of them make none."""
    return body, payload[:-4] + struct.pack("<f", 3e38)


@of_pushes
def shorter(header, body, payload):
    return body, payload[:-4]


@of_pushes
def of_the_future(header, body, payload):
    return pack({**unpack(body)[0], "seen": 10 ** 12}), payload


JUMP = 1000


@of_pushes
def ahead(header, body, payload):
    header[TAG] += JUMP
    return body, payload


def far_id(header, body, payload):
    """The last of the ids whose gradients follow."""
    counts = unpack(body)[0] if header[TYPE] == ROWS else {}
    end = 8 * (counts.get("wanted", 0) + counts.get("given", 0))
    if not counts.get("given"):
        return body, payload
    return body, payload[:end - 8] + struct.pack("<Q", 2 ** 63) + payload[end:]


class CutOff(Case):
    def behind(self, spoil, *arguments, server=(), job=ASYNC, victim="worker/1", **counts):
        role, index = victim.split("/")
        cluster = Cluster(self, job=job, chief=1, worker=2, **counts, arguments=[
            *LONG, "--set", "mode.policy=apply", "--set", "mode.transport=tcp", *arguments])
        start_behind(self, cluster, lambda *where: Spoiler(*where, spoil, (role, int(index))),
                     *server)
        return cluster

    def told(self, cluster, why, victim="worker/1"):
        did = f"{victim} sent 3 gradients in a row that were refused, the last {why}"
        for task in cluster.others(victim):
            self.assertEqual(task.ends(), 69, (task.name, task.text))
            self.assertRegex(task.text, rf"error\[E0403\]: {did} \(so says ps/0 ", task.name)
            self.assertNotRegex(task.text, r"ps/\d \S+ (failed|died)|took over|goes on without")
        worker = cluster.tasks[victim]
        self.assertEqual(worker.ends(), 76, worker.text)
        self.assertRegex(worker.text, rf"error\[E0404\]: this task is put out: {did} ")
        self.counted(cluster, victim)

    def counted(self, cluster, victim):
        """What the server had counted is in its events, the summary and the last line of the
        metrics."""
        head = events.points(cluster.out / "tb" / "ps-0")
        told = json.loads((cluster.out / "summary.json").read_text())
        last = json.loads((cluster.out / "metrics.jsonl").read_text().splitlines()[-1])
        by_task = told["verdicts_by_task"]
        self.assertEqual(sorted(by_task), ["chief/0", "worker/0", "worker/1"])
        self.assertEqual({task: by_task[task]["refuse"] for task in by_task},
                         {task: 3 if task == victim else 0 for task in by_task})
        given = {f"verdict/{verdict}/{task}": count for task, verdicts in by_task.items()
                 for verdict, count in verdicts.items() if count}
        self.assertEqual({key: last[key] for key in last if key.startswith("verdict/")}, given)
        for key, count in given.items():
            # Between the accusation and the end the server went on with the others.
            self.assertLessEqual(count, head[f"ps/{key}"][-1])
        self.assertEqual(head[f"ps/verdict/refuse/{victim}"][-1], 3)
        for verdict, count in told["verdicts"].items():
            self.assertEqual(sum(verdicts[verdict] for verdicts in by_task.values()), count)
        self.assertGreater(sum(told["verdicts"].values()), GOOD)
        self.assertLessEqual(told["staleness"]["mean"], told["staleness"]["max"])

    def test_a_worker_whose_gradients_are_not_finite_is_put_out_and_named_by_all(self):
        self.told(self.behind(not_finite, ps=1), "with NaN or infinity")

    def test_so_is_one_whose_gradients_have_another_length(self):
        self.told(self.behind(shorter, ps=2), "of another length than its span has")

    def test_so_is_one_whose_gradients_make_no_number_when_they_are_added(self):
        self.told(self.behind(too_large, "--set", "mode.kind=softsync", "--set",
                              "mode.gradients=4", ps=1), "with an element that is 2\\^48 or more, "
                     "scaled")

    def test_so_is_one_whose_numbers_jump(self):
        self.told(self.behind(ahead, ps=2), "with a number that is not the next one")

    def test_so_is_one_with_ids_out_of_range(self):
        job = self.folder("job")
        job.write_text(json.dumps(CLICKS))
        self.told(self.behind(far_id, job=str(job), ps=2),
                  "with an id out of range, or of another server")

    def test_a_chief_is_put_out_like_any_other(self):
        self.told(self.behind(not_finite, ps=2, victim="chief/0"), "with NaN or infinity",
                  "chief/0")

    def test_what_was_refused_is_told_also_where_nothing_else_came(self):
        cluster = Cluster(self, job=ASYNC, chief=1, ps=1, arguments=[
            *LONG, "--set", "mode.transport=tcp"])
        start_behind(self, cluster,
                     lambda *where: Spoiler(*where, not_finite, ("chief", 0), good=0))
        self.assertEqual(cluster.tasks["chief/0"].ends(), 76)
        self.assertEqual(cluster.tasks["ps/0"].ends(), 69)
        self.assertIn("3 gradients judged: refuse 3;", cluster.tasks["ps/0"].text)
        head = events.points(cluster.out / "tb" / "ps-0")
        self.assertEqual(head["ps/verdict/refuse/chief/0"][-1], 3)

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
