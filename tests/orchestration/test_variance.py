"""One source of variance at a time, from the suite to real batches, weights and the report."""

from itertools import combinations
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

import intelbench as ib
from intelbench.config.fields import Vary
from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import prepare
from intelbench.orchestration.plan import PlannedRun, plan
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import read_environment
from intelbench.records.store import StoredRun
from intelbench.records.types import Execution
from intelbench.training.setup import TrainingSetup, build_training_setup
from tests.command import Command
from tests.conftest import write_folder
from tests.reading import read_runs
from tests.reporting.rendered import build

CPU = Execution(device="cpu", threads=1, workers=0)
SOURCES: tuple[Vary, ...] = get_args(Vary)


def setup_of(run: PlannedRun) -> TrainingSetup:
    """The network and the batches of a run, as its process builds them."""
    return build_training_setup(run.job, run.job.environment, torch.device("cpu"))


def contents(setup: TrainingSetup) -> dict[str, bytes]:
    """The crop and flip of every image of the first epoch, by id, in the order of the batches."""
    stream = setup.stream
    shown = [sample for step in range(stream.steps_per_epoch) for sample in stream.samples(step)]
    return {stream.split.ids[sample.position]: stream.content(sample) for sample in shown}


def differing(first: PlannedRun, second: PlannedRun) -> set[str]:
    """What differs between two runs; order, crops and flips are compared on the images that both see."""
    one, other = setup_of(first), setup_of(second)
    weights = [setup.evaluator.model.state_dict() for setup in (one, other)]
    shown = [contents(setup) for setup in (one, other)]
    both = shown[0].keys() & shown[1].keys()
    orders = [[image for image in seen if image in both] for seen in shown]
    differs = {
        "init": not all(torch.equal(value, weights[1][name]) for name, value in weights[0].items()),
        "order": orders[0] != orders[1],
        "augment": any(shown[0][image] != shown[1][image] for image in both),
        "split": one.stream.split != other.stream.split or one.validation != other.validation,
    }
    return {name for name, is_different in differs.items() if is_different}


@pytest.mark.parametrize("vary", SOURCES)
def test_only_what_varies_differs_between_seeds(
    vary: Vary, tmp_path: Path, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Weights, order, crops and flips, and images, as the processes of three seeds make them."""
    load_plugin(plugin)
    suite = override(load_suite(str(small_suite)), architectures=("tiny",), seeds=(5, 0, 1), vary=vary)
    dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
    planned = plan(suite, dataset, CPU, read_environment(CPU), runs=tmp_path)
    expected = {"all": {"init", "order", "augment"}, "dropout": set()}.get(vary, {vary})
    assert [expected] * 3 == [differing(first, second) for first, second in combinations(planned, 2)]


@pytest.fixture(scope="module")
def arguments(small_folder: Path, small_suite: Path, plugin: Path) -> list[str | Path]:
    """A small network with dropout, two seeds."""
    options = ("--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--threads", "1")
    return ["run", "tiny", *options, "--seeds", "3,0"]


def test_every_source_is_run_and_reported(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], plugin: Path
) -> None:
    """The runs of the first seed are one training in six records; other seeds differ in what varies, and in no more."""
    done = intelbench(*arguments, "--vary", ",".join(SOURCES), "--cache-dir", tmp_path / "cache")
    assert 0 == done.returncode, done.stderr
    assert "small: 12 runs of 6 steps on " in done.stderr
    assert "; seeds vary all, init, order, augment, dropout, split, one at a time" in done.stderr
    assert "tiny, seed 0, only dropout varies: done in " in done.stderr
    found = runs_of(tmp_path / "results")
    assert {(vary, seed) for vary in SOURCES for seed in (3, 0)} == set(found)
    for vary in SOURCES[1:-1]:
        assert losses(found["all", 3]).tolist() == losses(found[vary, 3]).tolist()
        assert losses(found[vary, 0])[-1] != losses(found[vary, 3])[-1]
    batches = {vary: found[vary, 3].record.stream_digests == found[vary, 0].record.stream_digests for vary in SOURCES}
    assert {"init": True, "dropout": True} == {vary: same for vary, same in batches.items() if same}

    images = {(vary, seed): run.record.spec.data for (vary, seed), run in found.items()}
    assert 3 == len({facts.digest for facts in images.values()})
    assert 1 == len({facts.comparable_digest for facts in images.values()})
    validated = {key: run.traces()["validation_ids"].tolist() for key, run in found.items()}
    assert validated["split", 0] != validated["split", 3] != validated["init", 0] == validated["init", 3]
    assert 1 == len({tuple(run.traces()["test_ids"].tolist()) for run in found.values()})
    assert 1 == len(list((tmp_path / "cache" / "pixels").iterdir()))

    for vary in ("split", "dropout"):
        verified = intelbench("verify", found[vary, 0].path, "--plugin", plugin)
        assert 0 == verified.returncode, verified.stdout + verified.stderr
        assert "losses and gradient norms equal bit for bit" in verified.stdout
    assert 2 == intelbench(*arguments, "--vary", "split").stderr.count("recorded already")

    text = build(tmp_path / "results" / "runs").text
    assert "6 groups that differ in what varies between the seeds of their runs" in text
    assert "## Sources of variance" in text
    assert "what does not vary keeps seed 3." in text
    frame = ib.load(tmp_path / "results").variance()
    assert list(SOURCES) == frame["vary"].tolist()
    assert [2] * 6 == frame["num_runs"].tolist()


def test_a_suite_names_what_varies(tmp_path: Path, intelbench: Command, small_suite: Path, plugin: Path) -> None:
    """With one word or an array; a folder with a validation split has nothing that a seed could draw."""
    data = write_folder(tmp_path / "data", per_class=8, splits="train val test")
    for word, status in (('"dropout"', 0), ('["split", "init"]', 2)):
        (tmp_path / "mine.toml").write_text(f"vary = {word}\n{small_suite.read_text()}")
        done = intelbench("run", "tiny", "--suite", "mine.toml", "--data", data, "--plugin", plugin, "--seeds", "0,1")
        assert status == done.returncode, done.stderr
    assert "has a validation split, so `vary` cannot be `split`" in done.stderr
    runs, _ = read_runs(tmp_path / "results" / "runs")
    assert [("dropout", 0)] * 2 == [(run.record.spec.vary, run.record.spec.fixed_seed) for run in runs]


def runs_of(folder: Path) -> dict[tuple[Vary, int], StoredRun]:
    """By what varies and seed."""
    found, problems = read_runs(folder / "runs")
    assert [] == problems
    return {(run.record.spec.vary, run.record.spec.seed): run for run in found}


def losses(run: StoredRun) -> np.ndarray:
    """The training loss of each step."""
    return run.traces()["step_loss"]


STILL = """
from torch import nn
from intelbench import architecture

@architecture("still", minimum_size=16)
def still(request):
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.0), nn.Linear(3, request.num_classes)
    )
"""


def test_dropout_is_varied_where_there_is_some(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Networks without any are refused before anything runs; next to others they are named."""
    path = tmp_path / "still.py"
    path.write_text(STILL)
    options = [
        "--suite", small_suite, "--data", small_folder, "--plugin", path, "--plugin", plugin, "--seeds", "0,1",
        "--vary", "dropout", "--budget", "1 steps",
    ]  # fmt: skip
    refused = intelbench("run", "still", *options)
    assert 2 == refused.returncode
    assert "vary 'dropout': 1 network without dropout, so all seeds would give equal runs" in refused.stderr
    assert not (tmp_path / "results" / "runs").exists()
    both = intelbench("run", "still", "tiny", *options)
    assert 0 == both.returncode, both.stderr
    assert "vary 'dropout': still: no dropout, so their seeds give equal runs" in both.stderr


@pytest.mark.parametrize(("vary", "is_refused"), [("init", True), ("all,init", True), ("all", False)])
def test_one_seed_varies_nothing(
    intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path, vary: str, is_refused: bool
) -> None:
    """One source of variance needs two seeds; a run of one seed is a run all the same."""
    done = intelbench(
        "run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--seeds", "3", "--vary",
        vary, "--budget", "1 steps",
    )  # fmt: skip
    assert done.returncode == 2 * is_refused, done.stderr
    assert (
        f"vary {vary}: one seed, 3, so nothing varies. Expected at least 2 seeds. Try --seeds 3-12" in done.stderr
    ) == is_refused
