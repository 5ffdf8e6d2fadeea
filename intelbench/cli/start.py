"""`intelbench start`."""

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from intelbench.api.locations import cache_folder
from intelbench.cli.output import complain, print_product, write_product
from intelbench.cli.parameters import GroupedCommand, cache_option, option, plugin_option
from intelbench.cli.values import FILE, Value, require_suffix, source
from intelbench.config.bounds import device_name
from intelbench.errors import UserError, printable


@click.command(cls=GroupedCommand)
@click.argument("source", metavar="PHOTOS", type=Value(source))
@option(
    "--out",
    type=FILE,
    default=Path("intelbench.toml"),
    help="File for the proposed suite; its name ends in .toml.",
)
@option("--force", is_flag=True, help="Replace the file if it exists.")
@option("--offline", is_flag=True, help="Propose only networks whose weights are on this machine, and use no network.")
@option(
    "--device",
    type=Value(device_name),
    default="auto",
    help="Device of the runs: auto, cpu, cuda, a GPU by its number such as cuda:1, or mps.",
)
@plugin_option(adds="data sources")
@cache_option
@click.pass_context
def start(
    ctx: click.Context, /, source: str, out: Path, plugins: tuple[Path, ...], cache_dir: Path | None, **options: Any
) -> None:
    """Propose a comparison for the images in PHOTOS and for this machine, and print the command that runs it.

    Looks at the classes and at the sizes of the images, times the networks for some seconds, and writes a suite with a
    comment on each choice: networks, image size, budget, seeds, and what they will cost. Nothing is trained or
    downloaded.
    """
    _become_like_a_run()
    from intelbench.orchestration.proposal import Request, propose
    from intelbench.plugins.loading import load_plugins

    require_suffix(out, ".toml")
    force, device = options["force"], options["device"]
    if out.exists() and not force:
        raise UserError(
            f"{printable(out)}: exists already. Expected a new file. Try --out FILE, or --force to replace it"
        )
    _require_writable(out)
    load_plugins(plugins)
    request = Request(source=source, device=device, offline=options["offline"], cache_folder=cache_folder(cache_dir))
    proposal = propose(request, complain)
    for warning in proposal.warnings:
        complain(f"warning: {warning}")
    for line in proposal.summary:
        complain(line)
    if force:
        write_product(proposal.as_toml(), out)
    else:
        with out.open("x", encoding="utf-8") as file:
            file.write(proposal.as_toml())
    complain(f"{printable(out)} has the suite, with a comment on each choice. This command runs it:")
    again = ["--device", device] if device != "auto" else []
    again += ["--skip-unreadable"] if proposal.skips_unreadable else []
    for plugin in plugins:
        again += ["--plugin", str(plugin)]
    if ctx.get_parameter_source("cache_dir") is ParameterSource.COMMANDLINE:
        again += ["--cache-dir", str(cache_dir)]
    print_product(shlex.join(["intelbench", "run", "--suite", str(out), *again]) + "\n")


def _require_writable(file: Path) -> None:
    """Raise an `OSError` if the file cannot be written; what is in it stays, and a missing file is never there."""
    try:
        if file.exists():
            file.open("ab").close()
        else:
            tempfile.TemporaryFile(dir=file.parent).close()
    except OSError as error:
        error.filename = str(file)
        raise


def _become_like_a_run() -> None:
    """Execute this command again with the environment variables of runs, so that networks are timed as in runs.

    Libraries read the variables when a process starts. Nothing happens where they are set, where PyTorch has been
    imported by a program that calls this command, and on systems that cannot execute runs.
    """
    from intelbench.orchestration.process import can_start, command_of
    from intelbench.profiling.variables import process_variables

    variables = process_variables(None)
    if sys.argv[1:2] == ["start"] and "torch" not in sys.modules and can_start() and variables != dict(os.environ):
        os.execve(sys.executable, command_of("intelbench.cli.main", *sys.argv[1:]), variables)  # noqa: S606 - no shell
