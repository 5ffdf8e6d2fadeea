"""What the user sees while a suite runs."""

import io
import time

import msgspec
import pytest
from rich.console import Console

from intelbench.orchestration.display import Lines, LiveTable, Schedule, downloads
from intelbench.orchestration.execute import _progress_of_steps
from intelbench.orchestration.job import Progress
from intelbench.records.types import RunRecord, RunSpec
from intelbench.training.loop import Step
from tests.orchestration.conftest import Clock

HALFWAY = Progress(
    phase="training", step=5, done=0.5, seconds=30, images_per_second=12, loss=1.25, validation_accuracy=0.5
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that tests set."""
    fake = Clock()
    monkeypatch.setattr(time, "monotonic", fake)
    return fake


@pytest.mark.parametrize("terminal", [False, True])
def test_without_a_download_nothing_is_shown(terminal: bool) -> None:
    """Not even an empty line; of a download, its name."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=100)
    with downloads(console):
        pass
    assert "" == shown.getvalue()
    with downloads(console) as on_download:
        on_download("weights.pth", 1, 2)
        on_download("weights.pth", 2, 2)
    assert "downloading weights.pth" in shown.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_size_of_a_download_is_not_invented(terminal: bool) -> None:
    """It is not known of the download of another session, or of a server that does not tell it."""
    shown = io.StringIO()
    with downloads(Console(file=shown, force_terminal=terminal, width=100)) as on_download:
        on_download("weights.pth", 7, None)
    assert "7/? bytes" in shown.getvalue()


def specs(record: RunRecord) -> list[RunSpec]:
    """Three runs, one of which has a name that looks like markup."""
    named = (("resnet101", 0), ("[bold]tiny", 0), ("resnet101", 1))
    return [msgspec.structs.replace(record.spec, architecture=name, seed=seed) for name, seed in named]


def test_time_left_is_extrapolated_from_what_was_seen(clock: Clock) -> None:
    """The run: from the share of its budget. All: runs to come last as long as those before them on average."""
    schedule = Schedule([True, False, True])
    schedule.update(0, Progress(phase="starting"))
    assert schedule.all_left() is None
    schedule.update(0, HALFWAY)
    clock.now = 40.0
    assert 30 == schedule.run_left(0)
    assert 30 + 70 == schedule.all_left()
    schedule.end(0, 80.0)
    schedule.update(2, Progress(phase="starting"))
    clock.now = 50.0
    assert 80 - 10 == schedule.all_left()


def test_runs_at_once_divide_the_time_left(clock: Clock) -> None:
    """Each has its own; a run that another process executes takes no time here."""
    schedule = Schedule([True] * 4)
    schedule.update(0, HALFWAY)
    clock.now = 30.0
    schedule.update(1, HALFWAY)
    schedule.update(2, Progress(phase="waiting"))
    assert (30, 30, None) == tuple(map(schedule.run_left, range(3)))
    assert (30 + 30 + 2 * 45) / 2 == schedule.all_left()


def test_what_precedes_the_first_step_is_not_extrapolated() -> None:
    """Features are extracted within the clock of the first step; the next ones tell how long a step is."""
    schedule = Schedule([True])
    first = Progress(phase="training", step=1, done=0.001, seconds=9)
    schedule.update(0, first)
    assert schedule.run_left(0) is None
    few_steps = Schedule([True])
    few_steps.update(0, msgspec.structs.replace(first, done=0.25))
    assert (None, None) == (few_steps.run_left(0), few_steps.all_left())
    schedule.update(0, Progress(phase="training", step=501, done=0.501, seconds=14))
    assert schedule.run_left(0) == pytest.approx(499 * 5 / 500)


def test_the_time_left_for_all_says_that_features_were_extracted(clock: Clock) -> None:
    """While all runs that were seen have done so and others are to come, which may find them stored."""
    schedule = Schedule([True, True, True])
    for _ in range(2):
        assert "" == schedule.condition
        schedule.update(0, Progress(phase="extracting features"))
    schedule.update(0, HALFWAY)
    assert " if each run extracts features" == schedule.condition
    schedule.end(0, 80.0)
    schedule.update(1, HALFWAY)
    assert " if each run extracts features" == schedule.condition
    schedule.end(1, 5.0)
    assert "" == schedule.condition
    last = Schedule([True])
    last.update(0, Progress(phase="extracting features"))
    last.update(0, HALFWAY)
    assert "" == last.condition


def test_lines_say_each_step_of_a_run_and_take_no_markup_from_names(clock: Clock, failed_record: RunRecord) -> None:
    """Plain text for a log: phases, first figures, the end with the cause of a failure; not a line for each update."""
    stream = io.StringIO()
    lines = Lines(Console(file=stream, width=40))
    lines.session_started(specs(failed_record), [True, True, True])
    clock.now = 100.0
    lines.run_updated(1, Progress(phase="profiling"))
    lines.run_updated(1, Progress(phase="starting"))
    lines.run_updated(1, Progress(phase="extracting features"))
    for _ in range(5):
        lines.run_updated(1, HALFWAY)
    lines.run_ended(1, failed_record, 61.0)
    lines.run_skipped(2, failed_record)
    assert [
        "[2/3] [bold]tiny, seed 0: profiling",
        "[2/3] [bold]tiny, seed 0: starting",
        "[2/3] [bold]tiny, seed 0: extracting features",
        "[2/3] [bold]tiny, seed 0: step 5, loss 1.250, validation 50.0%, 12.0 images/s, 30 s left, "
        "1:30 for all if each run extracts features",
        "[2/3] [bold]tiny, seed 0: done in 1:01, failed: diverged (the training loss of step 3: not finite)",
        "[3/3] resnet101, seed 1: recorded already, failed: diverged (the training loss of step 3: not finite)",
    ] == stream.getvalue().splitlines()


def test_the_live_table_has_a_row_a_run(clock: Clock, failed_record: RunRecord) -> None:
    """What it is doing and its last figures, names as they are, and the time left for all below."""
    console = Console(file=io.StringIO(), width=160, force_terminal=True, color_system=None)
    table = LiveTable(console)
    table.session_started(specs(failed_record), [True, True, True])
    clock.now = 30.0
    table.run_updated(1, HALFWAY)
    table.run_updated(1, Progress(phase="testing", step=10, done=1.0))
    table.session_ended()
    shown = console.file.getvalue()
    for part in ("[bold]tiny, seed 0", "testing", " 5 ", "1.250", "50.0%", "12.0", "waiting", "time left for all"):
        assert part in shown


def test_runs_that_are_not_needed_are_left_out_of_the_time(clock: Clock, failed_record: RunRecord) -> None:
    """The table says so; lines say nothing."""
    stream = io.StringIO()
    lines, table = (
        Lines(Console(file=stream)),
        LiveTable(Console(file=io.StringIO(), width=160, force_terminal=True, color_system=None)),
    )
    for display in (lines, table):
        display.session_started(specs(failed_record), [True, True, True])
        display.run_ended(0, failed_record, 60.0)
        display.run_left_out(1)
        display.run_left_out(2)
        assert 0 == display._schedule.all_left()
    table.session_ended()
    assert 1 == len(stream.getvalue().splitlines())
    assert "not needed" in table._live.console.file.getvalue()


def test_a_narrow_table_keeps_the_names_of_networks(failed_record: RunRecord) -> None:
    """Without their libraries at 80 columns, unless two runs would then have one name."""
    for names, expected in (
        (("resnet18", "squeezenet1_1"), {"resnet18,", "squeezenet1_1,"}),
        (("a", "a"), {"timm:a,"}),
    ):
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
        table = LiveTable(console)
        libraries = ("torchvision", "timm")
        runs = [
            msgspec.structs.replace(failed_record.spec, architecture=f"{library}:{name}", seed=0)
            for library, name in zip(libraries, names, strict=True)
        ]
        table.session_started(runs, [True, True])
        table.run_updated(0, HALFWAY)
        table.session_ended()
        assert expected <= set(console.file.getvalue().split())


def test_the_first_update_has_no_throughput() -> None:
    """Features may have been extracted in its time; neither display writes a number for it."""
    follow = _progress_of_steps(32)
    steps = [
        Step(number=number, done=number / 4, seconds=seconds, loss=1.0, validation_accuracy=None, at_evaluation=False)
        for number, seconds in ((1, 60.0), (2, 61.0))
    ]
    assert [None, 32.0] == [follow(step).images_per_second for step in steps]


def test_a_line_of_the_first_step_has_no_throughput(failed_record: RunRecord) -> None:
    """And no time left."""
    stream = io.StringIO()
    lines = Lines(Console(file=stream, width=40))
    lines.session_started(specs(failed_record), [True, True, True])
    lines.run_updated(0, Progress(phase="training", step=1, done=0.25, seconds=60, loss=1.0))
    assert "[1/3] resnet101, seed 0: step 1, loss 1.000\n" == stream.getvalue()
