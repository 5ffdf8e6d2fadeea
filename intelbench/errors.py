"""The exception whose message is written for the user, and how names are written in messages."""

import difflib
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

_FEW_NAMES = 10
"""Names that a reader takes in at a glance, so that a suggestion may follow them."""
_MAX_NAMES = 30
"""Names that a message lists: a message that is cut elsewhere would lose its suggestion."""


class UserError(Exception):
    """An error that the user can fix.

    The message names the file or key, what was wrong, what is accepted and what to do. The command line prints it
    without a traceback and exits with status 2.
    """


class HostError(UserError):
    """A host cannot execute a run that another host may execute; the command line exits with status 75."""

    @classmethod
    def here(cls, reason: object) -> "HostError":
        """Return the error of this host."""
        return cls(f"host {printable(socket.gethostname())}: {reason}")


def reason_of(error: OSError) -> str:
    """Return the system's reason, and the file that it could not work with, if it was a file."""
    files = [os.fsdecode(file) for file in (error.filename, error.filename2) if isinstance(file, str | bytes)]
    reason = error.strerror or str(error)
    hint = ". Try another place, or change its permissions" if isinstance(error, PermissionError) else ""
    return f"{' and '.join(files)}: cannot be read or written ({reason}){hint}" if files else reason


@contextmanager
def os_errors_as_user_errors() -> Iterator[None]:
    """Raise a `UserError` in place of an `OSError` of the block."""
    try:
        yield
    except OSError as error:
        raise UserError(printable(reason_of(error))) from error


def printable(text: object) -> str:
    """Return text for one line of a message, with control and invisible characters escaped."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shortened(text: str, most: int = 100) -> str:
    """Return the text, cut after `most` characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def one_of(name: str, known: Iterable[str], suggestion: str = "") -> str:
    """List the known names, of many the first ones, and suggest one; the suggestion comes before a long list.

    Args:
        name: Name that is not known.
        known: Names that are.
        suggestion: What to try; empty for the known name nearest to `name`, if one is near.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    suggestion = suggestion or (f"`{near[0]}`" if near else "")
    others = len(known) - _MAX_NAMES
    listed = f"{', '.join(known[:_MAX_NAMES])} and {others} others" if others > 1 else ", ".join(known)
    expected = f"Expected one of: {listed}"
    if not suggestion:
        return expected
    return f"Try {suggestion}. {expected}" if len(known) > _FEW_NAMES else f"{expected}. Try {suggestion}"


def plural(number: int, noun: str, nouns: str = "") -> str:
    """Write `1 run`, `3 runs`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def few(names: Sequence[str], most: int) -> str:
    """List the first names, at most that many, and say how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def kind_of(value: object) -> str:
    """Write the type of a value with its article: `an int`, `a list`, `None`."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
