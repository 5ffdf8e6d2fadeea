"""The `intelbench` command: its subcommands, and errors meant for the user as one line on stderr."""

import io
import sys
from functools import partial
from typing import Any

import click

from intelbench import __version__
from intelbench.cli.data import data
from intelbench.cli.diff import diff
from intelbench.cli.listing import list_
from intelbench.cli.output import complain
from intelbench.cli.plan import plan
from intelbench.cli.predict import predict
from intelbench.cli.profile import profile
from intelbench.cli.publish import publish
from intelbench.cli.report import report
from intelbench.cli.run import run
from intelbench.cli.signals import EXIT_TEMPORARY, stoppable
from intelbench.cli.start import start
from intelbench.cli.verify import verify
from intelbench.cli.work import work
from intelbench.errors import HostError, UserError, printable, reason_of, shortened

_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130
_MAX_MESSAGE = 1000
"""Characters of messages of click and of the operating system, which repeat what was typed."""


def main() -> None:
    """Run the command line and turn errors meant for the user into one message on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # a report is the same bytes everywhere
    status = _EXIT_USER_ERROR
    try:
        status = cli(prog_name="intelbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        complain(error.format_message())
    except click.ClickException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "intelbench")
        said = printable(shortened(error.format_message(), _MAX_MESSAGE))
        complain(f"{command}: {said}{'' if said.endswith(('.', '?')) else '.'} Try '{command} --help'")
    except UserError as error:
        complain(f"intelbench: {error}")
        if isinstance(error, HostError):
            status = EXIT_TEMPORARY
    except UnicodeEncodeError as error:
        if not any("\ud800" <= character <= "\udfff" for character in error.object):
            raise
        name = shortened(printable(error.object), _MAX_MESSAGE)  # bytes of the system that are no text
        complain(f"intelbench: {name}: not UTF-8. Expected names of files and folders in UTF-8. Try another name")
    except OSError as error:  # a full disk, a read-only folder
        complain(f"intelbench: {printable(shortened(reason_of(error), _MAX_MESSAGE))}")
    except (click.Abort, KeyboardInterrupt):
        complain("intelbench: stopped by Ctrl-C")
        status = _EXIT_INTERRUPTED
    sys.exit(status)


class _Commands(click.Group):
    """Commands that a scheduler can stop from their first line on."""

    def invoke(self, ctx: click.Context) -> Any:
        """Execute the command that was given."""
        return stoppable(partial(super().invoke, ctx))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="intelbench")
def cli() -> None:
    """Compare image-classification architectures under identical seeds and budgets.

    Begin with `intelbench start PHOTOS`, which proposes a comparison for a folder of images, or with
    `intelbench run --all`, then `intelbench report > results/REPORT.md`.
    """


for command in (start, run, work, report, predict, publish, plan, diff, verify, profile, list_, data):
    cli.add_command(command)


if __name__ == "__main__":
    main()
