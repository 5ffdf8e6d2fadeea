"""Run code of others so that this process is afterwards as it was.

It guards against carelessness and is no sandbox: such code can do whatever the user who runs it can.
"""

import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

from intelbench.errors import UserError, printable

_STANDARD_STREAMS = (0, 1, 2)
_MAX_MESSAGE_CHARACTERS = 500
"""Characters of what such code says when it fails."""


@contextmanager
def plugin_errors_as_user_errors(whose: str, file: str = "") -> Iterator[None]:
    """Run the block `preserve_process_state`; whatever it raises, or that it ends the program, becomes a message.

    Args:
        whose: Whose code it is; begins the message.
        file: The file of that code, where it is one; the message has the line in which it failed.

    Raises:
        UserError: the block failed, or has raised one, which is passed on.
    """
    try:
        with preserve_process_state():
            yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UserError(f"{whose}: {failed_with(error, file)}") from error


def failed_with(error: BaseException, file: str) -> str:
    """Return what code of others raised, and where: `failed with ValueError: 0 (mine.py:12)`.

    The file of that code is named as in tracebacks; it is empty if it is not known.
    """
    said = traceback.format_exception_only(error)[-1].strip()  # also of an exception without a text
    return f"failed with {printable(said)[:_MAX_MESSAGE_CHARACTERS]}{line_of(error, (file,))}"


def line_of(error: BaseException, files: Collection[str]) -> str:
    """Return which line of these files an error came through last, to append: ` (mine.py:12)`; empty if none."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(frame.filename, frame.lineno) for frame in frames if frame.filename in files]
    if isinstance(error, SyntaxError) and error.filename and error.filename in files:
        lines.append((error.filename, error.lineno))
    return f" ({_place(*lines[-1])})" if lines else ""


def source_file(function: Callable[..., Any]) -> str:
    """Return the file of a function or class, as tracebacks name it; empty if it was not written in Python."""
    while isinstance(function, partial):
        function = function.func
    for value in (function, *(vars(function).values() if isinstance(function, type) else ())):
        if isinstance(code := getattr(value, "__code__", None), CodeType):
            return code.co_filename
    return ""


def _place(file: str, line: int | None) -> str:
    """Name a line of a file, or of a notebook cell as the notebook does: `Cell In[3], line 2`."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    cell = shell.compile.format_code_name(file) if shell else None
    return f"{' '.join(cell)}, line {line}" if cell else f"{printable(Path(file).name)}:{line}"


@contextmanager
def preserve_process_state() -> Iterator[None]:
    """Run the block, then put back working directory, environment variables and standard streams.

    What it prints, by whatever way, goes to stderr, since stdout is the product. A copy of this process that the block
    forks ends with the block: everything after it would be done twice.
    """
    process, folder, variables = os.getpid(), Path.cwd(), dict(os.environ)
    kept: dict[int, int] = {}
    for descriptor in _STANDARD_STREAMS:
        with suppress(OSError):  # it is closed
            kept[descriptor] = os.dup(descriptor)
    sys.stdout.flush()
    os.dup2(2, 1)
    try:
        with (
            open(os.dup(2), "w", buffering=1, errors="backslashreplace") as stream,  # noqa: PTH123 - not a path
            redirect_stdout(stream),
            redirect_stderr(stream),
        ):
            yield
    finally:
        if os.getpid() != process:
            os._exit(0)
        for descriptor, copy in kept.items():
            os.dup2(copy, descriptor)
            os.close(copy)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)


def require_methods(made: object, kind: type) -> None:
    """Check that what a plug-in has made has all public methods of a protocol or class.

    Raises:
        TypeError: a method is missing; the message has the names of all that are.
    """
    names = [name for name, member in vars(kind).items() if not name.startswith("_") and callable(member)]
    if missing := [name for name in names if not callable(getattr(made, name, None))]:
        raise TypeError(f"{type(made).__name__} has no {', '.join(missing)}. Expected the methods {', '.join(names)}")
