"""The benchmarked networks in PyTorch, written from their published descriptions, with weights from an OncoQuant package.

Parameter names are those of the official checkpoints, which are also the tensor names of a package. Independent of the engine:
`python nets.py GOLDEN_FOLDER PATCHES.npy NAMES.csv PACKAGE...` compares each network with golden embeddings, where patch i of
PATCHES.npy belongs to GOLDEN_FOLDER/MODEL__NAME.npy. Refuses packages whose tensors do not match the network exactly.
"""
import json
import pathlib
import struct
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import attention_nets
import slice_nets


def conv(inputs, outputs, kernel=3, stride=1, bias=False):
    padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    return nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=bias)


def instance_norm(channels):
    return nn.InstanceNorm3d(channels, affine=True)


def global_mean(x):
    return x.mean((2, 3, 4))


class PreActivationBlock(nn.Module):
    def __init__(self, channels, norm):
        super().__init__()
        self.norm1, self.conv1 = norm(channels), conv(channels, channels)
        self.norm2, self.conv2 = norm(channels), conv(channels, channels)

    def forward(self, x):
        y = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(y))) + x


class SegResEncoder(nn.Module):
    """CT-FM (batch norm, 32 filters) and VISTA3D (instance norm, 48)."""

    def __init__(self, filters, norm, blocks=(1, 2, 2, 4, 4)):
        super().__init__()
        self.conv_init = conv(1, filters)
        self.layers = nn.ModuleList()
        for level, count in enumerate(blocks):
            channels = filters << level
            last = level == len(blocks) - 1
            self.layers.append(nn.ModuleDict({
                "blocks": nn.Sequential(*(PreActivationBlock(channels, norm) for _ in range(count))),
                "downsample": nn.Identity() if last else conv(channels, 2 * channels, stride=2)}))

    def forward(self, x):
        x = self.conv_init(x)
        for layer in self.layers:
            x = layer["downsample"](layer["blocks"](x))
        return global_mean(x)


class Bottleneck(nn.Module):
    def __init__(self, inputs, planes, stride, project, projection_bias):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, planes, 1), nn.BatchNorm3d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm3d(planes)
        self.conv3, self.bn3 = conv(planes, 4 * planes, 1), nn.BatchNorm3d(4 * planes)
        self.downsample = nn.Sequential(
            conv(inputs, 4 * planes, 1, stride, projection_bias), nn.BatchNorm3d(4 * planes)) if project else nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def bottlenecks(inputs, planes, count, stride, projection_bias):
    first = Bottleneck(inputs, planes, stride, True, projection_bias)
    return nn.Sequential(first, *(Bottleneck(4 * planes, planes, 1, False, False) for _ in range(count - 1)))


class WideResNet50(nn.Module):
    """FMCIB: 3D ResNet-50 of twice the usual width, projections with bias."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(1, 128, 7, 2), nn.BatchNorm3d(128)
        self.layer1 = bottlenecks(128, 128, 3, 1, True)
        self.layer2 = bottlenecks(512, 256, 4, 2, True)
        self.layer3 = bottlenecks(1024, 512, 6, 2, True)
        self.layer4 = bottlenecks(2048, 1024, 3, 2, True)

    def forward(self, x):
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return global_mean(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


class InflatedResNet152(nn.Module):
    """Merlin's image encoder with its contrastive head, or (without head) the pooled features of astra."""

    def __init__(self, head):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, (3, 7, 7), (1, 2, 2)), nn.BatchNorm3d(64)
        self.layer1 = bottlenecks(64, 64, 3, 1, False)
        self.layer2 = bottlenecks(256, 128, 8, 2, False)
        self.layer3 = bottlenecks(512, 256, 36, 2, False)
        self.layer4 = bottlenecks(1024, 512, 3, 2, False)
        if head:
            self.contrastive_head = conv(2048, 512, 1, bias=True)
        self.head = head

    def forward(self, x):
        x = x.permute(0, 1, 4, 2, 3).repeat(1, 3, 1, 1, 1)  # R,A,S -> S,R,A
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3, 4), keepdim=True)
        if not self.head:
            return x.flatten(1)
        x = self.contrastive_head(x).flatten(1)
        return x / x.norm(dim=1, keepdim=True)


class GenesisUnit(nn.Module):
    """Its norm takes the statistics of the patch even in evaluation: at one patch a batch that is instance norm."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, bias=True), instance_norm(outputs)

    def forward(self, x):
        return F.relu(self.bn1(self.conv1(x)))


class GenesisEncoder(nn.Module):
    """Models Genesis (pooled to 4096 values) and SuPreM (global mean): the encoder of one U-Net."""

    def __init__(self, head):
        super().__init__()
        self.head = head
        inputs = 1
        for outputs in (64, 128, 256, 512):
            middle = outputs // 2
            units = nn.Sequential(GenesisUnit(inputs, middle), GenesisUnit(middle, outputs))
            setattr(self, f"down_tr{outputs}", nn.ModuleDict({"ops": units}))
            inputs = outputs

    def forward(self, x):
        for outputs in (64, 128, 256):
            x = F.max_pool3d(getattr(self, f"down_tr{outputs}")["ops"](x), 2)
        return self.head(self.down_tr512["ops"](x))


def genesis_head(x):
    return F.avg_pool3d(x, 3, 2).flatten(1)


class NnUnetUnit(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv, self.instnorm = conv(inputs, outputs, stride=stride, bias=True), instance_norm(outputs)

    def forward(self, x):
        return F.leaky_relu(self.instnorm(self.conv(x)), 0.01)


class NnUnetEncoder(nn.Module):
    """PASTA."""

    def __init__(self):
        super().__init__()
        widths = (64, 128, 256, 512, 1024)
        stages = []
        for inputs, outputs in zip((1, *widths), widths):
            units = nn.Sequential(NnUnetUnit(inputs, outputs, 1 if inputs == 1 else 2), NnUnetUnit(outputs, outputs, 1))
            stages.append(nn.ModuleDict({"blocks": units}))
        # The bottom is nested one level deeper in the checkpoint.
        stages.append(nn.ModuleList([nn.ModuleDict({"blocks": nn.Sequential(NnUnetUnit(1024, 1024, stride))}) for stride in (2, 1)]))
        self.conv_blocks_context = nn.ModuleList(stages)

    def forward(self, x):
        *stages, bottom = self.conv_blocks_context
        for stage in (*stages, *bottom):
            x = stage["blocks"](x)
        return global_mean(x)


# model -> (constructor, prefix of its tensors in a package, name in the golden files)
NETWORKS = {
    "ct-fm": (lambda: SegResEncoder(32, nn.BatchNorm3d), "", "ct_fm"),
    "vista3d": (lambda: SegResEncoder(48, instance_norm), "", "vista3d"),
    "fmcib": (WideResNet50, "", "fmcib"),
    "merlin": (lambda: InflatedResNet152(True), "i3_resnet.", "merlin"),
    "astra": (lambda: InflatedResNet152(False), "", "astra"),
    "models-genesis": (lambda: GenesisEncoder(genesis_head), "", "modelsgen"),
    "suprem": (lambda: GenesisEncoder(global_mean), "", "suprem"),
    "pasta": (NnUnetEncoder, "", "pasta"),
    "voco": (attention_nets.SwinEncoder, "swinViT.", "voco"),
    "ct-clip": (attention_nets.CTViT, "", "ct_clip"),
    "medimageinsight": (slice_nets.DaViT, "image_encoder.", "medimageinsight"),
}
TRANSFORMERS = ("voco", "ct-clip", "medimageinsight")


def read_safetensors(path):
    """name -> float32 tensor; indices stay integers"""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        # Mapped, not read: a contestant's memory shall not hold the weights twice.
        data = np.memmap(file, np.uint8, mode="c", offset=file.tell())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        raw = data[start:end]
        if entry["dtype"] == "BF16":  # the upper half of a float32
            raw = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.uint8)
        elif entry["dtype"] not in ("F32", "I64"):
            raise ValueError(f"{path}: {name} is {entry['dtype']}, expected F32, BF16 or I64")
        tensors[name] = torch.from_numpy(raw.view(np.int64 if entry["dtype"] == "I64" else np.float32).reshape(entry["shape"]))
    return tensors


def description(package):
    return json.loads((pathlib.Path(package) / "model.json").read_text())


def model_name(package):
    return description(package)["model"]["name"]


def images_per_patch(package):
    """How often the network runs for one patch: 1, or as many times as the patch has images."""
    preprocessing = description(package)["preprocessing"]
    return preprocessing["size"][1] if "slices" in preprocessing else 1


def inputs(package, patch, indices):
    """What the network takes of a patch [1][D][H][W]: [1][1][D][H][W], or its images at `indices`."""
    preprocessing = description(package)["preprocessing"]
    return slice_nets.images(patch[0], preprocessing["slices"], indices) if "slices" in preprocessing else patch[None]


def load(package):
    """The network of a package, in evaluation mode, float32."""
    make, prefix, _ = NETWORKS[model_name(package)]
    tensors = read_safetensors(pathlib.Path(package) / "weights.safetensors")
    with torch.device("meta"):
        network = make()
    state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    for name, _ in network.named_buffers():  # a training counter; no arithmetic reads it
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def relative_l2(x, reference):
    x, reference = np.asarray(x, np.float64), np.asarray(reference, np.float64)
    return float(np.linalg.norm(x - reference) / np.linalg.norm(reference))


def difference(network, package, patch, golden, name):
    """Of one embedding from its golden twin; the largest of three where the golden file holds images 8, 24 and 40."""
    indices = [8, 24, 40]
    expected = np.load(golden / (f"{name}__slices_8_24_40.npy" if images_per_patch(package) > 1 else f"{name}.npy"))
    found = [network(torch.from_numpy(x[None]))[0] for x in inputs(package, patch, indices)]
    return max(relative_l2(x, y) for x, y in zip(found, expected.reshape(len(found), -1)))


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    golden, patches, names = pathlib.Path(sys.argv[1]), np.load(sys.argv[2]), sys.argv[3].split(",")
    worst = 0.0
    for package in sys.argv[4:]:
        network, name = load(package), model_name(package)
        with torch.inference_mode():
            errors = [difference(network, package, patches[i], golden, f"{NETWORKS[name][2]}__{seed}") for i, seed in enumerate(names)]
        # Of a unit vector of an image 1e-4: float32 itself is 2.4e-5 away from float64 there.
        worst = max(worst, *(error / (10 if images_per_patch(package) > 1 else 1) for error in errors))
        print(f"{name:15} " + " ".join(f"{error:.1e}" for error in errors))
    sys.exit(worst > 1e-5)


if __name__ == "__main__":
    main()
