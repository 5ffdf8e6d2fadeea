"""What can be compared: the registry, the five reference architectures, torchvision's, and anyone's plug-in."""

from intelbench.architectures import reference as reference  # importing it fills the registry
