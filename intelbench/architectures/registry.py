"""Register and find architectures. An architecture is a frozen value that holds a build function."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from intelbench.errors import UserError, kind_of, shortened
from intelbench.plugins.guard import plugin_errors_as_user_errors, preserve_process_state, source_file
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Registry, takes_name
from intelbench.records.types import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn

Colour = tuple[float, float, float]

FROM_MINUS_ONE: tuple[Colour, Colour] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and standard deviation that map pixels to -1 to 1."""
TORCHVISION = "torchvision:"
"""Prefix of the names of torchvision's classifiers, in records and wherever a name could be ambiguous."""
TIMM = "timm:"
"""Prefix of the names of timm's networks."""
MORE_IN_TIMM = "More networks are in timm: pip install 'intelbench[timm]'"


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """The argument of a build function. An architecture ignores the fields that it does not need."""

    num_classes: int
    image_size: int
    """Height and width of the input, in pixels."""
    zero_init_residual: bool = False
    """Start each residual block as the identity (Goyal et al., 2017)."""
    init_weights: bool = True
    """Initialise as the architecture's authors did, instead of by PyTorch's defaults."""


@dataclass(frozen=True, kw_only=True)
class PublishedFacts:
    """Published figures of an architecture, which reports show next to measured ones."""

    paper: str
    num_parameters: int
    """Parameters of the original network with its 1000-class head, and its auxiliary head if it has one."""
    imagenet_top1: float
    """Top-1 accuracy of the published weights (torchvision's IMAGENET1K_V1), as a fraction."""
    image_size: int = 224
    """Height and width in pixels of the images of that accuracy."""
    memory_mebibytes: float | None = None
    """torchsummary's estimate of the memory for one image of 300 px."""


@dataclass(frozen=True, kw_only=True)
class PretrainedFile:
    """A file of published weights, and what its publishers say about it."""

    address: str
    """URL or path of the state dict, or `hf-hub:REPOSITORY`."""
    preprocessing: Preprocessing | None = None
    """How the publishers prepare images for evaluation; `None` if that is not known."""
    licence: str | None = None
    """Licence of the weights; `None` if that is not known."""
    num_bytes: int | None = None
    """Size of the file; `None` if that is not known."""


def main_loss(output: Any, target: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Return the loss of a network that returns logits (batch x classes).

    Raises:
        UserError: the network returns something else in training.
    """
    if getattr(output, "ndim", None) != 2:
        raise UserError(
            f"the network returns {kind_of(output)} in training; it must return logits, a tensor (batch x classes), or "
            "its architecture needs a `loss` of its own: "
            "@architecture(NAME, loss=lambda output, target, criterion: criterion(output[0], target))"
        )
    return criterion(output, target)


@dataclass(frozen=True, kw_only=True, eq=False)
class Architecture:
    """A network to compare: how it is built, trained and loaded."""

    name: str
    build: Callable[[ModelRequest], nn.Module]
    """Returns a new network on the default device, initialised from PyTorch's global generator. It maps float images
    (batch x 3 x size x size) to logits (batch x classes)."""
    minimum_size: int = 32
    """Smallest image size in pixels that the network can be trained on."""
    loss: Callable[[Any, Tensor, Callable[[Tensor, Tensor], Tensor]], Tensor] = main_loss
    """Returns the scalar to minimise, from training output, target and criterion. The target has classes (batch) or, if
    the recipe mixes images, the share of each class (batch x classes)."""
    aliases: tuple[str, ...] = ()
    published: PublishedFacts | None = None
    pretrained: Callable[[], Mapping[str, str | PretrainedFile]] | None = None
    """Returns the published weights: address or file of the state dict by the name in a recipe, `imagenet` first."""
    convert: Callable[[dict[str, Tensor], ModelRequest], dict[str, Tensor]] | None = None
    """Returns a state dict in the names and shapes of the network that a request builds: with position embeddings
    resampled to its image size, for example. `None` if published weights fit the network of every size."""
    normalization: tuple[Colour, Colour] | None = None
    """Mean and standard deviation of the images for the published weights; `None` for those of ImageNet."""
    packages: tuple[str, ...] = ()
    """Modules that the network needs and the extra `pretrained` installs."""
    auxiliary: tuple[str, ...] = ()
    """Auxiliary heads, which published weights have and the network may lack."""

    def __post_init__(self) -> None:
        for field, value, accepted, fits in (
            ("build", self.build, "a function", callable(self.build)),
            ("loss", self.loss, "a function", callable(self.loss)),
            ("minimum_size", self.minimum_size, "a number of pixels", isinstance(self.minimum_size, int)),
            ("aliases", self.aliases, "a tuple of names", isinstance(self.aliases, tuple)),
            ("pretrained", self.pretrained, "a function", self.pretrained is None or callable(self.pretrained)),
        ):
            if not fits:
                raise UserError(f"architecture {self.name!r}: `{field}` is {kind_of(value)}; it must be {accepted}")

    def network(self, request: ModelRequest) -> nn.Module:
        """Build the network with materialised lazy layers, and restore process state and PyTorch's settings.

        Raises:
            UserError: `build` did not return a network, or returned TorchScript.
        """
        from torch import jit, nn  # not above, so that a plug-in can be listed without PyTorch

        from intelbench.architectures.surgery import materialize, preserve_torch_settings

        with preserve_process_state(), preserve_torch_settings():
            built = self.build(request)
            if not isinstance(built, nn.Module):
                raise UserError(
                    f"architecture {self.name!r}: its function returned {kind_of(built)}; it must return a "
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
        """Check that images of this size (pixels) are large enough to train on.

        Raises:
            UserError: the images are too small.
        """
        if image_size < self.minimum_size:
            raise UserError(
                f"architecture {self.name!r} needs images of at least {self.minimum_size} px; "
                f"these have {image_size} px"
            )

    def require_installed(self) -> None:
        """Check that all packages that the network needs are installed.

        Raises:
            UserError: a package is not installed.
        """
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise UserError(
                f"architecture {self.name!r} needs {' and '.join(missing)}, which is not installed: "
                "pip install 'intelbench[pretrained]'"
            )


ARCHITECTURES: Registry[Architecture] = Registry("architecture")


def register(value: Architecture) -> Architecture:
    """Register an architecture under its name and aliases.

    Raises:
        UserError: a name is taken, or has characters that a name cannot have.
    """
    return ARCHITECTURES.add(value, value.name, *value.aliases, function=value.build)


@takes_name
def architecture(name: str, **facts: Any) -> Callable[[Callable[[ModelRequest], nn.Module]], Architecture]:
    """Register the decorated build function under `name`; `facts` are the other fields of `Architecture`."""
    return lambda build: register(Architecture(name=name, build=build, **facts))


def find(name: str) -> tuple[Architecture, str]:
    """Return the architecture with a name, and its provider.

    A name without a prefix is searched among the built-in architectures, loaded plug-ins and entry points, then among
    torchvision's classifiers, whose full name is `torchvision:NAME`, and then among timm's networks, `timm:NAME`.

    Raises:
        UserError: the name is not known; the message suggests the nearest known names, and timm if it is not installed.
    """
    if entry := ARCHITECTURES.find(name):
        return entry.value, entry.provider
    if not name.startswith(TIMM):
        from intelbench.architectures.library import classifiers, torchvision_architecture  # torchvision costs seconds

        if (bare := name.removeprefix(TORCHVISION)) in classifiers():
            return torchvision_architecture(bare), f"torchvision {metadata.version('torchvision')}"
    if not name.startswith(TORCHVISION) and has_timm():
        from intelbench.architectures.timm_library import networks, timm_architecture  # timm costs seconds too

        if (bare := name.removeprefix(TIMM)) in networks():
            return timm_architecture(bare), f"timm {metadata.version('timm')}"
    raise UserError(f"architecture {shortened(repr(name))} is not known. {_nearest(name)}")


def has_timm() -> bool:
    """Return whether timm is installed, without importing it."""
    return importlib.util.find_spec("timm") is not None


def resolutions(names: Iterable[str]) -> str:
    """Say whose networks names without a prefix are, where that is not obvious; empty if it is.

    These are the names of torchvision and timm, and those of registered architectures that torchvision has too.

    Raises:
        UserError: a name is not known.
    """
    from intelbench.architectures.library import classifiers

    providers = ARCHITECTURES.providers()
    said = []
    for name in dict.fromkeys(names):
        if name in providers:
            if name in classifiers():
                owner = providers[name].partition(" ")[0]
                said.append(f"{name} is the architecture of {owner}, not {TORCHVISION}{name}")
        elif (full := find(name)[0].name) != name and full.startswith((TORCHVISION, TIMM)):
            said.append(f"{name} is {full}")
    return "; ".join(said)


def plugins_of(name: str) -> tuple[str, ...]:
    """Return the plug-in file that a process must load to find the architecture; empty if no file is needed.

    Other plug-ins are not loaded: one that changes PyTorch, for example, must not affect the run.
    """
    entry = ARCHITECTURES.entries.get(name)
    return (str(entry.plugin),) if entry and entry.plugin else ()


def contained_unless_built_in(name: str) -> AbstractContextManager[None]:
    """Return a context in which code of an architecture runs with the modules of its plug-in.

    Errors of a plug-in become user errors; those of built-in architectures keep their traceback.
    """
    if find(name)[1] == BUILT_IN:
        return nullcontext()
    entry = ARCHITECTURES.entries.get(name)
    if entry and entry.imports:
        entry.imports.activate()
    return plugin_errors_as_user_errors(f"architecture {name!r}", source_file(entry.function) if entry else "")


def _nearest(name: str) -> str:
    """Suggest known names in the spelling that `find` accepts."""
    from intelbench.architectures.library import classifiers

    libraries: dict[str, Collection[str]] = {TORCHVISION: classifiers()}
    if has_timm():
        from intelbench.architectures.timm_library import networks

        libraries[TIMM] = networks()
        if not name.startswith(TORCHVISION) and (tagged := _tagged(name.removeprefix(TIMM), libraries[TIMM])):
            spelling = TIMM if name.startswith(TIMM) else ""
            suggested = closest(name.removeprefix(TIMM), tagged) or tagged[:3]
            tags = ", ".join(known.partition(".")[2] for known in tagged)
            spelt = " or ".join(spelling + known for known in suggested)
            return f"Try {spelt}. Expected one of the tags of its weights: {tags}"
    prefix = next((each for each in (TORCHVISION, TIMM) if name.startswith(each)), "")
    spellings: dict[str, str] = {}
    for library in sorted(libraries, key=lambda library: library == (prefix or TORCHVISION)):  # the last one wins
        spellings |= {known.lower(): (library if prefix else "") + known for known in libraries[library]}
    own = {known.lower(): known for known in (*ARCHITECTURES.entry_points(), *ARCHITECTURES.entries)}
    spellings |= {key: known for key, known in own.items() if not spellings.get(key, "").startswith(prefix or ":")}
    near = closest(name.removeprefix(prefix).lower(), spellings)
    if near:
        said = f"Try {' or '.join(spellings[key] for key in near)}. Expected a name that `intelbench list` knows"
    elif prefix == TORCHVISION:
        said = f"Expected one of torchvision's classifiers: {', '.join(classifiers())}"
    else:
        sizes = {key: len({known.partition(".")[0] for known in names}) for key, names in libraries.items()}
        counts = [f"{key.removesuffix(':')}'s {size:,} networks" for key, size in sizes.items()]
        own_names = ", ".join(sorted(ARCHITECTURES.providers()))
        said = f"Expected one of: {own_names}, {' or '.join(counts)}. Try `intelbench list PATTERN`"
    hint = "" if TIMM in libraries else f". {MORE_IN_TIMM}"
    return f"{said}{hint}. An architecture of your own is in a plug-in: --plugin FILE.py, or `plugins` in Python"


def _tagged(name: str, networks: Collection[str]) -> list[str]:
    """Return the names with a tag of the network in `name`; empty if there is no tag or no such network."""
    network, dot, _ = name.partition(".")
    return [known for known in networks if known.startswith(f"{network}.")] if dot else []


def closest(name: str, names: Iterable[str]) -> list[str]:
    """Return the three names closest to `name`, the closest first; equally close ones are in alphabetical order."""
    near = difflib.get_close_matches(name, names, n=20, cutoff=0.5)
    return sorted(near, key=lambda known: (-difflib.SequenceMatcher(None, known, name).ratio(), known))[:3]
