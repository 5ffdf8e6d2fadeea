"""Networks are described and measured in a process of their own, which may die."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.recipe import Recipe
from intelbench.orchestration import probe
from intelbench.orchestration.forkserver import ForkServer
from intelbench.orchestration.probe import Probe, ProbeError, describe, probe_in_process
from intelbench.orchestration.process import Limits, Process, take_request
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.memory import return_freed_memory
from intelbench.records.types import Execution
from tests.command import wait_until_ended

CONDITIONS = Conditions(image_size=64, budget=Budget(steps=1), recipe=Recipe())
DOOMED = '''
"""Networks that do not live to see their third batch."""

import os
import sys
import time
from pathlib import Path

import torch
from torch import nn

from intelbench import architecture


class Doomed(nn.Module):
    """Meets its end in its first step on `batch_size` real images; what has no pixels yet does it no harm."""

    def __init__(self, num_classes, batch_size, end):
        super().__init__()
        self.head = nn.Linear(3, num_classes)
        self.batch_size = batch_size
        self.end = end

    def forward(self, images):
        if type(images) is torch.Tensor and images.device.type != "meta" and len(images) == self.batch_size:
            self.end()
        return self.head(images.mean((2, 3)))


def leave():
    print("a warning\\nso it ends", file=sys.stderr, flush=True)
    os._exit(7)


def hang():
    Path(__file__).with_name("pid").write_text(str(os.getpid()))
    time.sleep(600)


def fail():
    raise ValueError("enough")


architecture("leaves")(lambda request: Doomed(request.num_classes, 2, lambda: os._exit(7)))
architecture("leaves_later")(lambda request: Doomed(request.num_classes, 4, leave))
architecture("fails")(lambda request: Doomed(request.num_classes, 2, fail))
architecture("hangs")(lambda request: Doomed(request.num_classes, 2, hang))
architecture("is_not_built")(lambda request: os._exit(3))


@architecture("cannot_be_built")
def cannot_be_built(request):
    raise ValueError(f"no network for {request.num_classes} classes")
'''


@pytest.fixture
def doomed(tmp_path: Path) -> Path:
    """A plug-in with such networks; one that hangs writes its process id beside it."""
    path = tmp_path / "doomed.py"
    path.write_text(DOOMED)
    return path


def probe_of(name: str, plugin: Path, batch_sizes: tuple[int, ...] = (2, 4)) -> Probe:
    """On this machine's processor."""
    return Probe(
        architecture=name,
        plugins=(str(plugin),),
        num_classes=5,
        conditions=CONDITIONS,
        execution=Execution(device="cpu", threads=1, workers=0),
        frozen=False,
        batch_sizes=batch_sizes,
    )


def test_a_network_is_described_and_real_steps_are_measured(server: ForkServer, plugin: Path) -> None:
    """The description is that of this process; each batch size has its peak, and a larger one needs more."""
    probe = probe_of("tiny", plugin, (2, 2000))
    found = probe_in_process(probe, server, Limits())
    load_plugin(plugin)
    assert describe(probe) == msgspec.structs.replace(found, measured=())
    small, large = found.measured
    assert (2, 2000) == (small.batch_size, large.batch_size)
    assert small.peak is not None
    assert large.peak is not None
    assert small.peak.process_bytes is not None
    assert large.peak.process_bytes is not None
    assert large.peak.process_bytes > 2000 * 3 * 64 * 64 * 4 > small.peak.process_bytes > 0


@pytest.mark.parametrize(("name", "end"), [("leaves", "7"), ("fails", "1: ValueError: enough")])
def test_a_network_that_dies_in_its_first_step_is_described(
    server: ForkServer, doomed: Path, name: str, end: str
) -> None:
    """No batch size has a peak; instead stands how the process ended, and the last that it said."""
    reason = f"its process exited with status {end}"
    found = probe_in_process(probe_of(name, doomed), server, Limits())
    assert (name, 20) == (found.architecture, found.num_parameters)
    assert [2, 4] == [memory.batch_size for memory in found.memory]
    assert [(2, None, reason), (4, None, reason)] == [
        (each.batch_size, each.peak, each.failure) for each in found.measured
    ]


def test_what_was_measured_before_the_end_is_kept(server: ForkServer, doomed: Path) -> None:
    """The first batch size has its peak, the second the reason."""
    first, second = probe_in_process(probe_of("leaves_later", doomed), server, Limits()).measured
    assert first.peak is not None
    assert first.failure is None
    assert (4, None, "its process exited with status 7: so it ends") == (second.batch_size, second.peak, second.failure)


@pytest.mark.parametrize(
    ("name", "end"), [("is_not_built", "3"), ("cannot_be_built", "1: ValueError: no network for 5 classes")]
)
def test_a_network_that_dies_while_it_is_built_cannot_be_profiled(
    server: ForkServer, doomed: Path, name: str, end: str
) -> None:
    """The message names it, and what the process said last."""
    with pytest.raises(ProbeError) as caught:
        probe_in_process(probe_of(name, doomed), server, Limits())
    assert f"{name} cannot be profiled: its process exited with status {end}" == str(caught.value)


def test_a_network_that_hangs_is_ended_at_the_time_out(
    server: ForkServer, doomed: Path, time_out_at: Callable[[Path], None]
) -> None:
    """What was measured before is kept, the rest has the reason, and no process is left."""
    time_out_at(doomed.with_name("pid"))
    found = probe_in_process(probe_of("hangs", doomed), server, Limits(seconds=8))
    assert 20 == found.num_parameters
    assert [(None, "not finished after 8 s")] * 2 == [(each.peak, each.failure) for each in found.measured]
    wait_until_ended(int(doomed.with_name("pid").read_text()))


def test_a_probe_does_not_outlive_a_killed_parent(doomed: Path) -> None:
    """SIGKILL gives the parent no time to clean up; the process that hangs there notices and ends too."""
    program = (
        "import sys, msgspec; from intelbench.orchestration.probe import Probe, probe_in_process; "
        "from intelbench.orchestration.process import FreshPython, Limits; "
        "probe_in_process(msgspec.json.decode(sys.argv[1], type=Probe), FreshPython({}), Limits())"
    )
    pid_file = doomed.with_name("pid")
    probe = msgspec.json.encode(probe_of("hangs", doomed))
    with subprocess.Popen([sys.executable, "-c", program, probe]) as parent:
        deadline = time.monotonic() + 60
        while not pid_file.exists() or not pid_file.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        parent.kill()
    wait_until_ended(int(pid_file.read_text()))


def test_a_network_that_hangs_before_it_is_described_cannot_be_profiled(server: ForkServer, doomed: Path) -> None:
    """Nothing is known of it but that."""
    with pytest.raises(ProbeError, match=r"hangs cannot be profiled: not finished after 0\.01 s"):
        probe_in_process(probe_of("hangs", doomed), server, Limits(seconds=0.01))


def test_a_small_first_step_leaves_the_peak_of_the_second_as_it_was(server: ForkServer) -> None:
    """A processor's peak is that of the whole batch, once the optimizer has its state, whatever came before it."""
    asked = msgspec.structs.replace(probe_of("resnet18", Path(), (64,)), plugins=())

    def peak(first_images: int) -> int:
        with Process(__name__, Measurement(asked, first_images), server, Limits()) as process:
            [peak] = process.answers()
        return int(peak)

    small = peak(2)
    assert pytest.approx(small, rel=0.03) == peak(64)
    assert small > 100e6


class Measurement(msgspec.Struct):
    """What the process of a measurement is to do."""

    asked: Probe
    first_images: int


def main() -> None:
    """Measure a training step, and answer with the peak of its memory in bytes."""
    order, answer = take_request(Measurement)
    probe._FIRST_IMAGES = order.first_images
    return_freed_memory()
    (measured,) = probe.measure_steps(order.asked)
    assert measured.peak is not None
    answer(measured.peak.process_bytes)
