"""Crops, resizing and normalisation are torchvision's, with numbers that come from a hash."""

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import functional as v1_functional
from torchvision.transforms import transforms as v1
from torchvision.transforms import v2

from intelbench.config.recipe import Recipe
from intelbench.data.decoding import decode
from intelbench.data.transforms import (
    Crop,
    draws,
    evaluation_view,
    normalize,
    random_resized_crop,
    training_view,
)
from intelbench.records.types import IMAGENET_NORMALIZATION, Normalization
from tests.conftest import blank, write_image

NUM_DRAWS = 23
sides = st.integers(1, 400)
uniforms = st.lists(st.integers(0, 2**32 - 1).map(lambda value: value / 2**32), min_size=NUM_DRAWS, max_size=NUM_DRAWS)


def noise(height: int, width: int) -> np.ndarray:
    """An image of which no two crops are alike."""
    return np.random.default_rng(height * 1000 + width).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def planar(pixels: np.ndarray) -> torch.Tensor:
    """Height x width x 3 as torchvision wants it: 3 x height x width."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


class FakeTorch:
    """Stands in for the module `torch` inside torchvision, and hands out numbers that were drawn before."""

    def __init__(self, uniform: list[float]) -> None:
        self._boxes: Iterator[float] = iter(uniform[:-3])
        self._places: Iterator[float] = iter(uniform[-3:-1])

    def empty(self, _: int) -> SimpleNamespace:
        """A tensor that is only there to be filled."""
        return SimpleNamespace(uniform_=lambda low, high: _number(low + next(self._boxes) * (high - low)))

    def tensor(self, values: tuple[float, ...]) -> list[float]:
        """In double precision, so that no rounding differs."""
        return list(values)

    def log(self, values: list[float]) -> list[float]:
        """The natural logarithm of each."""
        return [math.log(value) for value in values]

    def exp(self, value: SimpleNamespace) -> SimpleNamespace:
        """The exponential of what `uniform_` gave."""
        return _number(math.exp(value.item()))

    def randint(self, low: int, high: int, size: tuple[int]) -> SimpleNamespace:
        """A whole number below `high`."""
        return _number(low + int(next(self._places) * (high - low)))


def _number(value: float) -> SimpleNamespace:
    return SimpleNamespace(item=lambda: value)


@given(uniforms, sides, sides, st.sampled_from([(0.08, 1.0), (0.5, 1.0), (1.0, 1.0), (0.001, 0.01)]),
       st.sampled_from([(3 / 4, 4 / 3), (1.0, 1.0), (0.1, 0.2), (5.0, 9.0)]))  # fmt: skip
def test_boxes_are_torchvisions(
    uniform: list[float], height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    """Fed the same uniform numbers, `RandomResizedCrop.get_params` chooses the same box, also in its fallback."""
    assume(round(width / ratio[0]) > 0 < round(height * ratio[1]))  # torchvision's fallback would have no pixel
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(v1, "torch", FakeTorch(uniform))
        patch.setattr(v1.F, "get_dimensions", lambda _: (3, height, width))
        expected = v1.RandomResizedCrop.get_params(None, list(scale), list(ratio))
    crop = random_resized_crop(uniform, height, width, Recipe(crop_scale=scale, crop_ratio=ratio))
    assert expected == (crop.top, crop.left, crop.height, crop.width)


@given(uniforms, st.integers(1, 5000), st.integers(1, 5000), st.floats(0.01, 1), st.floats(0.05, 20))
def test_boxes_lie_inside_the_image(uniform: list[float], height: int, width: int, scale: float, ratio: float) -> None:
    """Whatever the image, the recipe and the numbers: at least a pixel, and none outside."""
    recipe = Recipe(crop_scale=(scale, 1.0), crop_ratio=(ratio, ratio * 1.5))
    crop = random_resized_crop(uniform, height, width, recipe)
    assert 1 <= crop.height <= height
    assert 1 <= crop.width <= width
    assert 0 <= crop.top <= height - crop.height
    assert 0 <= crop.left <= width - crop.width


@given(st.binary(min_size=8, max_size=8), st.integers(0, 10**6), st.text(st.characters(codec="utf-8"), max_size=40))
def test_draws_are_uniform_numbers(key: bytes, epoch: int, image_id: str) -> None:
    """23 numbers in [0, 1), the same at every call, others for another key, epoch or image."""
    uniform = draws(key, epoch, image_id)
    assert NUM_DRAWS == len(uniform)
    assert all(0 <= value < 1 for value in uniform)
    assert uniform == draws(key, epoch, image_id)
    assert uniform != draws(key, epoch + 1, image_id)
    assert uniform != draws(key, epoch, image_id + "x")
    assert uniform != draws(bytes(8 - len(key)) + key[::-1] + b"x", epoch, image_id)


def test_draws_never_change() -> None:
    """Pinned: other numbers would be other crops, and old records incomparable in silence."""
    assert [0.769958493, 0.883600563, 0.461799777] == [
        round(value, 9) for value in draws(b"12345678", 3, "train/a/1.jpg")[:3]
    ]


def many_crops(recipe: Recipe, height: int = 150, width: int = 150, count: int = 4000) -> list[Crop]:
    """Crops of as many images in one epoch."""
    return [random_resized_crop(draws(b"12345678", 0, str(index)), height, width, recipe) for index in range(count)]


def test_half_of_the_images_are_mirrored() -> None:
    """4000 fair coins: 2000 within four standard deviations."""
    assert 2000 == pytest.approx(sum(crop.flip for crop in many_crops(Recipe())), abs=127)


def test_no_image_is_mirrored_where_the_recipe_says_so() -> None:
    """Digits and street signs must not be mirrored; their boxes stay the same."""
    plain, mirrored = many_crops(Recipe(flip=False)), many_crops(Recipe())
    assert not any(crop.flip for crop in plain)
    assert [(c.top, c.left, c.height, c.width) for c in mirrored] == [(c.top, c.left, c.height, c.width) for c in plain]


def test_areas_and_ratios_fill_their_ranges() -> None:
    """Of a square image: areas between 8 and 100 %, ratios between 3/4 and 4/3 no side favoured, places all over."""
    crops = many_crops(Recipe(), 1000, 1000)
    areas = np.array([crop.height * crop.width for crop in crops]) / 1e6
    ratios = np.log([crop.width / crop.height for crop in crops])
    assert 0.0795 <= areas.min() < 0.09
    assert 0.95 < areas.max() <= 1
    assert 0.51 == pytest.approx(areas.mean(), abs=0.04)  # a little below the middle: large boxes must be square
    assert np.abs(ratios).max() <= math.log(4 / 3) + 0.01
    assert 0 == pytest.approx(ratios.mean(), abs=0.02)
    places = np.array([crop.top / (1001 - crop.height) for crop in crops])
    np.testing.assert_allclose(np.histogram(places, 4, (0, 1))[0], 1000, atol=130)


@given(height=st.integers(1, 200), width=st.integers(1, 200), size=st.integers(8, 80), data=st.data())
@settings(max_examples=100)
def test_training_view_is_torchvisions(height: int, width: int, size: int, data: st.DataObject) -> None:
    """Bit for bit what `resized_crop` and `horizontal_flip` make of a uint8 tensor."""
    box_height, box_width = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    top, left = data.draw(st.integers(0, height - box_height)), data.draw(st.integers(0, width - box_width))
    flip = data.draw(st.booleans())
    pixels = noise(height, width)
    expected = v2.functional.resized_crop(planar(pixels), top, left, box_height, box_width, [size, size])
    expected = v2.functional.horizontal_flip(expected) if flip else expected
    view = training_view(pixels, Crop(top, left, box_height, box_width, flip), blank(size))
    assert (size, size, 3) == tuple(view.shape)
    assert torch.uint8 == view.dtype
    torch.testing.assert_close(view.permute(2, 0, 1), expected, rtol=0, atol=0)


def assert_close_to_pillow(pixels: np.ndarray, size: int) -> None:
    """Compare a training view with torchvision's on a PIL image, the path that most training scripts take."""
    height, width = pixels.shape[:2]
    crop = Crop(height // 5, width // 7, height // 2, width * 2 // 3, flip=False)
    image = Image.fromarray(pixels)
    box = (crop.top, crop.left, crop.height, crop.width)
    expected = np.asarray(v1_functional.resized_crop(image, *box, [size, size])).astype(int)
    difference = np.abs(training_view(pixels, crop, blank(size)).numpy().astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.5


@pytest.mark.parametrize("size", [16, 32, 64, 96])
def test_training_view_is_pillows_within_rounding(tmp_path: Path, size: int) -> None:
    """On a drawn picture no pixel differs from Pillow's by more than two levels."""
    write_image(tmp_path / "x.png", size=(150, 150))
    assert_close_to_pillow(decode((tmp_path / "x.png").read_bytes(), 256).copy(), size)


def test_training_view_is_pillows_on_real_images(real_images: Path) -> None:
    """The same on photographs, larger and smaller than they are."""
    paths = sorted(real_images.glob("seg_train/seg_train/*/*.jpg"))[::100]
    assert paths
    for path in paths:
        for size in (64, 96, 224):
            assert_close_to_pillow(decode(path.read_bytes(), 256).copy(), size)


@given(height=st.integers(1, 300), width=st.integers(1, 300), size=st.integers(8, 80))
@settings(max_examples=150)
def test_evaluation_view_is_torchvisions(height: int, width: int, size: int) -> None:
    """Bit for bit `Resize(256/224 of the size)` and `CenterCrop`, for any shape of image."""
    assume(max(height, width) <= 40 * min(height, width))  # else the resized image alone would fill the memory
    pixels = noise(height, width)
    standard = v2.Compose([v2.Resize(round(size * 256 / 224)), v2.CenterCrop(size)])
    view = evaluation_view(pixels, blank(size))
    assert (size, size, 3) == tuple(view.shape)
    torch.testing.assert_close(view.permute(2, 0, 1), standard(planar(pixels)), rtol=0, atol=0)


def test_evaluation_view_is_the_published_one() -> None:
    """At 224 px: Resize(256), CenterCrop(224)."""
    pixels = noise(150, 150)
    standard = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    torch.testing.assert_close(
        evaluation_view(pixels, blank(224)).permute(2, 0, 1), standard(planar(pixels)), rtol=0, atol=0
    )  # fmt: skip


def test_views_leave_the_pixels_alone() -> None:
    """Pixels lie in a cache that others read."""
    pixels = noise(40, 50)
    before = pixels.copy()
    training_view(pixels, Crop(3, 4, 20, 20, flip=True), blank(20)).fill_(0)
    evaluation_view(pixels, blank(32))
    np.testing.assert_array_equal(before[:3], pixels[:3])
    training_view(pixels, Crop(3, 4, 20, 20, flip=True), blank(16))
    np.testing.assert_array_equal(before[30:], pixels[30:])


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 12), (2, 33, 9)])
def test_normalize_is_torchvisions(memory_format: str, shape: tuple[int, int, int]) -> None:
    """`Normalize(ToTensor(image))` within the rounding of float32."""
    images = torch.from_numpy(np.stack([noise(*shape[1:]) + np.uint8(index) for index in range(shape[0])]))
    standard = v1.Compose([v1.ToTensor(), v1.Normalize(IMAGENET_NORMALIZATION.mean, IMAGENET_NORMALIZATION.std)])
    expected = torch.stack([standard(image.numpy()) for image in images])
    got = normalize(images, memory_format)  # type: ignore[arg-type]
    assert torch.float32 == got.dtype
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-6)


def test_normalize_gives_the_layout_that_was_asked_for() -> None:
    """Channels last in memory, or planes; the shape is the same."""
    images = torch.from_numpy(noise(16, 16))[None].repeat(2, 1, 1, 1)
    last, planes = normalize(images, "channels_last"), normalize(images, "contiguous")
    assert (2, 3, 16, 16) == tuple(last.shape) == tuple(planes.shape)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert planes.is_contiguous()
    assert torch.equal(last, planes)


def test_normalize_leaves_the_images_alone() -> None:
    """The batch is uint8 before and after."""
    images = torch.from_numpy(noise(8, 8))[None]
    before = images.clone()
    normalize(images, "channels_last").zero_()
    assert torch.equal(before, images)


def test_the_normalisation_is_that_of_the_weights() -> None:
    """From -1 to 1 where mean and deviation are one half."""
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 2, 2, 3).contiguous()
    half = (0.5, 0.5, 0.5)
    got = normalize(images, "channels_last", Normalization(mean=half, std=half))
    torch.testing.assert_close(got.flatten(1).mean(1), torch.tensor([-1.0, 1.0]))


def test_what_normalises_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each normalization, width and device: on a GPU making it would wait for all that is under way."""
    made = []
    tensor = torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda values: made.append(values) or tensor(values))
    own = Normalization(mean=(0.125, 0.25, 0.5), std=(0.5, 0.25, 0.125))
    images = torch.randint(0, 256, (2, 7, 13, 3), dtype=torch.uint8)
    for _ in range(3):
        first = normalize(images, "channels_last", own)
    assert 2 == len(made)
    assert torch.equal(first, normalize(images, "channels_last", own))
    normalize(images[:, :, :11], "channels_last", own)
    assert 4 == len(made)
