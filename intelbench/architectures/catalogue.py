"""What a library offers: its networks and their published weights, as rows that can be searched without the library.

`catalogues/` has the rows of one version of each library, with counted parameters and operations.
`python -m tests.orchestration.regenerate_catalogues` writes it.
"""

from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.resources import files

import msgspec
from msgspec import Struct
from msgspec.structs import replace

OPEN_LICENCES = frozenset(
    {"apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc0-1.0", "isc", "mit", "unlicense"}
)
"""Licences under which everyone may use, change and pass on the weights, for money too, and has to name the authors at
most. A licence that is not known is not open."""


class Offer(Struct, frozen=True, kw_only=True, array_like=True):
    """A network by the name that a suite takes, and the published weights that it can start from."""

    name: str
    weights: str | None = None
    """Value of `recipe.weights`; `None` if the library has no weights of the network."""
    image_size: int | None = None
    """Input of the published weights, or else of the network as its library builds it, in pixels."""
    licence: str | None = None
    """Licence of the weights; `None` if the library does not say."""
    imagenet_top1: float | None = None
    """Accuracy of the weights on ImageNet's validation images as the library states it, as a fraction."""
    num_parameters: int | None = None
    """With the head of 1,000 classes."""
    forward_macs: float | None = None
    """Multiply-accumulate operations of a forward pass for one image of `image_size`."""

    @property
    def is_open(self) -> bool:
        """Return whether the licence of the weights is known and open."""
        return self.licence is not None and self.licence.lower() in OPEN_LICENCES


class Figures(Struct, frozen=True, kw_only=True, array_like=True):
    """What was counted of a network; `None` where that fails."""

    num_parameters: int | None = None
    forward_macs: float | None = None


class Catalogue(Struct, frozen=True, kw_only=True):
    """The networks of one version of a library."""

    version: str
    networks: tuple[Offer, ...]
    """Each network once, with its default weights."""
    pretrained: tuple[Offer, ...]
    """Each file of weights once."""

    def __iter__(self) -> Iterator[Offer]:
        yield from self.networks
        yield from self.pretrained


def installed_version(library: str) -> str:
    """Return the version of an installed library, without the build that follows a `+`."""
    return metadata.version(library).partition("+")[0]


def shipped(library: str) -> Catalogue:
    """Return the catalogue of a library that comes with intelbench, with all figures that can be counted."""
    file = files("intelbench.architectures") / "catalogues" / f"{library}.json"
    return msgspec.json.decode(file.read_bytes(), type=Catalogue)


def measured_as(offer: Offer) -> str:
    """Return a key that is equal for offers with equal parameters and operations: the network and its image size."""
    return f"{offer.name.partition('.')[0]} {offer.image_size}"


def figures_of(offers: Iterable[Offer]) -> dict[str, Figures]:
    """Return the figures in a catalogue by `measured_as`."""
    return {
        measured_as(offer): Figures(num_parameters=offer.num_parameters, forward_macs=offer.forward_macs)
        for offer in offers
    }


def filled(offer: Offer, figures: Figures) -> Offer:
    """Return the offer with figures that its library does not state."""
    return replace(
        offer,
        num_parameters=figures.num_parameters if offer.num_parameters is None else offer.num_parameters,
        forward_macs=figures.forward_macs if offer.forward_macs is None else offer.forward_macs,
    )
