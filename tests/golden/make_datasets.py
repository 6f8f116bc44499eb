#!/usr/bin/env python3
"""Writes tests/golden/datasets: tiny datasets in published formats, and datasets.json with what torchvision and NumPy
make of them. Written with torchvision 0.14.1, NumPy 1.24.2, Python 3.11.

The files differ from the real ones in their number of images alone; torchvision's checksums are therefore off.
"""
import gzip
import hashlib
import io
import json
import pathlib
import pickle
import struct
import tempfile

import numpy as np
import torchvision

OUT = pathlib.Path(__file__).parent / "datasets"


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as Python 2 wrote its strings, which is how the published files are made."""

    def __init__(self, file):
        super().__init__(file, protocol=2)

    def save_string(self, text):
        data = text.encode("latin1") if isinstance(text, str) else text
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(data)) + data)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(text)

    dispatch = {**pickle._Pickler.dispatch, str: save_string, bytes: save_string}


def images(count, seed):
    return np.random.RandomState(seed).randint(0, 256, (count, 3072)).astype(np.uint8)


def dump(path, value, protocol):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        if protocol == "python2":
            Python2Pickler(file).dump(value)
        else:
            pickle.dump(value, file, protocol=protocol)


class Cifar10(torchvision.datasets.CIFAR10):
    meta = {**torchvision.datasets.CIFAR10.meta, "md5": None}

    def _check_integrity(self):
        return True


class Cifar100(torchvision.datasets.CIFAR100):
    meta = {**torchvision.datasets.CIFAR100.meta, "md5": None}

    def _check_integrity(self):
        return True


def contents(dataset):
    """Class names, labels, and the SHA-256 of each image's bytes [height, width, 3]."""
    digests = [hashlib.sha256(np.asarray(dataset[i][0].convert("RGB")).tobytes()).hexdigest() for i in range(len(dataset))]
    return {"classes": dataset.classes, "labels": [int(dataset[i][1]) for i in range(len(dataset))], "sha256": digests}


def cifar10():
    folder = OUT / "cifar-10-batches-py"
    binary = OUT / "cifar-10-batches-bin"
    binary.mkdir(parents=True, exist_ok=True)
    names = [f"class{c}" for c in range(10)]
    parts = [(f"data_batch_{b}", images(1, b), [(3 * b) % 10]) for b in range(1, 6)]
    parts.append(("test_batch", images(2, 9), [9, 0]))
    for name, data, labels in parts:
        dump(folder / name, {"batch_label": name, "labels": labels, "data": data, "filenames": ["a.png"] * len(labels)}, "python2")
        records = b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, data))
        (binary / f"{name}.bin").write_bytes(records)
    dump(folder / "batches.meta", {"num_cases_per_batch": 10000, "label_names": names, "num_vis": 3072}, "python2")
    (binary / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    return {split: contents(Cifar10(OUT, train=split == "train")) for split in ("train", "test")}


def cifar100():
    result = {}
    fine, coarse = [f"fine{c}" for c in range(100)], [f"coarse{c}" for c in range(20)]
    data = {"train": images(2, 20), "test": images(1, 21)}
    labels = {"train": ([99, 0], [19, 0]), "test": ([57], [3])}
    for protocol in (2, 4, 5):
        with tempfile.TemporaryDirectory() as root:
            folder = pathlib.Path(root) / "cifar-100-python"
            for split in ("train", "test"):
                batch = {"fine_labels": labels[split][0], "coarse_labels": labels[split][1], "data": data[split]}
                dump(folder / split, batch, protocol)
            dump(folder / "meta", {"fine_label_names": fine, "coarse_label_names": coarse}, protocol)
            result = {split: contents(Cifar100(root, train=split == "train")) for split in ("train", "test")}
            for file in folder.iterdir():
                target = OUT / f"cifar-100-protocol{protocol}" / file.name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.read_bytes())
    binary = OUT / "cifar-100-binary"
    binary.mkdir(exist_ok=True)
    for split in ("train", "test"):
        rows = zip(labels[split][1], labels[split][0], data[split])
        (binary / f"{split}.bin").write_bytes(b"".join(bytes([c, f]) + row.tobytes() for c, f, row in rows))
    (binary / "fine_label_names.txt").write_text("\n".join(fine) + "\n")
    (binary / "coarse_label_names.txt").write_text("\n".join(coarse) + "\n")
    result["coarse"] = {split: labels[split][1] for split in labels}
    return result


def mnist():
    raw = OUT / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for prefix, count, seed in (("train", 3, 30), ("t10k", 2, 31)):
        pixels = np.random.RandomState(seed).randint(0, 256, (count, 5, 4)).astype(np.uint8)
        labels = bytes([9 - (7 * i + seed) % 10 for i in range(count)])
        image_file = struct.pack(">IIII", 0x803, count, 5, 4) + pixels.tobytes()
        label_file = struct.pack(">II", 0x801, count) + labels
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(image_file)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(label_file)
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
            file.write(image_file)
        (raw.parent / f"{prefix}-images-idx3-ubyte.gz").write_bytes(buffer.getvalue())
        (raw.parent / f"{prefix}-labels-idx1-ubyte").write_bytes(label_file)

    class Mnist(torchvision.datasets.MNIST):
        @property
        def raw_folder(self):
            return str(raw)

    return {split: contents(Mnist(OUT / "mnist", train=split == "train")) for split in ("train", "test")}


def image_folder():
    """Which files ImageFolder finds, and in which order."""
    files = ["b/2.png", "b/10.PNG", "b/sub/1.jpg", "b/sub-a/1.jpg", "b/sub/deep/0.ppm", "b/notes.txt", "a/Z.bmp", "a/a.JPEG",
             "a/c.webp", "a/b.tiff", "a/A.pgm", "a/archive.zip", "C/x.jpeg", "C/x.jpg", "C/ü.png"]
    with tempfile.TemporaryDirectory() as root:
        for file in files:
            path = pathlib.Path(root) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        folder = torchvision.datasets.ImageFolder(root)
        samples = [[str(pathlib.Path(path).relative_to(root)), label] for path, label in folder.samples]
        return {"files": files, "classes": folder.classes, "samples": samples}


def utkface():
    """The reference's splits of sorted files: numpy.random.seed(seed); numpy.random.shuffle(indices)."""
    names = sorted(f"{age}_{age % 2}_{age % 5}_2017{age:04d}.jpg" for age in range(1, 118, 5))
    splits = {}
    for seed in (0, 5):
        np.random.seed(seed)
        order = list(range(len(names)))
        np.random.shuffle(order)
        train = len(names) * 8 // 10
        validation = (len(names) - train) // 2
        splits[str(seed)] = {"train": [names[i] for i in order[:train]], "test": [names[i] for i in order[train + validation :]]}
    return {"files": names, "splits": splits}


def main():
    OUT.mkdir(exist_ok=True)
    result = {"cifar10": cifar10(), "cifar100": cifar100(), "mnist": mnist(), "image_folder": image_folder(), "utkface": utkface()}
    (OUT / "datasets.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
