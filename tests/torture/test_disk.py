"""The disk is full at any write: nothing is lost, one line says so, and the next run comes to the same bits."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.saboteur import Laboratory, Moment
from tests.torture.test_kills import CHILD, PARENT, RERUN, assert_sound

WRITES = [
    Moment(each.event, each.pattern, each.number, "disk")
    for each in (*PARENT, *CHILD)
    if each.event in ("open", "os.mkdir", "os.rename")
]
QUICK = (WRITES[-1],)


def thorough(moments: list[Moment]) -> list[object]:
    """All of them, those that are not for every day in the slow tier."""
    return [pytest.param(each, marks=() if each in QUICK else pytest.mark.torture, id=str(each)) for each in moments]


@pytest.mark.parametrize("moment", thorough(WRITES))
def test_a_full_disk(laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, moment: Moment) -> None:
    """A checkpoint or weights are done without, and the user is told; anything else ends the command in one line."""
    done = laboratory.sabotage(arguments, moment)
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    is_optional = any(part in moment.pattern for part in ("checkpoint", "state", "weights"))
    assert is_optional == (0 == done.returncode), done.stderr
    if done.returncode:
        assert 2 == done.returncode
        assert not list((laboratory.folder / "results" / "runs").glob("[!.]*"))
    without_weights = "os.mkdir" == moment.event and "weights" in moment.pattern
    assert_sound(laboratory, arguments, undisturbed, has_weights=not without_weights)


@pytest.mark.torture
@pytest.mark.parametrize(
    "moment", [Moment(each.event, each.pattern, each.number, "disk") for each in RERUN[:2]], ids=str
)
def test_a_record_stands_while_there_is_no_room_for_another(
    laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, moment: Moment
) -> None:
    """The older one is there at once."""
    assert 0 == laboratory.run(arguments).returncode
    (record,) = (laboratory.folder / "results" / "runs").iterdir()
    before = (record / "record.json").read_bytes()
    assert 2 == laboratory.sabotage([*arguments, "--rerun", "all"], moment).returncode
    assert before == (record / "record.json").read_bytes()
    assert_sound(laboratory, arguments, undisturbed)


@pytest.fixture
def small_disk(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[None]:
    """A results folder on a file system of some kilobytes."""
    results = laboratory.folder / "results"
    results.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", results], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield
    subprocess.run(["umount", results], check=True)


@pytest.mark.torture
@pytest.mark.parametrize("small_disk", [4, 16, 32, 40], indirect=True)
@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_really_full(
    laboratory: Laboratory, arguments: list[str | Path], undisturbed: Path, request: pytest.FixtureRequest
) -> None:
    """A record is there exactly if the command succeeded, as it can where a record fits and no checkpoint does.

    A page or two hold no record. With more room the same command continues; weights are there if they had room.
    """
    full = laboratory.run(arguments)
    records = list((laboratory.folder / "results" / "runs").glob("[!.]*"))
    size = int(request.node.callspec.params["small_disk"])
    assert (2, 0) == (full.returncode, len(records)) or (size > 16 and (0, 1) == (full.returncode, len(records)))
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    subprocess.run(["mount", "-o", "remount,size=64m", laboratory.folder / "results"], check=True)
    has_weights = not records or list((laboratory.folder / "results").glob("weights/*"))
    assert_sound(laboratory, arguments, undisturbed, has_weights=bool(has_weights))
