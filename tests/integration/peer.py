# SPDX-License-Identifier: Apache-2.0
"""A peer that speaks the protocol of docs/PROTOCOL.md by hand, for tests of what a task refuses."""
import socket
import struct

from cluster import PATIENCE

HELLO, REFUSAL, WAITING, START, HEARTBEAT, SUSPECT, LOST, GOODBYE = range(1, 9)
CONTROL, PROBE, RING = range(3)
HEADER = struct.Struct("<4sBBHIQIII")
POLYNOMIAL = 0x82F63B78


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pack(value):
    """msgpack of what bodies hold."""
    if isinstance(value, dict):
        return struct.pack(">BH", 0xde, len(value)) + b"".join(
            pack(key) + pack(one) for key, one in value.items())
    if isinstance(value, str):
        return struct.pack(">BH", 0xda, len(value.encode())) + value.encode()
    if isinstance(value, float):
        return struct.pack(">Bd", 0xcb, value)
    return struct.pack(">BQ", 0xcf, value) if value >= 0 else struct.pack(">Bq", 0xd3, value)


NUMBERS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b",
           0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
LENGTHS = {0xd9: ">B", 0xda: ">H", 0xdb: ">I", 0xde: ">H", 0xdf: ">I"}


def unpack(data, at=0):
    """The value at `at`, and where it ends."""
    first, at = data[at], at + 1
    if first in NUMBERS:
        (value,) = struct.unpack_from(NUMBERS[first], data, at)
        return value, at + struct.calcsize(NUMBERS[first])
    if first < 0x80 or first >= 0xe0:
        return first - (0x100 if first >= 0xe0 else 0), at
    if first in LENGTHS:
        (count,) = struct.unpack_from(LENGTHS[first], data, at)
        at += struct.calcsize(LENGTHS[first])
        is_map = first >= 0xde
    else:
        is_map, count = first < 0x90, first & (0x0f if first < 0x90 else 0x1f)
    if not is_map:
        return data[at:at + count].decode(), at + count
    found = {}
    for _ in range(count):
        key, at = unpack(data, at)
        found[key], at = unpack(data, at)
    return found, at


class Peer:
    """One link, from either end."""

    def __init__(self, connection):
        self.connection = connection
        connection.settimeout(PATIENCE)

    @classmethod
    def call(cls, address):
        host, port = address.rsplit(":", 1)
        return cls(socket.create_connection((host, int(port)), timeout=PATIENCE))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, kind, body, generation=0):
        data = pack(body)
        header = HEADER.pack(b"MUST", 1, kind, 0, generation, 0, len(data), 0, 0)[:-4]
        self.connection.sendall(header + struct.pack("<I", crc32c(header + data)) + data)

    def _take(self, count):
        data = b""
        while len(data) < count:
            more = self.connection.recv(count - len(data))
            if not more:
                return None
            data += more
        return data

    def receive(self):
        """(type, generation, body); None at the end of the link."""
        try:
            header = self._take(HEADER.size)
            if header is None:
                return None
            _, _, kind, _, generation, _, body_bytes, _, _ = HEADER.unpack(header)
            body = self._take(body_bytes)
        except ConnectionResetError:
            return None
        return kind, generation, unpack(body)[0] if body else {}

    def await_frame(self, kind):
        while True:
            frame = self.receive()
            if frame is None or frame[0] == kind:
                return frame
