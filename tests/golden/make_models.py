#!/usr/bin/env python3
"""Writes what torchvision's architectures compute, in float64, for weights and images from fill_hashed() and hashed():

models.safetensors     narrow ones: logits, every gradient, BatchNorm's buffers after a training step
full_size.safetensors  those of the registry at 224 x 224: some logits and a coarse picture of the image gradient

    python3 tests/golden/make_models.py            # needs torch >= 1.13, torchvision >= 0.14 and numpy

Prints how far PyTorch in float32 is from these values, which is what a test can ask of anybody.
"""
import copy

import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models import densenet, mobilenetv2, resnet, squeezenet

from make_golden import FOLDER, Golden, fill_hashed, hashed, ints, leaf, write_safetensors
from networks import normalize

CLASSES, LABELS = 7, (1, 6, 4, 4)

# ---- narrow networks -------------------------------------------------------------------------------------------------


class ResNet(resnet.ResNet):
    """torchvision's, with `width` in the place of 64 and another stem."""

    def __init__(self, block, blocks, width, stem):
        super().__init__(block, blocks, num_classes=CLASSES)
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for i, count in enumerate(blocks):
            setattr(self, f"layer{i + 1}", self._make_layer(block, width << i, count, stride=2 if i > 0 else 1))
        self.fc = nn.Linear(self.inplanes, CLASSES)
        if stem == "cifar":
            self.maxpool = nn.Identity()


class Cifar100Block(nn.Module):
    """A block of the reference's CIFAR-100 ResNets, written from the names in its checkpoints."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        kernels = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
        widths = [inputs] + [width] * (len(kernels) - 1) + [outputs]
        layers = []
        for i, (kernel, step) in enumerate(kernels):
            conv = nn.Conv2d(widths[i], widths[i + 1], kernel, step, kernel // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(widths[i + 1]), nn.ReLU()]
        self.residual_function = nn.Sequential(*layers[:-1])
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.last = nn.ReLU()

    def forward(self, x):
        return self.last(self.residual_function(x) + self.shortcut(x))


class Cifar100ResNet(nn.Module):
    def __init__(self, blocks, width, bottleneck):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        inputs = width
        for i, count in enumerate(blocks):
            layers = []
            for j in range(count):
                layers.append(Cifar100Block(inputs, width << i, 2 if i > 0 and j == 0 else 1, bottleneck))
                inputs = (width << i) * (4 if bottleneck else 1)
            setattr(self, f"conv{i + 2}_x", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        y = self.conv5_x(self.conv4_x(self.conv3_x(self.conv2_x(self.conv1(x)))))
        return self.fc(y.mean((2, 3)))


def narrow_mobilenet(stem):
    setting = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2], [6, 20, 1, 1]]
    net = mobilenetv2.MobileNetV2(CLASSES, width_mult=0.5, inverted_residual_setting=setting, dropout=0)
    if stem == "cifar":
        net.features[0][0].stride = (1, 1)
    return net


def narrow_squeezenet(version, stem):
    """torchvision's order of layers, an eighth of its channels."""
    net = squeezenet.SqueezeNet(version, CLASSES, dropout=0)
    layers = []
    for layer in net.features:
        if isinstance(layer, squeezenet.Fire):
            expand = layer.expand1x1.out_channels // 8
            layer = squeezenet.Fire(layer.squeeze.in_channels // 8, layer.squeeze.out_channels // 8, expand, expand)
        elif isinstance(layer, nn.Conv2d):
            layer = nn.Conv2d(3, layer.out_channels // 8, layer.kernel_size, stride=2)
        layers.append(layer)
    if stem == "cifar":
        layers[0] = nn.Conv2d(3, layers[0].out_channels, 3, padding=1)
        layers[2] = nn.Identity()
    net.features = nn.Sequential(*layers)
    net.classifier[1] = nn.Conv2d(512 // 8, CLASSES, 1)
    return net


def narrow_densenet(stem):
    net = densenet.DenseNet(4, (2, 3, 1, 2), num_init_features=16, num_classes=CLASSES)
    if stem == "cifar":
        net.features.conv0 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        net.features.pool0 = nn.Identity()
    return net


NARROW = {  # name: (network, side of its images)
    "basic.imagenet": (ResNet(resnet.BasicBlock, (1, 2, 1, 1), 8, "imagenet"), 48),
    "basic.cifar": (ResNet(resnet.BasicBlock, (1, 2, 1, 1), 4, "cifar"), 16),
    "basic.cifar-maxpool": (ResNet(resnet.BasicBlock, (1, 2, 1, 1), 4, "cifar-maxpool"), 32),
    "bottleneck.imagenet": (ResNet(resnet.Bottleneck, (1, 2, 1, 1), 4, "imagenet"), 48),
    "bottleneck.cifar": (ResNet(resnet.Bottleneck, (1, 2, 1, 1), 4, "cifar"), 16),
    "bottleneck.cifar-maxpool": (ResNet(resnet.Bottleneck, (1, 2, 1, 1), 4, "cifar-maxpool"), 32),
    "basic.l2ul-cifar100": (Cifar100ResNet((1, 2, 1, 1), 4, False), 16),
    "bottleneck.l2ul-cifar100": (Cifar100ResNet((1, 2, 1, 1), 4, True), 16),
    "mobilenet_v2.imagenet": (narrow_mobilenet("imagenet"), 32),
    "mobilenet_v2.cifar": (narrow_mobilenet("cifar"), 16),
    "squeezenet1_0.imagenet": (narrow_squeezenet("1_0", "imagenet"), 48),
    "squeezenet1_0.cifar": (narrow_squeezenet("1_0", "cifar"), 16),
    "squeezenet1_1.imagenet": (narrow_squeezenet("1_1", "imagenet"), 48),
    "squeezenet1_1.cifar": (narrow_squeezenet("1_1", "cifar"), 16),
    "densenet.imagenet": (narrow_densenet("imagenet"), 64),
    "densenet.cifar": (narrow_densenet("cifar"), 16),
}


def distance_to_kinks(net, images):
    """How near the network comes to a point where a gradient jumps: a relu's or relu6's corner, or two equal maxima."""
    smallest = [float("inf")]

    def look(module, inputs):
        x = inputs[0].detach()
        if isinstance(module, nn.MaxPool2d):
            if module.padding:
                x = F.pad(x, (module.padding,) * 4)  # zeros, which win nothing behind a relu
            first, second = x.unfold(2, 3, 2).unfold(3, 3, 2).flatten(4).topk(2).values.unbind(-1)
            gaps = (first - second)[first > 0]
        else:
            gaps = torch.minimum(x.abs(), (x - 6).abs()) if isinstance(module, nn.ReLU6) else x.abs()
        smallest[0] = min(smallest[0], float(gaps.min()))

    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, (nn.ReLU, nn.ReLU6, nn.MaxPool2d)):
            module.register_forward_pre_hook(look)
    with torch.no_grad():
        net.eval()(images)
        net.train()(images)
    return smallest[0]


def hashed_images(name, count, size):
    return torch.from_numpy(hashed(name, count * 3 * size * size)).view(count, 3, size, size).double() + 0.5


def everything(net, images, dtype):
    """What the test compares, by name."""
    out = Golden()
    net, labels = copy.deepcopy(net).to(dtype), ints(*LABELS)
    x = leaf(images.to(dtype))
    logits = net.eval()(x)
    F.cross_entropy(logits, labels, reduction="sum").backward()
    out.put("eval", logits=logits, grad_images=x.grad)
    net.zero_grad()
    logits = net.train()(images.to(dtype))
    F.cross_entropy(logits, labels).backward()
    out["train.logits"] = logits
    scale = max(parameter.grad.abs().max() for parameter in net.parameters())
    for name, parameter in net.named_parameters():
        grad = parameter.grad
        # The bias of a BatchNorm with only a 1x1 convolution between it and the next does nothing: the gradient is 0.
        out[f"train.grad.{name}"] = grad * (dtype != torch.float64 or grad.abs().max() > 1e-12 * scale)
    for name, buffer in net.named_buffers():
        out[f"train.after.{name}"] = buffer
    return out


def share_of_scale(actual, expected):
    difference, largest = (actual - expected).abs().max(), expected.abs().max()
    return float(difference / largest if largest > 0 else difference)


def narrow_cases():
    out = Golden()
    for name, (net, size) in NARROW.items():
        net = net.double()
        fill_hashed(net)
        # No relu input of the chosen images lies so near 0 that rounding could change its sign, which would move
        # gradients by 1e-3: the test can be strict.
        attempts = range(40)
        distances = [distance_to_kinks(net, hashed_images(f"images {i}", len(LABELS), size)) for i in attempts]
        best = max(attempts, key=lambda i: distances[i])
        images = hashed_images(f"images {best}", len(LABELS), size)
        expected, rounded = (everything(net, images, dtype) for dtype in (torch.float64, torch.float32))
        worst = max(expected, key=lambda key: share_of_scale(rounded[key].double(), expected[key].double()))
        print(f"{name}: kinks {distances[best]:.1e} away; float32 differs by"
              f" {share_of_scale(rounded[worst].double(), expected[worst].double()):.1e} in {worst}")
        out.put(name, size=ints(size), images=ints(best), labels=ints(*LABELS))
        for key, tensor in expected.items():
            out[f"{name}.{key}"] = tensor.detach()
    return out


# ---- full size -------------------------------------------------------------------------------------------------------

FULL_SIZE = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "mobilenet_v2", "squeezenet1_0",
             "squeezenet1_1", "densenet121", "vit_b_16")


def full_size(net, images):
    """Every 40th logit, and of the gradient of sum(logits * hashed("logits")) the sums over 28 x 28 pixels and the norm
    of each channel."""
    x = leaf(images)
    logits = net(normalize(x))
    weights = torch.from_numpy(hashed("logits", logits.shape[1])).to(x.dtype)
    (logits @ weights).sum().backward()
    return dict(logits=logits[:, ::40], gradient=F.avg_pool2d(x.grad, 28) * 28 * 28, norms=x.grad.norm(dim=(2, 3)))


def full_size_cases():
    out = Golden()
    images = hashed_images("images", 2, 224)
    for name in FULL_SIZE:
        net = getattr(torchvision.models, name)(weights=None).eval()
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        fill_hashed(net)
        rounded = full_size(net, images.float())
        expected = full_size(net.double(), images)
        difference = (rounded["gradient"] - expected["gradient"]).norm() / expected["gradient"].norm()
        print(f"{name}: float32 differs by {share_of_scale(rounded['logits'], expected['logits']):.1e} in logits,"
              f" {difference:.1e} in the gradient")
        out.put(name, **expected)
    return out


def main():
    write_safetensors(FOLDER / "models.safetensors", narrow_cases())
    write_safetensors(FOLDER / "full_size.safetensors", full_size_cases())


if __name__ == "__main__":
    main()
