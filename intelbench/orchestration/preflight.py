"""Whether the networks of a session take images of its size, asked before anything runs.

Each is built in a process of its own, so that one that ends the process is no answer for the others.
"""

from collections.abc import Sequence

import msgspec

from intelbench.errors import UserError
from intelbench.orchestration.plan import PlannedRun
from intelbench.orchestration.plugin_files import load_plugins
from intelbench.orchestration.probe import Probe
from intelbench.orchestration.process import Limits, OverrunError, Process, Starter, take_request
from intelbench.plugins.providers import BUILT_IN
from intelbench.profiling.sizes import require_size


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
    for job in jobs.values():
        if job.spec.provider == BUILT_IN:
            continue
        with Process("intelbench.orchestration.preflight", Probe.of(job), starter, limits) as process:
            try:
                for answer in process.answers():
                    raise UserError(msgspec.json.decode(answer, type=str))
            except OverrunError:
                pass  # the run will say so


def main() -> None:
    """Answer if the size does not fit."""
    probe, answer = take_request(Probe)
    load_plugins(probe.plugins, probe.seed)
    try:
        require_size(probe.workload)
    except UserError as error:
        answer(str(error))
