"""The first steps of a recorded run, taken again. Partly in real processes."""

import os
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from intelbench.config.budget import Budget
from intelbench.config.suites import encode_suite, load_suite
from intelbench.errors import UserError
from intelbench.orchestration import verify as verifying
from intelbench.orchestration.process import FreshPython
from intelbench.records.store import read_run, write_run
from tests.command import Command
from tests.records.test_hostile_records import HOSTILE, RECORD, TRACES


@pytest.fixture(scope="module")
def arguments(small_folder: Path, small_suite: Path, plugin: Path) -> list[str | Path]:
    """One small run."""
    return ["run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", "1"]


def test_a_folder_that_is_no_run_is_answered_with_one_that_is(tmp_path: Path, intelbench: Command) -> None:
    """Where the folder of results was given; and a record without its file is not a run either."""
    path = write_run(tmp_path / "results" / "runs", RECORD, TRACES)
    for folder in ("results", "results/runs"):
        done = intelbench("verify", folder)
        said = f"{folder}: not the folder of a run. Expected one with record.json in it. Try `intelbench verify "
        assert (2, f"intelbench: {said}{path.relative_to(tmp_path)}`\n") == (done.returncode, done.stderr)
    (path / "record.json").unlink()
    assert "not the folder of a run. Expected one with record.json in it" in intelbench("verify", path).stderr


def test_a_run_is_reproduced_or_the_difference_is_told(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], plugin: Path
) -> None:
    """Bit for bit here; a record whose numbers or batches were others is not, and a tolerance is honoured.

    What was damaged in the cache is said, as by `run`.
    """
    cache = tmp_path / "cache"
    assert 0 == intelbench(*arguments, "--cache-dir", cache).returncode
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    (pixels,) = cache.glob("pixels/*/pixels.bin")
    os.truncate(pixels, 10)
    found = intelbench("verify", folder, "--plugin", plugin, "--cache-dir", cache)
    assert 0 == found.returncode, found.stderr
    assert f"cache {pixels.parent}: " in found.stderr
    assert "; built again" in found.stderr
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
    assert "failed in its first step" in empty.stderr


def refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why a record is not verified; nothing is read of any data folder and no process begins."""
    monkeypatch.delattr(verifying, "prepare")
    monkeypatch.delattr(verifying, "Process")
    with pytest.raises(UserError) as raised:
        verifying.verify(
            verifying.Request(record=folder, steps=8, data=None, plugins=(), cache_folder=folder),
            FreshPython({}),
            lambda _: None,
        )
    return str(raised.value)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_damaged_record_is_named(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere else."""
    folder = write_run(tmp_path, RECORD, TRACES)
    HOSTILE[kind][1](folder)
    assert refusal(folder, monkeypatch).startswith(str(folder))


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("learning_rate", None, "'learning_rate'"),
        ("learning_rate", np.full(6, np.inf), "a learning rate is not finite"),
        ("gradient_norm", np.zeros(5), "there is not a number for each"),
        ("gradient_norm", np.array(1.0), "there is not a number for each"),
        ("step_loss", np.zeros((6, 1)), "there is not a number for each"),
        ("step_loss", np.array(["1"] * 6), "there is not a number for each"),
        ("step_loss", None, "failed in its first step"),
        ("step_loss", np.zeros(0), "failed in its first step"),
    ],
)
def test_arrays_that_tell_of_no_steps_are_named(
    tmp_path: Path, name: str, array: np.ndarray | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, of another shape or kind, or no numbers."""
    traces = {key: value for key, value in TRACES.items() if key != name}
    folder = write_run(tmp_path, RECORD, traces if array is None else traces | {name: array})
    assert said in refusal(folder, monkeypatch)


@pytest.mark.parametrize(
    ("recipe", "providers", "said"),
    [
        (
            {"transforms": ("no_such",)},
            {"transform_providers": ("mine.py sha256:0123456789abcdef",)},
            "transform 'no_such' is not known here. Expected the plug-in that the run had. Try --plugin mine.py",
        ),
        ({"optimizer": "no_such"}, {}, "optimizer 'no_such' is not known here. .* Try --plugin FILE"),
    ],
)
def test_a_plugin_of_the_recipe_that_is_not_loaded_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any], providers: dict[str, Any], said: str
) -> None:
    """Before images are read or a process begins."""
    replace = msgspec.structs.replace
    conditions = replace(RECORD.spec.conditions, recipe=replace(RECORD.spec.conditions.recipe, **recipe))
    spec = replace(RECORD.spec, architecture="resnet18", conditions=conditions, **providers)
    folder = write_run(tmp_path, replace(RECORD, spec=spec), TRACES)
    assert re.fullmatch(f"{re.escape(str(folder))}: {said}", refusal(folder, monkeypatch))


def test_no_folder_of_other_classes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that says that its images lie in `/` makes nobody read the disk."""
    spec = msgspec.structs.replace(RECORD.spec, data=msgspec.structs.replace(RECORD.spec.data, source="/"))
    folder = write_run(tmp_path, msgspec.structs.replace(RECORD, spec=spec), TRACES)
    assert refusal(folder, monkeypatch).startswith("data /")


def test_a_backbone_is_frozen_in_the_recorded_steps(
    tmp_path: Path, intelbench: Command, small_suite: Path, arguments: list[str | Path], plugin: Path
) -> None:
    """Half of six steps are three, also where only four are repeated, half of which would be two."""
    suite = load_suite(str(small_suite))
    recipe = msgspec.structs.replace(suite.recipe, frozen_fraction=0.5)
    changed = tmp_path / "changed.toml"
    changed.write_text(encode_suite(msgspec.structs.replace(suite, recipe=recipe, budget=Budget(steps=6))))
    done = intelbench(*arguments, "--suite", changed)
    assert 0 == done.returncode, done.stderr
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    assert [True] * 3 + [False] * 3 == read_run(folder).traces()["backbone_frozen"].tolist()
    found = intelbench("verify", folder, "--plugin", plugin, "--steps", "4")
    assert 0 == found.returncode, found.stderr
    assert "steps 1 to 4: " in found.stdout
    assert "equal bit for bit" in found.stdout


def test_numbers_are_compared_as_shares_of_the_recorded_ones() -> None:
    """Equal ones, those that are not finite included, differ by nothing; what is not there any more, without bound."""
    recorded = np.array([2.0, np.nan, np.inf, -1.0, 0.0, 1.0])
    found = verifying._relative(np.array([2.5, np.nan, np.inf, 1.0, 0.0]), recorded)
    assert [0.25, 0, 0, 2, 0, np.inf] == found.tolist()
    assert [np.inf, np.inf] == verifying._relative(np.array([np.nan, 1.0]), np.array([1.0, np.inf])).tolist()
