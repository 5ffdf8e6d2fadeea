"""The `intelbench` command: parses, calls one function, prints. What is slow to import is imported by who needs it."""

import contextlib
import gc
import io
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from intelbench import __version__
from intelbench.errors import UserError, printable, shortened
from intelbench.options import (
    FILE,
    FOLDER,
    Value,
    budget_or_share,
    byte_count,
    checkpoint_time,
    device,
    duration,
    gate,
    images_per_class,
    number,
    seeds,
    source,
    whole_number,
    whole_numbers,
)

_EXIT_FAILED_RUNS = 1
_EXIT_FAILED_GATE = 1
_EXIT_NOT_REPRODUCED = 1
_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130
_LONGEST_COMPLAINT = 1000
"""Characters of click's and the system's complaints, which repeat what was typed."""


def main() -> None:
    """Run the command line and turn errors meant for the user into one message on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # a report is the same bytes everywhere
    try:
        status = cli(prog_name="intelbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        _complain(error.format_message())
        status = _EXIT_USER_ERROR
    except click.ClickException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "intelbench")
        said = printable(shortened(error.format_message(), _LONGEST_COMPLAINT))
        _complain(f"{command}: {said}{'' if said.endswith(('.', '?')) else '.'} Try '{command} --help'")
        status = _EXIT_USER_ERROR
    except UserError as error:
        _complain(f"intelbench: {error}")
        status = _EXIT_USER_ERROR
    except UnicodeEncodeError as error:
        if not any("\ud800" <= character <= "\udfff" for character in error.object):
            raise
        name = shortened(printable(error.object), _LONGEST_COMPLAINT)  # bytes of the system that are no text
        _complain(f"intelbench: {name}: not UTF-8. Expected names of files and folders in UTF-8. Try another name")
        status = _EXIT_USER_ERROR
    except OSError as error:  # a full disk, a read-only folder
        _complain(f"intelbench: {printable(shortened(_of_the_system(error), _LONGEST_COMPLAINT))}")
        status = _EXIT_USER_ERROR
    except (click.Abort, KeyboardInterrupt):
        status = _EXIT_INTERRUPTED
    if "torch" not in sys.modules:  # whose bindings complain of what is left
        gc.freeze()  # else the interpreter looks for rubbish in all there is, once more, before it ends
    sys.exit(status)


def _print(product: str) -> None:
    """Print to stdout; a terminal is shown what it would obey, a file or a program gets the bytes as they are."""
    click.echo(_visible(product) if sys.stdout.isatty() else product, nl=False)


def _complain(text: str) -> None:
    """Print to stderr."""
    click.echo(_visible(text), err=True)


def _of_the_system(error: OSError) -> str:
    """The system's reason, and which file it could not work with, if it was a file."""
    files = [os.fsdecode(file) for file in (error.filename, error.filename2) if isinstance(file, str | bytes)]
    reason = error.strerror or str(error)
    return f"{' and '.join(files)}: cannot be read or written ({reason})" if files else reason


def _visible(text: str) -> str:
    """Line by line what a terminal may be shown."""
    return "\n".join(map(printable, text.split("\n")))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="intelbench")
def cli() -> None:
    """Compare image-classification architectures under identical seeds and budgets.

    Begin with `intelbench run --all`, then `intelbench report > results/REPORT.md`.
    """


def _cache_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--cache-dir",
        type=FOLDER,
        envvar="INTELBENCH_CACHE",
        help="Where decoded images are kept. [default: the user's cache folder; env: INTELBENCH_CACHE]",
    )(command)


@cli.command()
@click.argument("architectures", nargs=-1, metavar="[ARCHITECTURE]...")
@click.option("--all", "all_", is_flag=True, help="All five reference architectures.")
@click.option(
    "--suite", "suite_name", default="quick", show_default=True, help="Built-in suite, or a file that ends in .toml."
)
@click.option("--data", type=Value(source),
              help="Folder of images, or `scenes`, the built-in drawn data set. [default: the suite's]")  # fmt: skip
@click.option("--seeds", type=Value(seeds),
              help="Seeds, and ranges of seeds, as in 0,1,2 or 0-2. [default: the suite's]")  # fmt: skip
@click.option(
    "--budget",
    type=Value(budget_or_share),
    help="Training budget of every run, as in '60 s', '300 steps', '2 epochs', or a share of the suite's, as in "
    "'10 %'. [default: the suite's]",
)
@click.option("--image-size", type=Value(whole_number(8, 4096), "number"),
              help="Height and width in pixels that networks see. [default: the suite's]")  # fmt: skip
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
              help="Of convolutions and matrix products; auto is bf16 where the device has instructions for it, else "
              "fp32. [default: the suite's]")  # fmt: skip
@click.option("--images-per-class", type=Value(images_per_class, "numbers"),
              help="Training images of each class, as in 10,50,200,all. [default: the suite's]")  # fmt: skip
@click.option("--device", type=Value(device), default="auto", show_default=True,
              help="auto, cpu, cuda, a GPU by its number as in cuda:1, or mps (Apple; fp32 and fp16 alone, and runs "
              "are not promised to repeat to the bit). auto is the first CUDA device, or the CPU.")  # fmt: skip
@click.option("--threads", type=Value(whole_number(1, 1024), "number"),
              help="PyTorch's threads. [default: PyTorch's choice on a CPU, 1 with a GPU]")  # fmt: skip
@click.option(
    "--workers",
    type=Value(whole_number(0, 1024), "number"),
    help="Threads that prepare batches ahead. [default: 0 on a CPU; with a GPU 8, or all processors but 2]",
)
@click.option("--out", type=FOLDER, default=Path("results"), show_default=True,
              help="Results folder; the records go to its runs/.")  # fmt: skip
@click.option("--plugin", "plugins", type=FILE, multiple=True,
              help="Python file with architectures of your own; may be given again.")  # fmt: skip
@click.option("--timeout", type=Value(duration, "time"),
              help="Time after which a run is stopped and recorded as failed, as in '10 min'; a number without a unit "
              "is in seconds. [default: never]")  # fmt: skip
@click.option("--memory-limit", type=Value(byte_count, "size"),
              help="Memory at which a run is ended as failed, as in 8GB, so that the machine never swaps.")  # fmt: skip
@click.option("--checkpoint", type=Value(checkpoint_time, "when"),
              help="When to save a run, so that it can be resumed: a time between, as in '10 min', `evaluations`, or "
              "`never`. [default: 5 minutes, or more where saving would take over 2 % of them]")  # fmt: skip
@click.option("--restart", is_flag=True, help="Begin interrupted runs anew, and drop their checkpoints.")
@click.option("--rerun", is_flag=True, help="Run again what is recorded already, and replace its record.")
@click.option("--retry-failed", is_flag=True, help="Run again what failed or left no readable record.")
@click.option("--no-cache", is_flag=True, help="Decode images on the fly; slower, the same batches.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read, and record how many.")
@_cache_option
@click.pass_context
def run(ctx: click.Context, /, architectures: tuple[str, ...], all_: bool, **options: Any) -> int:
    """Train and evaluate architectures under identical conditions, one process and one record a run.

    Without ARCHITECTURE and --all, the suite's own list is run. What is recorded already is skipped.
    """
    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import Limits, require_start
    from intelbench.profiling.variables import process_variables

    if all_ and architectures:
        raise click.UsageError("give architecture names or --all, not both", ctx)
    require_start("run")
    with starter(process_variables(options["threads"])) as processes:  # imports PyTorch while this process does
        from intelbench.architectures.reference import REFERENCE
        from intelbench.orchestration.session import Request, run_session

        request = Request(
            suite=options["suite_name"],
            architectures=REFERENCE if all_ else architectures or None,
            data=options["data"],
            seeds=options["seeds"],
            budget=options["budget"],
            image_size=options["image_size"],
            precision=options["precision"],
            images_per_class=options["images_per_class"],
            device=options["device"],
            threads=options["threads"],
            workers=options["workers"],
            results=options["out"],
            plugins=options["plugins"],
            limits=Limits(options["timeout"], options["memory_limit"]),
            checkpoint=options["checkpoint"],
            restart=options["restart"],
            again="all" if options["rerun"] else "failed" if options["retry_failed"] else "none",
            cache=not options["no_cache"],
            skip_unreadable=options["skip_unreadable"],
            cache_folder=_cache_folder(options["cache_dir"]),
        )
        return _EXIT_FAILED_RUNS if run_session(request, processes) else 0


@cli.command("report")
@click.argument("folder", type=FOLDER, default=Path("results"), metavar="[RUNS_DIR]")
@click.option("--format", "form", type=click.Choice(["md", "json", "csv"]), default="md", show_default=True)
@click.option("--claims", "claims_file", type=FILE,
              help="TOML file of claims to check, in place of the published ones; see docs/CLAIMS.md.")  # fmt: skip
@click.option("--html", "html_file", type=FILE,
              help="Write the report to this file instead: one page, with the misclassified images.")  # fmt: skip
@click.option("--images", type=FOLDER,
              help="Where the images lie now, for --html. [default: where the records say]")  # fmt: skip
@_cache_option
@click.pass_context
def report_(
    ctx: click.Context,
    /,
    folder: Path,
    form: str,
    claims_file: Path | None,
    html_file: Path | None,
    images: Path | None,
    cache_dir: Path | None,
) -> None:
    """Print a report of the records to stdout; with Markdown, its figures are written to figures/ beside the runs.

    RUNS_DIR is a results folder (with runs/ in it) or a folder of records. [default: results]
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's, whose threads would be in the way of two processes
    from intelbench.records.claims import load_claims
    from intelbench.records.store import runs_folder, write_figures
    from intelbench.records.workspace import describe_under_way
    from intelbench.reporting.evidence.study import read

    if images and not html_file:
        raise click.UsageError("--images goes with --html FILE", ctx)
    if html_file and form != "md":
        raise click.UsageError("give --html or --format, not both", ctx)
    runs, claims = runs_folder(folder), load_claims(claims_file)
    if under_way := describe_under_way(runs):
        click.echo(under_way, err=True)
    study = read(runs, meanwhile=partial(_import_report, with_figures=form == "md"))  # takes as long as 1,000 records
    _import_report(with_figures=form == "md")  # few records are read by this process, which then has not imported it
    from intelbench.reporting.report import as_csv, as_json, write

    if html_file:
        from intelbench.reporting.page.html import as_html

        page = as_html(study, images, _cache_folder(cache_dir), claims=claims)
        write_figures(html_file.parent, {html_file.name: page.encode()})
    elif form == "csv":
        _print(as_csv(study))
    elif form == "json":
        _print(as_json(study, claims=claims))
    else:
        report = write(study, claims=claims)
        write_figures(runs.parent / "figures", report.figures)
        _print(report.text)


@cli.command()
@click.argument("before", type=FOLDER, metavar="RUNS_A")
@click.argument("after", type=FOLDER, metavar="RUNS_B")
@click.option("--fail-if-worse", "gates", type=Value(gate), multiple=True, metavar="METRIC:MARGIN",
              help="Exit 1 if the metric is worse in RUNS_B by more than the margin, beyond the noise, for any "
              "architecture; as in test_accuracy:0.01 or step_seconds:0.05. May be given again.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["md", "json"]), default="md", show_default=True)
def compare(before: Path, after: Path, gates: tuple[Any, ...], form: str) -> int:
    """Compare two results folders architecture by architecture, paired by seed: RUNS_B against RUNS_A.

    Two versions of a recipe or of a library, or two machines.
    """
    from intelbench.reporting.evidence import compare as comparing
    from intelbench.reporting.text import changes

    found = comparing.compare(before, after)
    verdicts = comparing.judge(found, gates)
    names = (str(before), str(after))
    text = changes.as_markdown(found, verdicts, names) if form == "md" else changes.as_json(found, verdicts)
    _print(text)
    failed = [verdict for verdict in verdicts if verdict.failed]
    for verdict in failed:
        _complain(changes.failure_line(verdict))
    return _EXIT_FAILED_GATE if failed else 0


@cli.command()
@click.argument("record", type=FOLDER, metavar="RUN")
@click.option("--steps", type=Value(whole_number(1, 2**53), "number"), default=8, show_default=True,
              help="Training steps to take again.")  # fmt: skip
@click.option("--tolerance", type=Value(number, "number"), default=0.0, show_default=True,
              help="Accepted relative difference of losses and gradient norms; 0 wants equal bits.")  # fmt: skip
@click.option("--data", type=Value(source), help="Where the images are now. [default: where the record says]")
@click.option("--plugin", "plugins", type=FILE, multiple=True,
              help="Python file with the architecture, where it was one of your own.")  # fmt: skip
@_cache_option
def verify(
    record: Path, steps: int, tolerance: float, data: str | None, plugins: tuple[Path, ...], cache_dir: Path | None
) -> int:
    """Take the first steps of a recorded run again, and say whether this machine reproduces them; exit 1 if not.

    RUN is the folder of a record, as results/runs/resnet101-s0-...
    """
    from intelbench.orchestration.forkserver import starter
    from intelbench.orchestration.process import require_start
    from intelbench.profiling.variables import process_variables

    require_start("verify")
    with starter(process_variables(threads=None)) as processes:  # imports PyTorch while this process does
        from intelbench.orchestration.verify import Request
        from intelbench.orchestration.verify import verify as verify_

        request = Request(record=record, steps=steps, data=data, plugins=plugins, cache_folder=_cache_folder(cache_dir))
        found = verify_(request, processes, _complain)
    upto = f"step {found.num_steps}" if found.num_steps == 1 else f"steps 1 to {found.num_steps}"
    if not found.same_batches:
        batches = f"other batches than in the record after step {found.verified_step or 0}"
    else:
        batches = f"the batches of the record up to step {found.verified_step}"
    if found.first_difference is None:
        numbers = "losses and gradient norms equal bit for bit"
    else:
        numbers = (
            f"losses or gradient norms differ from step {found.first_difference} on, "
            f"by at most {found.largest_difference:.2g} of their value"
        )
    click.echo(printable(f"{found.run_id}, {upto}: {batches}; {numbers}"))
    if found.changed:
        click.echo(printable(f"not as it was: {found.changed}"))
    return 0 if found.reproduced(tolerance) else _EXIT_NOT_REPRODUCED


@cli.command()
@click.argument("architectures", nargs=-1, metavar="[ARCHITECTURE]...")
@click.option("--all", "all_", is_flag=True, help="All five reference architectures.")
@click.option("--batch-sizes", type=Value(whole_numbers(1, 65_536), "numbers"), default="1,8,32,128", show_default=True,
              help="Images a step.")  # fmt: skip
@click.option("--size", type=Value(whole_number(8, 4096), "number"), default=224, show_default=True,
              help="Height and width in pixels, from 8 to 4,096.")  # fmt: skip
@click.option("--classes", type=Value(whole_number(2, 32_767), "number"), default=6, show_default=True,
              help="Number of classes, from 2 to 32,767.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--optimizer", type=click.Choice(["adam", "adamw", "sgd"]), default="adam", show_default=True)
@click.option("--frozen", is_flag=True, help="Train the heads alone, on a frozen backbone.")
@click.option("--memory", "memories", type=Value(whole_numbers(1, 1_000_000), "numbers"),
              default="8,12,16,24,40,80,141", show_default=True,
              help="Gigabytes of GPU memory for which to find the largest batch.")  # fmt: skip
@click.option("--plugin", "plugins", type=FILE, multiple=True,
              help="Python file with architectures of your own; may be given again.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["md", "json", "csv"]), default="md", show_default=True)
@click.pass_context
def profile(ctx: click.Context, /, architectures: tuple[str, ...], all_: bool, form: str, **options: Any) -> int:
    """Say what architectures hold, compute and need, without training them and without a GPU.

    Parameters, FLOPs, predicted GPU memory by batch size, and the largest batch that fits. Exits with status 1 if an
    architecture could not be profiled; its row says why.
    """
    from intelbench.architectures.reference import REFERENCE

    if all_ == bool(architectures):
        raise click.UsageError("give architecture names, or --all", ctx)
    from intelbench.orchestration import profile as profiling
    from intelbench.records.types import Budget, Conditions, Recipe
    from intelbench.reporting.text import profile as reporting

    request = profiling.Request(
        architectures=REFERENCE if all_ else architectures,
        batch_sizes=options["batch_sizes"],
        memories=options["memories"],
        num_classes=options["classes"],
        conditions=Conditions(
            image_size=options["size"],
            precision=options["precision"],
            budget=Budget(steps=1),
            recipe=Recipe(optimizer=options["optimizer"]),
        ),
        frozen=options["frozen"],
        plugins=options["plugins"],
    )
    found = profiling.profile(request, lambda name: _complain(f"profiling {name}"))
    render = {"md": reporting.as_markdown, "json": reporting.as_json, "csv": reporting.as_csv}[form]
    _print(render(found))
    return _EXIT_FAILED_RUNS if found.failures else 0


@cli.command("list")
def list_() -> None:
    """List the architectures and suites that are known."""
    from intelbench.architectures.registry import find, known
    from intelbench.records.suites import budgets, built_in_suites, load_suite

    click.echo("Architectures:")
    for name, provider in known().items():
        facts = find(name)[0].published if provider == "intelbench" else None
        note = (
            f"{facts.num_parameters / 1e6:.1f} M parameters with 1000 classes; {facts.paper}"
            if facts
            else f"from {provider}"
        )
        click.echo(printable(f"  {name:20} {note}"))
    click.echo("  NAME                 any torchvision classifier, in full torchvision:NAME\n\nSuites:")
    for name in built_in_suites():
        suite = load_suite(name)
        click.echo(
            f"  {name:20} {suite.description} {len(suite.seeds)} seeds, {suite.image_size} px, "
            f"{' or '.join(map(str, budgets(suite)))} a run."
        )


@cli.group()
def data() -> None:
    """Look at a data set before running on it."""


@data.command("check")
@click.argument("source", metavar="DIR", type=Value(source))
@click.option("--suite", default="quick", show_default=True,
              help="Suite that is to run on DIR: its batch size, and what it sets aside.")  # fmt: skip
@_cache_option
def data_check(source: str, suite: str, cache_dir: Path | None) -> int:
    """Read every image below DIR and say what was found; exit 1 if some cannot be read, 2 if `run` would refuse DIR."""
    from intelbench.data.inspection import describe, inspect
    from intelbench.records.suites import load_suite

    found = inspect(source, load_suite(suite).conditions, _cache_folder(cache_dir))
    for note in found.notes:
        _complain(note)
    for line in describe(found):
        click.echo(line)
    if found.refusal:
        raise UserError(found.refusal)
    return _EXIT_FAILED_RUNS if found.unreadable else 0


def _import_report(*, with_figures: bool) -> None:
    """Import what writes a report, and matplotlib without the settings of the user."""
    import_module("intelbench.reporting.report")
    if with_figures:
        os.environ.pop("MPLBACKEND", None)  # Jupyter sets one that other environments do not have
        os.environ["MATPLOTLIBRC"] = os.devnull
        with contextlib.chdir(Path(__file__).parent):  # a matplotlibrc is looked for in the working directory first
            import_module("intelbench.reporting.figures.drawing")


def _cache_folder(given: Path | None) -> Path:
    from platformdirs import user_cache_path

    return given or user_cache_path("intelbench", appauthor=False)


if __name__ == "__main__":
    main()
