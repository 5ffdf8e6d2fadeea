"""Killed at any moment: no half record, no process, no file left over, and the next run comes to the same bits."""

import random
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file, save

from intelbench.records.store import StoredRun
from tests.reading import read_runs
from tests.torture.saboteur import Laboratory, Moment, kill

CHILD = [
    *(Moment("open", r"state-\d+\.pt w", number) for number in (1, 4)),
    *(Moment("open", r"\.checkpoint\.json\.partial", number) for number in (1, 4)),
    *(Moment("os.rename", r"checkpoint\.json\.partial", number) for number in (1, 4)),
    *(Moment("os.remove", r"/state-\d+\.pt", number) for number in (1, 3)),
    Moment("os.mkdir", r"/weights/\.tiny"),
    Moment("os.chmod", r"/weights/\.tiny"),
    Moment("os.mkdir", "/record "),
    *(Moment("open", f"/record/{name} w") for name in ("record.json", "traces.npz", "SHA256SUMS")),
    Moment("os.rename", r"/record .*runs/tiny"),
    Moment("os.rename", r"/weights/\.tiny.* .*/weights/tiny"),
    Moment("os.remove", r"/checkpoint\.json "),
]
"""Of the process of a run."""
PARENT = [
    Moment("os.mkdir", r"/cache/pixels/\."),
    Moment("open", r"/cache/pixels/\..*/pixels\.bin w"),
    Moment("open", r"/cache/pixels/\..*/index w"),
    Moment("os.rename", r"/cache/pixels/\."),
    Moment("os.mkdir", r"runs/\.tiny"),
    Moment("open", r"runs/\.tiny.*/lock"),
    Moment("os.remove", r"runs/\.tiny.*/lock "),
]
"""Of the command itself."""
RERUN = [
    Moment("os.rename", r"runs/tiny.* .*/superseded"),
    Moment("os.rename", r"/record .*runs/tiny"),
    Moment("os.rmdir", "superseded"),
]
"""Where the record takes the place of another."""
REPORT = [
    Moment("open", r"\.confusion.*\.partial"),
    Moment("os.rename", r"\.confusion.*\.partial"),
    Moment("os.rename", r"\.cost.*\.partial"),
    Moment("open", r"traces\.npz"),
]
BY_THE_CLOCK = ("step_breakdown_", "reference_kernel_", "contention_", "gpu_")
"""Traces of meters, which look when it is time: the same run may have looked after other steps."""
QUICK = (CHILD[4], CHILD[14], CHILD[15], PARENT[3], RERUN[0], REPORT[1])
"""One of each kind, for every day."""


def thorough(moments: list[Moment]) -> list[object]:
    """All of them, those that are not for every day in the slow tier."""
    return [pytest.param(each, marks=() if each in QUICK else pytest.mark.torture, id=str(each)) for each in moments]


def with_parent(moments: list[Moment]) -> list[Moment]:
    """Each once more, with the command killed at the same time."""
    return [Moment(each.event, each.pattern, each.number, "both") for each in moments]


def the_run(results: Path) -> StoredRun | None:
    """The one record there may be, whole."""
    found, problems = read_runs(results / "runs")
    assert [] == problems
    assert all(stored.unchanged() for stored in found)
    return found[0] if found else None


def weights_of(results: Path) -> dict[str, bytes]:
    """The tensors that are kept, by file."""
    return {path.name: save(load_file(path)) for path in (results / "weights").glob("*")}


def assert_sound(
    laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, *, has_weights: bool = True
) -> None:
    """Every command works, and after the next run all is as if nothing had happened."""
    folder = laboratory.folder
    assert [] == laboratory.processes()
    the_run(folder / "results")
    report = laboratory.run(["report"])
    assert "Traceback" not in report.stderr
    assert (2 if the_run(folder / "results") is None else 0) == report.returncode, report.stderr
    again = laboratory.run([*arguments, "--rerun", "failed"])
    assert 0 == again.returncode, again.stderr
    expected, actual = the_run(undisturbed), the_run(folder / "results")
    assert expected is not None
    assert actual is not None
    assert expected.record.stream_digests == actual.record.stream_digests
    assert set(expected.traces()) == set(actual.traces())
    for name, array in expected.traces().items():
        if not name.startswith(BY_THE_CLOCK) and not name.endswith("_seconds"):
            np.testing.assert_array_equal(array, actual.traces()[name])
    assert (weights_of(undisturbed) if has_weights else {}) == weights_of(folder / "results")
    assert [] == [path for part in ("results", "cache") for path in (folder / part).rglob(".*")]
    assert 0 == laboratory.run(["report"]).returncode


@pytest.mark.parametrize("moment", thorough([*PARENT, *CHILD, *with_parent(CHILD)]))
def test_a_run_that_is_killed(
    laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, moment: Moment
) -> None:
    """While its cache, its checkpoint or its record is written, alone or with its parent."""
    assert 0 != laboratory.sabotage(arguments, moment).returncode or the_run(laboratory.folder / "results")
    assert_sound(laboratory, arguments, undisturbed)


@pytest.mark.parametrize("moment", thorough([*RERUN, *with_parent(RERUN)]))
def test_a_record_that_is_being_replaced(
    laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, moment: Moment
) -> None:
    """The older one or the newer one is there after the next command, whole."""
    assert 0 == laboratory.run(arguments).returncode
    laboratory.sabotage([*arguments, "--rerun", "all"], moment)
    assert_sound(laboratory, arguments, undisturbed)


@pytest.mark.parametrize("moment", thorough(REPORT))
def test_a_report_that_is_killed(
    laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, moment: Moment
) -> None:
    """The records are as they were, and the next report is whole."""
    assert 0 == laboratory.run(arguments).returncode
    assert 0 != laboratory.sabotage(["report"], moment).returncode
    assert_sound(laboratory, arguments, undisturbed)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(12))
def test_a_run_that_is_killed_at_random(
    laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, seed: int
) -> None:
    """Three times in a row, now the command, now its child, now both, wherever they are."""
    chance = random.Random(seed)
    for _ in range(3):
        with laboratory.start([*arguments, "--rerun", "failed"]) as process:
            time.sleep(chance.uniform(0.5, 10))
            with suppress(psutil.NoSuchProcess):  # it was quicker
                kill(process, chance.choice(("parent", "child", "both")))
            process.communicate(timeout=300)
    assert_sound(laboratory, arguments, undisturbed)
