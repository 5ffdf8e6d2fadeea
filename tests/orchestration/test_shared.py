"""Workers of a study and a session on another host meet in one file of progress, which nobody may shorten or spoil."""

from pathlib import Path

import pytest

from intelbench.orchestration.job import WAITING, Progress
from intelbench.orchestration.shared import ProgressReader, ProgressWriter, progress_file

RUN = "slow-s0"
PROFILING = Progress(phase="profiling")
TRAINING = Progress(phase="training", step=3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the file of the run, in which an earlier worker has left a line."""
    ProgressWriter(tmp_path, [RUN]).run_updated(0, Progress(phase="stopped"))
    return progress_file(tmp_path, RUN)


def test_two_workers_of_one_run(file: Path) -> None:
    """A second worker, which waits, begins after the first: a reader gets the lines of both, each once and whole."""
    reader = ProgressReader(file)
    first, second = (ProgressWriter(file.parent, [RUN]) for _ in range(2))
    first.run_updated(0, PROFILING)
    read = reader.read()
    second.run_updated(0, WAITING)
    first.run_updated(0, TRAINING)
    assert [PROFILING, WAITING, TRAINING] == read + reader.read()
    assert [] == reader.read()


def test_a_session_that_begins_while_a_worker_writes(file: Path) -> None:
    """It does not take away what another session reads."""
    earlier, writer = ProgressReader(file), ProgressWriter(file.parent, [RUN])
    writer.run_updated(0, PROFILING)
    later = ProgressReader(file)
    writer.run_updated(0, TRAINING)
    assert [PROFILING, TRAINING] == earlier.read()
    assert [TRAINING] == later.read()


@pytest.mark.parametrize("spoilt", [b'ull,"note":"x"}\n', b"\0\0\0\n", b'{"phase":"\xe2\x82"}\n', b"null\n", b"\n"])
def test_a_line_that_is_not_whole(file: Path, spoilt: bytes) -> None:
    """It is left out, and the next one is read: a display does not end a session."""
    reader = ProgressReader(file)
    with file.open("ab") as stream:
        stream.write(spoilt)
    ProgressWriter(file.parent, [RUN]).run_updated(0, TRAINING)
    assert [TRAINING] == reader.read()


def test_half_a_line_waits_for_its_end(file: Path) -> None:
    """A network disk may show a line in two parts."""
    reader = ProgressReader(file)
    with file.open("ab") as stream:
        stream.write(b'{"phase":')
        stream.flush()
        assert [] == reader.read()
        stream.write(b'"profiling"}\n')
    assert [PROFILING] == reader.read()
