"""Sessions and results of measurements on a GPU."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.gpu import session as sessions
from bench.gpu.results import FAKE_NOTE, Results, Row
from bench.gpu.session import Session
from bench.gpu.sizes import FAKE
from bench.gpu.stages import Stage
from intelbench.orchestration.process import FreshPython
from intelbench.records.types import Environment
from tests.conftest import REPOSITORY
from tests.synthetic import Study, synthetic_run

PROGRAM = """
import time
from bench.gpu.session import Task
from bench.gpu.results import Row
from intelbench.orchestration.process import take_request

def main():
    task, answer = take_request(Task)
    answer(Row(subject="first"))
    if task.function == "hangs":
        time.sleep(600)
    if task.function == "raises":
        raise ValueError("the network has had enough")
    answer(Row(subject=str(task.arguments)))
"""


@pytest.fixture
def environment() -> Environment:
    """A machine."""
    return synthetic_run("resnet152", 0, Study())[0].environment


@pytest.fixture
def open_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Session]:
    """Make sessions on one folder, whose measurements are those of `PROGRAM`."""
    for name in ("out", "program"):
        (tmp_path / name).mkdir()
    (tmp_path / "program" / "in_place_of_measuring.py").write_text(PROGRAM)
    monkeypatch.setattr(sessions, "_MODULE", "in_place_of_measuring")
    path = os.pathsep.join([str(tmp_path / "program"), str(REPOSITORY)])

    def make(seconds: float = 60.0, device: str = "cuda") -> Session:
        work = tmp_path / f"work{len(list(tmp_path.glob('work*')))}"
        work.mkdir()
        return Session(
            device=device,
            sizes=FAKE,
            folder=tmp_path / "out",
            work=work,
            data=None,
            starter=FreshPython({**os.environ, "PYTHONPATH": path}),
            deadline=time.monotonic() + seconds,
        )

    return make


def nothing_yet(environment: Environment, *, fake: bool = False) -> Results:
    """Results without a stage."""
    return Results(fake=fake, note=FAKE_NOTE if fake else None, environment=environment, stages={})


def stage(name: str, rows: Callable[[Session], Iterator[Row]]) -> Stage:
    """A stage made for a test."""
    return Stage(name, name.title(), rows)


def stage_of(name: str, *rows: Row) -> Stage:
    """A stage that has these rows at once."""
    return stage(name, lambda _: iter(rows))


def last(results: Iterator[Results]) -> Results:
    """What is there in the end."""
    return list(results)[-1]
