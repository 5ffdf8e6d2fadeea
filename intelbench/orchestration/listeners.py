"""Listeners of a session and its runs. The terminal display is one of them.

A plug-in file, or a package with an entry point of the group `intelbench.listeners`, adds another:

    @intelbench.listener("log")
    class Log(intelbench.RunListener):
        def run_ended(self, index, record, seconds): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from intelbench.errors import printable
from intelbench.plugins.registry import Registry

if TYPE_CHECKING:
    from intelbench.orchestration.job import Progress
    from intelbench.records.types import RunRecord, RunSpec


class RunListener:
    """Base of listeners: its methods are called in the process of the session; override those that you need.

    `index` is the position of a run in `runs` of `session_started`.
    """

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Called when the session begins; `pending` says for each run whether it will be executed."""

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """Called for a run that is recorded already."""

    def run_started(self, index: int) -> None:
        """Called when a run begins, from its checkpoint if it has one."""

    def run_updated(self, index: int, progress: Progress) -> None:
        """Called with the progress of a run, or while another process executes it."""

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Called when a run has left its record, with its seconds of wall clock."""

    def session_ended(self) -> None:
        """Called when the session ends: complete, interrupted or failed."""


Factory = TypeVar("Factory", bound=Callable[[], RunListener])

LISTENERS: Registry[Callable[[], RunListener]] = Registry("listener")
"""Factories of the listeners of a session. All of them are used."""


def listener(name: str) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which creates a listener, under `name`."""

    def decorate(make: Factory) -> Factory:
        LISTENERS.add(make, name, function=make)
        return make

    return decorate


class Listeners(RunListener):
    """All registered listeners as one listener. The first error of each is reported; no error reaches the session."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._failed: set[str] = set()
        self._listeners: dict[str, RunListener] = {}
        for name in LISTENERS.providers():
            self._guarded(name, partial(self._make, name))

    @contextmanager
    def session(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> Iterator[None]:
        """Notify all listeners that the session begins, and after the block that it has ended."""
        self.session_started(runs, pending)
        try:
            yield
        finally:
            self.session_ended()

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Notify all listeners."""
        self._tell(lambda each: each.session_started(runs, pending))

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """Notify all listeners."""
        self._tell(lambda each: each.run_skipped(index, record))

    def run_started(self, index: int) -> None:
        """Notify all listeners."""
        self._tell(lambda each: each.run_started(index))

    def run_updated(self, index: int, progress: Progress) -> None:
        """Notify all listeners."""
        self._tell(lambda each: each.run_updated(index, progress))

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Notify all listeners."""
        self._tell(lambda each: each.run_ended(index, record, seconds))

    def session_ended(self) -> None:
        """Notify all listeners."""
        self._tell(lambda each: each.session_ended())

    def _make(self, name: str) -> None:
        self._listeners[name] = LISTENERS.get(name)()

    def _tell(self, call: Callable[[RunListener], None]) -> None:
        for name, each in self._listeners.items():
            self._guarded(name, partial(call, each))

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        """Call a listener, and report its first error."""
        try:
            entry = LISTENERS.entries.get(name)
            if entry and entry.imports:
                entry.imports.activate()
            call()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a listener never fails a run
            if name not in self._failed:
                self._failed.add(name)
                reason = f"{type(error).__name__}: {error}"
                self._report(printable(f"listener {name!r}: failed with {reason}. The session continues"))
