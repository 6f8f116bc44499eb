#!/usr/bin/env python3
"""Takes weights from PyTorch through Lethe and back, and compares every bit.

Usage: python3 tests/golden/check_roundtrip.py build/release/bin/lethe

Needs PyTorch; torchvision and the package safetensors are used where they are. Ends with code 1 at the first
difference, with 77 where there is no PyTorch.
"""

import collections
import hashlib
import json
import os
import subprocess
import sys
import tempfile

try:
    import torch
except ImportError:
    print("check_roundtrip: there is no PyTorch here; nothing was checked")
    sys.exit(77)
try:
    import torchvision
except ImportError:
    torchvision = None
try:
    import safetensors
    import safetensors.torch
except ImportError:
    safetensors = None

HERE = os.path.dirname(os.path.abspath(__file__))
LETHE = os.path.abspath(sys.argv[1]) if len(sys.argv) == 2 else sys.exit(__doc__)


def lethe(*arguments, codes=(0,)):
    result = subprocess.run([LETHE, *arguments], capture_output=True, text=True, check=False)
    if result.returncode not in codes:
        sys.exit(f"lethe {' '.join(arguments)} ended with {result.returncode}: {result.stderr}")
    return result.stdout


def bits(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8) if tensor.numel() and tensor.dtype != torch.bool \
        else tensor.detach().contiguous().reshape(-1).to(torch.uint8)


def same(actual, expected, what, order=True):
    if order:
        assert list(actual) == list(expected), f"{what}: names are {list(actual)}, not {list(expected)}"
    assert set(actual) == set(expected), f"{what}: other names"
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype, f"{what}: {name} is {actual[name].dtype}, not {tensor.dtype}"
        assert actual[name].shape == tensor.shape, f"{what}: {name} has another shape"
        assert torch.equal(bits(actual[name]), bits(tensor)), f"{what}: {name} has other bits"
    print(f"  ok  {what}: {len(expected)} tensors, every bit")


def odd_tensors():
    """Every dtype and layout that docs/weights.md lists."""
    values = torch.tensor([0.0, -0.0, 1.0, -1.5, 3.140625, 1e-7, 65504.0, float("inf"), -float("inf"), 0.1])
    tensors = collections.OrderedDict()
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        tensors[str(dtype)] = (values.double() / 3).to(dtype)
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        tensors[str(dtype)] = torch.tensor([[0, 1, 2], [127, 100, 5]]).to(dtype)
    tensors["bool"] = torch.tensor([True, False, True])
    tensors["wide"] = torch.tensor([2**62 + 1, -(2**63)])
    base = torch.arange(48.0).reshape(2, 3, 4, 2)
    tensors["channels_last"] = base.contiguous(memory_format=torch.channels_last)
    tensors["transposed"] = base.reshape(6, 8).t()
    tensors["strided"] = base[:, 1:, ::3, 1:]
    tensors["expanded"] = torch.tensor([[1.0], [2.0]]).expand(2, 3)
    tensors["shares"] = base.reshape(-1)[3:9]
    tensors["shares.too"] = base.reshape(-1)[6:]
    tensors["scalar"] = torch.tensor(42)
    tensors["half.scalar"] = torch.tensor(0.1, dtype=torch.float16)
    tensors["empty"] = torch.zeros(0, 3)
    tensors["five.dimensions"] = torch.arange(32, dtype=torch.int16).reshape(2, 2, 2, 2, 2)
    tensors["a name \u00fc"] = torch.ones(1)
    return tensors


def check_containers(folder):
    """.pt (both kinds) and .safetensors in, .pt and .safetensors out."""
    tensors = odd_tensors()
    for zipped in (True, False):
        source = os.path.join(folder, "odd.pth")
        torch.save(tensors, source, _use_new_zipfile_serialization=zipped)
        written = os.path.join(folder, "odd.out.pt")
        lethe("convert", "--weights", source, "--out", written)
        same(torch.load(written), tensors, f"PyTorch ({'zip' if zipped else 'legacy'}) -> .pt")
        between = os.path.join(folder, "odd.safetensors")
        lethe("convert", "--weights", source, "--out", between)
        lethe("convert", "--weights", between, "--out", written)
        same(torch.load(written), tensors, f"PyTorch ({'zip' if zipped else 'legacy'}) -> .safetensors -> .pt")
    check_hash(folder, tensors)


def check_hash(folder, tensors):
    """The manifest's hash is what docs/weights.md says, computed here from the tensors alone."""
    codes = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
             "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"}
    lines = sorted((f"{name} {codes[str(tensor.dtype)[6:]]} {list(tensor.shape)} "
                    f"{hashlib.sha256(bits(tensor).numpy().tobytes()).hexdigest()}\n").encode()
                   for name, tensor in tensors.items())
    report = os.path.join(folder, "report.json")
    lethe("inspect", os.path.join(folder, "odd.out.pt"), "--json", report)
    with open(report, encoding="utf-8") as file:
        found = json.load(file)["metadata"]["lethe.tensors_sha256"]
    assert found == hashlib.sha256(b"".join(lines)).hexdigest(), "the manifest's hash of the tensors is another"
    print("  ok  the manifest's hash of the tensors")


def check_safetensors_package(folder):
    if safetensors is None:
        print("  --  safetensors is not installed; its files were not compared")
        return
    # That package writes tensors that are contiguous and share nothing.
    tensors = {name: tensor.contiguous().clone() for name, tensor in odd_tensors().items()}
    theirs, ours = os.path.join(folder, "theirs.safetensors"), os.path.join(folder, "ours.safetensors")
    safetensors.torch.save_file(tensors, theirs, metadata={"format": "pt"})
    lethe("convert", "--weights", theirs, "--out", ours)
    same(safetensors.torch.load_file(ours), tensors, "safetensors (package) -> Lethe -> safetensors (package)", False)
    written = os.path.join(folder, "theirs.pt")
    lethe("convert", "--weights", theirs, "--out", written)
    same(torch.load(written), tensors, "safetensors (package) -> Lethe -> PyTorch", False)


def few_images(folder):
    """A CIFAR-10 of two records per file."""
    images = os.path.join(folder, "images")
    os.makedirs(images, exist_ok=True)
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        with open(os.path.join(images, name + ".bin"), "wb") as out:
            for label in (3, 5):
                out.write(bytes([label]) + bytes((label * i) % 251 for i in range(3072)))
    return "cifar10:" + images


def edit(folder, name, weights, *model):
    """A tiny unlearning run; returns its weights."""
    run = os.path.join(folder, name)
    lethe("unlearn", "--weights", weights, *model, "--data", few_images(folder), "--forget", "random:0:2", "--methods",
          "neggrad", "--stop-margin", "1000", "--max-steps", "1", "--out", run, codes=(0, 3, 4))
    return os.path.join(run, "neggrad", "weights.safetensors")


def check_edited(folder, name, module, dtype, *model):
    """Weights of `module`, converted to `dtype`, are edited, come back under their names and in their types, and
    load_state_dict(strict=True) takes them."""
    original = os.path.join(folder, name + ".pth")
    state = collections.OrderedDict((key, value.to(dtype) if value.is_floating_point() else value)
                                    for key, value in module.state_dict().items())
    torch.save(state, original)
    written = os.path.join(folder, name + ".back.pt")
    lethe("convert", "--weights", original, *model, "--out", written)
    same(torch.load(written), state, f"{name} ({dtype}) -> Lethe's model -> .pt")

    edited = edit(folder, name, original, *model)
    lethe("convert", "--weights", edited, "--like", original, "--out", written)
    back = torch.load(written)
    assert list(back) == list(state), f"{name}: other names, or another order"
    for key, value in state.items():
        assert back[key].dtype == value.dtype and back[key].shape == value.shape, f"{name}: {key} changed its type"
    moved = sum(not torch.equal(bits(back[key]), bits(value)) for key, value in state.items())
    assert moved > 0, f"{name}: the edit moved nothing"
    print(f"  ok  {name} ({dtype}): edited, {moved} of {len(state)} tensors moved; load_state_dict(strict=True) says",
          module.load_state_dict(back, strict=True))
    plain = os.path.join(folder, name + ".plain.pt")
    lethe("convert", "--weights", edited, "--out", plain)  # the names it came under, float32
    module.float().load_state_dict(torch.load(plain), strict=True)
    print(f"  ok  {name}: the same without --like")


class ReferenceBlock(torch.nn.Module):
    """A residual block whose entries are named as those of the L2UL reference's CIFAR-100 ResNets."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.residual_function = torch.nn.Sequential(
            torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), torch.nn.BatchNorm2d(outputs), torch.nn.ReLU(),
            torch.nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(outputs))
        self.shortcut = torch.nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = torch.nn.Sequential(torch.nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                                torch.nn.BatchNorm2d(outputs))


class ReferenceResNet18(torch.nn.Module):
    """Only its names and shapes are needed here, so there is no forward()."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(64),
                                         torch.nn.ReLU())
        inputs = 64
        for stage, outputs in enumerate((64, 128, 256, 512)):
            blocks = [ReferenceBlock(inputs, outputs, 1 if stage == 0 else 2), ReferenceBlock(outputs, outputs, 1)]
            setattr(self, f"conv{stage + 2}_x", torch.nn.Sequential(*blocks))
            inputs = outputs
        self.fc = torch.nn.Linear(512, classes)


def main():
    torch.manual_seed(0)
    print("PyTorch", torch.__version__, "- torchvision", getattr(torchvision, "__version__", "absent"),
          "- safetensors", getattr(safetensors, "__version__", "absent"))
    with tempfile.TemporaryDirectory() as folder:
        check_containers(folder)
        check_safetensors_package(folder)
        committed = torch.load(os.path.join(HERE, "weights", "dtypes.zip.pt"))
        same(torch.load(os.path.join(HERE, "weights", "written.pt")), committed, "the committed written.pt")
        options = ("--model", "resnet18", "--classes", "10", "--normalize", "imagenet")
        check_edited(folder, "l2ul-cifar100", ReferenceResNet18(10), torch.float32, *options, "--stem", "cifar")
        if torchvision is None:
            print("  --  torchvision is not installed; its resnet18 was not checked")
        else:
            for dtype in (torch.float32, torch.float16):
                module = torchvision.models.resnet18(num_classes=10)
                check_edited(folder, f"resnet18-{str(dtype)[6:]}", module, dtype, *options)
    print("all equal")


if __name__ == "__main__":
    main()
