"""Honest comparison of image-classification architectures: identical seeds and budgets, and the uncertainty said.

Only what a plug-in needs is public here. Importing this package imports no other module: `python -m intelbench` does so
before it can leave the working directory out of what is imported from.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from intelbench.architectures.registry import Architecture, ModelRequest, architecture
    from intelbench.data.sources import Source, source
    from intelbench.orchestration.listeners import RunListener, listener
    from intelbench.profiling.meters import Meter, meter

__version__ = "0.1.0"
__all__ = [
    "Architecture", "Meter", "ModelRequest", "RunListener", "Source", "__version__", "architecture", "listener",
    "meter", "source",
]  # fmt: skip
_MODULES = {
    "Architecture": "architectures.registry",
    "Meter": "profiling.meters",
    "ModelRequest": "architectures.registry",
    "RunListener": "orchestration.listeners",
    "Source": "data.sources",
    "architecture": "architectures.registry",
    "listener": "orchestration.listeners",
    "meter": "profiling.meters",
    "source": "data.sources",
}


def __getattr__(name: str) -> object:
    """Return a public name, from the module that defines it."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
