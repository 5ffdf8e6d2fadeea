"""`intelbench verify`."""

from pathlib import Path

import click

from intelbench.api.locations import cache_folder
from intelbench.cli.output import complain, print_product
from intelbench.cli.parameters import GroupedCommand, cache_option, option, plugin_option
from intelbench.cli.values import FOLDER, Value, number, source, whole_number

_EXIT_NOT_REPRODUCED = 1


@click.command(cls=GroupedCommand)
@click.argument("record", type=FOLDER, metavar="RUN")
@option("--steps", type=Value(whole_number(1, 2**53), "number"), default=8, help="Training steps to repeat.")
@option(
    "--tolerance",
    type=Value(number, "number"),
    default=0.0,
    help="Accepted relative difference of losses and gradient norms; 0 asks for equal bits.",
)
@option("--data", type=Value(source), help="Folder of the images. [default: the folder in the record]")
@plugin_option(adds="architectures, optimizers, transforms or measurements next to training")
@cache_option
def verify(
    record: Path, steps: int, tolerance: float, data: str | None, plugins: tuple[Path, ...], cache_dir: Path | None
) -> int:
    """Repeat the first steps of a recorded run, and say whether this machine reproduces them.

    RUN is the folder of a record, such as results/runs/resnet101-s0-... Exits with status 1 if a step differs.
    """
    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import require_start
    from intelbench.profiling.variables import process_variables
    from intelbench.reporting.verification import as_text

    require_start("verify")
    with starter(process_variables(threads=None)) as processes:  # imports PyTorch while this process does
        from intelbench.orchestration import verify as verification

        request = verification.Request(
            record=record, steps=steps, data=data, plugins=plugins, cache_folder=cache_folder(cache_dir)
        )
        outcome = verification.verify(request, processes, complain)
    print_product(as_text(outcome))
    return 0 if outcome.reproduced(tolerance) else _EXIT_NOT_REPRODUCED
