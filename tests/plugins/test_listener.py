"""A plug-in file adds listeners. None of them can fail a run."""

import re
from pathlib import Path

import pytest

from intelbench.orchestration.listeners import LISTENERS, Listeners, RunListener, notified
from tests.command import Command
from tests.reading import read_runs

PLUGIN = Path(__file__).with_name("listener.py")


def test_a_plugin_adds_listeners(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """They hear of every run next to the display; one that raises is named once, and the runs succeed."""
    arguments = ("--suite", small_suite, "--data", small_folder, "--plugin", plugin, "--plugin", PLUGIN)
    done = intelbench("run", "tiny", *arguments)
    assert 0 == done.returncode, done.stderr
    assert 1 == done.stderr.count("listener 'broken': failed with ValueError: 0 (listener.py:")
    assert "[1/1] tiny, seed 0: done in" in done.stderr
    assert [None] == [stored.record.failure for stored in read_runs(tmp_path / "results" / "runs")[0]]
    first = ["1 of 1 runs to carry out", "tiny, seed 0: started", "tiny, seed 0: succeeded", "over"]
    assert first == (tmp_path / "log.txt").read_text().splitlines()
    assert 0 == intelbench("run", "tiny", *arguments).returncode
    assert [*first, "0 of 1 runs to carry out", "over"] == (tmp_path / "log.txt").read_text().splitlines()


def test_a_listener_that_cannot_be_made_is_reported() -> None:
    """Whatever its factory raises; the others are told, in their order, also after the session was interrupted."""
    told: list[str] = []

    class Told(RunListener):
        def session_started(self, runs: object, pending: object) -> None:
            told.append("started")

        def session_ended(self) -> None:
            told.append("ended")

    def leave() -> RunListener:
        raise SystemExit(3)

    LISTENERS.entries = {}
    LISTENERS.add(leave, "leaves", function=leave)
    LISTENERS.add(object, "deaf", function=object)
    LISTENERS.add(Told, "told", function=Told)
    reports: list[str] = []
    listeners = Listeners(reports.append)
    with pytest.raises(KeyboardInterrupt), notified(listeners, [], []):
        raise KeyboardInterrupt
    assert ["started", "ended"] == told
    first, second = reports
    assert re.fullmatch(
        r"listener 'leaves': failed with SystemExit: 3 \(test_listener\.py:\d+\)\. The session continues", first
    )
    assert second.startswith("listener 'deaf': failed with TypeError: object has no session_started, run_skipped, ")


def test_what_a_listener_prints_is_narration(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, since stdout is the product."""

    class Loud(RunListener):
        def session_started(self, runs: object, pending: object) -> None:
            print("begins")  # noqa: T201 - as a listener may

    LISTENERS.entries = {}
    LISTENERS.add(Loud, "loud", function=Loud)
    with notified(Listeners(lambda _: None), [], []):
        pass
    assert ("", "begins\n") == capsys.readouterr()
