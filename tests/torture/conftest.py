"""A laboratory, and a run that nobody has disturbed."""

from pathlib import Path

import pytest

from tests.torture.saboteur import Laboratory

ARGUMENTS = ("--checkpoint", "0.001 s", "--threads", "1", "--budget", "8 steps")


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    """An empty one, whose name has a space and is not ASCII."""
    folder = tmp_path / "laboratory ünder tørture"
    folder.mkdir()
    return Laboratory(folder)


@pytest.fixture(scope="session")
def arguments(small_folder: Path, small_suite: Path, plugin: Path) -> list[str | Path]:
    """One small run that saves after every step."""
    return ["run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin, *ARGUMENTS]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, arguments: list[str | Path]) -> Path:
    """Its results."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = Laboratory(folder).run(arguments)
    assert 0 == done.returncode, done.stderr
    return folder / "results"
