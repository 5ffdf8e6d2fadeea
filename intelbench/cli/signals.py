"""Signals by which schedulers end a command: it saves checkpoints, and the same command continues."""

import signal
from collections.abc import Callable
from typing import Any

from intelbench.cli.output import complain

EXIT_TEMPORARY = 75
"""EX_TEMPFAIL of sysexits.h: the same command may succeed later, or on another host."""


class _TerminatedError(KeyboardInterrupt):
    """A scheduler has asked the command to end, with the signal of this name."""


def stoppable(execute: Callable[[], Any]) -> Any:
    """Return the exit status of a command, which SIGTERM and SIGUSR2 interrupt as Ctrl-C does; then it is 75.

    Only the first signal counts, because schedulers repeat theirs and may follow Ctrl-C. Ctrl-C a second time ends the
    command at once.
    """
    names = ("SIGTERM", "SIGUSR2", "SIGINT")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, _: object) -> None:
        for each in numbers:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else _TerminatedError(signal.Signals(number).name)

    for number in numbers:
        if number != signal.SIGINT or before[number] is signal.default_int_handler:  # a background job ignores it
            signal.signal(number, stop)
    try:
        return execute()
    except _TerminatedError as error:
        complain(f"intelbench: stopped by {error}")
        return EXIT_TEMPORARY
    finally:
        for number in numbers:
            signal.signal(number, before[number])
