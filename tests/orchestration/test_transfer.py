"""Runs that start from weights, from the command line to the report. Real processes."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from intelbench.architectures.registry import ModelRequest, find
from intelbench.config.conditions import Suite
from intelbench.config.recipe import Head
from intelbench.config.suites import encode_suite, load_suite, override
from intelbench.data.dataset import prepare
from intelbench.orchestration.plan import plan
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import read_environment
from intelbench.records.types import Execution
from intelbench.training.setup import build_network, workload_of
from tests.command import Command
from tests.reading import read_runs
from tests.reporting.rendered import build

CPU = Execution(device="cpu", threads=1, workers=0)
HEADLESS = """
import torch
from torch import nn

from intelbench import architecture


@architecture("headless")
class Headless(nn.Module):
    def __init__(self, request):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, request.num_classes))

    def forward(self, images):
        return images.mean((2, 3)) @ self.weight
"""


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


def test_a_head_that_cannot_be_an_mlp_is_refused_before_anything_runs(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """SqueezeNet's is a convolution; the network that it is compared with does not run either."""
    with_recipe(small_suite, tmp_path, head=Head(kind="mlp", widths=(5,)))
    arguments = ["--suite", "changed.toml", "--data", small_folder, "--plugin", plugin]
    done = intelbench("run", "tiny", "squeezenet1_1", *arguments)
    assert 2 == done.returncode
    assert "architecture 'torchvision:squeezenet1_1': its head 'classifier.1' is a Conv2d" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results" / "runs").exists()


@pytest.mark.parametrize("recipe", [{"frozen_fraction": 0.5}, {"freeze_backbone": 1.0}, {"freeze_backbone": "always"}])
def test_a_head_that_is_not_known_is_refused_before_anything_runs(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, recipe: dict[str, object]
) -> None:
    """Where the recipe trains heads in another way than the backbone."""
    (tmp_path / "headless.py").write_text(HEADLESS)
    with_recipe(small_suite, tmp_path, **recipe)
    done = intelbench("run", "headless", "--suite", "changed.toml", "--data", small_folder, "--plugin", "headless.py")
    assert 2 == done.returncode
    assert "architecture 'headless': its head '' is a Headless; transfer learning needs" in done.stderr
    assert not (tmp_path / "results" / "runs").exists()


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
        for run in plan(suite, dataset, CPU, read_environment(CPU), runs=tmp_path):
            workload = workload_of(find("tiny")[0], 2, suite.conditions, run.job.spec.seed)
            model, names = build_network(workload, suite.conditions.recipe, run.job.weights)
            assert (() if choice == "none" else ("6",)) == names
            heads[choice, run.job.spec.seed] = model[-1].weight
            assert (choice != "none") == bool((model[0].weight == 1 / 7).all())
            assert (choice != "none") == bool((model[1].running_mean == 1 / 7).all())
    assert torch.equal(heads["none", 0], heads[str(weights_file), 0])
    assert torch.equal(heads["none", 1], heads[str(weights_file), 1])
    assert not torch.equal(heads["none", 0], heads["none", 1])


def test_heads_and_freezing_are_recorded_and_shown(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """What trained is counted; a step of the run costs what its frozen and its other steps cost on average."""
    head = Head(kind="mlp", widths=(5,), dropout=0.25)
    with_recipe(small_suite, tmp_path, head=head, freeze_backbone=0.75, backbone_learning_rate=0.1)
    arguments = ("--suite", "changed.toml", "--data", small_folder, "--plugin", plugin)
    assert 0 == intelbench("run", "tiny", *arguments).returncode
    with_recipe(small_suite, tmp_path, head=head, freeze_backbone="always")
    done = intelbench("run", "tiny", *arguments)
    assert 0 == done.returncode, done.stderr
    records = [stored.record for stored in read_runs(tmp_path / "results" / "runs")[0]]
    later, always = sorted(records, key=lambda record: str(record.spec.conditions.recipe.freeze_backbone))
    of_head = 8 * 5 + 5 + 5 * 2 + 2
    of_all = 3 * 8 * 9 + 8 + 2 * 8 + of_head
    assert (of_all, of_head) == (always.measurements.num_parameters, always.measurements.num_trainable_parameters)
    assert (of_all, of_all) == (later.measurements.num_parameters, later.measurements.num_trainable_parameters)
    assert of_head == always.profile.num_trainable_parameters
    assert always.measurements.filter_gradients is None
    frozen, whole = always.profile.training_flops_per_image, later.profile.training_flops_per_image
    assert frozen == always.measurements.training_flops_per_image
    assert pytest.approx((frozen * 3 + whole * 3) / 6) == later.measurements.training_flops_per_image
    text = build(tmp_path / "results" / "runs").text
    assert "`freeze_backbone = always`" in text
    assert "`conditions.recipe.backbone_learning_rate`" in text


def test_architectures_under_their_own_recipes_are_compared_with_identical_conditions(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """Each run has its own recipe and budget, scaled; the same command skips them, and one takes its steps again.

    With the same architectures under one recipe, the report says what comes from which.
    """
    own = "[overrides.tiny]\nbudget.steps = 8\n"
    own += "[overrides.tiny_twin]\nrecipe.freeze_backbone = 'always'\nrecipe.optimizer_arguments.betas = [0.9, 0.9]\n"
    (tmp_path / "own.toml").write_text(small_suite.read_text() + own)
    arguments = ("--data", small_folder, "--plugin", plugin)
    done = intelbench("run", "--suite", "own.toml", *arguments, "--budget", "50 %")
    assert 0 == done.returncode, done.stderr
    assert "small: 2 runs of 4 steps or 3 steps on" in done.stderr
    assert "2 of 2 runs succeeded" in done.stderr
    again = intelbench("run", "--suite", "own.toml", *arguments, "--budget", "50 %")
    assert 2 == again.stderr.count("recorded already")
    stored = {run.record.spec.architecture: run for run in read_runs(tmp_path / "results" / "runs")[0]}
    tiny, twin = (stored[name].record for name in ("tiny", "tiny_twin"))
    assert (4, 3) == (tiny.measurements.num_steps, twin.measurements.num_steps)
    assert twin.measurements.num_trainable_parameters < twin.measurements.num_parameters
    assert tiny.spec.suite_conditions == twin.spec.suite_conditions != tiny.spec.conditions
    verified = intelbench("verify", stored["tiny_twin"].path, "--plugin", plugin)
    assert 0 == verified.returncode, verified.stdout
    assert 0 == intelbench("run", "--suite", small_suite, *arguments).returncode
    text = build(tmp_path / "results" / "runs").text
    assert "2 runs, each architecture under its own recipe" in text
    assert "## Architecture or recipe\n" in text
    assert "`recipe.freeze_backbone`" in text


def test_a_run_on_features_is_a_run(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """With and without the cache: the same batches, and logits of the same size and nearly the same numbers.

    Features lie in the cache, for training, validation and test images; what a step costs is not said. The machine is
    timed before and after training alone.
    """
    with_recipe(small_suite, tmp_path, freeze_backbone="always", augmentation="none")
    arguments = ("--suite", "changed.toml", "--data", small_folder, "--plugin", plugin, "--cache-dir", tmp_path / "c")
    for folder, option in (("with", ()), ("again", ()), ("without", ("--no-cache",))):
        done = intelbench("run", "tiny", *arguments, "--out", folder, *option)
        assert 0 == done.returncode, done.stderr
    assert 3 == len(list((tmp_path / "c" / "features").iterdir()))
    runs = [read_runs(tmp_path / folder / "runs")[0][0] for folder in ("with", "again", "without")]
    assert 1 == len({str(run.record.stream_digests) for run in runs})
    computed, read, uncached = (run.traces() for run in runs)
    assert computed["test_logits"].tobytes() == read["test_logits"].tobytes()
    np.testing.assert_allclose(computed["test_logits"], uncached["test_logits"], atol=1e-4)
    assert {None} == {run.record.measurements.training_flops_per_image for run in runs}
    extractions = [run.record.measurements.features for run in runs]
    assert [True, False, True] == [each.num_stored_images == 0 for each in extractions]
    assert 1 == len({each.num_images for each in extractions})
    assert extractions[0].seconds == extractions[1].seconds
    assert "step_breakdown_seconds" in read
    assert [3, 6] == read["evaluation_step"].tolist()
    assert [0, 6] == read["reference_kernel_step"].tolist()
    assert "activation_sites" not in computed
    waits = [traces["data_wait_seconds"] for traces in (computed, read)]
    assert all(wait[0] > 3 * np.median(wait[1:]) for wait in waits)
    assert "`augmentation = none`" in build(tmp_path / "again" / "runs").text
