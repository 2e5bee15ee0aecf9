# SPDX-License-Identifier: Apache-2.0
"""What an event file says, for tests: docs/EVENT_FILES.md."""
import struct

VARINT, EIGHT_BYTES, STRING, FOUR_BYTES = 0, 1, 2, 5
STEP, SUMMARY, SESSION, VALUE, TAG, TENSOR, CONTENT, FLOATS = 2, 5, 7, 1, 1, 8, 4, 5
STATUS, START = 1, 1


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7f) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """The fields of a message: number and bytes, or a varint."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == VARINT:
            value, at = varint(data, at)
        else:
            length = {EIGHT_BYTES: 8, FOUR_BYTES: 4}.get(key & 7)
            if length is None:
                length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        yield key >> 3, value


def inside(data, *path):
    """What lies at the end of a path of fields."""
    for number, value in fields(data):
        if number == path[0]:
            if len(path) == 1:
                yield value
            else:
                yield from inside(value, *path[1:])


def records(folder):
    """The events of a task, of all its files, in order."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            yield data[at + 12:at + 12 + length]
            at += 12 + length + 4


def points(folder):
    """The event files of a task: tag -> the numbers of its points, one after the other."""
    found = {}
    for record in records(folder):
        for value in inside(record, SUMMARY, VALUE):
            tag = next(inside(value, TAG)).decode()
            numbers = found.setdefault(tag, [])
            for packed in inside(value, TENSOR, FLOATS):
                numbers += struct.unpack(f"<{len(packed) // 4}f", packed)
            for packed in inside(value, TENSOR, CONTENT):
                numbers += struct.unpack(f"<{len(packed) // 8}d", packed)
    return found


def steps(folder, tag):
    """Of the points of a tag, as a reader shows them: the second START and each after it void what
    was said before of its step and later ones."""
    found, started = [], False
    for record in records(folder):
        step = next(inside(record, STEP), 0)
        if START in inside(record, SESSION, STATUS):
            found = [old for old in found if old < step] if started else found
            started = True
        if any(next(inside(value, TAG)).decode() == tag
               for value in inside(record, SUMMARY, VALUE)):
            found.append(step)
    return found


def last_histogram(numbers):
    """Of the points of a histogram: the counts of the last one; each begins at the left again."""
    rows = list(zip(numbers[0::3], numbers[2::3]))
    begins = max(i for i, (left, _) in enumerate(rows) if i == 0 or left <= rows[i - 1][0])
    return [count for _, count in rows[begins:]]
