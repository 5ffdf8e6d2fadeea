"""A plug-in file adds an optimizer, whose provider is in the record and keeps its runs apart from others."""

from pathlib import Path

from tests.conftest import Command
from tests.reading import read_runs

PLUGIN = Path(__file__).with_name("optimizer.py")


def test_a_plugin_adds_an_optimizer(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Its arguments come from the suite; another beta gives other losses from the second step on."""
    losses = []
    for beta in (0.9, 0.5):
        recipe = f"[recipe]\noptimizer = 'lion'\noptimizer_arguments.betas = [{beta}, 0.99]\n"
        (tmp_path / "lion.toml").write_text(small_suite.read_text().replace("[recipe]\n", recipe))
        files = ("--plugin", plugin, "--plugin", PLUGIN)
        done = intelbench("run", "tiny", "--suite", "lion.toml", "--data", small_folder, *files, "--out", str(beta))
        assert 0 == done.returncode, done.stderr
        (stored,), _ = read_runs(tmp_path / str(beta) / "runs")
        assert stored.record.failure is None
        assert stored.record.spec.optimizer_provider.startswith("optimizer.py sha256:")
        losses.append(stored.traces()["step_loss"])
        done = intelbench("verify", stored.path, "--plugin", plugin, "--plugin", PLUGIN)
        assert 0 == done.returncode, done.stderr
    assert losses[0][0] == losses[1][0]
    assert losses[0][2] != losses[1][2]


def test_an_unknown_optimizer_is_refused_before_anything_runs(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """With the names that are known."""
    (tmp_path / "lion.toml").write_text(small_suite.read_text().replace("[recipe]\n", "[recipe]\noptimizer = 'lion'\n"))
    done = intelbench("run", "tiny", "--suite", "lion.toml", "--data", small_folder, "--plugin", plugin)
    assert 2 == done.returncode
    assert "recipe.optimizer: 'lion' is not known." in done.stderr
    assert not (tmp_path / "results").exists()
