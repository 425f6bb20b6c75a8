"""MedImageInsight's image encoder (DaViT) in PyTorch, and the 8-bit images that it sees of a patch; used through nets.py.

A patch is 48 images; its embedding is the mean of theirs.
"""
import collections

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from attention_nets import attend


def enlarging(size, out):
    """[out][size] integers of Pillow's bicubic filter, in units of 2^-22"""
    weights = np.zeros((out, size))
    for row in range(out):
        centre = (row + 0.5) * size / out
        taps = np.arange(max(int(centre - 1.5), 0), min(int(centre + 2.5), size))
        x = np.abs(taps - centre + 0.5)
        near, far = (1.5 * x - 2.5) * x * x + 1, -0.5 * (((x - 5) * x + 8) * x - 4)
        w = np.where(x < 1, near, np.where(x < 2, far, 0))
        weights[row, taps] = w / w.sum()
    fixed = weights * 2**22
    return np.trunc(fixed + np.copysign(0.5, fixed)).astype(np.int64)


def images(patch, spec, indices):
    """patch: [L][P][S] in [0, 1]; planes at `indices` of P -> float32 [n][3][size][size]"""
    planes = (patch.transpose(1, 0, 2)[indices] * np.float32(255)).astype(np.uint8).astype(np.int64)
    resize = enlarging(planes.shape[1], spec["size"])

    def rounded(sums):
        return np.clip((sums + (1 << 21)) >> 22, 0, 255)

    grey = rounded(resize @ rounded(planes @ resize.T))
    mean, std = (np.float32(spec[key])[:, None, None] for key in ("mean", "std"))
    return ((grey[:, None].astype(np.float32) / np.float32(255) - mean) / std).astype(np.float32)


class Depthwise(nn.Module):
    """On tokens [N][D][D][C]"""

    def __init__(self, width):
        super().__init__()
        self.fn = nn.ModuleDict({"dw": nn.Conv2d(width, width, 3, padding=1, groups=width)})

    def forward(self, x):
        return x + self.fn["dw"](x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Projections(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = width // 32


class WindowAttention(Projections):
    """Windows of 12x12; padded tokens take part like any other."""

    def forward(self, x):
        w, (_, size, _, width) = 12, x.shape
        more = -size % w
        x = F.pad(x, (0, 0, 0, more, 0, more)) if more else x
        g = x.shape[1] // w
        x = x.reshape(-1, g, w, g, w, width).permute(0, 1, 3, 2, 4, 5).reshape(-1, w * w, width)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, 32)).permute(2, 0, 3, 1, 4).unbind(0)
        x = self.proj(attend(q, k, v, 32 ** -0.5).transpose(1, 2).flatten(2))
        x = x.reshape(-1, g, g, w, w, width).permute(0, 1, 3, 2, 4, 5).reshape(-1, g * w, g * w, width)
        return x[:, :size, :size]


class ChannelAttention(Projections):
    """The 32 channels of a group attend to each other; the tokens are what is summed over."""

    def forward(self, x):
        tokens = x.shape[1] * x.shape[2]
        q, k, v = self.qkv(x).flatten(1, 2).unflatten(-1, (3, self.heads, 32)).permute(2, 0, 3, 4, 1).unbind(0)
        y = attend(q, k, v, tokens ** -0.5)  # [N][groups][32][tokens]
        return self.proj(y.permute(0, 3, 1, 2).flatten(2)).reshape(x.shape)


class Normed(nn.Module):
    def __init__(self, width, fn):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(width), fn

    def forward(self, x):
        return x + self.fn(self.norm(x))


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x):
        return self.net["fc2"](F.gelu(self.net["fc1"](x)))


def half_block(width, name, attention):
    return nn.Sequential(collections.OrderedDict([
        ("conv1", Depthwise(width)), (name, Normed(width, attention(width))), ("conv2", Depthwise(width)), ("ffn", Normed(width, FeedForward(width)))]))


class DaViT(nn.Module):
    """Images [N][3][480][480] -> unit vectors [N][1024]"""

    def __init__(self, widths=(256, 512, 1024, 2048), depths=(1, 1, 9, 1), size=1024):
        super().__init__()
        self.convs, self.blocks = nn.ModuleList(), nn.ModuleList()
        for inputs, width, depth in zip((3, *widths), widths, depths):
            first = inputs == 3
            self.convs.append(nn.ModuleDict({
                "proj": nn.Conv2d(inputs, width, 7, 4, 3) if first else nn.Conv2d(inputs, width, 3, 2, 1), "norm": nn.LayerNorm(width if first else inputs)}))
            self.blocks.append(nn.ModuleList(nn.ModuleDict({
                "spatial_block": half_block(width, "window_attn", WindowAttention),
                "channel_block": half_block(width, "channel_attn", ChannelAttention)}) for _ in range(depth)))
        self.norms, self.image_projection = nn.LayerNorm(widths[-1]), nn.Parameter(torch.empty(widths[-1], size))

    def forward(self, x):
        for stage, (embed, blocks) in enumerate(zip(self.convs, self.blocks)):
            if stage == 0:
                x = embed["norm"](embed["proj"](x).permute(0, 2, 3, 1))
            else:
                x = embed["proj"](embed["norm"](x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            for block in blocks:
                x = block["channel_block"](block["spatial_block"](x))
        return F.normalize(self.norms(x.mean((1, 2))) @ self.image_projection, dim=-1)
