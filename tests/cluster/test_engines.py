"""Every engine leaves the records of a session without one, also where runs are stopped, cancelled or requeued.

The networks are tiny, and a step of `slow` takes a tenth of a second. The last lines of the tests are a table of what
was done.
"""

import signal
from pathlib import Path

import pytest

from intelbench.records.workspace import workspaces
from tests.cluster.conftest import RAY, SLOTS, SLURM, Table, Undisturbed
from tests.cluster.equality import without_measurements
from tests.cluster.sessions import Session
from tests.cluster.slurm import SlurmCluster
from tests.reading import read_runs
from tests.reporting.rendered import build

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("pool", [SLOTS, SLURM, RAY], indirect=True)
def test_a_study_gives_the_records_and_the_report_of_a_session_without_an_engine(
    session: Session, local: Path, undisturbed: Undisturbed, table: Table
) -> None:
    """But for the machine, times and memory; the same command again finds all runs, and failed ones stop no other."""
    assert 0 == session.start("quick", "slow").wait(180), session.said()
    table.check(session, undisturbed, "nothing", number=4)
    expected, text = (without_measurements(build(folder / "runs").text) for folder in (local, session.path))
    assert "Differences" in expected
    assert expected == text
    assert 1 == session.start("quick", "slow", "raising").wait(180), session.said()
    failed = [each.record for each in session.records() if each.record.failure]
    messages = [record.failure.message.partition(" (")[0] for record in failed if record.failure]
    assert ["ValueError: no such network"] * 2 == messages
    assert 4 == len(session.finished(undisturbed))


def test_terminated_workers(session: Session, undisturbed: Undisturbed, table: Table) -> None:
    """SIGTERM to every process of a job, as in a preemption: a checkpoint, no record, and the runs go on."""
    with session.held("training") as process:
        for each in session.workers():
            each.terminate()
        assert 0 == process.wait(240), session.said()
    table.check(session, undisturbed, "SIGTERM to every process")


def test_an_interrupt_cancels_the_runs(session: Session, undisturbed: Undisturbed, table: Table) -> None:
    """Ctrl-C leaves checkpoints, no record and no worker; the same command continues."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, as do its children
    with session.held("training") as process:
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(120), session.said()
    assert [] == session.workers()
    assert [] == read_runs(session.path / "runs")[0]
    assert 2 == sum(space.checkpoint() is not None for space in workspaces(session.path / "runs"))
    assert 0 == session.start().wait(240), session.said()
    table.check(session, undisturbed, "Ctrl-C, the same command again")


def test_two_sessions(session: Session, undisturbed: Undisturbed, table: Table) -> None:
    """Two coordinators at once: both end, and no run is made twice."""
    processes = [session.start() for _ in range(2)]
    assert [0, 0] == [process.wait(240) for process in processes], session.said()
    table.check(session, undisturbed, "two coordinators")


def jobs_of(cluster: SlurmCluster) -> list[str]:
    """Return the numbers of the jobs that are queued or running."""
    return cluster.call("squeue", "--noheader", "--format=%A").split()


@pytest.mark.parametrize("pool", [SLURM], indirect=True)
def test_requeued_jobs(session: Session, slurm: SlurmCluster, undisturbed: Undisturbed, table: Table) -> None:
    """`scontrol requeue` leaves a checkpoint and no record, and Slurm starts the job again."""
    with session.held("training") as process:
        slurm.call("scontrol", "requeue", ",".join(jobs_of(slurm)))
        assert 0 == process.wait(240), session.said()
    table.check(session, undisturbed, "scontrol requeue")


@pytest.mark.parametrize("pool", [SLURM], indirect=True)
def test_cancelled_jobs(session: Session, slurm: SlurmCluster, undisturbed: Undisturbed, table: Table) -> None:
    """`scancel` of another user leaves a checkpoint and no record; the command says so, and continues when repeated."""
    with session.held("training") as process:
        slurm.call("scancel", *jobs_of(slurm))
        assert 75 == process.wait(120), session.said()
    assert "CANCELLED; the same command again starts it" in session.said()
    assert [] == read_runs(session.path / "runs")[0]
    assert 0 == session.start().wait(240), session.said()
    table.check(session, undisturbed, "scancel, the same command again")
