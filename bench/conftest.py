"""Judge speed by ratios: each benchmark times the package and a reference alternately, and its ratio has a limit.

Absolute times cannot be compared between machines, and hardly on a busy machine. Both sides have one CPU and one
thread. On a busy machine the time of threads that wait for each other depends on the scheduler: a step of Inception-v3
in float32 took 18 s with two threads (load 5 on two CPUs), and 2.5 s with one (load 3).

Each benchmark has an allowance, set-up included, and the time that earlier benchmarks left. Then it is interrupted.
"""

import math
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.allotment import Allotment
from bench.comparison import Comparison, Ledger, Line
from bench.evidence import Evidence, Verdict
from bench.steps import has_bf16_instructions
from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.profiling.environment import choose_execution, read_environment
from intelbench.profiling.reference_kernels import ReferenceKernels
from intelbench.training.precision import configure

SESSION_SECONDS = 11.7 * 60
"""Time from the start of the process after which benchmarks are undecided."""

_COLORS = {Verdict.PASS: {"green": True}, Verdict.FAIL: {"red": True}, Verdict.UNDECIDED: {"yellow": True}}
_LEDGER = pytest.StashKey[Ledger]()
_LOAD = pytest.StashKey[float]()
_START = pytest.StashKey[float]()
_REFERENCE_KERNELS = pytest.StashKey[ReferenceKernels]()
_END = pytest.StashKey[float]()
_ALLOTMENT = pytest.StashKey[Allotment]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the benchmarks."""
    parser.addoption(
        "--update-baselines",
        action="store_true",
        help="write the ratios of this session into bench/baselines.json; existing limits stay",
    )
    parser.addoption(
        "--allowance-scale",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiply the allowance of every benchmark, if too few pairs leave them undecided",
    )
    parser.addoption("--smoke", action="store_true", help="run every benchmark once on little data, and judge nothing")


def pytest_configure(config: pytest.Config) -> None:
    """Create the ledger, and show ratios in place of pytest-benchmark's times."""
    config.option.benchmark_quiet = True
    config.addinivalue_line("markers", "allowance(seconds): least time for a benchmark, set-up included")
    config.addinivalue_line("markers", "bf16: the promise needs a CPU with bfloat16 instructions")
    config.stash[_LOAD] = psutil.getloadavg()[0]
    config.stash[_LEDGER] = Ledger(update=config.getoption("update_baselines"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort by allowance, so that time left over goes to the long benchmarks; skip those that need another CPU.

    In a smoke test all benchmarks run.
    """
    here = Path(__file__).parent
    items.sort(key=lambda item: _allowance(item) if here in item.path.parents else 0.0)
    if not config.getoption("smoke") and not has_bf16_instructions():
        reason = "the promise needs a CPU with bfloat16 instructions; this one has none"
        for item in items:
            if item.get_closest_marker("bf16"):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Divide the time among the benchmarks."""
    here, scale = Path(__file__).parent, session.config.getoption("allowance_scale")
    items = [item for item in session.items if here in item.path.parents and not item.get_closest_marker("skip")]
    slow = sum(_allowance(item) for item in items if item.get_closest_marker("slow"))
    age = time.time() - psutil.Process().create_time()
    session.config.stash[_END] = time.monotonic() - age + SESSION_SECONDS * max(1.0, scale) + slow
    try:
        allotment = Allotment({item.nodeid: _allowance(item) for item in items}, slow, scale)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    session.config.stash[_ALLOTMENT] = allotment


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    """Return a line about how long the session can take."""
    if config.getoption("smoke"):
        return ""
    minutes = config.stash[_ALLOTMENT].seconds / 60
    return f"at most {minutes:.1f} min: a benchmark is undecided when its time is over"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start the allowance before the fixtures are created."""
    item.stash[_START] = time.monotonic()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Interrupt a benchmark that has spent its allowance."""
    comparison = pyfuncitem.funcargs.get("comparison")
    if not isinstance(comparison, Comparison):  # a benchmark without a ratio
        return (yield)
    result: object = True
    try:
        with nullcontext() if comparison.smoke else comparison.within_allowance():
            result = yield
    finally:
        if comparison.line:
            evidence = comparison.line.evidence
            pyfuncitem.user_properties.extend((key, str(value)) for key, value in evidence._asdict().items())
    return result


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Report undecided benchmarks separately from those that passed."""
    if report.when == "call" and report.passed and ("verdict", str(Verdict.UNDECIDED)) in report.user_properties:
        return "undecided", "u", ("UNDECIDED", _COLORS[Verdict.UNDECIDED])
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the baselines, if asked to."""
    ledger = session.config.stash[_LEDGER]
    if ledger.update and ledger.lines:
        ledger.write()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print every ratio with its interval, its limit and the verdict."""
    lines = config.stash[_LEDGER].lines
    if not lines:
        return
    width = max(len(line.name) for line in lines)
    terminalreporter.section("ratios to references timed in this session")
    columns = f"{'ratio':>7} {'interval':>16} {'pairs':>5} {'limit':>9} {'baseline':>9} {'seconds':>7} {'slowdown':>8}"
    terminalreporter.line(f"{'':{width}} {columns}  verdict")
    seconds = config.stash[_REFERENCE_KERNELS].read()["convolution_seconds"].astype(np.float64)
    slowdowns = np.median(seconds, axis=1) / seconds.min()
    for line in lines:
        cells = _cells(line, slowdowns[line.moment])
        terminalreporter.line(f"{line.name:{width}} {cells}".rstrip(), **_COLORS[line.evidence.verdict])
    terminalreporter.line(
        f"Load at the start: {config.stash[_LOAD]:.1f} on {os.cpu_count() or 1} CPUs. A ratio fails if its interval is "
        "beyond the limit, and is undecided if the limit is within the interval or there are too few pairs. "
        "More time: --allowance-scale 4. Slowdown: the time of a convolution before the benchmark, over its shortest "
        "time; it does not affect the verdict."
    )


def _cells(line: Line, slowdown: float) -> str:
    """Return the columns of the table after the name."""
    evidence, limit = line.evidence, "missing"
    if line.baseline and line.baseline.limit:
        side, value = line.baseline.limit
        limit = f"{'≥' if side == 'at_least' else '≤'} {value:.3g}"
    verdict = str(evidence.verdict)
    if evidence.verdict is Verdict.UNDECIDED:
        verdict += f", {evidence.num_pairs} pairs"
    has_interval = math.isfinite(evidence.high)
    cells = (
        f"{f'{evidence.ratio:.3g}' if evidence.num_pairs else '–':>7}",
        f"{f'[{evidence.low:.3g}, {evidence.high:.3g}]' if has_interval else '–':>16}",
        f"{evidence.num_pairs:5d}",
        f"{limit:>9}",
        f"{f'{line.baseline.measured:.3g}' if line.baseline else '':>9}",
        f"{line.seconds:7.0f}",
        f"{slowdown:8.1f} ",
        verdict,
        line.note and f"({line.note})",
    )
    return " ".join(cells)


def _allowance(item: pytest.Item) -> float:
    """Return the allowance of a benchmark in seconds."""
    marker = item.get_closest_marker("allowance")
    if marker is None:
        raise pytest.UsageError(f"{item.nodeid} has no allowance. Try `@pytest.mark.allowance(seconds=30)`.")
    scale: float = item.config.getoption("allowance_scale")
    return scale * float(marker.kwargs["seconds"])


@pytest.fixture(scope="session")
def cpu() -> Iterator[str]:
    """Configure this process as that of a run, pin it to one CPU, and yield the name of the CPU."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cpus:
        os.sched_setaffinity(0, {max(cpus)})
    execution = choose_execution("cpu", threads=1, workers=0, cache=True)
    configure(Conditions(budget=Budget(steps=1), recipe=Recipe()), execution)
    yield read_environment(execution).cpu
    torch.use_deterministic_algorithms(False)
    if cpus:
        os.sched_setaffinity(0, cpus)


@pytest.fixture(scope="session")
def reference_kernels(cpu: str, pytestconfig: pytest.Config) -> ReferenceKernels:
    """Create the reference kernels of a run, which are timed before each benchmark."""
    pytestconfig.stash[_REFERENCE_KERNELS] = ReferenceKernels(torch.device("cpu"), torch.float32)
    return pytestconfig.stash[_REFERENCE_KERNELS]


@pytest.fixture
def comparison(
    benchmark: BenchmarkFixture,
    request: pytest.FixtureRequest,
    pytestconfig: pytest.Config,
    cpu: str,
    reference_kernels: ReferenceKernels,
) -> Comparison:
    """Create the comparison of a benchmark; `--benchmark-json` keeps its ratio, interval, pairs and verdict."""

    def record(measure: Callable[[], Evidence]) -> Evidence:
        evidence: Evidence = benchmark.pedantic(measure)
        benchmark.extra_info.update(evidence._asdict())
        return evidence

    smoke, start = pytestconfig.getoption("smoke"), request.node.stash[_START]
    moment = len(reference_kernels.read().get("step", ()))
    if not smoke:
        reference_kernels.step(moment, at_evaluation=True)
    return Comparison(
        request.node.name,
        pytestconfig.stash[_LEDGER],
        cpu,
        deadline=min(pytestconfig.stash[_ALLOTMENT].deadline(request.node.nodeid, start), pytestconfig.stash[_END]),
        start=start,
        smoke=smoke,
        moment=moment,
        record=record,
    )
