"""What a benchmark does with its verdict, and with the time that it has."""

import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

from bench import comparison as comparisons
from bench.comparison import Baseline, Comparison, Ledger, Turn, timed
from bench.evidence import AllowanceSpentError, Evidence, Verdict, decide

NAME = "test_speed"


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger whose only entry is a speed-up of at least 2; sessions are 40 pairs, whatever the clock says."""
    path = tmp_path / "baselines.json"
    path.write_bytes(msgspec.json.encode({NAME: Baseline(2.5, "a processor", at_least=2.0)}))
    monkeypatch.setattr(comparisons, "BASELINES", path)
    monkeypatch.setattr(comparisons, "default_pytorch", nullcontext)
    monkeypatch.setattr(comparisons, "decide", lambda pair, limit, _: decide(pair, limit, 40, count().__next__))
    return Ledger(update=False)


def comparison_of(ledger: Ledger, *, name: str = NAME, seconds: float = 60.0, **options: Any) -> Comparison:
    """A comparison with an allowance of `seconds`."""
    start = time.monotonic()
    return Comparison(name, ledger, "a processor", start=start, deadline=start + seconds, smoke=False, **options)


def takes(*seconds: float) -> Turn:
    """A turn that says it took these seconds, in turn."""
    said = list(seconds)

    def turn() -> float:
        said.append(said.pop(0))
        return said[-1]

    return turn


def test_a_ratio_within_the_limit_passes(ledger: Ledger) -> None:
    """The verdict is entered in the ledger."""
    comparison_of(ledger).speedup(takes(1.0), takes(3.0), at_least=1.5)
    (line,) = ledger.lines
    assert (Verdict.PASS, 3.0) == (line.evidence.verdict, line.evidence.ratio)


def test_a_ratio_beyond_the_limit_fails_with_its_interval(ledger: Ledger) -> None:
    """The message has ratio, interval, pairs and limit."""
    with pytest.raises(pytest.fail.Exception, match=r"ratio 1 \[1, 1\], \d+ pairs; .* accepts at_least 2"):
        comparison_of(ledger).speedup(takes(1.0), takes(1.0), at_least=1.5)


def test_an_undecided_ratio_does_not_fail(ledger: Ledger) -> None:
    """Pairs on both sides of the limit are entered as undecided."""
    comparison_of(ledger).speedup(takes(1.0), takes(1.0, 3.0), at_least=1.5)
    assert Verdict.UNDECIDED is ledger.lines[0].evidence.verdict


def test_a_spent_allowance_is_undecided(ledger: Ledger) -> None:
    """A benchmark that is still being set up is interrupted, fails nothing, and is in pytest-benchmark's JSON too."""
    recorded: list[Evidence] = []

    def record(measure: Callable[[], Evidence]) -> Evidence:
        recorded.append(measure())
        return recorded[-1]

    comparison = comparison_of(ledger, seconds=0.01, record=record)
    with comparison.within_allowance():
        while True:
            pass
    evidence = ledger.lines[0].evidence
    assert (Verdict.UNDECIDED, 0) == (evidence.verdict, evidence.num_pairs)
    assert [evidence] == recorded


def test_a_benchmark_is_interrupted_outside_pytorch(ledger: Ledger) -> None:
    """An exception in a function that PyTorch's C++ code calls ends the process, so the interruption waits for it."""
    forwards: list[torch.Tensor] = []

    class Slow(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            end = time.monotonic() + 0.1
            while time.monotonic() < end:
                pass
            forwards.append(images)
            return images

    network = Slow()
    with comparison_of(ledger, seconds=0.02).within_allowance():
        network(torch.zeros(1))
        while True:
            pass
    assert len(forwards) == 1
    assert Verdict.UNDECIDED is ledger.lines[0].evidence.verdict


@pytest.mark.parametrize("finalizes", ["__del__", "callback"])
def test_an_interruption_that_is_lost_is_repeated(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, finalizes: str
) -> None:
    """The interpreter ignores an exception in a function that it calls because an object is deleted."""
    monkeypatch.setattr("bench.comparison.UNWINDING_SECONDS", 0.05)
    lost: list[BaseException] = []

    def work(*_: object) -> None:
        end = time.monotonic() + 10
        try:
            while time.monotonic() < end:
                pass
        except BaseException as error:
            lost.append(error)
            raise

    held = type("Finalizer", (), {"__del__": work} if finalizes == "__del__" else {})()
    if finalizes == "callback":
        weakref.finalize(held, work)
    with comparison_of(ledger, seconds=0.02).within_allowance():
        del held
        while True:
            pass
    assert [AllowanceSpentError] == list(map(type, lost))
    assert Verdict.UNDECIDED is ledger.lines[0].evidence.verdict


def test_a_file_that_was_open_at_an_interruption_is_no_failure(ledger: Ledger, tmp_path: Path) -> None:
    """Python warns of it when the frame is deleted; before an interruption such a warning is an error."""

    def work() -> None:
        file = (tmp_path / "file").open("wb")
        while True:
            file.write(b"")

    with comparison_of(ledger, seconds=0.02).within_allowance():
        work()
    assert Verdict.UNDECIDED is ledger.lines[0].evidence.verdict


@pytest.mark.parametrize(("name", "promise"), [("unknown", 2.0), (NAME, 3.0)])
def test_a_limit_is_there_and_as_strict_as_the_promise(ledger: Ledger, name: str, promise: float) -> None:
    """A benchmark without a limit fails, and so does one whose limit is weaker than its promise."""
    with pytest.raises(pytest.fail.Exception, match=r"has no 'at_least'|is weaker than"):
        comparison_of(ledger, name=name).speedup(takes(1.0), takes(3.0), at_least=promise)


def test_new_ratios_are_written_and_limits_stay(ledger: Ledger) -> None:
    """`--update-baselines` writes the ratio, keeps a limit, and gives a new entry one with some slack."""
    ledger.update = True
    comparison_of(ledger).speedup(takes(1.0), takes(3.0), at_least=1.5)
    comparison_of(ledger, name="new").cost(takes(1.0), takes(1.0), at_most=5.0)
    ledger.write()
    written = msgspec.json.decode(comparisons.BASELINES.read_bytes(), type=dict[str, Baseline])
    assert written == {
        NAME: Baseline(3.0, "a processor", at_least=2.0),
        "new": Baseline(1.0, "a processor", at_most=1.25),
    }


def test_a_part_counts_as_many_calls() -> None:
    """A turn that calls once tells the time of all."""
    calls: list[None] = []
    assert 0 < timed(lambda: calls.append(None), times=10)() < 10
    assert len(calls) == 1
