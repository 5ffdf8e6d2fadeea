"""Options that several subcommands share, and `--help` with options in groups."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from intelbench.cli.values import FILE, FOLDER, NAME, Value, percentage_points


class GroupedOption(click.Option):
    """An option that `--help` lists below `heading`, or below that of the option before it."""

    def __init__(self, *declarations: Any, heading: str = "", **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose `--help` lists each group of options below its heading."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups in the order in which they were declared; options of click's own class come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        heading = "Options"
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (line := parameter.get_help_record(ctx)):
                heading = parameter.heading or heading if isinstance(parameter, GroupedOption) else "Options"
                groups.setdefault(heading, []).append(line)
        for heading, lines in groups.items():
            with formatter.section(heading):
                formatter.write_dl(lines)


def option(*declarations: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an option of a `GroupedCommand`, whose help has its default."""
    return click.option(*declarations, cls=GroupedOption, show_default=True, **settings)


cache_option = option(
    "--cache-dir",
    type=FOLDER,
    envvar="INTELBENCH_CACHE",
    help="Folder of decoded images. [default: the user's cache folder; env: INTELBENCH_CACHE]",
)
margin_option = option(
    "--margin",
    type=Value(percentage_points, "points"),
    help="Largest difference that counts as equivalent, in percentage points; of a metric that is no share, in "
    "hundredths of its unit. [default: the suite's, which is 1 if it has none]",
    callback=lambda _context, _parameter, points: None if points is None else points / 100,
)
"""`--margin` of a command that reports on records; its value is a fraction, or `None` for the suite's."""
metric_option = option(
    "--metric",
    type=NAME,
    metavar="NAME",
    help="Metric of the test images by which architectures are ranked and compared, such as accuracy, "
    "balanced_accuracy, macro_f1, top5, auroc, log_loss, or one of a plug-in. [default: the suite's]",
)
"""`--metric` of a command that reports on records."""


def plugin_option(
    adds: str = "architectures, optimizers, transforms, metrics, data sources, progress displays, measurements next to "
    "training, trackers or engines",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare `--plugin` of a command that loads the files itself; `adds` is what it can use of them."""
    return option(
        "--plugin",
        "plugins",
        type=FILE,
        multiple=True,
        help=f"Python file that registers {adds} of your own. Can be given more than once.",
    )


def _load_plugins(_context: click.Context, _parameter: click.Parameter, paths: tuple[Path, ...]) -> None:
    from intelbench.plugins.loading import load_plugins

    load_plugins(paths)


metric_plugin_option = option(
    "--plugin",
    type=FILE,
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_load_plugins,
    help="Python file that registers metrics of your own. Can be given more than once.",
)
"""`--plugin` of a command that reads records; the files are loaded before other options are read."""
