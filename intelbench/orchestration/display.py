"""Show a running suite: a live table on a terminal, plain lines elsewhere. Both go to stderr."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as DownloadBar
from rich.table import Table
from rich.text import Text

from intelbench.errors import printable
from intelbench.orchestration.job import Progress
from intelbench.orchestration.listeners import RunListener, listener
from intelbench.records.types import RunRecord, RunSpec

_LINE_SECONDS = 15.0
"""Between two plain lines of one run."""
_TELLING_SHARE = 0.01
"""Of a budget, that says something of the rest although no step has been taken since."""


@listener("display")
def terminal_display() -> RunListener:
    """Return the display that suits stderr."""
    console = Console(stderr=True)
    return LiveTable(console) if console.is_terminal else Lines(console)


@contextmanager
def downloads(console: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how far each file has come, by name and bytes; without a download, nothing."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = DownloadBar(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def on_download(name: str, there: int, total: int | None) -> None:
        bar.start()
        if name not in tasks:
            tasks[name] = bar.add_task(f"downloading {escape(printable(name))}")
        bar.update(tasks[name], completed=there, total=total)

    try:
        yield on_download
    finally:
        if tasks:
            bar.stop()


class Schedule:
    """How long the current run and all that remain will take, from what has been seen so far."""

    def __init__(self, pending: Sequence[bool]) -> None:
        self._pending = {index for index, value in enumerate(pending) if value}
        self._durations: list[float] = []
        self._started = 0.0
        self._current: int | None = None
        self._first: Progress | None = None
        """Of the current run's training: what went before the first step is not of the steps."""

    def begin(self, index: int, progress: Progress) -> None:
        """A run starts, or goes on."""
        if self._current != index:
            self._current, self._started, self._first = index, time.monotonic(), None
        if self._first is None and progress.phase == "training":
            self._first = progress

    def end(self, index: int, seconds: float) -> None:
        """A run has ended."""
        self._pending.discard(index)
        self._durations.append(seconds)

    def run_left(self, progress: Progress) -> float | None:
        """Seconds of training left in the current run; unknown before its first steps."""
        if self._first is not None and progress.done > self._first.done:
            return (progress.seconds - self._first.seconds) * (1 - progress.done) / (progress.done - self._first.done)
        return progress.seconds * (1 - progress.done) / progress.done if progress.done >= _TELLING_SHARE else None

    def all_left(self, progress: Progress) -> float | None:
        """Seconds left for everything: runs to come are taken to last as those before them did on average."""
        elapsed = time.monotonic() - self._started
        current = self.run_left(progress)
        if current is None and not self._durations:
            return None
        typical = self._durations or [elapsed + (current or 0.0)]
        mean = sum(typical) / len(typical)
        remaining = current if current is not None else max(0.0, mean - elapsed)
        return remaining + mean * max(0, len(self._pending) - 1)


class Lines(RunListener):
    """A line when a run starts and ends, and now and then in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._names: list[str] = []
        self._schedule = Schedule([])
        self._last = 0.0
        self._notes: dict[int, str | None] = {}

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Note the names of the runs."""
        self._names, self._schedule = [run.title for run in runs], Schedule(pending)

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """Say that it is recorded, and how it ended."""
        self._say(index, f"recorded already{_failed(record)}")

    def run_updated(self, index: int, progress: Progress) -> None:
        """Show where it stands."""
        self._schedule.begin(index, progress)
        if progress.note and progress.note != self._notes.get(index):
            self._say(index, progress.note)
        self._notes[index] = progress.note
        now = time.monotonic()
        if progress.phase in ("profiling", "starting", "extracting features"):
            self._last = 0.0
            self._say(index, progress.phase)
        elif progress.phase == "training" and now - self._last >= _LINE_SECONDS:
            self._last = now
            figures = (
                f"step {progress.step}",
                _number("loss", progress.loss, ".3f"),
                _number("validation", progress.validation_accuracy, ".1%"),
                f"{progress.images_per_second:.1f} images/s",
                _left("left", self._schedule.run_left(progress)),
                _left("for all", self._schedule.all_left(progress)),
            )
            self._say(index, ", ".join(each for each in figures if each))

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Say how it ended."""
        self._schedule.end(index, seconds)
        self._say(index, f"done in {_clock(seconds)}{_failed(record)}")

    def _say(self, index: int, text: str) -> None:
        line = f"[{index + 1}/{len(self._names)}] {self._names[index]}: {text}"
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class LiveTable(RunListener):
    """One row a run, redrawn at every update."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._schedule = Schedule([])
        self._rows: list[list[str]] = []
        self._left: float | None = None

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Begin to draw, with a row for each run."""
        self._rows, self._schedule = [[run.title, "waiting", "", "", "", "", ""] for run in runs], Schedule(pending)
        self._live.start()

    def session_ended(self) -> None:
        """Leave the table as it is."""
        self._live.stop()

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """Say that it is recorded, and how it ended."""
        self._rows[index][1] = f"recorded{_failed(record)}"
        self._draw()

    def run_updated(self, index: int, progress: Progress) -> None:
        """Show where it stands."""
        self._schedule.begin(index, progress)
        self._rows[index][1] = f"{progress.phase}: {progress.note}" if progress.note else progress.phase
        if progress.phase == "training":
            self._rows[index][2:] = [
                str(progress.step),
                _number("", progress.loss, ".3f"),
                _number("", progress.validation_accuracy, ".1%"),
                f"{progress.images_per_second:.1f}",
                _clock(self._schedule.run_left(progress)),
            ]
        self._left = self._schedule.all_left(progress)
        self._draw()

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Say how it ended."""
        self._schedule.end(index, seconds)
        self._rows[index][1] = f"done in {_clock(seconds)}{_failed(record)}"
        self._rows[index][6] = ""
        self._draw()

    def _draw(self) -> None:
        table = Table(caption=f"time left for all: {_clock(self._left) or 'not known yet'}")
        for name in ("run", "state"):
            table.add_column(name)
        for name in ("step", "loss", "validation", "images/s", "time left"):
            table.add_column(name, justify="right")
        for row in self._rows:
            table.add_row(*(Text(printable(cell)) for cell in row))  # a name is not markup
        self._live.update(table, refresh=True)


def _failed(record: RunRecord) -> str:
    return f", failed: {record.failure.cause} ({record.failure.message})" if record.failure else ""


def _number(label: str, value: float | None, form: str) -> str:
    return "" if value is None else f"{label} {value:{form}}".strip()


def _left(label: str, seconds: float | None) -> str:
    return "" if seconds is None else f"{_clock(seconds)} {label}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"
