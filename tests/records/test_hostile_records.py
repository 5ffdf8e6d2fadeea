"""Damaged and malicious records give one clear line with the name of the file, and the other records are read."""

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intelbench.errors import UserError
from intelbench.records.npz import MAX_UNPACKED_BYTES
from intelbench.records.store import MAX_RECORD_BYTES, StoredRun, read_run, read_with_traces, record_folders, write_run
from tests.reading import read_runs
from tests.synthetic import Study, synthetic_run, write_sums

RECORD, TRACES = synthetic_run("resnet101", 0, Study(num_train=4, num_validation=4, num_test=4, num_steps=6))
GOOD, _ = synthetic_run("resnet152", 0, Study(num_train=4, num_validation=4, num_test=4, num_steps=6))
FILES = ("record.json", "traces.npz", "SHA256SUMS")

Damage = Callable[[Path], object]


def replaced(name: str, content: bytes) -> Damage:
    """Return a function that replaces the content of a file, and the sums, which would reveal it."""

    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)
        write_sums(folder)

    return damage


def edited(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Return a function that changes values of `record.json`, and the sums, which would reveal it."""

    def damage(folder: Path) -> None:
        content = msgspec.json.decode((folder / "record.json").read_bytes())
        change(content)
        replaced("record.json", msgspec.json.encode(content))(folder)

    return damage


def instead(name: str, make: Callable[[Path], object]) -> Damage:
    """Return a function that replaces a file by something else."""

    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


def sparse(path: Path, size: int) -> None:
    """Create a file of this size that takes no space on the disk."""
    with path.open("wb") as file:
        file.truncate(size)


def deep(depth: int) -> bytes:
    """Return nested JSON in an unknown field."""
    return b'{"schema_version": 1, "more": ' + b"[" * depth + b"]" * depth + b"}"


HOSTILE: dict[str, tuple[str, Damage]] = {
    "gone": ("record.json: cannot be read (No such file", lambda folder: (folder / "record.json").unlink()),
    "newer": ("schema_version is 7, this intelbench reads 1; upgrade", edited(lambda r: r.update(schema_version=7))),
    "newer and otherwise": ("upgrade intelbench", replaced("record.json", b'{"schema_version": 9, "runs": {}}')),
    "a pipe": ("record.json: not a plain file", instead("record.json", os.mkfifo)),
    "a device": ("record.json: not a plain file", instead("record.json", lambda path: path.symlink_to("/dev/zero"))),
    "a folder": ("record.json: not a plain file", instead("record.json", Path.mkdir)),
    "a circle": ("record.json: cannot be read (Too many levels", instead("record.json", lambda p: p.symlink_to(p))),
    "to nowhere": ("record.json: cannot be read", instead("record.json", lambda path: path.symlink_to("nowhere"))),
    "hundreds of megabytes": ("300,000,000 bytes", instead("record.json", lambda path: sparse(path, 300_000_000))),
    "a million keys": ("bytes, and at most", replaced("record.json", b"{" + b'"k":1,' * 10**6 + b'"k":1}')),
    "deep": ("it is nested too deeply", replaced("record.json", deep(100_000))),
    "deep and wide": ("not a readable record", replaced("record.json", deep(MAX_RECORD_BYTES // 2 - 100))),
    "NaN": ("it is not JSON at byte 20", replaced("record.json", b'{"schema_version": NaN}')),
    "infinite": ("not a readable record", edited(lambda r: r["measurements"].update(training_seconds=1e300))),
    "tiny": ("cannot have been measured", edited(lambda r: r["measurements"].update(training_seconds=5e-324))),
    "huge": ("cannot have been measured", edited(lambda r: r["spec"].update(seed=2**63))),
    "negative": (
        "`measurements.total_seconds`: -1 is not accepted. Expected a number of at least 0",
        edited(lambda r: r["measurements"].update(total_seconds=-1)),
    ),
    "without a step": (
        "`measurements.num_steps`: 0 is not accepted. Expected a whole number from 1",
        edited(lambda r: r["measurements"].update(num_steps=0)),
    ),
    "without classes": (
        "an empty array is not accepted. Expected an array of 1 to 2,000 items",
        edited(lambda r: r["spec"]["data"].update(class_names=[])),
    ),
    "of many classes": (
        "an array of 2,001 items is not accepted",
        edited(lambda r: r["spec"]["data"].update(class_names=["c"] * 2001)),
    ),
    "of many threads": (
        "`spec.execution.threads`: 1000000000 is not accepted. Expected a whole number from 1 to 4,096",
        edited(lambda r: r["spec"]["execution"].update(threads=10**9)),
    ),
    "of many digits": (
        "it holds a number that is too large",
        replaced("record.json", b'{"schema_version": 1' + b"0" * 9000 + b"}"),
    ),
    "not UTF-8": ("it is not UTF-8", replaced("record.json", b'{"schema_version": 1, "run_id": "\xff"}')),
    "two lines": (
        "'a\\nb\\x1b[2J' is not accepted. Expected 'carved' or 'given'",
        edited(lambda r: r["spec"]["data"].update(test_origin="a\nb\x1b[2J")),
    ),
    "a long name": ("not a readable record", edited(lambda r: r["spec"].update(architecture="a" * 256))),
    "elsewhere": ("holds another run", edited(lambda r: r.update(run_id="../../x"))),
    "of another": ("holds another run", edited(lambda r: r.update(run_id=GOOD.run_id))),
    "both": ("not a readable record", edited(lambda r: r.update(failure={"cause": "error", "message": "", "step": 0}))),
    "no arrays": ("changed after it was written", lambda folder: (folder / "traces.npz").unlink()),
    "no arrays, in the sums too": (
        "traces.npz: cannot be read (it is missing",
        lambda folder: [(folder / "traces.npz").unlink(), write_sums(folder)],
    ),
    "empty arrays": ("traces.npz: cannot be read", replaced("traces.npz", b"")),
    "arrays of a pipe": ("traces.npz: not a plain file", instead("traces.npz", os.mkfifo)),
    "too many bytes": ("traces.npz: ", instead("traces.npz", lambda path: sparse(path, MAX_UNPACKED_BYTES + 1))),
    "sums of a pipe": ("SHA256SUMS: not a plain file", instead("SHA256SUMS", os.mkfifo)),
    "large sums": ("SHA256SUMS: ", instead("SHA256SUMS", lambda path: sparse(path, 10**9))),
    "no sums": ("changed after it was written", lambda folder: (folder / "SHA256SUMS").unlink()),
    "other sums": ("changed after it was written", lambda folder: (folder / "SHA256SUMS").write_bytes(b"\xff")),
    "one byte": ("changed after", lambda folder: os.truncate(folder / "traces.npz", 5000)),
}


def problem_of(folder: Path) -> str:
    """Return why a record cannot be reported on."""
    with pytest.raises(UserError) as raised:
        dict(read_with_traces(folder)[1])
    return str(raised.value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_each_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    """The line says what is wrong, without control characters; the valid record in the same folder is read."""
    said, damage = HOSTILE[kind]
    bad, good = (write_run(tmp_path, record, TRACES) for record in (RECORD, GOOD))
    damage(bad)
    problem = problem_of(bad)
    assert problem.startswith(str(bad))
    assert said in problem
    assert problem.isprintable()
    assert [good, bad] == sorted(record_folders(tmp_path), reverse=True)
    assert GOOD == read_with_traces(good)[0].record


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    """Circular and broken links are named; a link to a record is followed."""
    good = write_run(tmp_path / "elsewhere", GOOD, TRACES)
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / GOOD.run_id).symlink_to(good)
    (runs / "circle").symlink_to("circle")
    (runs / "gone").symlink_to("nowhere")
    found, problems = read_runs(runs)
    assert [GOOD] == [run.record for run in found]
    assert [True, True] == [name in line for name, line in zip(("circle", "gone"), problems, strict=True)]


def test_names_that_are_no_text_are_read_over(tmp_path: Path) -> None:
    """A folder whose name is not UTF-8 has a record of another name."""
    write_run(tmp_path, RECORD, TRACES).rename(tmp_path / os.fsdecode(b"r\xe9sultat"))
    (folder,) = record_folders(tmp_path)
    assert "holds another run" in problem_of(folder)


def test_what_is_no_record_is_ignored(tmp_path: Path) -> None:
    """Files, hidden folders, and folders without a file of a record are ignored."""
    (tmp_path / "notes.txt").touch()
    (tmp_path / "figures").mkdir()
    (tmp_path / ".run.partial").mkdir()
    (tmp_path / ".run.partial" / "record.json").touch()
    assert ([], []) == read_runs(tmp_path)
    assert ([], []) == read_runs(tmp_path / "nowhere")
    assert ([], []) == read_runs(tmp_path / "notes.txt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a record whose files each example changes."""
    return write_run(tmp_path_factory.mktemp("fuzzed"), RECORD, TRACES)


def read_in_every_way(folder: Path) -> None:
    """Read a record by every function, with sums that do not reveal changes; only `UserError` may be raised."""
    write_sums(folder)
    for read in (read_run, lambda path: dict(read_with_traces(path)[1]), lambda path: StoredRun(path, RECORD).traces(),
                 lambda path: StoredRun(path, RECORD).unchanged()):  # fmt: skip
        try:
            read(folder)
        except UserError as error:
            assert str(error).isprintable()
        except ValueError as error:
            assert "is damaged" in str(error)  # an array of a sound archive, which `observe` names


@given(st.sampled_from(FILES[:2]), st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bits_and_truncations(folder: Path, name: str, data: st.DataObject) -> None:
    """They are at any position of any file."""
    whole = (folder / name).read_bytes()
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    for place in data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), max_size=4)):
        if place // 8 < len(damaged):
            damaged[place // 8] ^= 1 << place % 8
    try:
        (folder / name).write_bytes(damaged)
        read_in_every_way(folder)
    finally:
        (folder / name).write_bytes(whole)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def places_of(content: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return the container and the key or index of each value of a record, at any depth."""
    places: list[tuple[Any, Any]] = [(content, key) for key in content]
    for holder, key in places:  # grows as it goes
        inner = holder[key]
        if isinstance(inner, dict | list):
            places += [(inner, each) for each in (inner if isinstance(inner, dict) else range(len(inner)))]
    return places


@given(st.integers(), json_values)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_values(folder: Path, seed: int, value: object) -> None:
    """Any value of the record is replaced by any other value."""
    whole = (folder / "record.json").read_bytes()
    content = msgspec.json.decode(whole)
    holder, key = random.Random(seed).choice(places_of(content))
    holder[key] = value
    try:
        (folder / "record.json").write_bytes(msgspec.json.encode(content))
        read_in_every_way(folder)
    finally:
        (folder / "record.json").write_bytes(whole)


def test_a_bomb_takes_no_room(tmp_path: Path) -> None:
    """It is refused by its declared size; one with a false size is not unpacked beyond its declared size."""
    path = write_run(tmp_path, RECORD, {**TRACES, "step_loss": np.zeros(2**20)})
    content = bytearray((path / "traces.npz").read_bytes())
    place = content.index(b"step_loss.npy", content.index(b"PK\1\2")) - 46
    for size, said in ((2**32 - 2, "bytes unpacked"), (64, "damaged")):
        struct.pack_into("<L", content, place + 24, size)
        replaced("traces.npz", bytes(content))(path)
        with pytest.raises((UserError, ValueError), match=said):
            dict(read_with_traces(path)[1])
