"""Clusters on this machine, each started once for all tests, and the table of what was done to them."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tabulate import tabulate

from intelbench.records.store import StoredRun
from tests.cluster.ray_nodes import RayCluster
from tests.cluster.sessions import Pool, Results, Session, arguments
from tests.cluster.slurm import SlurmCluster
from tests.reading import read_runs

Undisturbed = Mapping[tuple[str, int], StoredRun]
SLOTS = pytest.param("slots", marks=pytest.mark.xdist_group("local"))
SLURM = pytest.param("slurm", marks=pytest.mark.xdist_group("slurm"))
RAY = pytest.param("ray", marks=pytest.mark.xdist_group("ray"))
"""Pools, each of which one process of pytest has."""
ROW = "row of the table"
"""Name of the property of a test."""


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Slurm's daemons and two nodes."""
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def ray() -> Iterator[RayCluster]:
    """A Ray cluster of two nodes."""
    with RayCluster() as cluster:
        yield cluster


@pytest.fixture(params=[SLURM, RAY])
def pool(request: pytest.FixtureRequest) -> Pool:
    """Return a pool of two nodes, or slots, each with room for one run."""
    if request.param == "slots":
        return Pool("slots", {})
    if request.param == "slurm":
        slurm: SlurmCluster = request.getfixturevalue("slurm")
        return Pool("slurm", {}, slurm, slurm.bin)
    ray: RayCluster = request.getfixturevalue("ray")
    return Pool("ray", {"ray": {"address": ray.address}}, ray)


@pytest.fixture
def session(pool: Pool, tmp_path: Path, small_folder: Path, small_suite: Path) -> Session:
    """Return a session of two runs of each network, which save a checkpoint every 0.2 s."""
    words = arguments(tmp_path, small_folder, small_suite)
    return Session(tmp_path, tmp_path / "results", pool.name, pool, words)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, small_folder: Path, small_suite: Path) -> Path:
    """Return the results of a session without an engine."""
    folder = tmp_path_factory.mktemp("local")
    words = ["quick", "slow", *arguments(folder, small_folder, small_suite), "--out", folder / "results"]
    subprocess.run([sys.executable, "-m", "intelbench", "run", *map(str, words)], check=True, capture_output=True)
    return folder / "results"


@pytest.fixture(scope="session")
def undisturbed(local: Path) -> Undisturbed:
    """Return the records of a session without an engine, by architecture and seed."""
    return {(each.record.spec.architecture, each.record.spec.seed): each for each in read_runs(local / "runs")[0]}


class Table:
    """What was done to runs, and what became of them; a property of tests, which several processes may execute."""

    def __init__(self, test: pytest.Item) -> None:
        self._test = test

    def check(self, results: Results, undisturbed: Undisturbed, event: str, number: int = 2) -> None:
        """Fail unless a number of runs have equal bits and were made once; count them."""
        finished, made = results.finished(undisturbed), results.made()
        counts = len(finished), number, sum(made.values()) - len(made), number - len(finished)
        self._test.user_properties.append((ROW, (results.engine, event, *counts)))
        assert number == len(finished)


@pytest.fixture
def table(request: pytest.FixtureRequest) -> Table:
    """Return the part of a test of the table that is printed at the end."""
    return Table(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    rows: dict[tuple[str, str], list[int]] = {}
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, value in report.user_properties if report.when == "call" else ():
            if name == ROW:
                engine, event, *counts = value
                row = rows.setdefault((engine, event), [0] * len(counts))
                row[:] = map(sum, zip(row, counts, strict=True))
    headings = "engine", "what was done", "bits equal", "made twice", "lost"
    lines = [(*names, f"{equal} of {runs}", twice, lost) for names, (equal, runs, twice, lost) in sorted(rows.items())]
    if lines:
        terminalreporter.write_line(tabulate(lines, headers=headings, tablefmt="github"))
