"""Search the networks of all libraries, and measure those whose size their library does not state.

A catalogue and what was measured are kept in the cache folder under the version of the library, so a later search
imports neither PyTorch nor the library.
"""

import fnmatch
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from intelbench.architectures.catalogue import Catalogue, Offer, measured_as
from intelbench.architectures.registry import ARCHITECTURES, ModelRequest, PublishedFacts, closest, find, has_timm
from intelbench.errors import UserError, one_of, plural, shortened
from intelbench.plugins.providers import BUILT_IN

T = TypeVar("T")
_LIBRARIES = ("torchvision", "timm")
_OPEN = "open"
_EVERY = 20
"""Networks between two lines on what takes long."""
_USUAL_SIZE = PublishedFacts.image_size


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
        return self.names(offer)

    def _is_licence(self, offer: Offer) -> bool:
        return offer.licence is not None and offer.licence.lower() == (self.licence or "").lower()

    def names(self, offer: Offer) -> bool:
        """Return whether the name fits."""
        if self.pattern is None:
            return True
        name, pattern = offer.name.lower(), self.pattern.lower()
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
        say: Called with a line on what takes long, and with why nothing is found.

    Raises:
        UserError: no weights have the licence.
    """
    libraries = [library for library in (BUILT_IN, *_LIBRARIES) if library != "timm" or has_timm()]
    catalogues = {library: _catalogue(library, folder, say) for library in libraries}
    offers = [
        offer
        for catalogue in catalogues.values()
        for offer in (catalogue.pretrained if wanted.pretrained else catalogue.networks)
    ]
    _require_licence(wanted.licence, [offer for each in catalogues.values() for offer in each.pretrained])
    found = []
    for library, catalogue in catalogues.items():
        of_library = catalogue.pretrained if wanted.pretrained else catalogue.networks
        file = _file(folder, library, "measured.json")
        found += _within_limits([offer for offer in of_library if wanted.accepts(offer)], wanted, file, say)
    if not found:
        say(_nothing(wanted, offers))
    return found


def _require_licence(name: str | None, offers: Collection[Offer]) -> None:
    """Check that some weights have a licence.

    Raises:
        UserError: none have it.
    """
    known = sorted({offer.licence.lower() for offer in offers if offer.licence})
    if name and name.lower() not in (_OPEN, *known):
        raise UserError(
            f"--licence {shortened(repr(name))}: no weights have it. {one_of(name.lower(), [_OPEN, *known])}"
        )


def _nothing(wanted: Search, offers: Sequence[Offer]) -> str:
    """Say why a search finds nothing: no such name, with the nearest ones, or the other conditions."""
    named = sum(map(wanted.names, offers))
    if named:
        return f"nothing found: the name fits {plural(named, 'row')} of the catalogue, the other conditions fit none"
    pattern = wanted.pattern or ""
    bare = {offer.name.rpartition(":")[2].lower(): offer.name for offer in reversed(offers)}
    near = closest(pattern.lower().strip("*?").rpartition(":")[2], bare)
    suggestion = f"Did you mean {' or '.join(bare[name] for name in near)}?" if near else "Try a shorter part of a name"
    return f"nothing found: no name fits {shortened(repr(pattern))}. {suggestion}"


def _catalogue(library: str, folder: Path, say: Callable[[str], object]) -> Catalogue:
    """Return the networks of a library, from the cache folder if they are there."""
    if library == BUILT_IN:
        return _built_in()
    return _kept(_file(folder, library, "json"), library, metadata.version(library), say)


def _file(folder: Path, library: str, suffix: str) -> Path:
    return folder / "catalogue" / f"{library}-{metadata.version(library)}.{suffix}"


def _within_limits(offers: Sequence[Offer], wanted: Search, file: Path, say: Callable[[str], object]) -> list[Offer]:
    """Return the offers within the limits; what had to be counted is kept in a file."""
    measured = _read(file, _Measured) or _Measured()
    before = len(measured.parameters) + len(measured.macs)
    try:
        return _within(wanted, _measure(offers, measured, wanted.max_parameters, say))
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
                image_size=published.image_size if published else _USUAL_SIZE,
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


def _measure(
    offers: Sequence[Offer], measured: _Measured, max_parameters: float | None, say: Callable[[str], object]
) -> list[Offer]:
    """Fill in parameters and operations that are missing; operations only of networks within the limit.

    New figures are added to `measured` too.
    """
    filled = [_filled(offer, measured) for offer in offers]
    todo = {
        measured_as(offer): offer
        for offer in filled
        if offer.num_parameters is None
        or (offer.forward_macs is None and _at_most(offer.num_parameters, max_parameters))
    }
    for done, offer in enumerate(todo.values()):
        if done % _EVERY == 0:
            networks = plural(len(todo), "network")
            say(f"counting parameters and operations of {networks}, once for this version: {done} done")
        with suppress(Exception):  # a library raises what it likes, and one network hides no other
            _count(offer, measured, max_parameters)
    return [_filled(offer, measured) for offer in filled]


def _filled(offer: Offer, measured: _Measured) -> Offer:
    """Return the offer with figures that its library does not state, as far as they are measured."""
    key = measured_as(offer)
    num_parameters, macs = offer.num_parameters, offer.forward_macs
    return replace(
        offer,
        num_parameters=measured.parameters.get(key) if num_parameters is None else num_parameters,
        forward_macs=measured.macs.get(key) if macs is None else macs,
    )


def _count(offer: Offer, measured: _Measured, max_parameters: float | None) -> None:
    """Build a network without weights, and add what is missing to `measured`.

    Raises:
        Exception: the network cannot be built, or its operations cannot be counted.
    """
    from intelbench.profiling.complexity import count_parameters, forward_macs_per_image
    from intelbench.profiling.workload import Workload

    request = ModelRequest(num_classes=1000, image_size=offer.image_size or _USUAL_SIZE)
    architecture = find(offer.name)[0]
    architecture.require_installed()
    workload = Workload(architecture=architecture, request=request)
    model = workload.shapes()
    num_parameters = offer.num_parameters
    if num_parameters is None:
        num_parameters = measured.parameters[measured_as(offer)] = count_parameters(model)[0]
    if _at_most(num_parameters, max_parameters):
        measured.macs[measured_as(offer)] = forward_macs_per_image(workload, model)


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
        Path(partial.name).replace(file)
    except OSError:  # the search has its result
        return
