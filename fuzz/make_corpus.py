#!/usr/bin/env python3
"""Writes the seeds of fuzz/corpus that are not files of tests/golden, with Python's own modules.

Run from anywhere; what fuzzing added to the corpus stays.
"""
import collections
import json
import pickle
import struct
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
GOLDEN = ROOT / "tests" / "golden" / "weights"


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("seed-" + name)).write_bytes(data)


def weights():
    for path in sorted(GOLDEN.glob("*.pt")):
        target = "pytorch_zip" if path.name.endswith(".zip.pt") else "pytorch_legacy"
        write(target, path.name, path.read_bytes())


def pickles():
    """The pickles inside PyTorch's archives, which Python alone cannot make, and plain values of every protocol."""
    for path in sorted(GOLDEN.glob("*.zip.pt")):
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            write("pickle", path.name[: -len(".zip.pt")], archive.read(name))
    value = collections.OrderedDict(
        a=[1, (2, 300), -70000, 1 << 40, 1 << 80, {"x": None, "y": (True, False, 1.5)}], b="text", c=(), d={1, 2, 3}
    )
    for protocol in (2, 3, 4):
        write("pickle", f"protocol{protocol}", pickle.dumps(value, protocol))


def safetensors():
    def container(header, data=b""):
        text = json.dumps(header, separators=(",", ":")).encode()
        return struct.pack("<Q", len(text)) + text + data

    def entry(dtype, shape, begin, end):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    types = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
    header, end = {"__metadata__": {"format": "pt", "lethe.arch": "resnet8"}}, 0
    for name, size in types.items():
        header[name.lower()] = entry(name, [2, 3], end, end + 6 * size)
        end += 6 * size
    write("safetensors", "types", container(header, bytes(i % 2 for i in range(end))))
    shapes = {
        "scalar": entry("F32", [], 0, 4),
        "empty": entry("F32", [0, 5], 4, 4),
        "image": entry("F32", [1, 2, 2, 2], 4, 36),
        "rank5": entry("U8", [1, 1, 1, 1, 4], 36, 40),
    }
    write("safetensors", "shapes", container(shapes, bytes(40)))
    write("safetensors", "nothing", container({}))
    write("safetensors", "overlap", container({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(6)))
    write("safetensors", "long-axis", container({"w": entry("F32", [1 << 40, 1, 0, 0], 0, 0)}))


if __name__ == "__main__":
    weights()
    pickles()
    safetensors()
