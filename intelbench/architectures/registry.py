"""Register and find architectures. An architecture is a frozen value that holds a build function."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

from intelbench.errors import UserError, kind_of, shortened
from intelbench.plugins.guard import plugin_errors_as_user_errors, preserve_process_state, source_file
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

Colour = tuple[float, float, float]

FROM_MINUS_ONE: tuple[Colour, Colour] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and standard deviation that map pixels to -1 to 1."""
TORCHVISION = "torchvision:"
"""Prefix of the names of torchvision's classifiers, in records and wherever a name could be ambiguous."""


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
    memory_mebibytes: float | None = None
    """torchsummary's estimate of the memory for one image of 300 px."""


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
    """Returns the scalar to minimise, from training output, target and criterion."""
    aliases: tuple[str, ...] = ()
    published: PublishedFacts | None = None
    pretrained: Callable[[], Mapping[str, str]] | None = None
    """Returns the published weights: address or file of the state dict by the name in a recipe, `imagenet` first."""
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


def architecture(name: str, **facts: Any) -> Callable[[Callable[[ModelRequest], nn.Module]], Architecture]:
    """Register the decorated build function under `name`; `facts` are the other fields of `Architecture`."""
    return lambda build: register(Architecture(name=name, build=build, **facts))


def find(name: str) -> tuple[Architecture, str]:
    """Return the architecture with a name, and its provider.

    A name without a prefix is searched among the built-in architectures, loaded plug-ins and entry points, and then
    among torchvision's classifiers, whose full name is `torchvision:NAME`.

    Raises:
        UserError: the name is not known; the message suggests the nearest known names.
    """
    if entry := ARCHITECTURES.find(name):
        return entry.value, entry.provider
    from intelbench.architectures.library import classifiers, torchvision_architecture  # torchvision costs seconds

    if (bare := name.removeprefix(TORCHVISION)) not in classifiers():
        raise UserError(f"architecture {shortened(repr(name))} is not known; {_nearest(name, classifiers())}")
    return torchvision_architecture(bare), f"torchvision {metadata.version('torchvision')}"


def ambiguity(names: Iterable[str]) -> str:
    """Return a message about the names that torchvision's classifiers have too; empty if there are none."""
    from intelbench.architectures.library import classifiers

    providers = ARCHITECTURES.providers()
    return "; ".join(
        f"{name} is the architecture of {providers[name].partition(' ')[0]}, not {TORCHVISION}{name}"
        for name in names
        if name in providers and name in classifiers()
    )


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


def _nearest(name: str, classifiers: Sequence[str]) -> str:
    """Suggest known names in the spelling that `find` accepts."""
    prefix = TORCHVISION if name.startswith(TORCHVISION) else ""
    of_torchvision = {known.lower(): prefix + known for known in classifiers}
    registered = {known.lower(): known for known in (*ARCHITECTURES.entry_points(), *ARCHITECTURES.entries)}
    spellings = registered | of_torchvision if prefix else of_torchvision | registered
    near = difflib.get_close_matches(name.removeprefix(prefix).lower(), spellings, n=3, cutoff=0.5)
    if near:
        suggestion = f"did you mean {' or '.join(spellings[known] for known in near)}?"
    elif prefix:
        suggestion = f"torchvision's classifiers are {', '.join(classifiers)}."
    else:
        names = ", ".join(sorted(ARCHITECTURES.providers()))
        suggestion = f"known: {names}, and torchvision's {len(classifiers)} classifiers."
    return f"{suggestion} A file with an architecture of your own is given with --plugin FILE.py"
