"""Compare a benchmark with its reference, and collect the verdicts of a session in a ledger.

`baselines.json` has the ratio that was measured for each benchmark, the CPU that it was measured on, and the limit. The
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

from bench.evidence import AllowanceSpentError, Evidence, Limit, Verdict, decide

BASELINES = Path(__file__).with_name("baselines.json")
FILE_NAME = f"{BASELINES.parent.name}/{BASELINES.name}"
SLACK = 1.25
"""Factor between the measured ratio and the limit of a new entry, unless the promise is stricter."""
GRACE_SECONDS = 1.0
"""Time between the end of the measurement and the interruption of a benchmark."""
INTERRUPT_SECONDS = 0.1
"""Time between two attempts to interrupt a benchmark."""
UNWINDING_SECONDS = 3.0
"""Time that an interrupted benchmark may take to clean up before the next attempt."""

Turn = Callable[[], float]
"""Runs one side of a pair, and returns its seconds."""


class Baseline(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """An entry of `baselines.json`."""

    measured: float
    cpu: str
    """Name of the CPU, as in a record."""
    at_least: float | None = None
    """Limit of a speed-up: reference / harness."""
    at_most: float | None = None
    """Limit of a cost: harness / reference."""

    @property
    def limit(self) -> Limit | None:
        """Return the limit of the entry."""
        if self.at_least is not None:
            return Limit("at_least", self.at_least)
        return None if self.at_most is None else Limit("at_most", self.at_most)


class Line(NamedTuple):
    """A line of the table at the end of a session."""

    name: str
    evidence: Evidence
    baseline: Baseline | None
    """Entry of the benchmark in `baselines.json` before the session."""
    seconds: float
    """Time since the set-up of the benchmark began."""
    moment: int
    """Index of the timing of the reference kernels before the benchmark."""
    note: str = ""


class Ledger:
    """The baselines, and the verdicts of this session."""

    def __init__(self, *, update: bool) -> None:
        self.update = update
        self.lines: list[Line] = []
        self.baselines = (
            msgspec.json.decode(BASELINES.read_bytes(), type=dict[str, Baseline]) if BASELINES.exists() else {}
        )

    def limit_for(self, name: str, promise: Limit) -> Limit:
        """Return the limit of a benchmark; fail if there is none, or if it is weaker than the promise."""
        baseline = self.baselines.get(name)
        limit = baseline.limit if baseline else None
        if self.update:
            return promise if limit is None else _stricter(promise, limit)
        if limit is None or limit.side != promise.side:
            message = f"{FILE_NAME} has no {promise.side!r} for {name!r}. Try `pytest bench --update-baselines`"
            pytest.fail(message, pytrace=False)
        if limit != _stricter(limit, promise):
            message = f"{FILE_NAME}: {limit.side} {limit.value:g} of {name!r} is weaker than {promise.value:g}"
            pytest.fail(message, pytrace=False)
        return limit

    def enter(self, line: Line, limit: Limit, cpu: str) -> None:
        """Add a verdict, and with `--update-baselines` the ratio; fail the benchmark if the verdict is a failure."""
        self.lines.append(line)
        ratio, verdict = line.evidence.ratio, line.evidence.verdict
        if verdict is Verdict.FAIL:
            bounds = f"[{line.evidence.low:.3g}, {line.evidence.high:.3g}], {line.evidence.num_pairs} pairs"
            accepted = f"{FILE_NAME} accepts {limit.side} {limit.value:g}"
            pytest.fail(f"{line.name}: ratio {ratio:.3g} {bounds}; {accepted}", pytrace=False)
        if self.update and line.evidence.num_pairs:
            if line.baseline is None:
                slack = ratio / SLACK if limit.side == "at_least" else ratio * SLACK
                limit = _stricter(limit, Limit(limit.side, slack))
            bound = {limit.side: float(f"{limit.value:.3g}")}
            self.baselines[line.name] = Baseline(float(f"{ratio:.3g}"), cpu, **bound)

    def write(self) -> None:
        """Write the baselines into their file."""
        content = msgspec.json.encode(self.baselines, order="deterministic")
        BASELINES.write_bytes(msgspec.json.format(content, indent=2) + b"\n")


class Comparison:
    """Measures the ratio of a benchmark to its reference, and judges it by a limit."""

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
        """Whether the benchmark runs only once, on little data, and nothing is judged."""
        self.note = ""
        """Text to print after the verdict."""
        self.line: Line | None = None
        self._name = name
        self._ledger = ledger
        self._cpu = cpu
        self._deadline = deadline
        self._start = start
        self._moment = moment
        self._record = record
        """Calls the measurement, and keeps its result for pytest-benchmark's JSON."""

    def size(self, size: int) -> int:
        """Return a number of files or batches: `size`, or 1 in a smoke test."""
        return 1 if self.smoke else size

    def speedup(self, harness: Turn, reference: Turn, *, at_least: float) -> None:
        """Check that the harness is at least `at_least` times as fast as the reference."""
        self._compare(harness, reference, Limit("at_least", at_least))

    def cost(self, harness: Turn, reference: Turn, *, at_most: float) -> None:
        """Check that the harness takes at most `at_most` times the time of the reference."""
        self._compare(harness, reference, Limit("at_most", at_most))

    @contextmanager
    def within_allowance(self) -> Iterator[None]:
        """Interrupt the benchmark when its time is over, once it runs its own code or waits for a process."""
        ignored: list[type[BaseException]] = []

        def interrupt(_signal: int, frame: FrameType | None) -> None:
            if not _is_within(frame, "torch", "torchvision"):  # an exception cannot pass C++ code that called Python
                signal.setitimer(signal.ITIMER_REAL, UNWINDING_SECONDS, INTERRUPT_SECONDS)
                ignored[:] = AllowanceSpentError, ResourceWarning  # raised in a finalizer, or for an open file
                raise AllowanceSpentError

        def report(unraisable: "sys.UnraisableHookArgs") -> None:
            if unraisable.exc_type not in ignored:
                default_hook(unraisable)

        default_hook, sys.unraisablehook = sys.unraisablehook, report
        previous = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, max(self._deadline - time.monotonic(), 0.001), INTERRUPT_SECONDS)
        try:
            yield
        except AllowanceSpentError as error:
            traceback.clear_frames(error.__traceback__)  # deletes their objects while `report` is the hook
            if self.line is None:
                self.note = "the set-up took all of the time"
                evidence = self._record(lambda: Evidence(math.nan, 0.0, math.inf, 0, Verdict.UNDECIDED))
                self._enter(evidence, Limit("at_least", 0.0))  # an undecided verdict does not use the limit
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
            sys.unraisablehook = default_hook

    def _compare(self, harness: Turn, reference: Turn, promise: Limit) -> None:
        def plain_reference() -> float:
            with default_pytorch():
                return reference()

        def take_pair(index: int) -> float:
            # The reference and the harness are first alternately, so that a steady drift favours neither.
            if index % 2 == 0:
                reference_seconds = plain_reference()
                harness_seconds = harness()
            else:
                harness_seconds = harness()
                reference_seconds = plain_reference()
            speedup = reference_seconds / harness_seconds
            return speedup if promise.side == "at_least" else 1 / speedup

        take_pair(0)  # fills caches and is not counted
        if self.smoke:
            return
        limit = self._ledger.limit_for(self._name, promise)
        evidence = self._record(lambda: decide(take_pair, limit, self._deadline - GRACE_SECONDS - time.monotonic()))
        self._enter(evidence, limit)

    def _enter(self, evidence: Evidence, limit: Limit) -> None:
        baseline, seconds = self._ledger.baselines.get(self._name), time.monotonic() - self._start
        self.line = Line(self._name, evidence, baseline, seconds, self._moment, self.note)
        self._ledger.enter(self.line, limit, self._cpu)


def timed(call: Callable[[], object], *, times: float = 1) -> Turn:
    """Return a turn that makes one call and multiplies its seconds by `times`, so that a part stands for the whole."""

    def turn() -> float:
        start = time.perf_counter()
        call()
        return times * (time.perf_counter() - start)

    return turn


@contextmanager
def default_pytorch() -> Iterator[None]:
    """Turn off the deterministic algorithms of a run in the block, for a reference."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


def _is_within(frame: FrameType | None, *packages: str) -> bool:
    """Return whether a function of these packages is among the callers."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in packages:
            return True
        frame = frame.f_back
    return False


def _stricter(first: Limit, second: Limit) -> Limit:
    return max(first, second) if first.side == "at_least" else min(first, second)
