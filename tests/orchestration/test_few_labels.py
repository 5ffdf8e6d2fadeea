"""Runs on a few images of each class, from the command line to the report. Real processes."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from intelbench.config.suites import load_suite
from intelbench.records.store import StoredRun
from tests.command import Command
from tests.orchestration.test_transfer import with_recipe
from tests.reading import read_runs
from tests.reporting.rendered import build


def runs_of(folder: Path) -> dict[tuple[str, int | None], StoredRun]:
    """By architecture and number of images."""
    found, problems = read_runs(folder / "runs")
    assert [] == problems
    return {(run.record.spec.architecture, run.record.spec.images_per_class): run for run in found}


@pytest.fixture(scope="module")
def arguments(small_folder: Path, small_suite: Path, plugin: Path) -> list[str | Path]:
    """Two small networks on small images."""
    return ["run", "tiny", "tiny_twin", "--suite", small_suite, "--data", small_folder, "--plugin", plugin]


def test_every_number_of_images_is_run_and_reported(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], plugin: Path
) -> None:
    """The same few images for both networks, the same evaluation for all; a run can be verified, and made again."""
    done = intelbench(*arguments, "--images-per-class", "4,all")
    assert 0 == done.returncode, done.stderr
    assert "small: 4 runs of 6 steps on " in done.stderr
    assert "test images of 2 classes; trained on 4, all of each class" in done.stderr
    assert "[1/4] tiny, seed 0, 4 images a class: done in " in done.stderr
    found = runs_of(tmp_path / "results")
    assert {(name, number) for name in ("tiny", "tiny_twin") for number in (4, None)} == set(found)
    few, all_ = found["tiny", 4], found["tiny", None]
    assert {0: 4, 1: 4} == Counter(few.traces()["train_labels"].tolist())
    assert set(few.traces()["train_ids"]) < set(all_.traces()["train_ids"])
    for name in ("validation_ids", "test_ids"):
        assert few.traces()[name].tolist() == all_.traces()[name].tolist()
    assert few.record.stream_digests == found["tiny_twin", 4].record.stream_digests
    assert few.record.stream_digests[1] != all_.record.stream_digests[1]

    verified = intelbench("verify", few.path, "--plugin", plugin)
    assert 0 == verified.returncode, verified.stdout + verified.stderr
    assert "the batches of the record up to step 6; losses and gradient norms equal bit for bit" in verified.stdout
    again = intelbench(*arguments, "--images-per-class", "4,all")
    assert 4 == again.stderr.count("recorded already")

    text = build(tmp_path / "results" / "runs").text
    assert "2 groups that differ in how many images of each class their runs were trained on" in text
    assert "## Labelled images needed" in text
    assert ", 4 images of each class\n" in text
    assert "8 of 38: 4 of each class, drawn by the seed" in text
    assert "(8 training, 10 validation and 48 test images of 2 classes" in text
    assert "images_per_class = [" in text


def test_neither_the_cache_nor_features_change_the_images(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """The same batches with and without; features are computed of the few images alone."""
    with_recipe(small_suite, tmp_path, freeze_backbone="always", augmentation="none")
    options = ("--data", small_folder, "--plugin", plugin, "--images-per-class", "4", "--cache-dir", tmp_path / "cache")
    for folder, option in (("features", ()), ("uncached", ("--no-cache",))):
        done = intelbench("run", "tiny", "--suite", "changed.toml", *options, "--out", folder, *option)
        assert 0 == done.returncode, done.stderr
    first, second = (runs_of(tmp_path / folder)["tiny", 4].record for folder in ("features", "uncached"))
    assert first.stream_digests == second.stream_digests
    files = (tmp_path / "cache" / "features").iterdir()
    assert [8, 10, 48] == sorted(len(torch.load(file, weights_only=True)["values"]) for file in files)


def test_what_cannot_be_run_is_refused_before_anything_is(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], small_suite: Path
) -> None:
    """More than a class has, by its name; less than a batch, by both keys."""
    many = intelbench(*arguments, "--images-per-class", "4,20")
    assert 2 == many.returncode
    assert "class 'day' has 19 different training images; `images_per_class` is 20; give 19 at most" in many.stderr
    few = intelbench(*arguments, "--images-per-class", "3")
    assert 2 == few.returncode
    assert f"`recipe.batch_size` is {load_suite(str(small_suite)).recipe.batch_size}; give at least 4" in few.stderr
    assert not (tmp_path / "results").exists()
