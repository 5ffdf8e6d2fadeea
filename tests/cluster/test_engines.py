"""Every engine leaves the records of a session without one, whatever happens to its workers and hosts.

The networks are tiny, and a step takes a tenth of a second. The last lines of the tests are a table of what was done.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import tomli_w

from intelbench.records.store import StoredRun, read_runs
from intelbench.records.workspace import workspaces
from tests.cluster.conftest import Table
from tests.cluster.ray_nodes import RayCluster
from tests.cluster.slurm import NODES, SlurmCluster, wait
from tests.orchestration.test_stopping import SLOW, STEPS

pytestmark = pytest.mark.cluster
WITNESS = """
import os
import sys

from intelbench import RunListener, listener


@listener("witness")
class Witness(RunListener):
    def run_ended(self, index, record, seconds):
        if "work" in sys.argv or "--on" not in sys.argv:
            with open(os.path.join(os.path.dirname(__file__), "made"), "a") as file:
                file.write(f"{record.run_id}\\n")


@architecture("raising", minimum_size=8)
def raising(request):
    raise ValueError("no such network")
"""
TRACES = "step_loss", "gradient_norm", "validation_predictions", "test_logits"


@dataclass
class Pool:
    """An engine of a cluster, and what can happen there."""

    name: str
    options: Mapping[str, object]
    lose_node: Callable[[], None]
    """Lose a node on which a run is executed."""
    path: Path | None = None
    """Folder of the cluster's commands."""
    cluster: SlurmCluster | None = None


@dataclass
class Results:
    """What commands have left."""

    folder: Path
    """Folder of the plug-in, which notes what is made, and of what the commands have said."""
    path: Path
    engine: str

    def said(self) -> str:
        """Return what the commands have said."""
        return (self.folder / "said").read_text()

    def made(self) -> Counter[str]:
        """Return how often each run was executed to its end."""
        file = self.folder / "made"
        return Counter(file.read_text().split() if file.exists() else ())

    def records(self) -> dict[str, StoredRun]:
        """Return the records by name; nothing else is left."""
        stored, problems = read_runs(self.path / "runs")
        assert [] == problems
        assert len(stored) == len(list((self.path / "runs").iterdir()))
        return {each.record.run_id: each for each in stored}


@dataclass
class Session(Results):
    """A command that executes runs on a pool."""

    pool: Pool
    arguments: Sequence[str | Path]

    def __post_init__(self) -> None:
        with (self.folder / "pool.toml").open("wb") as file:
            tomli_w.dump({"engine": self.pool.name, "slots": 2, **self.pool.options}, file)

    def start(self, *more: str) -> "subprocess.Popen[str]":
        """Start the command."""
        path = os.pathsep.join([*([str(self.pool.path)] if self.pool.path else []), os.environ["PATH"]])
        command = [
            sys.executable, "-m", "intelbench", "run", *self.arguments, "--on", self.folder / "pool.toml",
            "--out", self.path, *more,
        ]  # fmt: skip
        with (self.folder / "said").open("a") as said:
            return subprocess.Popen(
                list(map(str, command)), stderr=said, text=True, env={**os.environ, "PATH": path, "COLUMNS": "120"}
            )

    def workers(self) -> list[psutil.Process]:
        """Return the workers and the processes of their runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if "work" in process.cmdline() and str(self.path / "studies") in " ".join(process.cmdline()):
                    found += [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
        return found

    def wait_for_checkpoints(self, number: int = 1) -> None:
        """Return when so many runs have a checkpoint after three steps or more."""

        def have_checkpoints() -> bool:
            found = [space.checkpoint() for space in workspaces(self.path / "runs")]
            return number <= sum(checkpoint is not None and checkpoint.step >= 3 for checkpoint in found)

        wait(have_checkpoints, 120)


@pytest.fixture(params=["slurm", "ray"])
def pool(request: pytest.FixtureRequest) -> Pool:
    """Return a pool of two nodes, each with room for one run."""
    if request.param == "slurm":
        cluster: SlurmCluster = request.getfixturevalue("slurm")
        return Pool("slurm", {}, lambda: cluster.kill_node(NODES[0]), cluster.bin, cluster)
    ray: RayCluster = request.getfixturevalue("ray")
    return Pool("ray", {"ray": {"address": ray.address}}, ray.kill_node)


@pytest.fixture
def session(pool: Pool, tmp_path: Path, small_folder: Path, small_suite: Path) -> Session:
    """Return a session of two runs, which save a checkpoint every 0.2 s."""
    words = arguments(tmp_path, small_folder, small_suite, "slow", "--seeds", "0,1")
    return Session(tmp_path, tmp_path / "results", pool.name, pool, words)


def arguments(folder: Path, data: Path, suite: Path, *more: str) -> list[str | Path]:
    """Return the arguments of a command that trains slow networks."""
    (folder / "slow.py").write_text(SLOW + WITNESS)
    return [
        *more, "--plugin", folder / "slow.py", "--suite", suite, "--data", data, "--budget", f"{STEPS} steps",
        "--threads", "1", "--cache-dir", folder / "cache", "--checkpoint", "0.2 s",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, small_folder: Path, small_suite: Path
) -> dict[int, StoredRun]:
    """Return the records of a session without an engine, by seed."""
    folder = tmp_path_factory.mktemp("local")
    words = arguments(folder, small_folder, small_suite, "slow", "--seeds", "0-3")
    command = [sys.executable, "-m", "intelbench", "run", *map(str, words), "--out", str(folder / "results")]
    subprocess.run(command, check=True, capture_output=True)
    return {each.record.spec.seed: each for each in read_runs(folder / "results" / "runs")[0]}


@contextmanager
def running(session: Session) -> Iterator["subprocess.Popen[str]"]:
    """Run the command of a session in the block; it has saved checkpoints of both runs when the block begins."""
    process = session.start()
    try:
        session.wait_for_checkpoints(2)
        yield process
    finally:
        process.kill()
        process.wait()


def check(results: Results, undisturbed: Mapping[int, StoredRun], table: Table, event: str) -> None:
    """Fail unless the records are those of undisturbed runs, each made once; note it in the table."""
    records = results.records()
    equal, made = 0, results.made()
    for each in records.values():
        assert each.record.failure is None, each.record.failure
        expected = undisturbed[each.record.spec.seed]
        assert expected.record.run_id == each.record.run_id
        assert expected.record.stream_digests == each.record.stream_digests
        for name in TRACES:
            np.testing.assert_array_equal(expected.traces()[name], each.traces()[name])
        equal += 1
    table.add(results.engine, event, f"{equal} of 2", sum(made.values()) - len(made), 2 - len(records))
    assert 2 == len(records)
    assert {1} == set(made.values())


def test_each_run_is_made_once_and_a_failing_one_stops_no_other(
    session: Session, undisturbed: dict[int, StoredRun], table: Table
) -> None:
    """The records are those of a session without an engine; the same command again finds them all."""
    assert 0 == session.start().wait(180), session.said()
    check(session, undisturbed, table, "nothing")
    assert 0 == session.start().wait(60), session.said()
    assert 2 == sum(session.made().values())
    session.arguments = ["slow", "raising", *session.arguments[1:]]
    assert 1 == session.start().wait(180), session.said()
    failed = [each.record for each in session.records().values() if each.record.failure]
    assert ["no such network"] * 2 == [record.failure.message.partition(": ")[2] for record in failed if record.failure]
    assert {1} == set(session.made().values())


def test_killed_workers(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """SIGKILL of the workers and all their processes: the runs are started again and end with equal bits."""
    with running(session) as process:
        for each in session.workers():
            each.kill()
        assert 0 == process.wait(240), session.said()
    check(session, undisturbed, table, "SIGKILL of all workers")
    assert all(each.record.measurements.resumed_after for each in session.records().values())


def test_terminated_workers(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """SIGTERM to every process of a job, as in a preemption: a checkpoint, no record, and the runs go on."""
    with running(session) as process:
        for each in session.workers():
            each.terminate()
        assert 0 == process.wait(240), session.said()
    check(session, undisturbed, table, "SIGTERM to every process")


def test_an_interrupt_cancels_the_runs(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """Ctrl-C leaves checkpoints, no record and no worker; the same command continues."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, as do its children
    with running(session) as process:
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(120), session.said()
    assert [] == session.workers()
    assert [] == read_runs(session.path / "runs")[0]
    assert 2 == sum(space.checkpoint() is not None for space in workspaces(session.path / "runs"))
    assert 0 == session.start().wait(240), session.said()
    check(session, undisturbed, table, "Ctrl-C, the same command again")


def test_a_killed_session(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """SIGKILL of the coordinator, and the same command at once: no run is made twice."""
    with running(session) as process:
        process.kill()
        process.wait()
        assert 0 == session.start().wait(240), session.said()
    check(session, undisturbed, table, "SIGKILL of the coordinator, the same command again")


def test_two_sessions(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """Two coordinators at once: both end, and no run is made twice."""
    processes = [session.start() for _ in range(2)]
    assert [0, 0] == [process.wait(240) for process in processes], session.said()
    check(session, undisturbed, table, "two coordinators")


def test_a_lost_node(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """Everything on a node is killed at once; its run is executed on the other node, to equal bits."""
    with running(session) as process:
        session.pool.lose_node()
        assert 0 == process.wait(300), session.said()
    check(session, undisturbed, table, "a node lost")
    if session.pool.cluster:
        session.pool.cluster.start_node(NODES[0])
        wait(lambda: session.pool.cluster.states() == ["idle", "idle"])


def jobs_of(cluster: SlurmCluster) -> list[str]:
    """Return the numbers of the jobs that are queued or running."""
    return cluster.call("squeue", "--noheader", "--format=%A").split()


@pytest.mark.parametrize("pool", ["slurm"], indirect=True)
def test_requeued_jobs(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """`scontrol requeue` leaves a checkpoint and no record, and Slurm starts the job again."""
    assert session.pool.cluster
    with running(session) as process:
        jobs = jobs_of(session.pool.cluster)
        session.pool.cluster.call("scontrol", "requeue", ",".join(jobs))
        assert 0 == process.wait(240), session.said()
    check(session, undisturbed, table, "scontrol requeue")


@pytest.mark.parametrize("pool", ["slurm"], indirect=True)
def test_cancelled_jobs(session: Session, undisturbed: dict[int, StoredRun], table: Table) -> None:
    """`scancel` of another user leaves a checkpoint and no record; the command says so, and continues when repeated."""
    assert session.pool.cluster
    with running(session) as process:
        session.pool.cluster.call("scancel", *jobs_of(session.pool.cluster))
        assert 75 == process.wait(120), session.said()
    assert "CANCELLED; the same command again starts it" in session.said()
    assert [] == read_runs(session.path / "runs")[0]
    assert 0 == session.start().wait(240), session.said()
    check(session, undisturbed, table, "scancel, the same command again")
