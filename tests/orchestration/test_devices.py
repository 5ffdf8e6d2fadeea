"""Several runs at once on one machine, each on processors or a GPU of its own."""

import os
import signal
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import psutil
import pytest

from intelbench.config.pool import Pool
from intelbench.errors import UserError
from intelbench.orchestration import devices, forkserver
from intelbench.orchestration.engines import NamedEngine
from intelbench.orchestration.isolate import Unit
from intelbench.profiling.processors import num_processors, own_processors
from intelbench.records.store import StoredRun
from intelbench.records.workspace import workspaces
from tests.command import Command, start, wait_for, wait_until_ended
from tests.orchestration.test_stopping import SLOW, STEPS
from tests.reading import read_runs

PINNED = """

import os
from pathlib import Path


@architecture("raising", minimum_size=8)
def raising(request):
    raise ValueError("no such network")


@architecture("pinned", minimum_size=8)
def pinned(request):
    Path(__file__).with_name(f"processors-{os.getpid()}").write_text(repr(os.sched_getaffinity(0)))
    return slow.build(request)
"""
two_processors = pytest.mark.skipif(num_processors() < 2, reason="needs two processors")


@pytest.fixture
def arguments(tmp_path: Path, small_folder: Path, small_suite: Path) -> list[str | Path]:
    """Train a network whose steps take a tenth of a second, two runs at once."""
    (tmp_path / "slow.py").write_text(SLOW + PINNED)
    (tmp_path / "two.toml").write_text('engine = "slots"\nslots = 2\n')
    return [
        "--plugin", tmp_path / "slow.py", "--suite", small_suite, "--data", small_folder,
        "--budget", f"{STEPS} steps", "--on", tmp_path / "two.toml",
    ]  # fmt: skip


def runs(results: Path) -> dict[tuple[str, int], StoredRun]:
    """Return the records of a results folder by architecture and seed; nothing else is left next to them."""
    stored, problems = read_runs(results / "runs")
    assert [] == problems
    assert len(stored) == len(list((results / "runs").iterdir()))
    return {(each.record.spec.architecture, each.record.spec.seed): each for each in stored}


@two_processors
def test_two_runs_at_once_have_processors_of_their_own(
    tmp_path: Path, intelbench: Command, arguments: list[str | Path]
) -> None:
    """They are those of runs one after the other but for times, and a failing one does not stop the others."""
    done = intelbench("run", "pinned", "raising", *arguments, "--seeds", "0,1", "--out", "both")
    assert 1 == done.returncode, done.stderr
    assert "failed: 2 error" in done.stderr
    both = runs(tmp_path / "both")
    assert 4 == len(both)
    used = [eval(file.read_text()) for file in tmp_path.glob("processors-*")]
    halves = {frozenset(each) for each in used if len(each) < num_processors()}
    assert 2 == len(halves)
    assert set(own_processors()) == set().union(*halves)
    assert set() == frozenset.intersection(*halves)
    alone = intelbench("run", "pinned", *arguments[:-2], "--seeds", "0", "--threads", 1, "--out", "alone")
    assert 0 == alone.returncode, alone.stderr
    [one] = runs(tmp_path / "alone").values()
    other = both["pinned", 0]
    assert (1, 2) == (one.record.spec.execution.slots, other.record.spec.execution.slots)
    assert one.record.run_id != other.record.run_id
    if other.record.spec.execution.threads == 1:
        assert_equal(one, other)
    assert other.record.measurements is not None
    assert (None, "2 runs at once share the CPU packages") == (
        other.record.measurements.energy.joules, other.record.measurements.energy.absent
    )  # fmt: skip


def assert_equal(one: StoredRun, other: StoredRun) -> None:
    """Fail unless two runs have the same bits."""
    assert one.record.stream_digests == other.record.stream_digests
    for name in ("step_loss", "gradient_norm", "validation_predictions", "test_logits"):
        np.testing.assert_array_equal(one.traces()[name], other.traces()[name])


@two_processors
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_session_that_ends_is_continued_to_the_same_bits(
    tmp_path: Path,
    intelbench: Command,
    arguments: list[str | Path],
    command_variables: dict[str, str],
    number: signal.Signals,
) -> None:
    """Stopped by a scheduler, both runs save checkpoints; killed, the runs end with it; no record is left of either."""
    command = ["run", "slow", "--seeds", "0,1", *arguments]
    with start([*command, "--checkpoint", "0.2 s"], tmp_path, command_variables) as process:
        said = ""
        while not all(f"slow, seed {seed}: step" in said for seed in (0, 1)):
            said += wait_for(": step", process)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert (75 if number == signal.SIGTERM else -number) == process.wait(60)
        wait_until_ended(*(child.pid for child in children))
    assert [] == read_runs(tmp_path / "results" / "runs")[0]
    found = workspaces(tmp_path / "results" / "runs")
    assert number == signal.SIGKILL or [True, True] == [each.checkpoint() is not None for each in found]
    for folder in ("results", "undisturbed"):
        again = intelbench(*command, "--out", folder)
        assert 0 == again.returncode, again.stderr
    whole = runs(tmp_path / "undisturbed")
    for key, run in runs(tmp_path / "results").items():
        assert_equal(run, whole[key])


@two_processors
def test_a_study_of_two_slots_is_executed_by_workers_with_two(intelbench: Command, arguments: list[str | Path]) -> None:
    """Both begin before one of them ends; a host with fewer processors is refused."""
    prepared = intelbench("run", "slow", "--seeds", "0,1", *arguments, "--prepare")
    study = prepared.stdout.split()[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "num_processors", lambda: 1)
        refused = intelbench("work", study)
    assert 75 == refused.returncode
    assert "slots = 2: more than the 1 processor. Expected 1 to 1; the study executes 2 runs at once" in refused.stderr
    done = intelbench("work", study)
    assert 0 == done.returncode, done.stderr
    assert done.stderr.index("[2/2] slow, seed 1: starting") < done.stderr.index("[1/2] slow, seed 0: done in")


@two_processors
def test_a_budget_in_seconds_is_not_shared_unawares(intelbench: Command, arguments: list[str | Path]) -> None:
    """Refused, with what to do, before images are decoded; the user may accept it."""
    options = [*arguments[:-4], "--budget", "5 s", *arguments[-2:]]
    done = intelbench("run", "slow", *options)
    assert 2 == done.returncode
    assert "budget 5 s: 2 runs at once share this host" in done.stderr
    assert "--shared-clock" in done.stderr
    assert 0 == intelbench("run", "slow", *options, "--shared-clock", "--prepare").returncode


def test_more_slots_than_processors_are_refused(tmp_path: Path) -> None:
    """As are GPUs where there are none, an argument that an engine does not take, and another device."""
    with pytest.raises(UserError, match=r"^slots = 1024: more than the .* processors?\. Expected 1 to "):
        NamedEngine(Pool(engine="slots", slots=1024))
    with pytest.raises(UserError, match=r"^--gpus 1024: more than the .* processors?\. Expected 1 to "):
        NamedEngine(Pool(engine="slots"), 1024)
    with pytest.raises(UserError, match=r"^engine 'ray': gpus = 1, fewer than those of a run, --gpus 2\. "):
        NamedEngine(Pool(engine="ray", gpus=1), 2)
    (file := tmp_path / "many.toml").write_text('engine = "slots"\nslots = 1024\n')
    with pytest.raises(UserError, match=r"many\.toml: slots = 1024: more than the .* processors?\. Expected 1 to "):
        NamedEngine.of(str(file))
    with pytest.raises(UserError, match=r"^engine 'gpus': PyTorch sees no GPU\. Try --on slots"):
        NamedEngine(Pool(engine="gpus"))
    with pytest.raises(UserError, match=r"^engine 'local': takes no `slots`"):
        NamedEngine(Pool(engine="local", slots=2))
    with pytest.raises(UserError, match=r"^device cuda: not that of engine 'slots'\. Expected auto or cpu$"):
        NamedEngine(Pool(engine="slots")).device("cuda")
    assert ["cpu", "cpu"] == [NamedEngine(Pool(engine="slots")).device(wanted) for wanted in ("auto", "cpu")]
    assert "cuda:1" == NamedEngine(Pool(engine="local")).device("cuda:1")


class Recorder:
    """Starts nothing, and keeps the environment variables of each server and the processors of its starts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.variables: list[Mapping[str, str]] = []
        self.processors: list[set[int]] = []
        monkeypatch.setattr(forkserver, "starter", self.starter)

    def starter(self, variables: Mapping[str, str]) -> "nullcontext[Recorder]":
        """Return what starts processes with these variables."""
        self.variables.append(variables)
        return nullcontext(self)

    def start(self, module: str, stderr: int, inherit: Collection[int]) -> None:
        """Note the processors that the process would have."""
        self.processors.append(os.sched_getaffinity(0))


def unit(recorder: Recorder) -> Unit:
    """A run that starts one process and ends."""
    made = SimpleNamespace(job=SimpleNamespace(spec=SimpleNamespace(execution=SimpleNamespace(threads=3))))

    def isolate() -> object:
        yield False
        made.starter.start("module", 2, ())

    made.isolate = isolate
    return cast("Unit", made)


def test_each_run_sees_one_gpu_and_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that is free again gets the next run, with the server that it has; `close` ends servers."""
    recorder = Recorder(monkeypatch)
    mine = own_processors()
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["3", "GPU-5af1"])
    monkeypatch.setattr(devices, "processors_near", lambda device, number: frozenset())
    engine = devices.on_gpus()
    assert ("cuda", 2, 2) == (engine.device, engine.slots, engine.slots_per_host)
    first, second = engine.start(unit(recorder)), engine.start(unit(recorder))
    assert ["3", "GPU-5af1"] == [each["CUDA_VISIBLE_DEVICES"] for each in recorder.variables]
    assert ["3", "3"] == [each["OMP_NUM_THREADS"] for each in recorder.variables]
    assert [False, False, True] == [engine.has_ended(each) for each in (first, second, second)]
    assert (second[0], first[0]) == (engine.start(unit(recorder))[0], first[0])
    assert 2 == len(recorder.variables)
    assert [True] == [engine.has_ended(first)]
    if len(mine) > 1:
        assert set(mine) == set().union(*recorder.processors)
        assert set() == set.intersection(*recorder.processors)
    engine.close()
    engine.start(unit(recorder))
    assert 3 == len(recorder.variables)
    assert 1 == devices.on_gpus(1).slots
    with pytest.raises(UserError, match=r"^slots = 3: more than the 2 GPUs that PyTorch sees\. Expected 1 to 2$"):
        devices.on_gpus(3)


def test_a_run_of_two_processes_sees_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the processors near both; a GPU that is left over is not used."""
    recorder = Recorder(monkeypatch)
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["0", "1", "2", "3", "4"])
    monkeypatch.setattr(devices, "processors_near", lambda device, number: frozenset())
    monkeypatch.setattr(devices, "own_processors", lambda: list(range(10)))
    monkeypatch.setattr(devices, "pinned", lambda processors: nullcontext())
    engine = devices.on_gpus(processes=2)
    assert 2 == engine.slots
    for _ in range(2):
        engine.start(unit(recorder))
    assert ["0,1", "2,3"] == [each["CUDA_VISIBLE_DEVICES"] for each in recorder.variables]
    assert [{0, 1, 2, 3}, {4, 5, 6, 7}] == [set(slot.processors) for slot in engine._all]
    with pytest.raises(
        UserError, match=r"^slots = 3 of 2 processes each \(--gpus\): more than the 5 GPUs that PyTorch"
    ):
        devices.on_gpus(slots=3, processes=2)
