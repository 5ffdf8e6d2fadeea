"""What names of files and folders are understood to say."""

import pytest

from intelbench.data.names import (
    IMAGE_SUFFIXES,
    SplitName,
    are_annotations,
    class_name,
    is_container,
    is_hidden,
    is_image,
    is_system_folder,
    is_unlabelled,
    likeness,
    split_of,
)


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "TRAIN", "training", "training_set", "train_images", "Train Data", "TrainData", "trainset",
                   "seg_train", "train2017", "01-train", "trainval", "training data set"]),
        ("test", ["test", "testing", "test_set", "test_images", "Test Data", "testData", "seg_test", "test1"]),
        ("validation", ["val", "valid", "validation", "validation_set", "val_images", "dev", "devset", "eval",
                        "Evaluation Set", "valData"]),
    ],
)  # fmt: skip
def test_folders_that_are_named_for_a_split(split: str, names: list[str]) -> None:
    """A word for the split, in any case, and words that only say that there are images."""
    assert [SplitName(split, ())] * len(names) == [split_of(name) for name in names]


@pytest.mark.parametrize(
    "name",
    ["bus", "trains", "trainer", "testimony", "contest", "invalid", "value", "devil", "evaluate", "train_test",
     "images", "2024", "retrain", "latest", ""],
)  # fmt: skip
def test_folders_that_are_not_named_for_a_split(name: str) -> None:
    """The word is one by itself, and there is one."""
    assert split_of(name) is None


def test_other_words_are_kept() -> None:
    """They say of which data set it is a split, or that it is none: a railway station."""
    assert SplitName("train", ("asl", "alphabet")) == split_of("asl_alphabet_train")
    assert SplitName("train", ("station",)) == split_of("train station")


def test_a_long_name_is_read_at_once() -> None:
    """However many words of a split's name it repeats."""
    assert split_of("dataset" * 30) is None
    assert split_of("setdata" * 30 + "train") is None


def test_words_that_say_nothing_of_a_class() -> None:
    """Of images in general, of images without labels, of masks; a number says something."""
    assert all(map(is_container, ["images", "Data", "image_data", "IMG", "data set"]))
    assert not any(map(is_container, ["cats", "cat images", "2024", ""]))
    assert all(map(is_unlabelled, ["seg_pred", "images to predict", "unlabelled", "extra"]))
    assert not any(map(is_unlabelled, ["cats", "extraordinary", "predator"]))
    assert are_annotations(["images", "masks"])
    assert are_annotations(["images", "labels", "segmentation_masks"])
    assert not any(
        map(are_annotations, [["images"], ["mask", "masks"], ["mask", "no_mask"], ["cats", "masks"], ["0", "1"]])
    )


def test_what_systems_leave_behind() -> None:
    """Hidden files, thumbnails and settings by name; bins, snapshots and thumbnails of disks, in any case."""
    assert all(map(is_hidden, [".DS_Store", "._0.jpg", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints", "Icon\r"]))
    assert not any(map(is_hidden, ["0.jpg", "thumbs", "labels.csv"]))
    systems = ["@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@Recycle"]
    assert all(map(is_system_folder, systems))
    assert not any(map(is_system_folder, ["thumbs", "recycle", "cats"]))


def test_images_by_their_names() -> None:
    """Every suffix that JPEG files have, and formats that cannot be read, so that they are not passed over."""
    assert {suffix.lower() for suffix in IMAGE_SUFFIXES} == IMAGE_SUFFIXES
    assert all(map(is_image, ["a.JPG", "a.jfif", "a.jpe", "a.b.Png", "a.HEIC", "a.avif", "a.jp2"]))
    assert not any(map(is_image, ["a", "jpg", "a.txt", "a.jpg.part"]))


def test_the_same_letter_written_in_two_ways_is_one() -> None:
    """As file systems do; what differs in case or spaces is another class of a like name."""
    assert class_name("cafe\u0301") == class_name("caf\xe9") == "caf\xe9"
    assert class_name("Cat") != class_name("cat")
    assert likeness("Cat ") == likeness("cat")
    assert likeness("\ufb01sh") == likeness("fish")
    assert likeness("cat") != likeness("cats")
