"""Options that several subcommands share, and `--help` with options in groups."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from intelbench.cli.values import FILE, FOLDER, Value, percentage_points


class GroupedOption(click.Option):
    """An option that `--help` lists below the heading `group`."""

    def __init__(self, *declarations: Any, group: str = "Options", **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose `--help` lists each group of options below its heading."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the groups in the order in which their first options were declared."""
        groups: dict[str, list[tuple[str, str]]] = {}
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for parameter in options:
            if line := parameter.get_help_record(ctx):
                groups.setdefault(getattr(parameter, "group", "Options"), []).append(line)
        for heading, lines in groups.items():
            with formatter.section(heading):
                formatter.write_dl(lines)


def option(*declarations: str, group: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare an option of a `GroupedCommand`."""
    return click.option(*declarations, cls=GroupedOption, group=group, **settings)


def cache_option(group: str = "Options") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare `--cache-dir`."""
    return option(
        "--cache-dir", type=FOLDER, envvar="INTELBENCH_CACHE", group=group,
        help="Folder of decoded images. [default: the user's cache folder; env: INTELBENCH_CACHE]",
    )  # fmt: skip


def margin_option(group: str = "Options") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare `--margin` of a command that reports on records; its value is a fraction, or `None` for the suite's."""
    return option(
        "--margin", type=Value(percentage_points, "points"), group=group,
        help="Largest difference that counts as equivalent, in percentage points; of a metric that is no share, in "
        "hundredths of its unit. [default: the suite's, which is 1 if it has none]",
        callback=lambda _context, _parameter, points: None if points is None else points / 100,
    )  # fmt: skip


def metric_option(group: str = "Options") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare `--metric` of a command that reports on records."""
    return option(
        "--metric", metavar="NAME", group=group,
        help="Metric of the test images by which architectures are ranked and compared, such as accuracy, "
        "balanced_accuracy, macro_f1, top5, auroc, log_loss, or one of a plug-in. [default: the suite's]",
    )  # fmt: skip


def plugin_option(
    group: str = "Options",
    adds: str = "architectures, optimizers, transforms, metrics, data sources, progress displays, measurements next to "
    "training, trackers or engines",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare `--plugin` of a command that loads the files itself; `adds` is what it can use of them."""
    return option(
        "--plugin", "plugins", type=FILE, multiple=True, group=group,
        help=f"Python file that registers {adds} of your own. Can be given more than once.",
    )  # fmt: skip


def metric_plugin_option(group: str = "Options") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare `--plugin` of a command that reads records; the files are loaded before other options are read."""
    return option(
        "--plugin", type=FILE, multiple=True, group=group, is_eager=True, expose_value=False, callback=_load_plugins,
        help="Python file that registers metrics of your own. Can be given more than once.",
    )  # fmt: skip


def _load_plugins(_context: click.Context, _parameter: click.Parameter, paths: tuple[Path, ...]) -> None:
    from intelbench.plugins.loading import load_plugin

    for path in paths:
        load_plugin(path)
