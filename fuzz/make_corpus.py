#!/usr/bin/env python3
"""Writes the seeds of fuzz/corpus that are not files of tests/golden, with Python's own modules.

Run from anywhere; what fuzzing added to the corpus stays.
"""
import collections
import gzip
import json
import pickle
import struct
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
GOLDEN = ROOT / "tests" / "golden"
WEIGHTS = GOLDEN / "weights"


def write(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("seed-" + name)).write_bytes(data)


def weights():
    for path in sorted(WEIGHTS.glob("*.pt")):
        data = path.read_bytes()
        write("pytorch_zip" if data.startswith(b"PK") else "pytorch_legacy", path.name, data)
    for path in sorted(WEIGHTS.glob("*.npz")):
        write("npz", path.name, path.read_bytes())


def npz():
    """Arrays of every kind in one archive each, and headers that claim too much."""

    def archive(name, compression=zipfile.ZIP_STORED, **arrays):
        path = CORPUS / "npz" / ("seed-" + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", compression) as out:
            for key, data in arrays.items():
                out.writestr(zipfile.ZipInfo(key.replace("__", "/") + ".npy"), data, compression)

    def array(descr, shape, data, fortran=False, version=1):
        text = f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
        return b"\x93NUMPY" + struct.pack("<BBH" if version == 1 else "<BBI", version, 0, len(text)) + text + data

    archive("plain", w=array("<f4", (2, 3), bytes(24)), b=array("<i8", (), bytes(8)))
    archive("fortran", w=array("<f2", (2, 3, 1), bytes(range(12)), fortran=True, version=2))
    archive("deflated", zipfile.ZIP_DEFLATED, layer__w=array("|u1", (30,), bytes(30)), e=array("|b1", (0, 7), b""))
    archive("huge", w=array("<f8", (1 << 40, 1 << 40), bytes(8)))
    archive("python2", w=array("<f4", "(2L,)", bytes(8)))


def model_folders():
    """Of Hugging Face's transformers and of timm."""

    def json_file(target, name, value):
        write(target, name, json.dumps(value, separators=(",", ":")).encode())

    vit = {"model_type": "vit", "image_size": 224, "id2label": {"0": "cat", "1": "dog"}, "label2id": {"cat": 0}}
    pretrained = {"input_size": [3, 32, 32], "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 1]}
    timm = {"architecture": "resnet18", "num_classes": 10, "pretrained_cfg": pretrained}
    preprocessor = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 224, "width": 224}}
    json_file("model_config", "transformers", vit)
    json_file("model_config", "timm", timm)
    json_file("model_config", "preprocessor", preprocessor)
    json_file("model_config", "preprocessor-size", {"do_normalize": False, "crop_size": {"shortest_edge": 256}})
    json_file("model_config", "classes", {"num_labels": 1 << 63, "size": 1 << 63})
    json_file("shard_index", "two", {"metadata": {"total_size": 12}, "weight_map": {"a": "m-1.bin", "b": "m-2.bin"}})
    json_file("shard_index", "path", {"weight_map": {"a": "../m.bin"}})


def pickles():
    """The pickles inside PyTorch's archives, which Python alone cannot make, and plain values of every protocol."""
    for path in sorted(WEIGHTS.glob("*.zip.pt")):
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


def cifar():
    ten, hundred = (GOLDEN / "datasets" / name for name in ("cifar-10-batches-bin", "cifar-100-binary"))
    write("cifar", "10", (ten / "data_batch_1.bin").read_bytes())
    write("cifar", "10-two", bytes(2 * 3073))
    write("cifar", "100", (hundred / "test.bin").read_bytes())
    write("cifar", "100-two", bytes([19, 99] + 3072 * [1] + [0, 0] + 3072 * [2]))
    write("cifar", "no-label", bytes([10]) + bytes(3072))
    write("cifar", "truncated", bytes(3072))


def cifar_pickles():
    datasets = GOLDEN / "datasets"
    write("cifar_pickle", "python2", (datasets / "cifar-10-batches-py" / "data_batch_1").read_bytes())
    for protocol in (2, 4, 5):
        batch = (datasets / f"cifar-100-protocol{protocol}" / "test").read_bytes()
        write("cifar_pickle", f"protocol{protocol}", batch)
    write("cifar_pickle", "names", (datasets / "cifar-10-batches-py" / "batches.meta").read_bytes())


def idx():
    """A margin, the length of the images' file, that file, the labels' file: fuzz/datasets.cpp takes them apart."""

    def header(*shape):
        return bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", side) for side in shape)

    def pair(name, margin, images, labels):
        write("idx", name, struct.pack("<BH", margin, len(images)) + images + labels)

    images, labels = header(2, 3, 4) + bytes(range(24)), header(2) + bytes([0, 61])
    pair("plain", 0, images, labels)
    pair("margin", 3, images, labels)
    pair("gzip", 2, gzip.compress(images, mtime=0), gzip.compress(labels, mtime=0))
    pair("large", 1, gzip.compress(header(1, 200, 200) + bytes(40000), mtime=0), header(1) + bytes(1))
    pair("bomb", 0, gzip.compress(bytes(1 << 20), mtime=0), labels)
    pair("huge", 0, header(1 << 31, 4096, 4096), labels)
    pair("count", 0, images, header(3) + bytes(3))


def images():
    """Those small enough for a fuzzer to change the right byte of."""
    targets = {"bmp": "bitmap", "ppm": "bitmap", "pgm": "bitmap", "jpg": "jpeg", "png": "png"}
    for path in sorted((GOLDEN / "images").iterdir()):
        data = path.read_bytes()
        if len(data) < 4500:
            write(targets[path.suffix[1:]], path.name, data)
    bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 0, 0, 0, 54, 40, 3, -2, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(range(24))
    write("bitmap", "upside-down.bmp", bmp)
    write("bitmap", "huge.bmp", bmp[:18] + struct.pack("<ii", (1 << 31) - 1, -(1 << 31)) + bmp[26:])
    write("bitmap", "huge.ppm", b"P6\n# 2^62 pixels\n2147483648 2147483648\n255\n" + bytes(12))
    jpeg = (GOLDEN / "images" / "coarse.jpg").read_bytes()
    write("jpeg", "truncated.jpg", jpeg[:-40])
    png = (GOLDEN / "images" / "one_bit.png").read_bytes()
    write("png", "huge.png", png[:16] + struct.pack(">II", 1 << 30, 1 << 30) + png[24:])


def csv():
    write("csv", "plain", b"file,label,split\na.png,0,train\nb/c.png,1,test\n")
    write("csv", "quoted", b'\xef\xbb\xbf"a,b.png","say ""cheese""",train\r\n\r\n"two\nlines",x\r\n"",\n')
    write("csv", "open", b'"a.png,0\n')
    write("csv", "behind", b'"a.png"b,0\n')


if __name__ == "__main__":
    for seeds in (weights, npz, pickles, safetensors, model_folders, cifar, cifar_pickles, idx, images, csv):
        seeds()
