"""A pool of processes returns results in order, and no process outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from intelbench.errors import UserError
from intelbench.results import processes
from intelbench.results.processes import on_all_processors


def squared(number: int) -> int:
    time.sleep(0.02)
    return number**2


def refused(number: int) -> int:
    raise UserError(f"no room for {number}")


def test_results_come_back_in_order() -> None:
    """Whichever process is quicker."""
    assert [number**2 for number in range(12)] == list(on_all_processors(squared, range(12)))


def test_error_comes_back() -> None:
    """The first one, with its type."""
    with pytest.raises(UserError, match="no room for 3"):
        list(on_all_processors(refused, [3, 4]))


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


def test_a_killed_process_is_one_line() -> None:
    """As when the machine runs out of memory."""
    with pytest.raises(UserError, match=r"was killed, perhaps by the kernel's OOM killer\. Free some memory"):
        list(on_all_processors(killed, [0, 0]))


@contextmanager
def at_work(seconds: int, handler: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose others have begun; what it does on Ctrl-C does not depend on how the tests were started."""
    script = output.with_name("script.py")
    script.write_text(f"""
import signal
import time
from intelbench.results.processes import on_all_processors

def work(seconds):
    print("begun", flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    seconds = {seconds}
    signal.signal(signal.SIGINT, signal.{handler})
    list(on_all_processors(work, [seconds, seconds]))
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
def test_none_is_left_over(number: signal.Signals, tmp_path: Path) -> None:
    """The first process is killed, or the terminal interrupts all, while the others are at work."""
    with at_work(600, "default_int_handler", tmp_path / "output") as first:
        others = psutil.Process(first.pid).children()
        assert others
        os.killpg(first.pid, number) if number == signal.SIGINT else first.kill()
        _, alive = psutil.wait_procs(others, timeout=20)
        assert not alive
        first.wait(20)
    assert (tmp_path / "output").read_text().count("Traceback") <= 1


def test_what_ignores_an_interrupt_goes_on(tmp_path: Path) -> None:
    """As a command does that was started in the background."""
    with at_work(1, "SIG_IGN", tmp_path / "output") as first:
        os.killpg(first.pid, signal.SIGINT)
        assert 0 == first.wait(20)
    assert not (tmp_path / "output").read_text()
