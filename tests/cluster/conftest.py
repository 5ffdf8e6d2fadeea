"""Clusters on this machine, each started once for all tests, and the table of what was done to them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tabulate import tabulate

from tests.cluster.ray_nodes import RayCluster
from tests.cluster.slurm import SlurmCluster


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


@dataclass
class Table:
    """What was done to runs, and what became of them."""

    rows: list[tuple[str, str, str, int, int]] = field(default_factory=list)

    def add(self, engine: str, event: str, equal: str, made_twice: int, lost: int) -> None:
        """Add a row."""
        self.rows.append((engine, event, equal, made_twice, lost))


TABLE = Table()


@pytest.fixture(scope="session")
def table() -> Table:
    """The table that is printed at the end."""
    return TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if TABLE.rows:
        headings = "engine", "what was done", "bits equal", "made twice", "lost"
        terminalreporter.write_line(tabulate(sorted(TABLE.rows), headers=headings, tablefmt="github"))
