#!/usr/bin/env python3
"""Writes tests/golden/weights: small files made by torch.save, and the values PyTorch reads back from them.

Usage: python3 tests/golden/make_weights.py    (written with PyTorch 1.13 and NumPy 1.24)

NAME.zip.pt and NAME.legacy.pt hold the same object in both containers; NAME.expected holds what a reader must find,
one entry per line: name, dtype in the file, sizes separated by 'x' ('-' for a scalar), then the values in row-major
order, floats as C99 hexadecimal.
"""

import collections
import hashlib
import io
import os
import pickle
import struct
import zipfile

import numpy
import torch

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weights")


SAFETENSORS = {"float16": "F16", "float32": "F32", "float64": "F64", "int8": "I8", "int16": "I16", "int32": "I32",
               "int64": "I64", "uint8": "U8", "bool": "BOOL"}


def value_text(value):
    return float(value).hex() if isinstance(value, float) else str(int(value))


def write_expected(name, entries):
    with open(os.path.join(FOLDER, name + ".expected"), "w", encoding="ascii") as out:
        for key, tensor in entries.items():
            sizes = "x".join(str(size) for size in tensor.shape) or "-"
            values = tensor.detach().float() if tensor.is_floating_point() else tensor.detach().long()
            words = [value_text(value) for value in values.contiguous().reshape(-1).tolist()]
            print(key, str(tensor.dtype).removeprefix("torch."), sizes, *words, file=out)


def save(name, thing, entries):
    for kind in ("zip", "legacy"):
        path = os.path.join(FOLDER, f"{name}.{kind}.pt")
        torch.save(thing, path, _use_new_zipfile_serialization=kind == "zip")
    write_expected(name, entries)


def dtypes():
    values = torch.tensor([0.0, -0.0, 1.0, -1.5, 3.140625, 1e-7, 65504.0, float("inf"), -float("inf"), 0.1])
    entries = collections.OrderedDict()
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        entries[str(dtype)] = values.to(dtype)
    entries["double"] = torch.tensor([1e300, 1 / 3, -1e-300, 2.0**-149], dtype=torch.float64)
    integers = torch.tensor([[0, 1, -1], [127, -128, 5]])
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8):
        entries[str(dtype)] = integers.to(dtype)
    entries["wide"] = torch.tensor([2**62 + 1, -(2**63)])
    entries["uint8"] = torch.tensor([0, 255], dtype=torch.uint8)
    entries["bool"] = torch.tensor([True, False])
    entries["scalar"] = torch.tensor(42)
    entries["none"] = torch.zeros(0, 3)
    save("dtypes", entries, entries)


def strided():
    base = torch.arange(48.0).reshape(2, 3, 4, 2)
    entries = {
        "nchw": base,
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "transposed": base.reshape(6, 8).t(),
        "sliced": base.reshape(6, 8)[1:6:2, 3:7],
        "stepped": base[:, 1:, ::3, 1:],
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
        "row": base.reshape(6, 8)[4],
        "integers": torch.arange(6).reshape(2, 3).t(),
        "parameter": torch.nn.Parameter(torch.tensor([1.0, 2.0])),
    }
    save("strided", entries, entries)


def nested():
    """A training script's checkpoint: DataParallel's names, optimizer state, numbers and odds and ends around it."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3))
    state = collections.OrderedDict(("module." + key, value) for key, value in model.state_dict().items())
    state["module.1._extra_state"] = {"note": "no tensor"}
    thing = {
        "epoch": 7,
        "best": numpy.float64(91.5),
        "history": [0.25, 0.5, -3, 2**70, None, True, (1, 2, 3, 4)],
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "five_dimensions": torch.zeros(1, 1, 1, 1, 1),
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "net": {"state_dict": state},
    }
    save("nested", thing, {key: value for key, value in model.state_dict().items()})


class StorageView:
    """Stands for a part of a storage, which PyTorch 0.x could save."""

    def __init__(self, key, numel, offset, size):
        self.identity = ("storage", torch.FloatStorage, key, "cpu", numel, (f"{key}.{offset}", offset, size))


class RebuildTensor:
    def __init__(self, storage, offset, size, stride):
        self.arguments = (storage, offset, size, stride)

    def __reduce__(self):
        return torch._utils._rebuild_tensor, self.arguments


def old_views():
    """The legacy container by hand: two tensors that are views of one storage of 6 elements."""
    magic_number, protocol = 0x1950A86A20F9469CFC6C, 1001
    out = io.BytesIO()
    pickle.dump(magic_number, out, 2)
    pickle.dump(protocol, out, 2)
    pickle.dump({"protocol_version": protocol, "little_endian": True}, out, 2)

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return thing.identity if isinstance(thing, StorageView) else None

    Pickler(out, 2).dump({
        "first": RebuildTensor(StorageView("k", 6, 0, 2), 0, (2,), (1,)),
        "last": RebuildTensor(StorageView("k", 6, 2, 4), 1, (3,), (1,)),
    })
    pickle.dump(["k"], out, 2)
    out.write(struct.pack("<q6f", 6, *range(6)))
    with open(os.path.join(FOLDER, "old_views.legacy.pt"), "wb") as file:
        file.write(out.getvalue())
    write_expected("old_views", {"first": torch.tensor([0.0, 1.0]), "last": torch.tensor([3.0, 4.0, 5.0])})


def repacked():
    """The archive again with deflated entries, and one that claims the other byte order."""
    source = os.path.join(FOLDER, "strided.zip.pt")
    for name, order in (("deflated", b"little"), ("big_endian", b"big")):
        with zipfile.ZipFile(source) as old, \
             zipfile.ZipFile(os.path.join(FOLDER, name + ".zip.pt"), "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.namelist():
                new.writestr(zipfile.ZipInfo(entry), old.read(entry), zipfile.ZIP_DEFLATED)
            new.writestr(zipfile.ZipInfo("strided.zip/byteorder"), order)


def npz():
    """NumPy's archives: every type it has in both orders, plain and deflated."""
    values = numpy.array([[0.0, -0.0, 1.5], [numpy.inf, 1e-7, 0.1]])
    arrays = {f"float{bits}": values.astype(f"float{bits}") for bits in (16, 32, 64)}
    integers = numpy.array([[0, 1, -1], [127, -128, 5]])
    arrays.update({f"int{bits}": integers.astype(f"int{bits}") for bits in (8, 16, 32, 64)})
    arrays["uint8"] = numpy.array([0, 255], dtype=numpy.uint8)
    arrays["bool"] = numpy.array([True, False])
    arrays["scalar"] = numpy.array(42)
    arrays["none"] = numpy.zeros((0, 3), dtype=numpy.float32)
    arrays["fortran"] = numpy.asfortranarray(numpy.arange(24.0, dtype=numpy.float32).reshape(2, 3, 4))
    arrays["layer/transposed"] = numpy.arange(6).reshape(2, 3).T
    numpy.savez(os.path.join(FOLDER, "arrays.npz"), **arrays)
    numpy.savez_compressed(os.path.join(FOLDER, "deflated.npz"), **arrays)
    lines = sorted(f"{key} {SAFETENSORS[array.dtype.name]} {list(array.shape)} "
                   f"{hashlib.sha256(numpy.ascontiguousarray(array).tobytes()).hexdigest()}\n"
                   for key, array in arrays.items())
    with open(os.path.join(FOLDER, "arrays.sha256"), "w", encoding="ascii") as out:
        print(hashlib.sha256("".join(lines).encode()).hexdigest(), file=out)
    write_expected("arrays", {key: torch.from_numpy(array.copy()) for key, array in arrays.items()})
    for name, array in (("objects", numpy.array([None, "text"], dtype=object)), ("records", numpy.zeros(2, "f4,i4")),
                        ("big_endian", numpy.zeros(2, ">f4")), ("complex", numpy.zeros(2, "c8"))):
        numpy.savez(os.path.join(FOLDER, name + ".npz"), weight=array)


class Hostile:
    """What pickle allows and a reader of weights must not do: this file runs a command when Python unpickles it."""

    def __reduce__(self):
        return os.system, ("touch lethe_hostile_marker",)


def refused():
    for kind in ("zip", "legacy"):
        torch.save({"weight": torch.ones(1), "extra": Hostile()}, os.path.join(FOLDER, f"hostile.{kind}.pt"),
                   _use_new_zipfile_serialization=kind == "zip")
    with open(os.path.join(FOLDER, "hostile.pickle.pt"), "wb") as file:
        pickle.dump(Hostile(), file, 4)
    torch.save({"fine": torch.ones(1), "weight": torch.zeros(1, 1, 1, 1, 1)}, os.path.join(FOLDER, "rank5.zip.pt"))
    torch.save({"weight": torch.zeros(2, dtype=torch.complex64)}, os.path.join(FOLDER, "complex.zip.pt"))
    torch.save(torch.nn.Linear(1, 1), os.path.join(FOLDER, "module.zip.pt"))
    torch.save(torch.ones(2), os.path.join(FOLDER, "tensor.zip.pt"))


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    dtypes()
    strided()
    nested()
    old_views()
    repacked()
    npz()
    refused()
