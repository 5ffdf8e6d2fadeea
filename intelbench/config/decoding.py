"""Files that people write: read within bounds and decoded strictly, with errors that say what is accepted."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from intelbench.config.validation import Fault, Place, find_fault
from intelbench.errors import UserError
from intelbench.paths import shown_path

MAX_BYTES = 2**20
"""Size of a file. The largest of the package has 13 KiB; Python's TOML parser takes at most 4 s for 1 MiB."""
MAX_DOTS = 100
"""Dots in a line. No key has as many parts, and the parser's time and memory grow with the square of their number:
16 KiB of dots took 190 MiB, 64 KiB would take 3 GiB."""
_MAX_DIGITS = 4300
"""Digits of an integer that Python reads."""
Decoded = TypeVar("Decoded")


def read_text(kind: str, path: Path) -> str:
    """Return the text of a small file; `kind` is what messages call it.

    Raises:
        UserError: the file is missing, unreadable, too large, not UTF-8, or not a regular file.
    """
    name = f"{kind} {shown_path(path)}"
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{name}: is not a regular file; give a TOML file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UserError(f"{name}: is larger than {MAX_BYTES:,} bytes, the most that is read; is it TOML?")
        return content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} is not UTF-8"
    except OSError as error:
        reason = str(error.strerror)
    except ValueError:  # a null character
        reason = "no file has such a name"
    raise UserError(f"{name}: cannot be read ({reason}). Expected a TOML file")


def parse_toml(origin: str, text: str) -> dict[str, Any]:
    """Read TOML into plain values; `origin` is what messages call the text: its kind and name.

    Raises:
        UserError: the text is not TOML, or is too large.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if (dots := line.count(".")) > MAX_DOTS:
            raise UserError(f"{origin}: line {number} holds {dots:,} dots; at most {MAX_DOTS} are accepted")
    try:
        content: dict[str, Any] = msgspec.toml.decode(text)
        return content
    except msgspec.DecodeError as error:
        # the parser names a key as Python writes a tuple
        said = re.sub(r"\((\'.*?),?\)", lambda names: names[1].replace("', '", "."), str(error))
        reason = f"not TOML: {said}"
    except RecursionError:
        reason = "tables or arrays are nested too deeply"
    except ValueError:
        reason = f"a whole number has more than {_MAX_DIGITS:,} digits"
    raise UserError(f"{origin}: {reason}. Expected lines such as `key = value`")


def convert(
    origin: str,
    content: object,
    type_: type[Decoded],
    place: Place = (),
    more: Callable[[Fault], str] = lambda _fault: "",
) -> Decoded:
    """Convert plain values to a struct, strictly.

    Args:
        origin: What messages call the values: the kind and the name of their file.
        content: Plain values.
        type_: The type of the struct.
        place: Keys of the table in its file that holds the values.
        more: Returns what the message says in addition about a fault.

    Raises:
        UserError: an unknown key, a missing one, or a value that is not accepted; the message names the key.
    """
    try:
        return msgspec.convert(content, type_, str_keys=True)
    except msgspec.ValidationError as error:
        fault = find_fault(content, type_, place)
        raise UserError(f"{origin}: {fault}{more(fault)}") from error


def flattened(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables by dotted key; an empty table has none."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        values |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return values
