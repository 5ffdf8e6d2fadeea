"""The first steps of a recorded run, taken again. Real processes."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.records.store import read_run, write_run
from tests.conftest import Command


@pytest.fixture(scope="module")
def arguments(small_folder: Path, small_suite: Path, plugin: Path) -> list[str | Path]:
    """One small run."""
    return ["run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", "1"]


def test_a_run_is_reproduced_or_the_difference_is_told(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], plugin: Path
) -> None:
    """Bit for bit here; a record whose numbers or batches were others is not, and a tolerance is honoured."""
    assert 0 == intelbench(*arguments).returncode
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    found = intelbench("verify", folder, "--plugin", plugin)
    assert 0 == found.returncode, found.stderr
    said = "steps 1 to 6: the batches of the record up to step 6; losses and gradient norms equal bit for bit"
    assert f"{folder.name}, {said}\n" == found.stdout

    stored = read_run(folder)
    traces = stored.traces()
    losses = traces["step_loss"].copy()
    losses[2:] *= 1 + 1e-6
    record = msgspec.structs.replace(
        stored.record, environment=msgspec.structs.replace(stored.record.environment, torch="1.0")
    )
    write_run(tmp_path / "results" / "runs", record, {**traces, "step_loss": losses})
    found = intelbench("verify", folder, "--plugin", plugin, "--steps", "4")
    assert 1 == found.returncode
    assert "differ from step 3 on, by at most 1e-06 of their value" in found.stdout
    assert "not as it was: environment.torch was 1.0, is " in found.stdout
    assert 0 == intelbench("verify", folder, "--plugin", plugin, "--tolerance", "1e-5").returncode
    assert 0 == intelbench("verify", folder, "--plugin", plugin, "--steps", "2").returncode

    record = msgspec.structs.replace(record, stream_digests={**record.stream_digests, 4: "0"})
    write_run(tmp_path / "results" / "runs", record, traces)
    found = intelbench("verify", folder, "--plugin", plugin, "--steps", "4")
    assert 1 == found.returncode
    assert "other batches than in the record after step 2; losses and gradient norms equal" in found.stdout
    assert 1 == intelbench("verify", folder, "--plugin", plugin, "--tolerance", "1").returncode


def test_what_cannot_be_verified_is_refused(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], plugin: Path, small_folder: Path
) -> None:
    """A run without a step, other images, an architecture that is not there: what, where, and what to do."""
    assert 0 == intelbench(*arguments).returncode
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    unknown = intelbench("verify", folder)
    assert 2 == unknown.returncode
    assert "tiny" in unknown.stderr
    other = intelbench("verify", folder, "--plugin", plugin, "--data", small_folder / "train")
    assert 2 == other.returncode
    assert "not the images of" in other.stderr
    assert "--data DIR" in other.stderr
    stored = read_run(folder)
    traces = {name: array[:0] if name == "step_loss" else array for name, array in stored.traces().items()}
    assert np.array_equal(traces["step_loss"], [])
    write_run(tmp_path / "results" / "runs", stored.record, traces)
    empty = intelbench("verify", folder, "--plugin", plugin)
    assert 2 == empty.returncode
    assert "failed before its first step ended" in empty.stderr
