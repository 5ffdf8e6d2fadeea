"""Measure on a borrowed GPU: `python -m bench.gpu --deadline SECONDS --out DIR`."""

import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
import psutil

from bench.gpu.results import FILE, open_results, save
from bench.gpu.run import carry_out, exit_status
from bench.gpu.session import FAKE_DEVICE, Session, variables_of
from bench.gpu.sizes import FAKE, FULL
from bench.gpu.stages import STAGES
from bench.gpu.table import render
from intelbench.cli.values import FOLDER, Value, source
from intelbench.config import bounds
from intelbench.errors import UserError
from intelbench.orchestration.forkserver import starter
from intelbench.profiling.variables import process_variables

_USER_ERROR = 2
_INTERRUPTED = 130


def _device(text: str) -> str:
    return text if text == FAKE_DEVICE else bounds.device_name(text)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--device", "device_name", type=Value(_device), default="auto", show_default=True,
              help="auto, cuda, a GPU by its index such as cuda:1, or fake: small sizes on the CPU, which check that "
              "everything runs and measure nothing.")  # fmt: skip
@click.option("--deadline", type=click.FloatRange(min=1), required=True, metavar="SECONDS",
              help="When to stop, in seconds after the start.")  # fmt: skip
@click.option("--out", type=FOLDER, required=True, help="Folder of the results; stages with results are skipped.")
@click.option("--data", type=Value(source), help="Folder of images for the reference study. [default: the suite's]")
@click.option("--retry-failed", is_flag=True, help="Carry out failed stages again.")
def main(device_name: str, deadline: float, out: Path, data: str | None, retry_failed: bool) -> int:
    """Measure on a GPU, stage by stage in order of value, until the deadline; print one table.

    Results are written after each stage, and a second call carries out the remaining stages. The exit status is 0 if
    every stage is done and within its limits, 1 if a stage has failed or a limit was not met, 2 for a wrong call, and 3
    if stages remain for another call.
    """
    sizes = FAKE if device_name == FAKE_DEVICE else FULL
    age = time.time() - psutil.Process().create_time()
    end = time.monotonic() - age + deadline - sizes.closing_seconds
    out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        tempfile.TemporaryDirectory(prefix="intelbench-gpu-") as work,
        starter(variables_of(process_variables(threads=1))) as processes,
    ):
        session = Session(
            device=device_name,
            sizes=sizes,
            folder=out.absolute(),
            work=Path(work),
            data=str(Path(data).absolute()) if data and Path(data).is_dir() else data,
            starter=processes,
            deadline=end,
        )
        results = open_results(out, session.environment(), fake=session.is_fake)
        save(out, results)
        for latest in carry_out(STAGES, session, results, retry_failed=retry_failed):
            results = latest
            save(out, results)
    click.echo(render(results, STAGES), nl=False)
    click.echo(f"results in {out / FILE}", err=True)
    return exit_status(results, STAGES)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Stop on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt


def _main() -> NoReturn:
    try:
        status = main(prog_name="python -m bench.gpu", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = _USER_ERROR
    except UserError as error:
        click.echo(f"bench.gpu: {error}", err=True)
        status = _USER_ERROR
    except (click.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    sys.exit(status)


if __name__ == "__main__":
    _main()
