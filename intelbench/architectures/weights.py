"""Find the pretrained weights that a recipe names, and load them into a network.

Those that have to be downloaded come through `downloads`, and those of timm through `hub`.
"""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from intelbench.architectures import hub
from intelbench.architectures.downloads import downloaded, expected_digits, hub_file, sha256_of
from intelbench.architectures.generators import preserve_generators
from intelbench.architectures.hub import OnDownload
from intelbench.architectures.registry import Architecture, ModelRequest, PretrainedFile
from intelbench.architectures.surgery import build_shapes, find_heads
from intelbench.errors import UserError, few, kind_of, shortened
from intelbench.paths import MAX_PATH, is_file, shown_path
from intelbench.plugins.guard import plugin_errors_as_user_errors, source_file
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization, Weights

NONE = "none"
DEFAULT = "default"
"""The weights that the library of an architecture loads when it is asked for pretrained ones."""
PUBLISHED = ("imagenet", "imagenet-v2", DEFAULT)
_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""Errors that `torch.load` raises for damaged files, in addition to `UnpicklingError`."""
_MAX_REASON = 300
"""Characters of the message of a library that an error repeats."""
_MAX_KEYS = 5
"""Keys that an error lists; the others are only counted."""
_OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")
"""Names in DenseNet's published files. They have dots, which names of modules may no longer have."""


@dataclass(frozen=True)
class Location:
    """Where the published weights of a network are."""

    file: PretrainedFile
    path: Path | None
    """The file on this machine; `None` if it has to be downloaded."""


@dataclass(frozen=True)
class Source:
    """A file of weights on this machine."""

    path: Path
    facts: Weights


def locate(architecture: Architecture, choice: str) -> Location:
    """Say where the published weights that `choice` names are, without using the network.

    Raises:
        UserError: the architecture has no such weights, or needs a package that is not installed.
    """
    published = _published(architecture, choice)
    address = published.address
    if address.startswith(hub.SCHEME):
        return Location(published, hub.cached(hub.HubAddress.parse(address)))
    path = hub_file(address) if "://" in address else Path(address)
    return Location(published, path if path.exists() else None)


def obtain(architecture: Architecture, choice: str, on_download: OnDownload) -> Source | None:
    """Return the weights that a recipe names, downloaded if necessary; `None` for `none`.

    Raises:
        UserError: the architecture has no such weights, the file does not exist or does not match its hash, or it
            cannot be downloaded; then the message says which file to put where.
    """
    if choice == NONE:
        return None
    if choice in PUBLISHED:
        published = _published(architecture, choice)
        path, file = _fetched(published.address, on_download)
        if not is_file(path):
            raise UserError(
                f"architecture {architecture.name!r}: weights {choice!r} are {shown_path(path)!r}: no such file. "
                "Expected a URL, or the path of a file with a state dict"
            )
    else:
        published, path = PretrainedFile(address=choice), Path(choice)
        file = path.name
        if not is_file(path):
            raise UserError(
                f"recipe.weights {shortened(repr(choice), MAX_PATH)}: no such file. Expected one of: "
                f"{', '.join((NONE, *PUBLISHED))}, or a file with a state dict, .pth or .safetensors"
            )
    digest = sha256_of(path)
    if choice in PUBLISHED and not digest.startswith(expected_digits(path.name)):
        raise UserError(f"weights {path}: damaged, its SHA-256 is {digest}; delete it and run again")
    normalization = IMAGENET_NORMALIZATION
    if architecture.normalization:
        mean, std = architecture.normalization
        normalization = Normalization(mean=mean, std=std)
    facts = Weights(
        file=file,
        sha256=digest,
        normalization=normalization,
        preprocessing=published.preprocessing,
        licence=published.licence,
    )
    return Source(path.absolute(), facts)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a state dict; nothing in the file is executed.

    Raises:
        UserError: the file is not a state dict, or the package for .safetensors files is missing.
    """
    if path.suffix.lower() == ".safetensors":
        try:
            content: object = safetensors.torch.load_file(path)
        except safetensors.SafetensorError as error:
            raise UserError(f"weights {path}: damaged ({error})") from error
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:  # its message is how to execute the file
            raise UserError(f"weights {path}: not a file of tensors alone; save a state dict") from error
        except _UNREADABLE as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"weights {path}: not a file of tensors alone ({reason}); save a state dict") from error
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        held = kind_of(content)
        if isinstance(content, dict):
            held = f"a dict with {few([str(name) for name in content], _MAX_KEYS)}"
        raise UserError(f"weights {path}: holds {held}, not a state dict; save `model.state_dict()` alone")
    return {_OLD_DENSENET.sub(r"\1\2", name): value for name, value in content.items()}


def check(architecture: Architecture, request: ModelRequest, path: Path) -> None:
    """Check that the weights in a file fit a network, which is built on the meta device if possible.

    Raises:
        UserError: the file cannot be read or its weights do not fit, or the head of the network is not known.
    """
    model = build_shapes(architecture, request)
    state = _converted(architecture, request, path)
    matching(model, state, architecture, find_heads(architecture, request, model), path.name)


def load_weights(
    model: nn.Module, architecture: Architecture, request: ModelRequest, heads: tuple[str, ...], path: Path
) -> None:
    """Load the weights in a file into the network that the architecture has built for a request.

    Raises:
        UserError: the file cannot be read, or its weights do not fit.
    """
    state = _converted(architecture, request, path)
    model.load_state_dict(matching(model, state, architecture, heads, path.name), strict=False)


def _converted(architecture: Architecture, request: ModelRequest, path: Path) -> dict[str, Tensor]:
    """Read a state dict and give it the names and shapes of the network, without drawing random numbers."""
    state = read_state_dict(path)
    if not architecture.convert:
        return state
    with preserve_generators():
        try:
            return architecture.convert(state, request)
        except Exception as error:
            reason = shortened(" ".join(str(error).split()), _MAX_REASON)
            raise UserError(
                f"weights {path.name} are not those of {architecture.name!r}, or do not fit images of "
                f"{request.image_size} px: {type(error).__name__}: {reason}"
            ) from error


def matching(
    model: nn.Module, state: dict[str, Tensor], architecture: Architecture, heads: tuple[str, ...], file: str
) -> dict[str, Tensor]:
    """Return the part of a state dict that fits a network.

    Heads of another shape are left out, so that the network keeps its own. Auxiliary heads that the network does not
    have are left out too.

    Raises:
        UserError: a weight outside the heads is missing, unexpected or of another shape.
    """
    expected = {name: value.shape for name, value in model.state_dict().items()}
    fitting = {name for name, value in state.items() if expected.get(name) == value.shape}
    new = [head for head in heads if not all(name in fitting for name in expected if _within(name, head))]
    without = [head for head in architecture.auxiliary if not any(_within(name, head) for name in expected)]
    of_network = {name for name in expected if not any(_within(name, head) for head in new)}
    of_file = {name for name in state if not any(_within(name, head) for head in (*new, *without))}
    counters = {name for name in of_network - of_file if name.endswith("num_batches_tracked")}  # old files have none
    problems = {
        "missing": of_network - of_file - counters,
        "unexpected": of_file - of_network,
        "of another shape": (of_network & of_file) - fitting,
    }
    if any(problems.values()):
        parts = [f"{len(names)} {what}: {few(sorted(names), _MAX_KEYS)}" for what, names in problems.items() if names]
        raise UserError(f"weights {file} are not those of {architecture.name!r}: {'; '.join(parts)}")
    return {name: state[name] for name in of_network & of_file}


def _published(architecture: Architecture, choice: str) -> PretrainedFile:
    """Return the published weights that `choice` names; without weights `default`, these are the first ones.

    Raises:
        UserError: the architecture has no such weights, its plug-in does not say correctly what it has, or a package
            is not installed.
    """
    architecture.require_installed()
    offered = _offered(architecture)
    if choice == DEFAULT and offered:
        offered = {DEFAULT: next(iter(offered.values())), **offered}
    if choice not in offered:
        names = [name for name in offered if name in PUBLISHED] or ([DEFAULT] if offered else [])
        raise UserError(
            f"architecture {architecture.name!r} has no weights {choice!r}; accepted for it: "
            f"{', '.join((NONE, *names))}, or a file with a state dict"
        )
    published = offered[choice]
    file = PretrainedFile(address=published) if isinstance(published, str) else published
    if not isinstance(file, PretrainedFile) or not isinstance(file.address, str) or not file.address:
        shown = shortened(repr(published), MAX_PATH)
        raise UserError(
            f"architecture {architecture.name!r}: `pretrained` returned {shown} for {choice!r}; it must be an address "
            "or a path, as text that is not empty, or a PretrainedFile with one"
        )
    return file


def _offered(architecture: Architecture) -> Mapping[str, str | PretrainedFile]:
    """Ask the function of an architecture which published weights there are."""
    if not architecture.pretrained:
        return {}
    title = f"architecture {architecture.name!r}: `pretrained`"
    with plugin_errors_as_user_errors(title, source_file(architecture.pretrained)):
        offered = architecture.pretrained()
    if not isinstance(offered, Mapping):
        raise UserError(
            f"{title} returned {kind_of(offered)}; it must be a dict, such as {{'imagenet': 'https://example.org/w.pth'}}"
        )
    return offered


def _fetched(address: str, on_download: OnDownload) -> tuple[Path, str]:
    """Return the file of an address, downloaded if necessary, and its name for records."""
    if address.startswith(hub.SCHEME):
        location = hub.HubAddress.parse(address)
        path = hub.fetch(location, on_download)
        return path, f"{location.repository}/{path.name}"
    path = downloaded(address, on_download) if "://" in address else Path(address)
    return path, path.name


def _within(name: str, module: str) -> bool:
    return name.startswith(f"{module}.")
