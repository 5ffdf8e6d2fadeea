"""Work goes on in other processes, what comes of it is waited for, and none is left over."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path

import psutil
import pytest

from intelbench.errors import UserError
from intelbench.results import processes
from intelbench.results.processes import in_two, on_all_processors


@pytest.fixture(params=["linux", "darwin"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a copy is made, and where not."""
    monkeypatch.setattr(processes, "_CAN_FORK", request.param == "linux")
    return str(request.param)


def test_results_come_back_in_order(platform: str) -> None:
    """From two processes; the other one has what is in memory, and gets functions that cannot be packed."""

    def done(place: int) -> tuple[int, int]:
        time.sleep(0.02)
        return place, os.getpid()

    works = [partial(done, place) for place in range(12)]
    places, workers = zip(*chain(*in_two(works[:4], works[4:])), strict=True)
    assert tuple(range(12)) == places
    assert os.getpid() == workers[0]
    assert (workers[-1] == os.getpid()) == (platform != "linux")


@pytest.mark.parametrize("place", [0, 29])
def test_error_comes_back(platform: str, place: int) -> None:
    """From either process; where the first one fails, what has not begun is not done, and nothing is done twice."""
    done = multiprocessing.get_context("fork").Value("i", 0)

    def work(own: int) -> None:
        if own == place:
            raise UserError(f"no room on {platform}")
        time.sleep(0.02)
        with done.get_lock():
            done.value += 1

    with pytest.raises(UserError, match=f"no room on {platform}"):
        in_two([partial(work, own) for own in range(30)], [])
    assert done.value <= (place or 10)


def own_process(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


@pytest.mark.parametrize(("num_processors", "num_parts", "most"), [(64, 40, 8), (64, 3, 3), (2, 10, 2)])
def test_there_are_as_many_processes_as_are_of_use(
    num_processors: int, num_parts: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many processors a machine has."""
    monkeypatch.setattr(processes, "num_processors", lambda: num_processors)
    found = set(on_all_processors(own_process, range(num_parts)))
    assert os.getpid() not in found
    assert 1 <= len(found) <= most


def killed(_: int = 0) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["on_all_processors", "in_two"])
def test_an_end_from_outside_is_one_line(kind: str) -> None:
    """As when the machine runs out of memory."""
    with pytest.raises(UserError, match="ended from outside, for want of memory perhaps"):
        if kind == "in_two":
            in_two([partial(time.sleep, 0.5)], [killed])
        else:
            list(on_all_processors(killed, [0, 0]))


def test_collector_looks_at_everything_again() -> None:
    """Nothing stays hidden from it, whatever goes wrong meanwhile."""
    before = gc.get_freeze_count()
    with pytest.raises(ValueError, match="negative"):
        in_two([partial(time.sleep, -1)], [])
    assert before == gc.get_freeze_count()


KINDS = {
    "on_all_processors": "list(on_all_processors(work, [seconds, seconds]))",
    "in_two": "in_two([partial(time.sleep, seconds)], [partial(work, seconds)])",
}


@contextmanager
def at_work(kind: str, seconds: int, handler: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose others have begun; what it does on Ctrl-C does not depend on how the tests were started."""
    script = output.with_name("script.py")
    script.write_text(f"""
import signal
import time
from functools import partial
from intelbench.results.processes import in_two, on_all_processors

def work(seconds):
    print("begun", flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    seconds = {seconds}
    signal.signal(signal.SIGINT, signal.{handler})
    {KINDS[kind]}
""")
    command = [sys.executable, script]
    with (
        output.open("wb") as file,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, start_new_session=True) as first,
    ):
        assert first.stdout is not None
        assert b"begun" in first.stdout.readline()
        yield first


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("kind", KINDS)
def test_none_is_left_over(kind: str, number: signal.Signals, tmp_path: Path) -> None:
    """The first process is killed, or the terminal interrupts all, while the others are at work."""
    with at_work(kind, 600, "default_int_handler", tmp_path / "output") as first:
        others = psutil.Process(first.pid).children()
        assert others
        os.killpg(first.pid, number) if number == signal.SIGINT else first.kill()
        _, alive = psutil.wait_procs(others, timeout=20)
        assert not alive
        first.wait(20)
    assert (tmp_path / "output").read_text().count("Traceback") <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_ignores_an_interrupt_goes_on(kind: str, tmp_path: Path) -> None:
    """As a command does that was started in the background."""
    with at_work(kind, 1, "SIG_IGN", tmp_path / "output") as first:
        os.killpg(first.pid, signal.SIGINT)
        assert 0 == first.wait(20)
    assert not (tmp_path / "output").read_text()
