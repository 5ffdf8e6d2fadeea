"""`intelbench work`."""

from pathlib import Path

import click

from intelbench.cli.parameters import GroupedCommand, option
from intelbench.cli.values import NAME, Value, existing_path

_EXIT_FAILED_RUNS = 1


@click.command(cls=GroupedCommand)
@click.argument("study", type=Value(existing_path), metavar="STUDY")
@option(
    "--run",
    type=NAME,
    metavar="NAME",
    help="The only run to execute: its name, or its number in the study from 0, as in arrays of jobs. [default: all]",
)
@option(
    "--on",
    type=NAME,
    metavar="NAME|FILE",
    help="What starts a worker for each run: slurm, ray, an engine of an installed plug-in, or the TOML file of one. "
    "This host need not be of the kind that prepared the study. [default: execute runs on this host]",
)
@option(
    "--track",
    type=NAME,
    metavar="NAME",
    multiple=True,
    help="Tracker to which runs are sent while they are executed: mlflow, tensorboard or wandb. Can be given more than "
    "once.",
)
def work(study: Path, run: str | None, on: str | None, track: tuple[str, ...]) -> int:
    """Execute the runs of a study that have no record yet.

    STUDY is the file that `intelbench run ... --prepare` has written. Start as many workers as you like, on every host
    that sees the folders of the study: each takes the next run that no other one executes, and continues what a worker
    that has died has left. Exits with status 1 if a run failed, and with 75 if SIGTERM or SIGUSR2 ended it, or if this
    host is of another kind than the one that prepared the study: then nothing is recorded.
    """
    from intelbench.api.execution import work as execute

    return _EXIT_FAILED_RUNS if execute(study, run=run, on=on, track=track) else 0
