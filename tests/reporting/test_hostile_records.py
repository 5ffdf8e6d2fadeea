"""A report on records that are damaged or made to do harm: the others are reported, and nothing else happens."""

import os
import random
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intelbench.config.fields import MAX_CLASSES
from intelbench.errors import UserError
from intelbench.records.store import MAX_RECORD_BYTES, RECORD_FILE, TRACES_FILE, Traces, write_run
from intelbench.reporting.export import as_csv, as_json
from intelbench.reporting.html.page import as_html
from intelbench.results import diff as compare
from intelbench.results.study import read
from tests.command import Command
from tests.records.test_hostile_records import HOSTILE, json_values, places_of
from tests.reporting.rendered import build
from tests.synthetic import Study, failure, synthetic_run, synthetic_runs, write_sums

SMALL = Study(num_train=12, num_validation=12, num_test=12, num_steps=30)
ARRAYS = tuple(synthetic_run("a", 0, SMALL)[1])


def left_out(folder: Path) -> list[str]:
    """The lines of that section of the report."""
    return build(folder).text.partition("## Records left out\n\n")[2].strip().splitlines()


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_others_are_reported(tmp_path: Path, kind: str) -> None:
    """In every format and by `compare`; the bad one has one line."""
    runs = tmp_path / "runs"
    _, bad = synthetic_runs(runs, ["a", "b"], [0], SMALL)
    HOSTILE[kind][1](bad)
    study = read(runs)
    assert ["a"] == [architecture.name for architecture in study.cohorts[0].architectures]
    (problem,) = study.problems
    assert problem.startswith(bad.name)
    assert problem.isprintable()
    assert ["a"] == [change.architecture for change in compare.compare(tmp_path, tmp_path).changes[:1]]
    assert 2 == len(as_csv(read(runs)).splitlines())


def test_many_bad_ones_have_a_line_each(tmp_path: Path) -> None:
    """In all formats; nothing is written beside the records."""
    good, *others = synthetic_runs(tmp_path, ["a"], range(len(HOSTILE) + 1), SMALL)
    for bad, (_, damage) in zip(others, HOSTILE.values(), strict=True):
        damage(bad)
    before = sorted(tmp_path.rglob("*"))
    assert len(others) == len(left_out(tmp_path))
    assert len(others) == len(msgspec.json.decode(as_json(read(tmp_path)))["problems"])
    assert "Records left out" in as_html(read(tmp_path), None, tmp_path / "cache")
    assert before == sorted(tmp_path.rglob("*"))
    assert good in before


def test_the_command_says_so_in_one_line(intelbench: Command, tmp_path: Path) -> None:
    """Where nothing else is left; names that are not UTF-8 or hold control characters are made harmless."""
    runs = tmp_path / "results" / "runs"
    for number, name in enumerate((b"r\xe9sultat", b"a\x1b[2Jb\nc")):
        (path,) = synthetic_runs(runs, ["a"], [number], SMALL)
        path.rename(runs / os.fsdecode(name))
    for command in (("report",), ("report", "--out", "page.html"), ("diff", "results", "results")):
        done = intelbench(*command)
        assert (2, "") == (done.returncode, done.stdout)
        (line,) = done.stderr.splitlines()
        assert "none of the 2 there can be read" in line
        assert line.isprintable()
    assert not (tmp_path / "page.html").exists()
    synthetic_runs(runs, ["a"], [2], SMALL)
    for form in ("json", "csv"):
        assert 0 == intelbench("report", "--out", f"report.{form}").returncode


def test_names_from_records_make_no_path(tmp_path: Path) -> None:
    """Architectures and classes called like paths, with control characters and what XML cannot hold."""
    names = ("a/../../x", "/etc/passwd", "a\\b", "\x00\x1b[31m\n\u202e\ufffe", "a..", "…" * 255, "con")
    study = Study(class_names=names, num_train=14, num_validation=14, num_test=14, num_steps=30)
    synthetic_runs(tmp_path / "runs", names, [0], study)
    report = build(tmp_path / "runs")
    assert {len(names)} == {sum(name.startswith("confusion-") for name in report.figures)}
    for name, figure in report.figures.items():
        assert Path(name).name == name
        assert name.isascii()
        assert name.isprintable()
        ElementTree.fromstring(figure)
    assert "\x1b" not in report.text
    as_html(read(tmp_path / "runs"), None, tmp_path / "cache")


def test_dates_and_messages_may_be_anything(tmp_path: Path) -> None:
    """They are shown, as text without control characters."""
    record, traces = synthetic_run("a", 0, SMALL)
    for seed, started_at in enumerate(("99999-99-99T99:99:99\x1b[2J", "-1|<b>")):
        spec = msgspec.structs.replace(record.spec, seed=seed)
        changed = msgspec.structs.replace(record, spec=spec, run_id=str(seed), started_at=started_at)
        write_run(tmp_path, changed, traces)
    failed = msgspec.structs.replace(
        changed, run_id="failed", measurements=None, failure=failure(message="\x1b]0;x\x07\n# a" * 10_000)
    )
    write_run(tmp_path, failed, {})
    text = build(tmp_path).text
    assert "99999-99-99T99:99:99\ufffd" in text
    assert "\x1b" not in text
    assert len(text) < 100_000
    as_html(read(tmp_path), None, tmp_path / "cache")


def test_as_many_classes_as_there_may_be(tmp_path: Path) -> None:
    """In every format, within bounds of time and memory."""
    names = tuple(f"class {number}" for number in range(MAX_CLASSES))
    study = Study(class_names=names, num_train=10, num_validation=10, num_test=100, num_steps=30)
    synthetic_runs(tmp_path / "runs", ["a"], [0], study)
    report = build(tmp_path / "runs")
    assert {len(figure) < 2_000_000 for figure in report.figures.values()} == {True}
    assert len(as_html(read(tmp_path / "runs"), None, tmp_path / "cache")) < 20_000_000


def test_a_record_may_be_as_large_as_is_read(tmp_path: Path) -> None:
    """A hundred thousand digests that no other run has: reported, and told from the others' in a moment."""
    synthetic_runs(tmp_path, ["a"], [0], SMALL)
    record, traces = synthetic_run("b", 0, SMALL)
    digests = record.stream_digests | dict.fromkeys(range(100, 100100), "0" * 16)
    bad = write_run(tmp_path, msgspec.structs.replace(record, stream_digests=digests), traces)
    assert 3_000_000 < (bad / RECORD_FILE).stat().st_size < MAX_RECORD_BYTES
    started = time.process_time()
    assert 2 == len(as_csv(read(tmp_path)).splitlines()) - 1
    assert build(tmp_path).figures
    assert time.process_time() - started < 60  # it takes 3 at most


def test_a_bomb_of_steps_is_left_out(tmp_path: Path) -> None:
    """A hundred million losses of one byte each, in a file of 100 kB: they are not made eight times as large."""
    record, traces = synthetic_run("a", 0, SMALL)
    steps = 100_000_000
    measurements = msgspec.structs.replace(record.measurements, num_steps=steps)
    losses = np.zeros(steps, dtype=np.int8)
    bad = write_run(
        tmp_path, msgspec.structs.replace(record, measurements=measurements), {**traces, "step_loss": losses}
    )
    synthetic_runs(tmp_path, ["b"], [0], SMALL)
    tracemalloc.start()
    (line,) = left_out(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 4 * losses.nbytes
    tracemalloc.stop()
    assert bad.name in line.replace("\\", "")
    assert "of int8" in line


def test_large_records_are_not_held_together(tmp_path: Path) -> None:
    """Several are read before they are reduced, but no more than take little memory."""
    large = np.zeros(3_000_000)
    for seed in range(4):
        record, traces = synthetic_run("a", seed, SMALL)
        write_run(tmp_path, record, {**traces, "more": large})
    tracemalloc.start()
    assert 4 == len(read(tmp_path).cohorts[0].finished[0].runs)
    assert tracemalloc.get_traced_memory()[1] < 3 * large.nbytes
    tracemalloc.stop()


def survive(folder: Path) -> None:
    """A report is made, and is sound, or a `UserError` says why not."""
    try:
        report = build(folder)
        figures = report.figures
    except UserError as error:
        assert str(error).isprintable()
        return
    report.text.encode()
    for figure in figures.values():
        ElementTree.fromstring(figure)
    as_json(read(folder))


fuzzed = settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of two architectures."""
    return synthetic_runs(tmp_path_factory.mktemp("records"), ["a", "b"], [0], SMALL)


@given(st.integers(), json_values)
@fuzzed
def test_any_value_of_a_record_may_be_another(records: list[Path], seed: int, value: object) -> None:
    """Of another type or beyond all bounds."""
    file = records[-1] / RECORD_FILE
    whole = file.read_bytes()
    content = msgspec.json.decode(whole)
    holder, key = random.Random(seed).choice(places_of(content))
    holder[key] = value
    try:
        file.write_bytes(msgspec.json.encode(content))
        write_sums(file.parent)
        survive(file.parents[1])
    finally:
        file.write_bytes(whole)


numbers = st.sampled_from([0, -1, 1, 10**12, 2**63 - 1, -(2**63), 0.0, -0.0, 1e-30, 1e30, -1e30, 0.5, 1e-12])


@given(st.integers(), st.lists(numbers, min_size=1, max_size=5))
@fuzzed
def test_any_number_of_a_record_may_be_extreme(records: list[Path], seed: int, values: list[float]) -> None:
    """As far as such numbers are accepted, arithmetic with them ends well."""
    file = records[-1] / RECORD_FILE
    whole = file.read_bytes()
    content = msgspec.json.decode(whole)
    numeric = [(holder, key) for holder, key in places_of(content) if isinstance(holder[key], int | float)]
    for value, (holder, key) in zip(values, random.Random(seed).sample(numeric, len(values)), strict=True):
        holder[key] = type(holder[key])(value)
    try:
        file.write_bytes(msgspec.json.encode(content))
        write_sums(file.parent)
        survive(file.parents[1])
    finally:
        file.write_bytes(whole)


def halved(array: np.ndarray) -> np.ndarray:
    """In real numbers of 16 bits, in which large ones become infinite."""
    with np.errstate(over="ignore"):
        return array.real.astype(np.float16)


def spread(array: np.ndarray) -> np.ndarray:
    """Multiplied by factors from 1e-6 to 1e6, so that large ones become infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return array * 10.0 ** (np.arange(array.size) % 13 - 6).reshape(array.shape)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "empty": lambda array: np.atleast_1d(array)[:0],
    "shorter": lambda array: np.atleast_1d(array)[:-1],
    "longer": lambda array: np.concatenate([np.atleast_1d(array)] * 2),
    "deeper": lambda array: np.asarray(array)[None],
    "flat": np.ravel,
    "bare": lambda array: array.ravel()[0],
    "turned": np.transpose,
    "as text": lambda array: array.astype(np.str_),
    "as zeros": np.zeros_like,
    "as half": lambda array: array if array.dtype.kind == "U" else halved(array),
    "as complex": lambda array: array if array.dtype.kind == "U" else array.astype(np.complex128),
    "not a number": lambda array: np.full(array.shape, np.nan),
    "infinite": lambda array: np.full(array.shape, np.inf),
    "huge": lambda array: np.full(array.shape, 1e300),
    "large": lambda array: np.full(array.shape, 3e38, dtype=np.float32),
    "tiny": lambda array: np.full(array.shape, 5e-324),
    "negative": lambda array: -np.ones(array.shape, dtype=array.dtype if array.dtype.kind != "U" else np.int64),
    "backwards": lambda array: np.atleast_1d(array)[::-1],
    "apart": lambda array: array if array.dtype.kind == "U" else spread(array),
}


@given(st.lists(st.tuples(st.sampled_from(ARRAYS), st.sampled_from([*CHANGES, "gone"])), min_size=1, max_size=3))
@settings(fuzzed, max_examples=15)
def test_any_array_may_be_another(records: list[Path], changes: list[tuple[str, str]]) -> None:
    """Of another shape, type or content, or gone."""
    traces: dict[str, np.ndarray] = dict(synthetic_run("b", 0, SMALL)[1])
    for name, change in changes:
        if change == "gone":
            traces.pop(name, None)
        elif name in traces and traces[name].size:
            traces[name] = CHANGES[change](traces[name])
    file = records[-1] / TRACES_FILE
    whole = file.read_bytes()
    try:
        with file.open("wb") as stream:
            np.savez_compressed(stream, **traces)
        write_sums(file.parent)
        survive(file.parents[1])
    finally:
        file.write_bytes(whole)


@given(st.data())
@fuzzed
def test_any_byte_may_be_another(records: list[Path], data: st.DataObject) -> None:
    """Flipped bits and truncations of either file."""
    file = records[-1] / data.draw(st.sampled_from([RECORD_FILE, TRACES_FILE]))
    whole = file.read_bytes()
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    for place in data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), max_size=3)):
        if place // 8 < len(damaged):
            damaged[place // 8] ^= 1 << place % 8
    try:
        file.write_bytes(damaged)
        write_sums(file.parent)
        survive(file.parents[1])
    finally:
        file.write_bytes(whole)


def test_extreme_arrays_alone(tmp_path: Path) -> None:
    """Every array of every kind of damage, without other runs that set a scale: read or refused, never worse."""
    record, traces = synthetic_run("a", 0, SMALL)
    for name in ARRAYS:
        for change in CHANGES.values():
            damaged: Traces = {**traces, name: change(traces[name])}
            write_run(tmp_path, record, damaged)
            try:
                read(tmp_path)
            except UserError as error:
                assert TRACES_FILE in str(error)
