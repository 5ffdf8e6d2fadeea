"""Where runs are executed: the name of an engine, or a TOML file that configures one."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from intelbench.config.decoding import convert, parse_toml, read_text
from intelbench.errors import printable

_SUFFIX = ".toml"


class Pool(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An engine and its arguments."""

    engine: Annotated[str, Meta(min_length=1)]
    """Name of a built-in engine (`local`, `slots`, `gpus`), or of one of a plug-in."""
    slots: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Runs at once; `None` for the engine's default."""


def load_pool(name_or_file: str) -> Pool:
    """Return the pool that a TOML file describes, or the engine of a name with its defaults.

    Raises:
        UserError: the file cannot be read, or has an unknown key, or a value that is not accepted.
    """
    path = Path(name_or_file)
    if path.suffix != _SUFFIX:
        return Pool(engine=name_or_file)
    origin = f"pool {printable(path)}"
    return convert(origin, parse_toml(origin, read_text("pool", path)), Pool)
