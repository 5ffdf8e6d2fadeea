"""A metric of a plug-in stands in every table, and what is wrong with it is one line that names it."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

import intelbench
from intelbench.errors import UserError
from intelbench.plugins.loading import load_plugin
from intelbench.records.store import write_run
from intelbench.reporting import diff as changes
from intelbench.reporting.export import as_csv, as_json
from intelbench.reporting.verdicts import verdicts
from intelbench.results import study
from intelbench.results.claims import Claim
from intelbench.results.diff import Gate, compare, judge
from intelbench.results.metrics import METRICS
from intelbench.results.study import Study as Read
from intelbench.results.study import read
from tests.conftest import REPOSITORY
from tests.reporting.rendered import build
from tests.synthetic import Study, synthetic_run, synthetic_runs

PLUGIN = REPOSITORY / "tests" / "plugins" / "metric.py"
HEADER = "import numpy as np\nimport intelbench\n"
METRIC = '@intelbench.metric("mine", heading="Mine", definition="mine", better="higher"{more})\n'
BETTER = {"accuracies": {"a": 0.9, "b": 0.4}}


@pytest.fixture
def found(tmp_path: Path) -> Read:
    """Two architectures with four seeds; `a` is right more often."""
    load_plugin(PLUGIN)
    synthetic_runs(tmp_path / "runs", ["a", "b"], range(4), Study(**BETTER))
    return read(tmp_path / "runs")


def write_plugin(folder: Path, body: str, more: str = "") -> Path:
    path = folder / "mine.py"
    path.write_text(f"{HEADER}{METRIC.format(more=more)}def mine(logits, labels):\n    {body}\n")
    return path


def claim(metric: str, relation: str) -> Claim:
    return Claim(id="x", statement="x", source="x", metric=metric, relation=relation, architecture="a", others=("b",))


def test_it_is_a_column_of_json_and_csv(found: Read) -> None:
    """With its interval, for architectures and runs, and with who computed it."""
    content = json.loads(as_json(found))
    first, *_ = content["cohorts"][0]["architectures"]
    _, traces = synthetic_run("a", 0, Study(**BETTER))
    labels, largest = traces["test_labels"], np.argsort(traces["test_logits"], axis=1)[:, -2:]
    expected = (largest == labels[:, None]).any(axis=1).mean()
    run = next(row for row in content["cohorts"][0]["runs"] if (row["architecture"], row["seed"]) == ("a", 0))
    assert pytest.approx(expected) == run["top2_accuracy"]
    assert first["top2_accuracy_low"] < first["top2_accuracy"] < first["top2_accuracy_high"]
    assert {"balanced_error", "balanced_error_low"} < set(next(csv.DictReader(io.StringIO(as_csv(found)))))
    (said,) = [each for each in content["metrics"] if each["name"] == "top2_accuracy"]
    assert ("share", "higher") == (said["unit"], said["better"])
    assert said["provider"].startswith("metric.py sha256:")


def test_architectures_are_compared_by_it(found: Read) -> None:
    """Pair by pair, in the direction that is better: the one that is more often right has the lower error."""
    rows = json.loads(as_json(found))["cohorts"][0]["differences"]
    assert ["test_accuracy", "top2_accuracy", "balanced_error"] == [row["metric"] for row in rows]
    assert {"a"} == {row["better"] for row in rows}
    assert rows[2]["difference"] < 0


def test_it_can_be_claimed(found: Read) -> None:
    """By seed and image where the plug-in gives a value of each image, else by seed."""
    claims = [claim("top2_accuracy", "higher"), claim("balanced_error", "higher")]
    by_image, by_seed = verdicts(found.cohorts[0], claims)
    assert ("supported", "points") == (by_image.verdict, by_image.unit)
    assert "4 seeds × " in by_image.rule
    assert "contradicted" == by_seed.verdict
    assert "4 seeds:" in by_seed.rule


def test_it_is_a_gate(tmp_path: Path) -> None:
    """Which fails in the direction that is worse."""
    load_plugin(PLUGIN)
    synthetic_runs(tmp_path / "old" / "runs", ["a"], range(4), Study(accuracies={"a": 0.9}))
    synthetic_runs(tmp_path / "new" / "runs", ["a"], range(4), Study(accuracies={"a": 0.5}, year=2027))
    gates = [Gate.parse("top2_accuracy:0.01"), Gate.parse("balanced_error:0.01")]
    worse, better = (compare(tmp_path / one, tmp_path / two) for one, two in (("old", "new"), ("new", "old")))
    assert ["failed", "failed"] == [verdict.outcome for verdict in judge(worse, gates)]
    assert ["passed", "passed"] == [verdict.outcome for verdict in judge(better, gates)]
    assert "Balanced error is worse for `a` (+" in changes.as_markdown(worse, [], ("old", "new"))


def test_several_processes_compute_it_too(found: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the same values."""
    monkeypatch.setattr(study, "_MANY", 2)
    monkeypatch.setattr(study, "_CHUNK", 4)
    assert as_json(found) == as_json(read(tmp_path / "runs"))


def test_a_network_that_broke_down_has_no_value(tmp_path: Path) -> None:
    """The function sees finite logits only."""
    load_plugin(PLUGIN)
    record, traces = synthetic_run("a", 0, Study())
    write_run(tmp_path, record, {**traces, "test_logits": traces["test_logits"] * np.nan})
    (run,) = read(tmp_path).cohorts[0].finished[0].runs
    assert METRICS.get("top2_accuracy").value(run) is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no')", r"failed with ValueError: no \(mine\.py:5\)$"),
        (
            "return logits",
            r"returned an array of shape \(\d+, 6\) of float64\. Expected a number, or an array of \d+ num",
        ),
        ("return 'good'", "returned an array of shape"),
        (
            "return np.full(len(labels), np.nan)",
            r"returned nan for (\d+) of \1 values\. Expected finite numbers from 0",
        ),
        ("return 1.5", "returned 1.5 for 1 of 1 values. Expected finite numbers from 0 to 1, since its unit is share"),
        ("raise SystemExit(3)", "failed with SystemExit: 3"),
    ],
)
def test_a_function_that_misbehaves_is_named(tmp_path: Path, body: str, said: str) -> None:
    """By its file and its metric; no record is left out for it."""
    path = write_plugin(tmp_path, body)
    load_plugin(path)
    synthetic_runs(tmp_path / "runs", ["a"], [0])
    with pytest.raises(UserError, match=rf"^plug-in {path}: metric 'mine': {said}"):
        read(tmp_path / "runs")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"unit": "percent"}, "metric 'mine': `unit` is 'percent'. Expected one of: share, nats, number"),
        ({"better": "largest"}, "metric 'mine': `better` is 'largest'. Expected one of: higher, lower"),
        ({"heading": ""}, "metric 'mine': `heading` is ''. Expected a text of at most 60 characters"),
        ({"definition": 3}, "metric 'mine': `definition` is 3. Expected a text of at most 300 characters"),
        ({"name": "test_accuracy"}, "metric 'test_accuracy' is registered already, by intelbench"),
        ({"name": "a b"}, "metric 'a b': a name is 1 to 100 letters"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, object], said: str) -> None:
    """Each by its name, with what is accepted."""
    facts = {"name": "mine", "heading": "Mine", "definition": "mine", "better": "higher"} | arguments
    with pytest.raises(UserError, match=f"^{said}"):
        intelbench.metric(**facts)(lambda _logits, labels: labels)


@pytest.mark.parametrize("name", ["rank", "cohort"])
def test_a_name_that_a_table_has_already_is_refused(tmp_path: Path, name: str) -> None:
    """Rather than that one column hides another."""
    synthetic_runs(tmp_path, ["a"], [0])
    intelbench.metric(name, heading="My rank", definition="mine", better="higher")(lambda *_: 0.5)
    with pytest.raises(UserError, match=rf"^metric '{name}': a table has another column of this name"):
        as_json(read(tmp_path))


@pytest.mark.parametrize("name", ["estimate", "num_runs", "items"])
def test_a_name_of_something_else_in_the_code_is_no_obstacle(tmp_path: Path, name: str) -> None:
    """The metric has its column next to all others."""
    synthetic_runs(tmp_path, ["a", "b"], range(3), Study(**BETTER))
    intelbench.metric(name, heading="Mine", definition="mine", better="higher")(lambda *_: 0.5)
    (line,) = [
        line for line in build(tmp_path).text.splitlines() if line.startswith("| Architecture  ") and "Rank" in line
    ]
    assert "Test accuracy (300 images) |" in line
    assert "Mine (300 images) |" in line


def test_a_package_provides_one_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every report, without `--plugin`; the provider is the package with its version."""
    (tmp_path / "site" / "scores-1.2.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "scores.py").write_text(PLUGIN.read_text("utf-8"))
    (tmp_path / "site" / "scores-1.2.dist-info" / "METADATA").write_text("Name: scores\nVersion: 1.2\n")
    (tmp_path / "site" / "scores-1.2.dist-info" / "entry_points.txt").write_text(
        "[intelbench.metrics]\ntop2_accuracy = scores:top2_accuracy\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    synthetic_runs(tmp_path / "runs", ["a"], [0])
    assert {"scores 1.2"} <= set(METRICS.providers().values())
    assert 0 < json.loads(as_json(read(tmp_path / "runs")))["cohorts"][0]["architectures"][0]["top2_accuracy"] <= 1


def test_its_texts_are_no_markup(tmp_path: Path) -> None:
    """Heading and definition come from somebody else's file."""
    intelbench.metric("mine", heading="<b>|x", definition="{memory} | <i>", better="lower")(lambda *_: 0.5)
    synthetic_runs(tmp_path, ["a"], [0])
    text = build(tmp_path).text
    assert r"| &lt;b&gt;\|x (300 images) |" in " ".join(text.split())
    assert r"**&lt;b&gt;\|x (300 images)**: {memory} \| &lt;i&gt;, mean over seeds" in text
