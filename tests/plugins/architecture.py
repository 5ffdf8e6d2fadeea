"""A plug-in with an architecture: eight-pixel patches, mixed by one hidden layer."""

from torch import nn

from intelbench import ModelRequest, architecture


@architecture("patch_mixer", minimum_size=32)
def patch_mixer(request: ModelRequest) -> nn.Module:
    """Return the network for the number of classes."""
    return nn.Sequential(
        nn.Conv2d(3, 64, kernel_size=8, stride=8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, request.num_classes),
    )
