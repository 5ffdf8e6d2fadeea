"""Rows of measurements on a GPU: how they are judged, shown, and read again."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from bench.gpu.results import FAKE_NOTE, FILE, Figure, Row, StageResult, open_results, save
from bench.gpu.run import carry_out, exit_status
from bench.gpu.session import Session
from bench.gpu.stages import STAGES, ratio
from bench.gpu.table import render
from intelbench.errors import UserError
from intelbench.records.types import Environment
from tests.bench.conftest import last, nothing_yet, stage_of


@pytest.mark.parametrize(
    ("limits", "met"),
    [
        ({}, None),
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2.0}, True),
        ({"at_most": 1.9}, False),
    ],
)
def test_a_row_is_judged_by_its_first_figure(
    open_session: Callable[..., Session], environment: Environment, limits: Mapping[str, float], met: bool | None
) -> None:
    """On a GPU. Without a limit there is no verdict, and a limit that is not met shows in table and status."""
    figures = (Figure(name="ratio", value=2.0), Figure(name="other", value=100.0))
    stages = [stage_of("stage", Row(subject="a", figures=figures, **limits))]
    results = last(carry_out(stages, open_session(), nothing_yet(environment)))
    assert met is results.stages["stage"].rows[0].met
    assert int(met is False) == exit_status(results, stages)
    shown = {True: " met", False: "NOT MET", None: "other 100"}
    assert render(results, stages).splitlines()[-1].endswith(shown[met])


def test_nothing_is_judged_on_the_fake_gpu(open_session: Callable[..., Session], environment: Environment) -> None:
    """Its numbers mean nothing, and its table says so."""
    stages = [stage_of("stage", ratio("a / b", 1.0, 2.0, at_least=3.0))]
    fake = open_session(device="fake")
    results = last(carry_out(stages, fake, nothing_yet(environment, fake=True)))
    assert results.stages["stage"].rows[0].met is None
    assert 0 == exit_status(results, stages)
    assert "not judged" in render(results, stages)
    assert FAKE_NOTE in render(results, stages)


def test_a_ratio_without_its_speeds_is_absent() -> None:
    """As that of a loop which failed."""
    assert 0.5 == ratio("a / b", 1.0, 2.0).value("ratio")
    assert ratio("a / b", None, 2.0, 3.0).judged().met is None
    assert ratio("a / b", 1.0, None).figures[0].absent


def test_stages_without_a_result_are_in_the_table(environment: Environment) -> None:
    """As skipped; the exit status says that a further call is needed."""
    results = nothing_yet(environment).with_stage("card", StageResult(status="done", seconds=1.0))
    text = render(results, STAGES)
    assert len(STAGES) - 1 == text.count("skipped: deadline")
    assert 3 == exit_status(results, STAGES)


def test_base_units_are_shown_scaled(environment: Environment) -> None:
    """A figure without a value shows why."""
    figures = (
        Figure(name="peak", value=80_000_000_000, unit="bytes"),
        Figure(name="MFU", value=0.125, unit="share"),
        Figure(name="NVML", value=None, absent="a container"),
    )
    result = StageResult(status="done", seconds=1.0, rows=(Row(subject="a", figures=figures),))
    text = " ".join(render(nothing_yet(environment).with_stage("card", result), STAGES[:1]).split())
    assert "peak 80 GB; MFU 12.5 %; NVML absent (a container)" in text


def test_results_of_another_device_are_refused(tmp_path: Path, environment: Environment) -> None:
    """Two cards in one table would be compared."""
    save(tmp_path, nothing_yet(environment))
    assert nothing_yet(environment) == open_results(tmp_path, environment, fake=False)
    other = msgspec.structs.replace(environment, device_name="another GPU")
    with pytest.raises(UserError, match="another GPU"):
        open_results(tmp_path, other, fake=False)
    with pytest.raises(UserError, match="Try another folder"):
        open_results(tmp_path, environment, fake=True)


def test_a_damaged_file_is_refused(tmp_path: Path, environment: Environment) -> None:
    """By name, and is left as it is."""
    (tmp_path / FILE).write_text("{")
    with pytest.raises(UserError, match=FILE):
        open_results(tmp_path, environment, fake=False)
    assert "{" == (tmp_path / FILE).read_text()
