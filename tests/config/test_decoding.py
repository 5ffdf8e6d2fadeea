"""Whatever lies in a file written by hand, it is read within bounds or refused in one clear message."""

import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from intelbench.config.decoding import MAX_BYTES, MAX_DOTS
from intelbench.config.suites import load_suite
from intelbench.errors import UserError
from intelbench.paths import shown_path
from intelbench.results.claims import load_claims

Read = Callable[[Path], object]
READERS: dict[str, Read] = {"suite": lambda path: load_suite(str(path)), "claims": load_claims}
VALID = {
    "suite": 'name = "s"\narchitectures = ["a"]\nseeds = [0]\nbudget.steps = 1\nrecipe.batch_size = 2\n',
    "claims": '[[claim]]\nid = "c"\nstatement = "s"\nsource = "r"\nmetric = "churn"\nrelation = "lower"\n'
    'architecture = "a"\n',
}
both = pytest.mark.parametrize("kind", list(READERS))


def refusal(kind: str, path: Path) -> str:
    """The message, which begins with kind and file."""
    with pytest.raises(UserError) as caught:
        READERS[kind](path)
    said = str(caught.value)
    assert said.startswith(f"{kind} {shown_path(path)}: ")
    return said.removeprefix(f"{kind} {shown_path(path)}: ")


@both
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    """A pipe, which nobody writes to, a folder and a device; a link that leads to itself, a name too long, none."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "device.toml").symlink_to("/dev/zero")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    for name in ("pipe", "folder", "device"):
        assert "is not a regular file; give a TOML file" == refusal(kind, tmp_path / f"{name}.toml")
    for name, reason in (
        ("loop", "Too many levels of symbolic links"),
        ("n" * 300, "File name too long"),
        ("none", "No such file or directory"),
        ("nu\0ll", "no file has such a name"),
    ):
        assert f"cannot be read ({reason}). Expected a TOML file" == refusal(kind, tmp_path / f"{name}.toml")


@both
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\xff", "cannot be read (byte 1 is not UTF-8)"),
        (b"a = 1 # \xed\xa0\x80", "cannot be read (byte 9 is not UTF-8)"),
        (b"\0", "not TOML: Invalid statement (at line 1, column 1)"),
        (b"[a.b]\n[a.b]", "not TOML: Cannot declare 'a.b' twice (at line 2, column 5)"),
        (b"[a]\n[a]", "not TOML: Cannot declare 'a' twice (at line 2, column 3)"),
        (b'name = "\0"', "Illegal character '\\x00' (at line 1"),
        (b"name = 1\nname = 2", "Cannot overwrite a value"),
        (b"name = " + b"[" * 100_000, "tables or arrays are nested too deeply"),
        (b"name = " + b"{a=" * 100_000, "tables or arrays are nested too deeply"),
        (b"name = 1" + b"0" * 5000, "a whole number has more than 4,300 digits"),
        (b"a." * 8000 + b"a = 1", "line 1 holds 8,000 dots; at most 100 are accepted"),
        (b"\n" + b'"\xe2\x80\xa8".' * 201 + b"a = 1", "line 2 holds 201 dots"),
        (b"name = 1979-05-27", "key `name`: not known|key `name`: 1979-05-27 is not accepted"),
    ],
)
def test_what_is_no_toml_or_too_much_of_it_is_refused(kind: str, content: bytes, said: str, tmp_path: Path) -> None:
    """Bytes that are no text, keys twice, nesting, digits and parts of a key without end."""
    path = tmp_path / "hostile.toml"
    path.write_bytes(content)
    found = refusal(kind, path)
    assert any(each in found for each in said.split("|")), found
    assert len(found) < 1000


@both
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_what_editors_do_to_a_file_is_read(kind: str, prefix: bytes, ending: bytes, tmp_path: Path) -> None:
    """A byte order mark and Windows' line endings change nothing."""
    plain, edited = tmp_path / "plain.toml", tmp_path / "edited.toml"
    plain.write_text(VALID[kind])
    edited.write_bytes(prefix + VALID[kind].encode().replace(b"\n", ending))
    assert READERS[kind](plain) == READERS[kind](edited)


@both
def test_a_large_file_is_not_read(kind: str, tmp_path: Path) -> None:
    """100 MB of it cost neither time nor memory; the largest that is read is read."""
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    assert "is larger than 1,048,576 bytes, the most that is read; is it TOML?" == refusal(kind, path)
    assert tracemalloc.get_traced_memory()[1] < 4 * MAX_BYTES
    tracemalloc.stop()
    whole = VALID[kind] + "#" * (MAX_BYTES - len(VALID[kind]))
    path.write_text(whole)
    assert READERS[kind](path)


@pytest.mark.parametrize(
    "line",
    ["k{n} = 1\n", "[t{n}]\n", "x" + ".a" * (MAX_DOTS - 1) + ".k{n} = 1\n"],
    ids=["keys", "tables", "dotted keys"],
)
def test_the_largest_file_takes_seconds(line: str, tmp_path: Path) -> None:
    """A mebibyte of keys, of tables, of dotted keys: bounded time, one message."""
    path = tmp_path / "much.toml"
    path.write_text("".join(line.format(n=n) for n in range(MAX_BYTES // len(line.format(n=10**6)))))
    started = time.process_time()
    assert ": not known. Expected one of: image_size" in refusal("suite", path)
    assert time.process_time() - started < 20  # it takes 2 at most


HEADS = st.sampled_from(["", *VALID.values(), *(each.replace("=", "= [", 1) for each in VALID.values())])


@both
@given(
    st.one_of(
        st.binary(max_size=200), st.builds(lambda head, tail: (head + tail).encode(), HEADS, st.text(max_size=80))
    )
)
@example(b"[[claim]]\nid = 1")
@example(b"[claim]\nid = 1")
@example(b"claim = [1]")
@example(b"[[claim]]\n[[claim]]\nconditions = 3")
@example(VALID["claims"].encode() + b'conditions."" = {}')
def test_anything_is_read_or_refused(kind: str, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """No other exception escapes, whatever the bytes."""
    path = tmp_path_factory.getbasetemp() / "anything.toml"
    path.write_bytes(content)
    try:
        assert READERS[kind](path)
    except UserError as error:
        assert str(path) in str(error)
