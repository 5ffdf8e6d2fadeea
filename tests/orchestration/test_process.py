"""A process of our own is listened to, held to its limits, and ended with all that it started."""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from intelbench.errors import UserError
from intelbench.orchestration.forkserver import ForkServer
from intelbench.orchestration.process import FreshPython, Limits, OverrunError, Process, Starter, take_request
from intelbench.profiling.environment import process_seconds
from tests.command import REPOSITORY, wait_until_ended

HERE = "tests.orchestration.test_process"


class Order(msgspec.Struct):
    """What the process is to do."""

    do: str
    where: str = ""


@pytest.fixture(params=["fresh", "forked"])
def starter(request: pytest.FixtureRequest, server: ForkServer) -> Starter:
    """Both ways to start a process; the server is up."""
    with Process(HERE, Order("answer"), server, Limits()) as process:
        list(process.answers())
    return server if request.param == "forked" else FreshPython({**os.environ, "PYTHONPATH": str(REPOSITORY)})


def test_answers_are_told_apart_from_what_is_printed(starter: Starter) -> None:
    """In their order; prints and errors are its last words, and its status is known."""
    with Process(HERE, Order("answer"), starter, Limits()) as process:
        assert [b"1", b"[2,3]"] == list(process.answers())
    assert 5 == process.returncode
    assert "printed" == process.last_words


def test_a_user_error_of_a_process_is_its_message() -> None:
    """Without the name of the class; another exception keeps its own."""
    process = Process.__new__(Process)
    for raised, reason in ((UserError("give `a`"), "give `a`"), (ValueError("b"), "ValueError: b")):
        process.last_words = "".join(traceback.format_exception(raised)).strip()
        assert process.reason == reason


@pytest.mark.parametrize("do", ["sleep", "close"])
def test_a_process_is_ended_at_its_time_out(
    starter: Starter, do: str, tmp_path: Path, time_out_at: Callable[[Path], None]
) -> None:
    """Also one that has closed its channel and continues; what it has started ends too."""
    where = tmp_path / "pid"
    time_out_at(where)
    with Process(HERE, Order(do, str(where)), starter, Limits(seconds=10)) as process:
        with pytest.raises(OverrunError, match="not finished after 10 s") as caught:
            list(process.answers())
        assert "timeout" == caught.value.cause
    assert -signal.SIGKILL == process.returncode  # it ignores SIGTERM, and kills itself when its stdin closes
    wait_until_ended(int(where.read_text()))


def test_a_process_is_ended_at_its_memory_limit(starter: Starter) -> None:
    """Within a moment, though it would go on."""
    with (
        Process(HERE, Order("hoard"), starter, Limits(memory_bytes=1_200_000_000)) as process,
        pytest.raises(OverrunError, match=r"its process took \d\.\d+ GB, and 1\.2 GB is the memory limit") as caught,
    ):
        list(process.answers())
    assert "out_of_memory" == caught.value.cause


def test_a_copy_of_a_server_starts_at_once_and_leads_its_own_session(server: ForkServer) -> None:
    """One after the other; each knows its module by its arguments."""
    seen = []
    for _ in range(3):
        with Process(HERE, Order("describe"), server, Limits()) as process:
            seen += map(msgspec.json.decode, process.answers())
        assert 0 == process.returncode
    assert [HERE] * 3 == [each["module"] for each in seen]
    assert all(each["pid"] == each["session"] for each in seen)
    assert 3 == len({each["pid"] for each in seen})
    assert 1 == len({each["hash"] for each in seen})
    assert all(each["seconds"] > 0.2 for each in seen)  # with the imports, which it has not waited for itself
    assert all(each["modules"] for each in seen)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_is_known_as_one(starter: Starter, signal_number: signal.Signals) -> None:
    """By a negative status."""
    with Process(HERE, Order("signal", str(int(signal_number))), starter, Limits()) as process:
        assert [] == list(process.answers())
    assert -signal_number == process.returncode


def test_without_its_server_a_copy_ends_and_the_next_process_is_fresh() -> None:
    """Nobody could tell how it ends; what is asked for afterwards is carried out all the same."""
    with ForkServer({**os.environ, "PYTHONPATH": str(REPOSITORY)}) as server:
        with Process(HERE, Order("orphan"), server, Limits(seconds=60)) as process:
            (copy,) = map(int, process.answers())
        assert -signal.SIGKILL == process.returncode
        wait_until_ended(copy)
        with Process(HERE, Order("answer"), server, Limits()) as process:
            assert [b"1", b"[2,3]"] == list(process.answers())
        assert 5 == process.returncode


def test_a_server_outlives_a_copy_that_is_cancelled(server: ForkServer, tmp_path: Path) -> None:
    """It starts the next run."""
    where = tmp_path / "pid"
    with Process(HERE, Order("sleep", str(where)), server, Limits()):
        while not where.exists():
            time.sleep(0.01)
    with Process(HERE, Order("describe"), server, Limits()) as process:
        assert all(msgspec.json.decode(answer)["modules"] for answer in process.answers())
    assert psutil.pid_exists(server._program.pid)


def test_a_server_ends_with_its_context() -> None:
    """Also while it still imports."""
    with ForkServer(os.environ) as server:
        pid = server._program.pid
    assert not psutil.pid_exists(pid)


def main() -> None:
    """What the process does."""
    order, answer = take_request(Order)
    match order.do:
        case "answer":
            answer(1)
            os.write(1, b"printed")
            answer([2, 3])
            sys.exit(5)
        case "describe":
            seconds, modules = process_seconds(torch.device("cpu")), "torchvision" in sys.modules
            answer(
                {"pid": os.getpid(), "session": os.getsid(0), "module": sys.argv[0], "hash": hash("a word")}
                | {"seconds": seconds, "modules": modules}
            )
        case "signal":
            os.kill(os.getpid(), int(order.where))
        case "orphan":
            answer(os.getpid())
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(100)
        case "sleep" | "close":
            if order.do == "close":
                os.closerange(1, 100)
            if (child := os.fork()) != 0:
                Path(order.where).write_text(str(child))
            time.sleep(100)
        case "hoard":
            kept = []
            while True:
                kept.append(bytearray(os.urandom(2**10) * 2**14))
                time.sleep(0.002)


@pytest.mark.parametrize(
    ("ends", "status", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(None)", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(75)", 75, ""),
        ("sys.exit('not today')", 1, "not today"),
        ("sys.exit(0.5)", 1, "0.5"),
        ("raise ValueError('a fault')", 1, "ValueError: a fault"),
    ],
)
def test_a_program_ends_with_the_status_that_python_would_give(ends: str, status: int, said: str) -> None:
    """What it has printed is written, and a thread that never ends is not waited for."""
    program = (
        "import sys, threading; from intelbench.orchestration.process import execute_and_exit\n"
        "def main():\n    threading.Thread(target=threading.Event().wait).start(); print('printed', end='')\n"
        f"    {ends}\nexecute_and_exit(main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert (status, "printed") == (done.returncode, done.stdout)
    assert said == done.stderr.rstrip().rpartition("\n")[2]
