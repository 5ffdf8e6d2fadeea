"""Whether the networks of a session take images of its size, asked before anything runs.

They are built in processes of their own: one for all networks of torchvision and of other packages, one for those of
each set of plug-ins.
"""

from collections.abc import Sequence
from itertools import groupby

import msgspec
from msgspec import Struct

from intelbench.architectures.registry import BUILT_IN
from intelbench.errors import UserError
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.plugins import load_plugins
from intelbench.orchestration.probe import Probe
from intelbench.orchestration.process import Limits, OverrunError, Process, Starter, take_request
from intelbench.profiling.sizes import require_size


class Questions(Struct, frozen=True):
    """Networks that need the same plug-ins, each under the conditions of its runs."""

    probes: tuple[Probe, ...]


def require_sizes(planned: Sequence[PlannedRun], starter: Starter, limits: Limits) -> None:
    """Check that every network with a run to be carried out can be trained on images of its size.

    intelbench's own need no look: they take every size from their minimum on. A network that fails for another reason
    is let through, because its failure is a result.

    Args:
        planned: The session.
        starter: Starts the processes in which networks are built.
        limits: What each of them may take.

    Raises:
        UserError: a network takes images of other sizes; the message names the nearest.
    """
    jobs = {run.job.spec.architecture: run.job for run in planned if run.pending}
    probes = [Probe.of(job) for job in jobs.values() if job.spec.provider != BUILT_IN]
    for _, group in groupby(sorted(probes, key=lambda probe: probe.plugins), key=lambda probe: probe.plugins):
        with Process("intelbench.orchestration.preflight", Questions(tuple(group)), starter, limits) as process:
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
