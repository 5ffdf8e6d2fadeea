"""The checks, before anything runs, that networks take the size of the images and the head, and that seeds differ.

Each network is built and tried in its own process, since it may crash.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
import torch
from msgspec import Struct

from intelbench.architectures.generators import host_generator_states, preserve_generators
from intelbench.architectures.surgery import find_heads
from intelbench.errors import UserError, plural
from intelbench.orchestration.job import Job
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.plugin_files import load_plugins_of_run
from intelbench.orchestration.probe import Probe
from intelbench.orchestration.process import Limits, OverrunError, Process, Starter, take_request
from intelbench.plugins.providers import BUILT_IN
from intelbench.profiling.sizes import require_size
from intelbench.profiling.workload import Workload
from intelbench.training.setup import treats_heads_differently


class Question(Struct, frozen=True, kw_only=True):
    """The request to the process."""

    probe: Probe
    about: Literal["fit", "randomness"]


def require_fit(planned: Sequence[PlannedRun], starter: Starter, limits: Limits) -> None:
    """Check that every network with a pending run can be trained on images of its size, with the head of its recipe.

    Built-in networks take every size from their minimum on, and every head. A network that fails for another reason
    passes, because its failure is a result.

    Raises:
        UserError: a network takes images of other sizes, of which the message names the nearest, or other heads.
    """
    jobs = {run.job.spec.architecture: run.job for run in planned if run.pending}
    for job in jobs.values():
        if job.spec.provider != BUILT_IN and (problem := _answer(job, "fit", starter, limits)):
            raise UserError(problem)


def without_dropout(planned: Sequence[PlannedRun], starter: Starter, limits: Limits) -> list[str]:
    """Return the architectures whose seeds give equal runs, because only `dropout` varies and they have none.

    A network that fails is not among them, because its failure is a result.

    Raises:
        UserError: no architecture with such runs has dropout.
    """
    jobs = {run.job.spec.architecture: run.job for run in planned if run.job.spec.vary == "dropout"}
    without = [name for name, job in jobs.items() if _answer(job, "randomness", starter, limits) is False]
    if without and len(without) == len(jobs):
        raise UserError(
            f"vary 'dropout': {plural(len(without), 'network')} without dropout, so all seeds would give equal runs. "
            "Expected a network whose training steps draw random numbers. Try --vary init,order,augment"
        )
    return without


def _answer(job: Job, about: Literal["fit", "randomness"], starter: Starter, limits: Limits) -> Any:
    """Ask a process about the network of a run, and return the answer; `None` if it fails, which the run records."""
    question = Question(probe=Probe.of(job), about=about)
    with suppress(OverrunError), Process("intelbench.orchestration.preflight", question, starter, limits) as process:
        for answer in process.answers():
            return msgspec.json.decode(answer)
    return None


def main() -> None:
    """Build the network, and answer the question; there is no answer if the network fits."""
    question, answer = take_request(Question)
    probe = question.probe
    load_plugins_of_run(probe.plugins, probe.seed)
    if question.about == "randomness":
        answer(draws_random_numbers(probe.workload))
        return
    try:
        require_size(probe.workload)
        if treats_heads_differently(probe.conditions.recipe):
            find_heads(probe.workload.architecture, probe.workload.request, probe.workload.shapes())
    except UserError as error:
        answer(str(error))


def draws_random_numbers(workload: Workload) -> bool:
    """Return whether a forward pass in training mode, on the CPU, changes the state of any generator."""
    model = workload.build()
    with preserve_generators(), torch.no_grad():
        before = host_generator_states()
        workload.loss(model, *workload.batch())
        return host_generator_states() != before
