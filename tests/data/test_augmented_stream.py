"""Augmented batches are a function of seed, step, images and recipe, and of nothing else."""

import msgspec
import pytest
import torch

from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset
from intelbench.data.pixels import PixelSource
from intelbench.data.stream import TrainingStream
from intelbench.data.transforms import evaluation_view
from tests.conftest import blank
from tests.data.conftest import CONDITIONS
from tests.data.test_stream import assert_same, chain, make_stream, order, take


def test_without_augmentation_images_are_as_evaluation_sees_them(loaded: Dataset, pixels: PixelSource) -> None:
    """In the order that they have with it, in every epoch alike; the digest is another."""
    plain = make_stream(loaded, pixels, recipe=Recipe(batch_size=5, augmentation="none"))
    usual = make_stream(loaded, pixels)
    for step in (0, 9):
        batch = plain.batch(step)
        assert order([batch]) == order([usual.batch(step)])
        assert batch.content != usual.batch(step).content
        rows = [loaded.train.rows[loaded.train.ids.index(image_id)] for image_id in order([batch])]
        assert torch.equal(torch.stack([evaluation_view(pixels.read(row), blank(16)) for row in rows]), batch.inputs)


def test_stored_views_are_those_of_the_first_epochs_in_turn(loaded: Dataset, pixels: PixelSource) -> None:
    """Fresh augmentation and K views are the same for K epochs; then the first view comes again, in a new order."""
    usual, stored = (
        make_stream(loaded, pixels),
        make_stream(loaded, pixels, recipe=Recipe(batch_size=5, augmentation=2)),
    )
    assert_same(take(usual, 14), take(stored, 14))
    shown = [
        {
            name: image
            for batch in map(stored.batch, steps)
            for name, image in zip(order([batch]), batch.inputs, strict=True)
        }
        for steps in (range(7), range(7, 14), range(14, 21))
    ]
    both = set(shown[0]) & set(shown[2])
    assert len(both) > 20
    assert all(torch.equal(shown[0][name], shown[2][name]) for name in both)
    assert not all(torch.equal(shown[0][name], shown[1][name]) for name in set(shown[0]) & set(shown[1]))
    assert order([stored.batch(0)]) != order([stored.batch(14)])


AUGMENTED = Recipe(
    batch_size=5,
    transforms=("trivial_augment_wide", "random_erasing"),
    mixup_alpha=0.2,
    cutmix_alpha=1.0,
    sampling="balanced",
)


@pytest.mark.parametrize("augmentation", ["fresh", 2])
def test_transforms_and_mixes_are_a_function_of_seed_and_step(
    loaded: Dataset, pixels: PixelSource, augmentation: str | int
) -> None:
    """Not of workers, nor of where a run was resumed."""
    recipe = msgspec.structs.replace(AUGMENTED, augmentation=augmentation)
    first = take(make_stream(loaded, pixels, recipe=recipe), 16)
    assert_same(first, take(make_stream(loaded, pixels, recipe=recipe), 16, workers=3))
    assert_same(first[9:], take(make_stream(loaded, pixels, recipe=recipe), 7, first_step=9))
    assert chain(first) != chain(take(make_stream(loaded, pixels, recipe=recipe, seed=1), 16))
    assert (5, 2) == tuple(first[0].labels.shape)
    assert torch.float32 == first[0].labels.dtype


def test_transforms_change_pixels_and_not_crops(loaded: Dataset, pixels: PixelSource) -> None:
    """The images of a step, their order and their crops are those of the recipe without them; the digest differs."""
    plain = make_stream(loaded, pixels).batch(0)
    recipe = Recipe(batch_size=5, transforms=("random_vertical_flip",))
    changed = make_stream(loaded, pixels, recipe=recipe).batch(0)
    flipped = plain.inputs.flip(1)
    is_flipped = [torch.equal(each, other) for each, other in zip(changed.inputs, flipped, strict=True)]
    is_same = [torch.equal(each, other) for each, other in zip(changed.inputs, plain.inputs, strict=True)]
    assert all(one != other for one, other in zip(is_flipped, is_same, strict=True))
    assert 0 < sum(is_flipped) < 5
    assert plain.content != changed.content


def test_a_transform_does_not_change_the_parameters_of_others(loaded: Dataset, pixels: PixelSource) -> None:
    """Each has random numbers of its own."""
    arguments = {"random_erasing": {"p": 1}}
    alone = Recipe(batch_size=5, transforms=("random_erasing",), transform_arguments=arguments)  # type: ignore[arg-type]
    second = msgspec.structs.replace(alone, transforms=("random_vertical_flip", "random_erasing"))
    (sample, *_) = make_stream(loaded, pixels, recipe=alone).samples(0)
    box = make_stream(loaded, pixels, recipe=alone)._parameters(sample)
    assert box == make_stream(loaded, pixels, recipe=second)._parameters(sample)[1:]


def test_the_augment_seed_determines_transforms_and_mixes(loaded: Dataset, pixels: PixelSource) -> None:
    """And the order does not depend on it, so that `vary` can be `augment`."""
    conditions = msgspec.structs.replace(CONDITIONS, recipe=AUGMENTED)
    first, other = (TrainingStream(loaded.train, pixels, conditions, 0, augment_seed=seed) for seed in (0, 1))
    assert first.samples(3) == other.samples(3)
    contents = first.batch(3).content, other.batch(3).content
    assert contents[0] != contents[1]
    assert not torch.equal(first.batch(3).labels, other.batch(3).labels)


@pytest.mark.parametrize("augmentation", ["fresh", 2])
def test_a_repeated_image_has_other_views(loaded: Dataset, pixels: PixelSource, augmentation: str | int) -> None:
    """Of its own if each epoch has new views, else those of the next epochs."""
    night = [position for position, label in enumerate(loaded.train.labels) if label == 1]
    few = loaded.train.subset([*(set(range(38)) - set(night)), *night[:3]])
    recipe = Recipe(batch_size=5, sampling="balanced", augmentation=augmentation)  # type: ignore[arg-type]
    stream = TrainingStream(few, pixels, msgspec.structs.replace(CONDITIONS, recipe=recipe), 0)
    samples = [sample for step in range(stream.steps_per_epoch) for sample in stream.samples(step)]
    repeated = [sample for sample in samples if sample.repetition == 1]
    assert repeated
    for sample in repeated:
        first = sample._replace(view=0, repetition=0)
        assert stream.content(first) != stream.content(sample)
        assert (0 if augmentation == "fresh" else 1) == sample.view


@pytest.mark.parametrize("augmentation", ["fresh", "none", 2])
def test_a_views_content_is_known_without_making_it(
    loaded: Dataset, pixels: PixelSource, augmentation: str | int
) -> None:
    """The same bytes as a batch's."""
    transforms = () if augmentation == "none" else ("color_jitter", "rand_augment")
    arguments = {"color_jitter": {"hue": 0.1}} if transforms else {}
    recipe = Recipe(
        batch_size=5,
        augmentation=augmentation,  # type: ignore[arg-type]
        transforms=transforms,
        transform_arguments=arguments,  # type: ignore[arg-type]
        sampling="balanced",
    )
    stream = make_stream(loaded, pixels, recipe=recipe)
    for step in (0, 8, 20):
        assert stream.batch(step).content == b"".join(map(stream.content, stream.samples(step)))
