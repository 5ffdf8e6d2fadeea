"""Load batches that are equal for every architecture, device and number of workers, and after a run was resumed.

The batch of step n is a pure function of (seed, n, images, recipe). The only state is the chained digest of the batches
that were consumed.
"""

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor

from intelbench.config.conditions import Conditions
from intelbench.data.dataset import Split
from intelbench.data.decoding import Pixels
from intelbench.data.pixels import PixelSource
from intelbench.data.seeds import stream_key
from intelbench.data.transforms import Crop, draws, evaluation_view, random_resized_crop, training_view

_CROP = struct.Struct("<4i?")
_WHOLE = Crop(0, 0, 0, 0, flip=False)
"""The crop that the digest has for an image as evaluation sees it."""
Prepared = TypeVar("Prepared")
EVALUATION = "evaluation"
"""Name of the view of an image in evaluation."""
InputKind = Literal["images", "features"]
"""Inputs of a batch: uint8 images (N x size x size x 3), or float features of a frozen backbone (N x features)."""


@dataclass(frozen=True)
class Batch:
    """One training batch."""

    inputs: Tensor
    labels: Tensor
    """N, int64."""
    content: bytes
    """Image ids and augmentation parameters, as bytes for the digest."""
    kind: InputKind = "images"
    """Kind of `inputs`."""
    cached_seconds: float = 0.0
    """Seconds that the batch saved by using results of an earlier run."""


class BatchSource(Protocol):
    """The training batches of a run."""

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches of an epoch."""
        ...

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Yield batches from `first_step` on, without end."""
        ...


class StreamDigest:
    """A chained digest of the batches that were consumed: equal digests mean equal batches in equal order."""

    def __init__(self) -> None:
        self._chain = b""
        self.kept: dict[int, str] = {}
        """The hexadecimal digest after steps at which it was kept, by step."""

    def update(self, batch: Batch) -> None:
        """Add a batch to the digest."""
        self._chain = hashlib.blake2b(self._chain + batch.content, digest_size=16).digest()

    def hexdigest(self) -> str:
        """Return the hexadecimal digest of all batches so far."""
        return self._chain.hex()

    def keep(self, step: int) -> None:
        """Keep the digest after this step."""
        self.kept[step] = self.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"chain": self.hexdigest(), "kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore the state from a checkpoint."""
        self._chain, self.kept = bytes.fromhex(state_dict["chain"]), dict(state_dict["kept"])


class TrainingStream:
    """Shuffled, augmented training batches; the last partial batch of an epoch is dropped.

    Args:
        split: The training images.
        pixels: Their pixels.
        conditions: Recipe and size of the images.
        seed: Seed of the order of the images.
        augment_seed: Seed of crops and flips; `None` for `seed`.
        pin_memory: Whether batches are in page-locked memory, so that copies to a CUDA device are asynchronous.
    """

    def __init__(
        self,
        split: Split,
        pixels: PixelSource,
        conditions: Conditions,
        seed: int,
        *,
        augment_seed: int | None = None,
        pin_memory: bool = False,
    ) -> None:
        self._split = split
        self._pin_memory = pin_memory
        self._pixels = pixels
        self._recipe = conditions.recipe
        self._size = conditions.image_size
        self._order_key = stream_key(seed, "order")
        self._augment_key = stream_key(seed if augment_seed is None else augment_seed, "augment")
        self._order = lru_cache(maxsize=2)(self._order_of_epoch)
        self.steps_per_epoch = len(split) // conditions.recipe.batch_size

    @property
    def split(self) -> Split:
        """Return the training images."""
        return self._split

    @property
    def num_views(self) -> int | None:
        """Return the number of views of an image; `None` if each epoch has a new view."""
        augmentation = self._recipe.augmentation
        return {"fresh": None, "none": 1}[augmentation] if isinstance(augmentation, str) else augmentation

    @property
    def view_name(self) -> str:
        """Return what determines the pixels of a view together with its number: the seed and the kind of crop."""
        recipe = self._recipe
        if recipe.augmentation == "none":
            return EVALUATION
        return f"{self._augment_key.hex()} {recipe.crop_scale} {recipe.crop_ratio} {recipe.flip}"

    def positions(self, step: int) -> tuple[int, list[int]]:
        """Return the number of a step's view, counted from 0, and the positions of the step's images in the split."""
        epoch, index = divmod(step, self.steps_per_epoch)
        size = self._recipe.batch_size
        view = epoch if self.num_views is None else epoch % self.num_views
        return view, self._order(epoch)[index * size : (index + 1) * size]

    def labels(self, positions: Sequence[int]) -> Tensor:
        """Return the labels of the images at these positions."""
        return torch.tensor([self._split.labels[position] for position in positions], pin_memory=self._pin_memory)

    def views(self, view: int, positions: Sequence[int]) -> tuple[Tensor, list[bytes]]:
        """Return a view of images (N x size x size x 3, uint8), and the bytes of each image for the digest."""
        shape = (len(positions), self._size, self._size, 3)
        images = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pin_memory)
        contents = []
        for slot, position in enumerate(positions):
            image_id = self._split.ids[position]
            pixels = self._pixels.read(self._split.rows[position])
            crop = self._crop(view, image_id, pixels)
            if crop:
                training_view(pixels, crop, images[slot])
            else:
                evaluation_view(pixels, images[slot])
            contents.append(_content(image_id, crop))
        self._pixels.release()
        return images, contents

    def content(self, view: int, position: int) -> bytes:
        """Return the bytes of a view for the digest, without creating the view."""
        image_id = self._split.ids[position]
        if self._recipe.augmentation == "none":
            return _content(image_id, None)
        return _content(image_id, self._crop(view, image_id, self._pixels.read(self._split.rows[position])))

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        view, positions = self.positions(step)
        images, contents = self.views(view, positions)
        return Batch(images, self.labels(positions), b"".join(contents))

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Yield batches without end from `first_step` on, loaded ahead by `workers` threads (0: on demand)."""
        return prepared_ahead(self.batch, count(first_step), workers)

    def _crop(self, view: int, image_id: str, pixels: Pixels) -> Crop | None:
        """Return the crop of an image in a view; `None` for the view of evaluation."""
        if self._recipe.augmentation == "none":
            return None
        return random_resized_crop(
            draws(self._augment_key, view, image_id), pixels.shape[0], pixels.shape[1], self._recipe
        )

    def _order_of_epoch(self, epoch: int) -> list[int]:
        """Return all positions sorted by the hash of (order, epoch, id), a shuffle that needs no generator."""
        prefix = b"%b/%d/" % (self._order_key, epoch)
        hashes = [hashlib.blake2b(prefix + image_id.encode(), digest_size=16).digest() for image_id in self._split.ids]
        return sorted(range(len(hashes)), key=hashes.__getitem__)


def _content(image_id: str, crop: Crop | None) -> bytes:
    crop = crop or _WHOLE
    return image_id.encode() + b"\0" + _CROP.pack(crop.top, crop.left, crop.height, crop.width, crop.flip)


def evaluation_batches(
    split: Split, pixels: PixelSource, size: int, batch_size: int, *, workers: int = 0, pin_memory: bool = False
) -> Generator[tuple[Tensor, Tensor]]:
    """Yield batches of all images in the order of the split: uint8 images (N x size x size x 3) and labels (N).

    `workers` threads load batches ahead. With `pin_memory` the images are in page-locked memory, so that copies to a
    CUDA device are asynchronous.
    """

    def batch(start: int) -> tuple[Tensor, Tensor]:
        rows = split.rows[start : start + batch_size]
        images = torch.empty((len(rows), size, size, 3), dtype=torch.uint8, pin_memory=pin_memory)
        for slot, row in enumerate(rows):
            evaluation_view(pixels.read(row), images[slot])
        pixels.release()
        return images, torch.tensor(split.labels[start : start + batch_size])

    return prepared_ahead(batch, range(0, len(split), batch_size), workers)


def prepared_ahead(prepare: Callable[[int], Prepared], numbers: Iterable[int], workers: int) -> Generator[Prepared]:
    """Yield `prepare(number)` for each number, in order, computed ahead by `workers` threads (0: on demand)."""
    waiting = iter(numbers)
    if workers == 0:
        yield from map(prepare, waiting)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        pending = deque(pool.submit(prepare, number) for number in islice(waiting, 2 * workers))
        while pending:
            prepared = pending.popleft().result()
            pending.extend(pool.submit(prepare, number) for number in islice(waiting, 1))
            yield prepared
    finally:
        pool.shutdown(cancel_futures=True)
