"""Engines, which execute planned runs. `local` is built in; plug-ins and entry points add others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from intelbench.errors import UserError
from intelbench.plugins.guard import failed_with, require_methods, source_file
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Registry

if TYPE_CHECKING:
    from intelbench.orchestration.isolate import Unit


class Engine(Protocol):
    """Executes runs, here or on another host. Plans, locks, records and listeners are not its concern."""

    slots: int
    """Number of runs that it executes at once. More than one on a machine disturb each other's clocks."""

    def start(self, unit: Unit) -> Any:
        """Start a run, usually by its `unit.command()`, and return a handle for the other methods."""
        ...

    def has_ended(self, handle: Any) -> bool:
        """Return at once whether the run has ended. It has failed if it has left no record."""
        ...

    def cancel(self, handle: Any) -> None:
        """End the run, and return when it has ended."""
        ...


class Local:
    """Executes one run at a time on this machine, in a process that this one watches."""

    slots = 1

    def start(self, unit: Unit) -> Generator[bool, None, None]:
        """Return what executes the run; the first call of `has_ended` starts it."""
        return unit.isolate()

    def has_ended(self, handle: Generator[bool, None, None]) -> bool:
        """Pass on the progress of the run, and return whether it has ended."""
        return next(handle, True)

    def cancel(self, handle: Generator[bool, None, None]) -> None:
        """End the process of the run."""
        handle.close()


Factory = TypeVar("Factory", bound=Callable[[], Engine])
ENGINES: Registry[Callable[[], Engine]] = Registry("engine", {"local": Local})
"""Factories of engines. The user chooses one for a session."""


def engine(name: str) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which creates an engine, under `name`."""
    return ENGINES.decorator(name)


class NamedEngine:
    """The engine of a session. An error of a plug-in's engine becomes a `UserError` that names the engine."""

    def __init__(self, name: str) -> None:
        make = ENGINES.get(name)
        self.name = name
        with self._errors():
            self._engine = make()
            require_methods(self._engine, Engine)
            self.slots = self._engine.slots
            if not isinstance(self.slots, int) or self.slots < 1:
                raise ValueError(f"slots is {self.slots!r}. Expected how many runs it executes at once, 1 or more")

    def start(self, unit: Unit) -> Any:
        """Start a run, and return its handle."""
        with self._errors():
            return self._engine.start(unit)

    def has_ended(self, handle: Any) -> bool:
        """Return whether the run has ended."""
        with self._errors():
            return self._engine.has_ended(handle)

    def cancel(self, handle: Any) -> None:
        """End the run."""
        with self._errors():
            self._engine.cancel(handle)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        entry = ENGINES.entries[self.name]
        if entry.imports:
            entry.imports.activate()
        try:
            yield
        except (Exception, SystemExit) as error:
            if isinstance(error, UserError) or entry.provider == BUILT_IN:
                raise
            said = failed_with(error, source_file(entry.function))
            raise UserError(f"engine {self.name!r}: {said}") from error
