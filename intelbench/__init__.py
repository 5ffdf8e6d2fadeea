"""Honest comparison of image-classification architectures: identical seeds and budgets, and the uncertainty said.

`run`, `load`, `diff` and `profile` are the Python API (docs/api.md); the other functions are decorators for plug-ins.
Importing this package imports no other module: `python -m intelbench` does so before it can leave the working directory
out of what is imported from, and a notebook waits for pandas and PyTorch only when it uses them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from intelbench.api.results import Results, load
    from intelbench.api.running import diff, profile, run
    from intelbench.architectures.registry import Architecture, ModelRequest, architecture
    from intelbench.data.augment import Transform, transform
    from intelbench.data.sources import Source, source
    from intelbench.orchestration.engines import Engine, engine
    from intelbench.orchestration.listeners import RunListener, listener
    from intelbench.profiling.meters import Meter, meter
    from intelbench.reporting.plugin_sections import section
    from intelbench.results.plugin_metrics import metric
    from intelbench.trackers.registry import tracker
    from intelbench.training.optimizer import optimizer

__version__ = "0.1.0"
__all__ = [
    "Architecture", "Engine", "Meter", "ModelRequest", "Results", "RunListener", "Source", "Transform", "__version__",
    "architecture", "diff", "engine", "listener", "load", "meter", "metric", "optimizer", "profile", "run", "section",
    "source", "tracker", "transform",
]  # fmt: skip

_NAMES = {
    "intelbench.api.results": ("Results", "load"),
    "intelbench.api.running": ("diff", "profile", "run"),
    "intelbench.architectures.registry": ("Architecture", "ModelRequest", "architecture"),
    "intelbench.data.augment": ("Transform", "transform"),
    "intelbench.data.sources": ("Source", "source"),
    "intelbench.orchestration.engines": ("Engine", "engine"),
    "intelbench.orchestration.listeners": ("RunListener", "listener"),
    "intelbench.profiling.meters": ("Meter", "meter"),
    "intelbench.reporting.plugin_sections": ("section",),
    "intelbench.results.plugin_metrics": ("metric",),
    "intelbench.trackers.registry": ("tracker",),
    "intelbench.training.optimizer": ("optimizer",),
}
"""Public names by the module that defines them."""
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import the module that defines a public name, and return the name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
