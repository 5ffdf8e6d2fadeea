"""Links in a data folder are followed where that is safe."""

from pathlib import Path

import pytest

from intelbench.data.folder import content_digests, list_images
from tests.data.test_folder import ids, lay, refusal


def test_links_to_images_are_followed_wherever_they_lead(tmp_path: Path) -> None:
    """Data sets are often made of links into a store; each link is an image of its own name."""
    root = lay(tmp_path / "data", "a/1.jpg", "b/1.jpg")
    store = lay(tmp_path / "store", "blob") / "blob"
    (root / "a" / "2.jpg").symlink_to(store)
    (root / "b" / "2.jpg").symlink_to("../a/2.jpg")
    assert {"train": ["a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"]} == ids(list_images(root))
    digests, problems = content_digests(list(list_images(root).files()))
    assert {} == problems
    assert digests["a/2.jpg"] == digests["b/2.jpg"]


def test_linked_splits_and_classes_are_followed(tmp_path: Path) -> None:
    """Their author laid them so; they may lie anywhere else, and the root may be a link too."""
    store = lay(tmp_path / "store", "day/1.jpg", "night/1.jpg", "test/a/1.jpg", "test/b/1.jpg")
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "a").symlink_to(store / "day")
    (tmp_path / "data" / "train" / "b").symlink_to("../../store/night")
    (tmp_path / "data" / "test").symlink_to(store / "test")
    (tmp_path / "link").symlink_to("data")
    expected = {"train": ["train/a/1.jpg", "train/b/1.jpg"], "test": ["test/a/1.jpg", "test/b/1.jpg"]}
    assert expected == ids(list_images(tmp_path / "link"))


def test_linked_folders_below_a_class_are_not_followed(tmp_path: Path) -> None:
    """They could lead in a circle. They are named among what is left out, so that no image is missed in silence."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg", "other/1.jpg")
    for name, target in (("self", "."), ("up", ".."), ("across", "../b"), ("out.jpg", "/")):
        (tmp_path / "a" / name).symlink_to(target)
    listing = list_images(tmp_path)
    assert {"train": ["a/1.jpg", "b/1.jpg", "other/1.jpg"]} == ids(listing)
    assert ("a/across", "a/out.jpg", "a/self", "a/up") == listing.ignored


@pytest.mark.parametrize("target", [".", "..", "../..", "/", "../train"])
def test_a_class_that_links_to_what_holds_it_is_refused(tmp_path: Path, target: str) -> None:
    """It would hold every image of the others, and of itself."""
    lay(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/b/1.jpg")
    (tmp_path / "train" / "c").symlink_to(target)
    assert f"data {tmp_path / 'train' / 'c'}: a link to a folder that holds it; remove it" == refusal(tmp_path)


@pytest.mark.parametrize(
    ("target", "reason"), [("c", "Too many levels of symbolic links"), ("nowhere", "No such file")]
)
def test_a_class_that_links_nowhere_is_refused(tmp_path: Path, target: str, reason: str) -> None:
    """Whether a class is missing there cannot be known: passing it over would train on fewer."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "c").symlink_to(target)
    assert refusal(tmp_path).startswith(f"data {tmp_path / 'c'}: a link that leads nowhere ({reason}")


def test_a_root_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    """Like any other wrong path."""
    (tmp_path / "loop").symlink_to("loop")
    assert f"data {tmp_path / 'loop'}: Too many levels of symbolic links" == refusal(tmp_path / "loop")


def test_a_dangling_link_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    """A data set of links whose target is gone is reported file by file and not passed over."""
    lay(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / "2.jpg").symlink_to(tmp_path / "gone.jpg")
    listing = list_images(tmp_path)
    assert ["a/1.jpg", "a/2.jpg", "b/1.jpg"] == [file.id for file in listing.files()]
    assert ["a/2.jpg"] == list(content_digests(list(listing.files()))[1])
