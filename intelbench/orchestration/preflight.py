"""The check, before anything runs, that the networks of a session take images of its size.

Each network is built in its own process, since it may crash.
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
    """Check that every plug-in network with a pending run can be trained on images of its size.

    Built-in networks take every size from their minimum on. A network that fails for another reason passes, because its
    failure is a result.

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
                pass  # the run records it


def main() -> None:
    """Build the network, and answer with the reason if it does not take the size."""
    probe, answer = take_request(Probe)
    load_plugins(probe.plugins, probe.seed)
    try:
        require_size(probe.workload)
    except UserError as error:
        answer(str(error))
