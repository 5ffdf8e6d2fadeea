"""Train a head on features: the outputs of a frozen backbone, which are computed once and used in every epoch.

This gives the same training because a frozen backbone is a fixed function of an image (`freeze_backbone`). The batches
have the same images, views, order and digest as those of a stream of images.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from intelbench.data.dataset import Split
from intelbench.data.features import Features, FeatureStore
from intelbench.data.stream import EVALUATION, Batch, Sample, TrainingStream, prepared_ahead
from intelbench.profiling.device import device_of
from intelbench.records.profiles import FeatureExtraction
from intelbench.training.backbone import Backbone
from intelbench.training.evaluate import Evaluator, evaluation_mode
from intelbench.training.precision import autocast
from intelbench.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class FeatureBank:
    """Features of the images of a run while the backbone is frozen."""

    evaluator: Evaluator
    head: str
    """Name of the only head, whose inputs are the features."""
    store: FeatureStore
    identity: object
    """Everything that determines the features of an image, except for the weights of the backbone and the view."""
    on_extraction: Callable[[], object]
    """Called before features are computed, which may take minutes."""
    _features: dict[object, Features] = field(default_factory=dict)
    """Features that this process has read or computed, by split or view."""

    def logits(self, split: Split) -> Tensor:
        """Return the logits of every image with the present head, in the order of the split: images x classes."""
        conditions, device = self.evaluator.conditions, self.evaluator.device
        head = self.evaluator.model.get_submodule(self.head)
        parts = self.of_split(split).values.split(conditions.recipe.evaluation_batch_size)
        with torch.no_grad(), evaluation_mode(head, device), autocast(conditions, device)():
            return torch.cat([head(part.to(device)).float().cpu() for part in parts])

    def of_split(self, split: Split) -> Features:
        """Return the features of the images in their evaluation view, which may be a part of those of another split."""
        for key, features in self._features.items():
            if isinstance(key, Split) and set(split.ids) <= set(key.ids):
                row_of = {image_id: row for row, image_id in enumerate(key.ids)}
                values = features.values[[row_of[image_id] for image_id in split.ids]]
                return features._replace(values=values, stored=False)
        images = (batch for batch, _ in self.evaluator.batches(split))
        return self._load(split, (EVALUATION, split.ids), images)

    def of_stream(self, stream: TrainingStream) -> list[Features]:
        """Return the features of all images of a stream, by view."""
        if stream.view_name == EVALUATION:
            return [self.of_split(stream.split)]
        return [self._of_view(stream, view) for view in range(stream.num_views or 0)]

    def _of_view(self, stream: TrainingStream, view: int) -> Features:
        size, num_images = self.evaluator.conditions.recipe.batch_size, len(stream.split)

        def batch(start: int) -> Tensor:
            positions = range(start, min(start + size, num_images))
            return stream.views([Sample(position, view) for position in positions])[0]

        images = prepared_ahead(batch, range(0, num_images, size), self.evaluator.workers)
        return self._load((stream.view_name, view), (stream.view_name, view, stream.split.ids), images)

    def _load(self, key: object, view: object, images: Iterable[Tensor]) -> Features:
        """Return the features of the images from this process or from the store, or compute them."""
        if key in self._features:
            return self._features[key]._replace(stored=False)
        identity = (self.identity, self._backbone_digest, view)
        self._features[key] = self.store.get(identity, lambda: self._extract(images))
        return self._features[key]

    @property
    def extraction(self) -> FeatureExtraction:
        """Return how many features there are, and the time that computing them took."""
        features = self._features.values()
        return FeatureExtraction(
            num_images=sum(len(each.values) for each in features),
            num_stored_images=sum(len(each.values) for each in features if each.stored),
            seconds=sum(each.seconds for each in features),
        )

    @torch.no_grad()
    def _extract(self, images: Iterable[Tensor]) -> Tensor:
        """Return the input of the head for every image."""
        self.on_extraction()
        model, conditions, device = self.evaluator.model, self.evaluator.conditions, self.evaluator.device
        parts: list[Tensor] = []
        hook = model.get_submodule(self.head).register_forward_pre_hook(lambda _, inputs: parts.append(inputs[0].cpu()))
        try:
            with evaluation_mode(model, device), autocast(conditions, device)():
                for batch in images:
                    model(self.evaluator.inputs(batch))
        finally:
            hook.remove()
        return torch.cat(parts)

    @cached_property
    def _backbone_digest(self) -> str:
        """Return a digest of every weight and running average outside the head."""
        digest = hashlib.blake2b(digest_size=16)
        for name, value in self.evaluator.model.state_dict().items():
            if not name.startswith(f"{self.head}."):
                digest.update(name.encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


class FeatureStream:
    """The batches of a stream, with features instead of images as long as the backbone is frozen.

    Features are computed for the first batch, so the clock of the run counts that time. If an earlier run has stored
    them, the first batch has the seconds that computing them took, which the clock adds.
    """

    def __init__(self, stream: TrainingStream, bank: FeatureBank, backbone: Backbone, ranks: Ranks = ALONE) -> None:
        self._stream = stream
        self.bank = bank
        self._backbone = backbone
        self._ranks = ranks

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches of an epoch."""
        return self._stream.steps_per_epoch

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Yield batches from `first_step` on without end; `workers` threads load the images."""
        step = first_step
        if self._backbone.frozen:
            with self._ranks.leader_first():
                features = self.bank.of_stream(self._stream)
            cached_seconds = sum(view.seconds for view in features if view.stored)
            pins = device_of(self.bank.evaluator.device).pins_memory
            contents: dict[tuple[int, int], bytes] = {}  # by position and view
            while self._backbone.frozen:
                samples = self._stream.samples(step)
                own, digested = self._stream.own(samples), self._stream.digested(samples)
                for sample in digested:
                    if sample[:2] not in contents:
                        contents[sample[:2]] = self._stream.content(sample)
                values = _values(features, own)
                yield Batch(
                    inputs=values.pin_memory() if pins else values,
                    labels=self._stream.labels(own),
                    content=b"".join(contents[sample[:2]] for sample in digested),
                    kind="features",
                    cached_seconds=0.0 if step else cached_seconds,
                )
                step += 1
        yield from self._stream.batches(workers, step)


def _values(features: list[Features], samples: Sequence[Sample]) -> Tensor:
    """Return the features of the images of a batch (N x features), of which each may be in another view."""
    if len({sample.view for sample in samples}) == 1:
        return features[samples[0].view].values[[sample.position for sample in samples]]
    return torch.stack([features[sample.view].values[sample.position] for sample in samples])


def feature_bank(
    evaluator: Evaluator,
    backbone: Backbone,
    store: FeatureStore,
    identity: object,
    on_extraction: Callable[[], object] = lambda: None,
) -> FeatureBank | None:
    """Return the feature bank of a network whose output is that of its only head; `None` for any other network.

    The input of the head must be a vector for each image.
    """
    if len(backbone.heads) != 1:
        return None
    calls: list[tuple[Tensor, Tensor]] = []
    model, size = evaluator.model, evaluator.conditions.image_size
    hook = model.get_submodule(backbone.heads[0]).register_forward_hook(
        lambda _, inputs, output: calls.append((inputs[0], output))
    )
    blank = evaluator.inputs(torch.zeros(2, size, size, 3, dtype=torch.uint8))
    try:
        cast = autocast(evaluator.conditions, evaluator.device)
        with torch.no_grad(), evaluation_mode(model, evaluator.device), cast():
            output = model(blank)
    finally:
        hook.remove()
    if len(calls) != 1 or calls[0][1] is not output or calls[0][0].ndim != 2:
        return None
    return FeatureBank(evaluator, backbone.heads[0], store, identity, on_extraction)
