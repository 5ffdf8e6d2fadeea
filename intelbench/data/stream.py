"""The batches: the same for every architecture, device, number of workers and after every resumption.

The batch of step n is a pure function of (seed, n, images, recipe). Nothing is remembered from batch to batch but the
chained digest that proves what was consumed.
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
"""Stands in the digest for an image as evaluation sees it."""
Prepared = TypeVar("Prepared")
EVALUATION = "evaluation"
"""Name of that view."""
InputKind = Literal["images", "features"]
"""Of a batch: uint8 images (N x size x size x 3), or what a frozen backbone makes of them (N x features)."""


@dataclass(frozen=True)
class Batch:
    """One training batch."""

    inputs: Tensor
    labels: Tensor
    """N, int64."""
    content: bytes
    """Sample ids and augmentation parameters, as the digest takes them in."""
    kind: InputKind = "images"
    """Of the inputs."""
    spared_seconds: float = 0.0
    """What the batch would have taken longer, had an earlier run not left something for it."""


class BatchSource(Protocol):
    """Where a run gets its training batches from."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        ...

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Batches without end from `first_step` on."""
        ...


class StreamDigest:
    """A chain over everything consumed so far: equal chains saw equal batches in equal order."""

    def __init__(self) -> None:
        self._chain = b""
        self.kept: dict[int, str] = {}
        """The chain as it stood after some of the steps, hexadecimal."""

    def update(self, batch: Batch) -> None:
        """Take in the next batch."""
        self._chain = hashlib.blake2b(self._chain + batch.content, digest_size=16).digest()

    def hexdigest(self) -> str:
        """The chain as it stands."""
        return self._chain.hex()

    def keep(self, step: int) -> None:
        """Note the chain as it stands after this step."""
        self.kept[step] = self.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"chain": self.hexdigest(), "kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Go on from a checkpoint."""
        self._chain, self.kept = bytes.fromhex(state_dict["chain"]), dict(state_dict["kept"])


class TrainingStream:
    """Shuffled, augmented training batches; the last partial batch of an epoch is dropped.

    With `pin_memory` they are in page-locked memory, from which a copy to a CUDA device runs in the background.
    """

    def __init__(
        self, split: Split, pixels: PixelSource, conditions: Conditions, seed: int, *, pin_memory: bool = False
    ) -> None:
        self._split = split
        self._pin_memory = pin_memory
        self._pixels = pixels
        self._recipe = conditions.recipe
        self._size = conditions.image_size
        self._order_key = stream_key(seed, "order")
        self._augment_key = stream_key(seed, "augment")
        self._order = lru_cache(maxsize=2)(self._order_of_epoch)
        self.steps_per_epoch = len(split) // conditions.recipe.batch_size

    @property
    def split(self) -> Split:
        """The images."""
        return self._split

    @property
    def num_views(self) -> int | None:
        """How many views of an image there are; `None` where each epoch has its own."""
        augmentation = self._recipe.augmentation
        return {"fresh": None, "none": 1}[augmentation] if isinstance(augmentation, str) else augmentation

    @property
    def view_name(self) -> str:
        """What decides the views, beside image and number of the view: seed and kind of crop."""
        recipe = self._recipe
        if recipe.augmentation == "none":
            return EVALUATION
        return f"{self._augment_key.hex()} {recipe.crop_scale} {recipe.crop_ratio} {recipe.flip}"

    def positions(self, step: int) -> tuple[int, list[int]]:
        """The view of that step, counted from 0, and the places of its images in the split."""
        epoch, index = divmod(step, self.steps_per_epoch)
        size = self._recipe.batch_size
        view = epoch if self.num_views is None else epoch % self.num_views
        return view, self._order(epoch)[index * size : (index + 1) * size]

    def labels(self, positions: Sequence[int]) -> Tensor:
        """Labels of the images at these places."""
        return torch.tensor([self._split.labels[position] for position in positions], pin_memory=self._pin_memory)

    def views(self, view: int, positions: Sequence[int]) -> tuple[Tensor, list[bytes]]:
        """That view of these images (N x size x size x 3, uint8), and of each what the digest takes in of it."""
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
        """What the digest takes in of a view, without making it."""
        image_id = self._split.ids[position]
        if self._recipe.augmentation == "none":
            return _content(image_id, None)
        return _content(image_id, self._crop(view, image_id, self._pixels.read(self._split.rows[position])))

    def batch(self, step: int) -> Batch:
        """The batch of that step, counted from 0."""
        view, positions = self.positions(step)
        images, contents = self.views(view, positions)
        return Batch(images, self.labels(positions), b"".join(contents))

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Batches without end from `first_step` on, prepared ahead by that many threads (0: none, when asked for)."""
        return prepared_ahead(self.batch, count(first_step), workers)

    def _crop(self, view: int, image_id: str, pixels: Pixels) -> Crop | None:
        """`None` where the image is shown as evaluation sees it."""
        if self._recipe.augmentation == "none":
            return None
        return random_resized_crop(
            draws(self._augment_key, view, image_id), pixels.shape[0], pixels.shape[1], self._recipe
        )

    def _order_of_epoch(self, epoch: int) -> list[int]:
        """Positions sorted by the hash of (order, epoch, id): a shuffle that no generator's version can change."""
        prefix = b"%b/%d/" % (self._order_key, epoch)
        hashes = [hashlib.blake2b(prefix + each.encode(), digest_size=16).digest() for each in self._split.ids]
        return sorted(range(len(hashes)), key=hashes.__getitem__)


def _content(image_id: str, crop: Crop | None) -> bytes:
    crop = crop or _WHOLE
    return image_id.encode() + b"\0" + _CROP.pack(crop.top, crop.left, crop.height, crop.width, crop.flip)


def evaluation_batches(
    split: Split, pixels: PixelSource, size: int, batch_size: int, *, workers: int = 0, pin_memory: bool = False
) -> Generator[tuple[Tensor, Tensor]]:
    """Every image once, in the order of the split: uint8 images (N x size x size x 3) and labels (N).

    They are prepared ahead by that many threads. With `pin_memory` the images are in page-locked memory, from which a
    copy to a CUDA device runs in the background.
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
    """What is made of each number, in their order, ahead of time by that many threads (0: none, when asked for)."""
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
