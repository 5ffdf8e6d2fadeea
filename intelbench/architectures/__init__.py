"""Architectures: the registry, the built-in ones, torchvision's classifiers, and those of plug-ins."""

from intelbench.architectures import reference as reference  # importing these two fills the registry
from intelbench.architectures import shipped as shipped
