"""Define the stages of `make gpu` in order of value. A stage is a function that yields rows; `STAGES` lists them."""

import importlib.util
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple

from bench.gpu import study
from bench.gpu.results import SPEED, Figure, Row
from bench.gpu.session import Session

_SIDES = (
    "plain", "tuned", "harness", "harness on one device batch", "tuned + CUDA graph", "harness + CUDA graph",
)  # fmt: skip
_RATIOS = (
    ("harness", "plain", 3.0),
    ("harness", "tuned", 0.95),
    ("harness", "harness on one device batch", 0.97),
    ("tuned + CUDA graph", "tuned", None),
    ("harness + CUDA graph", "harness", None),
)
"""Two loops, and the lower limit of the ratio of their speeds. The third ratio shows what the loader costs."""
_TESTS_WERE_RUN = (0, 1)
"""Exit statuses of pytest if all tests passed or some failed."""


class Stage(NamedTuple):
    """A stage of `make gpu`."""

    name: str
    """Key in `gpu.json`."""
    title: str
    """Heading in the table."""
    rows: Callable[[Session], Iterator[Row]]


def card(session: Session) -> Iterator[Row]:
    """Read the settings of the card, and time how fast it computes and copies."""
    yield from session.measure("card")


def synchronizations(session: Session) -> Iterator[Row]:
    """Count calls in the harness's loop that make the host wait for the GPU."""
    for precision in ("fp32", "bf16"):
        yield from session.measure("synchronizations", precision=precision)


def tests(session: Session) -> Iterator[Row]:
    """Run the tests that need a GPU."""
    junit = session.folder / "junit.xml"
    junit.unlink(missing_ok=True)
    parallel = ("--numprocesses", "4") if importlib.util.find_spec("xdist") and not session.is_fake else ()
    arguments = ("-m", "pytest", *session.sizes.tests, *parallel, "-p", "no:cacheprovider", f"--junitxml={junit}")
    status = session.command([sys.executable, *arguments], OMP_NUM_THREADS="1")
    if status not in _TESTS_WERE_RUN or not junit.exists():
        raise RuntimeError(f"pytest exited with status {status}: {session.last_line()}")
    yield _tests_row(junit.read_text(encoding="utf-8"))


def steps(session: Session) -> Iterator[Row]:
    """Time training steps of each network in each loop, and divide the speeds."""
    for architecture in session.sizes.architectures:
        flops = yield from _flops(session, architecture)
        speeds = yield from _speeds(session, architecture, _SIDES, session.sizes.batch_size, flops)
        for above, below, floor in _RATIOS:
            yield ratio(f"{architecture}, {above} / {below}", speeds[above], speeds[below], floor)


def batches(session: Session) -> Iterator[Row]:
    """Time training steps by batch size."""
    for architecture in session.sizes.batch_architectures:
        flops = yield from _flops(session, architecture)
        for batch_size in session.sizes.batch_sizes:
            yield from _speeds(session, architecture, ("tuned", "harness"), batch_size, flops)


def loader(session: Session) -> Iterator[Row]:
    """Time the preparation of batches, alone and next to training steps."""
    for function in ("loader", "loader_with_steps"):
        for threads in session.sizes.loader_threads:
            yield from session.measure(function, threads=threads)


def memory(session: Session) -> Iterator[Row]:
    """Compare the predicted memory of training steps with the measured one."""
    for architecture in session.sizes.architectures:
        for precision in session.sizes.memory_precisions:
            yield from session.measure("memory", architecture=architecture, precision=precision)


def verify(session: Session) -> Iterator[Row]:
    """Verify a record of each architecture, and time what `torch.compile` gains."""
    yield from study.verify(session)
    sides = (compiled, eager) = ("tuned + torch.compile", "tuned")
    for architecture in session.sizes.compiled_architectures:
        flops = yield from _flops(session, architecture)
        speeds = yield from _speeds(session, architecture, sides, session.sizes.batch_size, flops)
        yield ratio(f"{architecture}, {compiled} / {eager}", speeds[compiled], speeds[eager])


STAGES = (
    Stage("card", "Card", card),
    Stage("synchronizations", "Synchronisations", synchronizations),
    Stage("tests", "Tests", tests),
    Stage("steps", "Training steps", steps),
    Stage("batches", "Batch sizes", batches),
    Stage("loader", "Loader", loader),
    Stage("memory", "Memory", memory),
    Stage("study", "Reference study", study.run),
    Stage("verify", "Verification", verify),
)
"""Stages in the order in which they are carried out."""


def ratio(subject: str, above: float | None, below: float | None, at_least: float | None = None) -> Row:
    """Return a row with the ratio of two speeds."""
    value = above / below if above and below else None
    absent = None if value else "one of the two speeds is missing"
    return Row(subject=subject, figures=(Figure(name="ratio", value=value, absent=absent),), at_least=at_least)


def _flops(session: Session, architecture: str) -> Generator[Row, None, float | None]:
    """Yield a row with the FLOPs of a training image, and return the FLOPs."""
    flops = None
    for row in session.measure("flops", architecture=architecture):
        flops = row.value("training")
        yield row
    return flops


def _speeds(
    session: Session, architecture: str, sides: Sequence[str], batch_size: int, flops: float | None
) -> Generator[Row, None, dict[str, float | None]]:
    """Yield a row with the speed of training steps in each loop, and return the speeds."""
    speeds: dict[str, float | None] = dict.fromkeys(sides)
    for side in sides:
        for row in session.measure(
            "steps", architecture=architecture, side=side, batch_size=batch_size, flops_per_image=flops
        ):
            speeds[side] = row.value(SPEED)
            yield row
    return speeds


def _tests_row(junit: str) -> Row:
    """Return a row with the numbers of tests in JUnit's XML, and the names of failed tests."""
    cases = list(ElementTree.fromstring(junit).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    passed = len(cases) - len(failed) - len(skipped)
    return Row(
        subject="pytest",
        figures=(
            Figure(name="failed", value=len(failed)),
            Figure(name="passed", value=passed),
            Figure(name="skipped", value=len(skipped)),
        ),
        at_most=0,
        details=tuple(f"{case.get('classname')}::{case.get('name')}" for case in failed),
    )
