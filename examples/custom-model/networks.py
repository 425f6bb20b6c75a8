"""The networks of the tutorial (docs/custom-models.md): functions that give a module with its weights in it, in evaluation mode.

With no trained weights at hand they are random, but no longer those of an untrained network: `unsettle` gives the batch norms
statistics and scales of their own, so that a norm that is lost or folded wrongly cannot pass unnoticed.
`python networks.py FILE.pt` writes the checkpoint that segresenc-16.json describes.
"""
import sys

import torch


def unsettle(module, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor, low, high):
        with torch.no_grad():
            tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            draw(part.running_mean, -0.3, 0.3)
            draw(part.running_var, 0.3, 1.8)
            draw(part.weight, 0.5, 1.5)
            draw(part.bias, -0.3, 0.3)
    return module.eval()


class DenseNetFeatures(torch.nn.Module):
    """MONAI's DenseNet121 up to the vector before its classifier."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return torch.relu(self.network.features(x)).mean(dim=(2, 3, 4))


def densenet121():
    """For volumes of one channel, five classes."""
    from monai.networks.nets import DenseNet121
    torch.manual_seed(0)
    return unsettle(DenseNet121(spatial_dims=3, in_channels=1, out_channels=5))


def densenet_features():
    return DenseNetFeatures(densenet121())


def torchvision_resnet(name):
    try:
        import torchvision
    except RuntimeError:
        # A torchvision built for another torch cannot load its operators and then misses their names; ResNets use none of them.
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        for module in [module for module in sys.modules if module.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        import torchvision
        torchvision.names_only = library  # kept: the names live as long as it does
    torch.manual_seed(0)
    return unsettle(getattr(torchvision.models, name)())


def resnet18():
    """For images of three channels, 1000 classes."""
    return torchvision_resnet("resnet18")


def resnet50():
    return torchvision_resnet("resnet50")


class Segresenc(torch.nn.Module):
    """What a training script might save: an encoder of a family that OncoQuant knows, and a head that it does not need."""

    def __init__(self, filters, blocks):
        from monai.networks.nets.segresnet_ds import SegResEncoder
        super().__init__()
        self.encoder = SegResEncoder(spatial_dims=3, in_channels=1, init_filters=filters, blocks_down=blocks, norm="batch")
        self.head = torch.nn.Linear(filters << (len(blocks) - 1), 2)

    def forward(self, x):
        return self.encoder(x)[-1].mean(dim=(2, 3, 4))


def segresenc(filters=16, blocks=(1, 2, 2, 4)):
    torch.manual_seed(0)
    return unsettle(Segresenc(filters, blocks))


if __name__ == "__main__":
    torch.save({"epoch": 7, "state_dict": segresenc().state_dict()}, sys.argv[1])
