"""Kept weights: one file for the best run of an architecture, complete or not there, and read strictly."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from intelbench.errors import UserError
from intelbench.records import kept
from intelbench.records.kept import (
    DRAFT,
    METADATA,
    KeptWeights,
    draft_folder,
    group_of,
    is_best,
    kept_files,
    kept_folder,
    kept_path,
    publish,
    read_kept,
    settle,
)
from intelbench.records.locks import hold
from intelbench.records.store import read_run, write_run
from intelbench.records.types import RunRecord
from intelbench.records.workspace import Workspace
from tests.synthetic import Study, failure, synthetic_run

Keep = Callable[..., KeptWeights]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder of the records."""
    return tmp_path / "results" / "runs"


def described(record: RunRecord, score: float, metric: str = "accuracy", **changes: object) -> KeptWeights:
    """The metadata of the weights of a run."""
    about = KeptWeights(
        run_id=record.run_id,
        started_at=record.started_at,
        spec=record.spec,
        group=group_of(record, metric),
        keep="best",
        validation_metric=metric,
        validation_score=score,
        temperature=1.5,
    )
    return msgspec.structs.replace(about, **changes)


def write(path: Path, about: KeptWeights | str) -> None:
    """A file of one tensor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = about if isinstance(about, str) else msgspec.json.encode(about).decode()
    save_file({"weight": np.arange(3.0)}, path, {METADATA: text})


@pytest.fixture
def keep(runs: Path) -> Keep:
    """Leave the record and the weights of a run, as its process does."""

    def keep(
        seed: int, score: float, *, architecture: str = "resnet101", study: Study | None = None, **changes: object
    ):
        record, traces = synthetic_run(architecture, seed, study or Study())
        about = described(record, score, **changes)
        if about.keep == "all" or is_best(runs, about):
            write(draft_folder(runs, about.run_id) / DRAFT, about)
        write_run(runs, record, traces)
        publish(runs, about.run_id)
        return about

    return keep


def names(runs: Path) -> set[str]:
    """Everything in the folder of the kept weights."""
    return {path.name for path in kept_folder(runs).iterdir()}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_the_best_seed_keeps_its_weights_whatever_the_order(runs: Path, keep: Keep, order: tuple[int, ...]) -> None:
    """Of equal scores the lower seed; another architecture competes with itself alone."""
    scores = {0: 0.5, 1: 0.75, 2: 0.75}
    abouts = {seed: keep(seed, scores[seed]) for seed in order}
    other = keep(0, 0.25, architecture="resnet152")
    assert names(runs) == {f"{about.run_id}.safetensors" for about in (abouts[1], other)}
    assert {abouts[1].run_id: abouts[1], other.run_id: other} == {
        file.about.run_id: file.about for file in kept_files(runs)
    }


def test_a_run_that_is_not_the_best_writes_nothing(runs: Path, keep: Keep) -> None:
    """It is known before the file is written."""
    best = keep(0, 0.5)
    record, _ = synthetic_run("resnet101", 1, Study())
    assert not is_best(runs, described(record, 0.25))
    assert not is_best(runs, described(record, 0.5))
    assert is_best(runs, described(record, 0.75))
    assert is_best(runs, msgspec.structs.replace(best, validation_score=0.1))


def test_runs_under_other_conditions_do_not_compete(runs: Path, keep: Keep) -> None:
    """Their networks are not alternatives of each other: other data, recipe, machine, or number of images."""
    studies = (Study(), Study(data_digest="ab" * 16), Study(torch="2.12.0"), Study(images_per_class=5))
    for place, study in enumerate(studies):
        keep(0, 0.5 + place / 10, study=study)
    assert len(studies) == len(names(runs))


def test_scores_of_different_metrics_do_not_compete(runs: Path, keep: Keep) -> None:
    """A log loss of -0.1 is neither better nor worse than an accuracy of 0.5."""
    keep(0, -0.2, metric="log_loss")
    by_accuracy, by_loss = keep(1, 0.5), keep(2, -0.1, metric="log_loss")
    assert names(runs) == {f"{about.run_id}.safetensors" for about in (by_accuracy, by_loss)}


def test_weights_that_a_suite_wanted_all_of_stay(runs: Path, keep: Keep) -> None:
    """Also when a later run that keeps only the best is better; they count when the best is found."""
    worst, better = keep(0, 0.25, keep="all"), keep(1, 0.5, keep="all")
    assert names(runs) == {f"{about.run_id}.safetensors" for about in (worst, better)}
    keep(2, 0.4)
    best = keep(3, 0.75)
    assert names(runs) == {f"{about.run_id}.safetensors" for about in (worst, better, best)}


def test_a_draft_is_published_only_with_the_record_that_it_belongs_to(runs: Path, keep: Keep) -> None:
    """A run that was killed before its record leaves nothing, one that was killed after it leaves its weights."""
    record, traces = synthetic_run("resnet101", 0, Study())
    draft = draft_folder(runs, record.run_id)
    runs.mkdir(parents=True)
    write(draft / DRAFT, described(record, 0.5))
    settle(runs)
    assert set() == names(runs)
    write(draft / DRAFT, described(record, 0.5, started_at="2026-01-01T00:00:00+00:00 earlier"))
    write_run(runs, record, traces)
    settle(runs)
    assert set() == names(runs)
    write(draft / DRAFT, described(record, 0.5))
    (draft / ".tmp123456").write_bytes(b"part")
    settle(runs)
    assert {kept_path(runs, record.run_id).name} == names(runs)


def test_a_draft_of_a_running_run_is_left_alone(runs: Path) -> None:
    """Its process holds the lock of the run."""
    record, _ = synthetic_run("resnet101", 0, Study())
    draft = draft_folder(runs, record.run_id)
    write(draft / DRAFT, described(record, 0.5))
    with Workspace(runs, record.run_id).lock():
        settle(runs)
        assert (draft / DRAFT).exists()
    settle(runs)
    assert not draft.exists()


def test_weights_go_with_the_record_that_is_replaced(runs: Path, keep: Keep) -> None:
    """By a failure, or by a record without weights; while the record is away they wait for it."""
    about = keep(0, 0.5)
    aside = runs.with_name("aside")
    (runs / about.run_id).rename(aside)
    settle(runs)
    assert kept_path(runs, about.run_id).exists()
    aside.rename(runs / about.run_id)
    record = read_run(runs / about.run_id).record
    cause = failure("killed", "the process was killed by SIGKILL", None)
    write_run(runs, msgspec.structs.replace(record, measurements=None, failure=cause), {})
    settle(runs)
    assert set() == names(runs)


def test_files_are_compared_and_moved_under_a_lock(runs: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that two runs that end at once never remove each other's weights."""
    about = keep(0, 0.5)
    write(draft_folder(runs, about.run_id) / DRAFT, about)
    moved = []

    def move_under_lock(source: Path, target: Path) -> None:
        assert hold(kept_folder(runs)) is None
        moved.append(source.replace(target))

    monkeypatch.setattr(kept, "move", move_under_lock)
    publish(runs, about.run_id)
    assert [kept_path(runs, about.run_id)] == moved
    lock = hold(kept_folder(runs))
    assert lock is not None
    lock.release()


def test_hidden_files_of_others_are_left_alone(runs: Path, keep: Keep) -> None:
    """Those of systems and notebooks, and a link in the place of a draft."""
    about = keep(0, 0.5)
    folder = kept_folder(runs)
    (folder / ".DS_Store").write_text("of a system")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "mine.ipynb").write_text("{}")
    (folder / ".link").symlink_to(runs)
    settle(runs)
    assert {".DS_Store", ".ipynb_checkpoints", ".link", f"{about.run_id}.safetensors"} == names(runs)
    assert (folder / ".ipynb_checkpoints" / "mine.ipynb").exists()


def test_without_weights_there_is_nothing_to_do(runs: Path) -> None:
    """And no folder is created."""
    settle(runs)
    publish(runs, "nothing")
    assert [] == list(kept_files(runs))
    assert not kept_folder(runs).exists()


def changed(about: KeptWeights, **changes: object) -> str:
    """The metadata with other values, which need not be accepted."""
    return msgspec.json.encode(msgspec.to_builtins(about) | changes).decode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format_version": 2}, "format_version is 2, this intelbench reads 1"),
        ({"temperature": 0}, "key `temperature`: 0 is not accepted"),
        ({"keep": "none"}, "key `keep`: 'none' is not accepted"),
        ({"validation_score": "high"}, "key `validation_score`: 'high' is not accepted"),
        ({"more": 1}, "key `more`: not known"),
        ({"spec": {}}, "key `spec.architecture`: missing"),
    ],
)
def test_metadata_is_read_strictly(runs: Path, keep: Keep, changes: dict[str, object], said: str) -> None:
    """A fault is named with its key."""
    path = kept_path(runs, keep(0, 0.5).run_id)
    write(path, changed(read_kept(path).about, **changes))
    with pytest.raises(UserError, match=said):
        read_kept(path)
    assert [] == list(kept_files(runs))


def test_another_file_is_no_kept_weights(runs: Path, keep: Keep, tmp_path: Path) -> None:
    """Missing, damaged, a pipe, tensors of somebody else, or under the name of another run."""
    path = kept_path(runs, keep(0, 0.5).run_id)
    content = path.read_bytes()
    shutil.copy(path, path.with_name("another-name.safetensors"))
    assert [path] == [file.path for file in kept_files(runs)]
    for damaged in (b"", b"\xff" * 8 + b"{}", content[:-1], content[:20]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            read_kept(path)
    save_file({"weight": np.zeros(1)}, path)
    with pytest.raises(UserError, match="its metadata has no `intelbench`"):
        read_kept(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a plain file"):
        read_kept(tmp_path / "pipe")
    with pytest.raises(UserError, match="No such file"):
        read_kept(tmp_path / "missing")


def test_a_file_that_never_was_of_weights_is_not_to_be_removed(tmp_path: Path) -> None:
    """The message says which files are."""
    other = tmp_path / "env.sh"
    other.write_text("export A=1")
    with pytest.raises(UserError, match=r"env\.sh: not a file of weights\. Expected a file weights/RUN_ID") as raised:
        read_kept(other)
    assert "Remove" not in str(raised.value)
