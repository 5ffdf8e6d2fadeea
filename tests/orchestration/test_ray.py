"""What the engine `ray` makes of the end of a task, with a stand-in for Ray; `make cluster` has a real one."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from intelbench.config.pool import load_pool
from intelbench.orchestration.engines import NamedEngine


class RayError(Exception):
    """The base class of Ray's errors."""


class OutOfMemoryError(RayError):
    """Ray has killed the task, because the memory of its node was full."""


class WorkerCrashedError(RayError):
    """The process of the task was killed."""


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Install the stand-in for Ray; the first value is that of every task, or the error that Ray raises instead."""
    outcomes: list[Any] = []

    def get(_: object) -> object:
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
        return outcomes[0]

    submitted = SimpleNamespace(remote=lambda command: command)
    ray = SimpleNamespace(
        is_initialized=lambda: True,
        remote=lambda _: SimpleNamespace(options=lambda **_: submitted),
        wait=lambda tasks, timeout: (tasks if outcomes else [], []),
        get=get,
        exceptions=SimpleNamespace(RayError=RayError, OutOfMemoryError=OutOfMemoryError),
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    return outcomes


@pytest.mark.parametrize(
    ("outcome", "ending", "is_out_of_memory"),
    [
        (0, "Ray task: exit status 0", False),
        (WorkerCrashedError(), "Ray task: WorkerCrashedError", False),
        (OutOfMemoryError(), "Ray task: OutOfMemoryError", True),
    ],
)
def test_the_end_of_a_task_is_for_the_record_of_its_run(
    tasks: list[Any], outcome: object, ending: str, is_out_of_memory: bool
) -> None:
    """A run whose memory was full has failed, and is not started again; one whose process was killed is lost."""
    job = SimpleNamespace(run_id="tiny-s0")
    unit = SimpleNamespace(
        job=job, command=lambda: ["python"], num_cpus=1, num_gpus=0, ending="", is_out_of_memory=False
    )
    engine = NamedEngine(load_pool("ray"))
    handle = engine.start(unit)
    assert not engine.has_ended(handle)
    tasks.append(outcome)
    assert engine.has_ended(handle)
    assert (ending, is_out_of_memory) == (unit.ending, unit.is_out_of_memory)
