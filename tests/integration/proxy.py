# SPDX-License-Identifier: Apache-2.0
"""A port of its own before a parameter server, for what a network does or a peer sends."""
import socket
import threading


def shut(*sockets):
    """Ends them also for a thread that waits at one."""
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Proxy:
    """What connects to `host:port` is for `join(near, far)`, which a test has; `reach()` calls the
    server."""

    def __init__(self, host, port, to):
        self.to = to
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                far = self.reach()
            except OSError:
                return
            self.join(near, far)

    def reach(self):
        return socket.create_connection(self.to)

    def close(self):
        shut(self.listener)
        self.listener.close()


def start_behind(case, cluster, make, *server):
    """All find ps/0 behind make(host, port, to): it listens elsewhere, by a socket that it is
    given."""
    hidden = socket.socket()
    hidden.bind((cluster.host, 0))
    hidden.listen(64)
    proxy = make(cluster.host, cluster.port("ps/0"), hidden.getsockname())
    case.addCleanup(proxy.close)
    for name in cluster.names:
        if name == "ps/0":
            given = hidden.fileno()
            cluster.start(name, *server, wrapper=["env", f"MUSTER_LISTEN_FD={given}"],
                          pass_fds=(given,))
            hidden.close()
        else:
            cluster.start(name)
    return proxy
