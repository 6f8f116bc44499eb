#!/usr/bin/env python3
"""Compares the logits of every model of `lethe inspect --models` with those of PyTorch and torchvision.

    python3 tests/golden/check_parity.py --lethe build/release/bin/lethe

For each model torchvision builds its own, gets random weights and BatchNorm statistics, and saves them with
torch.save(); Lethe reads that file and classifies the same random images. Prints a table; the exit code is 1 when a
model differs, 2 when the comparison cannot be made and 77 without torch and torchvision, which Lethe does not need.
"""
import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torchvision
except ImportError as error:
    print(f"check_parity: {error}; the comparison needs numpy, torch and torchvision, for example from\n"
          "  pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu", file=sys.stderr)
    sys.exit(77)

from networks import CifarResNet, normalize

CLASSES, PER_CLASS = 5, 2
# Of the largest logit. Both sides compute in float32, 150 layers deep.
ALLOWED = 1e-4


def fail(text):
    print(f"check_parity: {text}", file=sys.stderr)
    sys.exit(2)


def run(lethe, *arguments):
    try:
        subprocess.run([lethe, *map(str, arguments)], check=True)
    except OSError as error:
        fail(f"cannot run {lethe} ({error.strerror}); build it or give --lethe")
    except subprocess.CalledProcessError as error:
        fail(f"lethe {arguments[0]} ended with exit code {error.returncode}")


def peer(name, image_size):
    """PyTorch's network of that name, for CLASSES classes."""
    if name.startswith("resnet") and image_size == 32:
        return CifarResNet((int(name.removeprefix("resnet")) - 2) // 6, CLASSES), lambda net, x: net(x)
    if not hasattr(torchvision.models, name):
        fail(f"torchvision {torchvision.__version__} has no {name}; leave it out with --models")
    return getattr(torchvision.models, name)(weights=None, num_classes=CLASSES), lambda net, x: net(normalize(x))


def randomize(net):
    """PyTorch's initialisation leaves BatchNorm without effect, and biases and a ViT's last layer 0."""
    for name, tensor in net.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")) or (tensor.is_floating_point() and not tensor.any()):
            tensor.normal_(0, 0.1)
        elif tensor.dim() == 1 and name.endswith("weight"):
            tensor.uniform_(0.5, 1.5)


def write_images(folder, size):
    """PPM files in folder/{train,test}/CLASS; returns them as bytes [N,3,size,size] in the order of their names."""
    pixels = torch.randint(0, 256, (CLASSES * PER_CLASS, size, size, 3), dtype=torch.uint8)
    for i, image in enumerate(pixels):
        for split in ("train", "test"):
            place = folder / split / f"class{i // PER_CLASS}"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i}.ppm").write_bytes(b"P6 %d %d 255\n" % (size, size) + image.numpy().tobytes())
    return pixels.permute(0, 3, 1, 2)


def read_logits(path):
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:8 + length])["logits"]
    begin, end = entry["data_offsets"]
    values = np.frombuffer(raw[8 + length + begin:8 + length + end], dtype="<f4").reshape(entry["shape"])
    return torch.from_numpy(values.copy())


def compare(lethe, model, work):
    name, size = model["name"], model["image_size"]
    net, forward = peer(name, size)
    randomize(net)
    folder = work / name
    folder.mkdir()
    images = write_images(folder, size)
    torch.save(net.state_dict(), folder / "weights.pth")
    run(lethe, "eval", "--model", name, "--classes", CLASSES, "--weights", folder / "weights.pth", "--normalize",
        "imagenet", "--transform", "none", "--data", f"folder:{folder}", "--split", "test", "--logits",
        folder / "logits", "--quiet")
    with torch.no_grad():
        expected = forward(net.eval(), images.float() / 255)
    if (expected - expected[0]).abs().max() < 1e-3 * expected.abs().max():
        fail(f"{name}: all images have the same logits, so that nothing would be compared")
    actual = read_logits(folder / "logits")
    return float((actual - expected).abs().max() / expected.abs().max()), float(expected.abs().max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lethe", default="build/release/bin/lethe", help="the program (default: %(default)s)")
    parser.add_argument("--models", default="", help="only these, separated by commas (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    with tempfile.TemporaryDirectory() as path:
        work = pathlib.Path(path)
        run(options.lethe, "inspect", "--models", "--quiet", "--json", work / "models.json")
        models = json.loads((work / "models.json").read_text())["models"]
        wanted = [name for name in options.models.split(",") if name]
        for name in wanted:
            if name not in [model["name"] for model in models]:
                fail(f"lethe has no model {name}")
        print(f"PyTorch {torch.__version__}, torchvision {torchvision.__version__}; allowed: {ALLOWED:.0e} of the"
              " largest logit\nmodel           largest logit  difference")
        different = []
        for model in models:
            if wanted and model["name"] not in wanted:
                continue
            difference, largest = compare(options.lethe, model, work)
            agrees = difference <= ALLOWED  # NaN does not
            print(f"{model['name']:15} {largest:13.4g} {difference:11.1e}  {'' if agrees else 'DIFFERENT'}", flush=True)
            if not agrees:
                different.append(model["name"])
    if different:
        print(f"check_parity: {', '.join(different)} differ", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
