#!/usr/bin/env python3
"""Writes the golden values that Lethe's tests compare with: tests/golden/*.safetensors.

Everything is computed by PyTorch in float64 from inputs that float16 holds exactly, and stored as float32, so the
tests pay for Lethe's rounding only. Tensors lie in the files in PyTorch's (logical NCHW) order.

    python3 tests/golden/make_golden.py            # needs torch >= 1.13 and numpy
"""
import copy
import itertools
import json
import math
import pathlib
import struct

import numpy as np
import torch
from torch.nn import functional as F

import networks
from networks import CifarResNet, ResNet, normalize, shortcut_a

FOLDER = pathlib.Path(__file__).resolve().parent

# The tensors that stand for the whole network where storing all of them would take megabytes.
SUBSET = ["conv1.weight", "layer2.0.conv1.weight", "layer3.2.bn2.weight", "linear.weight", "linear.bias"]
SUBSET_BUFFERS = ["bn1.running_mean", "bn1.running_var", "layer3.2.bn2.running_mean", "layer3.2.bn2.running_var"]


# ---- files -----------------------------------------------------------------------------------------------------------


def write_safetensors(path, tensors):
    """8-byte little-endian header length, JSON header, raw little-endian values. float16 where that loses nothing."""
    header, chunks, offset = {}, [], 0
    for name, tensor in tensors.items():
        values = tensor.detach().numpy()
        if values.dtype != np.int64:
            values = values.astype(np.float32)
            with np.errstate(over="ignore"):
                half = values.astype(np.float16)
            values = half if np.array_equal(half.astype(np.float32), values) else values
        code = {"int64": "I64", "float32": "F32", "float16": "F16"}[values.dtype.name]
        chunk = np.ascontiguousarray(values).tobytes()
        place = [offset, offset + len(chunk)]
        header[name] = {"dtype": code, "shape": list(values.shape), "data_offsets": place}
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1024:.0f} KiB")


class Golden(dict):
    """Named tensors; put("a.b", x=..., y=...) adds a.b.x and a.b.y."""

    def put(self, prefix, **tensors):
        for name, tensor in tensors.items():
            self[f"{prefix}.{name}"] = tensor.detach().clone()


def exact(tensor):
    """The same values rounded to float16, as float64."""
    return tensor.half().double()


def normal(*shape, scale=1.0):
    return exact(torch.randn(*shape) * scale)


def leaf(tensor):
    return tensor.detach().clone().requires_grad_(True)


def ints(*values):
    return torch.tensor(values, dtype=torch.int64)


def random_resnet20():
    """Random weights; BatchNorm's affine parameters and running statistics too, so that no term is 0 or 1."""
    net = CifarResNet(3).double()
    for name, tensor in net.state_dict().items():
        if "bn" in name and name.endswith("weight"):
            tensor.uniform_(0.5, 1.5)
        elif "bn" in name and name.endswith(("bias", "running_mean")):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        if tensor.is_floating_point():
            tensor.copy_(exact(tensor))
    return net


def steady_images(net, count=8, distance=1.2e-6):
    """Random images none of whose relu inputs lies so near 0 that float32's rounding could change its sign, which
    would move gradients by 1e-3: the tests of one pass can then be strict."""
    smallest = 0
    while smallest < distance:
        images = exact(torch.rand(count, 3, 32, 32))
        networks.kink_distances = []
        with torch.no_grad():
            copy.deepcopy(net).train()(images)
            copy.deepcopy(net).eval()(images)
        smallest = min(networks.kink_distances)
    networks.kink_distances = None
    return images


# ---- single operations -----------------------------------------------------------------------------------------------


def conv2d_cases(out):
    cases = {  # x, w, stride, pad
        "s1_c3": ((2, 3, 9, 7), (16, 3, 3, 3), 1, 1),
        "s1_c16": ((2, 16, 8, 8), (16, 16, 3, 3), 1, 1),
        "s1_c32": ((1, 32, 5, 6), (32, 32, 3, 3), 1, 1),
        "s1_c5": ((3, 5, 7, 9), (7, 5, 3, 3), 1, 1),
        "s2_c16": ((2, 16, 9, 9), (32, 16, 3, 3), 2, 1),
        "s2_c5": ((2, 5, 10, 7), (6, 5, 3, 3), 2, 1),
        "1x1_s2_c16": ((2, 16, 8, 9), (32, 16, 1, 1), 2, 0),
        "1x1_s1_c32": ((2, 32, 4, 5), (5, 32, 1, 1), 1, 0),
        "7x7_s2_c3": ((2, 3, 19, 22), (16, 3, 7, 7), 2, 3),
    }
    for name, (x_shape, w_shape, stride, pad) in cases.items():
        x, w = leaf(normal(*x_shape)), leaf(normal(*w_shape, scale=0.2))
        y = F.conv2d(x, w, None, stride, pad)
        grad_y = normal(*y.shape)
        grad_x, grad_w = torch.autograd.grad(y, (x, w), grad_y)
        out.put(f"conv2d.{name}", x=x, w=w, op=ints(stride, pad), y=y, grad_y=grad_y, grad_x=grad_x, grad_w=grad_w)


def batchnorm_cases(out):
    for name, batch, fused in (("batch", 1, 0), ("batch_fused", 1, 1), ("running", 0, 0), ("running_fused", 0, 1)):
        x, residual = leaf(normal(4, 6, 5, 3) + 0.5), leaf(normal(4, 6, 5, 3))
        gamma, beta = leaf(exact(torch.rand(6) + 0.5)), leaf(normal(6))
        mean, var = normal(6), exact(torch.rand(6) + 0.5)
        out.put(f"batchnorm.{name}", running_mean=mean, running_var=var, op=ints(batch, fused))
        y = F.batch_norm(x, mean, var, gamma, beta, bool(batch), 0.1, 1e-5)
        y = F.relu(y + residual) if fused else y + 0 * residual
        grad_y = normal(*y.shape)
        grads = torch.autograd.grad(y, (x, gamma, beta, residual), grad_y)
        out.put(f"batchnorm.{name}", x=x, residual=residual, gamma=gamma, beta=beta, y=y, grad_y=grad_y,
                running_mean_after=mean, running_var_after=var,
                **dict(zip(("grad_x", "grad_gamma", "grad_beta", "grad_residual"), grads)))


def simple_case(out, name, function, *inputs, **extra):
    """y = function(*inputs) and its gradients for a random grad_y; inputs are named x, w, b."""
    inputs = [leaf(tensor) for tensor in inputs]
    y = function(*inputs)
    grad_y = normal(*y.shape)
    grads = torch.autograd.grad(y, inputs, grad_y)
    out.put(name, y=y, grad_y=grad_y, **extra)
    for letter, tensor, grad in zip("xwb", inputs, grads):
        out.put(name, **{letter: tensor, f"grad_{letter}": grad})


def op_cases():
    out = Golden()
    conv2d_cases(out)
    batchnorm_cases(out)
    simple_case(out, "max_pool2d.odd", lambda x: F.max_pool2d(x, 3, 2, 1), normal(2, 5, 9, 7))
    ties = torch.randint(0, 3, (2, 4, 8, 8)).double()  # every window holds its maximum several times
    simple_case(out, "max_pool2d.ties", lambda x: F.max_pool2d(x, 3, 2, 1), ties)
    simple_case(out, "global_avg_pool", lambda x: x.mean((2, 3)), normal(3, 5, 4, 7))
    simple_case(out, "linear", F.linear, normal(5, 12), normal(7, 12), normal(7))
    simple_case(out, "shortcut_a", shortcut_a, normal(2, 8, 6, 7))
    simple_case(out, "row_norm", lambda x: x.flatten(1).norm(dim=1), normal(4, 11))
    simple_case(out, "row_norm_images", lambda x: x.flatten(1).norm(dim=1), normal(3, 3, 5, 4))
    simple_case(out, "normalize", normalize, exact(torch.rand(2, 3, 5, 4)))
    labels = ints(3, 0, 9, 9, 5, 1)
    wide = normal(6, 10, scale=3)
    wide[1] += 80  # exp(logit) overflows float32
    cross_entropy = lambda x: F.cross_entropy(x, labels, reduction="none")  # noqa: E731
    simple_case(out, "softmax_cross_entropy", cross_entropy, wide, labels=labels)
    pgd_update_cases(out)
    return out


def pgd_update_cases(out):
    """One long step that leaves both the ball and the box, so that the order of the projections matters."""
    x, x_adv = exact(torch.rand(3, 3, 5, 4).round(decimals=1)), exact(torch.rand(3, 3, 5, 4))
    grad = normal(3, 3, 5, 4)
    grad[1] = 0
    out.put("pgd_step", x=x, x_adv=x_adv, grad=grad)
    for norm, order, eps, step in (("l2", "box_ball", 2, 3), ("l2", "ball_box", 2, 3), ("linf", "box_ball", 0.25, 0.5)):
        out[f"pgd_step.{norm}_{order}"] = pgd_update(x, x_adv, grad, eps, step, norm, order)


# ---- whole networks --------------------------------------------------------------------------------------------------


def resnet20_cases(net, images, labels):
    out = Golden()
    out.put("input", images=images, labels=labels)
    out["eval.logits"] = net.eval()(images)
    out["eval.grad_images"] = image_gradient(net, images, labels)
    net = copy.deepcopy(net).train()
    x = leaf(images)
    logits = net(x)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    out.put("train", logits=logits, loss=loss[None], grad_images=x.grad)
    for name, parameter in net.named_parameters():
        out[f"train.grad.{name}"] = parameter.grad
    for name, buffer in net.named_buffers():
        if "running" in name:
            out[f"train.after.{name}"] = buffer
    return out


def image_gradient(net, images, labels):
    """Gradient of the summed cross-entropy for the images."""
    x = leaf(images)
    return torch.autograd.grad(F.cross_entropy(net(x), labels, reduction="sum"), x)[0]


def hashed(name, count):
    """`count` numbers in [-0.5, 0.5): MurmurHash3's 32-bit finalizer of (FNV-1a hash of the name) + index."""
    start = 0x811C9DC5
    for byte in name.encode():
        start = (start ^ byte) * 0x01000193 % 2**32
    h = np.arange(count, dtype=np.uint32) + np.uint32(start)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    h ^= h >> np.uint32(16)
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24) - np.float32(0.5)


def fill_hashed(net):
    """Weights from a formula that the test repeats, for networks too large to store (float32 arithmetic)."""
    for name, tensor in net.state_dict().items():
        if not tensor.is_floating_point():
            continue
        u = hashed(name, tensor.numel())
        if tensor.dim() > 1:  # He et al. 2015: variance 2 / fan_in; a uniform of width 1 has 1/12
            u = u * np.float32(math.sqrt(24 / tensor[0].numel()))
        elif name.endswith(("running_var", "weight")):
            u = u + np.float32(1)
        tensor.copy_(torch.from_numpy(u).view(tensor.shape))


def imagenet_cases():
    """The torchvision family: logits, loss, image gradient, and the norm of every parameter's gradient."""
    out = Golden()
    cases = {
        "resnet18.imagenet": (ResNet((2, 2, 2, 2), True, "imagenet"), 64),
        "resnet18.cifar": (ResNet((2, 2, 2, 2), True, "cifar"), 16),
        "resnet18.cifar-maxpool": (ResNet((2, 2, 2, 2), True, "cifar-maxpool"), 32),
        "resnet34.imagenet": (ResNet((3, 4, 6, 3), True, "imagenet"), 64),
        "resnet50.imagenet": (ResNet((3, 4, 6, 3), False, "imagenet"), 64),
    }
    labels = ints(1, 7, 4, 4)
    for name, (net, size) in cases.items():
        net = net.double()
        fill_hashed(net)
        images = torch.from_numpy(hashed("images", 4 * 3 * size * size) + np.float32(0.5))
        images = leaf(images.view(4, 3, size, size).double())
        out.put(name, size=ints(size), labels=labels, eval_logits=net.eval()(images))
        loss = F.cross_entropy(net.train()(images), labels)
        loss.backward()
        out.put(name, train_loss=loss[None], grad_images_norm=images.grad.flatten(1).norm(dim=1),
                grad_norms=torch.stack([p.grad.norm() for p in net.parameters()]))
    return out


# ---- optimizers ------------------------------------------------------------------------------------------------------


def put_subset(out, prefix, net):
    state = net.state_dict()
    for name in SUBSET + SUBSET_BUFFERS:
        out[f"{prefix}.{name}"] = state[name].clone()


def optimizer_cases(out):
    """Each formula alone: five steps of one tensor along given gradients."""
    optimizers = {
        "plain": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    }
    start, grads = normal(5, 7), normal(5, 5, 7)
    out.put("formula", start=start, grads=grads)
    for name, make in optimizers.items():
        theta = leaf(start)
        optimizer = make([theta])
        for grad in grads:
            theta.grad = grad.clone()
            optimizer.step()
        out[f"formula.{name}"] = theta


def training_cases(net0, images, labels):
    out = Golden()
    optimizer_cases(out)
    optimizers = {
        "sgd": (10, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-4)),
        "nesterov": (4, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)),
        "adam": (5, lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-4)),
    }
    for name, (steps, make) in optimizers.items():
        net = copy.deepcopy(net0).train()
        optimizer, losses = make(net.parameters()), []
        for _ in range(steps):
            loss = F.cross_entropy(net(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        out[f"{name}.losses"] = torch.stack(losses)
        put_subset(out, name, net)
    return out


# ---- unlearning ------------------------------------------------------------------------------------------------------


def norms(net, images, squared):
    n = net(images).norm(dim=1)
    return n * n if squared else n


def importance_batch(net0, images, squared, loader_batch=32):
    """MAS importance as the L2UL reference computes it: train-mode BatchNorm, |gradient of the batch mean|."""
    net = copy.deepcopy(net0).train()
    grads = torch.autograd.grad(norms(net, images, squared).mean(), list(net.parameters()))
    divisor = (len(images) // loader_batch + 1) * loader_batch
    return {n: g.abs() * len(images) / divisor for (n, _), g in zip(net.named_parameters(), grads)}


def importance_per_sample(net0, images, squared):
    """MAS importance as defined (Aljundi et al. 2018): mean over samples of |gradient|, eval-mode BatchNorm."""
    net = copy.deepcopy(net0).eval()
    total = {n: torch.zeros_like(p) for n, p in net.named_parameters()}
    for image in images:
        grads = torch.autograd.grad(norms(net, image[None], squared).sum(), list(net.parameters()))
        for (name, _), grad in zip(net.named_parameters(), grads):
            total[name] += grad.abs() / len(images)
    return total


def protection(importance):
    """1 - min-max-normalised importance, tensor by tensor."""
    return {n: 1 - (o - o.min()) / (o.max() - o.min()) for n, o in importance.items()}


def penalty(net, anchor, omega_bar):
    return sum((omega_bar[n] * (p - anchor[n]) ** 2).sum() / 2 for n, p in net.named_parameters())


def importance_cases(net, images):
    out = Golden()
    forms = {"batch": importance_batch, "per_sample": importance_per_sample}
    for (form, function), squared in itertools.product(forms.items(), (False, True)):
        importance = function(net, images, squared)
        bar = protection(importance)
        for name in SUBSET:
            prefix = f"{form}{'_squared' if squared else ''}.{name}"
            out.put(prefix, importance=importance[name])
            if not squared:
                out.put(prefix, protection=bar[name])
    return out


def penalty_case(net0):
    """lambda * sum(weight (theta - anchor)^2) / 2 over two of the network's tensors, and its gradient."""
    out, total, lam = Golden(), 0, 3.0
    for name in ("layer2.0.conv1.weight", "linear.bias"):
        anchor = net0.state_dict()[name]
        theta, weight = leaf(exact(anchor + 0.1 * torch.randn_like(anchor))), exact(torch.rand_like(anchor))
        total = total + lam * (weight * (theta - anchor) ** 2).sum() / 2
        out.put(f"penalty.{name}", theta=theta, weight=weight, anchor=anchor)
        out[f"penalty.{name}.grad"] = lam * weight * (theta.detach() - anchor)
    out["penalty.lambda"], out["penalty.value"] = torch.tensor([lam]), total
    return out


def unlearn_cases(net0, images, labels):
    """Five ADV+IMP steps of the reference: adversarial forward first, both in train mode, size-weighted losses."""
    out = Golden()
    adv_x, adv_t = exact(torch.rand(20, 3, 32, 32)), torch.randint(0, 10, (20,))
    out.put("adv_imp", adv_images=adv_x, adv_labels=adv_t)
    anchor = {n: p.detach().clone() for n, p in net0.named_parameters()}
    omega_bar = protection(importance_batch(net0, images, squared=False))
    adv_loader = [(adv_x[:16], adv_t[:16]), (adv_x[16:], adv_t[16:])]
    for name, lam in (("adv", 0.0), ("adv_imp", 1.0), ("adv_imp_strong", 1000.0)):
        net = copy.deepcopy(net0).train()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4)
        terms = []
        for x, t in itertools.islice(itertools.cycle(adv_loader), 5):
            adv_loss = F.cross_entropy(net(x), t)
            forget_loss = F.cross_entropy(net(images), labels)
            n_a, n_f = len(x), len(images)
            pull = penalty(net, anchor, omega_bar)
            loss = -forget_loss * n_f / (n_a + n_f) + adv_loss * n_a / (n_a + n_f) + lam * pull
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            terms.append(torch.stack([loss, forget_loss, adv_loss, pull]).detach())
        out[f"{name}.losses"] = torch.stack(terms)  # [step, (total, CE on D_f, CE on adversarial, penalty)]
        put_subset(out, name, net)
    return out


# ---- attack ----------------------------------------------------------------------------------------------------------


def limit(delta, eps, norm):
    if norm == "linf":
        return delta.clamp(-eps, eps)
    length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return delta * (eps / length).clamp(max=1)


def pgd_update(x, x_adv, grad, eps, step, norm, order):
    if norm == "linf":
        moved = x_adv + step * grad.sign()
    else:
        moved = x_adv + step * grad / grad.flatten(1).norm(dim=1).clamp(min=1e-6).view(-1, 1, 1, 1)
    if order == "box_ball":
        return (x + limit(moved.clamp(0, 1) - x, eps, norm)).clamp(0, 1)
    return (x + limit(moved - x, eps, norm)).clamp(0, 1)


def pgd_step(net, x, x_adv, target, eps, step, norm, order):
    grad = -image_gradient(net, x_adv, target)  # targeted: go where the target's loss falls
    return pgd_update(x, x_adv, grad, eps, step, norm, order)


def attack_cases(net, images, labels):
    """Ten targeted steps from a given start inside the ball, in the eval-mode network."""
    out = Golden()
    net = net.eval()
    target = (labels + ints(1, 3, 5, 7)) % 10
    noise = torch.rand_like(images)
    variants = {
        "l2_box_ball": ("l2", "box_ball", 4.0, 0.1),
        "l2_ball_box": ("l2", "ball_box", 4.0, 0.1),
        "linf_box_ball": ("linf", "box_ball", 8 / 255, 2 / 255),
    }
    starts = {
        "l2": exact(images + 0.999 * limit(noise - images, 4.0, "l2")).clamp(0, 1),
        "linf": exact(images + 0.999 * (noise * 2 - 1) * 8 / 255).clamp(0, 1),
    }
    out.put("input", images=images, target=target, start_l2=starts["l2"], start_linf=starts["linf"])
    for name, (norm, order, eps, step) in variants.items():
        x_adv = starts[norm]
        for i in range(10):
            x_adv = pgd_step(net, images, x_adv, target, eps, step, norm, order)
            if i == 9 or i == 0 and order == "box_ball":
                out[f"{name}.after_{i + 1}"] = x_adv
        out[f"{name}.settings"] = torch.tensor([eps, step])
    return out


def main():
    torch.manual_seed(20240229)
    torch.set_num_threads(1)
    net = random_resnet20()
    images, labels = steady_images(net), torch.randint(0, 10, (8,))
    write_safetensors(FOLDER / "ops.safetensors", op_cases())
    write_safetensors(FOLDER / "resnet20_state.safetensors", net.state_dict())
    write_safetensors(FOLDER / "resnet20.safetensors", resnet20_cases(net, images, labels))
    write_safetensors(FOLDER / "resnet_imagenet.safetensors", imagenet_cases())
    write_safetensors(FOLDER / "training.safetensors", training_cases(net, images, labels))
    write_safetensors(FOLDER / "importance.safetensors", {**importance_cases(net, images), **penalty_case(net)})
    write_safetensors(FOLDER / "unlearn.safetensors", unlearn_cases(net, images[:4], labels[:4]))
    write_safetensors(FOLDER / "attack.safetensors", attack_cases(net, images[:4], labels[:4]))


if __name__ == "__main__":
    main()
