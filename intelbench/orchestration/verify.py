"""`intelbench verify`: the first steps of a recorded run once more, held against the record.

They are taken in a process of their own, as the run was; it answers with what it has observed.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray

from intelbench.architectures.registry import find, load_plugin, plugins_of
from intelbench.architectures.weights import obtain
from intelbench.data.dataset import Split, prepare
from intelbench.data.seeds import stream_seed
from intelbench.errors import UserError
from intelbench.orchestration.job import Job
from intelbench.orchestration.network import set_up
from intelbench.orchestration.process import Limits, Process, carry_out, take_request
from intelbench.profiling.environment import child_environment, choose_execution, read_environment
from intelbench.profiling.steps import LapClock
from intelbench.records.identity import changes, facts
from intelbench.records.store import StoredRun, read_run
from intelbench.training.budget import Progress
from intelbench.training.loop import train
from intelbench.training.precision import configure

_NO_IMAGES = Split((), (), ())


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for."""

    record: Path
    steps: int
    """Most that are taken."""
    data: str | None
    """Where the images lie now; `None` where the record says."""
    plugins: tuple[Path, ...]
    cache_folder: Path


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How far this machine reproduces a run."""

    run_id: str
    num_steps: int
    """That were taken."""
    verified_step: int | None
    """Last step up to which the record tells that the batches were the same; `None` where not even the first was."""
    same_batches: bool
    """At every step for which the record has a digest."""
    first_difference: int | None
    """First step whose loss or gradient norm has other bits; `None` where all are equal."""
    largest_difference: float
    """Of any loss or gradient norm, relative to the recorded one."""
    changed: str
    """What is not as it was when the run was recorded, in words."""

    def reproduced(self, tolerance: float) -> bool:
        """Whether batches are the same and numbers differ by no more than this share of them."""
        return self.same_batches and self.largest_difference <= tolerance


class Replay(Struct, frozen=True, kw_only=True):
    """What the process is to do."""

    job: Job
    rates: tuple[float, ...]
    """Learning rates of the steps to take."""


class Replayed(Struct, frozen=True, kw_only=True):
    """What it has observed."""

    step_loss: tuple[float, ...]
    gradient_norm: tuple[float, ...]
    stream_digests: dict[int, str]


def verify(request: Request) -> Verification:
    """Take the first steps of a run again, on this machine, and compare.

    Raises:
        UserError: the record cannot be read or holds no step; the images are not those of the run; the architecture or
            a plug-in is not there; or the steps cannot be taken.
    """
    stored = read_run(request.record)
    traces, spec = stored.traces(), stored.record.spec
    num_steps = min(request.steps, len(traces.get("step_loss", ())))
    if num_steps == 0:
        raise UserError(f"{request.record}: the run failed before its first step ended; there is nothing to compare")
    for plugin in request.plugins:
        load_plugin(plugin)
    job = _job(request, stored)
    replay = Replay(job=job, rates=tuple(traces["learning_rate"][:num_steps].tolist()))
    answers: list[bytes] = []
    with Process("intelbench.orchestration.verify", replay, child_environment(job.spec.execution), Limits()) as process:
        answers += process.answers()
    if process.returncode or not answers:
        reason = process.last_words.rpartition("\n")[2]
        raise UserError(f"{request.record}: its steps cannot be taken here: {reason}")
    found = msgspec.json.decode(answers[-1], type=Replayed)
    common = sorted(set(found.stream_digests) & set(stored.record.stream_digests))
    same = [step for step in common if found.stream_digests[step] == stored.record.stream_digests[step]]
    pairs = [(np.array(getattr(found, name)), traces[name][:num_steps]) for name in ("step_loss", "gradient_norm")]
    differing = [int(np.flatnonzero(ours != theirs)[0]) + 1 for ours, theirs in pairs if (ours != theirs).any()]
    environment = read_environment(job.spec.execution)
    return Verification(
        run_id=stored.record.run_id,
        num_steps=num_steps,
        verified_step=max(same, default=None),
        same_batches=same == common,
        first_difference=min(differing, default=None),
        largest_difference=max(_relative(ours, theirs) for ours, theirs in pairs),
        changed=changes(facts(spec, stored.record.environment), facts(job.spec, environment)),
    )


def _job(request: Request, stored: StoredRun) -> Job:
    """The run as it was, but for what this machine does not have."""
    spec = stored.record.spec
    architecture, provider = find(spec.architecture)
    source = obtain(architecture, spec.conditions.recipe.weights, lambda *_: None)
    if source and source.facts != spec.weights:
        raise UserError(
            f"weights {source.path}: not those of {request.record}, whose SHA-256 is "
            f"{spec.weights.sha256 if spec.weights else 'not recorded'} and not {source.facts.sha256}"
        )
    recorded = spec.execution
    device = "cuda" if recorded.device == "cuda" and torch.cuda.is_available() else "cpu"
    execution = choose_execution(device, recorded.threads, recorded.workers, recorded.cache)
    dataset = prepare(
        request.data or spec.data.source,
        spec.conditions,
        request.cache_folder,
        use_cache=recorded.cache,
        skip_unreadable=spec.data.num_unreadable > 0,
    )
    if dataset.facts.digest != spec.data.digest:
        raise UserError(
            f"data {request.data or spec.data.source}: not the images of {request.record}, whose digest is "
            f"{spec.data.digest} and not {dataset.facts.digest}; --data DIR says where those lie now"
        )
    spec = msgspec.structs.replace(spec, provider=provider, execution=execution)
    return Job(
        run_id=stored.record.run_id,
        spec=spec,
        dataset=dataset,
        plugins=plugins_of(spec.architecture),
        runs=str(request.record.parent.absolute()),
        weights=str(source.path) if source else None,
    )


def _relative(ours: NDArray[np.float64], theirs: NDArray[np.generic]) -> float:
    recorded = theirs.astype(np.float64)
    return float(np.max(np.abs(ours - recorded) / np.maximum(np.abs(recorded), np.finfo(np.float64).tiny)))


def main() -> None:
    """Take the steps."""
    replay, answer = take_request(Replay)
    job = replay.job
    for plugin in job.plugins:
        load_plugin(Path(plugin))
    device = configure(job.spec.conditions, job.spec.execution)
    trainee = set_up(job, read_environment(job.spec.execution), device)
    torch.manual_seed(stream_seed(job.spec.seed, "dropout"))
    trained = train(
        trainee.evaluator.model,
        trainee.workload.architecture,
        trainee.batches,
        _NO_IMAGES,
        trainee.evaluator,
        Progress(len(replay.rates), None, replay.rates),
        clock=LapClock(device),
        workers=job.spec.execution.workers,
        watch=lambda _: None,
        backbone=trainee.backbone,
    )
    answer(
        Replayed(
            step_loss=tuple(trained.traces["step_loss"].tolist()),
            gradient_norm=tuple(trained.traces["gradient_norm"].tolist()),
            stream_digests=trained.stream_digests,
        )
    )


if __name__ == "__main__":
    carry_out(main)
