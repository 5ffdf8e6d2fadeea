"""Code of others may fail, print, fork and meddle: it spoils its own run at most. Partly in real processes."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from intelbench.architectures.registry import ModelRequest, find
from intelbench.config.suites import load_suite, override
from intelbench.data.dataset import prepare
from intelbench.errors import UserError
from intelbench.orchestration.execute import execute
from intelbench.orchestration.forkserver import ForkServer
from intelbench.orchestration.job import Job
from intelbench.orchestration.plan import PlannedRun, plan
from intelbench.orchestration.preflight import require_fit
from intelbench.orchestration.process import Limits
from intelbench.plugins.loading import load_plugin
from intelbench.profiling import reference_kernels
from intelbench.profiling.environment import read_environment
from intelbench.records.store import StoredRun
from intelbench.records.types import Execution
from tests.command import Command, wait_until_ended
from tests.conftest import PLUGIN
from tests.quick_server import KERNEL_SIZES
from tests.reading import read_runs

CPU = Execution(device="cpu", threads=1, workers=0)
HOSTILE = '''
"""Networks that train, but for one thing each."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from torch import nn

from intelbench import architecture

HERE = Path(__file__).parent


def network(request, spare=0):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, request.num_classes + spare))


def hostile(name):
    def decorate(meddle):
        architecture(name, minimum_size=16)(lambda request: meddle(request) or network(request))
    return decorate


class InTraining(nn.Module):
    """Does something in its third training step on real tensors."""

    def __init__(self, request, do):
        super().__init__()
        self.inner, self.do, self.calls = network(request), do, 0

    def forward(self, images):
        self.calls += self.training and images.device.type == "cpu"
        if self.calls == 3:
            self.do()
        return self.inner(images)


def note(pid):
    with (HERE / "pids").open("a") as file:
        file.write(f"{pid}\\n")


def sleep_in_a_copy():
    if (child := os.fork()) == 0:
        time.sleep(600)
    note(child)


@hostile("talks")
def talks(request):
    print("printed")
    os.write(1, b"raw")
    subprocess.run(["echo", "child"])
    sys.stdout.close()
    os.closerange(0, 3)


@hostile("copies_itself")
def copies_itself(request):
    os.fork()


@hostile("leaves_others_behind")
def leaves_others_behind(request):
    threading.Thread(target=time.sleep, args=(600,)).start()
    note(subprocess.Popen(["sleep", "600"], start_new_session=True).pid)
    sleep_in_a_copy()


def die():
    sleep_in_a_copy()
    os.kill(os.getpid(), signal.SIGKILL)


architecture("dies_and_leaves", minimum_size=16)(lambda request: InTraining(request, die))
architecture("vanishes", minimum_size=16)(lambda request: InTraining(request, lambda: os._exit(0)))
architecture("exits", minimum_size=16)(lambda request: InTraining(request, sys.exit))
architecture("returns_nothing", minimum_size=16)(lambda request: None)
architecture("returns_more_logits", minimum_size=16)(lambda request: network(request, 3))
hostile("exits_when_built")(lambda request: sys.exit(0))
hostile("reads_stdin")(lambda request: input())
hostile("wanders")(lambda request: os.chdir("/"))
'''
SMALL = """
from torch import nn
from intelbench import architecture

@architecture("small_{}", minimum_size=16)
def small(request):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, request.num_classes))
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A plug-in of such networks; they write the ids of processes that they leave to `pids` beside it."""
    path = tmp_path / "hostile.py"
    path.write_text(HOSTILE)
    return path


@pytest.fixture
def job(small_folder: Path, small_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Job]:
    """The job of an architecture, whose reference kernels take a moment."""
    monkeypatch.setattr(reference_kernels, "_CPU_SIZES", KERNEL_SIZES)

    def make(name: str) -> Job:
        suite = override(load_suite(str(small_suite)), architectures=(name,))
        dataset = prepare(str(small_folder), suite.conditions, tmp_path / "cache")
        (planned,) = plan(suite, dataset, CPU, read_environment(CPU), runs=tmp_path / "runs")
        return planned.job

    return make


def records(results: Path) -> dict[str, StoredRun]:
    found, problems = read_runs(results / "runs")
    assert [] == problems
    assert [] == [path.name for path in (results / "runs").glob(".*")]
    return {stored.record.spec.architecture: stored for stored in found}


def test_no_process_outlives_its_run_and_none_is_waited_for(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, hostile: Path
) -> None:
    """Threads, children in sessions of their own, copies that hold every channel open; the run ended or was killed."""
    names = ["leaves_others_behind", "dies_and_leaves"]
    arguments = ["--suite", small_suite, "--data", small_folder, "--plugin", hostile, "--threads", 1]
    done = intelbench("run", *names, *arguments)
    assert 1 == done.returncode, done.stderr
    found = records(tmp_path / "results")
    assert found["leaves_others_behind"].record.measurements is not None
    assert "killed" == found["dies_and_leaves"].record.failure.cause
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) >= 3
    wait_until_ended(*pids)


def test_what_leaves_no_record_itself_is_recorded_and_the_others_go_on(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, hostile: Path
) -> None:
    """A network that ends its process as if all were well; ones that close the streams, or go on as two."""
    names = ["vanishes", "copies_itself", "talks"]
    arguments = ["--suite", small_suite, "--data", small_folder, "--plugin", hostile, "--threads", 1]
    done = intelbench("run", *names, *arguments)
    assert 1 == done.returncode, done.stderr
    assert "" == done.stdout
    found = records(tmp_path / "results")
    failure = found["vanishes"].record.failure
    assert ("error", "the process exited with status 0 while training") == (failure.cause, failure.message)
    assert None is found["talks"].record.failure is found["copies_itself"].record.failure
    assert all(stored.unchanged() for stored in found.values())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "returns_nothing",
            "architecture 'returns_nothing': its function returned None; it must return a torch.nn.",
        ),
        (
            "returns_more_logits",
            "the network returns (2, 5) on cpu for 2 images of 2 classes; it must return ",
        ),
        ("exits", "SystemExit: "),
        ("exits_when_built", "SystemExit: 0"),
        ("reads_stdin", "EOFError: "),
    ],
)
def test_a_network_that_is_none_is_a_failure_record(
    name: str, said: str, hostile: Path, job: Callable[[str], Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was returned, what must be, and where it happened."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    load_plugin(hostile)
    record, _ = execute(job(name), lambda _: None)
    assert record.failure is not None
    assert record.failure.message.startswith(said)
    assert "hostile.py" in record.failure.details or name.startswith("returns")


def test_a_network_that_changes_folder_does_so_for_itself(hostile: Path) -> None:
    """Once it is built, relative paths lead where they led before."""
    before = Path.cwd()
    load_plugin(hostile)
    find("wanders")[0].network(ModelRequest(num_classes=2, image_size=32))
    assert before == Path.cwd()


def test_generators_that_a_plugin_meddles_with_change_no_result(tmp_path: Path, job: Callable[[str], Job]) -> None:
    """Weights and batches come from the seed, whatever was drawn or seeded while the plug-in was loaded."""
    meddling = (
        "import random, numpy, torch\nfor each in (random, numpy.random):\n    each.seed(7)\ntorch.manual_seed(7)\n"
    )
    losses = []
    for number, addition in enumerate(("", meddling)):
        path = tmp_path / f"plugin-{number}.py"
        path.write_text(SMALL.format(number) + addition)
        random.seed(number)
        load_plugin(path)
        record, traces = execute(job(f"small_{number}"), lambda _: None)
        assert None is record.failure, record.failure
        losses.append(np.asarray(traces["step_loss"]).tobytes())
    assert losses[0] == losses[1]


def test_a_run_loads_the_plugin_that_it_needs_and_no_other(tmp_path: Path, job: Callable[[str], Job]) -> None:
    """So one that changes PyTorch leaves what it is compared with alone."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            f"from torch import nn\nfrom intelbench import architecture\narchitecture('{name}')(nn.Identity)\n"
        )
        load_plugin(tmp_path / f"{name}.py")
    assert (str(tmp_path / "one.py"),) == job("one").plugins
    assert (str(tmp_path / "two.py"),) == job("two").plugins
    assert () == job("torchvision:resnet18").plugins


FIXED = """
import os

from torch import nn
from intelbench import architecture

@architecture("fixed")
def fixed(request):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, request.num_classes))

@architecture("always_fails")
def always_fails(request):
    return nn.Linear(1, request.num_classes)

@architecture("vanishes")
def vanishes(request):
    os._exit(0)
"""


def test_a_size_that_a_plugins_network_cannot_take_is_refused_before_anything_runs(
    tmp_path: Path, intelbench: Command, small_folder: Path, small_suite: Path, plugin: Path
) -> None:
    """With the nearest sizes that it takes; the networks that it is compared with do not run either."""
    path = tmp_path / "fixed.py"
    path.write_text(FIXED)
    arguments = ["--suite", small_suite, "--data", small_folder, "--plugin", path, "--plugin", plugin]
    done = intelbench("run", "tiny", "fixed", *arguments)
    assert 2 == done.returncode
    assert "architecture 'fixed' does not take images of 32 px" in done.stderr
    assert "it takes 64 px, the nearest usual size" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results" / "runs").exists()


def test_a_network_that_takes_no_size_is_left_to_its_run(
    server: ForkServer, tmp_path: Path, job: Callable[[str], Job]
) -> None:
    """One that fails whatever its images, and one that ends the process in which it is tried."""
    path = tmp_path / "fixed.py"
    path.write_text(FIXED)
    load_plugin(path)
    planned = [PlannedRun(job(name), None) for name in ("always_fails", "vanishes")]
    require_fit(planned, server, Limits())
    with pytest.raises(UserError, match="'fixed' does not take images of 32 px"):
        require_fit([*planned, PlannedRun(job("fixed"), None)], server, Limits())


def test_profile_prints_its_table_alone(tmp_path: Path, intelbench: Command) -> None:
    """What a plug-in prints while it is loaded, built and run stands on stderr."""
    path = tmp_path / "loud.py"
    path.write_text(PLUGIN + "\nprint('loaded')\n")
    path.write_text(
        path.read_text().replace("    return nn.Sequential(", "    print('built')\n    return nn.Sequential(", 1)
    )
    done = intelbench(
        "profile", "tiny", "--plugin", path, "--image-size", "32", "--batch-sizes", "4", "--format", "csv"
    )
    assert 0 == done.returncode, done.stderr
    assert done.stdout.startswith("architecture,")
    assert {"loaded", "built"} <= set(done.stderr.splitlines())


def test_a_plugin_that_fails_when_profiled_is_named(tmp_path: Path, intelbench: Command) -> None:
    """In its row, without a traceback."""
    path = tmp_path / "bad.py"
    path.write_text("from intelbench import architecture\narchitecture('bad')(lambda request: 1 / 0)\n")
    done = intelbench("profile", "bad", "--plugin", path, "--format", "csv")
    assert 1 == done.returncode
    assert "architecture 'bad': failed with ZeroDivisionError: division by zero (bad.py:2)" in done.stdout
    assert "Traceback" not in done.stderr
