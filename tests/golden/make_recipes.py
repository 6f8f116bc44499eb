#!/usr/bin/env python3
"""Writes recipes.safetensors: what the parts of a training recipe compute in PyTorch (schedules, clipping, label
smoothing, AdamW, groups without weight decay), and all of them together on the ResNet-20 of make_golden.py.

    python3 tests/golden/make_recipes.py            # needs torch >= 1.13 and numpy
"""
import copy

import torch
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from make_golden import FOLDER, Golden, ints, leaf, normal, put_subset, random_resnet20, steady_images, write_safetensors


def formula_cases(out):
    """Five steps of one tensor along given gradients; the third is short, so that its norm is not clipped."""
    start, grads = normal(5, 7), normal(5, 5, 7)
    grads[2] /= 16
    out.put("formula", start=start, grads=grads)
    sgd = dict(lr=0.1, momentum=0.9, weight_decay=0.1)
    cases = {
        "adamw": (lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1), None, False),
        "clip_value": (lambda p: torch.optim.SGD(p, **sgd), lambda p: clip_grad_value_(p, 0.5), False),
        "clip_norm": (lambda p: torch.optim.SGD(p, **sgd), lambda p: clip_grad_norm_(p, 2.0), False),
        "adam_clip_norm": (lambda p: torch.optim.Adam(p, lr=0.1), lambda p: clip_grad_norm_(p, 2.0), False),
        "onecycle_sgd": (lambda p: torch.optim.SGD(p, **sgd), None, True),
        "onecycle_adam": (lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1), None, True),
    }
    for name, (make, clip, cycle) in cases.items():
        theta, norms = leaf(start), []
        optimizer = make([theta])
        schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=len(grads)) if cycle else None
        for grad in grads:
            theta.grad = grad.clone()
            if clip is not None:
                norms.append(clip([theta]))
            optimizer.step()
            if schedule is not None:
                schedule.step()
        out[f"formula.{name}"] = theta
        if name == "clip_norm":
            out["formula.norms"] = torch.stack(norms)


def rates(make_optimizer, make_schedule, steps):
    """Learning rate and momentum of each step."""
    optimizer = make_optimizer([leaf(normal(1))])
    schedule = make_schedule(optimizer)
    rows = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        rows.append([group["lr"], group["betas"][0] if "betas" in group else group["momentum"]])
        optimizer.step()
        if len(rows) < steps:
            schedule.step()
    return torch.tensor(rows, dtype=torch.float64)


def schedule_cases(out):
    def sgd(p):
        return torch.optim.SGD(p, lr=0.2, momentum=0.9)

    def adam(p):
        return torch.optim.Adam(p, lr=0.2)

    out["schedule.onecycle"] = rates(sgd, lambda o: OneCycleLR(o, max_lr=0.2, total_steps=23), 23)
    out["schedule.onecycle_adam"] = rates(adam, lambda o: OneCycleLR(o, max_lr=0.2, total_steps=24), 24)
    out["schedule.onecycle_other"] = rates(
        sgd,
        lambda o: OneCycleLR(o, max_lr=0.2, total_steps=20, pct_start=0.4, div_factor=10, final_div_factor=100,
                             base_momentum=0.7, max_momentum=0.99), 20)
    out["schedule.cosine_epoch"] = rates(sgd, lambda o: CosineAnnealingLR(o, T_max=6), 6)
    out["schedule.cosine_epoch_longer"] = rates(sgd, lambda o: CosineAnnealingLR(o, T_max=8), 6)


def smoothing_cases(out):
    for name, classes, smoothing in (("few", 7, 0.1), ("many", 130, 0.3)):
        logits, labels = leaf(normal(5, classes, scale=3.0)), ints(0, 3, 6, 1, 3)
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        losses.backward(torch.arange(1.0, 6.0).double())
        out.put(f"smoothing.{name}", logits=logits, labels=labels, losses=losses, grad=logits.grad)


def network_case(out, net0, images, labels):
    """Six steps of everything: AdamW without decay on biases, normalisations and every conv1, label
    smoothing, the norm clipped, one cycle."""
    net = copy.deepcopy(net0).train()
    spared = [p for n, p in net.named_parameters() if p.dim() <= 1 or "conv1.weight" in n]
    decayed = [p for n, p in net.named_parameters() if not (p.dim() <= 1 or "conv1.weight" in n)]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.5}, {"params": spared, "weight_decay": 0.0}],
                                  lr=2e-3)
    schedule = OneCycleLR(optimizer, max_lr=2e-3, total_steps=6)
    losses = []
    for step in range(6):
        loss = F.cross_entropy(net(images), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        if step < 5:
            schedule.step()
        losses.append(loss.detach())
    out["network.losses"] = torch.stack(losses)
    put_subset(out, "network", net)


def main():
    torch.manual_seed(20240229)  # the network and the images of make_golden.py
    torch.set_num_threads(1)
    net = random_resnet20()
    images, labels = steady_images(net), torch.randint(0, 10, (8,))
    out = Golden()
    formula_cases(out)
    schedule_cases(out)
    smoothing_cases(out)
    network_case(out, net, images, labels)
    write_safetensors(FOLDER / "recipes.safetensors", out)


if __name__ == "__main__":
    main()
