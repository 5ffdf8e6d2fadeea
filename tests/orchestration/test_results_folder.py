"""A results folder is none of the class folders of the data."""

from pathlib import Path

import pytest

from tests.command import Command
from tests.conftest import write_folder


@pytest.mark.parametrize(
    ("splits", "out"), [("", "photos/results"), ("", "photos/day/results"), ("train test", "photos/train/r")]
)
def test_results_among_the_class_folders_are_refused(
    tmp_path: Path, intelbench: Command, plugin: Path, small_suite: Path, splits: str, out: str
) -> None:
    """They would be a class of the next command, or images of one; nothing is written there."""
    write_folder(tmp_path / "photos", splits=splits)
    run = ["run", "tiny", "--suite", small_suite, "--plugin", plugin, "--data", "photos", "--prepare"]
    done = intelbench(*run, "--out", out)
    assert 2 == done.returncode
    assert f"out {out}: in {tmp_path / 'photos'}" in done.stderr
    assert "Try --out with one next to the data" in done.stderr
    assert not (tmp_path / out).exists()


def test_results_next_to_the_splits_are_none_of_the_classes(
    tmp_path: Path, intelbench: Command, plugin: Path, small_suite: Path
) -> None:
    """The folder of a project may hold train/, test/ and results/."""
    write_folder(tmp_path)
    run = ["run", "tiny", "--suite", small_suite, "--plugin", plugin, "--data", ".", "--prepare"]
    for _ in range(2):
        done = intelbench(*run)
        assert 0 == done.returncode, done.stderr
