"""Whether the networks of a session take images of its size, asked before anything runs.

The networks of torchvision are built in the process of the session, those of each plug-in and of other packages in a
process of their own.
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec
from msgspec import Struct

from intelbench.architectures.registry import BUILT_IN, TORCHVISION
from intelbench.errors import UserError
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.plugins import load_plugins
from intelbench.orchestration.probe import Probe
from intelbench.orchestration.process import Limits, OverrunError, Process, take_request
from intelbench.profiling.environment import child_environment
from intelbench.profiling.sizes import require_size


class Questions(Struct, frozen=True):
    """Networks of one plug-in, each under the conditions of its runs."""

    probes: tuple[Probe, ...]


def require_sizes(planned: Sequence[PlannedRun], limits: Limits) -> None:
    """Check that every network with a run to be carried out can be trained on images of its size.

    intelbench's own need no look: they take every size from their minimum on. A network that fails for another reason
    is let through, because its failure is a result.

    Args:
        planned: The session.
        limits: What a plug-in's process may take.

    Raises:
        UserError: a network takes images of other sizes; the message names the nearest.
    """
    jobs = {run.job.spec.architecture: run.job for run in planned if run.pending}
    probes = [Probe.of(job) for job in jobs.values() if job.spec.provider != BUILT_IN]
    foreign = [probe for probe in probes if not probe.architecture.startswith(TORCHVISION)]
    for _, group in groupby(sorted(foreign, key=lambda probe: probe.plugins), key=lambda probe: probe.plugins):
        _require_in_process(tuple(group), limits)
    for probe in probes:
        if probe not in foreign:
            require_size(probe.workload)


def _require_in_process(probes: tuple[Probe, ...], limits: Limits) -> None:
    environment = child_environment(probes[0].execution, probes[0].seed, thrifty=True)
    with Process("intelbench.orchestration.preflight", Questions(probes), environment, limits) as process:
        try:
            for answer in process.answers():
                raise UserError(msgspec.json.decode(answer, type=str))
        except OverrunError:
            pass  # the run will say so


def main() -> None:
    """Answer with what does not fit."""
    questions, answer = take_request(Questions)
    load_plugins(questions.probes[0].plugins, questions.probes[0].seed)
    for probe in questions.probes:
        try:
            require_size(probe.workload)
        except UserError as error:
            answer(str(error))
