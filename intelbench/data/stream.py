"""Load batches that are equal for every architecture, device and number of workers, and after a run was resumed.

The batch of step n is a pure function of (seed, n, images, recipe). The only state is the chained digest of the batches
that were consumed.
"""

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, islice
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from intelbench.config.conditions import Conditions
from intelbench.data.augment import Parameters, Random, apply, draw, make_transforms
from intelbench.data.dataset import Split
from intelbench.data.decoding import Pixels
from intelbench.data.mixing import Mix, draw_mix, mix_images, mix_labels
from intelbench.data.pixels import PixelSource
from intelbench.data.sampling import balanced, shuffled
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
    """Classes (N, int64), or the share of each class in mixed images (N x classes, float32)."""
    content: bytes
    """Image ids and augmentation parameters, as bytes for the digest."""
    kind: InputKind = "images"
    """Kind of `inputs`."""
    cached_seconds: float = 0.0
    """Seconds that the batch saved by using results of an earlier run."""


class Sample(NamedTuple):
    """A training image in an epoch."""

    position: int
    """Position of the image in the split."""
    view: int
    """Number of the view of the image, counted from 0."""
    repetition: int = 0
    """How often the epoch has the image before; 0 unless classes are balanced."""


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
        augment_seed: Seed of crops, flips, transforms and mixes; `None` for `seed`.
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
        self.split = split
        """The training images."""
        self._pin_memory = pin_memory
        self._pixels = pixels
        self._recipe = conditions.recipe
        self._size = conditions.image_size
        self._order_key = stream_key(seed, "order")
        self._augment_key = stream_key(seed if augment_seed is None else augment_seed, "augment")
        self._order = lru_cache(maxsize=2)(self._order_of_epoch)
        self._transforms = make_transforms(conditions.recipe)
        self._own = range(conditions.recipe.batch_size)
        self.steps_per_epoch = len(split) // conditions.recipe.batch_size

    def only(self, own: range) -> "TrainingStream":
        """Return the stream with these images of each batch only, for one of several processes.

        The content of a batch is that of all images if the first one is in it, and nothing if it is not: the process
        with the first image computes the digest.
        """
        stream = copy(self)
        stream._own = own
        return stream

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
        transforms = f" {recipe.transforms} {sorted(recipe.transform_arguments.items())}" if recipe.transforms else ""
        return f"{self._augment_key.hex()} {recipe.crop_scale} {recipe.crop_ratio} {recipe.flip}{transforms}"

    def samples(self, step: int) -> list[Sample]:
        """Return the images of a step, counted from 0.

        An image that an epoch repeats has another view each time: one of its own if each epoch has new views, else the
        view of a later epoch.
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        size, num_views = self._recipe.batch_size, self.num_views
        samples = []
        for place in self._order(epoch)[index * size : (index + 1) * size]:
            repetition, position = divmod(place, len(self.split))
            view = epoch if num_views is None else (epoch + repetition) % num_views
            samples.append(Sample(position, view, repetition))
        return samples

    def own(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Return the images of a batch that the batches of this stream have."""
        return samples[self._own.start : self._own.stop]

    def digested(self, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Return the images of a batch whose contents the batches of this stream have."""
        return samples if self._own.start == 0 else ()

    def labels(self, samples: Sequence[Sample]) -> Tensor:
        """Return the classes of the images (N, int64)."""
        return torch.tensor([self.split.labels[each.position] for each in samples], pin_memory=self._pin_memory)

    def views(self, samples: Sequence[Sample]) -> tuple[Tensor, list[bytes]]:
        """Return the views of images (N x size x size x 3, uint8), and the bytes of each image for the digest."""
        shape = (len(samples), self._size, self._size, 3)
        images = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pin_memory)
        contents = []
        for slot, sample in enumerate(samples):
            pixels = self._pixels.read(self.split.rows[sample.position])
            crop = self._crop(sample, pixels)
            if crop:
                training_view(pixels, crop, images[slot])
            else:
                evaluation_view(pixels, images[slot])
            parameters = self._parameters(sample)
            for (name, transform), of_transform in zip(self._transforms.items(), parameters, strict=True):
                if of_transform:  # it gets and returns the channels first
                    changed = apply(name, transform, images[slot].permute(2, 0, 1), of_transform)
                    images[slot].copy_(changed.permute(1, 2, 0))
            contents.append(self._content(sample, crop, parameters))
        self._pixels.release()
        return images, contents

    def content(self, sample: Sample) -> bytes:
        """Return the bytes of a view for the digest, without creating the view."""
        if self._recipe.augmentation == "none":
            return self._content(sample, None, [])
        crop = self._crop(sample, self._pixels.read(self.split.rows[sample.position]))
        return self._content(sample, crop, self._parameters(sample))

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        samples = self.samples(step)
        own, digested = self.own(samples), self.digested(samples)
        # An image is mixed with the one before it, which another process may train.
        before = [samples[self._own.start - 1]] if self._recipe.mixes and len(own) < len(samples) else []
        images, contents = self.views([*before, *own])
        if digested:
            contents = [*contents[len(before) :], *map(self.content, digested[len(own) :])]
        batch = Batch(images, self.labels([*before, *own]), b"".join(contents) if digested else b"")
        if self._recipe.mixes:
            batch = self._mixed(batch, [*before, *own], digested, step)
        return replace(batch, inputs=batch.inputs[1:], labels=batch.labels[1:]) if before else batch

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Yield batches without end from `first_step` on, loaded ahead by `workers` threads (0: on demand)."""
        return prepared_ahead(self.batch, count(first_step), workers)

    def _mixed(self, batch: Batch, samples: Sequence[Sample], digested: Sequence[Sample], step: int) -> Batch:
        """Return the batch with each image mixed with the one before it, in the memory of the batch."""
        epoch = step // self.steps_per_epoch

        def mix(sample: Sample) -> Mix:
            key = b"%b/%d/mix/%b" % (self._augment_key, epoch, self._name(sample).encode())
            return draw_mix(Random(key), self._recipe, self._size)

        mixes = {sample: mix(sample) for sample in {*samples, *digested}}
        of_images = [mixes[sample] for sample in samples]
        mix_images(batch.inputs, of_images)
        labels = mix_labels(batch.labels, of_images, max(self.split.labels) + 1)
        content = batch.content + b"".join(mixes[sample].content() for sample in digested)
        return replace(batch, labels=labels.pin_memory() if self._pin_memory else labels, content=content)

    def _crop(self, sample: Sample, pixels: Pixels) -> Crop | None:
        """Return the crop of an image in a view; `None` for the view of evaluation."""
        if self._recipe.augmentation == "none":
            return None
        uniform = draws(self._augment_key, sample.view, self._name_of_view(sample))
        return random_resized_crop(uniform, pixels.shape[0], pixels.shape[1], self._recipe)

    def _parameters(self, sample: Sample) -> list[Parameters]:
        """Return the parameters of each transform of an image in a view."""
        name_of_view = self._name_of_view(sample).encode()
        return [
            draw(
                name,
                transform,
                Random(b"%b/%d/%b/%b" % (self._augment_key, sample.view, name.encode(), name_of_view)),
                self._size,
            )
            for name, transform in self._transforms.items()
        ]

    def _name(self, sample: Sample) -> str:
        """Return the id of an image, with the number of its repetition in the epoch."""
        image_id = self.split.ids[sample.position]
        return f"{image_id}\0{sample.repetition}" if sample.repetition else image_id

    def _name_of_view(self, sample: Sample) -> str:
        """Return what determines a view of an image together with the number of the view."""
        return self._name(sample) if self.num_views is None else self.split.ids[sample.position]

    def _content(self, sample: Sample, crop: Crop | None, parameters: Sequence[Parameters]) -> bytes:
        """Return the bytes of a view for the digest: id, crop, and the parameters of transforms if there are any."""
        crop = crop or _WHOLE
        box = _CROP.pack(crop.top, crop.left, crop.height, crop.width, crop.flip)
        transforms = repr(parameters).encode() if self._transforms else b""
        return self.split.ids[sample.position].encode() + b"\0" + box + transforms

    def _order_of_epoch(self, epoch: int) -> list[int]:
        """Return the places of an epoch: positions in the split, plus the split's size for each repetition."""
        if self._recipe.sampling == "balanced":
            return balanced(self._order_key, epoch, self.split.ids, self.split.labels)
        return shuffled(self._order_key, epoch, self.split.ids)


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
