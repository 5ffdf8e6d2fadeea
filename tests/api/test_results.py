"""Results as data frames and plots, as a notebook uses them."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import intelbench
from intelbench.api.results import Results
from intelbench.errors import UserError
from intelbench.results.claims import load_claims
from tests.conftest import REPOSITORY
from tests.synthetic import CLASSES, Study, failure, synthetic_runs

NAMES = ["resnet101", "resnet152"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two architectures, three seeds, one failed run, and a run under other conditions."""
    folder = tmp_path_factory.mktemp("results")
    study = Study(failures={("resnet152", 2): failure()})
    synthetic_runs(folder / "runs", NAMES, range(3), study)
    synthetic_runs(folder / "runs", ["resnet101"], [0], Study(suite="other", num_test=40, data_digest="ab" * 16))
    return intelbench.load(folder)


def test_import_loads_nothing() -> None:
    """So it is quick: a notebook waits for pandas and PyTorch only when it uses them."""
    code = (
        "import sys; before = set(sys.modules); import intelbench; "
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('intelbench'))); "
        "assert 'run' in dir(intelbench)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


def test_loading_needs_no_torch(results: Results) -> None:
    """As the report."""
    code = (
        f"import sys, intelbench; intelbench.load({str(results.folder)!r}).table(); "
        "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False False" == done.stdout.strip()


def test_a_table_has_a_row_for_each_architecture_of_each_cohort(results: Results) -> None:
    """With real dtypes: numbers can be computed with, and absent values are missing."""
    table = results.table()
    first, second = results.cohorts
    expected = {(first, "resnet101"), (first, "resnet152"), (second, "resnet101")}
    assert expected == set(table[["cohort", "architecture"]].itertuples(index=False, name=None))
    assert "Int64" == table["num_parameters"].dtype
    assert "Float64" == table["test_accuracy"].dtype
    assert pd.isna(table["test_accuracy_low"].iloc[-1])


def test_runs_and_failures(results: Results) -> None:
    """Every run is in one of the two."""
    assert (6, 1) == (len(results.runs()), len(results.failures()))
    assert results.runs()["test_accuracy"].between(0, 1).all()


def test_differences_are_paired(results: Results) -> None:
    """One row for the one pair of the larger cohort."""
    (row,) = results.differences().itertuples()
    assert set(NAMES) == {row.first, row.second}
    assert row.difference_low < row.difference < row.difference_high
    assert 2 == row.num_seeds


def test_what_would_decide_and_who_is_the_best(results: Results) -> None:
    """Typed frames with a column for the cohort, that of the planner and that of the standings."""
    plan, standings = results.plan(), results.standings()
    assert ["cohort", "first", "second", "difference"] == list(plan.columns)[:4]
    assert "boolean" == plan["needs_images"].dtype.name
    assert "Int64" == plan["more_seeds"].dtype.name
    by_cohort = standings.groupby("cohort")["best_probability"].sum()
    assert by_cohort.to_numpy(float) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("margin", [0, 1, -0.1, float("nan"), "1"])
def test_a_margin_is_a_fraction(results: Results, margin: object) -> None:
    """One point is 0.01, and not 1 as on the command line."""
    with pytest.raises(UserError, match=r"a number of at least 0\.001 and below 1, a fraction \(0\.01 is one "):
        intelbench.load(results.folder, margin)


def test_without_sources_of_variance_there_is_no_row(results: Results) -> None:
    """The two cohorts differ in their data; the frame has its columns."""
    frame = results.variance()
    assert ["cohort", "architecture", "vary", "fixed_seed", "num_runs"] == list(frame.columns)[:5]
    assert frame.empty


def test_predictions_give_back_the_accuracies(results: Results) -> None:
    """One column for each run, in classes by name."""
    frame = results.predictions()
    runs = [f"resnet101-s{seed}" for seed in range(3)] + [f"resnet152-s{seed}" for seed in range(2)]
    assert {"image", "label", *runs} == set(frame.columns)
    assert list(CLASSES) == list(frame["label"].cat.categories)
    runs = results.runs().query("cohort == @results.cohorts[0]")
    for run in runs.itertuples():
        assert pytest.approx(run.test_accuracy) == (frame[f"{run.architecture}-s{run.seed}"] == frame["label"]).mean()
    assert 40 == len(results.predictions(results.cohorts[1]))


def test_a_trace_is_tidy(results: Results) -> None:
    """A row for each run and step; evaluation points have the steps at which they were."""
    loss = results.trace("step_loss")
    assert ["architecture", "seed", "run_id", "step", "step_loss"] == list(loss.columns)
    assert 5 * 60 == len(loss)
    assert (1, 60) == (loss["step"].min(), loss["step"].max())


def test_a_confusion_matrix_counts_the_test_images(results: Results) -> None:
    """Of all runs of the architecture, by true class."""
    matrix = results.confusion("resnet101")
    assert (3 * 300, 6) == (matrix.to_numpy().sum(), len(matrix))
    assert ("true", "predicted") == (matrix.index.name, matrix.columns.name)
    accuracy = results.runs().query("cohort == @results.cohorts[0] and architecture == 'resnet101'")["test_accuracy"]
    assert pytest.approx(accuracy.mean()) == np.trace(matrix.to_numpy()) / matrix.to_numpy().sum()


@pytest.mark.parametrize("kind", ["accuracy_cost", "confusion", "curves"])
def test_plots_draw_into_the_given_axes(results: Results, kind: str) -> None:
    """And leave the settings of matplotlib alone."""
    before = dict(mpl.rcParams)
    axes = Figure().add_subplot()
    arguments = ("resnet152",) if kind == "confusion" else ()
    assert axes is getattr(results.plot, kind)(*arguments, ax=axes)
    assert axes.has_data()
    assert before == dict(mpl.rcParams)


def test_a_plot_leaves_out_what_has_no_value(tmp_path: Path) -> None:
    """Two steps, all of them warm-up, have no step time; the message says what can be plotted."""
    synthetic_runs(tmp_path / "runs", ["a", "b"], [0, 1], Study(num_steps=2))
    results = intelbench.load(tmp_path)
    axes = Figure().add_subplot()
    with pytest.raises(UserError, match=r"cost 'step_seconds': no architecture has a value.* Try 'num_parameters'"):
        results.plot.accuracy_cost(ax=axes)
    results.plot.accuracy_cost("num_parameters", ax=axes)
    results.plot.curves(ax=axes)
    assert axes.has_data()


def test_plots_make_axes_of_their_own(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """By pyplot, so that a notebook shows them."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    assert "resnet101" == results.plot.confusion("resnet101").get_title()


def test_reports(results: Results, tmp_path: Path) -> None:
    """Text, a page, and a short table in a notebook."""
    assert results.to_markdown().startswith("# ")
    results.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")
    assert "<td>resnet152</td>" in results._repr_html_()
    assert "7 runs in 2 cohorts" in repr(results)


def test_one_run_is_not_written_as_several(tmp_path: Path) -> None:
    """Nor one cohort."""
    synthetic_runs(tmp_path / "runs", ["a"], [0])
    assert f"<Results of 1 run in 1 cohort, {tmp_path}>" == repr(intelbench.load(tmp_path))


def test_frames_without_rows_have_their_columns(results: Results, tmp_path: Path) -> None:
    """With the dtypes that they have with rows: no failure, no finished run, one architecture, no test of a change."""
    synthetic_runs(tmp_path / "good" / "runs", ["a"], [0])
    synthetic_runs(tmp_path / "bad" / "runs", ["a"], [0], Study(failures={("a", 0): failure()}))
    good, bad = intelbench.load(tmp_path / "good"), intelbench.load(tmp_path / "bad")
    for name, empty in (("failures", good), ("differences", good), ("runs", bad), ("differences", bad)):
        frame, full = getattr(empty, name)(), getattr(results, name)()
        assert 0 == len(frame)
        assert full.dtypes.to_dict() == frame.dtypes.to_dict()
    assert results.table().dtypes.to_dict() == bad.table().dtypes.to_dict()
    assert results.trace("step_loss").dtypes.to_dict() == bad.trace("step_loss").dtypes.to_dict()
    with pytest.raises(UserError, match="no run has finished"):
        bad.confusion("a")


def test_a_bare_name_is_enough_where_it_is_unique(tmp_path: Path) -> None:
    """For matrices and plots; a name without a prefix comes first, and of several the candidates are listed."""
    synthetic_runs(tmp_path / "runs", ["torchvision:resnet18", "torchvision:vgg11", "timm:vgg11", "timm:a", "a"], [0])
    results = intelbench.load(tmp_path)
    assert results.confusion("torchvision:resnet18").equals(results.confusion("resnet18"))
    assert "torchvision:resnet18" == results.plot.confusion("resnet18", ax=Figure().add_subplot()).get_title()
    assert "a" == results.architecture("a").name
    with pytest.raises(
        UserError, match=r"'vgg11' is the name of several\. Expected one of: timm:vgg11, torchvision:vgg11"
    ):
        results.confusion("vgg11")
    assert results.to_card("torchvision:resnet18") == results.to_card("resnet18")
    with pytest.raises(UserError, match="'vgg11' is the name of several"):
        results.to_card("vgg11")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda results: results.confusion("resnet15"),
            "architecture 'resnet15' has no finished run here. Expected one of: ",
        ),
        (lambda results: results.trace("loss"), "no array 'loss' of one value a step. Try `step_loss`. Expected one "),
        (lambda results: results.trace("test_logits"), "no array 'test_logits' of one value a step"),
        (lambda results: results.predictions("nowhere"), "cohort 'nowhere' is not known"),
        (
            lambda results: results.plot.accuracy_cost("architecture"),
            "no column of numbers in the table. Expected one of: rank, score",
        ),
        (lambda results: intelbench.load("nowhere"), "nowhere: no such folder. Expected a results folder"),
    ],
)
def test_mistakes_are_answered(results: Results, call: Callable[[Results], object], said: str) -> None:
    """With what is accepted."""
    with pytest.raises(UserError, match=re.escape(said)):
        call(results)


def test_a_diff_has_a_row_for_each_architecture_and_metric(results: Results) -> None:
    """Nothing has changed between a folder and itself."""
    frame = intelbench.diff(results.folder, results.folder)
    assert set(NAMES) == set(frame["architecture"])
    assert (frame.query("metric == 'test_accuracy'")["change"] == 0).all()
    assert (frame.query("metric == 'step_seconds'")["change"] == 1).all()  # a ratio


def test_every_column_is_documented(results: Results) -> None:
    """docs/api.md names the columns of every frame."""
    text = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
    documented = set(re.findall(r"`([a-z0-9_]+)`", text))
    frames = [results.table(), results.runs(), results.failures(), results.differences()]
    frames += [results.trace("step_loss"), intelbench.diff(results.folder, results.folder)]
    columns = {column for frame in frames for column in frame.columns}
    intervals = {column for column in columns if re.sub("_(low|high)$", "", column) in documented}
    assert set() == columns - documented - intervals


CLAIM = """
[[claim]]
id = "more-parameters"
statement = "ResNet-152 has more parameters than ResNet-101."
source = "report"
metric = "num_parameters"
relation = "higher"
architecture = "resnet152"
others = ["resnet101"]

[[claim]]
id = "more-accurate"
statement = "ResNet-152 is more accurate than ResNet-101."
source = "report"
metric = "test_accuracy"
relation = "higher"
architecture = "resnet152"
others = ["resnet101"]

[[claim]]
id = "a-third"
statement = "ResNet-101 is right on a third of the images at least."
source = "report"
metric = "test_accuracy"
relation = "at_least"
architecture = "resnet101"
value = 0.333
"""


def test_claims_have_a_row_for_each_cohort(results: Results, tmp_path: Path) -> None:
    """With the verdicts of the report, and as texts and numbers where there are some."""
    file = tmp_path / "claims.toml"
    file.write_text(CLAIM)
    claims = results.claims(file)
    assert [
        (cohort, claim) for cohort in results.cohorts for claim in ("more-parameters", "more-accurate", "a-third")
    ] == list(claims[["cohort", "claim"]].itertuples(index=False, name=None))
    untestable = claims[(claims["cohort"] == results.cohorts[1]) & (claims["claim"] == "more-parameters")].iloc[0]
    assert ("not testable", "resnet152 did not run") == (untestable["verdict"], untestable["reason"])
    difference = claims[(claims["cohort"] == results.cohorts[0]) & (claims["claim"] == "more-accurate")].iloc[0]
    (pair,) = results.differences().query("first == 'resnet101' and second == 'resnet152'").itertuples()
    assert (pytest.approx(-pair.difference), "share") == (difference["measured"], difference["unit"])  # fractions
    accuracy = claims[(claims["cohort"] == results.cohorts[0]) & (claims["claim"] == "a-third")].iloc[0]
    shown = results.table().set_index(["cohort", "architecture"]).loc[(results.cohorts[0], "resnet101")]
    assert shown["test_accuracy"] == pytest.approx(accuracy["measured"])
    assert accuracy["measured_low"] < accuracy["measured"] < accuracy["measured_high"]
    assert "Float64" == str(claims["p_value"].dtype)


def test_the_published_claims_are_the_default(results: Results) -> None:
    """On data with the classes that they are about."""
    assert {claim.id for claim in load_claims()} == set(results.claims()["claim"])
