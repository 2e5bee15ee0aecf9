#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peers of another run or another generation, and what tasks make of them: test_fence.py MUSTER"""
import json
import signal
import socket

import peer
from cluster import PATIENCE, Case, Cluster, alive, main
from peer import CONTROL, HELLO, PROBE, REFUSAL, RING, START, Peer
from side_by_side import waits

OTHER_RUN = 0x1234
BEAT = {"doing": 0, "step": 0, "age": 0, "collective": 0, "samples": 0, "loss": 0.5,
        "accuracy": 0.5}


class Fence(Case):
    """Has a hello that is right in every field: the one with which the leader looks for worker/1,
    made into worker/1's own."""

    def cluster(self, *arguments, workers=2):
        cluster = Cluster(self, arguments=arguments, chief=1, worker=workers)
        with socket.create_server((cluster.host, cluster.port("worker/1"))) as server:
            server.settimeout(PATIENCE)
            cluster.start("chief/0")
            cluster.start("worker/0")
            with Peer(server.accept()[0]) as leader:
                kind, _, hello = leader.receive()
        self.assertEqual((kind, hello["kind"]), (HELLO, PROBE))
        self.hello = dict(hello, role=1, index=1)
        return cluster

    def greet(self, link, **changes):
        link.send(HELLO, dict(self.hello, **changes))
        kind, _, body = link.receive()
        return kind, body

    @waits
    def test_who_came_and_went_before_a_slow_leader_looked_has_not_died(self):
        cluster = self.cluster("--steps", "100")
        chief = cluster.tasks["chief/0"]
        chief.signal(signal.SIGSTOP)
        with Peer.call(cluster.address("chief/0")) as link:
            link.send(HELLO, dict(self.hello, kind=CONTROL))
        chief.signal(signal.SIGCONT)
        cluster.start("worker/1")
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
            self.assertNotIn("error[", task.text)

    def test_a_hello_of_another_run_is_refused_and_the_run_goes_on(self):
        cluster = self.cluster("--steps", "3000")
        cluster.start("worker/1")
        cluster.trains()
        for task in ("chief/0", "worker/0"):
            for link_kind in (CONTROL, PROBE, RING):
                with Peer.call(cluster.address(task)) as link:
                    kind, body = self.greet(link, kind=link_kind, run=OTHER_RUN)
                self.assertEqual((kind, body["error"]), (REFUSAL, 309), body)
                self.assertRegex(body["text"], r"^worker/1 belongs to run 0000000000001234, which "
                                               r"has ended; this is run [0-9a-f]{16}$")
        for task in cluster.tasks.values():
            self.assertEqual(task.ends(), 0, task.text)
            self.assertNotIn("error[", task.text)
        self.assertEqual(json.loads((cluster.out / "summary.json").read_text())["steps"], 3000)

    @waits
    def test_the_same_hello_without_a_run_or_of_this_one_is_answered(self):
        cluster = self.cluster("--steps", "100000")
        cluster.start("worker/1")
        cluster.trains()
        with Peer.call(cluster.address("chief/0")) as link:
            kind, body = self.greet(link, kind=PROBE, run=0)
            self.assertEqual(kind, HELLO)
        with Peer.call(cluster.address("chief/0")) as link:
            self.assertEqual(self.greet(link, kind=PROBE, run=body["run"])[0], HELLO)
        self.assertTrue(all(alive(task.pid) for task in cluster.tasks.values()))

    @waits
    def test_a_process_that_calls_again_before_the_start_is_no_second_copy(self):
        """It gave up waiting for an answer; the leader has not seen the end of its first call."""
        cluster = self.cluster(workers=3)
        address = cluster.address("chief/0")
        with Peer.call(address) as first, Peer.call(address) as second, Peer.call(address) as other:
            self.assertEqual(self.greet(first, kind=CONTROL)[0], HELLO)
            self.assertEqual(self.greet(second, kind=CONTROL)[0], HELLO)
            kind, body = self.greet(other, kind=CONTROL, incarnation=7)
            self.assertEqual((kind, body["error"]), (REFUSAL, 307), body)

    def joined(self, cluster):
        """A link as worker/1 that is a member of the run, and the generation of the run."""
        link = Peer.call(cluster.address("chief/0"))
        self.addCleanup(link.connection.close)
        self.assertEqual(self.greet(link, kind=CONTROL)[0], HELLO)
        _, generation, body = link.await_frame(START)
        self.assertNotEqual(body["run"], 0)
        return link, generation

    @waits
    def test_a_frame_of_another_generation_ends_the_link_and_the_run_with_its_sender_named(self):
        for other in (1, 0xfffffffe):
            cluster = self.cluster("--steps", "24")
            link, generation = self.joined(cluster)
            for fine in (generation, 0):
                link.send(peer.HEARTBEAT, BEAT, fine)
            # Two heartbeats of the leader, one of them later than it has read ours.
            for _ in range(2):
                self.assertIsNotNone(link.await_frame(peer.HEARTBEAT))
            link.send(peer.HEARTBEAT, BEAT, generation + other & 0xffffffff)
            self.assertIsNone(link.await_frame(None))
            for name in ("chief/0", "worker/0"):
                task = cluster.tasks[name]
                self.assertEqual(task.ends(), 69, task.text)
                self.assertRegex(
                    task.text, rf"error\[E0401\]: worker/1 \({cluster.address('worker/1')}\) "
                               r"died: sent what the protocol does not allow")


if __name__ == "__main__":
    main()
