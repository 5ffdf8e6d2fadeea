"""What can be compared: the registry, what is built in, torchvision's classifiers, and anyone's plug-in."""

from intelbench.architectures import reference as reference  # importing these two fills the registry
from intelbench.architectures import shipped as shipped
