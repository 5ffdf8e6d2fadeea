"""The check, before anything runs, that something can vary if only `dropout` differs between the seeds.

Each network is built and tried in its own process, since it may crash.
"""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from intelbench.errors import UserError, plural
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.plugin_files import load_plugins
from intelbench.orchestration.probe import Probe
from intelbench.orchestration.process import Limits, OverrunError, Process, Starter, take_request
from intelbench.profiling.randomness import draws_random_numbers


def without_dropout(planned: Sequence[PlannedRun], starter: Starter, limits: Limits) -> list[str]:
    """Return the architectures whose seeds give equal runs, because only `dropout` varies and they have none.

    A network that fails is not among them, because its failure is a result.

    Raises:
        UserError: no architecture with such runs has dropout.
    """
    jobs = {run.job.spec.architecture: run.job for run in planned if run.job.spec.vary == "dropout"}
    without = []
    for name, job in jobs.items():
        checked = Process("intelbench.orchestration.randomness", Probe.of(job), starter, limits)
        with suppress(OverrunError), checked as process:  # the run records it
            without += [name for answer in process.answers() if not msgspec.json.decode(answer, type=bool)]
    if without and len(without) == len(jobs):
        raise UserError(
            f"vary 'dropout': {plural(len(without), 'network')} without dropout, so all seeds would give equal runs. "
            "Expected a network whose training steps draw random numbers. Try --vary init,order,augment"
        )
    return without


def main() -> None:
    """Build the network, and answer whether its training steps draw random numbers."""
    probe, answer = take_request(Probe)
    load_plugins(probe.plugins, probe.seed)
    answer(draws_random_numbers(probe.workload))
