# SPDX-License-Identifier: Apache-2.0
"""Reads a run directory with TensorBoard's and safetensors' own readers and compares what they find
with metrics.jsonl, the manifests and `muster checkpoint show`.

    check.py RUN_DIRECTORY [MUSTER]
"""
import json
import math
import pathlib
import subprocess
import sys

import numpy
from safetensors import safe_open
# The one behind the dashboards; the other accumulator keeps tensors that a restart has outdated.
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


def crc_table():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return f"{crc ^ 0xFFFFFFFF:08x}"


def expect(condition, text):
    if not condition:
        sys.exit(f"interop: {text}")


def read_metrics(run):
    """The last value of each key at each step: a resumed run writes steps again."""
    found = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        for key, value in entry.items():
            found[key, entry["step"]] = value
    return found


def check_events(run):
    """The leading task's scalars are the numbers of metrics.jsonl; the others' are their own."""
    metrics = read_metrics(run)
    folders = sorted({path.parent for path in (run / "tb").rglob("events.out.tfevents.*")})
    expect(folders, "there is no event file")
    agreed = [count for count in (check_folder(folder, metrics) for folder in folders) if count]
    expect(agreed, "no task's event file agrees with metrics.jsonl")
    return max(agreed)


def check_folder(folder, metrics):
    """How many points agree with metrics.jsonl; 0 if any does not."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    differing = agreeing = 0
    for tag in events.Tags()["tensors"]:
        points = events.Tensors(tag)
        plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
        values = [tensor_util.make_ndarray(point.tensor_proto) for point in points]
        if plugin == "histograms":
            [check_histogram(tag, value) for value in values]
        else:
            expect(plugin == "scalars", f"{tag}: plug-in {plugin}")
            steps = [point.step for point in points]
            expect(steps == sorted(set(steps)), f"{folder}: {tag}: a step is there twice: {steps}")
            for step, value in zip(steps, values):
                other = metrics.get((tag.removeprefix("train/"), step))
                if other is not None and numpy.float32(other) == value:
                    agreeing += 1
                elif other is not None:
                    differing += 1
    return 0 if differing else agreeing


def check_histogram(tag, rows):
    expect(rows.ndim == 2 and rows.shape[1] == 3, f"{tag}: shape {rows.shape}")
    expect((rows[1:, 0] == rows[:-1, 1]).all(), f"{tag}: the buckets do not join")
    expect((rows[:, 2] >= 0).all(), f"{tag}: a negative count")


def check_checkpoint(folder, muster):
    manifest = json.loads((folder / "manifest.json").read_text())
    expect(manifest["step"] == int(folder.name), f"{folder}: the manifest is of another step")
    shown = show(folder, muster) if muster else None
    count = 0
    for name, file in manifest["files"].items():
        data = (folder / name).read_bytes()
        expect(len(data) == file["bytes"], f"{folder / name}: {len(data)} bytes")
        expect(crc32c(data) == file["crc32c"], f"{folder / name}: crc")
        with safe_open(folder / name, framework="numpy") as tensors:
            expect(sorted(tensors.keys()) == sorted(file["tensors"]), f"{folder / name}: names")
            for tensor in tensors.keys():
                values = tensors.get_tensor(tensor)
                dtype = numpy.int64 if tensor == "embedding.ids" else numpy.float32
                expect(values.dtype == dtype, f"{tensor}: {values.dtype}")
                expect(crc32c(values.tobytes()) == file["tensors"][tensor], f"{tensor}: crc")
                if shown:
                    compare_shown(tensor, values, shown[name][tensor])
                count += 1
            if name == "embedding.safetensors":
                check_rows(folder / name, {tensor: tensors.get_tensor(tensor)
                                           for tensor in tensors.keys()})
    return count


def check_rows(path, tensors):
    """An embedding table: a row of each tensor an id, in the order of the ids."""
    ids = tensors.pop("embedding.ids").view(numpy.uint64)
    expect("embedding.rows" in tensors, f"{path}: no rows")
    expect((ids[1:] > ids[:-1]).all(), f"{path}: the ids are out of order")
    shapes = {values.shape for values in tensors.values()}
    expect(len(shapes) == 1, f"{path}: shapes {shapes}")
    expect(shapes.pop()[0] == len(ids), f"{path}: not as many rows as ids")


def show(folder, muster):
    run = subprocess.run([muster, "checkpoint", "show", "--json", "--step", folder.name,
                          str(folder.parent)], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def compare_shown(name, values, shown):
    expect(list(values.shape) == shown["shape"], f"{name}: shape {values.shape}")
    if values.dtype != numpy.float32:
        expect("min" not in shown, f"{name}: numbers for {values.dtype}")
        return
    wide = values.astype(numpy.float64)
    for key, value in (("min", wide.min()), ("max", wide.max()), ("mean", wide.mean()),
                       ("norm", math.sqrt((wide * wide).sum()))):
        expect(math.isclose(value, shown[key], rel_tol=1e-9, abs_tol=1e-12),
               f"{name}: {key} is {value}, muster says {shown[key]}")


def check_summary(run, newest):
    """The end of the run and its last checkpoint speak of the same parameters."""
    if not (run / "summary.json").exists():
        return
    summary = json.loads((run / "summary.json").read_text())
    manifest = json.loads((newest / "manifest.json").read_text())
    expect(summary["steps"] == manifest["step"], f"{run}: summary.json is of another step")
    expect(summary["parameters_crc32c"] == manifest["parameters_crc32c"],
           f"{run}: summary.json and the newest checkpoint have different parameters")


def main():
    run = pathlib.Path(sys.argv[1])
    muster = sys.argv[2] if len(sys.argv) > 2 else None
    points = check_events(run)
    folders = sorted((run / "checkpoints").glob("[0-9]*"), key=lambda folder: int(folder.name))
    expect(folders, "there is no checkpoint")
    check_summary(run, folders[-1])
    tensors = sum(check_checkpoint(folder, muster) for folder in folders)
    print(f"{run.name}: {points} points and {tensors} tensors of {len(folders)} checkpoints agree")


main()
