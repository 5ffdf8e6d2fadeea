"""Which folders are splits, which are classes, and when that cannot be known."""

import shutil
from pathlib import Path

import pytest

from intelbench.data import layout
from intelbench.data.layout import Layout, find_layout
from intelbench.errors import UserError
from tests.data.test_folder import lay


def both(*folders: str, classes: str = "ab") -> list[str]:
    """An image of each class in each folder."""
    return [f"{folder}/{name}/1.jpg" for folder in folders for name in classes]


def found(root: Path, names: list[str]) -> Layout:
    """The layout of these files."""
    return find_layout(lay(root, *names))


def folders(root: Path, names: list[str]) -> dict[str, str]:
    """The folder of each split, below the root."""
    return {split: folder.relative_to(root).as_posix() for split, folder in found(root, names).folders.items()}


def refusal(root: Path, names: list[str]) -> str:
    """What is said of these files, with ROOT for the root's path."""
    with pytest.raises(UserError) as caught:
        found(root, names)
    message = str(caught.value)
    assert message.isprintable()
    return message.replace(str(root), "ROOT")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("training_set/training_set", "test_set/test_set"),
        ("train_images", "test_images"),
        ("Train Data", "Test Data"),
        ("TRAIN", "TEST"),
        ("training", "testing"),
        ("train", "dev"),
        ("train", "eval"),
        ("train", "validation_set"),
        ("dataset/train", "dataset/test"),
        ("archive/seg_train/seg_train", "archive/seg_test/seg_test"),
        ("asl_train", "asl_test"),
        ("asl_train/asl_train", "asl_test/asl_test"),
        ("train/images", "test/images"),
    ],
)
def test_splits_under_common_names(tmp_path: Path, train: str, test: str) -> None:
    """Two folders are the splits, and what they hold are the classes."""
    assert {"train": train, "test": test} == folders(tmp_path, both(train, test))
    assert ("a", "b") == find_layout(tmp_path).class_names


def test_three_splits_come_in_one_order(tmp_path: Path) -> None:
    """Whatever order the disk lists them in."""
    assert ["train", "validation", "test"] == list(folders(tmp_path, both("test", "valid", "train")))


def test_a_lone_validation_split_is_the_test_split_and_it_is_said(tmp_path: Path) -> None:
    """Many folders mean it so."""
    assert (f"data {tmp_path}: val/ is the test split, because there is no other",) == found(
        tmp_path, both("train", "val")
    ).remarks


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        (both("Train", "train", "test"), "2 folders for the train split: Train and train"),
        (both("train", "training", "test"), "2 folders for the train split: train and training"),
        (both("train", "val", "validation", "test"), "2 folders for the validation split: val and validation"),
        (both("train", "test1", "test2"), "2 folders for the test split: test1 and test2"),
        (
            both("x_train", "x_test", "y_train", "y_test"),
            "the splits of 2 data sets: x_test, x_train, y_test and y_train",
        ),
    ],
)
def test_two_folders_for_one_split_are_refused(tmp_path: Path, names: list[str], twice: str) -> None:
    """Which one is meant cannot be known; both are named."""
    assert f"data ROOT: has {twice}" in refusal(tmp_path, names)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            both("fold0", "fold1", "fold2"),
            "fold0, fold1 and fold2 hold no images, but folders of the same names (a and b)",
        ),
        (both("2023", "2024"), "2023 and 2024 hold no images, but folders of the same names (a and b)"),
        ([*both("2023", "2024"), "cover/1.jpg"], "2023 and 2024 hold no images, but folders of the same names"),
        (both("v1/train", "v2/train"), "v1 and v2 each hold folders that are named like splits"),
        (both("cats", "dogs", classes=["train", "test"]), "cats and dogs each hold folders that are named like splits"),
        ([*both("old/train", "old/test"), "cats/1.jpg"], "old holds folders that are named like splits, and cats hold"),
    ],
)
def test_folders_that_look_like_versions_are_refused(tmp_path: Path, names: list[str], says: str) -> None:
    """A network would learn to tell the folds apart. What was seen is said, and what to give."""
    message = refusal(tmp_path, names)
    assert says in message
    assert "give" in message


def test_what_a_refusal_says_to_give_is_accepted(tmp_path: Path) -> None:
    """One of the folders, or all of them in a folder train/."""
    assert "give one of the folders, as in ROOT/fold0" in refusal(tmp_path, both("fold0", "fold1"))
    assert ("a", "b") == find_layout(tmp_path / "fold0").class_names
    (tmp_path / "train").mkdir()
    for name in ("fold0", "fold1"):
        (tmp_path / name).rename(tmp_path / "train" / name)
    assert ("fold0", "fold1") == find_layout(tmp_path).class_names
    assert ("fold0", "fold1") == find_layout(tmp_path / "train").class_names


@pytest.mark.parametrize(
    "names",
    [
        ["cats/siamese/1.jpg", "cats/persian/white/1.jpg", "dogs/1.jpg"],
        ["cats/siamese/1.jpg", "cats/persian/1.jpg", "dogs/pug/1.jpg", "dogs/boxer/1.jpg"],
        ["cats/images/1.jpg", "dogs/images/1.jpg"],
        ["cats/2024/1.jpg", "dogs/2024/1.jpg"],
    ],
)
def test_classes_may_hold_folders(tmp_path: Path, names: list[str]) -> None:
    """Folders in a class are part of it, unless two classes have several of the same names."""
    assert ("cats", "dogs") == found(tmp_path, names).class_names


def test_classes_of_a_split_may_hold_the_same_folders(tmp_path: Path) -> None:
    """That they are classes is known from where they are."""
    names = [f"train/{name}/{kind}/1.jpg" for name in ("cats", "dogs") for kind in ("indoors", "outdoors")]
    assert ("cats", "dogs") == found(tmp_path, names).class_names


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        ("bus car train", ["bus/1.jpg", "car/1.jpg", "train/1.jpg"]),
        ("bus car train", ["bus/1.jpg", "car/1.jpg", "train/steam/1.jpg", "train/diesel/1.jpg"]),
        ("invalid valid", ["invalid/1.jpg", "valid/1.jpg"]),
        ("control test", ["control/1.jpg", "test/1.jpg"]),
    ],
)
def test_a_class_that_is_called_like_a_split(tmp_path: Path, classes: str, names: list[str]) -> None:
    """The folders next to it hold images themselves, so they are classes; and it is said."""
    layout_found = found(tmp_path, names)
    assert tuple(classes.split()) == layout_found.class_names
    (remark,) = layout_found.remarks
    assert "is a class here, because folders next to it hold images themselves" in remark


def test_classes_of_a_split_that_are_called_like_splits(tmp_path: Path) -> None:
    """Nothing is read into the names of classes where the splits are known."""
    names = both("train", "test", classes=["bus", "train", "valid", "test"])
    assert ("bus", "test", "train", "valid") == found(tmp_path, names).class_names


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["cats/1.jpg", "dogs/1.jpg", "test/1.jpg"], "has test but no training folder; if that is a class, move it"),
        ([*both("train"), *both(".")], None),
        (["train/1.jpg", "unlabelled/1.jpg"], "its images are in no class folder"),
        (["train/1.jpg", "test/1.jpg", "sample/1.jpg"], "its images are in no class folder"),
    ],
)
def test_images_without_labels_are_no_class(tmp_path: Path, names: list[str], says: str | None) -> None:
    """A folder is no class because it holds images: they may be those to predict."""
    if says is None:
        assert {"train": "train"} == folders(tmp_path, names)
    else:
        assert says in refusal(tmp_path, names)


@pytest.mark.parametrize("images", ["test/1.jpg", "test/images/1.jpg", "test/test/1.jpg"])
def test_a_test_folder_without_labels_is_refused_for_that(tmp_path: Path, images: str) -> None:
    """The true reason, and the way out, which works."""
    message = refusal(tmp_path, [*both("train"), images])
    assert (
        "its images are in no class folder, so they have no labels; sort them into a and b, or give ROOT/train"
        in message
    )
    assert {"train"} == find_layout(tmp_path / "train").folders.keys()


def test_folders_that_are_not_used_are_named(tmp_path: Path) -> None:
    """Next to the splits, also where these are one level down."""
    names = [*both("set/train", "set/test"), "set/to predict/1.jpg", "notes/x.txt"]
    assert (f"data {tmp_path}: not used: notes and set/to predict",) == found(tmp_path, names).remarks


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["train/images/1.jpg", "train/masks/1.jpg"],
            "images and masks are parts of a set for detection or segmentation",
        ),
        (["images/1.jpg", "train.csv"], "labels in file names or tables are not read"),
        (["train/cat.1.jpg"], "labels in file names or tables are not read"),
        (["train.zip"], "unpack train.zip"),
        (["photos/a/1.jpg", "photos/b/1.jpg"], "if the folders in it are the classes, give ROOT/photos"),
        (both("train", "test", classes="a"), "has 1 class folder, at least 2 are needed; there is only 'a'"),
    ],
)
def test_the_reason_is_what_is_there(tmp_path: Path, names: list[str], says: str) -> None:
    """And not only that something else was expected."""
    assert says in refusal(tmp_path, names)


def test_one_class_under_two_forms_of_a_name(tmp_path: Path) -> None:
    """Splits that two systems wrote have the same classes; two such folders in one split are refused."""
    composed, decomposed = "caf\xe9", "cafe\u0301"
    names = [f"train/{composed}/1.jpg", "train/b/1.jpg", f"test/{decomposed}/1.jpg", "test/b/1.jpg"]
    layout_found = found(tmp_path, names)
    assert ("b", composed) == layout_found.class_names
    assert tmp_path / "test" / decomposed == layout_found.class_folders["test"][1]
    message = refusal(tmp_path, [f"train/{decomposed}/1.jpg"])
    assert r"'cafe\u0301' and 'caf\xe9' differ only in how Unicode writes a letter" in message or (
        r"'caf\xe9' and 'cafe\u0301' differ only in how Unicode writes a letter" in message
    )


def test_classes_of_like_names_are_named(tmp_path: Path) -> None:
    """In one split they are two classes, and it is said; between splits the other spelling is."""
    (remark,) = found(tmp_path, both("train", classes=["Cat", "cat", "dog"])).remarks
    assert "classes 'Cat' and 'cat' differ only in case" in remark
    shutil.rmtree(tmp_path / "train" / "cat")
    message = refusal(tmp_path, both("test", classes=["cat", "dog"]))
    assert "class 'Cat' of ROOT/train is missing (there is 'cat'; give both the same name)" in message


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_folder_of_one_split_is_named(tmp_path: Path, split: str) -> None:
    """Rather than said to be missing in the other split, where nobody needs it."""
    message = refusal(tmp_path, [*both("train", "test"), f"{split}/empty/notes.txt"])
    assert message == f"data ROOT/{split}/empty: the class folder holds no image; add images or remove the folder"


def test_folders_of_systems_are_neither_splits_nor_classes(tmp_path: Path) -> None:
    """Whatever images they hold."""
    names = [*both("train", "test"), "train/@eaDir/a/1.jpg", "__MACOSX/train/a/._1.jpg", "$RECYCLE.BIN/1.jpg"]
    layout_found = found(tmp_path, names)
    assert ("a", "b") == layout_found.class_names
    assert () == layout_found.remarks


def test_too_many_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any of them is looked into."""
    monkeypatch.setattr(layout, "MAX_CLASSES", 2)
    assert "has 3 class folders; at most 2 are compared" in refusal(tmp_path, ["a/1.jpg", "b/1.jpg", "c/1.jpg"])


@pytest.mark.parametrize("name", ["unlabelled", "images"])
def test_a_class_whose_name_says_that_it_is_none_is_named(tmp_path: Path, name: str) -> None:
    """It may be one, so it is kept, but not without a word."""
    layout = found(tmp_path, [f"{each}/1.jpg" for each in ("cats", "dogs", name)])
    assert (name in layout.class_names) == (f"{name}/ is a class here" in " ".join(layout.remarks))
    assert name in layout.class_names
