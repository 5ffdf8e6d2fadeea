"""Engines, which execute planned runs. Plug-ins and entry points add others to those of this package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, Protocol, TypeVar

import msgspec

from intelbench.config.pool import Pool, is_pool_file, load_pool
from intelbench.errors import UserError, printable
from intelbench.orchestration import devices, ray, slurm
from intelbench.orchestration.isolate import Unit
from intelbench.plugins.guard import failed_with, require_methods, source_file
from intelbench.plugins.providers import BUILT_IN
from intelbench.plugins.registry import Registry, takes_name


class Engine(Protocol):
    """Executes runs, here or on another host. Plans, locks, records and listeners are not its concern."""

    slots: int
    """Number of runs that it executes at once. An engine that executes several of them on one host says how many in
    `slots_per_host`, since they disturb each other's clocks."""

    def start(self, unit: Unit) -> Any:
        """Start a run, usually by its `unit.command()`, and return a handle for the other methods."""

    def has_ended(self, handle: Any) -> bool:
        """Return at once whether the run has ended. It has failed if it has left no record."""

    def cancel(self, handle: Any) -> None:
        """End the run, and return when it has ended."""


Factory = TypeVar("Factory", bound=Callable[..., Engine])
ENGINES: Registry[Callable[..., Engine]] = Registry(
    "engine",
    {
        "local": devices.Local,
        "slots": devices.on_processors,
        "gpus": devices.on_gpus,
        "slurm": slurm.Slurm,
        "ray": ray.Ray,
    },
)
"""Factories of engines. The user chooses one for a session."""
ON_THIS_MACHINE = "local", "slots", "gpus"
"""Engines that execute runs in processes of the session."""


@takes_name
def engine(name: str) -> Callable[[Factory], Factory]:
    """Register the decorated class or function, which creates an engine, under `name`."""
    return ENGINES.decorator(name)


class NamedEngine:
    """The engine of a session. An error of a plug-in's engine becomes a `UserError` that names the engine."""

    def __init__(self, pool: Pool, gpus: int = 1) -> None:
        """Make the engine of a pool for runs that are computed by this number of GPUs, or of processes on a CPU.

        Raises:
            UserError: the engine does not exist, does not accept an argument, or has too few GPUs for a run.
        """
        make = ENGINES.get(pool.engine)
        self.name = pool.engine
        self.attempts = pool.attempts
        arguments = {key: value for key, value in msgspec.structs.asdict(pool).items() if value is not None}
        arguments = {key: value for key, value in arguments.items() if key not in ("engine", "attempts")}
        if pool.gpus is not None and 0 < pool.gpus < gpus:
            raise UserError(
                f"engine {self.name!r}: gpus = {pool.gpus}, fewer than those of a run, --gpus {gpus}. Expected at "
                "least as many. Try it without `gpus`"
            )
        for key in arguments.keys() - signature(make).parameters.keys():
            raise UserError(f"engine {self.name!r}: takes no `{key}`. Try it without")
        if "processes" in signature(make).parameters:  # of each run, for which the engine has a device
            arguments["processes"] = gpus
        with self._errors():
            self._engine = make(**arguments)
            require_methods(self._engine, Engine)
            self.slots = self._engine.slots
            self.slots_per_host: int = getattr(self._engine, "slots_per_host", 1)
            for number in (self.slots, self.slots_per_host):
                if not isinstance(number, int) or number < 1:
                    raise ValueError(f"slots is {number!r}. Expected how many runs it executes at once, 1 or more")

    @classmethod
    def of(cls, on: str, gpus: int = 1) -> "NamedEngine":
        """Return the engine of `--on`, which is a name or a TOML file; messages about it name the file.

        Raises:
            UserError: as `load_pool` and `NamedEngine`.
        """
        pool = load_pool(on)
        try:
            return cls(pool, gpus)
        except UserError as error:
            if not is_pool_file(on):
                raise
            raise UserError(f"--on {printable(on)}: {error}") from error

    def device(self, wanted: str) -> str:
        """Return the device for an option `--device`.

        Raises:
            UserError: the engine executes runs on another kind of device.
        """
        own = getattr(self._engine, "device", None)
        if own and wanted not in ("auto", own):
            raise UserError(f"device {wanted}: not that of engine {self.name!r}. Expected auto or {own}")
        return own or wanted

    def close(self) -> None:
        """Release what the engine keeps between runs."""
        with self._errors():
            getattr(self._engine, "close", lambda: None)()

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
