"""What is said about a folder before anything runs on it, and that a run says the same."""

import shutil
from pathlib import Path

import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.config.conditions import Suite
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import prepare
from intelbench.data.inspection import Inspection, inspect
from intelbench.errors import UserError
from intelbench.reporting.inspection import as_text
from tests.conftest import write_folder, write_image

SUITE = Suite(
    name="mine", architectures=("a",), seeds=(0,),
    image_size=24, validation_fraction=0.2, budget=Budget(steps=1), recipe=Recipe(batch_size=4),
)  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, ten images each in train and in test."""
    return write_folder(tmp_path / "data", per_class=10)


def inspected(root: Path, suite: Suite = SUITE) -> Inspection:
    """What is found in a folder."""
    return inspect(str(root), suite, root.parent / "cache")


def test_what_is_there_is_counted(root: Path) -> None:
    """Counts by class and split, what cannot be read, what is not used, and copies on either side."""
    (root / "train" / "day" / "001.png").write_bytes(b"")
    (root / "train" / "day" / "notes.txt").write_text("x")
    shutil.copy(root / "train" / "night" / "004.png", root / "train" / "night" / "copy.png")
    shutil.copy(root / "train" / "day" / "007.png", root / "test" / "day" / "copy.png")
    found = inspected(root)
    assert ("day", "night") == found.class_names
    assert {"train": "train", "test": "test"} == found.folders
    assert {"train": (9, 11), "test": (11, 10)} == found.counts
    assert {"train/day/001.png": "empty file"} == found.unreadable
    assert ("train/day/notes.txt",) == found.ignored
    assert 1 == found.copies
    assert (("train/day/007.png", "test/day/copy.png"),) == found.train_test_copies
    assert () == found.contradictions
    assert found.refusal is None
    assert not (root.parent / "cache").exists()


def test_the_same_bytes_in_two_classes_are_a_contradiction(root: Path) -> None:
    """In one split or in two; copies within a class are none."""
    shutil.copy(root / "train" / "day" / "000.png", root / "train" / "night" / "same.png")
    shutil.copy(root / "train" / "day" / "001.png", root / "test" / "night" / "leak.png")
    shutil.copy(root / "train" / "day" / "002.png", root / "train" / "day" / "again.png")
    found = inspected(root)
    assert {
        ("train/day/000.png", "train/night/same.png"),
        ("train/day/001.png", "test/night/leak.png"),
    } == set(found.contradictions)
    lines = as_text(found).splitlines()
    assert "byte-identical copies in more than one class: 2" in lines
    assert "  train/day/000.png = train/night/same.png" in lines


def remove(folder: Path, number: int) -> None:
    """Leave this number of files in a folder."""
    for path in sorted(folder.iterdir())[number:]:
        path.unlink()


@pytest.mark.parametrize(("left", "batch_size"), [(1, 4), (10, 17), (0, 4)])
def test_a_run_refuses_with_the_same_words(root: Path, left: int, batch_size: int) -> None:
    """A class with too few images, less than a batch, a class without an image."""
    remove(root / "train" / "day", left)
    suite = msgspec.structs.replace(SUITE, recipe=Recipe(batch_size=batch_size))
    with pytest.raises(UserError) as refused:
        prepare(str(root), suite.conditions, root.parent / "cache")
    try:
        said = inspected(root, suite).refusal
    except UserError as error:
        said = str(error)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (9, "class 'day' has 8 different training images; `images_per_class` is 9"),
        (1, "`images_per_class` 1 is 2 training images of 2 classes, less than one batch; `recipe.batch_size` is 4"),
    ],
)
def test_images_per_class_are_checked(root: Path, number: int, said: str) -> None:
    """More than a class has, and less than a batch; what the classes have is accepted."""
    refusal = inspected(root, msgspec.structs.replace(SUITE, images_per_class=("all", number))).refusal
    assert refusal is not None
    assert said in refusal
    assert inspected(root, msgspec.structs.replace(SUITE, images_per_class=("all", 8))).refusal is None


def test_imbalance_is_named(root: Path) -> None:
    """Which class has how many times as many as which, and what answering one class is worth in the test images."""
    for index in range(30):
        write_image(root / "train" / "night" / f"more{index}.png", seed=index + 900)
    remove(root / "test" / "day", 4)
    lines = as_text(inspected(root)).splitlines()
    assert "imbalance: 'night' has 80.0 % of the training images, 4 times as many as 'day'" in lines
    assert "majority baseline: always answering 'night' is right for 71.4 % of the test images" in lines


def test_balance_is_named(root: Path) -> None:
    """As many of each class is a finding too."""
    assert "balance: each class has 10 training images" in as_text(inspected(root)).splitlines()


def test_the_lines_of_a_folder_of_one_folder_a_class(tmp_path: Path) -> None:
    """Every heading is there, also where there is nothing to count; the folder of the split is named."""
    found = inspected(write_folder(tmp_path / "data", per_class=4, splits=""))
    assert [
        "class       train",
        "day             4",
        "night           4",
        "all             8",
        "folders: train is the folder itself",
        "balance: each class has 4 training images",
        "majority baseline: always answering 'day' is right for 50.0 % of the images, of which a part is set aside for "
        "testing",
        "byte-identical copies within a split: 0",
        "byte-identical copies in train and test: 0",
        "byte-identical copies in more than one class: 0",
        "other files in class folders, not used: 0",
        "cannot be read: 0",
    ] == as_text(found).splitlines()


def test_remarks_come_first(root: Path) -> None:
    """How the folder was understood decides how the rest is read."""
    (root / "unused").mkdir()
    assert f"data {root}: not used: unused" == as_text(inspected(root)).splitlines()[0]
