"""Speed as ratios: each benchmark times the package and a reference in turn, and holds the ratio against a limit.

Absolute times say nothing on another machine and little on a busy one, so none is compared. `baselines.json` holds, for
each benchmark, the ratio once measured, the processor it was measured on, and the limit at which `make bench` fails.
The limit is at least as strict as the promise that stands in the benchmark itself.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import msgspec
import psutil
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from intelbench.profiling.environment import choose_execution, read_environment
from intelbench.records.types import Budget, Conditions, Recipe
from intelbench.training.precision import configure

BASELINES = Path(__file__).with_name("baselines.json")
UPDATE = "pytest bench --benchmark-enable --benchmark-only --update-baselines"
SLACK = 1.25
"""How far from the measured ratio the limit of a new entry lies, where the promise is not stricter."""

Side = Literal["at_least", "at_most"]


class Times(NamedTuple):
    """Seconds of both sides, measured in turn; those at one place are a pair."""

    harness: list[float]
    reference: list[float]


class Baseline(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One entry of `baselines.json`."""

    measured: float
    cpu: str
    """As recorded with every run."""
    at_least: float | None = None
    """Limit of a speed-up: reference / harness."""
    at_most: float | None = None
    """Limit of a cost: harness / reference."""


class Verdict(NamedTuple):
    """One line of the table at the end."""

    name: str
    ratio: float
    side: Side
    harness: float
    """Median seconds, as the next: to be read, not to be compared with another session's."""
    reference: float
    limit: float | None = None
    """`None` where `baselines.json` has no entry."""
    measured: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the ratio is within the limit."""
        if self.limit is None:
            return False
        return self.ratio >= self.limit if self.side == "at_least" else self.ratio <= self.limit


class Ledger:
    """The baselines, and what this session found."""

    def __init__(self, *, update: bool) -> None:
        self.update = update
        self.verdicts: list[Verdict] = []
        self.baselines = (
            msgspec.json.decode(BASELINES.read_bytes(), type=dict[str, Baseline]) if BASELINES.exists() else {}
        )

    def judge(self, verdict: Verdict, promise: float, cpu: str) -> None:
        """Hold a ratio against its limit; under `--update-baselines` note it where it holds, and keep the limit."""
        name, ratio, side = verdict.name, verdict.ratio, verdict.side
        strictest, beside = (max, ratio / SLACK) if side == "at_least" else (min, ratio * SLACK)
        known = self.baselines.get(name)
        limit = getattr(known, side, None)
        if self.update:
            limit = float(f"{strictest(promise, limit or beside):.3g}")
        verdict = verdict._replace(limit=limit, measured=known.measured if known else None)
        self.verdicts.append(verdict)
        if self.update and verdict.holds:
            self.baselines[name] = Baseline(float(f"{ratio:.3g}"), cpu, **{side: limit})
        place = f"{BASELINES.parent.name}/{BASELINES.name}"
        if limit is None:
            pytest.fail(
                f"{place} has no {side!r} for {name!r}, here {ratio:.3g}; add it with `{UPDATE}`", pytrace=False
            )
        if limit != strictest(limit, promise):
            pytest.fail(f"{place}: {side} {limit:g} of {name!r} is weaker than its promise, {promise:g}", pytrace=False)
        if not verdict.holds:
            pytest.fail(f"{name}: ratio {ratio:.3g}; {place} accepts {side} {limit:g}", pytrace=False)

    def write(self) -> None:
        """Write the baselines back."""
        content = msgspec.json.encode(self.baselines, order="deterministic")
        BASELINES.write_bytes(msgspec.json.format(content, indent=2) + b"\n")


@contextmanager
def pytorch_as_it_comes() -> Iterator[None]:
    """For a reference: without the deterministic mode that a run's process is in."""
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=True)


class Comparison:
    """What a benchmark measures with, and where it says what must hold."""

    def __init__(self, benchmark: BenchmarkFixture, name: str, ledger: Ledger, cpu: str) -> None:
        self.enabled: bool = not benchmark.disabled
        """False under `--benchmark-disable`: then every benchmark runs once, small, and judges nothing."""
        self.note = ""
        """What to say beside the ratio."""
        self._benchmark = benchmark
        self._name = name
        self._ledger = ledger
        self._cpu = cpu

    def rounds(self, number: int) -> int:
        """How often to repeat."""
        return number if self.enabled else 1

    def in_turn(self, harness: Callable[[], object], reference: Callable[[], object], rounds: int) -> Times:
        """Time reference, harness, reference, harness, ... after a pair that is not counted."""
        times = Times([], [])

        def timed(side: list[float], call: Callable[[], object]) -> None:
            start = time.perf_counter()
            call()
            side.append(time.perf_counter() - start)

        def timed_reference() -> None:
            with pytorch_as_it_comes():
                timed(times.reference, reference)

        self._benchmark.pedantic(
            lambda: timed(times.harness, harness), setup=timed_reference, rounds=self.rounds(rounds), warmup_rounds=1
        )
        counted = slice(-self.rounds(rounds), None)
        return Times(times.harness[counted], times.reference[counted])

    def once(self, measure: Callable[[], Times]) -> Times:
        """Take the times from `measure`, which takes turns itself."""
        times: Times = self._benchmark.pedantic(measure)
        return times

    def speedup(self, times: Times, *, at_least: float) -> None:
        """The harness is that many times as fast as the reference, in the median pair."""
        if not times.harness:
            pytest.fail(f"{self._name}: {self.note}; repeat on a machine that does nothing else", pytrace=False)
        ratios = [reference / harness for harness, reference in zip(*times, strict=True)]
        self._judge(times, median(ratios), "at_least", at_least)

    def cost(self, times: Times, *, at_most: float) -> None:
        """The harness takes that many times the reference's time, in the median pair."""
        ratios = [harness / reference for harness, reference in zip(*times, strict=True)]
        self._judge(times, median(ratios), "at_most", at_most)

    def _judge(self, times: Times, ratio: float, side: Side, promise: float) -> None:
        self._benchmark.extra_info.update(ratio=ratio, times=times._asdict())
        if self.enabled:
            verdict = Verdict(self._name, ratio, side, median(times.harness), median(times.reference), note=self.note)
            self._ledger.judge(verdict, promise, self._cpu)


_LEDGER = pytest.StashKey[Ledger]()
_LOAD = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes `baselines.json`."""
    parser.addoption(
        "--update-baselines",
        action="store_true",
        help="write the ratios measured now into bench/baselines.json; limits that are there stay",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Show ratios instead of pytest-benchmark's times."""
    config.option.benchmark_quiet = True
    config.stash[_LOAD] = psutil.getloadavg()[0]
    config.stash[_LEDGER] = Ledger(update=config.getoption("update_baselines"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the baselines, if asked to."""
    ledger = session.config.stash[_LEDGER]
    if ledger.update and ledger.verdicts:
        ledger.write()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print every ratio beside its limit."""
    verdicts = config.stash[_LEDGER].verdicts
    if not verdicts:
        return
    width = max(len(verdict.name) for verdict in verdicts)
    terminalreporter.section("ratios to references timed in this session")
    terminalreporter.line(f"{'':{width}}  {'ratio':>8} {'limit':>9} {'baseline':>9} {'harness':>10} {'reference':>10}")
    for verdict in verdicts:
        sign = "≥" if verdict.side == "at_least" else "≤"
        cells = (
            f"{verdict.ratio:8.3g}",
            f"{'missing' if verdict.limit is None else f'{sign} {verdict.limit:.3g}':>9}",
            f"{'' if verdict.measured is None else f'{verdict.measured:.3g}':>9}",
            *(f"{1000 * seconds:7.3g} ms" for seconds in (verdict.harness, verdict.reference)),
            "" if verdict.holds else "FAILED",
            verdict.note,
        )
        terminalreporter.line(f"{verdict.name:{width}}  {' '.join(cells)}".rstrip(), red=not verdict.holds)
    load, processors = config.stash[_LOAD], os.cpu_count() or 1
    if load > processors / 2:
        terminalreporter.line(
            f"This machine was busy at the start (load {load:.1f} on {processors} processors), which slows threads "
            "that wait for each other most. Repeat on an idle machine, or with OMP_NUM_THREADS=1."
        )


@pytest.fixture(scope="session")
def cpu() -> Iterator[str]:
    """Give this process the settings of a run's process, and name the processor."""
    execution = choose_execution("cpu", threads=None, workers=0, cache=True)
    configure(Conditions(budget=Budget(steps=1), recipe=Recipe()), execution)
    yield read_environment(execution).cpu
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def comparison(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, pytestconfig: pytest.Config, cpu: str
) -> Comparison:
    """The comparison of this benchmark."""
    return Comparison(benchmark, request.node.name, pytestconfig.stash[_LEDGER], cpu)
