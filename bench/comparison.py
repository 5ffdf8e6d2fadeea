"""The comparison of a benchmark with its reference, and the ledger of all verdicts of a session.

`baselines.json` has, for each benchmark, the ratio once measured, the processor it was measured on, and the limit. The
limit is at least as strict as the promise in the benchmark itself.
"""

import math
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec
import pytest
import torch

from bench.evidence import AllowanceSpentError, Evidence, Limit, Side, Verdict, decide

BASELINES = Path(__file__).with_name("baselines.json")
PLACE = f"{BASELINES.parent.name}/{BASELINES.name}"
SLACK = 1.25
"""How far from the measured ratio the limit of a new entry is, where the promise is not stricter."""
GRACE_SECONDS = 1.0
"""Between the end of the measuring and the moment at which a benchmark is interrupted."""
INTERRUPT_SECONDS = 0.1
"""From one attempt to interrupt a benchmark to the next."""
UNWINDING_SECONDS = 3.0
"""What a benchmark that was interrupted may take to clean up, before another attempt is made."""

Turn = Callable[[], float]
"""One side's part of a pair; returns its seconds."""


class Baseline(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One entry of `baselines.json`."""

    measured: float
    cpu: str
    """As recorded with every run."""
    at_least: float | None = None
    """Limit of a speed-up: reference / harness."""
    at_most: float | None = None
    """Limit of a cost: harness / reference."""


class Line(NamedTuple):
    """One line of the table at the end."""

    name: str
    evidence: Evidence
    limit: Limit | None
    """`None` where `baselines.json` has no entry."""
    measured: float | None
    """The ratio in `baselines.json`."""
    seconds: float
    """Since the set-up of the benchmark began."""
    moment: int
    """Index of the timing of the reference kernels before the benchmark, counted from 0."""
    note: str = ""


class Ledger:
    """The baselines, and the verdicts of this session."""

    def __init__(self, *, update: bool) -> None:
        self.update = update
        self.lines: list[Line] = []
        self.baselines = (
            msgspec.json.decode(BASELINES.read_bytes(), type=dict[str, Baseline]) if BASELINES.exists() else {}
        )

    def limit(self, name: str) -> Limit | None:
        """Return the limit in `baselines.json`."""
        known = self.baselines.get(name)
        if known is None:
            return None
        bounds: dict[Side, float | None] = {"at_least": known.at_least, "at_most": known.at_most}
        return next((Limit(side, value) for side, value in bounds.items() if value is not None), None)

    def limit_for(self, name: str, promise: Limit) -> Limit:
        """Return the limit to judge by; a benchmark without one fails, as does a limit weaker than the promise."""
        limit = self.limit(name)
        if self.update:
            return promise if limit is None else _stricter(promise, limit)
        if limit is None or limit.side != promise.side:
            pytest.fail(f"{PLACE} has no {promise.side!r} for {name!r}. Try `pytest bench --update-baselines`", False)
        if limit != _stricter(limit, promise):
            pytest.fail(f"{PLACE}: {limit.side} {limit.value:g} of {name!r} is weaker than {promise.value:g}", False)
        return limit

    def enter(self, line: Line, limit: Limit, cpu: str) -> None:
        """Add a verdict, and under `--update-baselines` the ratio; fail the benchmark if the verdict is a failure."""
        self.lines.append(line)
        ratio, verdict = line.evidence.ratio, line.evidence.verdict
        if verdict is Verdict.FAIL:
            bounds = f"[{line.evidence.low:.3g}, {line.evidence.high:.3g}], {line.evidence.num_pairs} pairs"
            accepted = f"{PLACE} accepts {limit.side} {limit.value:g}"
            pytest.fail(f"{line.name}: ratio {ratio:.3g} {bounds}; {accepted}", pytrace=False)
        if self.update and line.evidence.num_pairs:
            if line.limit is None:
                slack = ratio / SLACK if limit.side == "at_least" else ratio * SLACK
                limit = _stricter(limit, Limit(limit.side, slack))
            bound = {limit.side: float(f"{limit.value:.3g}")}
            self.baselines[line.name] = Baseline(float(f"{ratio:.3g}"), cpu, **bound)

    def write(self) -> None:
        """Write the baselines back."""
        content = msgspec.json.encode(self.baselines, order="deterministic")
        BASELINES.write_bytes(msgspec.json.format(content, indent=2) + b"\n")


class Comparison:
    """What a benchmark measures with, and where it says what must hold."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        cpu: str,
        *,
        start: float,
        deadline: float,
        smoke: bool,
        moment: int = 0,
        record: Callable[[Callable[[], Evidence]], Evidence] = lambda measure: measure(),
    ) -> None:
        self.smoke = smoke
        """Run once, on little data, and judge nothing."""
        self.note = ""
        """What to print after the verdict."""
        self.line: Line | None = None
        self._name = name
        self._ledger = ledger
        self._cpu = cpu
        self._deadline = deadline
        self._start = start
        self._moment = moment
        self._record = record
        """Calls the measuring, and keeps what it returns for pytest-benchmark's JSON."""

    def size(self, number: int) -> int:
        """Return a number of files or batches: 1 in a smoke test."""
        return 1 if self.smoke else number

    def speedup(self, harness: Turn, reference: Turn, *, at_least: float) -> None:
        """Check that the harness is that many times as fast as the reference."""
        self._compare(harness, reference, Limit("at_least", at_least))

    def cost(self, harness: Turn, reference: Turn, *, at_most: float) -> None:
        """Check that the harness takes at most that many times the reference's time."""
        self._compare(harness, reference, Limit("at_most", at_most))

    @contextmanager
    def within_allowance(self) -> Iterator[None]:
        """Interrupt the benchmark when its time is over, as soon as it is in its own code or waits for a process."""
        lost: list[type[BaseException]] = []

        def interrupt(_signal: int, frame: FrameType | None) -> None:
            if not _is_within(frame, "torch", "torchvision"):  # from C++ that has called Python, none can be raised
                signal.setitimer(signal.ITIMER_REAL, UNWINDING_SECONDS, INTERRUPT_SECONDS)
                lost[:] = AllowanceSpentError, ResourceWarning  # in a finalizer, and of a file that was being opened
                raise AllowanceSpentError

        def report(unraisable: "sys.UnraisableHookArgs") -> None:
            if unraisable.exc_type not in lost:
                reported(unraisable)

        reported, sys.unraisablehook = sys.unraisablehook, report
        previous = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, max(self._deadline - time.monotonic(), 0.001), INTERRUPT_SECONDS)
        try:
            yield
        except AllowanceSpentError as error:
            traceback.clear_frames(error.__traceback__)  # deletes what it held while `report` is in place
            if self.line is None:
                self.note = "the set-up took all of the time"
                nothing = self._record(lambda: Evidence(math.nan, 0.0, math.inf, 0, Verdict.UNDECIDED))
                self._enter(nothing, self._ledger.limit(self._name))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
            sys.unraisablehook = reported

    def _compare(self, harness: Turn, reference: Turn, promise: Limit) -> None:
        def plain_reference() -> float:
            with pytorch_as_it_comes():
                return reference()

        def take_pair(index: int) -> float:
            # Reference first and harness first in turn, so that a steady drift favours neither.
            if index % 2 == 0:
                reference_seconds = plain_reference()
                harness_seconds = harness()
            else:
                harness_seconds = harness()
                reference_seconds = plain_reference()
            speedup = reference_seconds / harness_seconds
            return speedup if promise.side == "at_least" else 1 / speedup

        take_pair(0)  # fills caches, and is not counted
        if self.smoke:
            return
        limit = self._ledger.limit_for(self._name, promise)
        evidence = self._record(lambda: decide(take_pair, limit, self._deadline - GRACE_SECONDS - time.monotonic()))
        self._enter(evidence, limit)

    def _enter(self, evidence: Evidence, limit: Limit | None) -> None:
        known = self._ledger.baselines.get(self._name)
        seconds = time.monotonic() - self._start
        in_file, measured = self._ledger.limit(self._name), known.measured if known else None
        self.line = Line(self._name, evidence, in_file, measured, seconds, self._moment, self.note)
        self._ledger.enter(self.line, limit or Limit("at_least", 0.0), self._cpu)


def timed(call: Callable[[], object], *, times: float = 1) -> Turn:
    """Return a turn that makes one call, whose seconds it multiplies by `times`: a part of the work stands for all."""

    def turn() -> float:
        start = time.perf_counter()
        call()
        return times * (time.perf_counter() - start)

    return turn


@contextmanager
def pytorch_as_it_comes() -> Iterator[None]:
    """Leave the deterministic mode of a run's process, for a reference."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


def _is_within(frame: FrameType | None, *packages: str) -> bool:
    """Say whether a function of these packages is among the callers."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in packages:
            return True
        frame = frame.f_back
    return False


def _stricter(first: Limit, second: Limit) -> Limit:
    side: Side = first.side
    return Limit(side, (max if side == "at_least" else min)(first.value, second.value))
