"""Search the networks of all libraries, and count parameters and operations of those that are not known.

The catalogues of one version of each library come with intelbench. That of another version is read from the library,
and what is not known of its networks is counted. Both are kept in the cache folder under the version, so that a later
search imports neither PyTorch nor the library.
"""

import fnmatch
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from intelbench.architectures.catalogue import (
    Catalogue,
    Figures,
    Offer,
    figures_of,
    filled,
    installed_version,
    measured_as,
    shipped,
)
from intelbench.architectures.registry import (
    ARCHITECTURES,
    MORE_IN_TIMM,
    ModelRequest,
    PublishedFacts,
    closest,
    find,
    has_timm,
)
from intelbench.errors import UserError, one_of, plural, shortened
from intelbench.plugins.providers import BUILT_IN
from intelbench.records.files import json_if_any, replace

LIBRARIES = (BUILT_IN, "torchvision", "timm")
_OPEN = "open"
_MAX_BYTES = 2**26
"""Size of a file of the cache."""
_REPORT_SECONDS = 5.0
"""Time between two lines on what takes long; what was counted is then kept too."""
_USUAL_SIZE = PublishedFacts.image_size


@dataclass(frozen=True, kw_only=True)
class Search:
    """What `intelbench list` looks for; `None` accepts everything."""

    pattern: str | None = None
    """Part of a name or an alias, or a pattern with `*`, `?` and `[...]` for all of it, with or without its prefix
    and the tag of its weights."""
    pretrained: bool = False
    max_parameters: float | None = None
    max_macs: float | None = None
    licence: str | None = None
    """`open`, or the name of a licence."""

    def has_room_for(self, offer: Offer) -> bool:
        """Return whether the network is within the limits; one whose figure is not known is in none."""
        limits = (offer.num_parameters, self.max_parameters), (offer.forward_macs, self.max_macs)
        return all(limit is None or (value is not None and value <= limit) for value, limit in limits)

    def accepts(self, offer: Offer) -> bool:
        """Return whether name, weights and licence fit."""
        if self.licence == _OPEN:
            has_licence = offer.is_open
        else:
            has_licence = not self.licence or self.licence.lower() == (offer.licence or "").lower()
        return has_licence and (offer.weights is not None or not self.pretrained) and self.names(offer)

    def names(self, offer: Offer) -> bool:
        """Return whether the name or an alias fits."""
        return self._fits(offer.name) or self.alias_of(offer) is not None

    def alias_of(self, offer: Offer) -> str | None:
        """Return the alias of the network that fits where its name does not; `None` if there is none."""
        return None if self._fits(offer.name) else next(filter(self._fits, _aliases(offer)), None)

    def _fits(self, name: str) -> bool:
        if self.pattern is None:
            return True
        name, pattern = name.lower(), self.pattern.lower()
        if any(character in pattern for character in "*?["):
            names = name, name.partition(":")[2] or name
            return any(fnmatch.fnmatchcase(part, pattern) for each in names for part in (each, each.partition(".")[0]))
        return pattern in name


def search(wanted: Search, folder: Path, say: Callable[[str], object]) -> list[Offer]:
    """Return the networks that fit, those of intelbench first.

    A name or a pattern that fits no network, but files of weights, such as `resnet18.a1_in1k`, finds these files.
    `say` is called with a line on what takes long, and with why something is not found.

    Raises:
        UserError: no weights have the licence.
    """
    catalogues = {library: _catalogue(library, folder, say) for library in LIBRARIES if library != "timm" or has_timm()}
    networks = {library: catalogue.networks for library, catalogue in catalogues.items()}
    pretrained = {library: catalogue.pretrained for library, catalogue in catalogues.items()}
    _require_licence(wanted.licence, _all_of(pretrained))
    rows = networks
    if wanted.pretrained or not any(map(wanted.names, _all_of(networks))):
        rows = pretrained
    accepted: list[Offer] = []
    for library, offers in rows.items():
        fitting = [offer for offer in offers if wanted.accepts(offer)]
        accepted += counted(fitting, library, shipped(library), folder, say)
    found = [offer for offer in accepted if wanted.has_room_for(offer)]
    if unknown := {measured_as(offer) for offer in accepted if _is_incomplete(offer)}:
        say(
            f"parameters or operations of {plural(len(unknown), 'network')} cannot be counted; a network without a "
            "figure is within no limit on it"
        )
    for offer in found:
        if alias := wanted.alias_of(offer):
            say(f"{alias} is another name of {offer.name}")
    if not found:
        reason = _nothing(wanted, _all_of(rows), [*_all_of(networks), *_all_of(pretrained)])
        say(reason if has_timm() else f"{reason}. {MORE_IN_TIMM}")
    return found


def _aliases(offer: Offer) -> tuple[str, ...]:
    entry = ARCHITECTURES.entries.get(offer.name)
    return entry.value.aliases if entry else ()


def _all_of(rows: Mapping[str, Sequence[Offer]]) -> list[Offer]:
    return [offer for offers in rows.values() for offer in offers]


def _require_licence(name: str | None, offers: Collection[Offer]) -> None:
    """Raise a `UserError` if no weights have the licence."""
    known = sorted({offer.licence.lower() for offer in offers if offer.licence})
    if name and name.lower() not in (_OPEN, *known):
        raise UserError(
            f"--licence {shortened(repr(name))}: no weights have it. {one_of(name.lower(), [_OPEN, *known])}"
            f"{'' if has_timm() else f'. {MORE_IN_TIMM}'}"
        )


def _nothing(wanted: Search, searched: Sequence[Offer], known: Sequence[Offer]) -> str:
    """Say why a search finds nothing: no such name, with the nearest known ones, or the other conditions."""
    named = sum(map(wanted.names, searched))
    if named:
        return f"nothing found: the name fits {plural(named, 'row')} of the catalogue, the other conditions fit none"
    pattern = wanted.pattern or ""
    bare = {offer.name.rpartition(":")[2].lower(): offer.name for offer in reversed(known)}
    bare |= {alias.lower(): alias for offer in known for alias in _aliases(offer)}
    near = closest(pattern.lower().strip("*?").rpartition(":")[2], bare)
    suggestion = f"Did you mean {' or '.join(bare[name] for name in near)}?" if near else "Try a shorter part of a name"
    return f"nothing found: no name fits {shortened(repr(pattern))}. {suggestion}"


def _catalogue(library: str, folder: Path, say: Callable[[str], object]) -> Catalogue:
    """Return the networks of the installed version of a library, with what is known of them without counting."""
    if library == BUILT_IN:
        return _built_in()
    version = installed_version(library)
    if (known := shipped(library)).version == version:
        return known
    file = _file(folder, library, "json")
    catalogue = json_if_any(file, _MAX_BYTES, Catalogue)
    if catalogue is None:
        say(f"reading the networks of {library} {version}, once for this version")
        catalogue = catalogue_of(library)
        _write(file, catalogue)
    return catalogue


def _file(folder: Path, library: str, suffix: str) -> Path:
    return folder / "catalogue" / f"{library}-{installed_version(library)}.{suffix}"


def catalogue_of(library: str) -> Catalogue:
    """Return the networks of the installed version of a library as the library states them."""
    if library == BUILT_IN:
        return _built_in()
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
    return Catalogue(version=installed_version(BUILT_IN), networks=tuple(offers), pretrained=tuple(offers))


def counted(
    offers: Sequence[Offer], library: str, known: Catalogue, folder: Path, say: Callable[[str], object]
) -> list[Offer]:
    """Return offers of one library with parameters and operations; those that are not known are counted and kept.

    Figures are taken from the known catalogue, which may be of another version of the library: a name keeps its
    network, since its weights have to fit.
    """
    tried = known.version == installed_version(library)  # a missing figure is one that cannot be counted
    figures = figures_of(offer for offer in known if tried or not _is_incomplete(offer))
    missing = {
        measured_as(offer): offer for offer in offers if _is_incomplete(offer) and measured_as(offer) not in figures
    }
    if missing:
        file = _file(folder, library, "measured.json")
        kept = _stored(file)
        _count_all({key: offer for key, offer in missing.items() if key not in kept}, kept, file, say)
        figures |= kept
    return [filled(offer, figures.get(measured_as(offer), Figures())) for offer in offers]


def _stored(file: Path) -> dict[str, Figures]:
    """Return the figures in a file of the cache, by network."""
    return json_if_any(file, _MAX_BYTES, dict[str, Figures]) or {}


def _is_incomplete(offer: Offer) -> bool:
    return offer.num_parameters is None or offer.forward_macs is None


def _count_all(todo: Mapping[str, Offer], kept: dict[str, Figures], file: Path, say: Callable[[str], object]) -> None:
    """Add the figures of networks to those that are kept, and write these to the file, on Ctrl-C too."""
    if not todo:
        return
    say(f"counting parameters and operations of {plural(len(todo), 'network')}, once for this version")
    start = reported = time.monotonic()
    try:
        for done, (key, offer) in enumerate(todo.items(), start=1):
            kept[key] = _count(offer)
            if (now := time.monotonic()) - reported >= _REPORT_SECONDS and done < len(todo):
                reported = now
                left = (now - start) / done * (len(todo) - done)
                say(f"{done:,} of {plural(len(todo), 'network')} counted, about {_time(left)} left")
                _write(file, _stored(file) | kept)
    finally:
        _write(file, _stored(file) | kept)  # another search may have counted other networks at the same time


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _count(offer: Offer) -> Figures:
    """Build a network without weights, and count its parameters and operations, as far as that is possible."""
    from intelbench.profiling.complexity import count_parameters, forward_macs_per_image
    from intelbench.profiling.workload import Workload

    num_parameters = macs = None
    with suppress(Exception):  # a library raises what it likes, and one network hides no other
        architecture = find(offer.name)[0]
        architecture.require_installed()
        request = ModelRequest(num_classes=1000, image_size=offer.image_size or _USUAL_SIZE)
        workload = Workload(architecture=architecture, request=request)
        model = workload.shapes()
        num_parameters = count_parameters(model)[0]
        macs = forward_macs_per_image(workload, model)
    return Figures(num_parameters=num_parameters, forward_macs=macs)


def _write(file: Path, value: object) -> None:
    """Write a file of the cache, which appears complete or not at all; without a cache folder nothing is kept."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file, msgspec.json.encode(value), shared=True)
    except OSError:  # the search has its result
        return
