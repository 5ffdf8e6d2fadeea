"""Records appear complete or not at all, and are read strictly."""

import os
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.errors import UserError
from intelbench.records.files import remove
from intelbench.records.store import nothing_recorded, read_run, runs_folder, write_run
from intelbench.records.types import RunRecord
from tests.reading import read_runs

TRACES = {"step_loss": np.array([1.5, 1.25]), "test_ids": np.array(["sea/ä.jpg", "sea/b.jpg"])}
VERSION_1 = Path(__file__).parent / "version-1"


def test_what_is_written_is_read_back(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """Record and arrays are equal, and nothing else is left in the folder."""
    path = write_run(tmp_path / "runs", synthetic_record, TRACES)
    stored = read_run(path)
    assert synthetic_record == stored.record
    assert {name: values.tolist() for name, values in TRACES.items()} == {
        name: values.tolist() for name, values in stored.traces().items()
    }
    assert [path] == list((tmp_path / "runs").iterdir())


def test_a_run_that_is_repeated_replaces_its_record(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """Only the second record is left."""
    write_run(tmp_path, synthetic_record, TRACES)
    later = msgspec.structs.replace(synthetic_record, started_at="2030-01-01T00:00:00+00:00")
    path = write_run(tmp_path, later, {})
    assert later == read_run(path).record
    assert ["SHA256SUMS", "record.json"] == sorted(file.name for file in path.iterdir())


def test_what_is_no_record_is_replaced(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """A file, or a link to nowhere, has the place of the record, which `--rerun failed` makes."""
    runs = tmp_path / "runs"
    runs.mkdir()
    path = runs / synthetic_record.run_id
    path.symlink_to("nowhere")
    assert path == write_run(runs, synthetic_record, TRACES)
    assert synthetic_record == read_run(path).record
    remove(path)
    path.write_text("no record")
    assert path == write_run(runs, synthetic_record, TRACES)
    assert synthetic_record == read_run(path).record
    assert [path] == list(runs.iterdir())


def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, synthetic_record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves no partial record, and the earlier record is unchanged."""
    runs = tmp_path / "runs"
    write_run(runs, synthetic_record, TRACES)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_run(runs, msgspec.structs.replace(synthetic_record, started_at="later"), TRACES)
    assert [synthetic_record.run_id] == [path.name for path in runs.iterdir()]
    assert synthetic_record == read_run(runs / synthetic_record.run_id).record


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a readable record"),
        ('{"schema_version": 1}', "key `run_id`: missing"),
        ('{"schema_version": 2}', "schema_version is 2, this intelbench reads 1; upgrade intelbench"),
        ('{"schema_version": 0}', "schema_version is 0, this intelbench reads 1; run it again"),
        ("[]", "not a readable record"),
        ("\udcff", "not a readable record"),
    ],
)
def test_a_damaged_record_is_named_and_the_rest_is_read(
    tmp_path: Path, synthetic_record: RunRecord, content: str, said: str
) -> None:
    """The problem is one line with the file; other records are read."""
    write_run(tmp_path, synthetic_record, TRACES)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "record.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    found, problems = read_runs(tmp_path)
    assert [synthetic_record] == [stored.record for stored in found]
    assert 1 == len(problems)
    assert said in problems[0]
    assert str(broken / "record.json") in problems[0]


def test_missing_or_damaged_traces_are_named(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """If the arrays of a finished run are missing or truncated, the error has the file and what to do."""
    path = write_run(tmp_path, synthetic_record, TRACES)
    file = path / "traces.npz"
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match=r"traces\.npz: cannot be read .* run it again"):
        read_run(path).traces()
    file.unlink()
    with pytest.raises(UserError, match=r"traces\.npz: cannot be read"):
        read_run(path).traces()


def test_sums_are_those_of_sha256sum(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """`sha256sum -c` finds both files unchanged."""
    path = write_run(tmp_path, synthetic_record, TRACES)
    checked = subprocess.check_output(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=path, text=True)
    assert "record.json: OK\ntraces.npz: OK\n" == checked


@pytest.mark.parametrize("name", ["record.json", "traces.npz", "SHA256SUMS"])
def test_a_change_is_seen(tmp_path: Path, synthetic_record: RunRecord, name: str) -> None:
    """A blank at the end of any file is found."""
    path = write_run(tmp_path, synthetic_record, TRACES)
    assert read_run(path).unchanged()
    with (path / name).open("ab") as file:
        file.write(b" ")
    assert not read_run(path).unchanged()


def test_a_record_without_its_sums_counts_as_changed(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """The rest may have been changed by the person who deleted them."""
    path = write_run(tmp_path, synthetic_record, TRACES)
    (path / "SHA256SUMS").unlink()
    assert not read_run(path).unchanged()


def test_pickled_arrays_are_not_loaded(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """A file that could execute code when it is read is refused."""
    path = write_run(tmp_path, synthetic_record, TRACES)
    np.savez(path / "traces.npz", step_loss=np.array([print], dtype=object))
    with pytest.raises(UserError, match="cannot be read"):
        read_run(path).traces()


def test_a_results_folder_and_a_folder_of_records_are_both_accepted(
    tmp_path: Path, synthetic_record: RunRecord
) -> None:
    """`report results` and `report results/runs` read the same records."""
    write_run(tmp_path / "runs", synthetic_record, TRACES)
    assert tmp_path / "runs" == runs_folder(tmp_path)
    assert tmp_path / "runs" == runs_folder(tmp_path / "runs")


def test_where_nothing_is_recorded_it_is_said_what_to_run(tmp_path: Path, synthetic_record: RunRecord) -> None:
    """The folder is missing, empty, that of one run, or the parent of a results folder."""
    results = tmp_path / "my results"
    run = f"Try `intelbench run --all --out '{results}'`"
    assert f"{results}: no such folder. Expected a results folder. {run}" == nothing_recorded(results / "runs")
    (results / "runs").mkdir(parents=True)
    empty = f"{results}: no record in it. Expected a results folder, with runs/ in it. {run}"
    assert empty == nothing_recorded(results / "runs") == nothing_recorded(results)
    path = write_run(results / "runs", synthetic_record, TRACES)
    assert f"{path}: the folder of one run. " in nothing_recorded(runs_folder(path))
    assert nothing_recorded(runs_folder(path)).endswith(f"Try `intelbench report '{results / 'runs'}'`")
    assert nothing_recorded(runs_folder(tmp_path)).endswith(f"Try `intelbench report '{results}'`")


def test_a_record_of_version_1_is_still_read() -> None:
    """The committed sample has the values that were written."""
    stored = read_run(VERSION_1)
    assert "tiny" == stored.record.spec.architecture
    assert 6 == stored.record.measurements.num_steps
    assert (6,) == stored.traces()["step_loss"].shape
