"""What the tests of clusters stand on does what it is for: jobs run on two nodes, and locks do not exclude."""

from pathlib import Path

import pytest

from intelbench.records.locks import hold
from tests.cluster.mounts import mounted_twice
from tests.cluster.ray_nodes import RayCluster
from tests.cluster.slurm import NODES, SlurmCluster, wait

pytestmark = pytest.mark.cluster


def test_slurm_requeues_the_job_of_a_lost_node(slurm: SlurmCluster, tmp_path: Path) -> None:
    """A job that starts on one node is started again when that node is gone."""
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho $SLURMD_NODENAME\nexec sleep 600\n")
    output = tmp_path / "output"
    job = slurm.call("sbatch", "--parsable", "--open-mode=append", f"--output={output}", str(script))
    wait(lambda: output.exists() and output.read_text())
    node = output.read_text().strip()
    assert node in NODES
    slurm.kill_node(node)
    wait(lambda: len(output.read_text().split()) > 1)
    slurm.call("scancel", job)
    slurm.start_node(node)
    wait(lambda: slurm.states() == ["idle", "idle"])


def test_locks_do_not_exclude_across_mounts(tmp_path: Path) -> None:
    """The kernel's locks alone do not protect a run there."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").touch()
    with mounted_twice(folder, tmp_path) as mounts:
        locks = [hold(mount / "file") for mount in mounts]
        assert all(locks)
        assert hold(mounts[0] / "file") is None
        for lock in filter(None, locks):
            lock.release()


def test_ray_starts(ray: RayCluster) -> None:
    """It has an address."""
    assert ":" in ray.address
