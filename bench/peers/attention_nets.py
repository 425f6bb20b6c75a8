"""The transformers among the benchmarked networks in PyTorch, written from their descriptions; used through nets.py.

Attention is spelled out (two products and a softmax), as the reference implementations do; masks and position indices are constants.
What surprises is the reference's: see the comments.
"""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def attend(q, k, v, scale, bias=None):
    """[..., tokens, values] each"""
    scores = (q * scale) @ k.transpose(-2, -1)
    return (scores if bias is None else scores + bias).softmax(-1) @ v


class NamedNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))

    def forward(self, x):
        return F.layer_norm(x, self.gamma.shape, self.gamma, self.beta)


class PositionEncoding(nn.Module):
    """Depthwise 3x3x3, with the past only on the first axis."""

    def __init__(self, width, grid):
        super().__init__()
        self.dsconv, self.grid = nn.Conv3d(width, width, 3, groups=width), grid

    def forward(self, x):
        """x: [sequences][tokens][width], read as [N][t][h][w][width] in memory order, whatever that order means"""
        volume = x.reshape(-1, *self.grid, x.shape[-1]).permute(0, 4, 1, 2, 3)
        y = self.dsconv(F.pad(volume, (1, 1, 1, 1, 2, 0)))
        return y.permute(0, 2, 3, 4, 1).reshape(-1, *x.shape[1:])


class CosineAttention(nn.Module):
    """Keys and values come from tokens that are not normalised."""

    def __init__(self, width, heads, head_width):
        super().__init__()
        self.norm, self.heads = NamedNorm(width), heads
        self.to_q, self.to_kv = nn.Linear(width, heads * head_width, bias=False), nn.Linear(width, 2 * heads * head_width, bias=False)
        self.q_scale, self.k_scale = nn.Parameter(torch.empty(head_width)), nn.Parameter(torch.empty(head_width))
        self.to_out = nn.Linear(heads * head_width, width, bias=False)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, bias):
        keys, values = self.to_kv(x).chunk(2, -1)
        q = F.normalize(self.split(self.to_q(self.norm(x))), dim=-1) * self.q_scale
        k = F.normalize(self.split(keys), dim=-1) * self.k_scale
        return self.to_out(attend(q, k, self.split(values), 8, bias).transpose(1, 2).flatten(2))


class GatedFeedForward(nn.ModuleDict):
    def __init__(self, width):
        inner = width * 8 // 3
        super().__init__({"0": nn.LayerNorm(width), "1": nn.Linear(width, 2 * inner, bias=False), "4": nn.Linear(inner, width, bias=False)})

    def forward(self, x):
        a, gate = self["1"](self["0"](x)).chunk(2, -1)
        return self["4"](a * F.gelu(gate))


class TokenTransformer(nn.Module):
    def __init__(self, width, depth, grid):
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleDict({
            "0": PositionEncoding(width, grid), "1": CosineAttention(width, 8, 32), "3": GatedFeedForward(width)}) for _ in range(depth))
        self.norm_out = NamedNorm(width)

    def forward(self, x, bias=None):
        for layer in self.layers:
            x = x + layer["0"](x)
            x = x + layer["1"](x, bias)
            x = x + layer["3"](x)
        return self.norm_out(x)


class PositionBias(nn.Module):
    """[heads][tokens][tokens] of a side x side grid, by a small network from the logarithm of the distance."""

    def __init__(self, width, heads, side):
        super().__init__()
        self.net = nn.ModuleList([nn.Sequential(nn.Linear(2, width)), nn.Sequential(nn.Linear(width, width)), nn.Linear(width, heads)])
        places = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2)
        distance = (places[:, None] - places[None]).astype(np.float64)
        self.distance = torch.from_numpy(np.sign(distance) * np.log1p(np.abs(distance)))

    def forward(self, dtype):
        x = self.distance.to(dtype)
        for hidden in self.net[:2]:
            x = F.leaky_relu(hidden(x), 0.1)
        return self.net[2](x).permute(2, 0, 1)


class Codebook(nn.Module):
    """The nearest code by cosine; its row as it is stored."""

    def __init__(self, codes, width):
        super().__init__()
        self._codebook = nn.Module()
        self._codebook.embed = nn.Parameter(torch.empty(1, codes, width))

    def forward(self, x):
        rows = self._codebook.embed[0]
        return rows[(F.normalize(x, dim=-1) @ F.normalize(rows, dim=-1).T).argmax(-1)]


class CTViT(nn.Module):
    """CT-CLIP: [N][1][60][60][60] as blocks of 10x20x20, attention within each time step, then over time at each place."""

    def __init__(self, width=512, depth=4):
        super().__init__()
        self.spatial_rel_pos_bias = PositionBias(width, 8, 3)
        self.to_patch_emb = nn.Sequential(nn.Identity(), nn.LayerNorm(4000), nn.Linear(4000, width), nn.LayerNorm(width))
        self.enc_spatial_transformer = TokenTransformer(width, depth, (6, 3, 3))
        # Its tokens lie (h, w, t) and are read as (t, h, w) all the same.
        self.enc_temporal_transformer = TokenTransformer(width, depth, (6, 3, 3))
        self.vq = Codebook(8192, width)

    def forward(self, x):
        x = x.reshape(-1, 6, 10, 3, 20, 3, 20).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 9, 4000)
        x = self.enc_spatial_transformer(self.to_patch_emb(x), self.spatial_rel_pos_bias(x.dtype))
        x = x.reshape(-1, 6, 9, x.shape[-1]).transpose(1, 2).reshape(-1, 6, x.shape[-1])
        x = self.enc_temporal_transformer(x)
        return self.vq(x.reshape(-1, 54, x.shape[-1])).mean(1)


def windows(x, w):
    """[N][D][D][D][C] -> [N][windows][w^3][C]"""
    g, c = x.shape[1] // w, x.shape[-1]
    return x.reshape(-1, g, w, g, w, g, w, c).permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, g ** 3, w ** 3, c)


def from_windows(x, w, size):
    g, c = size // w, x.shape[-1]
    return x.reshape(-1, g, g, g, w, w, w, c).permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, size, size, size, c)


def shift_mask(size, w, shift):
    """[windows][1][w^3][w^3]: tokens that only rolling brought together do not see each other."""
    axis = np.where(np.arange(size) < size - w, 0, np.where(np.arange(size) < size - shift, 1, 2))
    label = (axis[:, None, None] * 3 + axis[None, :, None]) * 3 + axis[None, None, :]
    label = windows(torch.from_numpy(label[None, ..., None]), w)[0, :, :, 0]
    return torch.where(label[:, :, None] == label[:, None, :], 0.0, -100.0)[:, None]


class VolumeWindowAttention(nn.Module):
    """Tokens padded to whole windows take part like any other."""

    def __init__(self, width, heads, size, shift):
        super().__init__()
        # The window shrinks to the volume; the indices of its bias stay those of the 7^3 window.
        self.heads, self.size, self.window = heads, size, min(7, size)
        self.shift = shift if size > 7 else 0
        self.padded = -(-size // self.window) * self.window
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.empty(13 ** 3, heads))
        self.register_buffer("relative_position_index", torch.empty(343, 343, dtype=torch.int64))
        with torch.device("cpu"):
            self.mask = shift_mask(self.padded, self.window, self.shift) if self.shift else None

    def forward(self, x):
        more = self.padded - self.size
        x = F.pad(x, (0, 0, 0, more, 0, more, 0, more)) if more else x
        x = torch.roll(x, (-self.shift,) * 3, (1, 2, 3)) if self.shift else x
        x = windows(x, self.window)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).unbind(0)
        tokens = self.window ** 3
        index = self.relative_position_index[:tokens, :tokens]
        bias = self.relative_position_bias_table[index.reshape(-1)].reshape(tokens, tokens, -1).permute(2, 0, 1)
        if self.mask is not None:
            bias = bias + self.mask.to(bias.dtype)
        y = self.proj(attend(q, k, v, q.shape[-1] ** -0.5, bias).transpose(2, 3).flatten(3))
        y = from_windows(y, self.window, self.padded)
        y = torch.roll(y, (self.shift,) * 3, (1, 2, 3)) if self.shift else y
        return y[:, :self.size, :self.size, :self.size]


class SwinBlock(nn.Module):
    def __init__(self, width, heads, size, shift):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), VolumeWindowAttention(width, heads, size, shift)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"linear1": nn.Linear(width, 4 * width), "linear2": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["linear2"](F.gelu(self.mlp["linear1"](self.norm2(x))))


class PatchMerging(nn.Module):
    ORDER = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))

    def __init__(self, width):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(8 * width), nn.Linear(8 * width, 2 * width, bias=False)

    def forward(self, x):
        return self.reduction(self.norm(torch.cat([x[:, i::2, j::2, k::2] for i, j, k in self.ORDER], -1)))


class SwinStage(nn.Module):
    def __init__(self, width, heads, size):
        super().__init__()
        self.blocks = nn.Sequential(SwinBlock(width, heads, size, 0), SwinBlock(width, heads, size, 3))
        self.downsample = PatchMerging(width)

    def forward(self, x):
        return self.downsample(self.blocks(x))


class ResidualConvolutions(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.ModuleDict({name: nn.ModuleDict({"conv": nn.Conv3d(width, width, 3, padding=1, bias=False)}) for name in ("conv1", "conv2")})

    def forward(self, x):
        y = F.leaky_relu(F.instance_norm(self.layer["conv1"]["conv"](x)), 0.01)
        return F.leaky_relu(F.instance_norm(self.layer["conv2"]["conv"](y)) + x, 0.01)


class SwinEncoder(nn.Module):
    """VoCo: [N][1][64][64][64]"""

    def __init__(self, width=192, heads=(3, 6, 12, 24), size=32):
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv3d(1, width, 2, 2)})
        for stage, count in enumerate(heads, 1):
            setattr(self, f"layers{stage}c", nn.ModuleList([ResidualConvolutions(width)]))
            setattr(self, f"layers{stage}", nn.ModuleList([SwinStage(width, count, size)]))
            width, size = 2 * width, size // 2

    def forward(self, x):
        x = self.patch_embed["proj"](x)
        for stage in range(1, 5):
            x = getattr(self, f"layers{stage}c")[0](x)
            x = getattr(self, f"layers{stage}")[0](x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
        x = x.permute(0, 2, 3, 4, 1)
        return F.layer_norm(x, x.shape[-1:]).mean((1, 2, 3))
