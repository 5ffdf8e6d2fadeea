"""Run code of others so that this process is afterwards as it was.

It guards against carelessness and is no sandbox: such code can do whatever the user who runs it can.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

_STANDARD_STREAMS = (0, 1, 2)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run the block, then put back working directory, environment variables and standard streams.

    What it prints, by whatever way, goes to stderr, since stdout is the product. A copy of this process that the block
    forks ends with the block: everything after it would be done twice.
    """
    process, folder, variables = os.getpid(), Path.cwd(), dict(os.environ)
    kept = {descriptor: os.dup(descriptor) for descriptor in _STANDARD_STREAMS if _is_open(descriptor)}
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


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
