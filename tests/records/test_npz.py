"""Arrays that numpy wrote are read as numpy reads them; other content is refused before it takes memory."""

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, unicode_string_dtypes

from intelbench.records import npz
from intelbench.records.npz import MAX_ARRAYS, MAX_UNPACKED_BYTES, Archive

dtypes = st.one_of(st.sampled_from(["<f4", "<f8", "<i2", "<i8", "|u1", "|b1"]), unicode_string_dtypes(max_len=5))
plain = dtypes.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
names = st.text("abcdefghijklmnopqrstuvwxyz_äß", min_size=1, max_size=12)


def saved(*, compressed: bool = True, **content: np.ndarray) -> bytes:
    """Return the bytes of an archive as a run writes it."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **content)
    return file.getvalue()


def zipped(member: bytes, *, name: str = "a.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, member)
    return file.getvalue()


def npy(shape: str, descr: str = "'<f8'", data: bytes = b"") -> bytes:
    """Return an array file that declares this shape."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@given(st.dictionaries(names, plain, max_size=4), st.booleans())
def test_what_numpy_writes_is_read_bit_for_bit(content: dict[str, np.ndarray], compressed: bool) -> None:
    """Any plain arrays, compressed or not, keep their order and their names."""
    found = Archive(saved(compressed=compressed, **content))
    assert list(content) == list(found)
    for name, expected in content.items():
        assert (expected.dtype, expected.shape) == (found[name].dtype, found[name].shape)
        assert expected.tobytes() == found[name].tobytes()


def test_arrays_in_fortran_order_keep_their_shape() -> None:
    """The file has the columns first, and the values are equal."""
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert values.tolist() == Archive(saved(a=values))["a"].tolist()


@pytest.mark.parametrize(
    "member",
    [
        npy("(1000000000000000,)"),
        npy("(1250000000,)"),
        npy("(-1,)"),
        npy("(9223372036854775807, 9223372036854775807)"),
        npy("(1000000000000, 0)"),
        npy("(0, 1000000000000)"),
        npy("(1,)", "'|O'", b"\x80\x04K\x01."),
        npy("(1,)", "'|V8'", bytes(8)),
        npy("(1000000000000,)", "'<U0'"),
        npy("(1,)", "[('x', '<f8')]", bytes(8)),
        npy("(1,)", "'<U2147483647'"),
        npy("(True,)", data=bytes(8)),
        npy("(" + "(" * 3000 + ")" * 3000 + ",)"),
        npy("(1" + "0" * 5000 + ",)"),
        npy("(" + "1, " * 100 + ")", data=bytes(8)),
        npy("(__import__('os').system('true'),)", data=bytes(8)),
        npy("(2,)", data=bytes(8)),
        npy("(1,)", data=bytes(16)),
        npy("(5,)" + ")" * 79).replace(b"': False", b"'alqe"),
        npy("(0, 2)\r\r, ", "'8U5'"),
        b"",
        b"\x93NUMPY",
        b"not an array",
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_what_is_no_plain_array_is_refused(member: bytes, method: int) -> None:
    """Absurd shapes, objects, structures, code, and too much or too little data are refused."""
    with pytest.raises(ValueError, match="the array 'a' is damaged"):
        Archive(zipped(member, method=method))["a"]


@pytest.mark.parametrize("content", [b"", b"PK", npy("(1,)", data=bytes(8)), npy("(0, 2)\r\r, ", "'8U5'"), bytes(22)])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    """An empty file, a bare array and zeros are refused."""
    with pytest.raises(ValueError, match=r"its directory is damaged|does not end as a \.npz file"):
        Archive(content)


def test_archives_share_their_texts() -> None:
    """Equal ids are one array; a damaged copy of them is still refused."""
    content, texts = saved(ids=np.array(["a", "b"]), a=np.zeros(3)), {}
    first, second = Archive(content, texts), Archive(content, texts)
    assert first["ids"] is second["ids"]
    assert first["a"] is not second["a"]
    damaged = bytearray(content)
    place = damaged.index(b"PK\1\2") + 16
    damaged[place] ^= 1
    with pytest.raises(ValueError, match="the array 'ids' is damaged: its checksum does not match"):
        Archive(bytes(damaged), texts)["ids"]


def test_the_other_arrays_of_a_damaged_file_can_be_read() -> None:
    """Reading the damaged array raises; the other arrays are available."""
    content = bytearray(saved(a=np.ones(3), b=np.zeros(3)))
    content[content.rindex(b"PK\1\2") + 16] ^= 1
    archive = Archive(bytes(content))
    assert [1, 1, 1] == archive["a"].tolist()
    with pytest.raises(ValueError, match="the array 'b' is damaged"):
        archive["b"]


def test_a_bomb_is_not_unpacked() -> None:
    """Neither an archive that declares its size nor one that hides it takes more memory than it declares."""
    claimed = bytearray(saved(a=np.zeros(1000)))
    struct.pack_into("<L", claimed, claimed.rindex(b"PK\1\2") + 24, MAX_UNPACKED_BYTES + 1)
    with pytest.raises(ValueError, match="at most 536,870,912 are read"):
        Archive(bytes(claimed))
    struct.pack_into("<L", claimed, claimed.rindex(b"PK\1\2") + 24, 100)
    with pytest.raises(ValueError, match="damaged"):
        Archive(bytes(claimed))["a"]


def test_too_many_arrays_are_refused() -> None:
    """They are refused before any of them is read."""
    number = MAX_ARRAYS + 1
    with pytest.raises(ValueError, match="does not end as"):
        Archive(saved(compressed=False, **{f"a{place}": np.zeros(0) for place in range(number)}))


def test_other_kinds_of_packing_are_refused() -> None:
    """A compression that numpy does not use is refused, and so are two arrays with the same name."""
    with pytest.raises(ValueError, match="packed in a way"):
        Archive(zipped(npy("()", data=bytes(8)), method=zipfile.ZIP_BZIP2))["a"]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.npy", npy("()", data=bytes(8)))
        archive.writestr("a.npy", npy("()", data=bytes(8)))
    with pytest.raises(ValueError, match="directory is damaged"):
        Archive(file.getvalue())


CONTENT = saved(step_loss=np.linspace(2, 1, 20), test_ids=np.array(["sea/ä.jpg", "b"]), empty=np.zeros((0, 3)))


def unpack_all(content: bytes) -> dict[str, np.ndarray] | None:
    """Return the arrays, or `None` if they are refused."""
    try:
        return dict(Archive(content))
    except ValueError:
        return None


def test_every_truncation_is_seen() -> None:
    """A file that is cut at any byte is refused."""
    assert unpack_all(CONTENT) is not None
    assert {None} == {unpack_all(CONTENT[:length]) for length in range(len(CONTENT))}


@given(st.integers(0, 8 * len(CONTENT) - 1))
@example(8 * (len(CONTENT) - 12))  # the number of arrays: one would be lost
@settings(max_examples=400)
def test_a_flipped_bit_is_seen_or_changes_nothing(place: int) -> None:
    """At any position, the arrays are as written, under any name, or refused."""
    flipped = bytearray(CONTENT)
    flipped[place // 8] ^= 1 << place % 8
    found = unpack_all(bytes(flipped))
    if found is not None:
        expected = [array.tobytes() for array in Archive(CONTENT).values()]
        assert expected == [array.tobytes() for array in found.values()]


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_header_is_read_or_refused(header: bytes) -> None:
    """A header with a correct signature and checksum raises nothing but `ValueError`."""
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80)
    unpack_all(zipped(member))


@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.binary(max_size=8)), max_size=6))
@settings(max_examples=400)
def test_any_damage_is_read_or_refused(damage: list[tuple[int, bytes]]) -> None:
    """Several bytes anywhere are overwritten, also in the directory."""
    content = bytearray(CONTENT)
    for place, piece in damage:
        content[place : place + len(piece)] = piece
    unpack_all(bytes(content))


def test_nothing_is_unpacked_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report reads only some of the arrays."""
    unpacked = []
    monkeypatch.setattr(npz, "_unpacked", lambda _, member: unpacked.append(member) or npy("()", data=bytes(8)))
    archive = Archive(CONTENT)
    assert ["step_loss", "test_ids", "empty"] == list(archive)
    assert 0 == archive["empty"]
    assert 1 == len(unpacked)
