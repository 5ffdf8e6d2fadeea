"""Work goes on in other processes, what comes of it is waited for, and none is left over."""

import gc
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from intelbench.errors import UserError
from intelbench.reporting.processes import aside, on_all_processors


@pytest.fixture(params=["linux", "darwin"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a copy is made, and where not."""
    monkeypatch.setattr(sys, "platform", request.param)
    return str(request.param)


def test_result_comes_back(platform: str) -> None:
    """What is in memory is at hand without being packed, as a function with its surroundings cannot be."""
    with aside(lambda: (platform, os.getpid())) as result:
        assert result() == result()
        found, process = result()
    assert platform == found
    assert (process == os.getpid()) == (platform != "linux")


def test_error_comes_back(platform: str) -> None:
    """Where the result is asked for."""

    def fail() -> None:
        raise UserError(f"no room on {platform}")

    with aside(fail) as result, pytest.raises(UserError, match=f"no room on {platform}"):
        result()


def killed(_: int = 0) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", ["on_all_processors", "aside"])
def test_an_end_from_outside_is_one_line(kind: str) -> None:
    """As when the machine runs out of memory."""
    with pytest.raises(UserError, match="ended from outside, for want of memory perhaps"):
        if kind == "aside":
            with aside(killed) as result:
                result()
        else:
            list(on_all_processors(killed, [0, 0]))


def test_collector_looks_at_everything_again() -> None:
    """Nothing stays hidden from it, whatever goes wrong meanwhile."""
    before = gc.get_freeze_count()
    with pytest.raises(UserError), aside(Path.cwd):
        raise UserError("the text cannot be written")
    assert before == gc.get_freeze_count()


KINDS = {
    "on_all_processors": "list(on_all_processors(work, [600, 600]))",
    "aside": "with aside(lambda: work(600)) as result: result()",
}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("kind", KINDS)
def test_none_is_left_over(kind: str, number: signal.Signals, tmp_path: Path) -> None:
    """The first process is killed, or the terminal interrupts all, while the others are at work."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import time
from intelbench.reporting.processes import aside, on_all_processors

def work(seconds):
    print("begun", flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    {KINDS[kind]}
""")
    output = tmp_path / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=file, start_new_session=True
        ) as first,
    ):
        assert first.stdout is not None
        assert b"begun" in first.stdout.readline()
        others = psutil.Process(first.pid).children()
        assert others
        os.killpg(first.pid, number) if number == signal.SIGINT else first.kill()
        _, alive = psutil.wait_procs(others, timeout=20)
        assert not alive
        first.wait(20)
    assert output.read_text().count("Traceback") <= 1
