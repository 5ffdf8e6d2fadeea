"""Time the way from JPEG files to batches against torchvision and Pillow in one process."""

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench.comparison import Comparison, timed
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Split, stored_side
from intelbench.data.files import Content, digest_of
from intelbench.data.pixels import open_cache
from intelbench.data.stream import TrainingStream
from intelbench.data.transforms import normalize
from intelbench.records.types import IMAGENET_NORMALIZATION

CONDITIONS = Conditions(image_size=96, budget=Budget(steps=1), recipe=Recipe(batch_size=32))
SIDE = 150
NUM_IMAGES = 320


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    """Write JPEG files of two classes, with detail at every scale as photographs have.

    They are as large as the Intel images in pixels (150 x 150) and in bytes (14 kB on average).
    """
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for index in range(NUM_IMAGES):
        pixels = np.full((SIDE, SIDE, 3), 128.0)
        for cells, contrast in ((3, 60), (10, 40), (30, 25), (SIDE, 20)):
            noise = (128 + contrast * random.standard_normal((cells, cells, 3))).clip(0, 255).astype(np.uint8)
            pixels += np.asarray(Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) - 128.0
        path = folder / f"class{index % 2}" / f"{index:04d}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return ImageFolder(folder)


def contents_of(folder: ImageFolder) -> list[Content]:
    """Return all files in the order of the folder."""
    return [Content(Path(path), digest_of(Path(path))) for path, _ in folder.samples]


def harness_epoch(folder: ImageFolder, cache: Path) -> Callable[[], None]:
    """Return an epoch of normalised batches from the pixel cache."""
    contents = contents_of(folder)
    split = Split(tuple(file.path.name for file in contents), tuple(folder.targets), tuple(range(len(contents))))
    pixels = open_cache(cache, contents, stored_side(CONDITIONS.image_size))
    stream = TrainingStream(split, pixels, CONDITIONS, seed=0)
    steps = count()

    def epoch() -> None:
        for _ in range(stream.steps_per_epoch):
            normalize(stream.batch(next(steps)).inputs, CONDITIONS.memory_format)

    return epoch


def torchvision_epoch(folder: ImageFolder) -> Callable[[], None]:
    """Return an epoch of the loader in torchvision's and PyTorch's tutorials, without worker processes."""
    augmented = ImageFolder(
        folder.root,
        transforms.Compose(
            [
                transforms.RandomResizedCrop(CONDITIONS.image_size),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_NORMALIZATION.mean, IMAGENET_NORMALIZATION.std),
            ]
        ),
    )
    loader = DataLoader(augmented, batch_size=CONDITIONS.recipe.batch_size, shuffle=True, drop_last=True)

    def epoch() -> None:
        for _ in loader:
            pass

    return epoch


@pytest.mark.allowance(seconds=20)
def test_input_pipeline(comparison: Comparison, photographs: ImageFolder, tmp_path: Path) -> None:
    """Batches from the pixel cache are at least 6 times as fast as those from ImageFolder and Pillow."""
    harness = harness_epoch(photographs, tmp_path / "cache")
    comparison.speedup(timed(harness), timed(torchvision_epoch(photographs)), at_least=6)


@pytest.mark.allowance(seconds=20)
def test_cache_build(comparison: Comparison, photographs: ImageFolder, tmp_path: Path) -> None:
    """Building the pixel cache is at least 0.6 times as fast as a loop that only decodes and resizes.

    The build also checks every file by its digest, reads its EXIF tag, writes the pixels and hashes them. Its threads
    share one CPU here, so that the ratio does not depend on how many CPUs are idle.
    """
    contents, side = contents_of(photographs), stored_side(CONDITIONS.image_size)

    def build() -> float:
        seconds = timed(lambda: open_cache(tmp_path / "cache", contents, side))()
        shutil.rmtree(tmp_path / "cache")
        return seconds

    def decode() -> None:
        for path, _ in contents:
            with Image.open(path) as image:
                np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))

    comparison.speedup(build, timed(decode), at_least=0.6)
