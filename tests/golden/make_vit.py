#!/usr/bin/env python3
"""Writes the golden values of vision transformers: tests/golden/vit.safetensors.

The models are torchvision's and transformers' own. The narrow one has a random state and is computed in float64; of
the full-size ones only the logits are stored, because both sides fill their weights by the same function
(`fill_hashed`).

    python3 tests/golden/make_vit.py            # needs torch, torchvision, transformers and numpy
"""
import numpy as np
import torch
import torchvision
import transformers
from torch.nn import functional as F

from make_golden import FOLDER, Golden, exact, fill_hashed, hashed, ints, leaf, normal, write_safetensors


def operations(out):
    """Layer norm and multi-head attention, forward and backward, as torch.nn has them."""
    for name, shape, eps in (("torchvision", (2, 5, 24), 1e-6), ("huggingface", (3, 4, 33), 1e-12)):
        x, gamma, beta = leaf(normal(*shape)), leaf(normal(shape[-1])), leaf(normal(shape[-1]))
        y = F.layer_norm(x, shape[-1:], gamma, beta, eps)
        grad_y = normal(*shape)
        grads = torch.autograd.grad(y, (x, gamma, beta), grad_y)
        out.put(f"layer_norm.{name}", x=x, gamma=gamma, beta=beta, y=y, grad_y=grad_y, grad_x=grads[0],
                grad_gamma=grads[1], grad_beta=grads[2])
    for heads, tokens, features in ((3, 5, 24), (1, 9, 16)):
        module = torch.nn.MultiheadAttention(features, heads, bias=False, batch_first=True).double()
        with torch.no_grad():  # what is left between qkv and the heads' results is attention alone
            module.out_proj.weight.copy_(torch.eye(features))
            module.in_proj_weight.copy_(torch.eye(features).repeat(3, 1))
        parts = [leaf(normal(2, tokens, features)) for _ in range(3)]
        y, _ = module(*parts, need_weights=False)
        grad_y = normal(*y.shape)
        grads = torch.autograd.grad(y, parts, grad_y)
        out.put(f"attention.{heads}_heads", qkv=torch.cat(parts, 2), heads=ints(heads), y=y, grad_y=grad_y,
                grad_qkv=torch.cat(grads, 2))


def narrow(out):
    """Logits, the image's gradient and every parameter's, of a model small enough to be stored."""
    net = torchvision.models.vision_transformer.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64, num_classes=10)
    net = net.double().eval()
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            gain = 1.0 if "ln" in name and name.endswith("weight") else 0.0
            fan = tensor[0].numel() if tensor.dim() in (2, 4) else 10
            tensor.copy_(exact(gain + torch.randn(tensor.shape) / fan**0.5))
    images = leaf(exact(torch.rand(3, 3, 32, 32)))
    logits = net(images)
    grad = normal(*logits.shape)
    logits.backward(grad)
    out.put("narrow", images=images, logits=logits, grad_logits=grad, grad_images=images.grad)
    for name, parameter in net.named_parameters():
        out[f"narrow.state.{name}"] = parameter.detach()
        out[f"narrow.grad.{name}"] = parameter.grad


def full_size(out):
    """The logits of ViT-B/16 at 224x224."""
    net = torchvision.models.vit_b_16().double().eval()
    with torch.no_grad():
        fill_hashed(net)
        images = torch.from_numpy(hashed("images", 2 * 3 * 224 * 224) + np.float32(0.5))
        out.put("vit_b_16", logits=net(images.view(2, 3, 224, 224).double()))


def huggingface(out):
    """The logits of transformers' ViT of ViT-B/16's sizes for images of 32x32."""
    net = transformers.ViTForImageClassification(transformers.ViTConfig(image_size=32, num_labels=7)).double().eval()
    with torch.no_grad():
        fill_hashed(net)
        images = torch.from_numpy(hashed("images", 2 * 3 * 32 * 32) + np.float32(0.5))
        out.put("huggingface", logits=net(images.view(2, 3, 32, 32).double()).logits)


def main():
    torch.manual_seed(20261125)
    out = Golden()
    operations(out)
    narrow(out)
    full_size(out)
    huggingface(out)
    write_safetensors(FOLDER / "vit.safetensors", out)


if __name__ == "__main__":
    main()
