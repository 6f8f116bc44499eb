"""The networks of the golden values and of the comparisons with PyTorch, in PyTorch's own modules.

Parameter names are those of the published checkpoints; every network normalises its input itself, so images lie in
pixel units [0,1].
"""
import torch
from torch import nn
from torch.nn import functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# When a list, every relu call appends the smallest |x| it sees: how near the network's kinks an input lies.
kink_distances = None


def relu(x):
    if kink_distances is not None:
        kink_distances.append(float(x.detach().abs().min()))
    return F.relu(x)


class CifarBlock(nn.Module):
    """Two 3x3 convolutions and the parameter-free shortcut "option A" (He et al. 2016)."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride = stride

    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(y + (x if self.stride == 1 else shortcut_a(x)))


def shortcut_a(x):
    """Every second pixel; as many zero channels as x has, half in front of its channels and half behind."""
    planes = 2 * x.shape[1]
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4))


class CifarResNet(nn.Module):
    """ResNet-(6 n + 2) for 32x32 images, with its input normalisation in front."""

    def __init__(self, blocks, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for stage, planes in enumerate((16, 32, 64), start=1):
            layer = []
            for block in range(blocks):
                layer.append(CifarBlock(inputs, planes, 2 if block == 0 and stage > 1 else 1))
                inputs = planes
            setattr(self, f"layer{stage}", nn.Sequential(*layer))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        y = relu(self.bn1(self.conv1(normalize(x))))
        y = self.layer3(self.layer2(self.layer1(y)))
        return self.linear(y.mean((2, 3)))


class Block(nn.Module):
    """The blocks of torchvision's ResNets: `basic` is 3x3 3x3, otherwise 1x1 3x3 1x1 with the stride in the 3x3."""

    def __init__(self, inputs, planes, stride, basic):
        super().__init__()
        outputs = planes if basic else 4 * planes
        kernels = [(3, stride), (3, 1)] if basic else [(1, 1), (3, stride), (1, 1)]
        widths = [inputs] + [planes] * (len(kernels) - 1) + [outputs]
        self.depth = len(kernels)
        for i, (kernel, step) in enumerate(kernels):
            setattr(self, f"conv{i + 1}", nn.Conv2d(widths[i], widths[i + 1], kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i + 1]))
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = relu(y) if i < self.depth else y
        return relu(y + self.downsample(x))


class ResNet(nn.Module):
    """torchvision's ResNet with one of three stems: imagenet (7x7/2, pool), cifar (3x3), cifar-maxpool (3x3, pool)."""

    def __init__(self, blocks, basic, stem, classes=10):
        super().__init__()
        self.stem = stem
        kernel, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = nn.Conv2d(3, 64, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, count in enumerate(blocks, start=1):
            planes, layer = 32 << stage, []
            for block in range(count):
                layer.append(Block(inputs, planes, 2 if block == 0 and stage > 1 else 1, basic))
                inputs = planes if basic else 4 * planes
            setattr(self, f"layer{stage}", nn.Sequential(*layer))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        y = relu(self.bn1(self.conv1(normalize(x))))
        y = y if self.stem == "cifar" else F.max_pool2d(y, 3, 2, 1)
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return self.fc(y.mean((2, 3)))


def normalize(x, mean=MEAN, std=STD):
    return (x - torch.tensor(mean, dtype=x.dtype).view(-1, 1, 1)) / torch.tensor(std, dtype=x.dtype).view(-1, 1, 1)
