"""Runs in Weights & Biases, offline: the log in the run's folder has what a server would be told."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from intelbench.api.results import load
from intelbench.errors import UserError
from intelbench.trackers.tracker import Outcome, Place, Point, TrackedRun
from intelbench.trackers.wandb import WandbTracker

_BLOCK = 32768
_HEADER = struct.Struct("<IHB")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """W&B's settings of this test alone."""
    import wandb

    for name in ("WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb.teardown()
    yield
    wandb.teardown()


def logged(folder: Path) -> Iterator[Any]:
    """The records of a `.wandb` file, which has the format of LevelDB's log."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # the process that writes the file ends
    (file,) = folder.glob("*.wandb")
    content, place, record = file.read_bytes(), 7, b""
    while place + _HEADER.size <= len(content):
        if _BLOCK - place % _BLOCK < _HEADER.size:  # the rest of the block is empty
            place += _BLOCK - place % _BLOCK
            continue
        _, length, kind = _HEADER.unpack_from(content, place)
        place += _HEADER.size
        record += content[place : place + length]
        place += length
        if kind in (1, 4):  # a whole record, or its last part
            yield Record.FromString(record)
            record = b""


def values(items: Any) -> dict[str, Any]:
    """The keys and values of the items of a record."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_publish(results: Path, tmp_path: Path) -> None:
    """A folder for each record and for the report; configuration, history, summary and exit code are in the log."""
    loaded = load(results)
    assert 4 == loaded.publish("wandb", tmp_path)
    summary = loaded.study.cohorts[0]
    folders = {path.name.split("-", 3)[3]: path for path in (tmp_path / "wandb").glob("offline-run-*")}
    assert {f"report-{summary.cohort.key}", *(run.record.run_id for run in summary.cohort.runs)} == folders.keys()
    first = summary.runs[0]
    records = list(logged(folders[first.record.run_id]))
    started = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (first.record.run_id, "intelbench", "quick") == (started.run_id, started.project, started.run_group)
    assert {"architecture": "resnet101", "seed": 0}.items() <= values(started.config.update).items()
    history = [values(record.history.item) for record in records if record.WhichOneof("record_type") == "history"]
    assert first.step_loss.tolist() == [row["loss"] for row in history if "loss" in row]
    assert [*range(1, 61)] == [row["training_step"] for row in history if "loss" in row]
    summaries = [values(record.summary.update) for record in records if record.WhichOneof("record_type") == "summary"]
    assert any(first.test_accuracy == row.get("test_accuracy") for row in summaries)
    codes = [record.exit.exit_code for name in (first.record.run_id, summary.cohort.failed[0].run_id)
             for record in logged(folders[name]) if record.WhichOneof("record_type") == "exit"]  # fmt: skip
    assert [0, 1] == codes
    assert (folders[f"report-{summary.cohort.key}"] / "files" / "REPORT.md").is_file()


def test_two_runs_at_once(place: Place) -> None:
    """As an engine with two slots has them."""
    tracker = WandbTracker(place)
    tracker.connect()
    runs = [TrackedRun(run_id=name, suite="mine", architecture=name, parameters={}) for name in ("one", "two")]
    logs = [tracker.start(run) for run in runs]
    for number, log in enumerate(logs):
        log.add([Point(1, {"progress/loss": float(number)})])
    for log in logs:
        log.end(Outcome(status="interrupted"))
    folders = sorted((place.results / "wandb").glob("offline-run-*"))
    losses = [
        values(record.history.item)["progress/loss"]
        for folder in folders
        for record in logged(folder)
        if record.WhichOneof("record_type") == "history"
    ]
    assert [0.0, 1.0] == losses


def test_without_a_login_nothing_is_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B would ask for a key on the terminal, in the middle of a session."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "online")
    wandb.teardown()
    with pytest.raises(UserError, match=r"not logged in.*`wandb login`, or set WANDB_MODE=offline"):
        WandbTracker(place)
