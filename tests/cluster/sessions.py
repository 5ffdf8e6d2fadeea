"""Sessions on engines: the networks that they train, what they leave behind, and what has to be equal."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import tomli_w

from intelbench.records.store import StoredRun
from tests.cluster.equality import assert_equal
from tests.cluster.slurm import wait
from tests.reading import read_runs

STEPS = 30
MOMENTS = "start", "first step", "training", "evaluation", "record"
"""Where runs are held: when a worker has started, in the first step, in a step after checkpoints, in an evaluation, and
when the record is written but does not have its place yet."""
PLUGIN = f"""
import os
import sys
import time
from pathlib import Path

from torch import nn

from intelbench import architecture

FOLDER = Path(__file__).parent


def hold(moment):
    gate = FOLDER / f"hold at {{moment}}"
    mine = gate / str(os.getpid())
    for place in "first", "second":
        try:
            (gate / place).rename(mine)
        except OSError:
            continue
        while mine.exists() and not is_asked_to_stop():
            time.sleep(0.02)
        return


def frame_of(module):
    frame = sys._getframe()
    while frame and frame.f_globals["__name__"] != module:
        frame = frame.f_back
    return frame


def is_asked_to_stop():
    run = frame_of("intelbench.orchestration.child")
    return run and run.f_locals["stop"].is_set()


def note_record(event, arguments):
    if event == "os.rename" and Path(os.fsdecode(arguments[0])).name == "record":
        hold("record")
        with (FOLDER / "made").open("a") as file:
            file.write(f"{{Path(os.fsdecode(arguments[1])).name}}\\n")


sys.addaudithook(note_record)
if "work" in sys.argv:
    hold("start")


class Network(nn.Sequential):
    seconds, steps = 0.0, 0

    def forward(self, images):
        if frame_of("intelbench.training.loop"):
            self.steps += self.training
            hold({{1: "first step", {STEPS // 2}: "training"}}.get(self.steps) if self.training else "evaluation")
        time.sleep(self.seconds if self.training else 0)
        return super().forward(images)


@architecture("quick", minimum_size=8)
def quick(request, width=8):
    layers = nn.InstanceNorm2d(3), nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5)
    return Network(*layers, nn.LazyLinear(request.num_classes))


@architecture("slow", minimum_size=8)
def slow(request):
    network = quick.build(request, width=4)
    network.seconds = 0.1
    return network


@architecture("raising", minimum_size=8)
def raising(request):
    raise ValueError("no such network")

"""


class Cluster(Protocol):
    """Hosts of an engine."""

    def lose_node(self) -> None:
        """Kill everything on a host at once, as a power cut does; later, a host takes its place."""
        ...


@dataclass
class Pool:
    """An engine."""

    name: str
    options: Mapping[str, object]
    cluster: Cluster | None = None
    path: Path | None = None
    """Folder of the cluster's commands."""


@dataclass
class Results:
    """What commands have left."""

    folder: Path
    """Folder of the plug-in, which notes what is made, and of what the commands have said."""
    path: Path
    engine: str

    def said(self) -> str:
        """Return what the commands have said."""
        return (self.folder / "said").read_text()

    def made(self) -> Counter[str]:
        """Return how often the record of each run was written."""
        file = self.folder / "made"
        return Counter(file.read_text().split() if file.exists() else ())

    def records(self) -> list[StoredRun]:
        """Return the records; nothing else is left."""
        stored, problems = read_runs(self.path / "runs")
        assert [] == problems
        assert len(stored) == len(list((self.path / "runs").iterdir()))
        return stored

    def finished(self, undisturbed: Mapping[tuple[str, int], StoredRun]) -> list[StoredRun]:
        """Return the records of runs that have finished; fail unless each record was written once, and they are equal
        to those of undisturbed runs.
        """
        stored = self.records()
        assert {each.record.run_id: 1 for each in stored} == self.made()
        finished = [each for each in stored if each.record.failure is None]
        for each in finished:
            assert_equal(undisturbed[each.record.spec.architecture, each.record.spec.seed], each)
        return finished


@dataclass
class Session(Results):
    """A command that executes runs on a pool."""

    pool: Pool
    arguments: Sequence[str | Path]

    def __post_init__(self) -> None:
        with (self.folder / "pool.toml").open("wb") as file:
            tomli_w.dump({"engine": self.pool.name, "slots": 2, **self.pool.options}, file)

    def start(self, *names: str) -> "subprocess.Popen[str]":
        """Start the command for runs of these networks, with seeds 0 and 1."""
        path = os.pathsep.join([*([str(self.pool.path)] if self.pool.path else []), os.environ["PATH"]])
        command = [
            sys.executable, "-m", "intelbench", "run", *(names or ["slow"]), *self.arguments,
            "--on", self.folder / "pool.toml", "--out", self.path,
        ]  # fmt: skip
        with (self.folder / "said").open("a") as said:
            return subprocess.Popen(
                list(map(str, command)), stderr=said, text=True, env={**os.environ, "PATH": path, "COLUMNS": "120"}
            )

    def workers(self) -> list[psutil.Process]:
        """Return the workers and the processes of their runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if "work" in process.cmdline() and str(self.path / "studies") in " ".join(process.cmdline()):
                    found += [process, *process.children(recursive=True)]
            except psutil.Error:
                continue
        return found

    @contextmanager
    def held(self, moment: str) -> Iterator["subprocess.Popen[str]"]:
        """Run the command in the block. Both runs are at a moment when it begins, and wait there for `release` or a
        request to stop. Other processes that come to the moment later do not wait.
        """
        self._gate = self.folder / f"hold at {moment}"
        for place in "first", "second":
            (self._gate / place).mkdir(parents=True)
        with self.start() as process:
            try:
                wait(lambda: not any((self._gate / place).exists() for place in ("first", "second")), 120)
                yield process
            finally:
                self.release()
                process.kill()

    def release(self) -> None:
        """Let runs that wait continue."""
        shutil.rmtree(self._gate, ignore_errors=True)


def arguments(folder: Path, data: Path, suite: Path) -> list[str | Path]:
    """Return the arguments of a command that trains the networks of the plug-in with seeds 0 and 1."""
    (folder / "networks.py").write_text(PLUGIN)
    return [
        "--plugin", folder / "networks.py", "--suite", suite, "--data", data, "--seeds", "0,1",
        "--budget", f"{STEPS} steps", "--threads", "1", "--cache-dir", folder / "cache", "--checkpoint", "0.2 s",
    ]  # fmt: skip
