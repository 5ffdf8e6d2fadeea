"""A plug-in file with a transform of training images."""

from torch import Tensor

import intelbench


@intelbench.transform("invert")
class Invert:
    """Invert the colours of a share of the images."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def parameters(self, random, size: int) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
        """Draw whether an image is inverted."""
        return ("invert",) if random.uniform() < self.p else ()

    def __call__(self, image: Tensor, _: str) -> Tensor:
        """Return the inverted image."""
        return 255 - image
