"""The check that a host is of the kind for which runs were planned, and sees the files that they need.

A host that is not leaves no record, because another host may execute the runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from intelbench.architectures.downloads import sha256_of
from intelbench.architectures.registry import find
from intelbench.data.augment import require_transforms
from intelbench.errors import HostError, UserError, printable
from intelbench.orchestration.job import Job
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.device import find_device, require_gpus
from intelbench.profiling.environment import read_environment
from intelbench.records.identity import machine_facts
from intelbench.records.types import Environment, Execution
from intelbench.training.optimizer import require_optimizer


def require_machine(planned: Environment, execution: Execution) -> None:
    """Raise a `HostError` if this machine, or a library of it, is another than that of the plan."""
    with _refused("constrain the pool to one kind of host, or prepare the study on a host like this one"):
        wanted = execution.device if execution.device_index is None else f"{execution.device}:{execution.device_index}"
        try:
            find_device(wanted)
        except UserError as error:
            raise UserError(f"device is not {wanted}, that of the study: PyTorch does not see it") from error
        require_gpus(execution)
        here = machine_facts(read_environment(execution))
        for name, expected in machine_facts(planned).items():
            if here.get(name) != expected:
                raise UserError(f"{name} is {here.get(name)}, that of the study is {expected}")


def require_code(job: Job) -> None:
    """Raise a `HostError` if the code that a run has loaded is not that of the plan, because a plug-in was edited."""
    with _refused("a plug-in was edited after the run was planned; the same command again plans it with the new code"):
        _require_providers([job])


def require_files(jobs: Sequence[Job]) -> None:
    """Load the plug-ins of runs, and check that this host has the code, the images and the weights of the plan.

    Raises:
        HostError: something is missing, or has another content.
    """
    shared = "put it into a folder that every host sees at the same path, and prepare the study again"
    as_prepared = "put back the plug-in file with which the study was prepared, or prepare the study again"
    for plugin in dict.fromkeys(plugin for job in jobs for plugin in job.plugins):
        with _refused(as_prepared if Path(plugin).is_file() else shared):
            load_plugin(Path(plugin))
    with _refused(as_prepared):
        _require_providers(jobs)
    with _refused(shared):
        for file, expected in {job.weights: job.spec.weights for job in jobs}.items():
            if file and expected and (not Path(file).is_file() or sha256_of(Path(file)) != expected.sha256):
                raise UserError(f"weights {printable(file)}: not a file with SHA-256 {expected.sha256}")
    dataset = jobs[0].dataset
    with _refused(
        "give a folder that every host sees at the same path with --cache-dir, or `cache_folder` in Python, and "
        "prepare the study again"
    ):
        if dataset.cache:
            dataset.pixels()
        elif not Path(dataset.paths[0]).is_file():
            raise UserError(f"image {printable(dataset.paths[0])}: no such file")


def _require_providers(jobs: Sequence[Job]) -> None:
    for name, expected, found in _providers(jobs):
        if found != expected:
            raise UserError(f"{name} is provided by {found}, that of the study by {expected}")


def _providers(jobs: Sequence[Job]) -> Iterator[tuple[str, object, object]]:
    """Yield what is provided, by whom in the plan, and by whom here."""
    for spec in {job.spec.architecture: job.spec for job in jobs}.values():
        recipe = spec.conditions.recipe
        yield f"architecture {spec.architecture!r}", spec.provider, find(spec.architecture)[1]
        yield f"optimizer {recipe.optimizer!r}", spec.optimizer_provider, require_optimizer(recipe)
        transforms = ", ".join(recipe.transforms)
        yield f"transforms {transforms!r}", spec.transform_providers, require_transforms(recipe)


@contextmanager
def _refused(remedy: str) -> Iterator[None]:
    """Turn the error of a block into a refusal that names this host and what to do."""
    try:
        yield
    except UserError as error:
        raise HostError.here(f"{error}; {remedy}") from error
