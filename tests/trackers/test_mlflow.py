"""Runs in MLflow, on a local SQLite store that MLflow's own client reads."""

from pathlib import Path
from typing import Any

import pytest

from intelbench.api.results import load
from intelbench.errors import UserError
from intelbench.trackers.mlflow import MlflowTracker
from intelbench.trackers.tracker import Outcome, Place, Point, TrackedRun
from tests.synthetic import Study, synthetic_runs

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own use of it
RUN = TrackedRun(run_id="resnet101-s0-abc", suite="mine", architecture="resnet101", parameters={"seed": 0})


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store, which takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'runs.db'}"


@pytest.fixture
def tracker(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowTracker:
    """A tracker that writes to the store; artifacts of experiments that it makes are in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    made = MlflowTracker(Place(results=tmp_path, given=address))
    made.connect()
    return made


def client(address: str) -> Any:
    """MLflow's client."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(address)


def runs_of(address: str, suite: str) -> dict[str, Any]:
    """The active runs of an experiment, by name."""
    reader = client(address)
    found = reader.search_runs([reader.get_experiment_by_name(suite).experiment_id])
    assert len({run.info.run_name for run in found}) == len(found)
    return {run.info.run_name: run for run in found}


def test_publish(results: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run for each record with parameters, curves, metrics and status, and the report; twice gives no second one."""
    monkeypatch.chdir(tmp_path)
    loaded = load(results)
    assert 4 == loaded.publish("mlflow", address)
    assert 4 == loaded.publish("mlflow", address)
    runs, summary = runs_of(address, "quick"), loaded.study.cohorts[0]
    assert {f"report-{summary.cohort.key}", *(run.record.run_id for run in summary.cohort.runs)} == runs.keys()
    first = summary.runs[0]
    stored = runs[first.record.run_id]
    assert "FINISHED" == stored.info.status
    assert ("resnet101", "0") == (stored.data.params["architecture"], stored.data.params["seed"])
    assert first.test_accuracy == stored.data.metrics["test_accuracy"]
    losses = client(address).get_metric_history(stored.info.run_id, "loss")
    assert list(enumerate(first.step_loss.tolist(), start=1)) == [(each.step, each.value) for each in losses]
    failed = next(run for run in runs.values() if run.info.status == "FAILED")
    assert "diverged: the training loss of step 3: not finite" == failed.data.tags["mlflow.note.content"]
    report = runs[f"report-{summary.cohort.key}"].info.run_id
    assert ["REPORT.md", "figures"] == [file.path for file in client(address).list_artifacts(report)]


def test_many_steps_and_parameters(address: str, tracker: MlflowTracker) -> None:
    """More than a server takes at once, and a value that is too long for it."""
    many = {f"key{number}": "x" * 2000 for number in range(150)}
    log = tracker.start(TrackedRun(run_id="long", suite="many", architecture="resnet101", parameters=many))
    log.add([Point(step, {"loss": 1.0}) for step in range(1, 2502)])
    log.end(Outcome(status="finished"))
    stored = runs_of(address, "many")["long"]
    assert 150 == len(stored.data.params)
    assert 2501 == len(client(address).get_metric_history(stored.info.run_id, "loss"))


def test_two_sessions_begin_a_suite_at_the_same_moment(
    address: str, tracker: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both make its experiment: the slower one uses that of the other."""
    experiment = client(address).create_experiment("new")
    find, asked = tracker._client.get_experiment_by_name, []

    def get_experiment_by_name(name: str) -> Any:
        asked.append(name)
        return None if len(asked) == 1 else find(name)

    monkeypatch.setattr(tracker._client, "get_experiment_by_name", get_experiment_by_name)
    run = TrackedRun(run_id="resnet101-s0-abc", suite="new", architecture="resnet101", parameters={})
    tracker.start(run).end(Outcome(status="finished"))
    assert experiment == client(address).get_run(runs_of(address, "new")[run.run_id].info.run_id).info.experiment_id


def test_a_run_continues_after_a_checkpoint(address: str, tracker: MlflowTracker) -> None:
    """Then the run keeps its points; one that starts again replaces the earlier one."""
    log = tracker.start(RUN)
    log.add([Point(1, {"progress/loss": 2.0})])
    log.end(Outcome(status="interrupted"))
    assert "KILLED" == runs_of(address, "mine")[RUN.run_id].info.status
    resumed = tracker.start(TrackedRun(**{**vars(RUN), "after_step": 1}))
    assert "RUNNING" == runs_of(address, "mine")[RUN.run_id].info.status
    resumed.add([Point(2, {"progress/loss": 1.0})])
    resumed.end(Outcome(status="finished"))
    stored = runs_of(address, "mine")[RUN.run_id]
    assert [1, 2] == [each.step for each in client(address).get_metric_history(stored.info.run_id, "progress/loss")]
    tracker.start(RUN).end(Outcome(status="finished"))
    assert {} == runs_of(address, "mine")[RUN.run_id].data.metrics


def test_a_server_that_cannot_be_reached(place: Place) -> None:
    """The error comes at once, before MLflow's own attempts; its message has no password."""
    tracker = MlflowTracker(Place(results=place.results, given="http://user:secret@127.0.0.1:9"))
    with pytest.raises(UserError, match=r"MLflow's server 127\.0\.0\.1:9: cannot be reached .*MLFLOW_TRACKING_URI"):
        tracker.connect()


def test_records_of_two_suites_are_two_experiments(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own runs."""
    monkeypatch.chdir(tmp_path)
    synthetic_runs(tmp_path / "runs", ["resnet101"], [0], Study(suite="first"))
    synthetic_runs(tmp_path / "runs", ["resnet101"], [0], Study(suite="second", num_test=60, data_digest="ab" * 16))
    load(tmp_path).publish("mlflow", address)
    counts = [sum(not name.startswith("report") for name in runs_of(address, suite)) for suite in ("first", "second")]
    assert [1, 1] == counts
