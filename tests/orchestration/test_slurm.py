"""What the engine `slurm` asks of Slurm, whose commands are scripts here; `make cluster` has a real one."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from intelbench.config.pool import load_pool
from intelbench.errors import UserError
from intelbench.orchestration import slurm
from intelbench.orchestration.engines import NamedEngine
from intelbench.orchestration.isolate import Unit
from intelbench.orchestration.slurm import Slurm
from intelbench.records.types import Execution

SCRIPT = """#!/bin/sh
cd {folder}
echo {name} "$@" >> calls
cat {name}.answer 2> answers || :
test ! -e {name}.fails || {{ echo "{name}: no controller" >&2; exit 1; }}
"""
POOL = """
engine = "slurm"
slots = 7
gpus = 2
memory = "32GB"
[slurm]
partition = "long ones"
exclusive = true
requeue = false
setup = ["module load cuda", "source /shared/bin/activate"]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the commands; a file NAME.answer has what a command prints, and NAME.fails lets it fail."""
    for name in ("sbatch", "squeue", "scancel"):
        (tmp_path / name).write_text(SCRIPT.format(folder=tmp_path, name=name))
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sbatch").write_text(SCRIPT.format(folder=tmp_path, name="sbatch") + "cat > script\n")
    (tmp_path / "sbatch.answer").write_text("12;cluster\n")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "_LOOK_SECONDS", 0.0)
    return tmp_path


@pytest.fixture
def unit(tmp_path: Path) -> Any:
    """Return a run on a GPU."""
    unit = SimpleNamespace(
        command=lambda: ["python", "a file"],
        study=SimpleNamespace(path=tmp_path / "abc.json", folder=tmp_path / "abc"),
        job=SimpleNamespace(run_id="tiny-s0", record=lambda: None),
        num_cpus=9,
        num_gpus=1,
        last=SimpleNamespace(phase="starting"),
        ending="",
        is_cancelled=False,
        said=[],
    )
    unit.report = lambda progress: unit.said.append(progress.phase)
    return unit


def calls(site: Path, name: str) -> list[str]:
    """Return the arguments of every call of a command."""
    lines = (site / "calls").read_text().splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(name)]


def test_a_pool_becomes_a_batch_job(site: Path, unit: Any) -> None:
    """Its keys and the options of sbatch are given to sbatch; lines of setup come before the command."""
    (site / "pool.toml").write_text(POOL)
    engine = NamedEngine(load_pool(str(site / "pool.toml")))
    assert (7, 3) == (engine.slots, engine.attempts)
    assert "12" == engine.start(unit).job
    [submitted] = calls(site, "sbatch")
    options = "--gpus=2", "--cpus-per-task=9", "--mem=30517M", "--partition=long ones", "--exclusive", "--requeue"
    for option in options:
        assert f" {option} " in f" {submitted} "
    assert "requeue=" not in submitted
    assert "setup" not in submitted
    assert f"--output={site}/abc/tiny-s0.log" in submitted
    script = (site / "script").read_text()
    assert "#!/bin/sh\nmodule load cuda\nsource /shared/bin/activate\nexec python 'a file'\n" == script


def test_a_run_on_several_gpus_is_a_job_with_as_many(site: Path, unit: Any) -> None:
    """And with the CPUs of all its processes; a pool with fewer GPUs is refused."""
    execution = Execution(device="cuda", threads=1, workers=7, gpus=4)
    job = SimpleNamespace(spec=SimpleNamespace(execution=execution))
    wanted = Unit(job=job, study=None, starter=None, profiles=None, lock=None, resources=None, on_progress=None)
    unit.num_gpus, unit.num_cpus = wanted.num_gpus, wanted.num_cpus
    NamedEngine(load_pool("slurm"), 4).start(unit)
    [submitted] = calls(site, "sbatch")
    assert " --gpus=4 " in f" {submitted} "
    assert " --cpus-per-task=32 " in f" {submitted} "
    (site / "pool.toml").write_text(POOL)
    with pytest.raises(UserError, match=r"^engine 'slurm': gpus = 2, fewer than those of a run, --gpus 4\. "):
        NamedEngine(load_pool(str(site / "pool.toml")), 4)


def test_a_job_in_the_queue_is_joined(site: Path, unit: Any) -> None:
    """As an earlier session has left it; it is found by the names of the study and the run."""
    (site / "squeue.answer").write_text("31\n")
    assert "31" == Slurm().start(unit).job
    assert [] == calls(site, "sbatch")
    assert "--name=intelbench-abc-tiny-s0" in calls(site, "squeue")[0]


@pytest.mark.parametrize(
    ("state", "has_ended", "is_cancelled"),
    [("RUNNING", False, False), ("COMPLETING", False, False), ("NODE_FAIL", True, False), ("CANCELLED", True, True)],
)
def test_a_run_ends_with_its_job(site: Path, unit: Any, state: str, has_ended: bool, is_cancelled: bool) -> None:
    """Not while Slurm ends it, or may start it again; the state is for the run's record."""
    engine = Slurm()
    handle = engine.start(unit)
    (site / "squeue.answer").write_text(f"11 RUNNING\n12 {state}\n")
    assert has_ended == engine.has_ended(handle)
    assert is_cancelled == unit.is_cancelled
    assert (f"Slurm job 12: {state}" if has_ended else "") == unit.ending


def test_a_completed_job_has_a_record_or_is_waited_for(site: Path, unit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk may show the record later than Slurm the end of the job."""
    engine = Slurm()
    handle = engine.start(unit)
    (site / "squeue.answer").write_text("12 COMPLETED\n")
    assert not engine.has_ended(handle)
    unit.job.record = lambda: "a record"
    assert engine.has_ended(handle)
    unit.job.record = lambda: None
    monkeypatch.setattr(slurm, "_RECORD_SECONDS", 0.0)
    assert engine.has_ended(handle)


def test_a_job_whose_memory_was_full_has_failed(site: Path, unit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker writes the record, if it was not killed too; else the session does, and starts no other job."""
    engine = Slurm()
    handle = engine.start(unit)
    (site / "squeue.answer").write_text("12 OUT_OF_MEMORY\n")
    assert not engine.has_ended(handle)
    monkeypatch.setattr(slurm, "_RECORD_SECONDS", 0.0)
    assert engine.has_ended(handle)
    assert (True, "Slurm job 12: OUT_OF_MEMORY") == (unit.is_out_of_memory, unit.ending)


def test_a_job_that_waits_is_shown_as_queued(site: Path, unit: Any) -> None:
    """Also before Slurm has answered, and while its controller is away, which ends nothing."""
    engine = Slurm()
    handle = engine.start(unit)
    (site / "squeue.fails").touch()
    assert not engine.has_ended(handle)
    (site / "squeue.fails").unlink()
    (site / "squeue.answer").write_text("12 RUNNING\n")
    assert not engine.has_ended(handle)
    assert ["queued"] == unit.said
    (site / "squeue.fails").touch()
    assert not engine.has_ended(handle)
    (site / "squeue.fails").unlink()
    (site / "squeue.answer").write_text("")
    assert engine.has_ended(handle)
    assert "Slurm job 12: FORGOTTEN" == unit.ending


def test_cancelling_waits_for_the_end(site: Path, unit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All jobs of the session are cancelled with the first one, to end at the same time; no other job of the user."""
    engine = Slurm()
    handle = engine.start(unit)
    (site / "sbatch.answer").write_text("13\n")
    engine.start(unit)
    (site / "squeue.answer").write_text("11 RUNNING\n12 RUNNING\n13 RUNNING\n")
    assert not engine.has_ended(handle)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        (site / "squeue.answer").write_text("11 RUNNING\n12 CANCELLED\n")

    monkeypatch.setattr(slurm.time, "sleep", sleep)
    engine.cancel(handle)
    assert 1 == len(looks)
    assert ["12 13"] == calls(site, "scancel")


def test_what_slurm_says_is_passed_on(site: Path, unit: Any) -> None:
    """An option that sbatch refuses, one that the engine sets, and a host without Slurm."""
    (site / "sbatch.fails").touch()
    with pytest.raises(UserError, match=r"^engine 'slurm': sbatch: sbatch: no controller$"):
        Slurm().start(unit)
    with pytest.raises(UserError, match=r"^engine 'slurm': option 'output' of sbatch is set by the engine"):
        Slurm(slurm={"output": "x"})


def test_a_host_without_slurm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before data are read."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"^engine 'slurm': no sbatch on PATH. Start this on a host that submits jobs$"):
        NamedEngine(load_pool("slurm"))
