#!/usr/bin/env python3
"""Times Lethe against PyTorch on one NVIDIA GPU: a whole attack and a training step.

    python3 bench/compare_pytorch_gpu.py --lethe build/cuda/bin/lethe_step_bench --json comparison.json

  pgd     PGD-100 (L2, targeted) on 320 images with ResNet-20: milliseconds for the attack, images travelling both ways
  train   one step of ResNet-18 (3x3 stem, 32x32 images) on a batch of 512 that lies on the GPU, SGD with momentum

All programs stay warm in processes of their own and are asked in turn, round after round. Reported are medians over
the rounds, [smallest .. largest], and PyTorch's time over Lethe's at the same precision. Variants of PyTorch, all but
the last channels_last with cudnn.benchmark:

  eager      all images in one batch, gradients for the images only (pgd); a plain step (train)
  graph      the same, one step captured in a CUDA graph and replayed
  reference  (pgd) as the published unlearning code attacks: batches of 16, one after the other, gradients of all
             weights too, PyTorch's default precision (TF32 convolutions); 10 steps are timed and counted tenfold

Precisions: strict (float32), tf32, bf16 (PyTorch: autocast). Needs torch.
"""
import argparse
import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCH = {"pgd": 320, "train": 512}
MODEL = {"pgd": ["--model", "resnet20"], "train": ["--model", "resnet18", "--stem", "cifar"]}
STEPS = {"pgd": 100, "train": 20}  # per round
REFERENCE_BATCH, REFERENCE_STEPS = 16, 10
FEWEST_ROUNDS = 3
EXIT_TIME_UP = 3


# ---- the PyTorch side, in its own process ----------------------------------------------------------------------------


class Peer:
    """The networks and batches of one precision, and the steps that are timed."""

    def __init__(self, torch, device, precision, batch):
        sys.path.insert(0, str(ROOT / "tests" / "golden"))
        import networks

        mean = torch.tensor(networks.MEAN, device=device).view(-1, 1, 1)
        std = torch.tensor(networks.STD, device=device).view(-1, 1, 1)
        networks.normalize = lambda x: (x - mean) / std  # its constants on the GPU: nothing to copy in a captured step
        self.torch, self.device, self.precision, self.batch = torch, device, precision, batch
        self.networks = networks

    def flags(self):
        allowed = self.precision != "strict"
        self.torch.backends.cuda.matmul.allow_tf32 = allowed
        self.torch.backends.cudnn.allow_tf32 = allowed
        self.torch.backends.cudnn.benchmark = True

    def autocast(self):
        # Without its cache, as captured steps need; each step casts each weight once anyway.
        return self.torch.autocast(self.device, self.torch.bfloat16, enabled=self.precision == "bf16",
                                   cache_enabled=False)

    def inputs(self, job, layout):
        torch, count = self.torch, self.batch[job]
        images = torch.rand(count, 3, 32, 32).contiguous(memory_format=layout)
        return images, torch.randint(0, 10, (count,), device=self.device)

    def recorded(self, step):
        """`step` captured in a CUDA graph; its third run and later are replays."""
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()

        def again():
            graph.replay()

        again.step = step  # what the step works on must live on: the graph holds its addresses only
        return again

    def pgd(self, variant):
        """run(count): an attack of `count` steps on all images, from the CPU's memory and back."""
        torch, functional = self.torch, self.torch.nn.functional
        reference = variant == "reference"
        layout = torch.contiguous_format if reference else torch.channels_last
        net = self.networks.CifarResNet(3).to(self.device, memory_format=layout).eval().requires_grad_(reference)
        host, target = self.inputs("pgd", layout)

        def length(d):
            return d.flatten(1).norm(dim=1).view(-1, 1, 1, 1)

        def project(x, delta):
            delta = (x + delta).clamp(0, 1) - x
            return delta * (4.0 / length(delta)).clamp(max=1)

        def step(x, delta, wanted):
            x_adv = (x + delta).detach().requires_grad_(True)
            with self.autocast():
                loss = -functional.cross_entropy(net(x_adv), wanted, reduction="sum")
            if reference:
                loss.backward()
                gradient = x_adv.grad
            else:
                (gradient,) = torch.autograd.grad(loss, x_adv)
            delta.copy_(project(x, delta + 0.1 * gradient / length(gradient).clamp(min=1e-6)))

        def attack(x, delta, wanted, count, one_step):
            with torch.no_grad():
                delta.copy_(project(x, torch.rand_like(x) - x))
            for _ in range(count):
                one_step()
            with torch.no_grad():
                x_adv = x + delta
                return x_adv.cpu(), net(x_adv).argmax(1).cpu()

        size = REFERENCE_BATCH if reference else len(host)
        places = torch.empty_like(host[:size], device=self.device)
        x, delta, wanted = places, torch.empty_like(places), target[:size].clone()
        x.copy_(host[:size])
        delta.zero_()
        one_step = lambda: step(x, delta, wanted)  # noqa: E731
        if variant == "graph":
            one_step = self.recorded(one_step)

        def run(count):
            for first in range(0, len(host), size):
                x.copy_(host[first : first + size])
                wanted.copy_(target[first : first + size])
                attack(x, delta, wanted, count, one_step)

        return run

    def train(self, variant):
        torch = self.torch
        net = self.networks.ResNet((2, 2, 2, 2), True, "cifar").to(self.device, memory_format=torch.channels_last)
        net.train()
        host, labels = self.inputs("train", torch.channels_last)
        images = host.to(self.device)
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = torch.nn.functional.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()

        one_step = self.recorded(step) if variant == "graph" else step

        def run(count):
            for _ in range(count):
                one_step()

        return run


def worker(job, precision, device, batch):
    """Obeys "run COUNT VARIANT"; a variant is built when it is first asked for."""
    import torch

    torch.manual_seed(0)
    peer, runs = Peer(torch, device, precision, batch), {}
    peer.flags()
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for line in sys.stdin:
        words = line.split()
        if words[0] == "quit":
            return
        count, variant = int(words[1]), words[2]
        if variant not in runs:
            runs[variant] = getattr(peer, job)(variant)
        wait()
        start = time.perf_counter()
        runs[variant](count)
        wait()
        print("seconds", (time.perf_counter() - start) / count, flush=True)


# ---- the driver ------------------------------------------------------------------------------------------------------


class TimeUp(Exception):
    pass


class Program:
    """A warm process that times steps on request."""

    def __init__(self, command, environment, variants):
        pipe = subprocess.PIPE
        self.variants = variants
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def ask(self, count, variant):
        """One question at a time: seconds() must follow."""
        try:
            self.process.stdin.write(f"run {count} {variant}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, as seconds() will find

    def seconds(self, deadline):
        ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        answer = self.process.stdout.readline().split() if ready else []
        if not ready:
            raise TimeUp
        if len(answer) != 2 or answer[0] != "seconds":
            command = " ".join(map(str, self.process.args))
            sys.exit(f"compare_pytorch_gpu: {command} ended or did not answer with seconds")
        return float(answer[1])

    def end(self):
        self.process.kill()
        self.process.communicate()


def variants_of(job, precision, device):
    if device == "cpu":
        return ["eager"]
    return ["eager", "graph"] + (["reference"] if job == "pgd" and precision == "tf32" else [])


def start(args):
    """{(job, precision, "lethe" or "pytorch"): Program}, all starting at once."""
    ours = dict(os.environ)
    if args.lethe_library_path:
        ours["LD_LIBRARY_PATH"] = args.lethe_library_path
    programs = {}
    for job in args.jobs:
        for precision in args.precisions:
            command = [args.lethe, "--device", args.device, "--precision", precision, *MODEL[job], "--batch",
                       str(args.batch[job]), "--threads", str(os.cpu_count())]
            programs[job, precision, "lethe"] = Program(command, ours, [job])
            command = [sys.executable, __file__, "--worker", job, precision, "--device", args.device]
            command += ["--batch", ",".join(f"{name}={size}" for name, size in args.batch.items())]
            programs[job, precision, "pytorch"] = Program(command, None, variants_of(job, precision, args.device))
    return programs


def measure(programs, args, deadline):
    """Milliseconds per round of every variant: {(job, precision, who, variant): [...]}."""
    times = {(*key, variant): [] for key, program in programs.items() for variant in program.variants}
    for i in range(max(len(program.variants) for program in programs.values())):  # warm up: all at the same time
        warming = [program for program in programs.values() if i < len(program.variants)]
        for program in warming:
            program.ask(3, program.variants[i])
        for program in warming:
            program.seconds(deadline)
    keys, longest = list(times), 0.0
    for i in range(args.rounds):
        begun = time.monotonic()
        if i >= FEWEST_ROUNDS and begun + longest > deadline:
            break
        for key in keys[i % len(keys) :] + keys[: i % len(keys)]:
            job, variant = key[0], key[3]
            steps = REFERENCE_STEPS if variant == "reference" else args.steps[job]
            programs[key[:3]].ask(steps, variant)
            per_step = programs[key[:3]].seconds(deadline)
            times[key].append(1000 * per_step * (args.steps["pgd"] if job == "pgd" else 1))
        longest = max(longest, time.monotonic() - begun)
    return times


def table(times):
    rows = []
    for (job, precision, who, variant), values in times.items():
        ours = statistics.median(times[job, precision, "lethe", job])
        median = statistics.median(values)
        rows.append(dict(job=job, precision=precision, program=who if who == "lethe" else f"pytorch {variant}",
                         ms=median, min=min(values), max=max(values), rounds=len(values), over_lethe=median / ours))
    return rows


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lethe", default=str(ROOT / "build/cuda/bin/lethe_step_bench"), help="default: %(default)s")
    parser.add_argument("--lethe-library-path", default="", help="LD_LIBRARY_PATH for Lethe only")
    parser.add_argument("--jobs", default="pgd,train", help="default: %(default)s")
    parser.add_argument("--precisions", default="strict,tf32,bf16", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=11, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=600,
                        help=f"end after so long, with exit code {EXIT_TIME_UP} if that is before the third round; "
                        "default: %(default)s")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu only tries this script out")
    parser.add_argument("--batch", default="", help="other sizes, like pgd=8,train=4")
    parser.add_argument("--attack-steps", type=int, default=STEPS["pgd"], help="default: %(default)s")
    parser.add_argument("--json", help="write the table here")
    parser.add_argument("--worker", nargs=2, metavar=("JOB", "PRECISION"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.jobs, args.precisions = args.jobs.split(","), args.precisions.split(",")
    args.batch = {**BATCH, **{name: int(size) for name, size in (item.split("=") for item in args.batch.split(",")
                                                                 if item)}}
    args.steps = {"pgd": args.attack_steps, "train": STEPS["train"] if args.device == "cuda" else 1}
    if set(args.jobs) - set(BATCH):
        parser.error(f"--jobs: known are {', '.join(BATCH)}")
    if not args.worker and not os.access(args.lethe, os.X_OK):
        parser.error(f"--lethe: {args.lethe} is not a program; build it with: cmake --build --preset cuda")
    return args


def main():
    args = parse()
    if args.worker:
        worker(*args.worker, args.device, args.batch)
        return 0
    deadline = time.monotonic() + args.seconds
    programs = start(args)
    try:
        rows = table(measure(programs, args, deadline))
    except TimeUp:
        print(f"compare_pytorch_gpu: {args.seconds:.0f} s were not enough for {FEWEST_ROUNDS} rounds", file=sys.stderr)
        return EXIT_TIME_UP
    finally:
        for program in programs.values():
            program.end()
    print(f"{'job':6} {'precision':9} {'program':18} {'ms':>9}  {'[min .. max]':>22} {'over Lethe':>10}")
    for row in rows:
        print("{job:6} {precision:9} {program:18} {ms:9.3f}  [{min:9.3f} ..{max:9.3f}] {over_lethe:9.2f}x"
              .format(**row))
    if args.json:
        document = dict(batch=args.batch, attack_steps=args.steps["pgd"], results=rows)
        pathlib.Path(args.json).write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
