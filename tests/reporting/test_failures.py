"""Failed runs hide nothing of other architectures, and nothing of their own."""

import csv
import io
import json
from pathlib import Path

import pytest

import intelbench as ib
from intelbench.reporting.export import as_csv, as_json
from intelbench.reporting.sections.opening import headline
from intelbench.results.study import read
from tests.reporting.rendered import build
from tests.synthetic import Study, Summarize, failure, synthetic_runs

ACCURACIES = {"a": 0.9, "b": 0.6, "fragile": 0.95, "single": 0.95}
FAILURES = {
    **{("single", seed): failure("killed") for seed in range(1, 10)},
    **{("fragile", seed): failure("diverged") for seed in range(2, 9)},
    ("fragile", 9): failure(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seeds: two architectures finished all, one finished two of them, one a single one."""
    path = tmp_path_factory.mktemp("results")
    synthetic_runs(path / "runs", [*ACCURACIES], range(10), Study(accuracies=ACCURACIES, failures=FAILURES))
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> str:
    """The report on them, with every section."""
    return build(folder / "runs", full=True).text


def table_rows(text: str, first: str) -> dict[str, list[str]]:
    """The rows of the first table whose first heading is `first`, by their first cell."""
    lines = text[text.index(f"| {first} ") :].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row for row in [cells[0], *cells[2:]]}


def test_the_headline_names_every_failure_with_numbers(report: str) -> None:
    """And says what an accuracy is that of; the others are compared with each other."""
    said = report[report.index("**In short:**") :].split("\n\n")[0]
    assert "`a` is above" in said or "`fragile` and `a` are not" in said or "`a` and `fragile` are not" in said
    assert "`single` is not compared: no two finished seeds in common with another one." in said
    assert (
        "`fragile` failed in 8 of 10 runs, by cause: diverged (7 runs), out of memory (1 run); its accuracy is that "
        "of the 2 that finished." in said
    )
    assert "`single` failed in 9 of 10 runs, by cause: killed (9 runs); its accuracy is that of the 1 that" in said


def test_the_rank_of_survivors_is_marked(report: str) -> None:
    """With the share of runs that finished; one finished seed has no rank and hides no other one."""
    rows = table_rows(report, "Architecture")
    header = rows["Architecture"]
    rank, finished = header.index("Rank"), header.index("Finished (%)")
    assert rows["fragile"][rank].endswith("†")
    assert rows["a"][rank].startswith("1")
    assert "–" == rows["single"][rank]
    assert ["100.0 [72.2, 100.0]", "20.0 [5.7, 51.0]", "10.0 [1.8, 40.4]"] == [
        rows[name][finished] for name in ("a", "fragile", "single")
    ]
    assert "`†` in Rank: some runs failed, and the rank is that of the others" in report
    assert "Each pair is compared on the seeds that both have finished (" in report


def test_pairs_have_their_own_number_of_seeds(report: str) -> None:
    """In a column; what cannot be tested says so, and is no part of the correction."""
    rows = table_rows(report, "Pair")
    seeds, answer = rows["Pair"].index("Seeds"), rows["Pair"].index("Answer")
    by_pair = {frozenset(name.split(" − ")): row for name, row in rows.items() if name != "Pair"}
    assert ("10", "a is better") == (by_pair[frozenset("ab")][seeds], by_pair[frozenset("ab")][answer])
    assert "2" == by_pair[frozenset({"a", "fragile"})][seeds]
    assert {("1", "not tested")} == {(row[seeds], row[answer]) for pair, row in by_pair.items() if "single" in pair}
    assert "n = 1 to 10 seeds × 300 test images" in report
    assert "A pair with one seed in common is not tested, and not part of the correction." in report


def test_even_seeds_need_no_column(summarize: Summarize) -> None:
    """Where nothing failed there is neither a number of seeds by pair, nor a share, nor a mark."""
    text = build(summarize(["a", "b"]).cohort.runs[0].path.parent).text
    assert "| Seeds " not in text
    assert "Finished (%)" not in text
    assert "†" not in text


def test_machines_read_the_same(folder: Path) -> None:
    """JSON, CSV and frames have the share of finished runs with its interval, and the seeds of each pair."""
    study = read(folder / "runs")
    (cohort,) = json.loads(as_json(study))["cohorts"]
    by_name = {row["architecture"]: row for row in cohort["architectures"]}
    assert [0.2, pytest.approx(0.0567, abs=1e-4), pytest.approx(0.5098, abs=1e-4)] == [
        by_name["fragile"][column] for column in ("success_rate", "success_rate_low", "success_rate_high")
    ]
    assert [None, 1.0] == [by_name["single"]["rank"], by_name["a"]["success_rate"]]
    pairs = {frozenset((row["first"], row["second"])): row for row in cohort["differences"]}
    shared = pairs[frozenset({"b", "fragile"})]
    assert [[0, 1], 2, 2] == [shared["seeds"], shared["num_seeds"], len(shared["first_only"])]
    lines = {row["architecture"]: row for row in csv.DictReader(io.StringIO(as_csv(study)))}
    assert "0.1" == lines["single"]["success_rate"]
    results = ib.load(folder)
    assert [0.1, 0.2, 1.0, 1.0] == sorted(results.table()["success_rate"])
    assert [1, 1, 1, 2, 2, 10] == sorted(results.differences()["num_seeds"])


def test_of_two_the_one_that_failed_is_named(summarize: Summarize) -> None:
    """Though nothing can be compared; one that has never finished has no accuracy to speak of."""
    text = headline(summarize(["a", "b"], failures={("b", seed): failure() for seed in range(3)}))
    assert text.endswith("at this budget, `b` failed in 3 of 3 runs, by cause: out of memory (3 runs).")


def test_thirty_failures_fit_a_paragraph(summarize: Summarize) -> None:
    """Long lists become numbers."""
    names = [f"model_{number:02d}" for number in range(30)]
    text = headline(summarize(names, range(3), failures={(name, 0): failure() for name in names}))
    assert "So did runs of 22 more architectures." in text
    assert len(text) < 2500
