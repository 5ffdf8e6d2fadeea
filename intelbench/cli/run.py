"""`intelbench run`."""

import shlex
from pathlib import Path
from typing import Any

import click

from intelbench.cli.output import print_product
from intelbench.cli.parameters import GroupedCommand, cache_option, option, plugin_option
from intelbench.cli.values import (
    FOLDER,
    NAME,
    Choice,
    Value,
    budget_or_share,
    checkpoint_time,
    duration,
    images_per_class,
    percentage_points,
    seeds,
    source,
    vary,
    whole_number,
)
from intelbench.config.bounds import GPUS, IMAGE_SIZE, THREADS, WORKERS, byte_count, device_name

_EXIT_FAILED_RUNS = 1


@click.command(cls=GroupedCommand)
@click.argument("architectures", type=NAME, nargs=-1, metavar="[ARCHITECTURE]...")
@option("--all", "all_", is_flag=True, heading="Comparison", help="All five reference architectures.")
@option("--suite", type=NAME, default="quick", help="Built-in suite, or a file that ends in .toml.")
@option("--seeds", type=Value(seeds), help="Seeds and ranges of seeds, such as 0,1,2 or 0-2. [default: the suite's]")
@option(
    "--until",
    type=Choice(["decided"]),
    help="decided adds the seeds in planned looks, at 3, 5, 8, 12 ... of them, until one architecture is the best or "
    "those that are left are equivalent. An architecture that is significantly worse than another gets no more seeds. "
    "[default: all seeds]",
)
@option(
    "--margin",
    type=Value(percentage_points, "points"),
    callback=lambda _context, _parameter, points: None if points is None else points / 100,
    help="Largest difference in test accuracy, in percentage points, that counts as equivalent, for --until and the "
    "report. [default: the suite's, which is 1 if it has none]",
)
@option(
    "--metric",
    type=NAME,
    metavar="NAME",
    help="Metric of the test images by which the report ranks and compares architectures, such as accuracy, "
    "balanced_accuracy, macro_f1, top5, auroc, log_loss, or one of a plug-in; it changes no run. "
    "[default: the suite's]",
)
@option(
    "--spending",
    type=Choice(["obrien-fleming", "pocock"]),
    help="With --until: how the significance level of 5 % is spent over the looks. obrien-fleming leaves most of it to "
    "the last look; pocock finds large differences earlier. [default: obrien-fleming]",
)
@option(
    "--at-most",
    type=Value(duration, "time"),
    help="With --until: time such as '4 h'; no look is started that is predicted to exceed it. [default: none]",
)
@option(
    "--budget",
    type=Value(budget_or_share),
    help="Training budget of every run, such as '60 s', '300 steps' or '2 epochs', or a share of the suite's budgets, "
    "such as '10 %'. [default: the suite's]",
)
@option(
    "--image-size",
    type=Value(whole_number(*IMAGE_SIZE), "number"),
    help="Height and width of the network's input in pixels. [default: the suite's]",
)
@option(
    "--precision",
    type=Choice(["auto", "fp32", "bf16", "fp16"]),
    help="Precision of convolutions and matrix products. auto is bf16 where the device has instructions for it, else "
    "fp32. [default: the suite's]",
)
@option(
    "--images-per-class",
    type=Value(images_per_class, "numbers"),
    help="Training images of each class, such as 10,50,200,all. [default: the suite's]",
)
@option(
    "--vary",
    type=Value(vary, "words"),
    help="What differs between the seeds: all, every random stream; or only init, order, augment, dropout or split, "
    "while the others keep the first seed. Several, such as all,init,order, are run one after the other. "
    "[default: the suite's]",
)
@option(
    "--data",
    type=Value(source),
    heading="Data",
    help="Folder of images; `scenes`, the built-in drawn data set; or NAME:TEXT for the data source NAME of a plug-in. "
    "[default: the suite's]",
)
@option("--skip-unreadable", is_flag=True, help="Leave out unreadable images, and record their number.")
@option("--no-cache", is_flag=True, help="Decode images during the run: slower, the same batches.")
@cache_option
@option(
    "--device",
    type=Value(device_name),
    default="auto",
    heading="Machine",
    help="auto, cpu, cuda, a GPU by its number such as cuda:1, or mps (Apple; fp32 and fp16 only, runs do not repeat "
    "bit for bit). auto is the first CUDA device, else the CPU.",
)
@option(
    "--gpus",
    type=Value(whole_number(*GPUS), "number"),
    default=1,
    help="GPUs that compute each run together, from that of --device on; with --device cpu, processes. The suite's "
    "recipe.shards is a multiple of it.",
)
@option(
    "--threads",
    type=Value(whole_number(*THREADS), "number"),
    help="PyTorch's threads. [default: PyTorch's choice on a CPU, 1 with a GPU]",
)
@option(
    "--workers",
    type=Value(whole_number(*WORKERS), "number"),
    help="Threads that load data. [default: 0 on a CPU; with a GPU 8, or the number of processors minus 2]",
)
@option(
    "--on",
    type=NAME,
    metavar="NAME|FILE",
    default="local",
    help="Where runs are executed: local, one after the other on this machine; gpus, one on each GPU of this machine; "
    "slots, one on each processor; slurm or ray, each on a host of a cluster; an engine of a plug-in; or the TOML file "
    "of one. Times of runs that share a machine have tables of their own.",
)
@option(
    "--shared-clock",
    is_flag=True,
    help="Accept a budget in seconds for runs that share a machine and disturb each other's clocks.",
)
@option(
    "--timeout",
    "timeout_seconds",
    type=Value(duration, "time"),
    help="Time after which a run is stopped and recorded as failed, such as '10 min'. [default: none]",
)
@option(
    "--memory-limit",
    "memory_limit_bytes",
    type=Value(byte_count, "size"),
    help="Memory at which a run is stopped and recorded as failed, such as 8GB. [default: none]",
)
@option(
    "--prepare",
    is_flag=True,
    heading="Runs and records",
    help="Check and plan the runs, decode the images, write the study to studies/ of the results folder, and print the "
    "command that executes it: on this host and on others that see the folders, as often as you like.",
)
@option(
    "--track",
    type=NAME,
    metavar="NAME",
    multiple=True,
    help="Tracker to which runs are sent while they are executed: mlflow, tensorboard, wandb, or one of a plug-in. Can "
    "be given more than once.",
)
@option("--out", type=FOLDER, default=Path("results"), help="Results folder. Records are written to runs/ in it.")
@option(
    "--keep-weights",
    type=Choice(["best", "all", "none"]),
    help="Trained networks to keep in weights/ of the results folder: of each architecture and execution the seed "
    "that is best by the suite's metric on the validation images, those of all runs, or none. [default: the suite's]",
)
@option(
    "--rerun",
    type=Choice(["none", "interrupted", "failed", "all"]),
    default="none",
    help="Runs to repeat: interrupted restarts them without their checkpoints; failed resumes failed runs from their "
    "last checkpoints, and repeats those whose records cannot be read; all replaces every record.",
)
@option(
    "--checkpoint",
    type=Value(checkpoint_time, "when"),
    help="When to save a checkpoint: a time between two, such as '10 min', `evaluations`, or `never`. [default: 5 "
    "minutes, or more where saving would take over 2 % of the time]",
)
@plugin_option()
@click.pass_context
def run(ctx: click.Context, /, architectures: tuple[str, ...], all_: bool, **options: Any) -> int:
    """Train and evaluate architectures under identical conditions.

    Each run has its own process and leaves one record; what is recorded already is skipped. Without ARCHITECTURE and
    --all, the architectures of the suite are run. Exits with status 1 if a run failed, and with 75 if SIGTERM or
    SIGUSR2 ended it: the same command continues.
    """
    from intelbench.api.execution import execute, prepare
    from intelbench.config.requests import ONLY_WITH_UNTIL

    if all_ and architectures:
        raise click.UsageError("give architecture names or --all, not both", ctx)
    for name in ONLY_WITH_UNTIL:
        if options[name] is not None and options["until"] is None:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --until decided", ctx)
    if all_:
        from intelbench.architectures.reference import REFERENCE

        architectures = REFERENCE
    given = architectures or None
    out: Path = options.pop("out")
    options |= {"use_cache": not options.pop("no_cache"), "cache_folder": options.pop("cache_dir")}
    is_prepared = options.pop("prepare")
    if not is_prepared:
        return _EXIT_FAILED_RUNS if execute(given, out, **options) else 0
    print_product(f"intelbench work {shlex.quote(str(prepare(given, out, **options)))}\n")
    return 0
