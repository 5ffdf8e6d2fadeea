"""Honest comparison of image-classification architectures: identical seeds and budgets, and the uncertainty said.

Only what a plug-in needs is public here; importing this package imports neither torch nor numpy.
"""

from intelbench.architectures.registry import Architecture, ModelRequest, architecture

__version__ = "0.1.0"
__all__ = ["Architecture", "ModelRequest", "__version__", "architecture"]
