"""The registry: a dict and a decorator. An architecture is a frozen value that holds a build function."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from intelbench.architectures.imports import PluginImports, own_modules, with_named
from intelbench.architectures.plugin_guard import plugin_errors_as_user_errors, preserve_process_state
from intelbench.errors import UserError, shortened

if TYPE_CHECKING:
    from torch import Tensor, nn

Colour = tuple[float, float, float]

FROM_MINUS_ONE: tuple[Colour, Colour] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation of networks that want pixels from -1 to 1."""
ENTRY_POINT_GROUP = "intelbench.architectures"
BUILT_IN = "intelbench"
TORCHVISION = "torchvision:"
"""Before the name of a torchvision classifier, in records and wherever else it may be told from another's."""

_NAME = re.compile(r"\w[\w.+-]{0,99}")
"""Of an architecture: typed in a shell, part of a folder's name, and never a prefix like `torchvision:`."""


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
    memory_mebibytes: float | None = None
    """What was published as its memory: torchsummary's estimate for one image of 300 px."""


def main_loss(output: Any, target: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Loss of a network that returns its logits (batch x classes) and nothing else.

    Raises:
        UserError: the network returns something else in training.
    """
    if getattr(output, "ndim", None) != 2:
        raise UserError(
            f"the network returns {_kind(output)} in training; it must return logits, a tensor (batch x classes), or "
            "its architecture needs a `loss` of its own: "
            "@architecture(NAME, loss=lambda output, target, criterion: criterion(output[0], target))"
        )
    return criterion(output, target)


@dataclass(frozen=True, kw_only=True, eq=False)
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

    def __post_init__(self) -> None:
        for field, value, accepted, fits in (
            ("build", self.build, "a function", callable(self.build)),
            ("loss", self.loss, "a function", callable(self.loss)),
            ("minimum_size", self.minimum_size, "a number of pixels", isinstance(self.minimum_size, int)),
            ("aliases", self.aliases, "a tuple of names", isinstance(self.aliases, tuple)),
        ):
            if not fits:
                raise UserError(f"architecture {self.name!r}: `{field}` is {_kind(value)}; it must be {accepted}")

    def network(self, request: ModelRequest) -> nn.Module:
        """Build the network, so that a run is afterwards one process with its streams, its folder and its settings.

        Lazy layers, which take their input's width from a first forward pass, are given it.

        Raises:
            UserError: what `build` returned is none, or TorchScript.
        """
        from torch import jit, nn  # here alone, so that a plug-in can be listed without PyTorch

        from intelbench.architectures.surgery import materialize, settings_kept

        with preserve_process_state(), settings_kept():
            built = self.build(request)
            if not isinstance(built, nn.Module):
                raise UserError(
                    f"architecture {self.name!r}: its function returned {_kind(built)}; it must return a "
                    "torch.nn.Module"
                )
            if any(isinstance(module, jit.ScriptModule) for module in built.modules()):
                raise UserError(
                    f"architecture {self.name!r}: its function returned a TorchScript network, which shows nothing of "
                    "what happens inside; return the module itself, without torch.jit.script or torch.jit.trace"
                )
            materialize(built, request.image_size)
        return built

    def require_size(self, image_size: int) -> None:
        """Raise a `UserError` if images of this size are too small to train on."""
        if image_size < self.minimum_size:
            raise UserError(
                f"architecture {self.name!r} needs images of at least {self.minimum_size} px; "
                f"these have {image_size} px"
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
    plugin: Path | None = None
    """The file that registered it, if one was given."""
    imports: PluginImports | None = None
    """Of that file."""


_REGISTRY: dict[str, _Entry] = {}


def register(value: Architecture, provider: str = BUILT_IN) -> Architecture:
    """Make an architecture known by its name and aliases.

    Raises:
        UserError: one of these names is taken, or none that can be typed.
    """
    for name in (value.name, *value.aliases):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UserError(
                f"architecture {name!r:.100}: a name is 1 to 100 letters, digits, '_', '-', '.' and '+'; choose another"
            )
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
    """The architecture of that name and who provides it.

    A name without a prefix is that of a built-in architecture, of a loaded plug-in's or of an entry point; where none
    of them has it, that of torchvision's classifier, whose full name is `torchvision:NAME`.

    Raises:
        UserError: nobody provides it; the message offers the nearest known names.
    """
    if name not in _REGISTRY and name in (points := _entry_points()):
        _load_entry_point(points[name])
    if name in _REGISTRY:
        entry = _REGISTRY[name]
        return entry.architecture, entry.provider
    from intelbench.architectures.library import classifiers, torchvision_architecture  # torchvision costs seconds

    if (bare := name.removeprefix(TORCHVISION)) not in classifiers():
        raise UserError(f"architecture {shortened(repr(name))} is not known; {_nearest(name, classifiers())}")
    return torchvision_architecture(bare), f"torchvision {metadata.version('torchvision')}"


def ambiguity(names: Iterable[str]) -> str:
    """Say in one line which of these names torchvision has for a classifier too; empty if it has none of them."""
    from intelbench.architectures.library import classifiers

    providers = known()
    return "; ".join(
        f"{name} is the architecture of {providers[name].partition(' ')[0]}, not {TORCHVISION}{name}"
        for name in names
        if name in providers and name in classifiers()
    )


def known() -> dict[str, str]:
    """Every name that `find` accepts without a prefix, and its provider; entry points are named, not loaded."""
    loaded = {name: entry.provider for name, entry in _REGISTRY.items() if name == entry.architecture.name}
    return loaded | {name: _distribution(point) for name, point in _entry_points().items() if name not in loaded}


def plugins_of(name: str) -> tuple[str, ...]:
    """The plug-in file, if any, that another process must load to find the architecture, and no other.

    So a plug-in that changes PyTorch, say, changes nothing in the runs of the architectures that it is compared with.
    """
    plugin = _REGISTRY[name].plugin if name in _REGISTRY else None
    return (str(plugin),) if plugin else ()


def contained_unless_built_in(name: str) -> AbstractContextManager[None]:
    """What runs an architecture's code in this process, with its plug-in's modules; our own mistakes show in full."""
    if find(name)[1] == BUILT_IN:
        return nullcontext()
    if name in _REGISTRY and (imports := _REGISTRY[name].imports):
        imports.activate()
    return plugin_errors_as_user_errors(f"architecture {name!r}")


def load_plugin(path: Path) -> list[str]:
    """Run a plug-in file and return the names that it registered.

    It can import what is in its folder, now and later. An architecture's provider is the file with a digest of it and
    of all modules of its own that it imports (see `intelbench.architectures.imports`).

    Raises:
        UserError: the file is missing, fails, ends the program, or registers nothing.
    """
    if not path.is_file():
        raise UserError(f"plug-in {path}: {'is not a file' if path.exists() else 'no such file'}")
    if path.suffix != ".py":
        raise UserError(f"plug-in {path}: not a Python file; its name must end in .py")
    name = f"intelbench_plugin_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return []
    before = dict(_REGISTRY)
    module = sys.modules[name] = ModuleType(name)
    module.__file__ = str(path)
    imports = PluginImports(path.resolve().parent)
    try:
        source = path.read_bytes()
        with plugin_errors_as_user_errors(f"plug-in {path}", str(path)), imports.recorded():
            # Not by an import, which may run the bytecode that it keeps of an older version of the file.
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102 - what a plug-in is for
        new = [each for each in _REGISTRY if each not in before]
        if not new:
            raise UserError("registers no architecture; decorate a function with @intelbench.architecture(NAME)")
        provider = _provider(path.name, source, imports.files(name, source))
    except BaseException as error:
        sys.modules.pop(name, None)  # so that a second attempt is one
        imports.deactivate()
        _REGISTRY.clear()
        _REGISTRY.update(before)
        named = f"plug-in {path}: "
        if isinstance(error, UserError) and not str(error).startswith(named):
            raise UserError(f"{named}{error}") from error
        raise
    for each in new:
        _REGISTRY[each] = replace(_REGISTRY[each], provider=provider, plugin=path.absolute(), imports=imports)
    return new


def _provider_of(build: Callable[..., Any], loaded: Mapping[str, Path] | None = None) -> str:
    """Name the code behind a build function precisely enough that an edited plug-in is another provider.

    With the modules that were `loaded` with it, the name covers those and the ones of its package that they import.
    """
    while isinstance(build, functools.partial):
        build = build.func
    module = getattr(build, "__module__", None) or type(build).__name__
    if module.partition(".")[0] == __name__.partition(".")[0]:
        return BUILT_IN
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return module
    path, source = Path(file), Path(file).read_bytes()
    root = path.parents[module.count(".") + (path.name == "__init__.py")]
    modules = {} if loaded is None else with_named(loaded, module, source, root)
    return _provider(path.name, source, {name: each for name, each in modules.items() if name != module})


def _provider(name: str, source: bytes, modules: Mapping[str, Path]) -> str:
    """Name a file with a digest of its content and of its modules'."""
    found = hashlib.sha256(source)
    for module, file in sorted(modules.items()):
        found.update(f"\0{module}\0{hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return f"{name} sha256:{found.hexdigest()[:16]}"


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _distribution(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _load_entry_point(point: metadata.EntryPoint) -> None:
    modules, names = set(sys.modules), set(_REGISTRY)
    with plugin_errors_as_user_errors(f"{_distribution(point)}: architecture {point.name!r}"):
        value = point.load()
    loaded = own_modules(modules)
    for name in _REGISTRY.keys() - names:
        entry = _REGISTRY[name]
        _REGISTRY[name] = replace(entry, provider=_provider_of(entry.architecture.build, loaded))
    if not isinstance(value, Architecture) or value.name != point.name:
        raise UserError(
            f"{_distribution(point)}: entry point {point.name!r} must lead to the function decorated with "
            f"@intelbench.architecture({point.name!r}); it leads to {_kind(value)}"
        )


def _nearest(name: str, classifiers: Sequence[str]) -> str:
    """What may have been meant, of all that is known, in the spelling that `find` accepts."""
    prefix = TORCHVISION if name.startswith(TORCHVISION) else ""
    of_torchvision = {each.lower(): prefix + each for each in classifiers}
    registered = {each.lower(): each for each in (*_entry_points(), *_REGISTRY)}
    spellings = registered | of_torchvision if prefix else of_torchvision | registered
    near = difflib.get_close_matches(name.removeprefix(prefix).lower(), spellings, n=3, cutoff=0.5)
    if near:
        offered = f"did you mean {' or '.join(spellings[each] for each in near)}?"
    elif prefix:
        offered = f"torchvision's classifiers are {', '.join(classifiers)}."
    else:
        offered = f"known: {', '.join(sorted(known()))}, and torchvision's {len(classifiers)} classifiers."
    return f"{offered} A file with an architecture of your own is given with --plugin FILE.py"
