"""The processes that execute one run together, one for each of its devices; most runs have one.

The first that fails or dies ends all of them.
"""

import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self

import msgspec

from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.process import Process, Starter
from intelbench.records.types import Failure

_CHILD = "intelbench.orchestration.child"
_PATIENCE_SECONDS = 2.0
"""Time after a failure in which the death of another process, if there is one, is its reason."""


class Team:
    """The processes of a run, used as one `Process`: its answers are those of rank 0.

    It ends when rank 0 does, or with the first process that fails or dies.
    """

    def __init__(self, job: Job, starter: Starter, inherit: Collection[int]) -> None:
        job.workspace.store.unlink(missing_ok=True)
        self._processes = [Process(_CHILD, job, starter, job.limits, inherit)]
        if others := [msgspec.structs.replace(job, rank=rank) for rank in range(1, job.spec.execution.gpus)]:
            with ThreadPoolExecutor(len(others)) as pool:  # each reads its job when it has imported PyTorch
                starts = [pool.submit(Process, _CHILD, each, starter, job.limits, inherit) for each in others]
            self._processes += [start.result() for start in starts]
        self._exit = ExitStack()
        self._first = 0
        """Rank of the process that has ended first."""
        self._failed_at: float | None = None
        self.failure: Failure | None = None
        """Why that process cannot go on, if it has said so."""

    def __enter__(self) -> Self:
        for process in self._processes:
            self._exit.enter_context(process)
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    def read(self) -> list[Progress] | None:
        """Return the progress since the last call, or `None` if the run has ended and all is read.

        Raises:
            OverrunError: a process has exceeded a limit.
        """
        progress: list[Progress] = []
        for rank, process in enumerate(self._processes):
            answers = process.read()
            if answers is None:
                self._first, self.failure = rank, None
                return None
            for answer in (msgspec.json.decode(answer, type=Progress) for answer in answers):
                if answer.failure is None:
                    progress.append(answer)
                elif self._failed_at is None:
                    self._first, self.failure, self._failed_at = rank, answer.failure, time.monotonic()
        has_failed = self._failed_at is not None and time.monotonic() - self._failed_at >= _PATIENCE_SECONDS
        return None if has_failed else progress

    def ask_to_stop(self) -> None:
        """Ask rank 0 to stop by itself."""
        self._processes[0].ask_to_stop()

    def stop(self, seconds: float) -> None:
        """Ask rank 0 to stop by itself, and wait for that for at most `seconds`."""
        self._processes[0].stop(seconds)

    @property
    def title(self) -> str:
        """Return the process that has ended first in words: `the process`, `the process of rank 1`."""
        return "the process" if len(self._processes) == 1 else f"the process of rank {self._first}"

    @property
    def returncode(self) -> int:
        """Return the exit status of the process that has ended first; negative is a signal."""
        return self._processes[self._first].returncode

    @property
    def last_words(self) -> str:
        """Return the last characters of the stderr of that process, or of its traceback if it has said why it fails."""
        return self.failure.details if self.failure else self._processes[self._first].last_words
