"""`intelbench profile`."""

from typing import Any

import click

from intelbench.cli.output import complain, print_product
from intelbench.cli.parameters import GroupedCommand, option, plugin_option
from intelbench.cli.values import NAME, Choice, Value, optimizer, whole_gigabytes, whole_number, whole_numbers
from intelbench.config.bounds import BATCH_SIZE, IMAGE_SIZE, NUM_CLASSES

_EXIT_FAILED = 1


@click.command(cls=GroupedCommand)
@click.argument("architectures", type=NAME, nargs=-1, metavar="[ARCHITECTURE]...")
@option("--all", "all_", is_flag=True, heading="Network", help="All five reference architectures.")
@option(
    "--image-size",
    type=Value(whole_number(*IMAGE_SIZE), "number"),
    default=224,
    help="Height and width of the network's input in pixels, from 8 to 4,096.",
)
@option(
    "--classes",
    "num_classes",
    type=Value(whole_number(*NUM_CLASSES), "number"),
    default=6,
    help="Number of classes, from 2 to 32,767.",
)
@plugin_option(adds="architectures or optimizers")
@option(
    "--batch-sizes",
    type=Value(whole_numbers(*BATCH_SIZE), "numbers"),
    default="1,8,32,128",
    heading="Training",
    help="Batch sizes for which memory is predicted.",
)
@option(
    "--precision",
    type=Choice(["fp32", "bf16"]),
    default="fp32",
    help="Precision of convolutions and matrix products.",
)
@option(
    "--optimizer",
    type=Value(optimizer, "name"),
    default="adam",
    help="Optimizer, whose state takes memory: a class of torch.optim in lower case, or of a plug-in.",
)
@option("--frozen", is_flag=True, help="Train only the head, on a frozen backbone.")
@option(
    "--memory",
    "memories",
    type=Value(whole_gigabytes, "sizes"),
    default="8GB,12GB,16GB,24GB,40GB,80GB,141GB",
    help="GPU memory for which to find the largest batch size.",
)
@click.option("--format", "form", type=Choice(["md", "json", "csv"]), default="md", show_default=True)
@click.pass_context
def profile(ctx: click.Context, /, architectures: tuple[str, ...], all_: bool, form: str, **options: Any) -> int:
    """Analyse architectures without training them and without a GPU.

    Prints parameters, FLOPs, predicted GPU memory by batch size, and the largest batch size that fits. Exits with
    status 1 if an architecture could not be profiled; its row says why.
    """
    from intelbench.architectures.reference import REFERENCE

    if all_ == bool(architectures):
        raise click.UsageError("give architecture names, or --all", ctx)
    from intelbench.config.requests import ProfileRequest, accepted
    from intelbench.orchestration import profile as profiling
    from intelbench.reporting import profile as reporting

    request = accepted(ProfileRequest, {"architectures": REFERENCE if all_ else architectures, **options})
    profiles = profiling.profile(request, lambda name: complain(f"profiling {name}"))
    render = {"md": reporting.as_markdown, "json": reporting.as_json, "csv": reporting.as_csv}[form]
    print_product(render(profiles))
    for name, reason in profiles.incomplete.items():
        complain(f"{name} cannot be profiled: {reason}")
    return _EXIT_FAILED if profiles.incomplete else 0
