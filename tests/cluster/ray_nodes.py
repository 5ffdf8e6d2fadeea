"""A Ray cluster of two nodes on this machine, in a process of its own.

The process prints the address of the cluster. For each line of stdin it kills the first node and starts another one.
It ends the cluster when stdin ends.
"""

import os
import subprocess
import sys
from contextlib import suppress
from typing import Self

import psutil
import pytest

_STARTED, _KILLED = "started at ", "killed"


class RayCluster:
    """The process, and what tests do to its nodes. Each node runs one run at once."""

    def __init__(self) -> None:
        pytest.importorskip("ray", reason="Ray is not installed: pip install intelbench[ray]")
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self._answer().removeprefix(_STARTED)

    def lose_node(self) -> None:
        """Kill everything on a node at once, as a power cut does; another one takes its place."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith((_STARTED, _KILLED)):
                return line.strip()
        raise AssertionError("the Ray cluster has ended")

    def close(self) -> None:
        """End the cluster."""
        self._process.communicate(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    _answer(f"{_STARTED}{cluster.address}")
    for _ in sys.stdin:
        node = nodes.pop(0)
        [daemon] = node.all_processes["raylet"]
        processes = psutil.Process(daemon.process.pid).children(recursive=True)
        cluster.remove_node(node, allow_graceful=False)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        nodes.append(cluster.add_node(num_cpus=1))
        _answer(_KILLED)
    cluster.shutdown()


if __name__ == "__main__":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main()
