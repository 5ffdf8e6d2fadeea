"""A data set is found, checked, split and digested the same way every time, and says what is wrong with it."""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions, Suite
from intelbench.config.recipe import Recipe
from intelbench.data.dataset import Dataset, Split, prepare, stored_side
from intelbench.data.pixels import DecodedOnTheFly, PixelCache
from intelbench.data.stream import TrainingStream
from intelbench.errors import UserError
from tests.conftest import write_folder, write_image

CONDITIONS = Conditions(
    image_size=24, validation_fraction=0.2, budget=Budget(steps=1), recipe=Recipe(batch_size=4)
)  # fmt: skip
SUITE = Suite(name="mine", architectures=("a",), seeds=(0,), **msgspec.structs.asdict(CONDITIONS))


def load(root: Path, conditions: Conditions = CONDITIONS, **options: bool) -> Dataset:
    """Prepare with a cache beside the data."""
    return prepare(str(root), conditions, root.parent / "cache", **options)


def test_facts_of_a_folder_with_a_test_split(root: Path) -> None:
    """The test split is the folder's own; a fifth of train, class by class, is the validation split."""
    facts = load(root).facts
    assert str(root) == facts.source
    assert ("day", "night") == facts.class_names
    assert (16, 4, 20) == (facts.num_train, facts.num_validation, facts.num_test)
    assert "given" == facts.test_origin
    assert (0, 0, 0) == (facts.num_unreadable, facts.num_train_test_duplicates, facts.num_other_files)


def test_a_few_images_are_the_seeds_choice_and_nothing_else_changes(root: Path) -> None:
    """So many of each class for training; validation, test and facts as they are, and `None` leaves all."""
    loaded = load(root)
    drawn = loaded.drawn(3, 0)
    assert [0] * 3 + [1] * 3 == list(drawn.train.labels)
    assert set(drawn.train.ids) < set(loaded.train.ids)
    assert drawn == loaded.drawn(3, 0)
    assert drawn.train != loaded.drawn(3, 1).train
    assert loaded == msgspec.structs.replace(drawn, train=loaded.train)
    assert loaded is loaded.drawn(None, 0)


def test_too_few_images_are_told_by_class_and_number(root: Path) -> None:
    """Of copies one counts; the message says how many there are and what to do."""
    write_image(root / "train" / "night" / "000.png", seed=5)
    shutil.copy(root / "train" / "night" / "000.png", root / "train" / "night" / "copy.png")
    for image in sorted((root / "train" / "night").glob("00[1-5].png")):
        image.unlink()
    loaded = load(root)
    fewest = len({loaded.train.rows[i] for i, label in enumerate(loaded.train.labels) if label == 1})
    assert fewest < sum(loaded.train.labels)
    assert fewest == sum(loaded.drawn(fewest, 0).train.labels)
    with pytest.raises(UserError, match=f"class 'night' has {fewest} different training images; `images_per_class` is"):
        loaded.drawn(fewest + 1, 0)


def test_a_seed_draws_validation_images_and_nothing_else(root: Path) -> None:
    """As many, class by class; test images and pixels stay, and one digest says which data set it is."""
    loaded = load(root)
    first, second = loaded.split_by(0), loaded.split_by(1)
    assert first == loaded.split_by(0)
    assert 3 == len({each.validation.ids for each in (loaded, first, second)})
    assert 3 == len({each.facts.digest for each in (loaded, first, second)})
    assert loaded.facts.digest == first.facts.default_digest == second.facts.comparable_digest
    for drawn in (first, second):
        assert sorted(loaded.train.ids + loaded.validation.ids) == sorted(drawn.train.ids + drawn.validation.ids)
        assert [0, 0, 1, 1] == list(drawn.validation.labels)
        assert tuple(sorted(drawn.train.ids)) == drawn.train.ids
        kept = {"train": loaded.train, "validation": loaded.validation, "facts": loaded.facts}
        assert loaded == msgspec.structs.replace(drawn, **kept)
        assert (16, 4) == (drawn.facts.num_train, drawn.facts.num_validation)
        for image_id, label, row in zip(drawn.train.ids, drawn.train.labels, drawn.train.rows, strict=True):
            assert int("night" in image_id) == label
            assert str((root / image_id).absolute()) == drawn.paths[row]


def test_copies_stay_on_one_side_of_a_drawn_split(root: Path) -> None:
    """Whatever the seed; each of six images has a copy."""
    for label in ("day", "night"):
        for number in range(3):
            shutil.copy(root / "train" / label / f"00{number}.png", root / "train" / label / f"copy-{number}.png")
    loaded = load(root)
    for seed in range(20):
        drawn = loaded.split_by(seed)
        assert not set(drawn.train.rows) & set(drawn.validation.rows)


def test_a_validation_split_of_the_folder_cannot_be_drawn(tmp_path: Path) -> None:
    """It is what the folder says, so the seed has no choice."""
    loaded = load(write_folder(tmp_path / "data", per_class=5, splits="train val test"))
    with pytest.raises(
        UserError, match=r"data: has a validation split, so `vary` cannot be `split`; leave `split` out"
    ):
        loaded.split_by(0)


def test_a_class_that_a_seed_leaves_without_images_is_named(root: Path) -> None:
    """As where its images are copies of those of another class, and a seed has all of them on one side."""
    for image in sorted((root / "train" / "night").iterdir())[1:]:
        image.unlink()
    for image in sorted((root / "train" / "day").iterdir())[5:]:
        shutil.copy(image, root / "train" / "night" / f"copy-{image.name}")
    said = "class 'night' has no image left for the validation split of seed "
    refused = [seed for seed in range(30) if said in _refusal(load(root), seed)]
    assert 0 < len(refused) < 30


def _refusal(loaded: Dataset, seed: int) -> str:
    """The error of drawing a split; empty if it can be drawn."""
    try:
        loaded.split_by(seed)
    except UserError as error:
        return str(error)
    return ""


def test_a_carved_test_split_is_called_carved(tmp_path: Path) -> None:
    """Where the folder brings one split, test is carved first and validation from the rest."""
    loaded = load(write_folder(tmp_path / "data", per_class=20, splits=""))
    assert "carved" == loaded.facts.test_origin
    assert (26, 6, 8) == (loaded.facts.num_train, loaded.facts.num_validation, loaded.facts.num_test)
    assert 40 == len({*loaded.train.ids, *loaded.validation.ids, *loaded.test.ids})


def test_a_validation_split_of_the_folder_is_used(tmp_path: Path) -> None:
    """Nothing is carved where nothing is missing."""
    loaded = load(write_folder(tmp_path / "data", per_class=5, splits="train val test"))
    assert {"train"} == {each.split("/")[0] for each in loaded.train.ids}
    assert {"val"} == {each.split("/")[0] for each in loaded.validation.ids}
    assert {"test"} == {each.split("/")[0] for each in loaded.test.ids}
    assert (10, 10, 10) == (len(loaded.train), len(loaded.validation), len(loaded.test))


def test_splits_are_sorted_and_disjoint(root: Path) -> None:
    """Ids stand in order, carry the label of their folder, and are in one split alone."""
    loaded = load(root)
    splits = (loaded.train, loaded.validation, loaded.test)
    for split in splits:
        assert tuple(sorted(split.ids)) == split.ids
        assert tuple(int("night" in each) for each in split.ids) == split.labels
        assert {0, 1} == set(split.labels)
    assert sum(map(len, splits)) == len({each for split in splits for each in split.ids})


def test_rows_lead_to_the_pixels_of_the_image(root: Path) -> None:
    """The row of each image holds what the file of that id shows."""
    loaded = load(root)
    pixels = loaded.pixels()
    for split in (loaded.train, loaded.validation, loaded.test):
        for image_id, row in zip(split.ids, split.rows, strict=True):
            assert str((root / image_id).absolute()) == loaded.paths[row]
            assert pixels.read(row).shape == (27, 34, 3)  # 40x32 with the shorter side at 24 * 256 / 224


def test_two_calls_agree(root: Path) -> None:
    """Everything is equal, the digest included."""
    assert load(root) == load(root)


def test_the_seed_has_no_part_in_the_split(root: Path) -> None:
    """Other budgets and recipes see the same images on the same sides."""
    other = msgspec.structs.replace(CONDITIONS, budget=Budget(epochs=9), recipe=Recipe(batch_size=8, flip=False))
    assert load(root).facts == load(root, other).facts


def test_a_moved_folder_has_the_same_digest(root: Path, tmp_path: Path) -> None:
    """Contents and paths below the folder decide, not where it lies."""
    before = load(root).facts.digest
    root.rename(tmp_path / "elsewhere")
    assert before == load(tmp_path / "elsewhere").facts.digest


def test_a_changed_byte_changes_the_digest(root: Path) -> None:
    """Also one that is not a pixel: the file is another file."""
    before = load(root).facts.digest
    with (root / "test" / "day" / "003.png").open("ab") as file:
        file.write(b"\0")
    assert before != load(root).facts.digest


@pytest.mark.parametrize("old", ["train/day/003.png", "test/night/007.png"])
def test_a_renamed_file_changes_the_digest(root: Path, old: str) -> None:
    """Ids stand in the records and decide the order and the crops."""
    before = load(root).facts.digest
    (root / old).rename((root / old).with_name("zzz.png"))
    assert before != load(root).facts.digest


def test_a_removed_file_changes_the_digest(root: Path) -> None:
    """A smaller data set is another data set."""
    before = load(root).facts.digest
    (root / "test" / "day" / "003.png").unlink()
    assert before != load(root).facts.digest


def test_another_split_changes_the_digest(root: Path) -> None:
    """The digest says which images were trained on, not only which there are."""
    other = msgspec.structs.replace(CONDITIONS, validation_fraction=0.4)
    assert load(root).facts.digest != load(root, other).facts.digest


def test_with_and_without_cache_the_batches_are_equal(root: Path) -> None:
    """`--no-cache` costs time and changes nothing."""
    cached, direct = load(root), load(root, use_cache=False)
    assert cached.cache is not None
    assert direct.cache is None
    assert isinstance(cached.pixels(), PixelCache)
    assert isinstance(direct.pixels(), DecodedOnTheFly)
    assert cached.facts == direct.facts
    streams = [TrainingStream(each.train, each.pixels(), CONDITIONS, seed=3) for each in (cached, direct)]
    for step in range(9):
        one, other = (stream.batch(step) for stream in streams)
        assert one.content == other.content
        np.testing.assert_array_equal(one.inputs.numpy(), other.inputs.numpy())
        np.testing.assert_array_equal(one.labels.numpy(), other.labels.numpy())


def test_a_data_set_travels_to_another_process(root: Path) -> None:
    """It is plain values: JSON and back is the same data set."""
    loaded = load(root)
    assert loaded == msgspec.json.decode(msgspec.json.encode(loaded), type=Dataset)


def test_a_class_of_one_image_cannot_be_split(tmp_path: Path) -> None:
    """Validation would lack it: the message names the class and the split."""
    root = write_folder(tmp_path / "data", per_class=10)
    for path in sorted((root / "train" / "day").iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError, match="class 'day' has 1 different training image and needs 2"):
        load(root)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_class_needs_an_image_for_each_split_that_is_carved(tmp_path: Path, number: int) -> None:
    """Three where test and validation are carved; the message counts different images, and names the splits."""
    root = write_folder(tmp_path / "data", per_class=10, splits="")
    for path in sorted((root / "day").iterdir())[number:]:
        path.unlink()
    shutil.copy(next((root / "day").iterdir()), root / "day" / "copy.png")
    if number == 3:
        assert {0, 1} == set(load(root).test.labels)
        return
    images = "1 different training image" if number == 1 else "2 different training images"
    with pytest.raises(
        UserError, match=f"class 'day' has {images} and needs 3, because the validation and test splits"
    ):
        load(root)


def test_copies_that_leave_a_class_out_of_a_split_are_the_reason(tmp_path: Path) -> None:
    """A class whose images all are in another one too is not short of images."""
    root = write_folder(tmp_path / "data", per_class=10)
    shutil.rmtree(root / "train" / "night")
    (root / "train" / "night").mkdir()
    loaded = load(write_folder(tmp_path / "other", per_class=10))
    trained = [each for each in loaded.train.ids if "day" in each][:3]
    for index, name in enumerate(trained):
        shutil.copy(root / name, root / "train" / "night" / f"{index}.png")
    with pytest.raises(
        UserError, match=r"class 'night' has no image left for the .* split, because copies of its images"
    ):
        load(root)


def test_other_files_are_counted_and_remarks_are_notes(root: Path) -> None:
    """What is in class folders and not used is in the facts; how the folder was understood is said."""
    (root / "train" / "day" / "notes.txt").write_text("x")
    (root / "train" / "day" / ".DS_Store").write_text("x")
    write_image(root / "train" / "loose.png")
    (root / "elsewhere").mkdir()
    loaded = load(root)
    assert 2 == loaded.facts.num_other_files
    assert (f"data {root}: not used: elsewhere",) == loaded.notes


def test_one_image_in_two_classes_is_said(root: Path) -> None:
    """A run goes ahead with it, and names the command that lists the files."""
    shutil.copy(root / "train" / "day" / "000.png", root / "train" / "night" / "copy.png")
    (note,) = load(root).notes
    assert f"data {root}: 1 image is in more than one class, byte for byte; `intelbench data check {root}`" in note


def test_less_than_a_batch_is_refused(root: Path) -> None:
    """Sixteen images train in batches of 16 and not of 17; the message gives both numbers and the key."""
    assert load(root, msgspec.structs.replace(CONDITIONS, recipe=Recipe(batch_size=16)))
    with pytest.raises(UserError, match=r"16 training images are less than one batch, .* `recipe.batch_size` is 17"):
        load(root, msgspec.structs.replace(CONDITIONS, recipe=Recipe(batch_size=17)))


def test_copies_in_train_and_test_are_counted(root: Path) -> None:
    """A test image that also trains is counted once for each such test image."""
    shutil.copy(root / "train" / "day" / "000.png", root / "test" / "day" / "copy.png")
    shutil.copy(root / "train" / "day" / "000.png", root / "test" / "day" / "copy2.png")
    shutil.copy(root / "train" / "night" / "004.png", root / "test" / "night" / "004.png")
    assert 3 == load(root).facts.num_train_test_duplicates


@pytest.mark.parametrize("splits", ["train test", ""])
def test_no_copy_stands_on_both_sides_of_a_carved_split(tmp_path: Path, splits: str) -> None:
    """Copies under other names, in one class or in two, are all trained on or all held out."""
    root = write_folder(tmp_path / "data", per_class=30, splits=splits)
    home = root / splits.split()[0] if splits else root
    for index in range(15):
        shutil.copy(home / "day" / f"{index:03d}.png", home / "day" / f"copy{index}.png")
        shutil.copy(home / "night" / f"{index:03d}.png", home / "day" / f"wrong{index}.png")
    loaded = load(root)
    rows = [set(split.rows) for split in (loaded.train, loaded.validation, loaded.test)]
    assert set() == rows[0] & rows[1]
    assert set() == rows[0] & rows[2]
    assert set() == rows[1] & rows[2]
    assert 0 == loaded.facts.num_train_test_duplicates


def test_copies_share_a_row_and_keep_their_own_label(root: Path) -> None:
    """Equal contents are decoded once, and each file keeps the label of its folder."""
    shutil.copy(root / "test" / "day" / "000.png", root / "test" / "night" / "zzz.png")
    loaded = load(root)
    row_of = dict(zip(loaded.test.ids, loaded.test.rows, strict=True))
    assert row_of["test/day/000.png"] == row_of["test/night/zzz.png"]
    assert 1 == loaded.test.labels[loaded.test.ids.index("test/night/zzz.png")]
    assert 40 == len(loaded.paths)


def test_subset_of_a_split() -> None:
    """Ids, labels and rows of the positions, in their order."""
    split = Split(("a", "b", "c"), (0, 1, 0), (5, 6, 7))
    assert Split(("c", "a"), (0, 0), (7, 5)) == split.subset([2, 0])
    assert 3 == len(split)


@pytest.mark.parametrize(("size", "side"), [(224, 256), (96, 110), (75, 86), (299, 342), (8, 9)])
def test_stored_side_is_what_evaluation_resizes_to(size: int, side: int) -> None:
    """256 for 224 and in that proportion for other sizes."""
    assert side == stored_side(size)


def test_names_in_messages_are_escaped(root: Path) -> None:
    """A file name cannot colour the terminal nor add a line to the list of the unreadable."""
    (root / "train" / "day" / "\x1b[31mx\n  all is well.jpg").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        load(root)
    assert 3 == len(str(caught.value).splitlines())
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_real_images_are_prepared(real_images: Path, tmp_path: Path) -> None:
    """The published layout: six classes, the test split given, the unlabelled images left alone."""
    conditions = msgspec.structs.replace(CONDITIONS, validation_fraction=0.1)
    loaded = prepare(str(real_images), conditions, tmp_path, use_cache=False)
    assert ("buildings", "forest", "glacier", "mountain", "sea", "street") == loaded.facts.class_names
    assert "given" == loaded.facts.test_origin
    assert 0 == loaded.facts.num_unreadable
    assert not any("seg_pred" in each for each in loaded.paths)
    assert {0, 1, 2, 3, 4, 5} == set(loaded.validation.labels)


def test_images_of_every_kind_in_one_folder(tmp_path: Path) -> None:
    """Grey, palette and transparent images stand beside RGB, and all become batches."""
    root = write_folder(tmp_path / "data", per_class=4)
    for index, mode in enumerate(["L", "P", "RGBA", "CMYK"]):
        suffix = "jpg" if mode == "CMYK" else "png"
        write_image(tmp_path / "x.png", seed=99 + index)
        Image.open(tmp_path / "x.png").convert(mode).save(root / "train" / "day" / f"{mode}.{suffix}")
    loaded = load(root)
    stream = TrainingStream(loaded.train, loaded.pixels(), CONDITIONS, seed=0)
    assert (4, 24, 24, 3) == tuple(stream.batch(0).inputs.shape)
