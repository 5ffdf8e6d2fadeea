"""Files written by hand: read within bounds, decoded strictly, and told what is accepted where they are not."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import inspect

from intelbench.errors import UserError
from intelbench.records.types import PRINTABLE

MOST_BYTES = 2**20
"""Of a file; the largest that comes with the package has 13 KiB. Python's TOML parser takes at most 4 s for so much."""
MOST_DOTS = 100
"""In a line. A key of so many parts is none of ours, and the parser's time and memory grow with their square: 16 KiB of
them took 190 MiB, 64 KiB would take 3 GiB."""
_LONGEST_MESSAGE = 2000
"""Characters; what was not accepted is part of it, and may be as long as the file."""
Decoded = TypeVar("Decoded")


def read_text(kind: str, path: Path) -> str:
    """The text of a small file; `kind` is what messages call it.

    Raises:
        UserError: missing, unreadable, too large, no UTF-8, or no regular file (opening a pipe would wait for ever).
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{kind} {path}: is not a regular file; give a TOML file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{kind} {path}: is larger than {MOST_BYTES:,} bytes, the most that is read; is it TOML?")
        return content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except (OSError, ValueError) as error:
        raise UserError(f"{kind} {path}: cannot be read ({error})") from error


def decode_toml(
    origin: str, text: str, type_: type[Decoded], also: Callable[[str], str] = lambda _message: ""
) -> Decoded:
    """Decode strictly.

    Args:
        origin: What messages call the text: its kind and name.
        text: TOML.
        type_: What it must hold.
        also: From msgspec's message to what is to be added to it.

    Raises:
        UserError: not TOML, an unknown key, or a value that is not accepted; the message names the key.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if (dots := line.count(".")) > MOST_DOTS:
            raise UserError(f"{origin}: line {number} holds {dots:,} dots; at most {MOST_DOTS} are accepted")
    try:
        return msgspec.toml.decode(text, type=type_)
    except msgspec.MsgspecError as error:
        said = explain(_shortened(str(error)), type_) + also(str(error))
    except RecursionError:
        said = "tables or arrays are nested too deeply"
    except ValueError as error:  # Python reads no integer of thousands of digits
        said = str(error).partition(";")[0]
    raise UserError(f"{origin}: {said}")


def explain(message: str, root: type) -> str:
    """Add to msgspec's message, which names the place and what was wrong, what is accepted there."""
    place = re.search(r" - at `\$\.([^`]+)`$", message)
    info: inspect.Type = inspect.type_info(root)
    for key in re.findall(r"[^.\[\]]+", place[1]) if place else ():
        if isinstance(info, inspect.VarTupleType):
            info = info.item_type
        else:
            info = next((field.type for field in _fields(info) if field.encode_name == key), info)
    accepted: list[object] = []
    if "unknown field" in message:
        accepted = [field.encode_name for field in _fields(info)]
    else:
        accepted = [value for each in _alternatives(info) for value in each]
    readable = re.sub(r" - at `\$\.?(.*)`$", r", at key `\1`", message)
    readable = readable.replace(f"matching regex {PRINTABLE!r}", "without control characters")
    return readable + (f"; accepted: {', '.join(map(str, accepted))}" if accepted else "")


def _shortened(message: str) -> str:
    """Its beginning and its end, which names the place."""
    half = _LONGEST_MESSAGE // 2
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:half]} … {message[-half:]}"


def _alternatives(info: inspect.Type) -> list[tuple[object, ...]]:
    """The values that a type lists, and in words the numbers that it takes beside them; of a plain number, nothing."""
    if isinstance(info, inspect.LiteralType):
        return [info.values]
    if not isinstance(info, inspect.UnionType) or not any(isinstance(e, inspect.LiteralType) for e in info.types):
        return []
    numbers = [("a number",) for each in info.types if isinstance(each, inspect.FloatType | inspect.IntType)]
    return [*(each.values for each in info.types if isinstance(each, inspect.LiteralType)), *numbers]


def _fields(info: inspect.Type) -> tuple[inspect.Field, ...]:
    return info.fields if isinstance(info, inspect.StructType) else ()
