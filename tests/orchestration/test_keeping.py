"""Trained networks are kept as the suite says, and what cannot be kept fails no run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import prepare
from intelbench.orchestration.execute import execute
from intelbench.orchestration.job import Job, Progress
from intelbench.orchestration.keeping import _temperature
from intelbench.orchestration.plan import plan
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.environment import read_environment
from intelbench.records.kept import DRAFT, draft_folder, kept_files, kept_folder, read_kept
from intelbench.records.types import Execution
from intelbench.statistics.calibration import Temperature, fitted_temperature
from intelbench.statistics.scores import log_losses
from tests.command import Command
from tests.reading import read_runs

CPU = Execution(device="cpu", threads=1, workers=0)
MakeJobs = Callable[..., list[Job]]

EXTRAS = '''
import torch
from torch import nn
import intelbench


class WithList(nn.Linear):
    """A head with a state that is not only tensors."""

    def get_extra_state(self):
        return ["no tensor"]

    def set_extra_state(self, state):
        pass


@intelbench.architecture("with_list")
def with_list(request):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), WithList(3, request.num_classes))
'''


@pytest.fixture
def make_jobs(small_folder: Path, small_suite: Path, plugin: Path, tmp_path: Path, little_work: None) -> MakeJobs:
    """The jobs of a small suite with other keys."""
    extras = tmp_path / "extras.py"
    extras.write_text(EXTRAS)
    load_plugin(plugin)
    load_plugin(extras)

    def make(**changes: object) -> list[Job]:
        suite = override(load_suite(str(small_suite)), **{"architectures": ("tiny",), **changes})
        dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
        return [run.job for run in plan(suite, dataset, CPU, read_environment(CPU), runs=tmp_path / "results" / "runs")]

    return make


def test_a_suite_says_which_runs_compete(make_jobs: MakeJobs) -> None:
    """With `best` those on the most images and with the first word of `vary`; it renames no run."""

    def kept(**changes: object) -> dict[str, str]:
        return {job.spec.title: job.keep_weights for job in make_jobs(**changes)}

    assert {"tiny, seed 0": "best"} == kept()
    few = kept(images_per_class=(8, 16))
    assert {"tiny, seed 0, 8 images a class": "none", "tiny, seed 0, 16 images a class": "best"} == few
    few = kept(images_per_class=(8, "all"))
    assert {"tiny, seed 0, 8 images a class": "none", "tiny, seed 0": "best"} == few
    varied = kept(vary=("all", "order"))
    assert {"tiny, seed 0": "best", "tiny, seed 0, only order varies": "none"} == varied
    assert {"all"} == set(kept(images_per_class=(8, "all"), keep_weights="all").values())
    assert {"none"} == set(kept(keep_weights="none").values())
    names = {job.run_id for keep in ("best", "all", "none") for job in make_jobs(keep_weights=keep)}
    assert 1 == len(names)


def test_the_kept_weights_are_those_that_were_evaluated(make_jobs: MakeJobs) -> None:
    """With their validation accuracy, a temperature of the validation images, and all that is needed to use them."""
    (job,) = make_jobs()
    record, traces = execute(job, lambda _: None)
    file = read_kept(draft_folder(Path(job.runs), job.run_id) / DRAFT)
    labels, logits = traces["validation_labels"], traces["validation_logits"]
    assert (logits.argmax(axis=1) == labels).mean() == file.about.validation_score
    fitted = fitted_temperature(labels.astype(int), logits.astype(float))
    assert file.about.temperature == _temperature(fitted)
    assert (record.spec, record.started_at) == (file.about.spec, file.about.started_at)
    assert "best" == file.about.keep
    tensors = load_file(file.path)
    assert record.measurements.num_parameters == sum(
        value.numel() for name, value in tensors.items() if name.endswith(("weight", "bias"))
    )
    assert file.path.stat().st_mode & 0o777 == file.path.parent.stat().st_mode & 0o666


def test_weights_are_kept_by_the_metric_of_the_suite(make_jobs: MakeJobs) -> None:
    """And the file says which one; that of a plug-in, which the process of a run does not have, becomes accuracy."""
    files = []
    for metric in ("log_loss", "metric_of_a_plugin"):
        (job,) = make_jobs(metric=metric)
        _, traces = execute(job, lambda _: None)
        files.append(read_kept(draft_folder(Path(job.runs), job.run_id) / DRAFT).about)
    labels, logits = traces["validation_labels"].astype(int), traces["validation_logits"].astype(float)
    by_loss, by_accuracy = files
    assert ("log_loss", -log_losses(labels, logits).mean()) == (by_loss.validation_metric, by_loss.validation_score)
    assert "accuracy" == by_accuracy.validation_metric
    assert by_loss.run_id == by_accuracy.run_id
    assert by_loss.group != by_accuracy.group


def test_a_temperature_without_maximum_makes_no_network_too_sure() -> None:
    """It is the upper bound of the search where confidence has to fall, and none where all images are recognised."""
    assert 20.0 == _temperature(Temperature(None, 20.0))
    assert _temperature(Temperature(None, 0.05)) is None
    assert 1.5 == _temperature(Temperature(1.5))


@pytest.mark.parametrize("keep", ["none", "all"])
def test_what_is_not_asked_for_is_not_written(make_jobs: MakeJobs, keep: str) -> None:
    """Without weights there is no folder for them."""
    (job,) = make_jobs(keep_weights=keep)
    execute(job, lambda _: None)
    assert (keep == "all") == kept_folder(Path(job.runs)).exists()


def test_weights_that_cannot_be_kept_fail_no_run(make_jobs: MakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a state that is not only tensors, and a file in the place of the folder are said."""
    notes: list[str | None] = []

    def follow(progress: Progress) -> None:
        notes.append(progress.note)

    (job,) = make_jobs(architectures=("with_list",))
    assert execute(job, follow)[0].failure is None
    assert notes[-1].startswith("the trained weights are not kept: ")
    assert not draft_folder(Path(job.runs), job.run_id).exists()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (job,) = make_jobs()
    with monkeypatch.context() as patch:
        patch.setattr("intelbench.orchestration.keeping.save", full)
        assert execute(job, follow)[0].failure is None
    assert "the trained weights are not kept: [Errno 28] No space left on device" == notes[-1]
    assert not draft_folder(Path(job.runs), job.run_id).exists()
    kept_folder(Path(job.runs)).rmdir()
    kept_folder(Path(job.runs)).write_text("in the way")
    assert execute(job, follow)[0].failure is None
    assert "the trained weights are not kept" in notes[-1]


def test_a_diverged_run_keeps_none(make_jobs: MakeJobs) -> None:
    """It has no network that anybody would use."""
    (job,) = make_jobs(architectures=("diverges",))
    assert "diverged" == execute(job, lambda _: None)[0].failure.cause
    assert not kept_folder(Path(job.runs)).exists()


def test_a_session_keeps_the_best_seed_and_says_so(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """With the size on the disk, and how to use it. All runs keep theirs if asked for; the records are the same."""
    shutil.copy(plugin, tmp_path / "mine.py")
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", "mine.py", "--threads", "1")
    done = intelbench("run", *arguments, "--seeds", "0-2")
    assert 0 == done.returncode, done.stderr
    runs = tmp_path / "results" / "runs"
    best = {}
    for stored in read_runs(runs)[0]:
        traces, spec = stored.traces(), stored.record.spec
        score = (traces["validation_predictions"][-1] == traces["validation_labels"]).mean()
        best[spec.architecture] = max(best.get(spec.architecture, (-1.0, 0)), (float(score), -spec.seed))
    files = {file.about.spec.architecture: file for file in kept_files(runs)}
    assert {name: -seed for name, (_, seed) in best.items()} == {name: f.about.spec.seed for name, f in files.items()}
    megabytes = sum(file.num_bytes for file in files.values()) / 1e6
    kept = f"2 trained networks ({megabytes:,.1f} MB) in results/weights; "
    assert f"{kept}intelbench predict results IMAGES --plugin mine.py uses them" in done.stderr
    assert "now: intelbench report results > results/REPORT.md" in done.stderr

    every = intelbench("run", *arguments, "--seeds", "0-2", "--keep-weights", "all", "--out", "every")
    assert 0 == every.returncode, every.stderr
    assert 6 == len(list(kept_files(tmp_path / "every" / "runs")))
    assert {path.name for path in runs.iterdir()} == {path.name for path in (tmp_path / "every" / "runs").iterdir()}
    for name, file in files.items():
        again = load_file(tmp_path / "every" / "weights" / file.path.name)
        assert all(torch.equal(value, again[key]) for key, value in load_file(file.path).items()), name


def test_weights_of_a_run_that_is_made_again_without_them_are_removed(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path
) -> None:
    """They belong to a record that is no longer there."""
    arguments = ("run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin)
    assert 0 == intelbench(*arguments).returncode
    (file,) = kept_files(tmp_path / "results" / "runs")
    path = tmp_path / "results" / "runs" / file.about.run_id / "record.json"
    record = msgspec.json.decode(path.read_bytes())
    again = intelbench(*arguments, "--rerun", "all", "--keep-weights", "none")
    assert 0 == again.returncode
    assert record["started_at"] != msgspec.json.decode(path.read_bytes())["started_at"]
    assert [] == list(kept_files(tmp_path / "results" / "runs"))
    assert "trained network" not in again.stderr
