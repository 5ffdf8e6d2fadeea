"""Workers, nodes and coordinators are killed at every moment of a run, which ends with the bits of an undisturbed one.

Runs are held at the moment until the kill. `make cluster` kills in a training step; the other moments are marked.
"""

import pytest

from tests.cluster.conftest import Table, Undisturbed
from tests.cluster.sessions import MOMENTS, Session

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.parametrize(
        "moment", [pytest.param(each, marks=[pytest.mark.moments] * (each != "training")) for each in MOMENTS]
    ),
]


def test_killed_workers(session: Session, moment: str, undisturbed: Undisturbed, table: Table) -> None:
    """SIGKILL of the workers and all their processes: the runs are started again, from their checkpoints."""
    with session.held(moment) as process:
        for each in session.workers():
            each.kill()
        session.release()
        assert 0 == process.wait(240), session.said()
    table.check(session, undisturbed, "SIGKILL of all workers")
    resumed = [bool(each.record.measurements and each.record.measurements.resumed_after) for each in session.records()]
    assert [moment not in ("start", "first step")] * 2 == resumed


def test_a_lost_node(session: Session, moment: str, undisturbed: Undisturbed, table: Table) -> None:
    """Everything on a node is killed at once; its run is executed on another node."""
    assert session.pool.cluster
    with session.held(moment) as process:
        session.pool.cluster.lose_node()
        session.release()
        assert 0 == process.wait(240), session.said()
    table.check(session, undisturbed, "SIGKILL of everything on a node")


def test_a_killed_coordinator(session: Session, moment: str, undisturbed: Undisturbed, table: Table) -> None:
    """SIGKILL of the coordinator, and the same command at once."""
    with session.held(moment) as process:
        process.kill()
        process.wait()
        session.release()
        assert 0 == session.start().wait(240), session.said()
    table.check(session, undisturbed, "SIGKILL of the coordinator, the same command again")
