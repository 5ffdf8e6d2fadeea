"""Runs from Python, as in a notebook."""

import signal
import threading
from pathlib import Path

import pytest

import intelbench
from intelbench.api.results import Results
from intelbench.errors import UserError
from intelbench.orchestration import forkserver
from tests.command import Servers

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


def test_a_run_in_a_thread(tmp_path: Path, plugin: Path, small_suite: Path, small_folder: Path) -> None:
    """Two networks, compared and plotted; no signal handler is left, and recorded runs are not repeated."""
    results: list[Results] = []
    before = [signal.getsignal(number) for number in SIGNALS]

    def work() -> None:
        results.extend(
            intelbench.run(
                ["tiny", "tiny_twin"], suite=str(small_suite), data=small_folder, budget="2 steps", seeds=[0, 1],
                plugins=[plugin], precision=None, image_size=None, out=tmp_path / "results",
                cache_folder=tmp_path / "cache", threads=1,
            )
            for _ in range(2)
        )  # fmt: skip

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    first, second = results
    assert before == [signal.getsignal(number) for number in SIGNALS]
    assert ["tiny", "tiny_twin"] == sorted(first.table()["architecture"])
    assert [2] * 4 == first.runs()["num_steps"].tolist()
    assert first.runs().equals(second.runs())
    assert 1 == len(first.differences())
    assert first.plot.curves().has_data()


def test_what_varies_is_a_word_or_a_list(
    tmp_path: Path,
    plugin: Path,
    small_suite: Path,
    small_folder: Path,
    servers: Servers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the words that a suite accepts."""
    monkeypatch.setattr(forkserver, "starter", servers.starter)

    def run(vary: object) -> Results:
        return intelbench.run(
            ["tiny"], suite=str(small_suite), data=small_folder, budget="1 steps", seeds=[4, 5], vary=vary,
            plugins=[plugin], out=tmp_path / "results", cache_folder=tmp_path / "cache", threads=1,
        )  # fmt: skip

    run("init")
    results = run(["init", "order"])
    assert ["init", "order"] == results.variance()["vary"].tolist()
    assert [4, 4] == results.variance()["fixed_seed"].tolist()
    with pytest.raises(UserError, match=r"^vary: 'weights' is not accepted. Expected 'all', 'augment', "):
        run("weights")


def test_a_profile_has_a_row_for_each_batch_size() -> None:
    """With the figures of the command."""
    frame = intelbench.profile(["resnet18"], batch_sizes=[2, 4], image_size=32, num_classes=10)
    assert [2, 4] == frame["batch_size"].tolist()
    assert {11_181_642} == set(frame["num_parameters"])
    assert frame["peak_bytes"].is_monotonic_increasing


def test_an_unknown_architecture_is_refused(tmp_path: Path, small_folder: Path) -> None:
    """By an exception, with the nearest names, before anything is read or run."""
    with pytest.raises(UserError, match="Try resnet152"):
        intelbench.run(["resnet15"], data=small_folder, out=tmp_path, cache_folder=tmp_path / "cache")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache").exists()  # no image was read
