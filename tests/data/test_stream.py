"""The batches are a function of seed, step, images and recipe, and of nothing else."""

from collections import Counter

import msgspec
import numpy as np
import pytest
import torch

from intelbench.config.budget import Budget
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset, Split
from intelbench.data.pixels import PixelSource
from intelbench.data.stream import Batch, StreamDigest, TrainingStream, evaluation_batches
from intelbench.data.transforms import evaluation_view
from tests.conftest import blank
from tests.data.conftest import CONDITIONS


def make_stream(loaded: Dataset, pixels: PixelSource, seed: int = 0, **changes: object) -> TrainingStream:
    """The training stream, with some conditions changed."""
    return TrainingStream(loaded.train, pixels, msgspec.structs.replace(CONDITIONS, **changes), seed)


def take(stream: TrainingStream, count: int, workers: int = 0, first_step: int = 0) -> list[Batch]:
    """The first batches of an iteration, which is closed then."""
    batches = stream.batches(workers, first_step)
    taken = [next(batches) for _ in range(count)]
    batches.close()
    return taken


def order(batches: list[Batch]) -> list[str]:
    """Ids in the order of their consumption."""
    crop = 17  # four numbers and a flag
    ids = []
    for batch in batches:
        content = batch.content
        while content:
            name, _, rest = content.partition(b"\0")
            ids.append(name.decode())
            content = rest[crop:]
    return ids


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    """Equal in every pixel, label and digest."""
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        assert left.content == right.content
        assert torch.equal(left.inputs, right.inputs)
        assert torch.equal(left.labels, right.labels)


def chain(batches: list[Batch]) -> str:
    """The digest after these batches."""
    digest = StreamDigest()
    for batch in batches:
        digest.update(batch)
    return digest.hexdigest()


def test_a_batch_is_what_a_network_is_fed(loaded: Dataset, pixels: PixelSource) -> None:
    """Images as bytes, channels last, and integer labels that belong to the ids."""
    batch = make_stream(loaded, pixels).batch(0)
    assert (5, 16, 16, 3) == tuple(batch.inputs.shape)
    assert torch.uint8 == batch.inputs.dtype
    assert torch.int64 == batch.labels.dtype
    assert [int("night" in image_id) for image_id in order([batch])] == batch.labels.tolist()


def test_an_epoch_holds_each_image_once(loaded: Dataset, pixels: PixelSource) -> None:
    """35 of 38 images, each once; the partial batch is dropped."""
    stream = make_stream(loaded, pixels)
    assert 38 == len(loaded.train)
    assert 7 == stream.steps_per_epoch
    seen = order(take(stream, 7))
    assert 35 == len(seen) == len(set(seen))
    assert set(seen) < set(loaded.train.ids)


def test_other_images_are_left_out_in_other_epochs(loaded: Dataset, pixels: PixelSource) -> None:
    """No image is left out for ever because it stands last."""
    stream = make_stream(loaded, pixels)
    seen = Counter(order(take(stream, 7 * 20)))
    assert set(loaded.train.ids) == set(seen)
    assert min(seen.values()) >= 12


def test_order_is_a_permutation_if_nothing_is_left_over(loaded: Dataset, pixels: PixelSource) -> None:
    """With 38 = 2 x 19 every epoch is a permutation of the images."""
    stream = make_stream(loaded, pixels, recipe=Recipe(batch_size=19))
    for epoch in range(3):
        assert sorted(loaded.train.ids) == sorted(order([stream.batch(2 * epoch), stream.batch(2 * epoch + 1)]))


def test_order_differs_between_epochs_and_seeds(loaded: Dataset, pixels: PixelSource) -> None:
    """And it is not the order of the listing."""
    stream, other = make_stream(loaded, pixels), make_stream(loaded, pixels, seed=1)
    orders = [order([stream.batch(step) for step in range(first, first + 7)]) for first in (0, 7, 14)]
    orders += [order(take(other, 7)), list(loaded.train.ids[:35])]
    assert 5 == len({tuple(each) for each in orders})


def test_crops_differ_between_epochs_and_seeds(loaded: Dataset, pixels: PixelSource) -> None:
    """The same image has another crop in every epoch and for every seed."""
    image = loaded.train.subset([0, 0])
    conditions = msgspec.structs.replace(CONDITIONS, recipe=Recipe(batch_size=2))
    contents = {
        TrainingStream(image, pixels, conditions, seed).batch(step).content for seed in range(3) for step in range(3)
    }
    assert 9 == len(contents)


def test_the_order_of_the_listing_does_not_matter(loaded: Dataset, pixels: PixelSource) -> None:
    """A split that lists its images backwards gives the same batches."""
    backwards = loaded.train.subset(list(reversed(range(len(loaded.train)))))
    assert_same(
        take(make_stream(loaded, pixels), 10), take(TrainingStream(backwards, pixels, CONDITIONS, seed=0), 10)
    )  # fmt: skip


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_do_not_matter(loaded: Dataset, pixels: PixelSource, workers: int) -> None:
    """Any number of threads prepares the same batches in the same order, across epochs."""
    stream = make_stream(loaded, pixels)
    expected = take(stream, 16)
    got = take(make_stream(loaded, pixels), 16, workers)
    assert_same(expected, got)
    assert chain(expected) == chain(got)


@pytest.mark.parametrize("threads", [1, 2])
def test_torch_threads_do_not_matter(loaded: Dataset, pixels: PixelSource, threads: int) -> None:
    """The pixels are the same however many threads resize them."""
    expected = take(make_stream(loaded, pixels), 4)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert_same(expected, take(make_stream(loaded, pixels), 4))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_start_in_the_middle_gives_the_same_batches(loaded: Dataset, pixels: PixelSource, workers: int) -> None:
    """Step 9 is step 9, whoever came before it."""
    assert_same(take(make_stream(loaded, pixels), 12)[9:], take(make_stream(loaded, pixels), 3, workers, first_step=9))


def test_global_random_state_has_no_part(loaded: Dataset, pixels: PixelSource) -> None:
    """Neither read nor changed, in torch and numpy alike: what an architecture draws shifts nothing."""
    torch.manual_seed(1)
    expected = take(make_stream(loaded, pixels), 3)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002 - the global state is what the test is about
    state = torch.get_rng_state()
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002
    assert_same(expected, take(make_stream(loaded, pixels), 3))
    assert torch.equal(state, torch.get_rng_state())
    assert str(numpy_state) == str(np.random.get_state(legacy=False))  # noqa: NPY002


def test_conditions_of_the_network_have_no_part(loaded: Dataset, pixels: PixelSource) -> None:
    """Optimizer, budget, precision and learning rate leave the batches as they are."""
    other = make_stream(
        loaded, pixels, budget=Budget(epochs=3), precision="bf16", memory_format="contiguous",
        recipe=Recipe(batch_size=5, optimizer="sgd", learning_rate=1, label_smoothing=0.1),
    )  # fmt: skip
    assert_same(take(make_stream(loaded, pixels), 3), take(other, 3))


def test_digest_tells_streams_apart(loaded: Dataset, pixels: PixelSource) -> None:
    """Another seed, another crop recipe, no flips, another length or another order is another digest."""
    batches = take(make_stream(loaded, pixels), 3)
    digests = [
        chain(batches),
        chain(batches[:2]),
        chain([batches[1], batches[0], batches[2]]),
        chain(take(make_stream(loaded, pixels, seed=1), 3)),
        chain(take(make_stream(loaded, pixels, recipe=Recipe(batch_size=5, flip=False)), 3)),
        chain(take(make_stream(loaded, pixels, recipe=Recipe(batch_size=5, crop_scale=(0.5, 1))), 3)),
    ]
    assert len(digests) == len(set(digests))
    assert digests[0] == chain(batches)


def test_digest_changes_if_one_crop_differs(loaded: Dataset, pixels: PixelSource) -> None:
    """One pixel of one box in one image is enough."""
    batches = take(make_stream(loaded, pixels), 3)
    altered = bytearray(batches[1].content)
    altered[-17] ^= 1
    batches[1] = Batch(batches[1].inputs, batches[1].labels, bytes(altered))
    assert chain(take(make_stream(loaded, pixels), 3)) != chain(batches)


def test_digest_of_nothing_is_empty() -> None:
    """No step, no digest."""
    assert "" == StreamDigest().hexdigest()


def test_copies_of_one_image_have_their_own_crops(loaded: Dataset, pixels: PixelSource) -> None:
    """The id decides, not the content."""
    twins = Split(("a", "b"), (0, 0), (0, 0))
    stream = TrainingStream(twins, pixels, msgspec.structs.replace(CONDITIONS, recipe=Recipe(batch_size=2)), seed=0)
    images = stream.batch(0).inputs
    assert not torch.equal(images[0], images[1])


def test_an_error_in_a_worker_reaches_the_training_thread(loaded: Dataset) -> None:
    """A file that vanishes during a run ends it with its own error, and no thread is left waiting."""

    class Broken:
        def read(self, row: int) -> np.ndarray:
            raise OSError(5, "Input/output error")

        def release(self) -> None:
            pass

    stream = TrainingStream(loaded.train, Broken(), CONDITIONS, seed=0)
    for workers in (0, 2):
        with pytest.raises(OSError, match="Input/output error"):
            take(stream, 1, workers)


@pytest.mark.parametrize("batch_size", [1, 7, 10, 100])
def test_evaluation_yields_each_image_once_in_order(loaded: Dataset, pixels: PixelSource, batch_size: int) -> None:
    """The last partial batch included, also if it holds a single image."""
    batches = list(evaluation_batches(loaded.validation, pixels, 16, batch_size))
    images, labels = torch.cat([each[0] for each in batches]), torch.cat([each[1] for each in batches])
    assert list(loaded.validation.labels) == labels.tolist()
    assert all(len(each[0]) == batch_size for each in batches[:-1])
    expected = torch.stack([evaluation_view(pixels.read(row), blank(16)) for row in loaded.validation.rows])
    assert torch.equal(expected, images)


def test_the_default_stream_is_that_of_earlier_versions(loaded: Dataset, pixels: PixelSource) -> None:
    """Its digest after three epochs is a part of every record."""
    assert "4d73d5363dda3ea78781a65d2161fb21" == chain(take(make_stream(loaded, pixels), 21))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("pin_memory", [True, False])
@pytest.mark.usefixtures("fake_cuda")
def test_batches_are_in_page_locked_memory_where_a_gpu_copies_from_it(
    loaded: Dataset, pixels: PixelSource, pin_memory: bool, workers: int
) -> None:
    """Images and labels, from threads too; so that a copy does not make the host wait."""
    stream = TrainingStream(loaded.train, pixels, CONDITIONS, 0, pin_memory=pin_memory)
    batches = take(stream, 2, workers)
    assert {pin_memory} == {tensor.is_pinned() for batch in batches for tensor in (batch.inputs, batch.labels)}
    shown = evaluation_batches(loaded.test, pixels, 16, 5, pin_memory=pin_memory)
    assert {pin_memory} == {images.is_pinned() for images, _ in shown}
    assert_same(take(make_stream(loaded, pixels), 2), batches)


@pytest.mark.parametrize(
    "recipe", [{}, {"mixup_alpha": 0.4, "cutmix_alpha": 1.0, "transforms": ("random_erasing",)}], ids=str
)
@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_divide_a_batch_and_the_first_knows_all_of_its_content(
    loaded: Dataset, pixels: PixelSource, recipe: dict[str, object], num_processes: int
) -> None:
    """Without communication: an image that is mixed with one of another process is the same, and so is the digest."""
    stream = make_stream(loaded, pixels, recipe=Recipe(batch_size=6, **recipe))
    own = [range(rank * 6 // num_processes, (rank + 1) * 6 // num_processes) for rank in range(num_processes)]
    parts = [take(stream.only(each), 3) for each in own]
    for step, whole in enumerate(take(stream, 3)):
        assert torch.equal(whole.inputs, torch.cat([part[step].inputs for part in parts]))
        assert torch.equal(whole.labels, torch.cat([part[step].labels for part in parts]))
        assert [whole.content, *[b""] * (num_processes - 1)] == [part[step].content for part in parts]
