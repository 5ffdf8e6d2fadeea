"""Workers of a study and sessions on other hosts share its folder, which somebody may remove or spoil at any time."""

import shutil
from pathlib import Path

import pytest

from intelbench.data.dataset import Dataset, Split
from intelbench.orchestration import shared
from intelbench.orchestration.job import WAITING, Job, Progress
from intelbench.orchestration.probe import ProbeError
from intelbench.orchestration.shared import Profiles, ProgressReader, ProgressWriter, progress_file
from intelbench.records.types import RunRecord
from tests.orchestration.fake_engine import STARTER

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


@pytest.mark.parametrize(
    "spoilt",
    [b'ull,"note":"x"}\n', b"\0\0\0\n", b'{"phase":"\xe2\x82"}\n', b"null\n", b"\n", b'{"x":' + 9999 * b"[" + b"\n"],
)
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


def test_a_file_that_was_removed_is_read_from_its_start(file: Path) -> None:
    """A worker makes the file again: its first line is read, although the earlier file was longer."""
    reader = ProgressReader(file)
    for written in (TRAINING, Progress(phase="refused", note=2 * file.stat().st_size * "x")):
        file.unlink()
        assert [] == reader.read()
        ProgressWriter(file.parent, [RUN]).run_updated(0, written)
        assert [written] == reader.read()


def test_a_file_that_was_emptied_is_read_from_its_start(file: Path) -> None:
    """What is written afterwards is read, and not from the middle of a line."""
    reader = ProgressReader(file)
    file.write_bytes(b"")
    assert [] == reader.read()
    ProgressWriter(file.parent, [RUN]).run_updated(0, PROFILING)
    assert [PROFILING] == reader.read()


def test_a_file_that_is_removed_while_a_session_begins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session reads the file that follows it."""
    file.unlink()
    monkeypatch.setattr(Path, "exists", lambda _: True)  # as it was a moment ago
    reader = ProgressReader(file)
    ProgressWriter(file.parent, [RUN]).run_updated(0, PROFILING)
    assert [PROFILING] == reader.read()


@pytest.fixture
def job(synthetic_record: RunRecord, tmp_path: Path) -> Job:
    """Return a job without images, whose network has no profile yet."""
    nothing = Split((), (), ())
    without_images = Dataset(
        facts=synthetic_record.spec.data,
        train=nothing,
        validation=nothing,
        test=nothing,
        shorter_side=1,
        paths=(),
        digests=(),
        cache=None,
        validation_fraction=None,
    )
    return Job(
        run_id=synthetic_record.run_id,
        spec=synthetic_record.spec,
        plugins=(),
        environment=synthetic_record.environment,
        dataset=without_images,
        runs=str(tmp_path / "runs"),
    )


def test_the_folder_is_removed_while_a_network_is_profiled(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker uses the profile that it has made; the next one makes the folder again."""
    folder, made = tmp_path / "studies" / "0123456789", []

    def probe(*_: object) -> None:
        made.append(1)
        if len(made) == 1:
            shutil.rmtree(folder)
        raise ProbeError("not traceable")

    monkeypatch.setattr(shared, "probe_in_process", probe)
    for _ in range(3):
        assert "not traceable" == Profiles(STARTER, folder).add_to(job, lambda: None).profile_absent
    assert 2 == len(made)  # the third reads what the second has written


def test_the_folder_is_removed_before_a_profile_is_locked(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made again."""
    folder, hold, held = tmp_path / "studies" / "0123456789", shared.hold_everywhere, []

    def hold_everywhere(guard: Path, lease: Path) -> object:
        if not held:
            shutil.rmtree(folder)
        held.append(guard)
        return hold(guard, lease)

    monkeypatch.setattr(shared, "hold_everywhere", hold_everywhere)
    monkeypatch.setattr(Profiles, "_made", lambda *_: shared.Profiled(profile_absent="not traceable"))
    assert "not traceable" == Profiles(STARTER, folder).add_to(job, lambda: None).profile_absent
    assert 2 == len(held)
