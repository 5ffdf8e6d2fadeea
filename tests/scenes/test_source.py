"""The drawn data set: deterministic, laid out as published, and no giveaway to a linear classifier."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from intelbench.errors import UserError
from intelbench.records.atomic import is_intact
from intelbench.scenes import source as scenes


def images(split: str, per_class: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (N, 150, 150, 3) of every class and their labels (N,)."""
    drawn = [
        scenes.draw(name, seed=0, split=split, index=index) for name in scenes.CLASSES for index in range(per_class)
    ]
    return np.stack(drawn), np.repeat(np.arange(len(scenes.CLASSES)), per_class)


def test_classes_are_those_of_the_intel_set() -> None:
    """The six names, sorted, as the folders of the Intel set are called."""
    assert ("buildings", "forest", "glacier", "mountain", "sea", "street") == scenes.CLASSES


@pytest.mark.parametrize("name", scenes.CLASSES)
def test_a_picture_is_rgb_and_has_content(name: str) -> None:
    """Every class draws 150 x 150 8-bit RGB with contrast in it, over a range of indices."""
    for index in range(12):
        picture = scenes.draw(name, seed=3, split="train", index=index)

        assert (150, 150, 3) == picture.shape
        assert np.uint8 == picture.dtype
        assert picture.std() > 8


@pytest.mark.parametrize("name", scenes.CLASSES)
def test_pixels_depend_on_the_arguments_alone(name: str) -> None:
    """The same call gives the same pixels, whatever the state of the global generators, and leaves it untouched."""
    first = scenes.draw(name, seed=0, split="train", index=5)
    np.random.seed(1)  # noqa: NPY002  # the global state is what the test is about
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    scenes.draw(name, seed=0, split="train", index=6)
    second = scenes.draw(name, seed=0, split="train", index=5)

    assert np.array_equal(first, second)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


def test_seed_split_and_index_each_change_the_picture() -> None:
    """No argument is ignored."""
    base = scenes.draw("sea", seed=0, split="train", index=0)

    assert not np.array_equal(base, scenes.draw("sea", seed=1, split="train", index=0))
    assert not np.array_equal(base, scenes.draw("sea", seed=0, split="test", index=0))
    assert not np.array_equal(base, scenes.draw("sea", seed=0, split="train", index=1))


def test_no_two_pictures_are_equal() -> None:
    """A sample over classes and splits holds no duplicate, so no test picture was trained on."""
    drawn = np.concatenate([images("train", 20)[0], images("test", 20)[0]])

    assert len(drawn) == len({picture.tobytes() for picture in drawn})


def test_an_unknown_class_names_the_accepted_ones() -> None:
    """The error says what was wrong and what is accepted."""
    with pytest.raises(ValueError, match=r"'desert'.*buildings, forest, glacier, mountain, sea, street"):
        scenes.draw("desert", seed=0, split="train", index=0)


def test_write_lays_the_set_out_as_published(tmp_path: Path) -> None:
    """seg_train/seg_train/<class> and seg_test/seg_test/<class> hold the counts asked for, losslessly."""
    root = tmp_path / "cache" / "scenes"
    scenes.write(root, seed=2, train_per_class=3, test_per_class=2)

    for name in scenes.CLASSES:
        train, test = root / "seg_train" / "seg_train" / name, root / "seg_test" / "seg_test" / name
        assert ["00000.png", "00001.png", "00002.png"] == sorted(path.name for path in train.iterdir())
        assert ["00000.png", "00001.png"] == sorted(path.name for path in test.iterdir())
        with Image.open(test / "00001.png") as stored:
            assert np.array_equal(scenes.draw(name, seed=2, split="test", index=1), np.asarray(stored))
    assert [root] == list(root.parent.iterdir())


def test_the_loser_of_a_race_discards_its_copy(tmp_path: Path) -> None:
    """Writing to a root that is already there, or is made meanwhile, succeeds, changes nothing and leaves no draft."""
    root = tmp_path / "scenes"
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: scenes.write(root, train_per_class=2, test_per_class=1), range(3)))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    scenes.write(root, train_per_class=2, test_per_class=1)

    assert 18 == len(before)
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*.png")}
    assert [root] == list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root appears whole or not at all."""

    def full(self: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=rf"cache {tmp_path}: cannot be written \(No space left on device\)"):
        scenes.write(tmp_path / "scenes", train_per_class=2, test_per_class=1)

    assert [] == list(tmp_path.iterdir())


def test_the_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    """Anybody can check the set without this package."""
    root = tmp_path / "scenes"
    scenes.write(root, train_per_class=2, test_per_class=1)
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=root, capture_output=True, text=True, check=True)
    assert 18 == done.stdout.count(": OK")


@pytest.mark.parametrize(
    "damage",
    [
        lambda picture: picture.unlink(),
        lambda picture: picture.write_bytes(picture.read_bytes()[:-1]),
        lambda picture: picture.write_bytes(picture.read_bytes().replace(b"IDAT", b"IDAU")),
        lambda picture: picture.rename(picture.with_name("other.png")),
        lambda picture: picture.with_name("mine.jpg").write_bytes(b"x"),
        lambda picture: (picture.parents[3] / "SHA256SUMS").unlink(),
        lambda picture: (picture.parents[3] / "SHA256SUMS").write_bytes(b"\xff"),
        lambda picture: (picture.parents[3] / "seg_train").rename(picture.parents[3] / "train"),
    ],
)
def test_a_set_that_was_changed_is_not_intact(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """A picture gone, cut, altered, renamed or added; its sums gone or altered."""
    root = tmp_path / "scenes"
    scenes.write(root, train_per_class=1, test_per_class=1)
    assert is_intact(root)
    damage(root / "seg_train" / "seg_train" / "sea" / "00000.png")
    assert not is_intact(root)
    assert not is_intact(tmp_path / "nowhere")


def test_a_linear_classifier_is_neither_lost_nor_done() -> None:
    """Ridge regression on 25 x 25 pixels beats chance clearly and stays below 75 %: a cue, not the answer."""
    train, train_labels = images("train", 80)
    test, test_labels = images("test", 40)

    def features(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        tiles = pictures.reshape(len(pictures), 25, 6, 25, 6, 3)
        means: NDArray[np.float64] = tiles.mean(axis=(2, 4)).reshape(len(pictures), -1) / 255
        return means

    x, probe = features(train), features(test)
    centre = x.mean(axis=0)
    x, probe = x - centre, probe - centre
    targets = np.eye(len(scenes.CLASSES))[train_labels]
    weights = x.T @ np.linalg.solve(x @ x.T + 10.0 * np.eye(len(x)), targets - targets.mean(axis=0))
    accuracy = float(np.mean((probe @ weights).argmax(axis=1) == test_labels))

    assert 0.3 < accuracy < 0.75
