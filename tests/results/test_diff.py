"""Two folders are compared by what they have in common, and a gate fails beyond the noise alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy import stats

from intelbench.errors import UserError
from intelbench.records.store import write_run
from intelbench.records.types import Failure
from intelbench.reporting import diff as changes
from intelbench.reporting.verdicts import verdicts
from intelbench.results.claims import Claim
from intelbench.results.diff import Change, Comparison, Gate, Outcome, Verdict, compare, gate_metrics, judge
from intelbench.results.metrics import metrics_in
from intelbench.results.study import read
from intelbench.statistics import inference
from intelbench.statistics.estimates import Estimate
from tests.synthetic import CONDITIONS, EXECUTION, Study, synthetic_run, synthetic_runs

Make = Callable[..., Comparison]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Compare two made-up folders of the same architectures; `after` and `before` change their studies."""

    def made(
        before: dict[str, object] | None = None,
        after: dict[str, object] | None = None,
        seeds: tuple[range, range] = (range(6), range(6)),
        architectures: tuple[list[str], list[str]] = (["a", "b"], ["a", "b"]),
    ) -> Comparison:
        for name, study, numbers, names in zip(("before", "after"), (before, after), seeds, architectures, strict=True):
            year = 2026 if name == "before" else 2027
            synthetic_runs(tmp_path / name / "runs", names, numbers, Study(**{"year": year, **(study or {})}))
        return compare(tmp_path / "before", tmp_path / "after")

    return made


WORSE = {"accuracies": {"a": 0.5, "b": 0.8}}
GOOD = {"accuracies": {"a": 0.8, "b": 0.8}}


def change_of(comparison: Comparison, architecture: str, metric: str) -> object:
    """The one change."""
    (found,) = [c for c in comparison.changes if (c.architecture, c.metric) == (architecture, metric)]
    return found


def test_a_loss_beyond_the_noise_is_found(make: Make) -> None:
    """Thirty points less for `a`, nothing for `b`."""
    found = make(GOOD, WORSE)
    a, b = (change_of(found, name, "test_accuracy") for name in "ab")
    assert a.distinguishable
    assert not a.better
    assert a.inferred.estimate.mean == pytest.approx(a.after.mean - a.before.mean)
    assert not b.distinguishable


def test_a_fall_has_one_minus_sign_whatever_its_unit(make: Make) -> None:
    """Of nats as of points."""
    found = make(WORSE, GOOD)
    text = changes.as_markdown(found, judge(found, [Gate("test_cross_entropy", 0.1)]), ("before", "after"))
    rows = [line for line in text.splitlines() if line.startswith("| Test NLL") or "`test_cross_entropy:0.1`" in line]
    assert 4 == len(rows)
    assert any("| −0." in row for row in rows)
    assert not any("-0." in row for row in rows)


def outcomes(verdicts: list[Verdict]) -> list[Outcome]:
    """Return the outcome of each gate and architecture."""
    return [verdict.outcome for verdict in verdicts]


def test_a_gate_passes_only_where_the_bound_is_within_its_margin(make: Make) -> None:
    """A loss of thirty points fails a margin of ten, passes one of fifty, and leaves one that is near undecided."""
    comparison = make(GOOD, WORSE)
    by_margin = {margin: outcomes(judge(comparison, [Gate("test_accuracy", margin)]))[0] for margin in (0.1, 0.29, 0.5)}
    assert {0.1: "failed", 0.29: "undecided", 0.5: "passed"} == by_margin


def test_the_bound_is_that_of_one_sided_tests(make: Make) -> None:
    """By Student's t and by the images. The gate passes with a margin just above the bound, and not just below it."""
    comparison = make(GOOD, WORSE)
    change = change_of(comparison, "a", "test_accuracy")
    inferred = change.inferred
    bounds = [-inferred.location + stats.t.ppf(0.95, each.freedom) * each.error for each in inferred.spreads]
    bounds.append(inferred.images.bound_above(-inferred.location, 0.95))
    assert change.worst == pytest.approx(max(bounds))
    margins = (1.001 * change.worst, 0.999 * change.worst)
    assert ["passed", "undecided"] == [outcomes(judge(comparison, [Gate("test_accuracy", m)]))[0] for m in margins]


def test_a_true_loss_of_three_points_seldom_passes_a_gate_of_one_point() -> None:
    """In at most 6 % of 500 studies with 3, 5 and 10 seeds whose standard deviation is 1.3 points.

    A rule that passes unless the loss is significant lets 62 % pass with three seeds.
    """
    for num_seeds in (3, 5, 10):
        random = np.random.default_rng(num_seeds)
        passed = 0
        for _ in range(500):
            seeds = 0.056 * random.standard_normal((2, num_seeds, 1))
            image = random.standard_normal((1, 1, 900)) + 0.5 * random.standard_normal((2, 1, 900))
            skill = np.array([0.8, 0.667])[:, None, None]  # 70.3 and 67.2 %
            correct = skill + seeds + image + random.standard_normal((2, num_seeds, 900)) > 0
            inferred = inference.infer(correct[1].astype(np.int8) - correct[0])
            estimate = Estimate(0.7, None, None, num_seeds)
            passed += Change("a", "test_accuracy", estimate, estimate, inferred).worst <= 0.01
        assert passed <= 0.06 * 500


def test_a_gain_fails_no_gate(make: Make) -> None:
    """Thirty points more."""
    assert "failed" not in outcomes(judge(make(WORSE, GOOD), [Gate("test_accuracy", 0.0)]))


def test_the_same_folder_shows_nothing(make: Make) -> None:
    """Nothing changed in any metric, and nothing differs in what is recorded; this is said, and passes no gate."""
    found = make(GOOD, {**GOOD, "year": 2026})
    assert not any(change.distinguishable for change in found.changes)
    assert {} == found.differing
    assert () == found.left_out
    assert (("a", "b"), 12) == (found.copied, found.num_same_runs)
    text = changes.as_markdown(found, [], ("before", "after"))
    assert "**The compared runs are the same runs in both folders, which shows nothing.**" in text
    assert " 12 of these runs are the same in both folders" in text
    for metric in metrics_in("diff"):
        with pytest.raises(UserError, match="the runs of a are the same runs in both folders, which shows nothing"):
            judge(found, [Gate(metric.name, 0.0)])


def test_equal_runs_that_were_executed_separately_pass_every_gate(make: Make, tmp_path: Path) -> None:
    """They are evidence that nothing changed; copies of other seeds are left out, since their change is 0 anyway."""
    make(GOOD, GOOD)
    (copy,) = tmp_path.glob("before/runs/a-s0-*")
    shutil.copytree(copy, tmp_path / "after" / "runs" / copy.name, dirs_exist_ok=True)
    found = compare(tmp_path / "before", tmp_path / "after")
    assert {"a": tuple(range(1, 6)), "b": tuple(range(6))} == found.seeds
    assert ((), 0) == (found.copied, found.num_same_runs)
    assert ("a: 1 other run, the same in both folders",) == found.left_out
    gates = [Gate(metric.name, 0.0) for metric in metrics_in("diff")]
    verdicts = judge(found, gates)
    assert 2 * len(gates) == len(verdicts)
    assert {"passed"} == set(outcomes(verdicts))
    assert "which shows nothing" not in changes.as_markdown(found, verdicts, ("before", "after"))


def test_groups_are_compared_that_have_runs_in_common(make: Make, tmp_path: Path) -> None:
    """Not the largest one of a folder with several groups; copies are compared where there is nothing else."""
    larger = Study(conditions=msgspec.structs.replace(CONDITIONS, image_size=CONDITIONS.image_size - 1))
    synthetic_runs(tmp_path / "before" / "runs", ["a", "c"], range(10, 20), larger)
    found = make(None, {"year": 2026})
    assert {"a": tuple(range(6)), "b": tuple(range(6))} == found.seeds
    assert 12 == found.num_same_runs
    synthetic_runs(tmp_path / "before" / "runs", ["a"], range(2), larger)
    found = compare(tmp_path / "before", tmp_path / "after")
    assert ({"a": (0, 1)}, 0) == (found.seeds, found.num_same_runs)


def test_a_damaged_record_is_named(make: Make, tmp_path: Path) -> None:
    """As in a report, with what to do."""
    make()
    (file, *_) = sorted(tmp_path.glob("after/runs/*/record.json"))
    file.write_text("{}")
    found = compare(tmp_path / "before", tmp_path / "after")
    assert [True] == [file.parent.name in reason for reason in found.left_out[:1]]


def test_a_slower_disk_fails_no_gate_on_the_step_time(tmp_path: Path) -> None:
    """Ten times the data wait: the step time is the same, and the wait is a metric of its own, in seconds."""
    for name, factor in (("before", 1), ("after", 10)):
        for seed in range(4):
            record, traces = synthetic_run("a", seed, Study(year=2025 + factor))
            write_run(
                tmp_path / name / "runs", record, {**traces, "data_wait_seconds": factor * traces["data_wait_seconds"]}
            )
    found = compare(tmp_path / "before", tmp_path / "after")
    assert 1 == change_of(found, "a", "step_seconds").inferred.estimate.mean
    assert ["passed"] == outcomes(judge(found, [Gate("step_seconds", 0.0)]))
    wait = change_of(found, "a", "data_wait_seconds")
    assert wait.inferred.estimate.mean == pytest.approx(9 * wait.before.mean, rel=1e-6)
    assert ["failed", "passed"] == outcomes([judge(found, [Gate("data_wait_seconds", m)])[0] for m in (0.0, 1.0)])


def test_gates_and_claims_have_one_name_and_one_value_for_a_metric(tmp_path: Path) -> None:
    """Every metric of a gate can be claimed under the same name, and is then measured as the same value."""
    synthetic_runs(tmp_path / "runs", ["a"], range(3))
    summary = read(tmp_path / "runs").cohorts[0]
    for metric in gate_metrics():
        claimed = Claim(
            id="x", statement="x", source="x", metric=metric.name, relation="at_least", value=0.0, architecture="a"
        )
        measured = verdicts(summary, [claimed])[0].measured
        if values := metric.values(summary.finished[0]):
            assert isinstance(measured, Estimate), metric.name
            assert pytest.approx(np.mean(values), rel=1e-4) == measured.mean, metric.name


def test_any_metric_with_a_direction_is_a_gate(make: Make, tmp_path: Path) -> None:
    """Also one that the diff does not list: it is listed where a gate names it."""
    gates = [Gate.parse("validation_accuracy:0.1")]
    make(GOOD, WORSE)
    found = compare(tmp_path / "before", tmp_path / "after", gates)
    assert "failed" == outcomes(judge(found, gates))[0]
    assert "| Validation accuracy" in changes.as_markdown(found, [], ("before", "after"))
    with pytest.raises(ValueError, match="no direction is worse for metric 'mean_activation'"):
        Gate.parse("mean_activation:0.1")


def test_holm_counts_every_gate(make: Make) -> None:
    """The p value of a gate is never below that of the gate alone."""
    found = make(GOOD, WORSE)
    (alone,) = [v for v in judge(found, [Gate("test_accuracy", 0.1)]) if v.change.architecture == "a"]
    together = judge(
        found, [Gate("test_accuracy", 0.1), Gate("relative_loss_variance", 0.1), Gate("step_seconds", 0.0)]
    )
    (same,) = [v for v in together if (v.change.architecture, v.gate.metric) == ("a", "test_accuracy")]
    assert alone.p_holm <= same.p_holm


def test_times_are_compared_as_ratios(tmp_path: Path) -> None:
    """Steps that take twice as long: a ratio of 2, which fails a margin of 50 % and passes one of 150 %."""
    for name, factor in (("before", 1), ("after", 2)):
        for seed in range(4):
            record, traces = synthetic_run("a", seed, Study(year=2025 + factor))
            slower = {key: traces[key] * factor for key in ("step_seconds", "data_wait_seconds")}
            write_run(tmp_path / name / "runs", record, {**traces, **slower})
    found = compare(tmp_path / "before", tmp_path / "after")
    change = change_of(found, "a", "step_seconds")
    assert change.inferred.estimate.mean == pytest.approx(2)
    assert ["failed", "passed"] == outcomes([judge(found, [Gate("step_seconds", m)])[0] for m in (0.5, 1.5)])


def test_p_of_a_gate_is_a_one_sided_t_test(make: Make) -> None:
    """Of the logarithms against that of the margin, for a ratio."""
    found = make(GOOD, {"num_steps": 50})
    change = change_of(found, "a", "relative_loss_variance")
    values = [
        [
            run.relative_loss_variance
            for architecture in side.finished
            if architecture.name == "a"
            for run in architecture.runs
        ]
        for side in (found.before, found.after)
    ]
    expected = stats.ttest_1samp(np.log(values[1]) - np.log(values[0]), np.log(1.05), alternative="greater").pvalue
    assert change.p_worse(0.05) == pytest.approx(expected, abs=1e-9)


def test_one_seed_gates_nothing(make: Make) -> None:
    """Passing would mean nothing, so it is an error that says what to do."""
    found = make(seeds=(range(3), range(2, 5)))
    assert (2,) == found.seeds["a"]
    with pytest.raises(UserError, match="run at least two seeds"):
        judge(found, [Gate("test_accuracy", 0.0)])
    assert [] == judge(found, [])
    assert "One seed in common gives no estimate of the noise" in changes.as_markdown(found, [], ("before", "after"))


def test_other_images_have_no_accuracy_to_compare(make: Make) -> None:
    """Times and memory are still compared, and what is not is named; a gate on accuracy is an error."""
    found = make(None, {"num_test": 240, "data_digest": "ab" * 16})
    (said,) = [reason for reason in found.left_out if "of different images in the two folders" in reason]
    assert said.startswith("Test accuracy, ")
    assert "- Test accuracy, " in changes.as_markdown(found, [], ("before", "after"))
    assert "test_accuracy" not in {change.metric for change in found.changes}
    assert "step_seconds" in {change.metric for change in found.changes}
    with pytest.raises(UserError, match="different images"):
        judge(found, [Gate("test_accuracy", 0.0)])


def test_nothing_in_common(make: Make) -> None:
    """Other architectures, or other seeds only: an error that says what to run."""
    with pytest.raises(UserError, match="same architectures and seeds"):
        make(architectures=(["a"], ["b"]))


def test_what_was_left_out_is_named(make: Make) -> None:
    """An architecture in one of the folders alone."""
    found = make(architectures=(["a", "b"], ["a", "c"]))
    assert [True, True] == [any(name in reason for reason in found.left_out) for name in ("b: only", "c: only")]


def test_differing_conditions_are_shown(make: Make) -> None:
    """By key, with both values."""
    other = msgspec.structs.replace(CONDITIONS, recipe=msgspec.structs.replace(CONDITIONS.recipe, learning_rate=0.5))
    text = changes.as_markdown(make(None, {"conditions": other}), [], ("one", "two"))
    assert "| `conditions.recipe.learning_rate` | " in text
    assert "0.5" in text


def test_the_page_says_what_failed(make: Make) -> None:
    """In the first paragraph, in the table of gates, and in the line for the terminal; JSON agrees."""
    found = make(GOOD, WORSE)
    verdicts = judge(found, [Gate("test_accuracy", 0.1)])
    text = changes.as_markdown(found, verdicts, ("<old>", "new"))
    assert "**Of 2 gates: 1 passed and 1 failed.**" in text
    assert "Test accuracy is worse for `a` (−" in text
    assert "| `test_accuracy:0.1` | a" in text
    assert "a: test_accuracy is worse by more than 0.1 (−" in changes.complaint(verdicts[0])
    content = json.loads(changes.as_json(found, verdicts))
    assert [("a", "failed"), ("b", "passed")] == [(g["architecture"], g["outcome"]) for g in content["gates"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed:0.1", "no metric 'speed'. Expected one of: test_accuracy, "),
        ("accuracy:0.01", r"no metric 'accuracy'. Expected one of: .*\. Try `test_accuracy`, or another"),
        ("test_accuracy", "the margin '' is not accepted. Expected a number of at least 0"),
        (
            "test_accuracy:-1",
            "the margin '-1' is not accepted. Expected a number of at least 0. Try test_accuracy:0.01",
        ),
        ("test_accuracy:nan", "the margin 'nan'"),
        ("step_seconds:inf", "the margin 'inf'"),
        ("test_accuracy:1", r"Expected a fraction below 1, .* is it in percent\? Try test_accuracy:0\.01"),
    ],
)
def test_a_gate_that_cannot_be_read(text: str, message: str) -> None:
    """What was wrong, and what is accepted."""
    with pytest.raises(ValueError, match=message):
        Gate.parse(text)


def test_a_gate_is_read() -> None:
    """Metric and margin."""
    assert Gate("step_seconds", 0.05) == Gate.parse("step_seconds:0.05")


def test_an_architecture_in_another_group_is_named_and_no_gate_passes_without_it(tmp_path: Path) -> None:
    """`b` was executed with more threads, `d` with other seeds, `e` has failed. Failed runs are counted."""
    more_threads = msgspec.structs.replace(EXECUTION, threads=EXECUTION.threads + 1)
    failure = Failure(cause="timeout", message="slow", step=None)
    before, after = tmp_path / "before" / "runs", tmp_path / "after" / "runs"
    synthetic_runs(before, ["a", "b", "c"], range(3), Study(failures={("c", 0): failure}))
    synthetic_runs(before, ["d", "e"], range(2))
    synthetic_runs(after, ["a"], range(3), Study(year=2027))
    synthetic_runs(after, ["d"], range(2, 4), Study(year=2027))
    synthetic_runs(after, ["e"], range(2), Study(year=2027, failures={("e", 0): failure, ("e", 1): failure}))
    synthetic_runs(after, ["b"], range(2), Study(year=2027, execution=more_threads))
    comparison = compare(before, after)
    assert ("b", "d", "e") == comparison.not_compared
    assert (
        f"{before}: 1 failed run",
        f"{after}: 1 other group of runs; groups differ in execution.threads",
        f"{after}: 2 failed runs",
        "d: no seed in common",
        "b: in both, but not in the groups that are compared",
        f"c: only in {before}",
        f"e: no finished run in {after}",
    ) == comparison.left_out
    with pytest.raises(UserError, match="test_accuracy: b, d, e cannot be compared, with runs in both folders"):
        judge(comparison, [Gate("test_accuracy", 0.5)])


def test_seeds_in_other_groups_are_named(tmp_path: Path) -> None:
    """An architecture that has more seeds in both folders than are compared is not compared on fewer silently."""
    more_threads = msgspec.structs.replace(EXECUTION, threads=4)
    for folder, year in (("before", 2026), ("after", 2027)):
        runs = tmp_path / folder / "runs"
        synthetic_runs(runs, ["a", "b"], range(3), Study(year=year))
        synthetic_runs(runs, ["a"], range(2, 5), Study(year=year, execution=more_threads))
    comparison = compare(tmp_path / "before" / "runs", tmp_path / "after" / "runs")
    assert {"a": (0, 1, 2), "b": (0, 1, 2)} == comparison.seeds
    said = [line for line in comparison.left_out if line.startswith(("a:", "b:"))]
    assert ["a: 2 seeds (3, 4) in both, but not in the groups that are compared"] == said
