"""`intelbench publish`."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from intelbench.cli.figures import import_matplotlib
from intelbench.cli.output import complain, complain_of_left_out, write_product
from intelbench.cli.parameters import GroupedCommand, margin_option, option, plugin_option
from intelbench.cli.values import FILE, FOLDER, NAME, Value
from intelbench.config.bounds import one_line
from intelbench.errors import UserError, one_of, plural, printable

_TEXTS = ("latex", "card")
_CSV = "csv"
_FOLDERS = ("tensorboard", "wandb")
"""Trackers whose place is a folder."""


@click.command(cls=GroupedCommand)
@click.argument("folder", type=FOLDER, default=Path("results"), metavar="[RUNS_DIR]")
@option(
    "--to",
    "target",
    type=NAME,
    required=True,
    metavar="TARGET",
    help="mlflow, tensorboard, wandb or a plug-in's tracker: a run for each record, with all training steps. csv: a "
    "file for each table. latex: tables for a paper. card: a model card for the Hugging Face Hub.",
)
@option(
    "--out",
    type=Value(partial(one_line, "a file, a folder or an address")),
    metavar="PLACE",
    help="For latex and card, the file to write instead of stdout. For csv, tensorboard and wandb, the folder. For "
    "mlflow, the tracking URI. [default: csv/ or tensorboard/ in the results folder; the settings of mlflow and wandb]",
)
@option(
    "--architecture",
    type=NAME,
    metavar="NAME",
    help="With --to card: the architecture to describe. [default: the one that the report recommends]",
)
@margin_option
@plugin_option(adds="metrics, report sections or trackers")
@click.pass_context
def publish(
    ctx: click.Context,
    /,
    folder: Path,
    target: str,
    out: str | None,
    architecture: str | None,
    **options: Any,
) -> None:
    """Send the records in RUNS_DIR to a tracker, or write them as tables for others.

    A run that the tracker has already is replaced. RUNS_DIR is a results folder or a folder of records. [default:
    results]
    """
    if architecture is not None and target != "card":
        raise click.UsageError("--architecture goes with --to card", ctx)
    import_matplotlib()  # before a plug-in does
    from intelbench.api.results import load
    from intelbench.plugins.loading import load_plugins
    from intelbench.trackers.registry import TRACKERS

    load_plugins(options["plugins"])
    known = (*TRACKERS.providers(), _CSV, *_TEXTS)
    if target not in known:
        raise UserError(f"--to {target!r:.100}: not known. {one_of(target, known)}")
    parameter = next(each for each in ctx.command.params if each.name == "out")
    file = FILE.convert(out, parameter, ctx) if out is not None and target in _TEXTS else None
    if out is not None and target in (_CSV, *_FOLDERS):
        out = str(FOLDER.convert(out, parameter, ctx))
    results = load(folder, options["margin"])
    complain_of_left_out(results.problems)
    if target == "card" and (number := len(results.cohorts)) > 1:
        which = "that has it" if architecture else "of records"
        complain(f"card of the largest of {number} groups {which}. For another one, give a folder of its records alone")
    if target in _TEXTS:
        write_product(results.to_latex() if target == "latex" else results.to_card(architecture), file)
    elif target == _CSV:
        written = results.to_csv(folder / "csv" if out is None else out)
        click.echo(f"{plural(len(written), 'file')} in {printable(str(written[0].parent))}", err=True)
    else:
        click.echo(f"{plural(results.publish(target, out), 'run')} sent to {target}", err=True)
