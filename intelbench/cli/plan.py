"""`intelbench plan`."""

from pathlib import Path

import click

from intelbench.cli.output import complain_of_left_out, print_product
from intelbench.cli.parameters import GroupedCommand, margin_option, metric_option, metric_plugin_option
from intelbench.cli.values import FOLDER


@click.command(cls=GroupedCommand)
@click.argument("folder", type=FOLDER, default=Path("results"), metavar="[RUNS_DIR]")
@metric_option
@margin_option
@metric_plugin_option
def plan(folder: Path, metric: str | None, margin: float | None) -> None:
    """Say how many more seeds would decide the open pairs in RUNS_DIR, and how long they take.

    Times are those of the machine of the records.

    A pair of architectures is decided if one is significantly better or both are equivalent within the margin.
    [default: results]
    """
    from intelbench.records.store import runs_folder
    from intelbench.reporting.report import write_plan
    from intelbench.results.study import read

    study = read(runs_folder(folder), margin, metric)
    complain_of_left_out(study.problems)
    print_product(write_plan(study))
