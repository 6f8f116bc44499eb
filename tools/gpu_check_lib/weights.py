"""Compares weight files (safetensors) with nothing but Python's own library."""
import array
import hashlib
import json
import math
import struct
import sys

TYPES = {"F32": "f", "F64": "d", "I64": "q", "I32": "i"}


def load(path):
    """{name: (type, values)}."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header, tensors = json.loads(data[8 : 8 + length]), {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = array.array(TYPES[entry["dtype"]])
        values.frombytes(data[8 + length + begin : 8 + length + end])
        if sys.byteorder != "little":
            values.byteswap()
        tensors[name] = (entry["dtype"], values)
    return tensors


def differing_share(actual, expected, before):
    """|actual - expected| over |expected - before|, in Euclidean length. Infinite where nothing should have moved and
    something did, or where a value is no number."""
    error = math.fsum((a - e) ** 2 for a, e in zip(actual, expected))
    movement = math.fsum((e - b) ** 2 for e, b in zip(expected, before))
    if error == 0:
        return 0.0
    share = math.sqrt(error / movement) if movement > 0 else math.inf
    return share if math.isfinite(share) else math.inf


def worst_share(actual, expected, before):
    """The tensor in which two files that were both made from `before` differ most: (share, name). BatchNorm's counters
    may be missing in `before`: PyTorch before 0.4.1, which wrote the published checkpoint, had none."""
    actual, expected, before = load(actual), load(expected), load(before)
    new = set(expected) - set(before)
    if set(actual) != set(expected) or not all(name.endswith(".num_batches_tracked") for name in new):
        return math.inf, "the tensors have other names"
    worst = (0.0, "no tensor")
    for name, (kind, wanted) in expected.items():
        length = len(wanted) if name in new else len(before[name][1])
        if kind != actual[name][0] or len(wanted) != len(actual[name][1]) or len(wanted) != length:
            return math.inf, name
        if kind in ("F32", "F64"):
            share = differing_share(actual[name][1], wanted, before[name][1])
        else:
            share = 0.0 if actual[name][1] == wanted else math.inf
        worst = max(worst, (share, name))
    return worst


def row_distances(actual, expected, rows):
    """Euclidean distances of the rows of the only tensors of two files."""
    ((_, actual),), ((_, expected),) = load(actual).values(), load(expected).values()
    size = len(expected) // rows
    return [math.sqrt(math.fsum((a - e) ** 2 for a, e in zip(actual[i : i + size], expected[i : i + size])))
            for i in range(0, rows * size, size)]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
