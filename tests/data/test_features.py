"""Features are computed once, appear whole or not at all, and a damaged file counts as none."""

import shutil
from pathlib import Path

import pytest
import torch

from intelbench.data.features import FeatureStore

VALUES = torch.arange(6, dtype=torch.bfloat16).view(3, 2)


class Computing:
    """Computes, and counts how often."""

    calls = 0

    def __call__(self) -> torch.Tensor:
        """The features."""
        self.calls += 1
        return VALUES


@pytest.fixture
def computing() -> Computing:
    """Nothing computed yet."""
    return Computing()


def test_what_was_computed_is_read_back(tmp_path: Path, computing: Computing) -> None:
    """In its type, with the seconds it took, and by whoever asks for the same."""
    first = FeatureStore(tmp_path / "features").get(("a", 1), computing)
    second = FeatureStore(tmp_path / "features").get(("a", 1), computing)
    assert 1 == computing.calls
    assert (False, True) == (first.stored, second.stored)
    assert first.seconds == second.seconds > 0
    assert torch.equal(VALUES, second.values)
    assert torch.bfloat16 == second.values.dtype
    FeatureStore(tmp_path / "features").get(("a", 2), computing)
    assert 2 == computing.calls
    assert 2 == len(list((tmp_path / "features").iterdir()))


def test_without_a_folder_nothing_is_kept(computing: Computing) -> None:
    """Each time is the first."""
    store = FeatureStore(None)
    assert not store.get("a", computing).stored
    assert not store.get("a", computing).stored
    assert 2 == computing.calls


@pytest.mark.parametrize("content", [b"", b"damaged", b"half"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, computing: Computing, content: bytes) -> None:
    """And is whole afterwards."""
    store = FeatureStore(tmp_path)
    store.get("a", computing)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:200] if content == b"half" else content)
    assert torch.equal(VALUES, store.get("a", computing).values)
    assert 2 == computing.calls
    assert store.get("a", computing).stored


@pytest.mark.parametrize("content", [None, 3, [VALUES], VALUES, {"values": VALUES}, {"values": 3, "seconds": 1.0}])
def test_another_file_is_computed_again(tmp_path: Path, computing: Computing, content: object) -> None:
    """A file of something else does not end the run."""
    store = FeatureStore(tmp_path)
    store.get("a", computing)
    (path,) = tmp_path.iterdir()
    torch.save(content, path)
    assert torch.equal(VALUES, store.get("a", computing).values)
    assert 2 == computing.calls


def test_a_flipped_byte_of_a_feature_is_found(tmp_path: Path, computing: Computing) -> None:
    """The features are computed again: PyTorch would return another number."""
    store = FeatureStore(tmp_path)
    store.get("a", computing)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[content.index(VALUES.view(torch.uint8).numpy().tobytes()) + 3] ^= 1
    path.write_bytes(content)
    assert torch.equal(VALUES, store.get("a", computing).values)
    assert 2 == computing.calls


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_folder_that_is_removed_while_features_are_stored(
    tmp_path: Path, computing: Computing, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """It can be deleted at any time: the run has its features, and the next one stores them."""
    folder, save = tmp_path / "features", torch.save

    def save_and_remove(content: object, path: Path) -> None:
        if moment == "before":
            shutil.rmtree(folder)
        save(content, path)
        shutil.rmtree(folder)

    monkeypatch.setattr(torch, "save", save_and_remove)
    assert torch.equal(VALUES, FeatureStore(folder).get("a", computing).values)
    monkeypatch.undo()
    assert not FeatureStore(folder).get("a", computing).stored
    assert FeatureStore(folder).get("a", computing).stored


def test_a_computation_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk neither."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        FeatureStore(tmp_path).get("a", Computing())
    assert [] == list(tmp_path.iterdir())
