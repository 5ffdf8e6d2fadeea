"""`report` and `diff` on the command line, on made-up records."""

import json
import re
from pathlib import Path

import pytest

from tests.command import Command
from tests.synthetic import Study, synthetic_runs

CLAIM = """
[[claim]]
id = "a-best"
statement = "The <first> is best."
source = "table 1"
metric = "test_accuracy"
relation = "higher"
architecture = "a"
"""


def folder(path: Path, accuracy: float = 0.8, seeds: range = range(4), year: int = 2026) -> Path:
    """A results folder of two architectures, which were trained in that year; `a` has that test accuracy."""
    synthetic_runs(path / "runs", ["a", "b"], seeds, Study(accuracies={"a": accuracy, "b": 0.5}, year=year))
    return path


def test_claims_of_ones_own_replace_the_published(intelbench: Command, tmp_path: Path) -> None:
    """In Markdown and in JSON."""
    folder(tmp_path / "results")
    (tmp_path / "mine.toml").write_text(CLAIM)
    text = intelbench("report", "--claims", "mine.toml").stdout
    assert "1 claim: 1 supported" in text
    assert "93.10" not in text
    assert "" == intelbench("report", "--claims", "mine.toml", "--out", "report.json").stdout
    content = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [("a-best", "supported")] == [(each["claim"], each["verdict"]) for each in content["cohorts"][0]["claims"]]


def test_a_claim_can_get_each_verdict(intelbench: Command, tmp_path: Path) -> None:
    """In a table of a claim of each, with the rule of those that were judged and the reason of the one that was not."""
    folder(tmp_path / "results")
    text = intelbench("report", "--claims", Path(__file__).with_name("one_of_each.toml")).stdout
    words = ["supported", "contradicted", "equivalent", "reproduced", "undecided", "not testable"]
    assert f"6 claims: 1 {', 1 '.join(words[:-1])} and 1 {words[-1]}." in text
    section = text.partition("## Published claims")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if re.match(r"\| [1-6] ", line)]
    assert words == [line.rstrip(" |").rpartition("| ")[2] for line in rows]
    notes = [line for line in section.splitlines() if re.match(r"[1-6]\. ", line)]
    tested = "Paired over 4 seeds × 300 test images: two-sided t test of the difference at the 5 % level. Equivalent "
    assert tested + "where two one-sided ones find it within 1 point. P values are those of " in notes[0]
    assert tested + "where two one-sided ones find it within 2 points. P values are those of " in notes[1]
    assert "exact, without a test, and no measurement of a run. A difference of at most 60 % is equiv" in notes[2]
    assert "exact, without a test, and no measurement of a run." in notes[3]
    assert "regarded as that of 3 training runs, tested on as many other test images: contradicted where" in notes[4]
    assert "- 6: c did not run." in section


def test_the_page_is_written_where_one_says(intelbench: Command, tmp_path: Path) -> None:
    """In a folder that need not exist; nothing on stdout."""
    folder(tmp_path / "results")
    done = intelbench("report", "--out", "out/page.html")
    assert (0, "") == (done.returncode, done.stdout)
    assert (tmp_path / "out" / "page.html").read_text("utf-8").startswith("<!doctype html>")
    assert ["page.html"] == [path.name for path in (tmp_path / "out").iterdir()]


def test_markdown_goes_to_a_file_with_its_figures(intelbench: Command, tmp_path: Path) -> None:
    """Next to that file, where the links in it lead; the text is that of stdout."""
    folder(tmp_path / "results")
    assert "" == intelbench("report", "--out", "out/report.md").stdout
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    assert text == intelbench("report").stdout
    links = {part.partition(")")[0] for part in text.split("](")[1:] if part.startswith("figures/")}
    assert {f"figures/{path.name}" for path in (tmp_path / "out" / "figures").iterdir()} == links


def test_the_margin_decides_what_is_equivalent(intelbench: Command, tmp_path: Path) -> None:
    """In percentage points; a wide one leaves nothing undecided, and the text names it."""
    folder(tmp_path / "results")
    narrow, wide = (intelbench("report", "results", "--margin", margin).stdout for margin in ("0.5", "99"))
    assert "the margin of 0.5 points" in narrow
    assert "equivalent" in wide.split("## Differences")[1].split("\n\n")[1]
    assert "within 99 points of the best" in wide


def test_a_gate_decides_the_exit_status(intelbench: Command, tmp_path: Path) -> None:
    """0 without a gate and within the margin, 1 beyond it, with the reason on stderr."""
    folder(tmp_path / "old"), folder(tmp_path / "new", accuracy=0.4, year=2027)
    plain = intelbench("diff", "old", "new")
    assert (0, "") == (plain.returncode, plain.stderr)
    assert "Test accuracy is worse for `a`" in plain.stdout
    assert 0 == intelbench("diff", "old", "new", "--gate", "test_accuracy:0.9").returncode
    failed = intelbench("diff", "old", "new", "--gate", "test_accuracy:0.1", "--format", "json")
    assert 1 == failed.returncode
    assert "a: test_accuracy is worse by more than 0.1" in failed.stderr
    assert ["failed", "passed"] == [gate["outcome"] for gate in json.loads(failed.stdout)["gates"]]
    folder(tmp_path / "again", year=2027)
    equal = intelbench("diff", "old", "again", "--gate", "test_accuracy:0.3", "--gate", "relative_loss_variance:0")
    assert 0 == equal.returncode  # nothing changed, not by one bit
    folder(tmp_path / "noisy", accuracy=0.79, year=2027)
    undecided = intelbench("diff", "old", "noisy", "--gate", "test_accuracy:0.011")
    assert 1 == undecided.returncode
    assert "Run more seeds in both folders, or accept a larger margin" in undecided.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "--images", "photos"], "--images goes with --out FILE.html"),
        (["report", "--images", "nowhere", "--out", "c.html"], "images 'nowhere': no such folder. Expected the folder"),
        (["report", "--claims", "no.toml"], "claims no.toml: cannot be read"),
        (["report", "--claims", "wrong.toml"], "relation"),
        (["diff", "results"], "Missing argument"),
        (["diff", "results", "nowhere"], "nowhere"),
        (
            ["diff", "results", "results", "--gate", "speed:1"],
            "no metric 'speed'. Expected one of: test_accuracy",
        ),
        (["diff", "results", "single", "--gate", "step_seconds:0"], "run at least two seeds"),
        (["diff", "results", "results", "--gate", "step_seconds:0"], "the runs of a are the same runs in both folders"),
    ],
)
def test_a_mistake_is_answered_in_words(intelbench: Command, tmp_path: Path, arguments: list[str], said: str) -> None:
    """Status 2, what was wrong, and never a traceback."""
    folder(tmp_path / "results"), folder(tmp_path / "single", seeds=range(1), year=2027)
    (tmp_path / "wrong.toml").write_text(CLAIM.replace('"higher"', '"best"'))
    done = intelbench(*arguments)
    assert 2 == done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plugin_adds_a_metric(intelbench: Command, tmp_path: Path) -> None:
    """It has a column and a definition in the report, is compared pair by pair, judged in a claim, and gated."""
    plugin = ["--plugin", Path(__file__).parents[1] / "plugins" / "metric.py"]
    folder(tmp_path / "results"), folder(tmp_path / "new", accuracy=0.4, year=2027)
    (tmp_path / "mine.toml").write_text(CLAIM.replace("test_accuracy", "top2_accuracy"))
    text = intelbench("report", *plugin, "--claims", "mine.toml").stdout
    assert "Top-2 accuracy (300 images) |" in text
    assert "- **Balanced error (300 images)**: share of wrong predictions, mean over the classes, mean over" in text
    assert "Pairs by Top-2 accuracy" in text
    assert "1 claim: 1 supported" in text
    failed = intelbench("diff", "results", "new", "--gate", "balanced_error:0.1", *plugin)
    assert 1 == failed.returncode
    assert "a: balanced_error is worse by more than 0.1" in failed.stderr


def test_figures_that_cannot_be_written_are_an_error_with_a_way_out(intelbench: Command, tmp_path: Path) -> None:
    """The Markdown would link to them; in another folder there is place for both."""
    folder(tmp_path / "results")
    (tmp_path / "results" / "figures").write_text("")
    done = intelbench("report")
    assert (2, "") == (done.returncode, done.stdout)
    assert "results/figures: figures cannot be written there" in done.stderr
    assert "Try --out FILE.md in another folder" in done.stderr
    assert 0 == intelbench("report", "--out", "elsewhere/report.md").returncode


@pytest.mark.parametrize("command", [["report"], ["report", "--out", "page.html"], ["plan", "results"]])
def test_damaged_records_are_named_on_the_terminal(intelbench: Command, tmp_path: Path, command: list[str]) -> None:
    """Whatever the format, since nobody reads a page to its end."""
    folder(tmp_path / "results")
    (damaged, *_) = sorted((tmp_path / "results" / "runs").glob("*/record.json"))
    damaged.write_text("{}")
    done = intelbench(*command)
    assert 0 == done.returncode
    assert f"left out: {damaged.parent.name}/record.json: not a readable record" in done.stderr


def test_suffixes_are_known_in_any_case(intelbench: Command, tmp_path: Path) -> None:
    """The format is that of the suffix in lower case; the file has the name that was asked for."""
    folder(tmp_path / "results")
    assert 0 == intelbench("report", "--out", "T.CSV", "--predictions", "P.Csv").returncode
    assert (tmp_path / "T.CSV").read_text().startswith("cohort,")
    assert (tmp_path / "P.Csv").read_text().startswith("cohort,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--predictions", "p.json"], "--predictions 'p.json': unknown format. Expected a name that ends in .csv"),
        (["--out", "r.csv", "--predictions", "./r.csv"], "--out and --predictions are one file, r.csv. Give two"),
    ],
)
def test_predictions_have_a_csv_file_of_their_own(
    intelbench: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    """Nothing is written, so that the report does not replace them."""
    folder(tmp_path / "results")
    done = intelbench("report", *arguments)
    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert ["results"] == [path.name for path in tmp_path.iterdir()]
