"""What the command prints: its product to stdout, everything else to stderr."""

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from intelbench.errors import printable


def print_product(text: str) -> None:
    """Print to stdout; escape control characters on a terminal, keep the bytes in a file or a pipe."""
    click.echo(_escaped(text) if sys.stdout.isatty() else text, nl=False)


def write_product(text: str, file: Path | None) -> None:
    """Write to a file, whose folder is made, or print to stdout if there is none."""
    from intelbench.records.store import write_figures

    if file is None:
        print_product(text)
    else:
        write_figures(file.parent, {file.name: text.encode()})


def complain(text: str) -> None:
    """Print to stderr, with control characters escaped."""
    click.echo(_escaped(text), err=True)


def complain_of_left_out(problems: Iterable[str]) -> None:
    """Print to stderr which records are left out, and why."""
    for problem in problems:
        complain(f"left out: {problem}")


def _escaped(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
