"""What several test modules stand on: small image folders, small networks, and the command line as users call it."""

import gc
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from intelbench.records.types import RunRecord
from intelbench.results.study import read
from intelbench.results.summaries import CohortSummary
from tests.command import REPOSITORY, Command, Servers, call, own_registries, quick
from tests.fake_cuda import FakeCuda, install
from tests.reading import read_runs
from tests.synthetic import ARCHITECTURES, Study, Summarize, synthetic_runs

settings.register_profile("tests", deadline=None)  # how long an example takes depends on the load of the machine
settings.load_profile("tests")
REAL_IMAGES = REPOSITORY.parent / "shared" / "data" / "intel-sample"

PLUGIN = '''
"""Small networks for tests, and ones that misbehave."""

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

from intelbench import ModelRequest, architecture
from intelbench.records.workspace import Workspace


def network(request: ModelRequest) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(8, request.num_classes),
    )


class Misbehaving(nn.Module):
    """Calls `misbehave` in one of its training steps on real tensors."""

    def __init__(self, request, misbehave, step):
        super().__init__()
        self.inner = network(request)
        self.misbehave = misbehave
        self.calls = 0
        self.step = step

    def forward(self, images):
        if self.training and images.device.type != "meta":
            self.calls += 1
            if self.calls == self.step:
                return self.misbehave(self.inner(images))
        return self.inner(images)


tiny = architecture("tiny", minimum_size=16)(network)


@architecture("tiny_twin")
def tiny_twin(request):
    return network(request)


def misbehaving(name, misbehave, step=3):
    architecture(name)(lambda request: Misbehaving(request, misbehave, step))


def fail(output):
    raise ValueError("the <network> has had enough")


def hoard(output):
    kept = []
    while True:
        kept.append(torch.ones(2**22))
        time.sleep(0.005)


def hang(output):
    Path(__file__).with_name("hangs").write_text("now")
    time.sleep(600)


@architecture("crashes_late")
def crashes_late(request):
    Workspace.discard_checkpoint = lambda _: os.kill(os.getpid(), signal.SIGSEGV)
    return network(request)


misbehaving("raises", fail)
misbehaving("raises_late", fail, 5)
misbehaving("raises_once", lambda output: fail(output) if Path(__file__).with_name("raises").exists() else output, 5)
misbehaving("diverges", lambda output: output * float("nan"))
misbehaving("exhausts", lambda output: output + torch.empty(10**15).sum())
misbehaving("dies", lambda output: os.kill(os.getpid(), signal.SIGKILL))
misbehaving("exits", lambda output: os._exit(7))
misbehaving("hoards", lambda output: hoard(output))
misbehaving("hangs", hang)
'''


def pytest_configure(config: pytest.Config) -> None:
    """Hide the GPUs of the machine, so that the tests find the same everywhere; `pytest -m gpu` alone sees them.

    PyTorch reads the variables when it looks for GPUs for the first time, which no import does. The processes that
    tests start inherit them.
    """
    if config.option.markexpr != "gpu":
        os.environ |= dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"), "")


def pytest_collection_finish() -> None:
    """Let garbage collections pass over the modules and the tests, which would take most of their time."""
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none, or where it is hidden."""
    if config.option.markexpr == "gpu" and torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device; `pytest -m gpu` runs it where there is one"))


@pytest.fixture(scope="session", autouse=True)
def no_fsync() -> Iterator[None]:
    """Let no test wait for the disk, which takes longer than all else that writes a record. No test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A GPU whose tensors are on the CPU; see `tests.fake_cuda`."""
    return install(monkeypatch)


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The sample of real images, where it lies beside the checkout."""
    if not REAL_IMAGES.is_dir():
        pytest.skip(f"the sample of real images is not at {REAL_IMAGES}")
    return REAL_IMAGES


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plug-in file with small networks."""
    path = tmp_path_factory.mktemp("plugin") / "small.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(autouse=True)
def own_registry() -> Iterator[None]:
    """What a test registers, and the plug-ins that it loads, end with it."""
    with own_registries():
        yield


def write_image(path: Path, *, seed: int = 0, size: tuple[int, int] = (40, 32), colour: int = 128) -> None:
    """A noisy picture of one colour; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-60, 60, size=(size[1], size[0], 3))
    pixels = np.clip(noise + np.array([colour, 128, 255 - colour]), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def commands_of(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the words and the command of every group and subcommand, the given group included."""
    yield words, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, *words, name)
        else:
            yield (*words, name), command


def blank(size: int) -> torch.Tensor:
    """Memory for a view of an image, size x size x 3."""
    return torch.empty(size, size, 3, dtype=torch.uint8)


def write_folder(
    root: Path, *, classes: Sequence[str] = ("day", "night"), per_class: int = 12, splits: str = "train test"
) -> Path:
    """A data set whose classes differ in colour; `splits` names the split folders, and may be empty."""
    for number, split in enumerate(splits.split() or [""]):
        for label, name in enumerate(classes):
            for index in range(per_class):
                seed = (number * 100 + label) * 1000 + index
                write_image(root / split / name / f"{index:03d}.png", seed=seed, colour=40 + 170 * (label % 2))
    return root


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 24 images each in train and in test."""
    return write_folder(tmp_path_factory.mktemp("data") / "colours", per_class=24)


SMALL_SUITE = """
name = "small"
architectures = ["tiny", "tiny_twin"]
seeds = [0]
image_size = 32
validation_fraction = 0.2
evaluation_points = 2
warmup_steps = 1
[budget]
steps = 6
[recipe]
learning_rate = 0.01
batch_size = 8
"""


@pytest.fixture(scope="session")
def small_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite that trains for six steps on 32 px."""
    path = tmp_path_factory.mktemp("suite") / "small.toml"
    path.write_text(SMALL_SUITE)
    return path


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Servers of runs, which start when they are first asked for."""
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def command_variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables of commands: a cache shared by the session, and the width of a terminal."""
    return {"INTELBENCH_CACHE": str(tmp_path_factory.getbasetemp() / "cache"), "COLUMNS": "120"}


@pytest.fixture
def intelbench(
    tmp_path: Path, servers: Servers, command_variables: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> Command:
    """Call the command line in an empty folder, without a process of its own; see `tests.command`."""

    def command(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        starter = quick if env else servers.starter  # a server of other variables is of no further use
        status = call(arguments, tmp_path, {**command_variables, **(env or {})}, starter)
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    return command


@pytest.fixture
def summarize(tmp_path: Path) -> Summarize:
    """Write synthetic records and return the summary of their largest cohort."""

    def summary(
        architectures: Sequence[str] = ARCHITECTURES,
        seeds: Sequence[int] = (0, 1, 2),
        *,
        given_margin: float | None = None,
        **changes: Any,
    ) -> CohortSummary:
        synthetic_runs(tmp_path / "runs", architectures, seeds, Study(**changes))
        return read(tmp_path / "runs", given_margin).cohorts[0]

    return summary


@pytest.fixture
def synthetic_record(tmp_path: Path) -> RunRecord:
    """Return the record of a finished run."""
    synthetic_runs(tmp_path / "synthetic", ["resnet101"], [0])
    return read_runs(tmp_path / "synthetic")[0][0].record
