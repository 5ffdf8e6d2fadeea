"""The engine `slurm`: each run is a batch job, which Slurm queues, and starts again after preemption or a lost node.

It calls `sbatch`, `squeue` and `scancel`, as a user does. A job is found again by its name, so that a session that is
repeated joins the jobs of the earlier one. What is done is what has a record, so no accounting database is needed.
"""

import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from intelbench.config.bounds import byte_count
from intelbench.config.pool import SbatchValue
from intelbench.errors import UserError
from intelbench.orchestration.isolate import Unit
from intelbench.orchestration.job import Progress

_LOOK_SECONDS = 3.0
"""Between two questions to Slurm, each about all jobs."""
_RECORD_SECONDS = 60.0
"""Time after which other hosts see a record in a shared folder, even one that caches what it has looked up."""
_CANCEL_SECONDS = 60.0
"""Time in which a cancelled job ends; Slurm kills it 30 s after SIGTERM, unless it is configured otherwise."""
_ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "FORGOTTEN", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "TIMEOUT",
)  # fmt: skip
"""States of jobs that do not start again. Slurm forgets a job some minutes after its end."""
_WITH_RECORD = "COMPLETED", "OUT_OF_MEMORY"
"""States of jobs that have left a record, unless their worker was killed: it survives a run whose memory is full."""
_QUEUED = "CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED"
_OWN_OPTIONS = "array", "job-name", "open-mode", "output", "parsable", "wrap"
_COMMANDS = "sbatch", "squeue", "scancel"


@dataclass
class Submitted:
    """A run and its job."""

    unit: Unit
    job: str
    ended: float | None = None
    """When the job was first seen to have ended."""


@dataclass
class Slurm:
    """Executes each run as a batch job; `Pool` describes the options."""

    slots: int = 100
    """Jobs that are queued or running at once."""
    gpus: int | None = None
    cpus: int | None = None
    memory: str | None = None
    slurm: Mapping[str, SbatchValue] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict, init=False)
    """States of the jobs of this session, which are not all jobs of the user."""
    _looked: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if missing := [command for command in _COMMANDS if not shutil.which(command)]:
            raise UserError(f"engine 'slurm': no {missing[0]} on PATH. Start this on a host that submits jobs")
        for name in self.slurm:
            if name in _OWN_OPTIONS:
                raise UserError(f"engine 'slurm': option {name!r} of sbatch is set by the engine. Leave it out")

    def start(self, unit: Unit) -> Submitted:
        """Submit the job of a run, unless an earlier session has done so."""
        command = unit.command()
        name = f"intelbench-{unit.study.path.stem}-{unit.job.run_id}"
        queued = _call("squeue", "--me", "--noheader", "--format=%A", f"--name={name}").split()
        if queued:
            return self._submitted(unit, queued[0])
        unit.study.folder.mkdir(exist_ok=True)
        setup = self.slurm.get("setup", [])
        lines = setup if isinstance(setup, list) else [str(setup)]
        script = ["#!/bin/sh", *lines, f"exec {shlex.join(command)}", ""]
        job = _call(
            "sbatch", "--parsable", "--requeue", f"--job-name={name}", "--open-mode=append",
            f"--output={unit.study.folder}/{unit.job.run_id}.log", *self._options(unit), script="\n".join(script),
        )  # fmt: skip
        return self._submitted(unit, job.partition(";")[0])  # the name of a cluster may follow

    def has_ended(self, handle: Submitted) -> bool:
        """Ask Slurm, if that was some time ago, and return whether the job has ended for good."""
        state = self._state(handle.job)
        if state in _QUEUED and handle.unit.last.phase != "queued":
            handle.unit.report(Progress(phase="queued"))
        if state not in _ENDED:
            return False
        handle.ended = handle.ended or time.monotonic()
        handle.unit.ending = f"Slurm job {handle.job}: {state}"
        handle.unit.is_cancelled = state == "CANCELLED"
        handle.unit.is_out_of_memory = state == "OUT_OF_MEMORY"
        is_expected = state in _WITH_RECORD and handle.unit.job.record() is None
        return not is_expected or time.monotonic() - handle.ended > _RECORD_SECONDS

    def cancel(self, handle: Submitted) -> None:
        """Cancel all jobs of this session, and return when that of the run has ended."""
        jobs = [job for job, state in self._states.items() if state not in _ENDED]
        with suppress(UserError):  # some may have just ended
            _call("scancel", *jobs)
        deadline = time.monotonic() + _CANCEL_SECONDS
        while self._state(handle.job) not in _ENDED and time.monotonic() < deadline:
            time.sleep(1)

    def _options(self, unit: Unit) -> list[str]:
        gpus = unit.num_gpus if self.gpus is None else self.gpus
        options: dict[str, SbatchValue] = {"cpus-per-task": self.cpus or unit.num_cpus}
        options |= {"gpus": gpus} if gpus else {}
        options |= {"mem": f"{byte_count(self.memory) // 2**20}M"} if self.memory else {}
        options |= {name: value for name, value in self.slurm.items() if name != "setup" and value is not False}
        return [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]

    def _submitted(self, unit: Unit, job: str) -> Submitted:
        self._states[job] = "PENDING"
        return Submitted(unit, job)

    def _state(self, job: str) -> str:
        """Return the state of a job as it was a few seconds ago, or when Slurm's controller last answered."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            with suppress(UserError):
                lines = _call("squeue", "--me", "--noheader", "--states=all", "--format=%A %T").splitlines()
                states = dict(line.split() for line in lines)
                self._states = {each: states.get(each, "FORGOTTEN") for each in self._states}
        return self._states[job]


def _call(*command: str, script: str = "") -> str:
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"engine 'slurm': {command[0]}: {done.stderr.strip() or f'exit status {done.returncode}'}")
    return done.stdout.strip()
