"""From a suite to the list of its runs, and which of them are recorded already."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from intelbench.architectures.registry import Architecture, ModelRequest, find
from intelbench.architectures.weights import PUBLISHED, Source, Watch, check, obtain
from intelbench.data.dataset import Dataset
from intelbench.errors import UserError
from intelbench.orchestration.job import Job
from intelbench.records.identity import run_id
from intelbench.records.store import read_run
from intelbench.records.types import Environment, Execution, RunRecord, RunSpec, Suite

Again = Literal["none", "failed", "all"]
"""Which of the runs that are recorded are made again."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of the suite."""

    job: Job
    recorded: RunRecord | None
    """Its record, where there is one that stands."""


def plan(
    suite: Suite,
    dataset: Dataset,
    execution: Execution,
    environment: Environment,
    *,
    runs: Path,
    plugins: tuple[Path, ...] = (),
    again: Again = "none",
    watch: Watch = lambda *_: None,
) -> list[PlannedRun]:
    """Every run of the suite, seed by seed, so that an interrupted comparison is complete for its first seeds.

    The weights that the recipe asks for are fetched here, before any run; `watch` sees a download.

    Raises:
        UserError: an architecture is not known, not installed or needs larger images, the device lacks the precision,
            or there are no such weights.
    """
    if suite.precision == "fp16" and execution.device == "cpu":
        raise UserError(f"suite {suite.name}: `precision` is fp16, which needs a GPU; accepted on a CPU: fp32, bf16")
    found = [find(name) for name in dict.fromkeys(suite.architectures)]
    for architecture, _ in found:
        architecture.require_size(suite.image_size)
        architecture.require_installed()
    sources = {
        architecture.name: _weights(architecture, suite, len(dataset.facts.class_names), watch)
        for architecture, _ in found
    }
    planned = []
    for seed in dict.fromkeys(suite.seeds):
        for architecture, provider in dict(found).items():
            source = sources[architecture.name]
            spec = RunSpec(
                architecture=architecture.name,
                provider=provider,
                seed=seed,
                suite=suite.name,
                data=dataset.facts,
                conditions=suite.conditions,
                execution=execution,
                weights=source.facts if source else None,
            )
            job = Job(
                run_id=run_id(spec, environment),
                spec=spec,
                dataset=dataset,
                plugins=tuple(str(path.absolute()) for path in plugins),
                runs=str(runs.absolute()),
                weights=str(source.path) if source else None,
            )
            planned.append(PlannedRun(job, _standing(runs / job.run_id, again)))
    return planned


def _weights(architecture: Architecture, suite: Suite, num_classes: int, watch: Watch) -> Source | None:
    """What the architecture starts from; a file of the user's own is held against the network at once."""
    source = obtain(architecture, suite.recipe.weights, watch)
    if source and suite.recipe.weights not in PUBLISHED:
        check(architecture, ModelRequest(num_classes=num_classes, image_size=suite.image_size), source.path)
    return source


def _standing(path: Path, again: Again) -> RunRecord | None:
    """The record of a run that is not to be made again."""
    if again == "all" or not path.exists():
        return None
    record = read_run(path).record
    return None if again == "failed" and record.failure else record
