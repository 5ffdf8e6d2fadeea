"""A plug-in file adds a transform, whose provider is in the record and keeps its runs apart from others."""

from pathlib import Path

from tests.conftest import Command
from tests.reading import read_runs

PLUGIN = Path(__file__).with_name("transform.py")


def test_a_plugin_adds_a_transform(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """Its arguments come from the suite, and it is in the digest of the batches; verify loads it too."""
    digests = []
    for share in (0.0, 1.0):
        recipe = f"[recipe]\ntransforms = ['invert']\ntransform_arguments.invert.p = {share}\n"
        (tmp_path / "invert.toml").write_text(small_suite.read_text().replace("[recipe]\n", recipe))
        files = ("--plugin", plugin, "--plugin", PLUGIN)
        done = intelbench("run", "tiny", "--suite", "invert.toml", "--data", small_folder, *files, "--out", str(share))
        assert 0 == done.returncode, done.stderr
        (stored,), _ = read_runs(tmp_path / str(share) / "runs")
        assert stored.record.failure is None
        (provider,) = stored.record.spec.transform_providers
        assert provider.startswith("transform.py sha256:")
        digests.append(stored.record.stream_digests[1])
    assert digests[0] != digests[1]
    done = intelbench("verify", stored.path, "--plugin", plugin, "--plugin", PLUGIN)
    assert 0 == done.returncode, done.stderr


def test_an_unknown_transform_is_refused_before_anything_runs(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """With the suite, the key and the names that are known."""
    text = small_suite.read_text().replace("[recipe]\n", "[recipe]\ntransforms = ['random_erase']\n")
    (tmp_path / "erase.toml").write_text(text)
    done = intelbench("run", "tiny", "--suite", "erase.toml", "--data", small_folder, "--plugin", plugin)
    assert 2 == done.returncode
    assert "erase.toml: recipe.transforms: 'random_erase' is not known." in done.stderr
    assert "Try `random_erasing`" in done.stderr
    assert not (tmp_path / "results").exists()


def test_an_error_of_a_transform_names_its_line(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """In the last lines of the command, and in the record."""
    broken = tmp_path / "broken.py"
    broken.write_text(PLUGIN.read_text().replace("return 255 - image", "return image[5]"))
    line = broken.read_text().splitlines().index("        return image[5]") + 1
    recipe = "[recipe]\ntransforms = ['invert']\ntransform_arguments.invert.p = 1.0\n"
    (tmp_path / "invert.toml").write_text(small_suite.read_text().replace("[recipe]\n", recipe))
    files = ("--plugin", plugin, "--plugin", broken)
    done = intelbench("run", "tiny", "--suite", "invert.toml", "--data", small_folder, *files)
    assert 1 == done.returncode
    (stored,), _ = read_runs(tmp_path / "results" / "runs")
    assert stored.record.failure is not None
    assert stored.record.failure.message.startswith("IndexError: ")
    assert stored.record.failure.message.endswith(f" (broken.py:{line})")
    assert f"error: {stored.record.failure.message}" in done.stderr
