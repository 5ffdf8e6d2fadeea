"""A process of our own is listened to, held to its limits, and ended with all that it started."""

import os
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from intelbench.orchestration.process import Limits, OverrunError, Process, take_request
from tests.conftest import REPOSITORY

HERE = "tests.orchestration.test_process"


class Order(msgspec.Struct):
    """What the process is to do."""

    do: str
    where: str = ""


@pytest.fixture
def environment() -> dict[str, str]:
    """In which this module is found."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def test_answers_are_told_apart_from_what_is_printed(environment: dict[str, str]) -> None:
    """In their order; prints and errors are its last words, and its status is known."""
    with Process(HERE, Order("answer"), environment, Limits()) as process:
        assert [b"1", b"[2,3]"] == list(process.answers())
    assert 5 == process.returncode
    assert "printed" == process.last_words


@pytest.mark.parametrize("do", ["sleep", "close"])
def test_a_process_is_ended_at_its_time_out(environment: dict[str, str], do: str, tmp_path: Path) -> None:
    """Also one that has closed its channel and goes on; what it has started ends too."""
    where = tmp_path / "pid"
    started = time.monotonic()
    with Process(HERE, Order(do, str(where)), environment, Limits(seconds=10)) as process:
        with pytest.raises(OverrunError, match="not finished after 10 s") as caught:
            list(process.answers())
        assert "timeout" == caught.value.cause
    assert time.monotonic() - started < 40
    started_by_it = int(where.read_text())
    while psutil.pid_exists(started_by_it) and psutil.Process(started_by_it).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() - started < 40


def test_a_process_is_ended_at_its_memory_limit(environment: dict[str, str]) -> None:
    """Within a moment, though it would go on."""
    with (
        Process(HERE, Order("hoard"), environment, Limits(memory_bytes=2 * 10**9)) as process,
        pytest.raises(OverrunError, match=r"its process took 2(\.\d+)? GB, and 2 GB is the memory limit") as caught,
    ):
        list(process.answers())
    assert "out_of_memory" == caught.value.cause


def main() -> None:
    """What the process does."""
    order, answer = take_request(Order)
    match order.do:
        case "answer":
            answer(1)
            os.write(1, b"printed")
            answer([2, 3])
            sys.exit(5)
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
