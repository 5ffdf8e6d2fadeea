"""`intelbench run` from the command line to the records, on small images. Every run has a real process."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import torch

from intelbench.records.store import StoredRun
from intelbench.records.workspace import workspaces
from tests.command import Command, start
from tests.conftest import write_folder, write_image
from tests.reading import read_runs


def runs_of(results: Path) -> dict[tuple[str, int], StoredRun]:
    found, problems = read_runs(results / "runs")
    assert [] == problems
    return {(stored.record.spec.architecture, stored.record.spec.seed): stored for stored in found}


@pytest.fixture(scope="module")
def arguments(small_folder: Path, small_suite: Path, plugin: Path) -> list[str | Path]:
    """A small suite on small images with small networks."""
    return ["--suite", small_suite, "--data", small_folder, "--plugin", plugin]


class Session(NamedTuple):
    """A session of two networks and two seeds, whose command had a process of its own."""

    stderr: str
    results: Path


@pytest.fixture(scope="module")
def session(
    tmp_path_factory: pytest.TempPathFactory, command_variables: dict[str, str], arguments: list[str | Path]
) -> Session:
    """A finished session, which tests read or copy."""
    folder = tmp_path_factory.mktemp("session")
    with start(["run", "tiny", "tiny_twin", *arguments, "--seeds", "0,1"], folder, command_variables) as process:
        _, said = process.communicate(timeout=300)
    assert 0 == process.returncode, said
    return Session(said, folder / "results")


def test_a_suite_leaves_a_record_a_run_and_the_same_command_skips_them(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], session: Session
) -> None:
    """Every run has its record; asked again nothing runs, with --rerun all everything does, to the same bits."""
    shutil.copytree(session.results, tmp_path / "results")
    found = runs_of(tmp_path / "results")
    assert {("tiny", 0), ("tiny", 1), ("tiny_twin", 0), ("tiny_twin", 1)} == set(found)
    assert "4 of 4 runs succeeded" in session.stderr
    profiles = {key: each.record.profile for key, each in found.items()}
    assert profiles["tiny", 0] is not None
    assert profiles["tiny", 0] == profiles["tiny", 1]
    assert "tiny_twin" == profiles["tiny_twin", 0].architecture
    assert 2 == session.stderr.count(": profiling")

    second = intelbench("run", "tiny", "tiny_twin", *arguments, "--seeds", "0,1", "--metric", "test_cross_entropy")
    assert 0 == second.returncode
    assert 4 == second.stderr.count("recorded already")
    assert (
        "metric log_loss: not recorded, because all runs were recorded before, with metric accuracy. Try intelbench "
        "report results --metric log_loss"
    ) in second.stderr
    assert {key: each.record for key, each in found.items()} == {
        key: each.record for key, each in runs_of(tmp_path / "results").items()
    }

    losses = found["tiny", 0].traces()["step_loss"]
    logits = found["tiny", 0].traces()["test_logits"]
    third = intelbench("run", "tiny", *arguments, "--seeds", "0", "--rerun", "all")
    assert 0 == third.returncode
    again = runs_of(tmp_path / "results")["tiny", 0].traces()
    assert losses.tobytes() == again["step_loss"].tobytes()
    assert logits.tobytes() == again["test_logits"].tobytes()


def test_a_metric_that_cannot_rank_is_refused_before_anything_runs(
    intelbench: Command, arguments: list[str | Path], tmp_path: Path
) -> None:
    """Top-5 accuracy of two classes is always 1."""
    done = intelbench("run", "tiny", *arguments, "--metric", "top5")
    assert 2 == done.returncode
    assert "metric 'top5': not defined for 2 classes, it needs at least 20. Expected one of: accuracy" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_record_holds_what_the_documentation_promises(session: Session) -> None:
    """Arrays by name and shape, digests at powers of two and at evaluation points, measurements that fit each other."""
    stored = runs_of(session.results)["tiny", 0]
    record, traces = stored.record, stored.traces()
    data = record.spec.data
    assert (38, 10, 48) == (data.num_train, data.num_validation, data.num_test)
    assert {1, 2, 3, 4, 6} == set(record.stream_digests)
    measured = record.measurements
    assert (6, 1) == (measured.num_steps, measured.num_warmup_steps)
    parameters = 3 * 8 * 9 + 8 + 2 * 8 + 8 * 2 + 2
    assert (parameters, parameters) == (measured.num_parameters, measured.num_trainable_parameters)
    assert measured.training_seconds == pytest.approx(traces["step_seconds"].sum() + traces["data_wait_seconds"].sum())
    assert measured.training_seconds < measured.total_seconds
    assert measured.peak_memory.cuda_allocated_bytes is None
    assert 0 < measured.first_step_seconds
    assert measured.reference_kernels.convolution_flops > measured.reference_kernels.matmul_flops > 0
    assert measured.contention.seconds > measured.training_seconds
    assert measured.energy.seconds >= measured.contention.seconds
    assert (measured.energy.joules is None) == (measured.energy.absent is not None)
    assert [8] == [memory.batch_size for memory in record.profile.memory]
    assert [8] == [memory.batch_size for memory in record.profile.measured]
    assert record.profile.measured[0].peak is not None
    assert record.profile_absent is None
    assert (parameters, measured.training_flops_per_image) == (
        record.profile.num_parameters, record.profile.training_flops_per_image
    )  # fmt: skip
    assert [2, 3, 4, 5, 6] == traces["step_breakdown_step"].tolist()
    readings = traces["contention_step"]
    assert {3, 6} <= set(readings.tolist())
    assert (8, 10) == (measured.filter_gradients.num_filters, measured.filter_gradients.num_images)
    assert {
        "step_loss": (6,), "step_seconds": (6,), "data_wait_seconds": (6,), "gradient_norm": (6,),
        "learning_rate": (6,),
        "evaluation_step": (2,), "evaluation_seconds": (2,), "validation_loss": (2,),
        "validation_ids": (10,), "validation_labels": (10,), "validation_predictions": (2, 10),
        "validation_logits": (10, 2),
        "activation_sites": (1,), "activation_units": (1,), "activation_dead_share": (2, 1),
        "activation_positive_share": (2, 1), "activation_mean": (2, 1),
        "train_ids": (38,), "train_labels": (38,), "train_logits": (38, 2),
        "test_ids": (48,), "test_labels": (48,), "test_logits": (48, 2),
        "reference_kernel_step": (3,), "reference_kernel_convolution_seconds": (3, 5),
        "reference_kernel_matmul_seconds": (3, 5), "reference_kernel_exchange_seconds": (3, 5),
        **{name: readings.shape for name in traces if name.startswith("contention_")},
        "step_breakdown_step": (5,), "step_breakdown_parts": (7,), "step_breakdown_seconds": (5, 7),
    } == {name: values.shape for name, values in traces.items()}  # fmt: skip
    assert [3, 6] == traces["evaluation_step"].tolist()
    assert [0, 3, 6] == traces["reference_kernel_step"].tolist()
    assert all(name.startswith("test/") for name in traces["test_ids"])


def test_architecture_threads_workers_and_cache_leave_the_stream_as_it_is(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], session: Session
) -> None:
    """Equal digests at every step, whatever trains and however the batches are prepared; another seed differs."""
    finished = runs_of(session.results)
    runs = [finished["tiny", 0], finished["tiny_twin", 0]]
    for number, way in enumerate((["--workers", "3"], ["--threads", "1"], ["--no-cache"])):
        done = intelbench("run", "tiny", *way, *arguments, "--out", f"way-{number}")
        assert 0 == done.returncode, done.stderr
        runs += runs_of(tmp_path / f"way-{number}").values()
    digests = [msgspec.json.encode(stored.record.stream_digests) for stored in runs]
    assert 5 == len(digests)
    assert 1 == len(set(digests))
    assert msgspec.json.encode(finished["tiny", 1].record.stream_digests) not in digests


def test_a_budget_of_seconds_stops_in_time_and_shares_the_stream_of_a_longer_run(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path]
) -> None:
    """The clock is checked after each step, and the digests agree wherever both runs have one."""
    assert 0 == intelbench("run", "tiny", *arguments, "--budget", "0.5 s", "--out", "a").returncode
    assert 0 == intelbench("run", "tiny", *arguments, "--budget", "40 steps", "--out", "b").returncode
    by_time = runs_of(tmp_path / "a")["tiny", 0].record
    by_steps = runs_of(tmp_path / "b")["tiny", 0].record
    assert by_time.measurements.training_seconds >= 0.5
    common = set(by_time.stream_digests) & set(by_steps.stream_digests)
    assert {1, 2, 4, 8} <= common
    assert all(by_time.stream_digests[step] == by_steps.stream_digests[step] for step in common)


def test_unreadable_images_stop_the_run_unless_they_are_to_be_skipped(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """First a message that names each file and what to do; then a record that says how many were left out."""
    folder = tmp_path / "some data ünïcode"
    for split, name in (("train", "day"), ("train", "night"), ("test", "day"), ("test", "night")):
        for index in range(20):
            seed = index + 100 * len(split) + 1000 * len(name)
            write_image(folder / split / name / f"{index}.png", seed=seed)
    (folder / "train" / "day" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "train" / "day" / "notes.txt").write_text("no image")
    (folder / "more").mkdir()
    stopped = intelbench("run", "tiny", "--suite", small_suite, "--data", folder, "--plugin", plugin)
    assert 2 == stopped.returncode
    assert "train/day/broken.jpg: " in stopped.stderr
    assert "--skip-unreadable" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (tmp_path / "results").exists()
    skipped = intelbench(
        "run", "tiny", "--suite", small_suite, "--data", folder, "--plugin", plugin, "--skip-unreadable"
    )  # fmt: skip
    assert 0 == skipped.returncode, skipped.stderr
    facts = runs_of(tmp_path / "results")["tiny", 0].record.spec.data
    assert (1, 1) == (facts.num_unreadable, facts.num_other_files)
    assert "of 2 classes; 1 other file in class folders not used (`intelbench data check` lists them)" in skipped.stderr
    assert f"data {folder}: not used: more" in skipped.stderr


def test_a_data_folder_that_changed_between_two_sessions_makes_two_groups(
    tmp_path: Path, intelbench: Command, small_suite: Path, plugin: Path
) -> None:
    """One image is another: the same command runs again, and the report compares nothing across and says why."""
    folder = write_folder(tmp_path / "data", per_class=20)
    arguments = ["tiny", "--suite", small_suite, "--data", folder, "--plugin", plugin]
    assert 0 == intelbench("run", *arguments).returncode
    write_image(folder / "train" / "day" / "003.png", seed=4242)
    again = intelbench("run", *arguments)
    assert 0 == again.returncode
    assert "recorded already" not in again.stderr
    records = [stored.record for stored in read_runs(tmp_path / "results" / "runs")[0]]
    assert 2 == len(records) == len({record.spec.data.digest for record in records})
    report = intelbench("report").stdout
    assert "fall into 2 groups that must not be compared with each other: they differ in `data.digest`" in report


VANDAL = '''
"""A network that destroys what it is told to as soon as it is built, which is after the session has read its data."""

import shutil
from pathlib import Path

from torch import nn

from intelbench import architecture


@architecture("vandal", minimum_size=16)
def vandal(request):
    order = Path(__file__).with_name("destroy")
    if order.exists():
        shutil.rmtree(order.read_text(), ignore_errors=True)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, request.num_classes))
'''


@pytest.mark.parametrize(
    ("options", "target", "says"),
    [
        (["--cache-dir", "cache"], "cache", "index is missing; the next `intelbench run` builds it again"),
        (["--no-cache"], "data/train/day", "cannot be read any more (No such file or directory)"),
    ],
)
def test_data_that_vanish_during_a_session_fail_the_run_by_name(
    tmp_path: Path, intelbench: Command, small_suite: Path, options: list[str], target: str, says: str
) -> None:
    """The cache, or without it the images: a record that says which; with them back, --rerun failed mends it."""
    folder = write_folder(tmp_path / "data", per_class=20)
    (tmp_path / "vandal.py").write_text(VANDAL)
    arguments = ["run", "vandal", "--suite", small_suite, "--data", folder, "--plugin", "vandal.py", *options]
    (tmp_path / "destroy").write_text(str(tmp_path / target))
    first = intelbench(*arguments)
    assert 1 == first.returncode, first.stderr
    failure = runs_of(tmp_path / "results")["vandal", 0].record.failure
    assert failure is not None
    assert str(tmp_path / target) in failure.message
    assert says in failure.message
    assert "Traceback" not in first.stderr
    (tmp_path / "destroy").unlink()
    write_folder(tmp_path / "data", per_class=20)
    second = intelbench(*arguments, "--rerun", "failed")
    assert 0 == second.returncode, second.stderr
    assert runs_of(tmp_path / "results")["vandal", 0].record.failure is None


def test_a_damaged_cache_is_built_again_and_said(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path]
) -> None:
    """One line on stderr, and the run sees the pixels that it would have seen: no bit of its losses differs."""
    assert 0 == intelbench("run", "tiny", *arguments, "--cache-dir", "cache", "--out", "a").returncode
    (pixels,) = tmp_path.glob("cache/pixels/*/pixels.bin")
    with pixels.open("r+b") as file:
        file.write(bytes(1000))
    damaged = intelbench("run", "tiny", *arguments, "--cache-dir", "cache", "--out", "b")
    assert 0 == damaged.returncode, damaged.stderr
    said = f"cache cache/pixels/{pixels.parent.name}: pixels.bin was changed; built again"
    assert 1 == damaged.stderr.splitlines().count(said)
    losses = [runs_of(tmp_path / out)["tiny", 0].traces()["step_loss"].tobytes() for out in "ab"]
    assert losses[0] == losses[1]


def test_records_become_a_report_in_three_forms(tmp_path: Path, intelbench: Command, session: Session) -> None:
    """Markdown whose figures exist, JSON and CSV with the same architectures; the same command, the same bytes."""
    shutil.copytree(session.results, tmp_path / "results", ignore=shutil.ignore_patterns("*-s1-*"))
    first, second = intelbench("report"), intelbench("report", "results/runs")
    assert 0 == first.returncode, first.stderr
    assert first.stdout == second.stdout
    links = [part.partition(")")[0] for part in first.stdout.split("](")[1:] if part.startswith("figures/")]
    names = {Path(link).stem.rpartition("-")[0] for link in links}  # the last word is the group of records
    assert {"cost", "confusion-tiny", "confusion-tiny_twin"} == names
    assert all((tmp_path / "results" / link).is_file() for link in links)
    assert 0 == intelbench("report", "--out", "report.json").returncode
    as_json = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    assert 1 == len(as_json["cohorts"])
    assert 0 == intelbench("report", "--out", "report.csv").returncode
    assert "tiny_twin" in (tmp_path / "report.csv").read_text("utf-8")


def test_two_commands_on_one_folder_share_the_work(
    tmp_path: Path, intelbench: Command, command_variables: dict[str, str], arguments: list[str | Path]
) -> None:
    """Each run is made once, by one of them; both end well, and both know of all records."""
    arguments = ["run", "tiny", *arguments, "--threads", "1", "--seeds", "0,1,2"]
    with start(arguments, tmp_path, command_variables) as first:
        said = first.stderr.readline()  # its first run begins
        second = intelbench(*arguments)
        said += first.stderr.read() + second.stderr
    assert (0, 0) == (first.returncode, second.returncode), said
    assert {("tiny", 0), ("tiny", 1), ("tiny", 2)} == set(runs_of(tmp_path / "results"))
    assert 3 == said.count(": done in ")
    assert 2 == said.splitlines().count("3 of 3 runs succeeded; records in results/runs")


def test_a_run_is_not_resumed_under_other_conditions(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path]
) -> None:
    """The message says what changed and what to do; --rerun interrupted restarts the run; other suites are free."""
    arguments = [*arguments, "--checkpoint", "evaluations"]
    assert 1 == intelbench("run", "raises_late", *arguments, "--threads", "1").returncode
    (left,) = workspaces(tmp_path / "results" / "runs")
    assert 3 == left.checkpoint().step
    other = intelbench("run", "raises_late", *arguments, "--threads", "2")
    assert 2 == other.returncode
    assert "raises_late, seed 0, after step 3: execution.threads was 1, is 2" in other.stderr
    assert "--rerun interrupted" in other.stderr
    assert 0 == intelbench("run", "tiny", *arguments, "--threads", "2").returncode
    assert [left] == workspaces(tmp_path / "results" / "runs")
    restarted = intelbench(
        "run", "raises_late", *arguments, "--threads", "2", "--rerun", "interrupted", "--checkpoint", "never"
    )
    assert 1 == restarted.returncode
    assert [] == workspaces(tmp_path / "results" / "runs")


@pytest.mark.parametrize("few", [(), ("--images-per-class", "4")])
def test_a_failed_run_goes_on_from_its_checkpoint(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path], plugin: Path, few: tuple[str, ...]
) -> None:
    """With --rerun failed, once its cause is gone, to the bits of a run that never failed; also one on a few images."""
    arguments = [*arguments, "--checkpoint", "evaluations", *few]
    plugin.with_name("raises").touch()
    failed = intelbench("run", "raises_once", *arguments)
    plugin.with_name("raises").unlink()
    assert 1 == failed.returncode
    retried = intelbench("run", "raises_once", *arguments, "--rerun", "failed")
    assert 0 == retried.returncode, retried.stderr
    assert "resumes after step 3" in retried.stderr
    stored = runs_of(tmp_path / "results")["raises_once", 0]
    assert (3,) == stored.record.measurements.resumed_after
    assert {3, 6} <= set(stored.traces()["contention_step"].tolist())
    assert 0 == intelbench("run", "raises_once", *arguments, "--out", "whole").returncode
    whole = runs_of(tmp_path / "whole")["raises_once", 0]
    for name in ("step_loss", "gradient_norm", "validation_predictions", "test_logits"):
        np.testing.assert_array_equal(whole.traces()[name], stored.traces()[name])
    assert whole.record.stream_digests == stored.record.stream_digests


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_on_a_gpu_measures_its_memory_and_repeats_to_the_bit(
    tmp_path: Path, intelbench: Command, small_suite: Path, small_folder: Path, plugin: Path, precision: str
) -> None:
    """CUDA's own counters are in the record, and two runs of one spec give equal losses."""
    suite = tmp_path / "gpu.toml"
    suite.write_text(f'precision = "{precision}"\n' + small_suite.read_text())
    losses = []
    for out in ("a", "b"):
        done = intelbench(
            "run", "tiny", "--suite", suite, "--data", small_folder, "--plugin", plugin,
            "--device", "cuda", "--out", out,
        )  # fmt: skip
        assert 0 == done.returncode, done.stderr
        stored = runs_of(tmp_path / out)["tiny", 0]
        assert torch.cuda.get_device_name(0) == stored.record.environment.device_name
        assert stored.record.measurements.peak_memory.cuda_allocated_bytes > 0
        assert stored.record.measurements.peak_memory.process_bytes is None
        losses.append(stored.traces()["step_loss"])
    assert np.array_equal(*losses)


def test_a_mistake_in_a_key_of_the_suite_names_the_file(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path
) -> None:
    """For an architecture and for the metric; the same name given as an argument or option names neither."""
    text = small_suite.read_text()
    (tmp_path / "metric.toml").write_text(f'metric = "balanced"\n{text}')
    names = re.compile(r"^architectures = .*$", re.MULTILINE)
    (tmp_path / "names.toml").write_text(names.sub('architectures = ["resnet_18"]', text))
    for arguments, said in (
        (("resnet18", "--suite", "metric.toml"), "suite metric.toml: key `metric`: metric 'balanced': not known."),
        (("--suite", "names.toml"), "suite names.toml: key `architectures`: architecture 'resnet_18' is not known."),
        (("resnet_18", "--suite", "names.toml"), "intelbench: architecture 'resnet_18' is not known."),
        (("resnet18", "--suite", "metric.toml", "--metric", "bal"), "intelbench: metric 'bal': not known."),
    ):
        done = intelbench("run", *arguments, "--data", small_folder)
        assert 2 == done.returncode
        assert said in done.stderr
