"""What a library offers: its networks and their published weights, as rows that can be searched without the library."""

from msgspec import Struct

OPEN_LICENCES = frozenset(
    {"apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc0-1.0", "isc", "mit", "unlicense"}
)
"""Licences under which everyone may use, change and pass on the weights, for money too, and has to name the authors at
most. A licence that is not known is not open."""


class Offer(Struct, frozen=True, kw_only=True):
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


class Catalogue(Struct, frozen=True, kw_only=True):
    """The networks of one version of a library."""

    networks: tuple[Offer, ...]
    """Each network once, with its default weights."""
    pretrained: tuple[Offer, ...]
    """Each file of weights once."""


def measured_as(offer: Offer) -> str:
    """Return a key that is equal for offers with equal parameters and operations: the network and its image size."""
    return f"{offer.name.partition('.')[0]} {offer.image_size}"
