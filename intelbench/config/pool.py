"""Where runs are executed: the name of an engine, or a TOML file that configures one."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from intelbench.config.bounds import byte_count
from intelbench.config.decoding import convert, parse_toml, read_text
from intelbench.errors import printable

_SUFFIX = ".toml"


SbatchValue = str | int | float | bool | list[str]


class RayOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where Ray runs, and what it gives to a run."""

    address: str = "auto"
    """Address of the cluster; `auto` finds the one of this host."""
    resources: dict[str, float] = {}
    """Resources of a run by the names of the cluster, such as those of a kind of GPU."""


class Pool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An engine and its arguments."""

    engine: Annotated[str, Meta(min_length=1)]
    """Name of a built-in engine (`local`, `slots`, `gpus`, `slurm`, `ray`), or of one of a plug-in."""
    slots: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Runs at once; `None` for the engine's default."""
    gpus: Annotated[int, Meta(ge=0, le=64)] | None = None
    """GPUs of a run on a cluster; `None` for one if runs are on GPUs."""
    cpus: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """CPUs of a run on a cluster; `None` for its threads and those that load data."""
    memory: str | None = None
    """Memory of a run on a cluster, such as `32GB`; `None` for the cluster's default."""
    attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    """How often a run is started whose hosts are lost; one that fails by itself is started once."""
    slurm: dict[str, SbatchValue] | None = None
    """Long options of `sbatch`, and the lines of shell `setup`."""
    ray: RayOptions | None = None

    def __post_init__(self) -> None:
        if self.memory is not None:
            try:
                byte_count(self.memory)
            except ValueError as error:
                raise ValueError(f"memory {self.memory!r}: {error}") from error


def is_pool_file(name_or_file: str) -> bool:
    """Return whether this is a TOML file, and not the name of an engine."""
    return Path(name_or_file).suffix.lower() == _SUFFIX


def load_pool(name_or_file: str) -> Pool:
    """Return the pool that a TOML file describes, or the engine of a name with its defaults.

    Raises:
        UserError: the file cannot be read, or has an unknown key, or a value that is not accepted.
    """
    if not is_pool_file(name_or_file):
        return Pool(engine=name_or_file)
    path = Path(name_or_file)
    origin = f"--on {printable(path)}"
    return convert(origin, parse_toml(origin, read_text("--on", path)), Pool)
