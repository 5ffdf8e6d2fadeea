"""What is seen of a data set before anything is decided about it."""

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import prepare
from intelbench.data.survey import Survey, survey
from intelbench.errors import UserError
from tests.conftest import write_folder, write_image

CONDITIONS = Conditions(
    image_size=24, validation_fraction=0.2, budget=Budget(epochs=1), recipe=Recipe(batch_size=4)
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, ten images of 40 x 32 px each in train and in test."""
    return write_folder(tmp_path / "data", per_class=10)


def seen(root: Path, conditions: Conditions = CONDITIONS) -> Survey:
    """What is seen of a folder."""
    return survey(str(root), conditions, root.parent / "cache")


def test_splits_are_those_of_a_run(root: Path) -> None:
    """Numbers of images of each split, and the training images of each class; nothing is written."""
    found = seen(root)
    assert not (root.parent / "cache").exists()
    data = prepare(str(root), CONDITIONS, root.parent / "cache")
    facts = data.facts
    assert facts.class_names == found.class_names
    assert (facts.num_train, facts.num_validation, facts.num_test) == (
        found.num_train, found.num_validation, found.num_test,
    )  # fmt: skip
    assert tuple(data.train.labels.count(label) for label in (0, 1)) == found.num_train_of_class
    assert 40 == found.num_images


@pytest.mark.parametrize("image_size", [16, 24, 64])
def test_the_size_of_the_pixel_cache_is_known_before_it_is_made(root: Path, image_size: int) -> None:
    """For images of one size exactly, up to rounding of the sides; copies are stored once."""
    shutil.copy(root / "train" / "day" / "000.png", root / "train" / "day" / "copy.png")
    conditions = replace(CONDITIONS, image_size=image_size)
    expected = seen(root, conditions).cache_bytes(image_size)
    cache = prepare(str(root), conditions, root.parent / "cache").cache
    assert cache is not None
    assert (Path(cache) / "pixels.bin").stat().st_size == pytest.approx(expected, rel=0.05)


def test_the_median_is_that_of_the_shorter_sides(root: Path) -> None:
    """A few large images do not change it, nor which side is the shorter one."""
    assert 32 == seen(root).median_side
    for index in range(5):
        write_image(root / "train" / "day" / f"large{index}.png", seed=500 + index, size=(300, 200))
    assert 32 == seen(root).median_side
    for index in range(60):
        write_image(root / "train" / "night" / f"high{index}.png", seed=600 + index, size=(48, 64))
    assert 48 == seen(root).median_side


def test_a_folder_that_a_run_refuses_is_refused_with_the_same_words(root: Path) -> None:
    """A class without enough images, and one class."""
    for path in sorted((root / "train" / "day").iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError) as by_run:
        prepare(str(root), CONDITIONS, root.parent / "cache")
    with pytest.raises(UserError) as here:
        seen(root)
    assert str(by_run.value) == str(here.value)
    for split in ("train", "test"):
        shutil.rmtree(root / split / "day")
    with pytest.raises(UserError, match="class"):
        seen(root)


def test_unreadable_images_have_no_size(root: Path) -> None:
    """The others are the sample; if none can be read, the message names the command that says why."""
    (root / "train" / "day" / "001.png").write_bytes(b"no image")
    assert (39, {(40, 32)}) == (len(seen(root).sizes), set(seen(root).sizes))
    for number, path in enumerate(root.rglob("*.png")):
        path.write_bytes(b"no image %d" % number)
    with pytest.raises(UserError, match=r"no image can be read; `intelbench data check .*` says why"):
        seen(root)
