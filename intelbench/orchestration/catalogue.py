"""Search the networks of all libraries, and measure those whose size their library does not state.

A catalogue and what was measured are kept in the cache folder under the version of the library, so a later search
imports neither PyTorch nor the library.
"""

import fnmatch
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from intelbench.architectures.catalogue import Catalogue, Offer, measured_as
from intelbench.architectures.registry import ARCHITECTURES, find, has_timm
from intelbench.errors import plural
from intelbench.plugins.providers import BUILT_IN

if TYPE_CHECKING:
    from intelbench.profiling.workload import Workload

T = TypeVar("T")
N = TypeVar("N", int, float)
_LIBRARIES = ("torchvision", "timm")
_OPEN = "open"
_EVERY = 20
"""Networks between two lines on what takes long."""
_USUAL_SIZE = 224
_NOUNS = {"num_parameters": "the parameters", "forward_macs": "the operations"}


@dataclass(frozen=True, kw_only=True)
class Search:
    """What `intelbench list` looks for; `None` accepts everything."""

    pattern: str | None = None
    """Part of a name, or a pattern with `*`, `?` and `[...]` for the complete name with or without its prefix."""
    pretrained: bool = False
    max_parameters: float | None = None
    max_macs: float | None = None
    licence: str | None = None
    """`open`, or the name of a licence."""

    def accepts(self, offer: Offer) -> bool:
        """Return whether name, weights and licence fit."""
        if self.pretrained and offer.weights is None:
            return False
        if self.licence and not (offer.is_open if self.licence == _OPEN else self._is_licence(offer)):
            return False
        return self._names(offer.name.lower())

    def _is_licence(self, offer: Offer) -> bool:
        return offer.licence is not None and offer.licence.lower() == (self.licence or "").lower()

    def _names(self, name: str) -> bool:
        if self.pattern is None:
            return True
        pattern = self.pattern.lower()
        if any(character in pattern for character in "*?["):
            return any(fnmatch.fnmatchcase(each, pattern) for each in (name, name.partition(":")[2] or name))
        return pattern in name


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Parameters and operations of networks by `measured_as`."""

    parameters: dict[str, int] = field(default_factory=dict)
    macs: dict[str, float] = field(default_factory=dict)


def search(wanted: Search, folder: Path, say: Callable[[str], object]) -> list[Offer]:
    """Return the networks that fit, those of intelbench first.

    Args:
        wanted: What to look for.
        folder: The cache folder.
        say: Called with a line on what takes long.
    """
    found = []
    for library in (BUILT_IN, *_LIBRARIES):
        if library != "timm" or has_timm():
            found += _of_library(library, wanted, folder, say)
    return found


def _of_library(library: str, wanted: Search, folder: Path, say: Callable[[str], object]) -> list[Offer]:
    """Return the networks of a library that fit; what had to be measured is kept in the cache folder."""
    version = metadata.version(library)
    if library == BUILT_IN:
        catalogue = _built_in()
    else:
        catalogue = _kept(folder / "catalogue" / f"{library}-{version}.json", library, version, say)
    offers = [
        each for each in (catalogue.pretrained if wanted.pretrained else catalogue.networks) if wanted.accepts(each)
    ]
    file = folder / "catalogue" / f"{library}-{version}.measured.json"
    measured = _read(file, _Measured) or _Measured()
    before = len(measured.parameters) + len(measured.macs)
    try:
        return _within(wanted, _measure(offers, measured, wanted, say))
    finally:  # Ctrl-C too
        if len(measured.parameters) + len(measured.macs) > before:
            _write(file, measured)


def _kept(file: Path, library: str, version: str, say: Callable[[str], object]) -> Catalogue:
    """Return the catalogue in a file of the cache, or make it."""
    catalogue = _read(file, Catalogue)
    if catalogue is None:
        say(f"reading the networks of {library} {version}, once for this version")
        catalogue = _catalogue_of(library)
        _write(file, catalogue)
    return catalogue


def _catalogue_of(library: str) -> Catalogue:
    if library == "timm":
        from intelbench.architectures.timm_library import catalogue
    else:
        from intelbench.architectures.library import catalogue
    return catalogue()


def _built_in() -> Catalogue:
    """Return the built-in architectures, with what was published about them."""
    offers = []
    for name, provider in ARCHITECTURES.providers().items():
        if provider == BUILT_IN:
            published = find(name)[0].published
            offer = Offer(
                name=name,
                weights="imagenet",
                image_size=_USUAL_SIZE,
                imagenet_top1=published.imagenet_top1 if published else None,
                num_parameters=published.num_parameters if published else None,
            )
            offers.append(offer)
    return Catalogue(networks=tuple(offers), pretrained=tuple(offers))


def _within(wanted: Search, offers: Sequence[Offer]) -> list[Offer]:
    """Return the offers within the limits; one whose figure is not known is in none."""
    return [
        each
        for each in offers
        if _at_most(each.num_parameters, wanted.max_parameters) and _at_most(each.forward_macs, wanted.max_macs)
    ]


def _at_most(value: float | None, limit: float | None) -> bool:
    return limit is None or (value is not None and value <= limit)


def _measure(offers: Sequence[Offer], measured: _Measured, wanted: Search, say: Callable[[str], object]) -> list[Offer]:
    """Fill in the figures that are missing: parameters first, then operations of what is within the limit on them.

    New figures are added to `measured` too.
    """
    counted = _filled(offers, "num_parameters", measured.parameters, _num_parameters, say)
    counted = [offer for offer in counted if _at_most(offer.num_parameters, wanted.max_parameters)]
    return _filled(counted, "forward_macs", measured.macs, _forward_macs, say)


def _filled(
    offers: Sequence[Offer],
    name: str,
    known: dict[str, N],
    measure: Callable[[Offer], N | None],
    say: Callable[[str], object],
) -> list[Offer]:
    """Return the offers with the field `name`, where it is missing, from what is known or measured, which is added."""
    missing = {measured_as(offer): offer for offer in offers if getattr(offer, name) is None}
    todo = [key for key in missing if key not in known]
    for done, key in enumerate(todo):
        if done % _EVERY == 0:
            say(f"counting {_NOUNS[name]} of {plural(len(todo), 'network')}, once for this version: {done} done")
        if (value := measure(missing[key])) is not None:
            known[key] = value
    return [
        replace(offer, **{name: known.get(measured_as(offer))}) if getattr(offer, name) is None else offer
        for offer in offers
    ]


def _num_parameters(offer: Offer) -> int | None:
    """Return the parameters with 1,000 classes; `None` if the network cannot be built."""
    from intelbench.profiling.complexity import count_parameters

    try:
        return count_parameters(_workload(offer).shapes())[0]
    except Exception:  # noqa: BLE001 - a library raises what it likes, and one network hides no other
        return None


def _forward_macs(offer: Offer) -> float | None:
    """Return the operations of a forward pass; `None` if they cannot be counted."""
    from intelbench.profiling.complexity import forward_macs_per_image

    try:
        return forward_macs_per_image(_workload(offer))
    except Exception:  # noqa: BLE001 - as above
        return None


def _workload(offer: Offer) -> "Workload":
    from intelbench.architectures.registry import ModelRequest
    from intelbench.profiling.workload import Workload

    request = ModelRequest(num_classes=1000, image_size=offer.image_size or _USUAL_SIZE)
    architecture = find(offer.name)[0]
    architecture.require_installed()
    return Workload(architecture=architecture, request=request)


def _read(file: Path, kind: type[T]) -> T | None:
    """Return what a file of the cache holds; `None` if there is none, or one of another form."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _write(file: Path, value: object) -> None:
    """Write a file of the cache, which appears complete or not at all; without a cache folder nothing is kept."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as partial:
            partial.write(msgspec.json.encode(value))
        os.replace(partial.name, file)  # noqa: PTH105 - the name is a text
    except OSError:  # the search has its result
        return
