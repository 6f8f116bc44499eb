#!/usr/bin/env python3
"""Times Lethe against PyTorch on the CPU: inference, one PGD step and one training step of a model.

    python3 bench/compare_pytorch.py --json comparison.json
    python3 bench/compare_pytorch.py --model resnet18,resnet50@224 --jobs inference,pgd --rounds 7

All programs stay warm in processes of their own and are asked in turn, round after round, so that a busy machine slows
them alike. Reported are medians over the rounds of milliseconds per image, [smallest .. largest], and how many times
Lethe's time the others took: the median of the rounds' ratios and [smallest .. largest]. Variants of PyTorch:

  stock      as one writes it: eager, NCHW, the system's allocator
  tuned      channels_last; BatchNorm folded into the convolutions where weights stay as they are (inference, PGD), for
             inference as a traced and frozen graph; denormals flushed to zero; and glibc told to keep freed memory
             instead of returning it to the system, which otherwise costs half of the time of inference in page faults;
             and OpenBLAS told to use AVX-512 where the processor has it
  blocked    (inference) the same with torch.jit.optimize_for_inference in oneDNN's own blocked layout, from NCHW
  reference  (PGD) as the published unlearning code attacks: batches of 16, gradients of all weights computed, too

Models (a size is the side of the images; without one 32):
  resnet20, resnet18, resnet18-cifar-maxpool, resnet50@224, mobilenet_v2@224, vit_b_16@224
CIFAR's ResNets have their three-by-three stem, "cifar-maxpool" has a pooling after it; the others are torchvision's.

Needs torch, and torchvision for mobilenet_v2 and vit_b_16. Debian's torch multiplies matrices (most of a ViT) with
whatever provides libblas.so.3: install libopenblas0-pthread, or the peer is the reference BLAS. Peers' settings in the
environment (OPENBLAS_*, OMP_*, MALLOC_*, ...) are removed for all programs alike.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
JOBS = {
    "inference": ["stock", "tuned", "blocked"],
    "pgd": ["reference", "stock", "tuned"],
    "train": ["stock", "tuned"],
}
REMOVED = ("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "MALLOC_")


@dataclasses.dataclass(frozen=True)
class Model:
    """What to run: Lethe's architecture and stem, the images' side, and how many images and steps make a round."""

    arch: str
    stem: str
    size: int
    batch: int
    steps: dict  # job -> steps per round


def steps(inference, pgd, train):
    return dict(inference=inference, pgd=pgd, train=train)


MODELS = {
    "resnet20": Model("resnet20", "", 32, 128, steps(20, 20, 8)),
    "resnet18": Model("resnet18", "cifar", 32, 64, steps(3, 2, 1)),
    "resnet18-cifar-maxpool": Model("resnet18", "cifar-maxpool", 32, 128, steps(4, 3, 1)),
    "resnet50@224": Model("resnet50", "", 224, 16, steps(2, 1, 1)),
    "mobilenet_v2@224": Model("mobilenet_v2", "", 224, 16, steps(4, 2, 1)),
    "vit_b_16@224": Model("vit_b_16", "", 224, 8, steps(1, 1, 1)),
}


# ---- the PyTorch side, in its own process ----------------------------------------------------------------------------


def network(torch, name):
    """The model in PyTorch's modules, with ten classes and its input normalisation in front."""
    sys.path.insert(0, str(ROOT / "tests" / "golden"))
    import networks

    model = MODELS[name]
    if model.arch == "resnet20":
        return networks.CifarResNet(3)
    if model.arch == "resnet18":
        return networks.ResNet([2, 2, 2, 2], True, model.stem)
    if model.arch == "resnet50":
        return networks.ResNet([3, 4, 6, 3], False, "imagenet")
    import torchvision

    class Normalized(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(networks.normalize(x))

    return Normalized(getattr(torchvision.models, model.arch)(num_classes=10))


def fold_batchnorm(torch, module):
    """Folds every BatchNorm into the convolution that is registered before it."""
    before = None
    for name, child in list(module.named_children()):
        if before and isinstance(child, torch.nn.BatchNorm2d) and isinstance(before[1], torch.nn.Conv2d):
            setattr(module, before[0], torch.nn.utils.fusion.fuse_conv_bn_eval(before[1], child))
            setattr(module, name, torch.nn.Identity())
        fold_batchnorm(torch, child)
        before = name, child


def frozen(torch, net, images):
    return torch.jit.freeze(torch.jit.trace(net, images))


def make_inference(torch, net, images, _labels, variant):
    net.eval()
    with torch.no_grad():
        if variant == "tuned":
            fold_batchnorm(torch, net)
            net = frozen(torch, net, images)
        if variant == "blocked":
            net = torch.jit.optimize_for_inference(frozen(torch, net, images))

    def run(count):
        with torch.no_grad():
            for _ in range(count):
                net(images)

    return run


def make_pgd(torch, net, images, labels, variant):
    """L2 steps towards `labels` in eval mode, box then ball, as advertorch orders them."""
    net.eval()
    if variant == "tuned":
        fold_batchnorm(torch, net)
    if variant != "reference":
        net.requires_grad_(False)
    size = 16 if variant == "reference" else len(images)

    def length(d):
        return d.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

    def attack(x, target, count):
        delta = torch.rand_like(x) - x
        delta *= (4.0 / length(delta)).clamp(max=1)
        for _ in range(count):
            x_adv = (x + delta).requires_grad_(True)
            (-torch.nn.functional.cross_entropy(net(x_adv), target, reduction="sum")).backward()
            delta = delta + 0.1 * x_adv.grad / length(x_adv.grad).clamp(min=1e-6)
            delta = (x + delta).clamp(0, 1) - x
            delta = delta * (4.0 / length(delta)).clamp(max=1)

    def run(count):
        for x, target in zip(images.split(size), labels.split(size)):
            attack(x, target, count)

    return run


def make_train(torch, net, images, labels, _variant):
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

    def run(count):
        for _ in range(count):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()

    return run


def worker(name, job, variant, args):
    import torch

    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if variant in ("tuned", "blocked"):
        torch.set_flush_denormal(True)
    layout = torch.channels_last if variant == "tuned" else torch.contiguous_format
    net = network(torch, name).to(memory_format=layout)
    images = torch.rand(args.batch, 3, MODELS[name].size, MODELS[name].size).contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (args.batch,))
    run = {"inference": make_inference, "pgd": make_pgd, "train": make_train}[job](torch, net, images, labels, variant)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            return
        start = clock()
        run(int(words[1]))
        print("seconds", (clock() - start) / int(words[1]), flush=True)


# ---- the driver ------------------------------------------------------------------------------------------------------


class Program:
    """A warm process that times steps on request."""

    def __init__(self, command, environment):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def run(self, count):
        self.process.stdin.write(f"run {count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 2 or answer[0] != "seconds":
            sys.exit(f"compare_pytorch: {' '.join(map(str, self.process.args))} ended or did not answer with seconds")
        return float(answer[1])

    def quit(self):
        self.process.communicate("quit\n")


def start(args, environment, name, job, batch):
    model, size = MODELS[name], ["--batch", str(batch), "--threads", str(args.threads), "--clock", args.clock]
    lethe = [args.lethe, "--job", job, "--model", model.arch, "--image-size", str(model.size), *size]
    programs = {"lethe": Program(lethe + (["--stem", model.stem] if model.stem else []), environment)}
    for variant in JOBS[job]:
        extra = {} if variant in ("stock", "reference") else tuned_environment()
        command = [sys.executable, __file__, "--worker", name, job, variant, *size]
        programs[variant] = Program(command, {**environment, **extra})
    return programs


def measure(programs, steps, rounds):
    """Milliseconds per step of every program, one value per round; each round starts with another program."""
    times, keys = {key: [] for key in programs}, list(programs)
    for program in programs.values():
        program.run(min(3, steps))  # warm up
    for i in range(rounds):
        for key in keys[i % len(keys) :] + keys[: i % len(keys)]:
            times[key].append(1000 * programs[key].run(steps))
            time.sleep(0.02)  # idle OpenMP threads spin for a while before they sleep
    return times


def rows_of(name, job, batch, times):
    """One row per program. The ratio is taken within a round, where both had the same machine."""
    rows = []
    for variant, values in times.items():
        ratios = [value / lethe for value, lethe in zip(values, times["lethe"])]
        rows.append(dict(model=name, job=job, variant=variant, batch=batch, rounds=len(values),
                         ms_per_image=statistics.median(values) / batch, min=min(values) / batch,
                         max=max(values) / batch, ratio=statistics.median(ratios), ratio_min=min(ratios),
                         ratio_max=max(ratios)))
    return rows


def tuned_environment():
    settings = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
    if "avx512f" in pathlib.Path("/proc/cpuinfo").read_text():
        # Debian's OpenBLAS 0.3.21 takes the kernels of a Prescott, of 2004, on an Emerald Rapids.
        settings["OPENBLAS_CORETYPE"] = "SkylakeX"
    return settings


def environment_without_settings():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(REMOVED)}
    return kept, sorted(set(os.environ) - set(kept))


def about(args, removed):
    import torch

    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    mkldnn = next((line.strip("- ") for line in torch.__config__.show().splitlines() if "MKL-DNN" in line), "none")
    return dict(cpu=model, cpus=os.cpu_count(), kernel=platform.release(), python=platform.python_version(),
                torch=torch.__version__, torch_mkldnn=mkldnn, threads=args.threads, clock=args.clock,
                command=" ".join(sys.argv), environment_removed=removed, tuned_environment=tuned_environment(),
                load_at_start=os.getloadavg()[0])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    program = str(ROOT / "build/release/bin/lethe_step_bench")
    parser.add_argument("--lethe", default=program, help="default: %(default)s")
    parser.add_argument("--model", default="resnet20", help="names with commas between; default: %(default)s")
    parser.add_argument("--jobs", default="inference,pgd,train", help="default: %(default)s")
    parser.add_argument("--batch", type=int, help="images per step; default: the model's own")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall",
                        help="cpu: processor time of all threads, for --threads 1 on a machine that is busy")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", help="write the table and the circumstances here")
    parser.add_argument("--worker", nargs=3, metavar=("MODEL", "JOB", "VARIANT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.model, args.jobs = args.model.split(","), args.jobs.split(",")
    for given, known, option in ((args.model, MODELS, "--model"), (args.jobs, JOBS, "--jobs")):
        if set(given) - set(known):
            unknown = ", ".join(sorted(set(given) - set(known)))
            parser.error(f"{option}: {unknown} is unknown; known are {', '.join(known)}")
    if not args.worker and not os.access(args.lethe, os.X_OK):
        parser.error(f"--lethe: {args.lethe} is not a program; build it with: cmake --build --preset release")
    return args


def main():
    args = parse()
    if args.worker:
        return worker(*args.worker, args)
    environment, removed = environment_without_settings()
    circumstances, rows, raw = about(args, removed), [], {}
    print("{cpu}, {threads} threads, {clock} time, {rounds} rounds, load {load_at_start:.2f}\n"
          "torch {torch}, {torch_mkldnn}".format(**circumstances, rounds=args.rounds))
    print(f"{'model':22} {'job':9} {'variant':9} {'ms/image':>9}  {'[min .. max]':>20}  {'over Lethe':>10}")
    for name in args.model:
        for job in args.jobs:
            batch = args.batch or MODELS[name].batch
            programs = start(args, environment, name, job, batch)
            times = raw[f"{name}.{job}"] = measure(programs, MODELS[name].steps[job], args.rounds)
            for program in programs.values():
                program.quit()
            for row in rows_of(name, job, batch, times):
                print("{model:22} {job:9} {variant:9} {ms_per_image:9.4f}  [{min:8.4f} .. {max:8.4f}] {ratio:9.2f}x  "
                      "[{ratio_min:.2f} .. {ratio_max:.2f}]".format(**row), flush=True)
                rows.append(row)
    if args.json:
        pathlib.Path(args.json).write_text(
            json.dumps(dict(about=circumstances, results=rows, ms_per_step=raw), indent=2) + "\n")


if __name__ == "__main__":
    main()
