"""The one exception whose text is written for the person at the keyboard, and what makes text fit to be shown."""

import unicodedata

_BIDI_CONTROLS = {chr(code) for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}
_NOT_IN_XML = {"\ufffe", "\uffff"}


class UserError(Exception):
    """Something the user can mend.

    The message names the file or key, what was wrong, what is accepted and what to do. The command line prints it
    without a traceback and exits with status 2.
    """


def printable(text: str) -> str:
    """One line of text without control characters or marks that reorder what is read."""
    one_line = " ".join(text.split())
    if one_line.isascii() and one_line.isprintable():
        return one_line
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI_CONTROLS or char in _NOT_IN_XML
        else char
        for char in one_line
    )
