"""Show the progress of a session on stderr: a live table on a terminal, else plain lines."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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
"""Shortest time between two lines of one run."""
_MIN_SHARE = 0.01
"""Share of a budget from which the remaining time is extrapolated if only one update about steps has been seen."""
_FORMS = "step {}", "loss {}", "validation {}", "{} images/s", "{} left"
"""Figures of a run in a line about training."""
_WIDE = 1000
"""Characters of a terminal on which no cell is shortened."""


def stderr_console() -> Console:
    """Return a console that writes to stderr; in a notebook lines, of which rich would make an output each."""
    in_notebook = Console().is_jupyter  # whose stderr says that it is a terminal
    return Console(stderr=True, force_jupyter=False, force_terminal=False if in_notebook else None)


@listener("display")
def terminal_display() -> RunListener:
    """Return the display that suits stderr."""
    console = stderr_console()
    return LiveTable(console) if console.is_terminal else Lines(console)


@contextmanager
def downloads(console: Console) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show a progress bar for each file that is downloaded."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = DownloadBar(*columns, console=console)
    tasks: dict[str, TaskID] = {}

    def on_download(name: str, completed: int, total: int | None) -> None:
        bar.start()
        if name not in tasks:
            tasks[name] = bar.add_task(f"downloading {escape(printable(name))}", total=total)  # not its default of 100
        bar.update(tasks[name], completed=completed, total=total)

    try:
        yield on_download
    finally:
        if tasks:
            bar.stop()


@dataclass
class _Running:
    """What has been seen of a running run."""

    started: float
    last: Progress
    first: Progress | None = None
    """First training progress: what precedes it does not belong to the steps, and is in the time of the first one."""
    extracts: bool = False
    """Whether it has extracted features, which later runs of its architecture find stored."""

    @property
    def left(self) -> float | None:
        """Return the seconds of training left; `None` before the second step."""
        last, first = self.last, self.first
        if first is not None and last.done > first.done:
            return (last.seconds - first.seconds) * (1 - last.done) / (last.done - first.done)
        return last.seconds * (1 - last.done) / last.done if last.step > 1 and last.done >= _MIN_SHARE else None


class Schedule:
    """Estimates the time left from the progress so far."""

    def __init__(self, pending: Sequence[bool]) -> None:
        self._pending = {index for index, value in enumerate(pending) if value}
        self._running: dict[int, _Running] = {}
        self._ended: list[tuple[float, bool]] = []
        """Seconds of each run that has ended, and whether it has extracted features."""

    def update(self, index: int, progress: Progress) -> None:
        """Note the progress of a run."""
        if progress.phase == "waiting":
            self._running.pop(index, None)
            return
        run = self._running.setdefault(index, _Running(time.monotonic(), progress))
        run.last = progress
        run.extracts |= progress.phase == "extracting features"
        if progress.phase == "training":
            run.first = run.first or progress

    def leave_out(self, index: int) -> None:
        """Note that a run is not needed."""
        self._pending.discard(index)

    def end(self, index: int, seconds: float) -> None:
        """Note that a run has ended."""
        self._pending.discard(index)
        run = self._running.pop(index, None)
        self._ended.append((seconds, run is not None and run.extracts))

    def run_left(self, index: int) -> float | None:
        """Return the seconds of training left in a run; `None` if they are not known yet."""
        return self._running[index].left if index in self._running else None

    def all_left(self) -> float | None:
        """Return the seconds left for all runs, if each takes as long as those before on average."""
        now, running, durations = time.monotonic(), self._running.values(), self._durations()
        if not durations:
            return None
        mean = sum(seconds for seconds, _ in durations) / len(durations)
        left = sum(max(0.0, mean - now + run.started) if run.left is None else run.left for run in running)
        return (left + mean * len(self._pending - self._running.keys())) / max(1, len(running))

    @property
    def condition(self) -> str:
        """Return under which condition the runs to come take as long as those before, to follow `for all`."""
        durations = self._durations()
        extract = durations and all(extracts for _, extracts in durations) and self._pending - self._running.keys()
        return " if each run extracts features" if extract else ""

    def _durations(self) -> list[tuple[float, bool]]:
        """Return what is known of the runs that have ended, or else of the running ones."""
        now, running = time.monotonic(), self._running.values()
        return self._ended or [(now - run.started + run.left, run.extracts) for run in running if run.left is not None]


class Lines(RunListener):
    """Writes a line when a run starts and ends, and every 15 seconds in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._names: list[str] = []
        self._schedule = Schedule([])
        self._written: dict[int, float] = {}
        """Time of the last line about training of each run."""
        self._notes: dict[int, str | None] = {}

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Note the titles of the runs."""
        self._names, self._schedule = [run.title for run in runs], Schedule(pending)

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """Show that the run is recorded already, and how it ended."""
        self._say(index, f"recorded already{_failed(record)}")

    def run_updated(self, index: int, progress: Progress) -> None:
        """Show the progress of the run."""
        self._schedule.update(index, progress)
        if progress.note and progress.note != self._notes.get(index):
            self._say(index, progress.note)
        self._notes[index] = progress.note
        now = time.monotonic()
        if progress.phase in ("profiling", "starting", "extracting features"):
            self._written.pop(index, None)
            self._say(index, progress.phase)
        elif progress.phase == "training" and now - self._written.get(index, -_LINE_SECONDS) >= _LINE_SECONDS:
            self._written[index] = now
            figures = [*_figures(progress, self._schedule.run_left(index)), _clock(self._schedule.all_left())]
            forms = *_FORMS, f"{{}} for all{self._schedule.condition}"
            said = [form.format(figure) for form, figure in zip(forms, figures, strict=True) if figure]
            self._say(index, ", ".join(said))

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Show how the run ended."""
        self._schedule.end(index, seconds)
        self._say(index, f"done in {_clock(seconds)}{_failed(record)}")

    def run_left_out(self, index: int) -> None:
        """Leave the run out of the time left."""
        self._schedule.leave_out(index)

    def _say(self, index: int, text: str) -> None:
        line = f"[{index + 1}/{len(self._names)}] {self._names[index]}: {text}"
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class LiveTable(RunListener):
    """Shows one row a run, redrawn at every update."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._schedule = Schedule([])
        self._rows: list[list[str]] = []
        self._short_names: list[str] = []
        """Titles of the runs without the libraries of the architectures, for a narrow terminal."""
        self._left: float | None = None

    def session_started(self, runs: Sequence[RunSpec], pending: Sequence[bool]) -> None:
        """Start the table, with a row for each run."""
        self._rows, self._schedule = [[run.title, "waiting", "", "", "", "", ""] for run in runs], Schedule(pending)
        self._short_names = [run.title.removeprefix(f"{run.architecture.rpartition(':')[0]}:") for run in runs]
        self._live.start()

    def session_ended(self) -> None:
        """Leave the table as it is."""
        self._live.stop()

    def run_skipped(self, index: int, record: RunRecord) -> None:
        """Show that the run is recorded already, and how it ended."""
        self._rows[index][1] = f"recorded{_failed(record)}"
        self._draw()

    def run_updated(self, index: int, progress: Progress) -> None:
        """Show the progress of the run."""
        self._schedule.update(index, progress)
        self._rows[index][1] = f"{progress.phase}: {progress.note}" if progress.note else progress.phase
        if progress.phase == "keeping weights" and progress.note:  # the end of the run overwrites the cell at once
            self._live.console.print(printable(f"{self._rows[index][0]}: {progress.note}"), markup=False)
        if progress.phase == "training":
            self._rows[index][2:] = _figures(progress, self._schedule.run_left(index))
        self._left = self._schedule.all_left()
        self._draw()

    def run_ended(self, index: int, record: RunRecord, seconds: float) -> None:
        """Show how the run ended."""
        self._schedule.end(index, seconds)
        self._rows[index][1] = f"done in {_clock(seconds)}{_failed(record)}"
        self._rows[index][6] = ""
        self._draw()

    def run_left_out(self, index: int) -> None:
        """Show that the run is not needed."""
        self._schedule.leave_out(index)
        self._rows[index][1] = "not needed"
        self._draw()

    def _draw(self) -> None:
        console, table = self._live.console, self._table([row[0] for row in self._rows])
        needed = console.measure(table, options=console.options.update(width=_WIDE)).maximum
        if needed > console.width and len({*self._short_names}) == len(self._rows):
            table = self._table(self._short_names)
        self._live.update(table, refresh=True)

    def _table(self, names: Sequence[str]) -> Table:
        table = Table(caption=f"time left for all{self._schedule.condition}: {_clock(self._left) or 'not known yet'}")
        for heading in ("run", "state"):
            table.add_column(heading, overflow="fold")
        for heading in ("step", "loss", "validation", "images/s", "time left"):
            table.add_column(heading, justify="right")
        for name, row in zip(names, self._rows, strict=True):
            table.add_row(*(Text(printable(cell)) for cell in (name, *row[1:])))  # a name is not markup
        return table


def _failed(record: RunRecord) -> str:
    return f", failed: {record.failure.cause} ({record.failure.message})" if record.failure else ""


def _figures(progress: Progress, left: float | None) -> list[str]:
    """Return the step, loss, validation accuracy, images a second and time left of a run; empty if not known."""
    values = (progress.loss, ".3f"), (progress.validation_accuracy, ".1%"), (progress.images_per_second, ".1f")
    return [str(progress.step), *("" if value is None else f"{value:{form}}" for value, form in values), _clock(left)]


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes else f"{rest} s"
