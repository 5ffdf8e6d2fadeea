"""What others did with the machine, from the operating system's accounts."""

import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import psutil
import pytest

from intelbench.profiling import contention
from intelbench.profiling.contention import ContentionMeter

Machine = SimpleNamespace


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """An operating system whose accounts tests write."""
    fake = Machine(
        now=1000.0,
        load=0.5,
        times={"user": 100.0, "nice": 10.0, "system": 20.0, "idle": 5000.0, "irq": 1.0, "softirq": 2.0, "steal": 4.0},
        own=Machine(user=30.0, system=5.0, children_user=7.0),
        switches=11,
    )

    class Process:
        """This one."""

        def cpu_times(self) -> SimpleNamespace:
            return fake.own

        def num_ctx_switches(self) -> SimpleNamespace:
            return SimpleNamespace(voluntary=10**6, involuntary=fake.switches)

    monkeypatch.setattr(time, "monotonic", lambda: fake.now)
    monkeypatch.setattr(psutil, "Process", Process)
    others = SimpleNamespace(**dict.fromkeys(fake.times, 10.0**9))  # processors of other runs
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [others, SimpleNamespace(**fake.times), others])
    monkeypatch.setattr(contention, "own_processors", lambda: [1])
    monkeypatch.setattr(psutil, "getloadavg", lambda: (fake.load, 99.0, 99.0))
    return fake


def add(machine: Machine, **seconds: float) -> None:
    """Somebody used the processors."""
    for name, spent in seconds.items():
        machine.times[name] += spent


def test_figures_are_differences_of_the_systems_accounts(machine: Machine) -> None:
    """Others' seconds leave out idle ones and this process's own, which the system's accounts include."""
    meter = ContentionMeter()
    add(machine, user=40, nice=1, system=8, irq=0.5, softirq=0.25, idle=700, steal=1.5)
    machine.own = SimpleNamespace(user=55.0, system=8.0)
    machine.now, machine.load, machine.switches = 1064.0, 1.75, 14
    found = meter.read()
    assert (64, 0.5, 1.75, 3) == (found.seconds, found.load_before, found.load_after, found.involuntary_switches)
    assert 49.75 - (25 + 3) == found.others_cpu_seconds
    assert 1.5 == found.stolen_cpu_seconds


def test_reading_again_counts_from_the_beginning(machine: Machine) -> None:
    """Not from the reading before."""
    meter = ContentionMeter()
    for seconds in (1, 2):
        add(machine, user=seconds)
        found = meter.read()
    assert 3 == found.others_cpu_seconds


def test_it_is_read_twice_a_second_and_at_evaluations(machine: Machine) -> None:
    """Each entry counts from the one before, also where a step took longer."""
    meter = ContentionMeter()
    for step, passed, at_evaluation in [(1, 0.3, False), (2, 0.4, False), (3, 0.1, True), (4, 5.0, False)]:
        machine.now += passed
        add(machine, user=0.25, steal=0.125)
        meter.look(step, at_evaluation=at_evaluation)
    found = meter.traces()
    assert [2, 3, 4] == found["contention_step"].tolist()
    assert [0.7, 0.1, 5.0] == pytest.approx(found["contention_seconds"].tolist())
    assert [0.5, 0.25, 0.25] == found["contention_others_cpu_seconds"].tolist()
    assert [0.25, 0.125, 0.125] == found["contention_stolen_cpu_seconds"].tolist()


def test_rounding_is_no_processor_time(machine: Machine) -> None:
    """What this process took is the same 0.01 s in both accounts, whose differences are not exactly equal."""
    meter = ContentionMeter()
    add(machine, user=0.01)
    machine.own = SimpleNamespace(user=30.01, system=5.0)
    meter.look(1, at_evaluation=True)
    assert [0.0] == meter.traces()["contention_others_cpu_seconds"].tolist()


def test_no_reading_gives_empty_arrays(machine: Machine) -> None:
    """So that those of a resumed run can be joined; stolen time is left out where the system does not tell."""
    del machine.times["steal"]
    found = ContentionMeter().traces()
    assert {"contention_step", "contention_seconds", "contention_others_cpu_seconds"} == found.keys()
    assert [0, 0, 0] == [len(values) for values in found.values()]


def test_a_system_without_steal_does_not_tell(machine: Machine) -> None:
    """Absent is `None`, never 0; the rest is there, also without interrupts of their own."""
    for name in ("steal", "irq", "softirq"):
        del machine.times[name]
    meter = ContentionMeter()
    add(machine, user=2)
    found = meter.read()
    assert found.stolen_cpu_seconds is None
    assert 2 == found.others_cpu_seconds


@pytest.mark.parametrize(
    "change",
    [
        lambda machine: setattr(machine, "own", SimpleNamespace(user=30.5, system=5.5)),
        lambda machine: add(machine, user=-1, steal=-1),
    ],
)
def test_nobody_used_less_than_nothing(machine: Machine, change: Callable[[Machine], None]) -> None:
    """The system's account may be a little behind the process's own, and kernels have let stolen time fall."""
    meter = ContentionMeter()
    change(machine)
    found = meter.read()
    assert (0, 0) == (found.others_cpu_seconds, found.stolen_cpu_seconds)


def test_another_busy_process_is_seen() -> None:
    """One that uses 0.3 s of a processor."""
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    meter = ContentionMeter()
    subprocess.run([sys.executable, "-c", burn], check=True)
    found = meter.read()
    assert found.others_cpu_seconds is not None
    assert found.others_cpu_seconds > 0
    assert found.seconds > 0
    assert found.involuntary_switches >= 0
    assert found.load_before >= 0
    assert found.load_after >= 0


def test_the_other_processes_of_the_run_are_not_others() -> None:
    """A process that is busy on a processor of this one does not count if its id is given."""
    program = "import time\nprint(flush=True)\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        meters = ContentionMeter(), ContentionMeter(process.pid)
        busy = psutil.Process(process.pid)
        started = busy.cpu_times().user
        while busy.cpu_times().user < started + 0.5:
            time.sleep(0.05)
        alone, together = (meter.read().others_cpu_seconds or 0.0 for meter in meters)
        process.kill()
    assert alone - together > 0.4
