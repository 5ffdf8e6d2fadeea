"""Files written by hand: read within bounds, decoded strictly, and told what is accepted where they are not."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from intelbench.config.refusals import Place, Refusal, refusal
from intelbench.errors import UserError, printable

MOST_BYTES = 2**20
"""Of a file; the largest that comes with the package has 13 KiB. Python's TOML parser takes at most 4 s for so much."""
MOST_DOTS = 100
"""In a line. A key of so many parts is none of ours, and the parser's time and memory grow with their square: 16 KiB of
them took 190 MiB, 64 KiB would take 3 GiB."""
_MOST_DIGITS = 4300
"""Of an integer that Python reads."""
Decoded = TypeVar("Decoded")


def read_text(kind: str, path: Path) -> str:
    """The text of a small file; `kind` is what messages call it.

    Raises:
        UserError: missing, unreadable, too large, no UTF-8, or no regular file (opening a pipe would wait for ever).
    """
    name = f"{kind} {printable(path)}"
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{name}: is not a regular file; give a TOML file")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{name}: is larger than {MOST_BYTES:,} bytes, the most that is read; is it TOML?")
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
        UserError: not TOML, or too much of it.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if (dots := line.count(".")) > MOST_DOTS:
            raise UserError(f"{origin}: line {number} holds {dots:,} dots; at most {MOST_DOTS} are accepted")
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
        reason = f"a whole number has more than {_MOST_DIGITS:,} digits"
    raise UserError(f"{origin}: {reason}. Expected lines such as `key = value`")


def convert(
    origin: str,
    content: object,
    type_: type[Decoded],
    place: Place = (),
    more: Callable[[Refusal], str] = lambda _refusal: "",
) -> Decoded:
    """Make a struct of plain values, strictly.

    Args:
        origin: What messages call the values: the kind and the name of their file.
        content: Plain values.
        type_: What they must be.
        place: Keys at which the values are in their file.
        more: From what is wrong to what the message says in addition.

    Raises:
        UserError: an unknown key, a missing one, or a value that is not accepted; the message names the key.
    """
    try:
        return msgspec.convert(content, type_, str_keys=True)
    except msgspec.ValidationError as error:
        fault = refusal(content, type_, place)
        raise UserError(f"{origin}: {fault}{more(fault)}") from error
