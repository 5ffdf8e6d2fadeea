"""Runs that start from weights, from the command line to the report. Real processes."""

import hashlib
from pathlib import Path

import msgspec
import pytest
import torch

from intelbench.architectures.registry import ModelRequest, find, load_plugin
from intelbench.data.dataset import prepare
from intelbench.orchestration.execute import build_model, model_request
from intelbench.orchestration.plan import plan
from intelbench.profiling.environment import read_environment
from intelbench.records.store import read_runs
from intelbench.records.suites import encode_suite, load_suite, override
from intelbench.records.types import Execution, Suite
from intelbench.reporting.report import build
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("own_registry")

CPU = Execution(device="cpu", threads=1, workers=0)


@pytest.fixture
def weights_file(plugin: Path, tmp_path: Path) -> Path:
    """The tiny network for ten classes, every number of it a seventh."""
    load_plugin(plugin)
    with torch.random.fork_rng():
        state = find("tiny")[0].build(ModelRequest(num_classes=10, image_size=32)).state_dict()
    torch.save(
        {name: torch.full_like(value, 1 / 7) if value.is_floating_point() else value for name, value in state.items()},
        tmp_path / "sevenths.pth",
    )
    return tmp_path / "sevenths.pth"


def with_recipe(suite_file: Path, folder: Path, **recipe: object) -> Suite:
    """The suite with another recipe, written to `folder` too."""
    suite = load_suite(str(suite_file))
    changed = msgspec.structs.replace(suite, recipe=msgspec.structs.replace(suite.recipe, **recipe))
    (folder / "changed.toml").write_text(encode_suite(changed))
    return changed


def test_a_run_starts_from_a_file_and_says_so(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path, weights_file: Path
) -> None:
    """The record has the file's name and hash, the report shows them, and its command makes the same runs again."""
    with_recipe(small_suite, tmp_path, weights=str(weights_file))
    arguments = ("--suite", "changed.toml", "--data", small_folder, "--plugin", plugin)
    done = intelbench("run", "tiny", *arguments)
    assert 0 == done.returncode, done.stderr
    (stored,) = read_runs(tmp_path / "results" / "runs")[0]
    weights = stored.record.spec.weights
    digest = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert ("sevenths.pth", digest) == (weights.file, weights.sha256)
    text = build(tmp_path / "results" / "runs").text
    assert f"`sevenths.pth` | `{digest[:16]}` | [0.485, 0.456, 0.406] | [0.229, 0.224, 0.225] |" in text
    assert f"`weights = {weights_file}`" in text
    assert f'weights = "{weights_file}"' in text

    weights_file.write_bytes(weights_file.read_bytes() + b" ")
    assert "recorded already" not in intelbench("run", "tiny", *arguments).stderr


def test_a_file_that_does_not_fit_stops_everything_before_it_starts(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """With the keys, and without a record."""
    torch.save({"0.weight": torch.ones(8, 3, 3, 3)}, tmp_path / "part.pth")
    with_recipe(small_suite, tmp_path, weights=str(tmp_path / "part.pth"))
    done = intelbench("run", "tiny", "--suite", "changed.toml", "--data", small_folder, "--plugin", plugin)
    assert 2 == done.returncode
    assert "weights part.pth are not those of 'tiny': 5 missing: 0.bias, 1.bias" in done.stderr
    assert not (tmp_path / "results").exists()


def test_the_new_head_is_the_seeds(
    tmp_path: Path, small_suite: Path, small_folder: Path, plugin: Path, weights_file: Path
) -> None:
    """It starts as without the file, whose numbers the backbone has; another seed has another head."""
    heads = {}
    for choice in ("none", str(weights_file)):
        suite = with_recipe(small_suite, tmp_path, weights=choice)
        dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
        suite = override(suite, architectures=("tiny",), seeds=(0, 1))
        for run in plan(suite, dataset, CPU, read_environment(CPU), runs=tmp_path, plugins=(plugin,)):
            model = build_model(find("tiny")[0], model_request(run.job.spec), run.job)
            heads[choice, run.job.spec.seed] = model[-1].weight
            assert (choice != "none") == bool((model[0].weight == 1 / 7).all())
            assert (choice != "none") == bool((model[1].running_mean == 1 / 7).all())
    assert torch.equal(heads["none", 0], heads[str(weights_file), 0])
    assert torch.equal(heads["none", 1], heads[str(weights_file), 1])
    assert not torch.equal(heads["none", 0], heads["none", 1])
