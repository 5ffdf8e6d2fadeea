"""A record may be replaced at any moment while another process reads it: what is read is one of the two records."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.errors import UserError
from intelbench.records import store
from intelbench.records.store import read_run, read_with_traces, record_folders, write_run
from intelbench.records.types import RunRecord
from intelbench.records.workspace import Workspace

EARLIER = {"step_loss": np.array([1.5, 1.25])}
LATER = {"step_loss": np.array([0.5, 0.25])}


@pytest.fixture
def later(synthetic_record: RunRecord) -> RunRecord:
    """Return a record of the same run that was made later."""
    return msgspec.structs.replace(synthetic_record, started_at="2030-01-01T00:00:00+00:00")


@pytest.fixture
def path(tmp_path: Path, synthetic_record: RunRecord) -> Path:
    """Return the folder of the earlier record."""
    return write_run(tmp_path, synthetic_record, EARLIER)


@pytest.fixture
def replace_while_read(monkeypatch: pytest.MonkeyPatch, path: Path, later: RunRecord) -> Callable[[], None]:
    """Return a function after which the record is replaced once, when its arrays are about to be read."""

    def replace_while_read() -> None:
        read, is_replaced = store.content_if_any, False

        def replacing(file: Path, limit: int) -> bytes | None:
            nonlocal is_replaced
            if file.name == store.TRACES_FILE and not is_replaced:
                is_replaced = True
                write_run(path.parent, later, LATER)
            return read(file, limit)

        monkeypatch.setattr(store, "content_if_any", replacing)

    return replace_while_read


def test_a_record_that_is_replaced_while_it_is_read(
    path: Path, later: RunRecord, replace_while_read: Callable[[], None]
) -> None:
    """It is read again, and is not reported as one that somebody has changed."""
    replace_while_read()
    run, traces = read_with_traces(path)
    assert later == run.record
    assert [0.5, 0.25] == traces["step_loss"].tolist()


def test_sums_that_are_checked_while_the_record_is_replaced(path: Path, replace_while_read: Callable[[], None]) -> None:
    """The record counts as unchanged, so `--rerun failed` does not execute its run once more."""
    run = read_run(path)
    replace_while_read()
    assert run.unchanged()


def test_arrays_are_those_of_the_record_that_was_read(path: Path, later: RunRecord) -> None:
    """After a record was replaced, the arrays of the new one are not returned as those of the earlier one."""
    run = read_run(path)
    write_run(path.parent, later, LATER)
    with pytest.raises(UserError, match=r"another record has replaced the one that was read\. Give the command again"):
        run.traces()


def test_between_the_two_renames(path: Path, synthetic_record: RunRecord) -> None:
    """The earlier record is listed and read while the new one has not taken its place, also after a kill then."""
    workspace = Workspace(path.parent, synthetic_record.run_id)
    workspace.folder.mkdir()
    path.rename(workspace.superseded)
    assert [path] == record_folders(path.parent)
    assert path == read_run(path).path
    run, traces = read_with_traces(path)
    assert synthetic_record == run.record
    assert [1.5, 1.25] == traces["step_loss"].tolist() == run.traces()["step_loss"].tolist()
