"""The registry: a dict and a decorator. An architecture is a frozen value that holds a build function."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intelbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

Colour = tuple[float, float, float]

FROM_MINUS_ONE: tuple[Colour, Colour] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation of networks that want pixels from -1 to 1."""
ENTRY_POINT_GROUP = "intelbench.architectures"
BUILT_IN = "intelbench"


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What a build function is asked for. A field that an architecture has no use for is left unread."""

    num_classes: int
    image_size: int
    """Height and width of the input, in pixels."""
    zero_init_residual: bool = False
    """Start each residual block as the identity (Goyal et al., 2017)."""
    own_initialization: bool = True
    """Initialise as the architecture's authors did; else leave PyTorch's defaults."""


@dataclass(frozen=True, kw_only=True)
class PublishedFacts:
    """What was published about an architecture, to be shown beside what is measured and never mixed with it."""

    paper: str
    num_parameters: int
    """Of the stock network with its 1000-class head (and auxiliary head, where it has one)."""
    imagenet_top1: float
    """Top-1 accuracy of the published weights (of torchvision's, IMAGENET1K_V1), as a fraction."""


def main_loss(output: Any, target: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Loss of a network that returns its logits (batch x classes) and nothing else."""
    return criterion(output, target)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network that can be compared: how to build it, and the little that is special about it."""

    name: str
    build: Callable[[ModelRequest], nn.Module]
    """Returns a network from float images (batch x 3 x size x size) to logits (batch x classes), newly initialised
    from PyTorch's global generator, on the current default device."""
    minimum_size: int = 32
    """Smallest input it can be trained on, in pixels."""
    loss: Callable[[Any, Tensor, Callable[[Tensor, Tensor], Tensor]], Tensor] = main_loss
    """From training output, target and criterion to the scalar that is minimised."""
    aliases: tuple[str, ...] = ()
    published: PublishedFacts | None = None
    pretrained: Callable[[], Mapping[str, str]] | None = None
    """Published weights: for a name that a recipe may ask for, `imagenet` first, where the state dict lies, which is an
    address or a file on the disk."""
    normalization: tuple[Colour, Colour] | None = None
    """Mean and deviation by which images were normalised for those weights; `None`: those of ImageNet, as mostly."""
    packages: tuple[str, ...] = ()
    """Modules that it is built with and that the extra `pretrained` installs."""
    auxiliary: tuple[str, ...] = ()
    """Modules whose weights are in the file although the network may be built without them: auxiliary heads."""

    def require_size(self, image_size: int) -> None:
        """Raise a `UserError` if images of this size are too small to train on."""
        if image_size < self.minimum_size:
            raise UserError(
                f"architecture {self.name!r} needs images of at least {self.minimum_size} px; "
                f"`image_size` is {image_size}"
            )

    def require_installed(self) -> None:
        """Raise a `UserError` if a package that it is built with is not there."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(
                f"architecture {self.name!r} needs {' and '.join(missing)}, which is not installed: "
                "pip install 'intelbench[pretrained]'"
            )


@dataclass(frozen=True)
class _Entry:
    architecture: Architecture
    provider: str


_REGISTRY: dict[str, _Entry] = {}


def register(value: Architecture, provider: str = BUILT_IN) -> Architecture:
    """Make an architecture known by its name and aliases.

    Raises:
        UserError: one of these names is taken.
    """
    for name in (value.name, *value.aliases):
        if name in _REGISTRY:
            raise UserError(
                f"architecture {name!r} is registered already, by {_REGISTRY[name].provider}; choose another name"
            )
    for name in (value.name, *value.aliases):
        _REGISTRY[name] = _Entry(value, provider)
    return value


def architecture(name: str, **facts: Any) -> Callable[[Callable[[ModelRequest], nn.Module]], Architecture]:
    """Register the decorated build function under `name`; `facts` are the other fields of `Architecture`."""

    def decorate(build: Callable[[ModelRequest], nn.Module]) -> Architecture:
        return register(Architecture(name=name, build=build, **facts), _provider_of(build))

    return decorate


def find(name: str) -> tuple[Architecture, str]:
    """The architecture of that name and who provides it: built in, loaded plug-in, `torchvision:NAME`, entry point.

    Raises:
        UserError: nobody provides it; the message offers the nearest known names.
    """
    if name.startswith("torchvision:"):
        from intelbench.architectures.library import torchvision_architecture  # torchvision costs seconds

        return torchvision_architecture(name), f"torchvision {metadata.version('torchvision')}"
    if name not in _REGISTRY and name in (points := _entry_points()):
        _load_entry_point(points[name])
    if name not in _REGISTRY:
        raise UserError(f"architecture {name!r} is not known; {_nearest(name)}")
    entry = _REGISTRY[name]
    return entry.architecture, entry.provider


def known() -> dict[str, str]:
    """Every name that `find` accepts without a prefix, and its provider; entry points are named, not loaded."""
    loaded = {name: entry.provider for name, entry in _REGISTRY.items() if name == entry.architecture.name}
    return loaded | {name: _distribution(point) for name, point in _entry_points().items() if name not in loaded}


def load_plugin(path: Path) -> list[str]:
    """Run a plug-in file and return the names that it registered.

    Raises:
        UserError: the file is missing, fails, or registers nothing.
    """
    if not path.is_file():
        raise UserError(f"plug-in {path}: no such file")
    before = dict(_REGISTRY)
    name = f"intelbench_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return []
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"plug-in {path}: not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        new = [each for each in _REGISTRY if each not in before]
        if not new:
            raise UserError(
                f"plug-in {path}: registers no architecture; decorate a function with @intelbench.architecture(NAME)"
            )
    except Exception as error:
        del sys.modules[name]  # so that a second attempt is one
        for each in set(_REGISTRY) - set(before):
            del _REGISTRY[each]
        if isinstance(error, UserError):
            raise
        raise UserError(f"plug-in {path}: failed with {type(error).__name__}: {error}") from error
    return new


def _provider_of(build: Callable[..., Any]) -> str:
    """Name the code behind a build function precisely enough that an edited plug-in is another provider."""
    while isinstance(build, functools.partial):
        build = build.func
    module = build.__module__
    if module.partition(".")[0] == __name__.partition(".")[0]:
        return BUILT_IN
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module
    return f"{Path(file).name} sha256:{hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]}"


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _distribution(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _load_entry_point(point: metadata.EntryPoint) -> None:
    try:
        value = point.load()
    except Exception as error:
        raise UserError(
            f"{_distribution(point)}: architecture {point.name!r} failed with {type(error).__name__}: {error}"
        ) from error
    if not isinstance(value, Architecture) or value.name != point.name:
        raise UserError(
            f"{_distribution(point)}: entry point {point.name!r} must lead to the function decorated with "
            f"@intelbench.architecture({point.name!r}); it leads to {value!r}"
        )


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, [*_REGISTRY, *_entry_points()], n=3, cutoff=0.5)
    offered = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known()))}."
    return f"{offered} Any torchvision classifier is torchvision:NAME; a file of your own comes with --plugin FILE.py"
