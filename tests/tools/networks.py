"""Networks of other projects with weights that are random but no longer those of an untrained network: batch norms have statistics
and scales of their own, so that a norm that is lost or folded wrongly cannot pass unnoticed. Used by test_networks.py and shown in
docs/custom-models.md."""
import sys

import torch


def unsettle(module, seed=1):
    """Batch norm statistics and affine parameters as after a training; the seed makes them the same everywhere."""
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
    return module


def densenet121():
    """MONAI's DenseNet121 for volumes of one channel, five classes."""
    from monai.networks.nets import DenseNet121
    torch.manual_seed(0)
    return unsettle(DenseNet121(spatial_dims=3, in_channels=1, out_channels=5))


class Features(torch.nn.Module):
    """DenseNet121 up to the vector before its classifier."""

    def __init__(self):
        super().__init__()
        self.network = densenet121()

    def forward(self, x):
        return torch.relu(self.network.features(x)).mean(dim=(2, 3, 4))


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
    """torchvision's ResNet-18 for images of three channels, 1000 classes."""
    return torchvision_resnet("resnet18")


def resnet50():
    return torchvision_resnet("resnet50")
