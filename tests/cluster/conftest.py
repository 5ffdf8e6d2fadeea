"""Clusters on this machine, each started once for all tests."""

from collections.abc import Iterator

import pytest

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
