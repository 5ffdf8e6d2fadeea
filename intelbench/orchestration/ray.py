"""The engine `ray`: each run is a task of a Ray cluster, which starts the command of a worker and nothing else."""

import importlib
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from intelbench.config.bounds import byte_count
from intelbench.config.pool import RayOptions
from intelbench.errors import UserError

if TYPE_CHECKING:
    from intelbench.orchestration.isolate import Unit

_LOOK_SECONDS = 0.5
"""Between two looks at the command of a task."""
_STOP_SECONDS = 40.0
"""Time in which the command of a cancelled task saves a checkpoint and ends."""


def execute_command(command: Sequence[str]) -> int:
    """Execute a command in the process of a task, and return its exit status.

    Ray interrupts the task to cancel it, between two lines of Python; then the command gets SIGTERM and ends by itself.
    """
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            while (status := process.poll()) is None:
                time.sleep(_LOOK_SECONDS)
            return status
        except BaseException:
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_SECONDS)
            raise


@dataclass
class Ray:
    """Executes each run as a task; `Pool` describes the options."""

    slots: int = 100
    """Tasks at once; Ray queues those for which there are no resources."""
    gpus: int | None = None
    cpus: int | None = None
    memory: str | None = None
    ray: RayOptions = field(default_factory=RayOptions)

    def __post_init__(self) -> None:
        try:
            self._ray = importlib.import_module("ray")
        except ImportError as error:
            raise UserError(f"engine 'ray': {error}. Try pip install 'intelbench[ray]'") from error
        self._connect()

    def start(self, unit: "Unit") -> tuple["Unit", Any]:
        """Submit the task of a run; return both."""
        self._connect()
        task = self._ray.remote(execute_command).options(
            name=unit.job.run_id,
            num_cpus=self.cpus or unit.num_cpus,
            num_gpus=unit.num_gpus if self.gpus is None else self.gpus,
            memory=byte_count(self.memory) if self.memory else None,
            resources=self.ray.resources or None,
            max_retries=0,  # the session starts a run again that was lost
        )
        return unit, task.remote(unit.command())

    def has_ended(self, handle: tuple["Unit", Any]) -> bool:
        """Return whether the task has ended; why, if it was lost, is for the run's record."""
        unit, task = handle
        if not self._has_result(task, 0):
            return False
        try:
            unit.ending = f"Ray task: exit status {self._ray.get(task)}"
        except self._ray.exceptions.RayError as error:
            unit.ending = f"Ray task: {type(error).__name__}"
            unit.is_out_of_memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        return True

    def cancel(self, handle: tuple["Unit", Any]) -> None:
        """Cancel the task, and return when it has ended."""
        _, task = handle
        self._ray.cancel(task)
        if not self._has_result(task, _STOP_SECONDS):
            self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        address = self.ray.address
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"engine 'ray': no cluster at address {address!r} ({error}). Expected one that runs. Try `ray start "
                "--head` on one host, and `ray start --address` on the others"
            ) from error

    def _has_result(self, task: Any, seconds: float) -> bool:
        return bool(self._ray.wait([task], timeout=seconds)[0])
