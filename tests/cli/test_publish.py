"""`intelbench publish`, as users call it."""

from pathlib import Path

import pandas as pd
import pytest

from intelbench.api.results import load
from tests.command import Command
from tests.synthetic import Study, synthetic_runs


@pytest.fixture(autouse=True)
def results(tmp_path: Path) -> Path:
    """Records of two architectures in the results folder."""
    synthetic_runs(tmp_path / "results" / "runs", ["resnet101", "resnet152"], [0, 1])
    return tmp_path / "results"


@pytest.mark.parametrize(("target", "begins"), [("latex", "% Made by intelbench"), ("card", "---\nlibrary_name: ")])
def test_texts_go_to_stdout_or_to_a_file(intelbench: Command, tmp_path: Path, target: str, begins: str) -> None:
    """The same bytes."""
    printed = intelbench("publish", "--to", target)
    assert (0, "") == (printed.returncode, printed.stderr)
    assert printed.stdout.startswith(begins)
    assert 0 == intelbench("publish", "results", "--to", target, "--out", "paper/text").returncode
    assert printed.stdout == (tmp_path / "paper" / "text").read_text()


def test_a_card_of_a_named_architecture(intelbench: Command) -> None:
    """Only a card has one."""
    assert "# resnet152 on scenes" in intelbench("publish", "--to", "card", "--architecture", "resnet152").stdout
    done = intelbench("publish", "--to", "latex", "--architecture", "resnet152")
    assert (2, True) == (done.returncode, "--architecture goes with --to card" in done.stderr)


def test_tables_are_files(intelbench: Command, results: Path) -> None:
    """Each has the rows and the columns of the data frame of the Python API."""
    done = intelbench("publish", "--to", "csv")
    key = load(results).cohorts[0]
    names = {
        "table", "runs", "failures", "differences", "equal_budgets", "plan", "standings", "claims", "variance",
        f"predictions-{key}", f"probabilities-{key}", f"confusion-{key}",
    }  # fmt: skip
    assert (0, f"{len(names)} files in results/csv\n") == (done.returncode, done.stderr)
    assert names == {path.stem for path in (results / "csv").iterdir()}
    frames = {
        "table": load(results).table(),
        "equal_budgets": load(results).equal_budgets(),
        f"predictions-{key}": load(results).predictions(),
        f"probabilities-{key}": load(results).probabilities(),
    }
    for name, frame in frames.items():
        read = pd.read_csv(results / "csv" / f"{name}.csv")
        assert list(frame.columns) == list(read.columns)
        assert len(frame) == len(read)
    confusion = pd.read_csv(results / "csv" / f"confusion-{key}.csv")
    assert ["architecture", "true", *load(results).study.cohorts[0].data.class_names] == list(confusion.columns)
    assert load(results).confusion("resnet152").to_numpy().sum() == confusion.iloc[6:, 2:].to_numpy().sum()


def test_event_files_are_in_the_results_folder(intelbench: Command, results: Path, tmp_path: Path) -> None:
    """Or in the given one."""
    done = intelbench("publish", "--to", "tensorboard")
    assert (0, "4 runs sent to tensorboard\n") == (done.returncode, done.stderr)
    assert 4 == len(list((results / "tensorboard" / "quick").iterdir()))
    assert 0 == intelbench("publish", "--to", "tensorboard", "--out", "elsewhere").returncode
    assert 4 == len(list((tmp_path / "elsewhere" / "quick").iterdir()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--to", "mlflw"],
            "--to 'mlflw': not known. Expected one of: mlflow, tensorboard, wandb, csv, latex, card. Try",
        ),
        (["--to", "csv", "--out", ""], "--out '': empty. Expected a file, a folder or an address"),
        (["--to", "latex", "--out", "results"], "a folder. Expected a file"),
        (["--to", "mlflow", "--out", "http://127.0.0.1:9"], "MLflow's server 127.0.0.1:9: cannot be reached"),
        (["elsewhere", "--to", "csv"], "intelbench: elsewhere: no such folder"),
    ],
)
def test_mistakes_are_answered_in_a_line(intelbench: Command, arguments: list[str], message: str) -> None:
    """That says what is accepted."""
    done = intelbench("publish", *arguments)
    assert 2 == done.returncode
    assert message in done.stderr


def test_of_several_groups_a_card_says_which(intelbench: Command, results: Path) -> None:
    """On the terminal, since the card is of one group."""
    synthetic_runs(results / "runs", ["resnet101"], [0], Study(data_digest="ab" * 16))
    assert "card of the largest of 2 groups of records." in intelbench("publish", "--to", "card").stderr


def test_a_place_that_cannot_be_written_is_named(intelbench: Command, results: Path) -> None:
    """With a way out."""
    (results / "tensorboard").write_text("")
    done = intelbench("publish", "--to", "tensorboard")
    assert 2 == done.returncode
    assert "tracker 'tensorboard': results/tensorboard" in done.stderr
    assert "cannot be written" in done.stderr
    assert "Try another one with --out" in done.stderr
