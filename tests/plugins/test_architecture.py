"""A plug-in file adds an architecture, which is trained and reported like a built-in one."""

from pathlib import Path

from tests.conftest import Command
from tests.reading import read_runs

PLUGIN = Path(__file__).with_name("architecture.py")


def test_a_plugin_adds_an_architecture(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path
) -> None:
    """Its record names the file with a digest, its parameters are counted, and the report has a row for it."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", PLUGIN)
    done = intelbench("run", "patch_mixer", *arguments)
    assert 0 == done.returncode, done.stderr
    (stored,), _ = read_runs(tmp_path / "results" / "runs")
    assert stored.record.spec.provider.startswith("architecture.py sha256:")
    assert stored.record.measurements is not None
    assert (3 * 8 * 8 + 1) * 64 + (64 + 1) * 2 == stored.record.measurements.num_parameters
    assert "| patch_mixer " in intelbench("report").stdout


def test_images_below_its_smallest_size_are_refused(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path
) -> None:
    """Before anything runs."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", PLUGIN, "--image-size", 16)
    done = intelbench("run", "patch_mixer", *arguments)
    assert 2 == done.returncode
    assert "patch_mixer" in done.stderr
    assert "32" in done.stderr
    assert not (tmp_path / "results").exists()
