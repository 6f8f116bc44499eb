#!/usr/bin/env python3
"""The unlearning procedure of csm9493/L2UL in PyTorch, on a published CIFAR-10 checkpoint: what `lethe unlearn
--protocol reference` is compared with.

    python3 bench/reference_l2ul.py --weights resnet20.th --data cifar-10-batches-bin --arms neggrad,adv,adv+imp

Needs torch and numpy. The forget set is that of torch.randperm; attack labels and starts are one random draw of this
script's own, since the reference's depend on how often its data loaders were asked. k may not exceed the batch of 32:
beyond it the reference's importance accumulates stale gradients, which is not repeated here.
"""
import argparse
import copy
import itertools
import json
import pathlib
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))
from make_golden import importance_batch, limit, penalty, pgd_step, protection  # noqa: E402
from networks import CifarResNet  # noqa: E402

CLASSES, FORGET_BATCH, ADV_BATCH, EVAL_BATCH = 10, 32, 256, 1024


def read_cifar10(folder, names):
    records = [np.fromfile(pathlib.Path(folder) / name, dtype=np.uint8).reshape(-1, 3073) for name in names]
    records = np.concatenate(records)
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
    return images, torch.from_numpy(records[:, 0].astype(np.int64))


def load_network(path):
    state = torch.load(path, map_location="cpu")
    state = {name.removeprefix("module."): value for name, value in state.get("state_dict", state).items()}
    blocks = len({name.split(".")[1] for name in state if name.startswith("layer1.")})
    net = CifarResNet(blocks)
    missing, unexpected = net.load_state_dict(state, strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        sys.exit(f"{path} is not a CIFAR ResNet: missing {missing}, unexpected {unexpected}")
    return net


def pixels(images):
    return images.float() / 255 if images.dtype == torch.uint8 else images


@torch.no_grad()
def percent_correct(net, images, labels):
    net.eval()
    correct = sum(
        int((net(pixels(x)).argmax(1) == y).sum()) for x, y in zip(images.split(EVAL_BATCH), labels.split(EVAL_BATCH))
    )
    return 100 * correct / len(labels)


def attack_labels(labels):
    """floor(rand * C); where that is the true label, C // 2 (which may be the true label as well)."""
    drawn = (torch.rand(len(labels)) * CLASSES).long()
    return torch.where(drawn == labels, torch.full_like(drawn, CLASSES // 2), drawn)


def adversarial_set(net, images, labels, args):
    """Repeat-major. All repeats form one batch: in eval mode rows do not see each other."""
    net.eval()
    x = images.repeat(args.adversarial, 1, 1, 1)
    target = attack_labels(labels.repeat(args.adversarial))
    x_adv = (x + limit(torch.rand_like(x) - x, args.eps, "l2")).clamp(0, 1)
    for _ in range(args.pgd_steps):
        x_adv = pgd_step(net, x, x_adv, target, args.eps, 0.1, "l2", "box_ball")
    with torch.no_grad():
        hits = float((net(x_adv).argmax(1) == target).float().mean())
    print(f"attack: {len(x)} images, {100 * hits:.1f} % classified as their targets", flush=True)
    return x_adv, target


def batches(images, labels, size):
    return list(zip(images.split(size), labels.split(size)))


def unlearn(net, arm, forget, adversarial, args):
    """Returns the number of steps made and D_f's accuracy. The network is changed in place."""
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    anchor = {name: p.detach().clone() for name, p in net.named_parameters()}
    omega_bar = protection(importance_batch(net, forget[0], squared=False)) if arm == "adv+imp" else None
    forget_batches = itertools.cycle(batches(*forget, FORGET_BATCH))
    adv_batches = itertools.cycle(batches(*adversarial, ADV_BATCH)) if arm != "neggrad" else itertools.repeat(None)
    left = 100.0
    for step in range(1, args.max_steps + 1):
        net.train()
        adv, (x_f, y_f) = next(adv_batches), next(forget_batches)
        if adv is None:
            loss = -F.cross_entropy(net(x_f), y_f)
        else:
            n_a, n_f = len(adv[0]), len(x_f)
            adv_loss = F.cross_entropy(net(adv[0]), adv[1])  # the adversarial batch is first: running statistics
            loss = (n_a * adv_loss - n_f * F.cross_entropy(net(x_f), y_f)) / (n_a + n_f)
        if omega_bar is not None:
            loss = loss + args.lam * penalty(net, anchor, omega_bar)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        left = percent_correct(net, *forget)
        if not torch.isfinite(loss):
            print(f"{arm}: the loss is not finite at step {step}")
            break
        if left == 0:
            break
    return step, left


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="CIFAR-10 ResNet checkpoint written by torch.save")
    parser.add_argument("--data", required=True, help="folder of CIFAR-10's binary batches")
    parser.add_argument("--arms", default="neggrad,adv,adv+imp", help="comma-separated (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--k", type=int, default=16, help="images to forget, at most 32 (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--lam", type=float, default=1.0, help="weight of the importance penalty")
    parser.add_argument("--eps", type=float, default=4.0)
    parser.add_argument("--pgd-steps", type=int, default=100)
    parser.add_argument("--adversarial", type=int, default=20, help="adversarial images per image to forget")
    parser.add_argument("--max-steps", type=int, default=2000)
    parser.add_argument("--d-r-sample", type=int, default=0, help="retained images to test on; 0 = all 49,984")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="write the results here as well")
    args = parser.parse_args()
    unknown = set(args.arms.split(",")) - {"neggrad", "adv", "adv+imp"}
    if unknown or not 1 <= args.k <= FORGET_BATCH:
        parser.error(f"unknown arms {sorted(unknown)}" if unknown else f"--k must be 1..{FORGET_BATCH}")
    return args


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    train = read_cifar10(args.data, [f"data_batch_{i}.bin" for i in range(1, 6)])
    test = read_cifar10(args.data, ["test_batch.bin"])
    torch.manual_seed(args.seed)
    chosen = torch.randperm(len(train[1]))[: args.k]
    kept = torch.ones(len(train[1]), dtype=torch.bool)
    kept[chosen] = False
    kept = kept.nonzero().flatten()
    if args.d_r_sample:
        kept = kept[torch.from_numpy(np.random.default_rng(0).permutation(len(kept))[: args.d_r_sample])]
    forget, retain = (pixels(train[0][chosen]), train[1][chosen]), (train[0][kept], train[1][kept])

    def row(arm, net, steps, seconds):
        result = dict(method=arm, D_f=percent_correct(net, *forget), D_r=percent_correct(net, *retain),
                      D_test=percent_correct(net, *test), steps=steps, seconds=seconds)
        line = "{method:8} D_f {D_f:6.2f}  D_r {D_r:6.2f}  D_test {D_test:6.2f}  steps {steps:4}  {seconds:6.1f} s"
        print(line.format(**result), flush=True)
        return result

    original = load_network(args.weights)
    results = [row("before", original, 0, 0.0)]
    arms = args.arms.split(",")
    adversarial = adversarial_set(original, *forget, args) if set(arms) & {"adv", "adv+imp"} else None
    for arm in arms:
        net, start = copy.deepcopy(original), time.perf_counter()
        steps, _ = unlearn(net, arm, forget, adversarial, args)
        results.append(row(arm, net, steps, time.perf_counter() - start))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(dict(settings=vars(args), results=results), indent=2) + "\n")


if __name__ == "__main__":
    main()
