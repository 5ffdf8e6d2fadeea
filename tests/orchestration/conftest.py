"""Clocks to set, a record of a failed run, and a server that starts processes."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from intelbench.orchestration import process
from intelbench.orchestration.forkserver import ForkServer
from intelbench.profiling import reference_kernels
from intelbench.profiling.variables import process_variables
from intelbench.records.types import RunRecord
from tests.command import Servers
from tests.fake_cuda import nvml_module
from tests.reading import read_runs
from tests.synthetic import Study, failure, synthetic_runs


class Clock:
    """Tells the time it was given."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def time_out_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let every time limit of a process be reached as soon as the process has written a file, and not before."""

    def time_out_at(file: Path) -> None:
        def monotonic() -> float:
            has_written = file.exists() and file.stat().st_size > 0
            return time.monotonic() + 10**6 if has_written else 0.0

        file.unlink(missing_ok=True)
        monkeypatch.setattr(process, "time", SimpleNamespace(monotonic=monotonic))
        monkeypatch.setattr(process, "_DOZE_SECONDS", 0.05)

    return time_out_at


@pytest.fixture
def failed_record(tmp_path: Path) -> RunRecord:
    """A run that diverged."""
    cause = failure("diverged", "the training loss of step 3: not finite", 2)
    synthetic_runs(tmp_path / "synthetic", ["resnet101"], [0], Study(failures={("resnet101", 0): cause}))
    return read_runs(tmp_path / "synthetic")[0][0].record


@pytest.fixture(scope="session")
def server(servers: Servers) -> ForkServer:
    """Starts processes with one thread."""
    return servers.server(process_variables(threads=1))


@pytest.fixture
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference kernels that take a moment, and a driver that knows the fake GPU."""
    for name in ("_CPU_SIZES", "_GPU_SIZES", "_HALF_GPU_SIZES"):
        monkeypatch.setattr(reference_kernels, name, ((2, 16, 8), 64))
    monkeypatch.setattr(reference_kernels, "_LAUNCHED_SECONDS", 1e-4)
    monkeypatch.setattr(reference_kernels, "_COPIED_BYTES", 4096)
    monkeypatch.setitem(sys.modules, "pynvml", nvml_module())
    monkeypatch.setattr("intelbench.profiling.energy._IDLE_SECONDS", 0.0)
