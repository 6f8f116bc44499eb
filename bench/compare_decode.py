#!/usr/bin/env python3
"""Times Lethe against PIL and torchvision: image files to a network's input.

    python3 bench/compare_decode.py --json decode.json

The operation is torchvision's for ImageNet models: decode, Resize(256, antialias, bilinear), CenterCrop(224), ToTensor,
Normalize. The files are 64 JPEGs (4:2:0, quality 75 to 95) of about 500x375 pixels and 8 PNGs, drawn here: smooth
random pictures with some noise. Programs stay warm in processes of their own and are asked in turn, round after round.
Lethe decodes with 1 and with 2 threads; torchvision in a loop on 1 thread (all of torch on 1), and with the 2 worker
processes of a DataLoader, which it starts once. Reported are images per second: medians over the rounds,
[smallest .. largest].

First both results are compared: they must agree to 1e-6, which they do because every byte before the floats is equal.
Needs torch, torchvision, PIL and numpy.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
VARIANTS = {"lethe 1 thread": 1, "lethe 2 threads": 2, "torchvision 1 thread": 1, "torchvision 2 workers": 2}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 16


def draw_files(folder, jpegs=64, pngs=8):
    import numpy
    from PIL import Image

    random = numpy.random.RandomState(0)
    for i in range(jpegs + pngs):
        width, height = (int(side + random.randint(-40, 41)) for side in ((500, 375) if i % 4 else (375, 500)))
        coarse = Image.fromarray(random.randint(0, 256, (9, 12, 3)).astype(numpy.uint8))
        smooth = numpy.asarray(coarse.resize((width, height), Image.BICUBIC)).astype(float)
        pixels = (smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(numpy.uint8)
        name = str(folder / f"{i:03}")
        if i < jpegs:
            Image.fromarray(pixels).save(name + ".jpg", quality=int(random.randint(75, 96)))
        else:
            Image.fromarray(pixels).save(name + ".png")


# ---- the torchvision side, in its own process ------------------------------------------------------------------------


class Files:
    """A dataset of torch's kind: one normalised image per file, in name order."""

    def __init__(self, folder):
        from torchvision import transforms

        self.files = sorted(pathlib.Path(folder).iterdir())
        self.transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224),
                                             transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        from PIL import Image

        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB"))


def worker(folder, workers):
    import torch

    torch.set_num_threads(1)
    files = Files(folder)
    loader = None
    if workers > 1:
        loader = torch.utils.data.DataLoader(files, batch_size=BATCH, num_workers=workers, persistent_workers=True)

    def one_pass():
        if loader is not None:
            return list(loader)
        return [torch.stack([files[i] for i in range(begin, min(begin + BATCH, len(files)))])
                for begin in range(0, len(files), BATCH)]

    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            return
        if words[0] == "write":
            torch.save(one_pass(), words[1])
            print("written", flush=True)
            continue
        start = time.perf_counter()
        for _ in range(int(words[1])):
            one_pass()
        print("seconds", (time.perf_counter() - start) / int(words[1]), flush=True)


# ---- the driver ------------------------------------------------------------------------------------------------------


class Program:
    """A warm process that does as a line says."""

    def __init__(self, command):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"compare_decode: {' '.join(map(str, self.process.args))} ended at '{line}'")
        return answer

    def seconds(self, passes):
        return float(self.ask(f"run {passes}")[1])


def read_safetensors(file):
    import torch

    data = pathlib.Path(file).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = []
    for name in sorted(header, key=lambda name: int(name[len("images") :])):
        begin, end = header[name]["data_offsets"]
        values = bytearray(data[8 + length + begin : 8 + length + end])
        tensors.append(torch.frombuffer(values, dtype=torch.float32).reshape(header[name]["shape"]))
    return torch.cat(tensors)


def largest_difference(programs, folder):
    import torch

    lethe, other = folder / "lethe.safetensors", folder / "torchvision.pt"
    programs["lethe 1 thread"].ask(f"write {lethe}")
    programs["torchvision 1 thread"].ask(f"write {other}")
    return float((read_safetensors(lethe) - torch.cat(torch.load(other))).abs().max())


def measure(programs, rounds, passes):
    times = {name: [] for name in programs}
    for program in programs.values():
        program.seconds(1)  # warm up
    names = list(programs)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            times[name].append(programs[name].seconds(passes))
    return times


def about(args, files):
    import PIL
    import torch
    import torchvision
    from PIL import features

    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    return dict(cpu=model, cpus=os.cpu_count(), kernel=platform.release(), python=platform.python_version(),
                torch=torch.__version__, torchvision=torchvision.__version__, pil=PIL.__version__,
                libjpeg_turbo=features.version("libjpeg_turbo"), files=files, batch=BATCH, rounds=args.rounds,
                passes=args.passes, command=" ".join(sys.argv), load_at_start=os.getloadavg()[0])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lethe", default=str(ROOT / "build/release/bin/lethe_decode_bench"),
                        help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--passes", type=int, default=2, help="over the files, in each round")
    parser.add_argument("--json", help="write the table and the circumstances here")
    parser.add_argument("--worker", nargs=2, metavar=("FOLDER", "WORKERS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.worker and not os.access(args.lethe, os.X_OK):
        parser.error(f"--lethe: {args.lethe} is not a program; build it with: cmake --build --preset release")
    return args


def main():
    args = parse()
    if args.worker:
        return worker(args.worker[0], int(args.worker[1]))
    with tempfile.TemporaryDirectory() as work:
        files = pathlib.Path(work) / "files"
        files.mkdir()
        draw_files(files)
        count = len(list(files.iterdir()))
        programs = {}
        for name, threads in VARIANTS.items():
            ours = [args.lethe, str(files), "--threads", str(threads)]
            theirs = [sys.executable, __file__, "--worker", str(files), str(threads)]
            programs[name] = Program(ours if name.startswith("lethe") else theirs)
        circumstances = about(args, count)
        difference = largest_difference(programs, pathlib.Path(work))
        if difference > 1e-6:
            sys.exit(f"compare_decode: the results differ by up to {difference}")
        times = measure(programs, args.rounds, args.passes)
        for program in programs.values():
            program.process.communicate("quit\n")
    print("{cpu}, {files} files, PIL {pil}, libjpeg-turbo {libjpeg_turbo}, torchvision {torchvision}, "
          "load {load_at_start:.2f}".format(**circumstances))
    print(f"largest difference of the results: {difference:.2g}")
    rows = []
    for name, values in times.items():
        median = statistics.median(values)
        rival = statistics.median(times[next(n for n in times if n.startswith("torch") and n.split()[1] == name.split()[1])])
        rows.append(dict(variant=name, images_per_second=count / median, min=count / max(values),
                         max=count / min(values), over_torchvision=rival / median, rounds=len(values)))
    print(f"{'':22} {'images/s':>9}  {'[min .. max]':>18}  {'over torchvision':>16}")
    for row in rows:
        print("{variant:22} {images_per_second:9.1f}  [{min:7.1f} ..{max:7.1f}] {over_torchvision:15.2f}x".format(**row))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(dict(about=circumstances, largest_difference=difference,
                                                           results=rows, seconds_per_pass=times), indent=2) + "\n")


if __name__ == "__main__":
    main()
