"""Training a head on features: what a frozen backbone makes of an image is computed once, and every epoch runs on that.

Holds because a frozen backbone is a fixed function of an image (`freeze_backbone`). The batches are those of the stream
without features: the same images in the same views, in the same order, with the same digest.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from intelbench.config.conditions import Conditions
from intelbench.data.dataset import Split
from intelbench.data.features import Features, FeatureStore
from intelbench.data.stream import EVALUATION, Batch, TrainingStream, prepared_ahead
from intelbench.profiling.device import device_of
from intelbench.training.backbone import Backbone
from intelbench.training.evaluate import Evaluator, evaluation_mode
from intelbench.training.precision import autocast


@dataclass(frozen=True)
class FeatureBank:
    """Features of one network's backbone, as long as it is frozen."""

    evaluator: Evaluator
    head: str
    """The only head: what goes into it are the features."""
    store: FeatureStore
    identity: object
    """All that decides the features of an image, beside the backbone's weights and the view."""
    extracting: Callable[[], object]
    """Called when features have to be computed, which may take a while."""
    _views: dict[object, Features] = field(default_factory=dict)
    """What this process has read or computed already."""

    @property
    def pins_memory(self) -> bool:
        """Whether features are copied to the device from page-locked memory, in the background."""
        return device_of(self.evaluator.device).pins_memory

    def prepare(self, split: Split) -> None:
        """Have the features of the split at hand."""
        self.of_split(split)

    def logits(self, split: Split) -> Tensor:
        """Logits of every image of the split, as the head is now: images x classes."""
        head, cast = self.evaluator.model.get_submodule(self.head), autocast(self._conditions, self.evaluator.device)
        values = self.of_split(split).values
        with torch.no_grad(), evaluation_mode(head, self.evaluator.device), cast():
            parts = values.split(self._conditions.recipe.batch_size)
            return torch.cat([head(part.to(self.evaluator.device)).float().cpu() for part in parts])

    def of_split(self, split: Split) -> Features:
        """Features of the images as evaluation sees them; of a part of a split that is known, from there."""
        for key, known in self._views.items():
            if isinstance(key, Split) and set(split.ids) <= set(key.ids):
                places = {image_id: place for place, image_id in enumerate(key.ids)}
                return known._replace(values=known.values[[places[image_id] for image_id in split.ids]], stored=False)
        images = (batch for batch, _ in self.evaluator.batches(split))
        return self._remember(split, (EVALUATION, split.ids), images)

    def of_stream(self, stream: TrainingStream) -> list[Features]:
        """Features of all images of a stream by view: in one list a view of the whole split after the other."""
        if stream.view_name == EVALUATION:
            return [self.of_split(stream.split)]
        return [self._of_view(stream, view) for view in range(stream.num_views or 0)]

    def _of_view(self, stream: TrainingStream, view: int) -> Features:
        size, num_images = self._conditions.recipe.batch_size, len(stream.split)

        def batch(start: int) -> Tensor:
            return stream.views(view, range(start, min(start + size, num_images)))[0]

        images = prepared_ahead(batch, range(0, num_images, size), self.evaluator.workers)
        return self._remember((stream.view_name, view), (stream.view_name, view, stream.split.ids), images)

    def _remember(self, key: object, view: object, images: Iterable[Tensor]) -> Features:
        if key in self._views:
            return self._views[key]._replace(stored=False)
        identity = (self.identity, self._backbone_digest, view)
        found = self.store.get(identity, lambda: self._extract(images))
        self._views[key] = found
        return found

    @torch.no_grad()
    def _extract(self, images: Iterable[Tensor]) -> Tensor:
        """What goes into the head for every image."""
        self.extracting()
        model, cast = self.evaluator.model, autocast(self._conditions, self.evaluator.device)
        found: list[Tensor] = []
        hook = model.get_submodule(self.head).register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].cpu()))
        try:
            with evaluation_mode(model, self.evaluator.device):
                for batch in images:
                    shown = self.evaluator.inputs(batch)
                    with cast():
                        model(shown)
        finally:
            hook.remove()
        return torch.cat(found)

    @cached_property
    def _backbone_digest(self) -> str:
        """Of every weight and running average outside the head."""
        found = hashlib.blake2b(digest_size=16)
        for name, value in self.evaluator.model.state_dict().items():
            if not name.startswith(f"{self.head}."):
                found.update(name.encode())
                found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return found.hexdigest()

    @property
    def _conditions(self) -> Conditions:
        return self.evaluator.conditions


class FeatureStream:
    """The batches of a stream, with features in place of images at the steps at which the backbone is frozen.

    They are computed when the first such batch is asked for, so that the clock of the run counts it. Where an earlier
    run has left them, the first batch of the run says what that has spared, so that the clock counts it all the same.
    """

    def __init__(self, stream: TrainingStream, bank: FeatureBank, backbone: Backbone) -> None:
        self._stream = stream
        self._bank = bank
        self._backbone = backbone

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch."""
        return self._stream.steps_per_epoch

    def batches(self, workers: int, first_step: int = 0) -> Generator[Batch]:
        """Batches without end from `first_step` on; images are prepared ahead by that many threads."""
        step = first_step
        if self._backbone.frozen_at(step):
            features = self._bank.of_stream(self._stream)
            spared = sum(each.seconds for each in features if each.stored)
            contents: dict[tuple[int, int], bytes] = {}
            while self._backbone.frozen_at(step):
                view, positions = self._stream.positions(step)
                for position in positions:
                    if (view, position) not in contents:
                        contents[view, position] = self._stream.content(view, position)
                values = features[view].values[positions]
                yield Batch(
                    inputs=values.pin_memory() if self._bank.pins_memory else values,
                    labels=self._stream.labels(positions),
                    content=b"".join(contents[view, position] for position in positions),
                    kind="features",
                    cached_seconds=0.0 if step else spared,
                )
                step += 1
        yield from self._stream.batches(workers, step)


def feature_bank(
    evaluator: Evaluator,
    backbone: Backbone,
    store: FeatureStore,
    identity: object,
    extracting: Callable[[], object] = lambda: None,
) -> FeatureBank | None:
    """A bank for a network that does nothing with an image after its only head; else `None`.

    What the head gives is then the output, and what goes into it is a vector for each image.
    """
    if len(backbone.heads) != 1:
        return None
    seen: list[tuple[Tensor, Tensor]] = []
    model, size = evaluator.model, evaluator.conditions.image_size
    hook = model.get_submodule(backbone.heads[0]).register_forward_hook(
        lambda _, inputs, output: seen.append((inputs[0], output))
    )
    blank = evaluator.inputs(torch.zeros(2, size, size, 3, dtype=torch.uint8))
    try:
        cast = autocast(evaluator.conditions, evaluator.device)
        with torch.no_grad(), evaluation_mode(model, evaluator.device), cast():
            output = model(blank)
    finally:
        hook.remove()
    if len(seen) != 1 or seen[0][1] is not output or seen[0][0].ndim != 2:
        return None
    return FeatureBank(evaluator, backbone.heads[0], store, identity, extracting)
