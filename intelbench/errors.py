"""The one exception whose text is written for the person at the keyboard, and how names are written in such a text."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend.

    The message names the file or key, what was wrong, what is accepted and what to do. The command line prints it
    without a traceback and exits with status 2.
    """


def printable(text: object) -> str:
    """A name, or words from elsewhere, for one line of a message: what a terminal would obey or hide is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in str(text)
    )


def shortened(text: str, most: int = 100) -> str:
    """The beginning of a text of more than that many characters."""
    return text if len(text) <= most else f"{text[:most]}…"


def one_of(name: str, known: Iterable[str]) -> str:
    """List known names, and the one nearest to an unknown name once more."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"Expected one of: {', '.join(known)}" + (f". Try `{near[0]}`" if near else "")
