#!/usr/bin/env python3
"""Times Lethe against PyTorch: inference, one PGD step and one training step of ResNet-20.

    python3 bench/compare_pytorch.py --lethe build/release/bin/lethe_step_bench --json comparison.json

All programs stay warm in processes of their own and are asked in turn, round after round, so that a busy machine slows
them alike. Reported are medians over the rounds of milliseconds per image, [smallest .. largest]. Variants of PyTorch:

  stock      as one writes it: NCHW, the system's allocator
  tuned      channels_last, and glibc told to keep freed memory instead of returning it to the system, which otherwise
             costs half of the time of inference in page faults
  reference  (PGD) as the published unlearning code attacks: batches of 16, gradients of all weights computed, too

Needs torch. Peers' settings in the environment (OPENBLAS_*, OMP_*, MALLOC_*, ...) are removed for all programs alike.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
JOBS = {"inference": ["stock", "tuned"], "pgd": ["reference", "stock", "tuned"], "train": ["stock", "tuned"]}
STEPS = {"inference": 20, "pgd": 20, "train": 8}  # per round
REMOVED = ("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "MALLOC_")


# ---- the PyTorch side, in its own process ----------------------------------------------------------------------------


def make_inference(torch, net, images, _labels, _variant):
    net.eval()

    def run(count):
        with torch.no_grad():
            for _ in range(count):
                net(images)

    return run


def make_pgd(torch, net, images, labels, variant):
    """L2 steps towards `labels` in eval mode, box then ball, as advertorch orders them."""
    net.eval()
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


def worker(job, variant, batch, threads):
    import torch

    sys.path.insert(0, str(ROOT / "tests" / "golden"))
    from networks import CifarResNet

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layout = torch.channels_last if variant == "tuned" else torch.contiguous_format
    net = CifarResNet(3).to(memory_format=layout)
    images, labels = torch.rand(batch, 3, 32, 32).contiguous(memory_format=layout), torch.randint(0, 10, (batch,))
    run = {"inference": make_inference, "pgd": make_pgd, "train": make_train}[job](torch, net, images, labels, variant)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            return
        start = time.perf_counter()
        run(int(words[1]))
        print("seconds", (time.perf_counter() - start) / int(words[1]), flush=True)


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


def start(args, environment):
    programs = {}
    for job in args.jobs:
        size = ["--batch", str(args.batch), "--threads", str(args.threads)]
        programs[job, "lethe"] = Program([args.lethe, "--job", job, "--model", "resnet20", *size], environment)
        for variant in JOBS[job]:
            extra = KEEP_MEMORY if variant == "tuned" else {}
            command = [sys.executable, __file__, "--worker", job, variant, *size]
            programs[job, variant] = Program(command, {**environment, **extra})
    return programs


def measure(programs, jobs, rounds):
    """Milliseconds per step of every program, one value per round; each round starts with another program."""
    times = {key: [] for key in programs}
    for key, program in programs.items():
        program.run(3)  # warm up
    for job in jobs:
        keys = [key for key in programs if key[0] == job]
        for i in range(rounds):
            for key in keys[i % len(keys) :] + keys[: i % len(keys)]:
                times[key].append(1000 * programs[key].run(STEPS[job]))
                time.sleep(0.02)  # idle OpenMP threads spin for a while before they sleep
    return times


def table(times, jobs, batch):
    rows = []
    for job in jobs:
        lethe = statistics.median(times[job, "lethe"])
        for (_, variant), values in ((key, v) for key, v in times.items() if key[0] == job):
            median = statistics.median(values)
            rows.append(dict(job=job, variant=variant, ms_per_image=median / batch, min=min(values) / batch,
                             max=max(values) / batch, ratio=median / lethe, rounds=len(values)))
    return rows


def environment_without_settings():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(REMOVED)}
    return kept, sorted(set(os.environ) - set(kept))


def about(args, removed):
    import torch

    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    mkldnn = next((line.strip("- ") for line in torch.__config__.show().splitlines() if "MKL-DNN" in line), "none")
    return dict(cpu=model, cpus=os.cpu_count(), kernel=platform.release(), python=platform.python_version(),
                torch=torch.__version__, torch_mkldnn=mkldnn, threads=args.threads, batch=args.batch, model="resnet20",
                command=" ".join(sys.argv), environment_removed=removed, tuned_environment=KEEP_MEMORY,
                load_at_start=os.getloadavg()[0])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    program = str(ROOT / "build/release/bin/lethe_step_bench")
    parser.add_argument("--lethe", default=program, help="default: %(default)s")
    parser.add_argument("--jobs", default="inference,pgd,train", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", help="write the table and the circumstances here")
    parser.add_argument("--worker", nargs=2, metavar=("JOB", "VARIANT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.jobs = args.jobs.split(",")
    if set(args.jobs) - set(JOBS):
        parser.error(f"--jobs: known are {', '.join(JOBS)}")
    if not args.worker and not os.access(args.lethe, os.X_OK):
        parser.error(f"--lethe: {args.lethe} is not a program; build it with: cmake --build --preset release")
    return args


def main():
    args = parse()
    if args.worker:
        return worker(*args.worker, args.batch, args.threads)
    environment, removed = environment_without_settings()
    circumstances = about(args, removed)
    print("{cpu}, {threads} threads, ResNet-20, batch {batch}, {rounds} rounds, load {load_at_start:.2f}\n"
          "torch {torch}, {torch_mkldnn}".format(**circumstances, rounds=args.rounds))
    programs = start(args, environment)
    times = measure(programs, args.jobs, args.rounds)
    for program in programs.values():
        program.quit()
    rows = table(times, args.jobs, args.batch)
    print(f"{'job':10} {'variant':10} {'ms/image':>9}  {'[min .. max]':>19}  {'over Lethe':>10}")
    for r in rows:
        print("{job:10} {variant:10} {ms_per_image:9.4f}  [{min:8.4f} ..{max:8.4f}] {ratio:9.2f}x".format(**r))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(dict(about=circumstances, results=rows, ms_per_step={
            f"{job}.{variant}": values for (job, variant), values in times.items()}), indent=2) + "\n")


if __name__ == "__main__":
    main()
