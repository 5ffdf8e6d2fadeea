"""A laboratory, and a run that nobody has disturbed."""

from pathlib import Path

import pytest

from tests.command import Servers
from tests.torture.saboteur import Laboratory

ARGUMENTS = ("--checkpoint", "0.001 s", "--threads", "1", "--budget", "8 steps")


@pytest.fixture
def laboratory(tmp_path: Path, servers: Servers, capfd: pytest.CaptureFixture[str]) -> Laboratory:
    """An empty one, whose name has a space and is not ASCII."""
    folder = tmp_path / "laboratory ünder tørture"
    folder.mkdir()
    return Laboratory(folder, servers, capfd.readouterr)


@pytest.fixture(scope="session")
def arguments(small_folder: Path, small_suite: Path, plugin: Path) -> list[str | Path]:
    """One small run that saves after every step."""
    return ["run", "tiny", "--suite", small_suite, "--data", small_folder, "--plugin", plugin, *ARGUMENTS]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, servers: Servers, arguments: list[str | Path]) -> Path:
    """Its results."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert 0 == Laboratory(folder, servers, lambda: ("", "")).run(arguments).returncode
    return folder / "results"
