"""`intelbench start`, as users call it."""

import importlib.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from intelbench.cli.start import _require_writable
from intelbench.config.suites import load_suite
from intelbench.orchestration import proposal
from intelbench.profiling.variables import process_variables
from tests.command import Command
from tests.conftest import write_folder


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of 30 small images, an empty cache of PyTorch's hub, and one network that comes with its weights."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(proposal, "SHIPPED", ("efficientnet_lite0",))
    return write_folder(tmp_path / "my photos", per_class=30)


@pytest.fixture
def installed() -> None:
    """Needs the extra."""
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        pytest.skip("the extra `pretrained` is not installed")


@pytest.mark.usefixtures("installed")
def test_the_printed_command_runs_what_was_proposed(intelbench: Command, tmp_path: Path) -> None:
    """It is all that is printed to stdout, so that a shell can execute it."""
    done = intelbench("start", "my photos", "--offline", "--device", "cpu")
    assert 0 == done.returncode, done.stderr
    assert "intelbench run --suite intelbench.toml --device cpu\n" == done.stdout
    suite = load_suite(str(tmp_path / "intelbench.toml"))
    assert ("my photos", "my photos", ("efficientnet_lite0",)) == (suite.name, suite.data, suite.architectures)
    assert "1 network x 5 seeds at 64 px: efficientnet_lite0" in done.stderr.splitlines()
    ran = intelbench(*shlex.split(done.stdout)[1:], "--budget", "1 epochs", "--seeds", "0", "--threads", "1")
    assert 0 == ran.returncode, ran.stderr
    assert 1 == len(list((tmp_path / "results" / "runs").iterdir()))


@pytest.mark.usefixtures("installed")
def test_an_existing_file_is_only_replaced_with_force(intelbench: Command, tmp_path: Path) -> None:
    """The message names both ways out, before anything is measured."""
    (tmp_path / "intelbench.toml").write_text("mine")
    done = intelbench("start", "my photos", "--offline")
    assert (2, "") == (done.returncode, done.stdout)
    assert "intelbench.toml: exists already. Expected a new file. Try --out FILE, or --force" in done.stderr
    assert "timing" not in done.stderr
    assert "mine" == (tmp_path / "intelbench.toml").read_text()
    done = intelbench("start", "my photos", "--offline", "--out", "a suite.toml")
    assert "intelbench run --suite 'a suite.toml'\n" == done.stdout
    assert 0 == intelbench("start", "my photos", "--offline", "--force").returncode
    assert load_suite(str(tmp_path / "a suite.toml")) == load_suite(str(tmp_path / "intelbench.toml"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "data nowhere: no such folder"),
        (
            ["my photos", "--out", "suite.txt"],
            "--out 'suite.txt': unknown format. Expected a name that ends in",
        ),
        (["my photos", "--device", "cuda"], "--device cuda: PyTorch sees no CUDA device"),
        (["my photos/train/day"], "has 0 class folders, at least 2 are needed"),
    ],
)
def test_mistakes_are_answered_in_a_line(intelbench: Command, arguments: list[str], message: str) -> None:
    """Nothing is written."""
    done = intelbench("start", *arguments, "--offline")
    assert (2, "") == (done.returncode, done.stdout)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_without_weights_the_message_names_the_extra(intelbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is written."""
    monkeypatch.setattr(proposal, "SHIPPED", ())
    done = intelbench("start", "my photos", "--offline")
    assert 2 == done.returncode
    assert "pip install 'intelbench[pretrained]'" in done.stderr
    assert not Path("intelbench.toml").exists()


@pytest.mark.usefixtures("installed")
def test_a_broken_image_is_named_and_left_out(intelbench: Command, photos: Path, tmp_path: Path) -> None:
    """The printed command leaves it out too, and so is not refused."""
    (broken, *_) = sorted(photos.rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:40])
    done = intelbench("start", "my photos", "--offline", "--device", "cpu")
    assert "intelbench run --suite intelbench.toml --device cpu --skip-unreadable\n" == done.stdout
    assert f"warning: {broken.relative_to(photos)}: cannot be read (" in done.stderr
    ran = intelbench(*shlex.split(done.stdout)[1:], "--budget", "1 epochs", "--seeds", "0", "--threads", "1")
    assert 0 == ran.returncode, ran.stderr


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_timed(intelbench: Command) -> None:
    """An unwritable folder is seen at once."""
    done = intelbench("start", "my photos", "--offline", "--out", "missing/suite.toml")
    assert (2, "") == (done.returncode, done.stdout)
    assert "missing/suite.toml: cannot be read or written (No such file or directory)" in done.stderr
    assert "timing" not in done.stderr


def test_a_file_that_appears_while_its_place_is_checked_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another command's, which the check must not remove; and it leaves no file of its own."""
    file, exists = tmp_path / "suite.toml", Path.exists
    _require_writable(file)
    assert [] == [path for path in tmp_path.iterdir() if path.is_file()]

    def exists_and_appears(path: Path) -> bool:
        was_there = exists(path)
        file.write_text("of another command")
        return was_there

    monkeypatch.setattr(Path, "exists", exists_and_appears)
    _require_writable(file)
    assert "of another command" == file.read_text()


def test_networks_are_timed_with_the_variables_of_runs(tmp_path: Path) -> None:
    """The command executes itself again with them, and its arguments, output and status are the same."""
    (tmp_path / "asks.py").write_text("import os\nprint(os.environ['GLIBC_TUNABLES'], os.environ['OMP_NUM_THREADS'])\n")
    done = subprocess.run(
        [sys.executable, "-m", "intelbench", "start", "no photos", "--offline", "--plugin", "asks.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.arena_max=2", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    expected = process_variables(1)["GLIBC_TUNABLES"].split(":")
    assert 2 == done.returncode
    assert f"{':'.join(['glibc.malloc.arena_max=2', *expected])} 1" in done.stdout + done.stderr
    assert "plug-in asks.py: registers nothing" in done.stderr
