"""Small data folders and image files."""

from pathlib import Path

import pytest

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset, prepare
from intelbench.data.files import Content, digest_of
from intelbench.data.pixels import PixelSource
from tests.conftest import write_folder, write_image

CONDITIONS = Conditions(
    image_size=16, validation_fraction=0.2, budget=Budget(steps=1), recipe=Recipe(batch_size=5)
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, ten images each in train and in test."""
    return write_folder(tmp_path / "data", per_class=10)


@pytest.fixture
def files(tmp_path: Path) -> list[Content]:
    """Pictures of many sizes and modes, two of them damaged."""
    paths = [
        tmp_path / "in" / f"{index}.{suffix}" for index, suffix in enumerate(["png", "jpg", "gif", "png", "jpg", "png"])
    ]
    for index, path in enumerate(paths):
        write_image(path, seed=index, size=(20 + 17 * index, 90 - 13 * index))
    paths[2].write_bytes(b"")
    paths[4].write_text("no picture")
    return contents_of(*paths)


def contents_of(*paths: Path) -> list[Content]:
    """The files as they are now."""
    return [Content(path, digest_of(path)) for path in paths]


def append(path: Path) -> None:
    """Add a byte."""
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.fixture(scope="module")
def loaded(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """38 images to train on: seven batches of five an epoch, and three images left over."""
    return prepare(str(small_folder), CONDITIONS, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def pixels(loaded: Dataset) -> PixelSource:
    """The pixels of the data set, opened once."""
    return loaded.pixels()
