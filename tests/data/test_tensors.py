"""Whatever happens to a file of tensors, it is read as it was written, or counts as damaged."""

import io
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intelbench.data.tensors import DamagedTensorsError, read_tensors


def _written() -> bytes:
    file = io.BytesIO()
    torch.save({"values": torch.arange(300.0), "seconds": 1.5}, file)
    return file.getvalue()


WRITTEN = _written()
DIRECTORY = WRITTEN.rindex(b"/data/0PK")
"""Position in the file of a name in its directory, after the attributes of that entry."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a file."""
    return tmp_path_factory.mktemp("tensors") / "values.pt"


def test_what_was_written(file: Path) -> None:
    """It is read back."""
    file.write_bytes(WRITTEN)
    content = read_tensors(file)
    assert torch.equal(torch.arange(300.0), content["values"])
    assert 1.5 == content["seconds"]


@given(position=st.integers(0, 8 * len(WRITTEN) - 1))
def test_a_flipped_bit(file: Path, position: int) -> None:
    """It is found, or changes nothing: PyTorch alone returns other numbers for most bits of a tensor."""
    changed = bytearray(WRITTEN)
    changed[position // 8] ^= 1 << position % 8
    file.write_bytes(changed)
    try:
        content = read_tensors(file)
    except (DamagedTensorsError, pickle.UnpicklingError):
        return
    assert torch.equal(torch.arange(300.0), content["values"])
    assert 1.5 == content["seconds"]


@pytest.mark.parametrize("size", [0, 1, 100, len(WRITTEN) // 2, len(WRITTEN) - 1])
def test_a_file_that_is_cut_short(file: Path, size: int) -> None:
    """It is damaged, and the error says something."""
    file.write_bytes(WRITTEN[:size])
    with pytest.raises(DamagedTensorsError, match=r"\w"):
        read_tensors(file)


def test_an_entry_that_became_a_folder(file: Path) -> None:
    """It is damaged: PyTorch returns whatever is in memory as its tensor."""
    changed = bytearray(WRITTEN)
    entry = WRITTEN.rindex(b"PK\1\2", 0, DIRECTORY)
    changed[entry + 38] |= 0x10
    file.write_bytes(changed)
    with pytest.raises(DamagedTensorsError, match="data/0"):
        read_tensors(file)


@pytest.mark.parametrize("content", [b"", b"damaged", b"\x80\x02]q\x00."])
def test_another_file(file: Path, content: bytes) -> None:
    """It is damaged, whatever it is."""
    file.write_bytes(content)
    with pytest.raises(DamagedTensorsError, match=r"\w"):
        read_tensors(file)


def test_a_file_that_has_gone(tmp_path: Path) -> None:
    """It is one that cannot be read."""
    with pytest.raises(DamagedTensorsError, match="No such file"):
        read_tensors(tmp_path / "gone.pt")
