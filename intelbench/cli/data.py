"""`intelbench data`."""

from pathlib import Path

import click

from intelbench.api.locations import cache_folder
from intelbench.cli.output import complain, print_product
from intelbench.cli.parameters import GroupedCommand, cache_option, option, plugin_option
from intelbench.cli.values import NAME, Value, source
from intelbench.errors import UserError

_EXIT_UNREADABLE = 1


@click.group()
def data() -> None:
    """Inspect a data set."""


@data.command("check", cls=GroupedCommand)
@click.argument("source", metavar="DIR", type=Value(source))
@option(
    "--suite",
    type=NAME,
    default="quick",
    help="Suite to run on DIR: its batch size, its images per class, and its fractions for "
    "validation and test are checked too.",
)
@plugin_option(adds="data sources")
@cache_option
def check(source: str, suite: str, plugins: tuple[Path, ...], cache_dir: Path | None) -> int:
    """Read every image in DIR, and list classes, splits, copies and unreadable files.

    Exits with status 1 if an image cannot be read, and with 2 if `intelbench run` would refuse DIR.
    """
    from intelbench.config.suites import load_suite
    from intelbench.data.inspection import inspect
    from intelbench.plugins.loading import load_plugins
    from intelbench.reporting.inspection import as_text

    load_plugins(plugins)
    inspection = inspect(source, load_suite(suite), cache_folder(cache_dir))
    for note in inspection.notes:
        complain(note)
    print_product(as_text(inspection))
    if inspection.refusal:
        raise UserError(inspection.refusal)
    return _EXIT_UNREADABLE if inspection.unreadable else 0
