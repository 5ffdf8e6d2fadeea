"""A plug-in file adds a tracker."""

from pathlib import Path

from tests.command import Command

PLUGIN = Path(__file__).with_name("tracker.py")


def test_a_plugin_adds_a_tracker(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """For `--track` and for `publish`, by its name."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--plugin", PLUGIN)
    done = intelbench("run", "tiny", *arguments, "--track", "lines")
    assert 0 == done.returncode, done.stderr
    lines = ["small tiny seed 0: started", "small tiny seed 0: 6 steps", "small tiny seed 0: finished"]
    assert lines == (tmp_path / "results" / "lines.txt").read_text().splitlines()
    done = intelbench("publish", "--to", "lines", "--plugin", PLUGIN)
    assert (0, "1 run sent to lines\n") == (done.returncode, done.stderr)
    assert [*lines, *lines] == (tmp_path / "results" / "lines.txt").read_text().splitlines()
