"""Listeners of a session and its runs. The terminal display is one of them.

A plug-in file, or a package with an entry point of the group `intelbench.listeners`, adds another:

    @intelbench.listener("log")
    class Log(intelbench.RunListener):
        def run_ended(self, index, record, seconds): ...
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from typing import Any, TypeVar

from intelbench.errors import printable
from intelbench.orchestration.job import Progress
from intelbench.plugins.guard import failed_with, require_methods, source_file
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Registry, takes_name
from intelbench.records.types import RunRecord, RunSpec


class RunListener:
    """Base of listeners: its methods are called in the process of the session; override those that you need.

    `index` is the position of a run in `runs` of `session_started`. An engine may execute several runs at once.
    """

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Called when the session begins; `pending` says for each run whether it will be executed."""

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """Called for a run that is recorded already."""

    def run_started(self, index: int) -> None:
        """Called when a run begins, from its checkpoint if it has one."""

    def run_updated(self, index: int, progress: Progress) -> None:
        """Called with the progress of a run; its phase is `waiting` while another process executes the run."""

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Called when a run has left its record, with its seconds of wall clock."""

    def run_left_out(self, index: int) -> None:
        """Called for a run that the session does not need, because what it would be compared for is decided."""

    def session_ended(self) -> None:
        """Called when the session ends: complete, interrupted or failed."""


_EVENTS = frozenset(name for name in vars(RunListener) if not name.startswith("_"))
Factory = TypeVar("Factory", bound=Callable[[], RunListener])

LISTENERS: Registry[Callable[[], RunListener]] = Registry("listener")
"""Factories of the listeners of a session. All of them are used."""


@takes_name
def listener(name: str) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which creates a listener, under `name`."""
    return LISTENERS.decorator(name)


@contextmanager
def notified(listener: RunListener, runs: Sequence[RunSpec], pending: Sequence[bool]) -> Iterator[None]:
    """Notify a listener that the session begins, and after the block that it has ended."""
    listener.session_started(runs, pending)
    try:
        yield
    finally:
        listener.session_ended()


class Listeners(RunListener):
    """All registered listeners, and others of the session, as one listener.

    The first error of each is reported; no error reaches the session.
    """

    def __init__(self, report: Callable[[str], None], others: Mapping[str, RunListener] | None = None) -> None:
        self._report = report
        self._failed: set[str] = set()
        self._listeners: dict[str, RunListener] = {}
        for name in LISTENERS.providers():
            self._guarded(name, partial(self._make, name))
        self._listeners |= others or {}

    def __getattribute__(self, name: str) -> Any:
        """Return, for a method of listeners, the function that calls it on every listener."""
        if name in _EVENTS:
            return partial(self._notify, name)
        return super().__getattribute__(name)

    def _notify(self, event: str, *arguments: Any) -> None:
        for name, listener in self._listeners.items():
            self._guarded(name, partial(getattr(listener, event), *arguments))

    def _make(self, name: str) -> None:
        made = LISTENERS.get(name)()
        require_methods(made, RunListener)
        self._listeners[name] = made

    def _guarded(self, name: str, call: Callable[[], None]) -> None:
        """Call a listener, and report its first error."""
        entry = LISTENERS.entries.get(name)
        try:
            if entry and entry.imports:
                entry.imports.activate()
            is_ours = entry is not None and entry.provider == BUILT_IN
            with nullcontext() if is_ours else redirect_stdout(sys.stderr):  # which the live table puts above itself
                call()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a listener never fails a run
            if name not in self._failed:
                self._failed.add(name)
                said = failed_with(error, source_file(entry.function) if entry else "")
                self._report(printable(f"listener {name!r}: {said}. The session continues"))
