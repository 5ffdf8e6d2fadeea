"""`intelbench data check` lists what a data folder has, and what is wrong with it."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.command import Command
from tests.conftest import write_folder, write_image


def test_data_check_lists_what_is_wrong(intelbench: Command, tmp_path: Path) -> None:
    """Counts by class and split, copies between train and test, files ignored, files unreadable; status 1."""
    folder = write_folder(tmp_path / "data", per_class=10)
    write_image(folder / "train" / "day" / "copy.png", seed=7)
    write_image(folder / "test" / "day" / "copy.png", seed=7)
    (folder / "train" / "night" / "notes.txt").write_text("no image")
    (folder / "train" / "night" / "empty.jpg").write_bytes(b"")
    done = intelbench("data", "check", "data")
    assert 1 == done.returncode
    assert "train/day/copy.png = test/day/copy.png" in done.stdout
    assert "train/night/notes.txt" in done.stdout
    assert "other files in class folders, not used: 1 (1 .txt)" in done.stdout
    assert "train/night/empty.jpg: empty file" in done.stdout
    assert ["all", "21", "21"] == next(line.split() for line in done.stdout.splitlines() if line.startswith("all"))


def test_data_check_of_a_hostile_folder_ends_and_prints_no_escapes(intelbench: Command, tmp_path: Path) -> None:
    """Pipes, loops, bombs and names that would command the terminal: all listed, in seconds, on lines of their own."""
    folder = write_folder(tmp_path / "data", per_class=10)
    bad = folder / "train" / "day"
    hostile = "\x1b[2Jx\n  forged: fine"
    (bad / f"{hostile}.jpg").write_bytes(b"")
    (bad / f"{hostile}.txt").write_bytes(b"")
    os.mkfifo(bad / "pipe.jpg")
    (bad / "loop.jpg").symlink_to("loop.jpg")
    (bad / "up").symlink_to("..")
    (bad / "zero.jpg").symlink_to("/dev/zero")
    Image.new("1", (20_000, 10_000)).save(bad / "bomb.png")
    for name in (f"{hostile}.png", "copy.png"):
        write_image(bad / name, seed=7)
        write_image(folder / "test" / "day" / name, seed=7)
    (folder / hostile).mkdir()
    done = intelbench("data", "check", "data")
    assert 1 == done.returncode
    assert "" == done.stderr
    assert all(line.isprintable() for line in done.stdout.splitlines())
    assert not any(line.startswith("  forged") for line in done.stdout.splitlines())
    for line in (
        "train/day/\\x1b[2Jx\\n  forged: fine.jpg: empty file",
        "train/day/\\x1b[2Jx\\n  forged: fine.txt",
        "train/day/loop.jpg: Too many levels of symbolic links",
        "train/day/pipe.jpg",
        "train/day/up",
        "train/day/zero.jpg",
    ):
        assert f"  {line}" in done.stdout.splitlines()
    assert "train/day/bomb.png: too large to be decoded safely" in done.stdout


@pytest.mark.parametrize("command", [["run"], ["data", "check", "scenes"]])
def test_a_cache_folder_that_cannot_be_written_is_one_line(
    intelbench: Command, tmp_path: Path, command: list[str]
) -> None:
    """It names the folder and the option, whatever was to be written there."""
    (tmp_path / "file").write_text("x")
    done = intelbench(*command, "--cache-dir", "file/cache")
    assert 2 == done.returncode
    assert (
        "intelbench: cache file/cache: cannot be written (Not a directory). Expected a writable folder. Try another "
        in (done.stderr)
    )
    assert 1 == done.stderr.count("\n")


def test_data_check_of_a_sound_folder_succeeds(intelbench: Command, tmp_path: Path) -> None:
    """Status 0 where every image can be read."""
    write_folder(tmp_path / "data", per_class=10)
    assert 0 == intelbench("data", "check", "data").returncode


def test_data_check_refuses_what_run_refuses(intelbench: Command, tmp_path: Path, small_suite: Path) -> None:
    """With the same words and the same status, under the suite that is given; the findings are printed all the same."""
    write_folder(tmp_path / "data", per_class=6)
    checked, run = intelbench("data", "check", "data"), intelbench("run", "resnet101_leaky", "--data", "data")
    assert 2 == checked.returncode == run.returncode
    assert " training images are less than one batch" in checked.stderr
    assert checked.stderr == run.stderr
    assert "majority baseline" in checked.stdout
    assert 0 == intelbench("data", "check", "data", "--suite", small_suite).returncode
