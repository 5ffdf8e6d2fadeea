"""`intelbench report`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from intelbench.api.locations import cache_folder
from intelbench.cli.figures import import_matplotlib
from intelbench.cli.output import complain_of_left_out, write_product
from intelbench.cli.parameters import GroupedCommand, cache_option, margin_option, metric_option, option, plugin_option
from intelbench.cli.values import FILE, FOLDER, require_suffix
from intelbench.errors import UserError, printable


@click.command(cls=GroupedCommand)
@click.argument("folder", type=FOLDER, default=Path("results"), metavar="[RUNS_DIR]")
@option(
    "--out",
    type=FILE,
    help="File to write instead of stdout. Its suffix decides the format: .md, .html (one page, with the misclassified "
    "images), .json or .csv.",
)
@option(
    "--claims",
    "claims_file",
    type=FILE,
    help="TOML file of claims to check instead of the published ones, which are checked on the data that they are "
    "about; see docs/claims.md.",
)
@option(
    "--full",
    is_flag=True,
    help="Write every section, not only those that a reader acts on. An .html report has all of them, folded.",
)
@option(
    "--predictions",
    type=FILE,
    help="CSV file to write in addition: a row for each run and test image, with its class, the predicted class and "
    "the probability of each class.",
)
@option("--images", type=FOLDER, help="Folder of the images, for an .html report. [default: the folder in the records]")
@metric_option
@margin_option
@plugin_option(adds="metrics or report sections")
@cache_option
@click.pass_context
def report(
    ctx: click.Context,
    /,
    folder: Path,
    out: Path | None,
    images: Path | None,
    **options: Any,
) -> None:
    """Report on the records in RUNS_DIR.

    Prints Markdown to stdout, and writes its figures to figures/ next to the runs. RUNS_DIR is a results folder (with
    runs/ in it) or a folder of records. [default: results]
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's, whose threads would be in the way of two processes
    from intelbench.plugins.loading import load_plugins
    from intelbench.records.store import runs_folder, write_parts
    from intelbench.records.workspace import describe_unfinished
    from intelbench.results.claims import load_claims
    from intelbench.results.study import read

    suffix = out.suffix.lower() if out else ".md"
    _require_names(out, options["predictions"])
    if images and suffix != ".html":
        raise click.UsageError("--images goes with --out FILE.html", ctx)
    import_matplotlib()  # before a plug-in does
    load_plugins(options["plugins"])
    runs, claims = runs_folder(folder), load_claims(options["claims_file"]) if options["claims_file"] else None
    if unfinished := describe_unfinished(runs):
        click.echo(unfinished, err=True)
    study = read(runs, options["margin"], options["metric"], asked={claim.metric for claim in claims or ()})
    complain_of_left_out(study.problems)
    if suffix == ".html":
        from intelbench.reporting.html.page import as_html

        text = as_html(study, images, cache_folder(options["cache_dir"]), claims=claims)
    elif suffix == ".csv":
        from intelbench.reporting.export import as_csv

        text = as_csv(study)
    elif suffix == ".json":
        from intelbench.reporting.export import as_json

        text = as_json(study, claims=claims)
    else:
        from intelbench.reporting.report import write

        written = write(study, claims=claims, full=options["full"])
        _write_figures((out.parent if out else runs.parent) / "figures", written.figures)
        text = written.text
    if predictions := options["predictions"]:
        from intelbench.reporting.export import predictions_as_csv

        write_parts(predictions, predictions_as_csv(study))
    write_product(text, out)


def _write_figures(folder: Path, figures: Mapping[str, bytes]) -> None:
    from intelbench.records.store import write_figures

    try:
        write_figures(folder, figures)
    except OSError as error:
        raise UserError(
            f"{printable(folder)}: figures cannot be written there ({error.strerror or error}). Expected a writable "
            "folder. Try --out FILE.md in another folder, which gets the figures too"
        ) from error


def _require_names(out: Path | None, predictions: Path | None) -> None:
    """Refuse names that do not say the format, and one file for both products."""
    if out:
        require_suffix(out, ".md", ".html", ".json", ".csv")
    if predictions:
        require_suffix(predictions, ".csv", option="--predictions")
    if out and predictions and out.resolve() == predictions.resolve():
        raise click.UsageError(f"--out and --predictions are one file, {printable(out)}. Give two")
