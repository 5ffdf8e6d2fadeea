"""Predictions of every run for every test image, as frames and as CSV."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from intelbench.api.results import load
from intelbench.errors import UserError
from tests.command import Command
from tests.reading import read_runs
from tests.synthetic import CLASSES, Study, failure, synthetic_runs


def test_the_csv_has_every_finished_run_and_every_test_image(tmp_path: Path, intelbench: Command) -> None:
    """As recorded: a failed run has no row, and the report is printed as without the option."""
    study = Study(failures={("b", 1): failure("killed", "the process was killed by SIGKILL", None)}, num_test=20)
    synthetic_runs(tmp_path / "results" / "runs", ["a", "b"], [0, 1], study)
    done = intelbench("report", "--predictions", "out/predictions.csv")
    assert 0 == done.returncode, done.stderr
    assert intelbench("report").stdout == done.stdout
    frame = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert {("a", 0), ("a", 1), ("b", 0)} == set(zip(frame["architecture"], frame["seed"], strict=True))
    for run in read_runs(tmp_path / "results" / "runs")[0]:
        rows = frame[frame["run_id"] == run.record.run_id]
        if run.record.failure:
            assert rows.empty
            continue
        traces = run.traces()
        assert traces["test_ids"].tolist() == rows["image"].tolist()
        assert [CLASSES[label] for label in traces["test_labels"]] == rows["label"].tolist()
        assert [CLASSES[label] for label in traces["test_logits"].argmax(axis=1)] == rows["predicted"].tolist()
        shares = softmax(traces["test_logits"].astype(float), axis=1)
        np.testing.assert_allclose(shares, rows[[f"probability_{name}" for name in CLASSES]], rtol=1e-5)
        np.testing.assert_allclose(shares.max(axis=1), rows["confidence"], rtol=1e-5)


def test_cohorts_with_other_classes_share_a_file(tmp_path: Path, intelbench: Command) -> None:
    """A class that a cohort does not have is empty in its rows."""
    synthetic_runs(tmp_path / "results" / "runs", ["a"], [0, 1], Study(num_test=10))
    other = Study(num_test=10, class_names=("forest", "desert"), data_digest="ab" * 16)
    synthetic_runs(tmp_path / "results" / "runs", ["a"], [0], other)
    assert 0 == intelbench("report", "--predictions", "p.csv").returncode
    frame = pd.read_csv(tmp_path / "p.csv")
    assert [f"probability_{name}" for name in (*CLASSES, "desert")] == list(frame.columns[8:])
    by_cohort = frame.groupby("cohort")["probability_desert"].count()
    assert {0, 10} == set(by_cohort)


def test_a_frame_of_probabilities_has_the_dtypes_of_the_others(tmp_path: Path) -> None:
    """Of the largest cohort, or of the one that is named; without a finished run it is an error."""
    synthetic_runs(tmp_path / "runs", ["a", "b"], [0, 1], Study(num_test=10))
    frame = load(tmp_path).probabilities()
    assert 40 == len(frame)
    assert ["string", "string", "string", "Int64", "string", "category", "category", "Float64"] == [
        str(kind) for kind in frame.dtypes[:8]
    ]
    with pytest.raises(UserError, match="cohort 'x' is not known"):
        load(tmp_path).probabilities("x")
    failed = {("a", 0): failure("killed", "the process was killed by SIGKILL", None)}
    synthetic_runs(tmp_path / "failed" / "runs", ["a"], [0], Study(failures=failed))
    with pytest.raises(UserError, match="no run has finished"):
        load(tmp_path / "failed").probabilities()
