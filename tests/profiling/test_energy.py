"""Joules come from a counter or from nowhere, and no counter can end a run."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Literal

import pytest
import torch

from intelbench.profiling import energy
from intelbench.profiling.energy import EnergyMeter, NvmlCounter, RaplCounter, find_counter
from tests.fake_cuda import FakeCuda, nvml_module

CPU = torch.device("cpu")
IDLE_WATTS = 8.0


class Machine:
    """A clock and a counter of joules; both go on when they are told to, and in a sleep that nobody waits for."""

    source: Literal["rapl"] = "rapl"

    def __init__(self) -> None:
        self.now = 1000.0
        self.total = 5000.0
        self.num_readings = 0
        self.naps: list[float] = []
        self.error: OSError | None = None

    def sleep(self, seconds: float) -> None:
        """Be later at once."""
        self.naps.append(seconds)
        self.now += seconds
        self.total += IDLE_WATTS * seconds

    def joules(self) -> float:
        """All so far, or the error that was set."""
        self.num_readings += 1
        if self.error:
            raise self.error
        return self.total


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One whose clock tests set."""
    fake = Machine()
    monkeypatch.setattr(time, "monotonic", lambda: fake.now)
    monkeypatch.setattr(time, "sleep", fake.sleep)
    return fake


@pytest.fixture
def counting(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One whose counter is found, too."""
    monkeypatch.setattr(energy, "find_counter", lambda _: machine)
    return machine


def zone(folder: Path, name: str, kind: str, microjoules: int, largest: int = 10**9) -> Path:
    """A power zone as the kernel shows it."""
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "name").write_text(f"{kind}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{largest}\n")
    return path


def test_rapl_adds_packages_up(tmp_path: Path) -> None:
    """Joules since the counter was made; parts of packages, the platform and other drivers' zones are left out."""
    packages = [zone(tmp_path, f"intel-rapl:{number}", f"package-{number}", 10**8) for number in range(2)]
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 10**8),
        zone(tmp_path, "intel-rapl:1:0", "dram", 10**8),
        zone(tmp_path, "intel-rapl:2", "psys", 10**8),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 10**8),
    ]
    (tmp_path / "intel-rapl").mkdir()
    counter = RaplCounter(tmp_path)
    assert "rapl" == counter.source
    assert 0 == counter.joules()
    for path, microjoules in zip(packages, (2_500_000, 250_000), strict=True):
        (path / "energy_uj").write_text(str(10**8 + microjoules))
    for path in others:
        (path / "energy_uj").write_text(str(5 * 10**8))
    assert [2.75, 2.75] == [counter.joules(), counter.joules()]


def test_rapl_begins_anew_at_its_range(tmp_path: Path) -> None:
    """A counter that has passed its largest value continues from 0, once or again and again."""
    package = zone(tmp_path, "intel-rapl:0", "package-0", 90, largest=99)
    counter = RaplCounter(tmp_path)
    readings = []
    for microjoules in (10, 60, 0, 99):
        (package / "energy_uj").write_text(str(microjoules))
        readings.append(counter.joules())
    assert pytest.approx([20e-6, 70e-6, 110e-6, 209e-6]) == readings


@pytest.mark.parametrize("folder", ["", "no such folder"])
def test_a_machine_without_rapl(tmp_path: Path, folder: str) -> None:
    """As virtual machines are: said so."""
    with pytest.raises(OSError, match="the kernel shows no RAPL counter, as on most virtual machines"):
        RaplCounter(tmp_path / folder)


def test_a_processors_counter_is_rapls(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found where Linux shows it."""
    monkeypatch.setattr(energy, "RaplCounter", lambda: machine)
    assert machine is find_counter(CPU)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, fake_cuda: FakeCuda) -> ModuleType:
    """A driver's library with one GPU, which tests make fail."""
    module = nvml_module()
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


def failing(nvml: ModuleType) -> Callable[..., object]:
    """Any function of the library, refused."""

    def fail(*_: object) -> object:
        raise nvml.NVMLError("Not Supported")

    return fail


@pytest.mark.usefixtures("nvml")
def test_nvml_counts_millijoules() -> None:
    """The GPU of the run is told by its own number, whatever GPUs the process may see."""
    counter = find_counter(CPU)
    assert ("nvml", 98_765.432) == (counter.source, counter.joules())


def test_the_joules_of_several_gpus_are_added_up(nvml: ModuleType) -> None:
    """Of those that compute a run together."""
    assert 3 * NvmlCounter(CPU).joules() == pytest.approx(NvmlCounter(CPU, CPU, CPU).joules())


@pytest.mark.parametrize("call", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_a_driver_that_does_not_answer_is_an_oserror(
    nvml: ModuleType, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """With the library's reason."""
    monkeypatch.setattr(nvml, call, failing(nvml))
    with pytest.raises(OSError, match="NVML: Not Supported"):
        NvmlCounter(CPU)


def test_a_gpu_that_does_not_count_is_an_oserror(nvml: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """As old GPUs and parts of one do not."""
    counter = NvmlCounter(CPU)
    monkeypatch.setattr(nvml, "nvmlDeviceGetTotalEnergyConsumption", failing(nvml))
    with pytest.raises(OSError, match="NVML: Not Supported"):
        counter.joules()


def test_joules_are_counted_after_a_second_of_idling(counting: Machine) -> None:
    """What the device takes when it does nothing is noted, and is not in the run's joules."""
    meter = EnergyMeter(CPU)
    assert [1.0] == counting.naps
    counting.now += 40
    counting.total += 500
    found = meter.read()
    assert ("rapl", 500, 40, None) == (found.source, found.joules, found.seconds, found.absent)
    assert (IDLE_WATTS, 1) == (found.idle_joules, found.idle_seconds)


def test_a_look_is_taken_once_a_minute(counting: Machine) -> None:
    """However many steps there are in it: a reading takes time."""
    meter = EnergyMeter(CPU)
    before = counting.num_readings
    readings = []
    for _ in range(181):
        meter.look()
        readings.append(counting.num_readings - before)
        counting.now += 1
    assert [0] * 60 + [1] * 60 + [2] * 60 + [3] == readings


def test_looking_changes_no_figure(counting: Machine) -> None:
    """All joules since the beginning are counted at the end."""
    meter = EnergyMeter(CPU)
    for _ in range(3):
        counting.now += 100
        counting.total += 7
        meter.look()
    assert 21 == meter.read().joules


@pytest.mark.parametrize("by_looking", [True, False])
def test_a_counter_that_fails_in_the_middle_is_absent(counting: Machine, by_looking: bool) -> None:
    """No joules but the reason, also where it counts again later; the run continues."""
    meter = EnergyMeter(CPU)
    counting.now += 61
    counting.error = OSError("NVML: GPU is lost")
    if by_looking:
        meter.look()
        counting.error = None
    found = meter.read()
    assert (None, None, "NVML: GPU is lost") == (found.source, found.joules, found.absent)
    assert 61 == found.seconds
    assert (IDLE_WATTS, 1) == (found.idle_joules, found.idle_seconds)
    assert found == meter.read()


def test_a_counter_that_fails_at_once_is_absent(counting: Machine) -> None:
    """No second is spent on it."""
    counting.error = OSError("NVML: Not Supported")
    found = EnergyMeter(CPU).read()
    assert (None, "NVML: Not Supported") == (found.joules, found.absent)
    assert (None, 0) == (found.idle_joules, found.idle_seconds)
    assert [] == counting.naps


def test_a_machine_without_a_counter_says_so(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A run there continues at once, and has its seconds."""
    monkeypatch.setattr(energy, "find_counter", lambda _: RaplCounter(tmp_path))
    meter = EnergyMeter(CPU)
    meter.look()
    machine.now += 5
    found = meter.read()
    assert (None, None, 5) == (found.source, found.joules, found.seconds)
    assert "the kernel shows no RAPL counter, as on most virtual machines" == found.absent
    assert [] == machine.naps


def test_a_counter_for_the_administrator_alone_is_absent(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The reason names the file whose permissions would have to change."""
    closed = zone(tmp_path, "intel-rapl:0", "package-0", 0) / "energy_uj"
    read = Path.read_text

    def refuse(path: Path) -> str:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(energy, "find_counter", lambda _: RaplCounter(tmp_path))
    found = EnergyMeter(CPU).read()
    assert (None, None, f"{closed}: Permission denied") == (found.source, found.joules, found.absent)
    assert [] == machine.naps


@pytest.mark.gpu
def test_a_gpu_counts_or_says_why_not() -> None:
    """Joules that rise while it works, or a reason."""
    device = torch.device("cuda")
    meter = EnergyMeter(device)
    matrix = torch.randn(4096, 4096, device=device)
    started = time.monotonic()
    while time.monotonic() - started < 1:
        matrix = (matrix @ matrix) / 4096
        torch.cuda.synchronize()
    found = meter.read()
    assert (found.joules is None) == (found.absent is not None)
    assert found.joules is None or found.joules > 0


def test_runs_at_once_do_not_share_the_counter_of_the_packages() -> None:
    """Nobody could say whose energy it is; a GPU has a counter of its own."""
    found = EnergyMeter(CPU, slots=2).read()
    assert (None, "2 runs at once share the CPU packages") == (found.joules, found.absent)
