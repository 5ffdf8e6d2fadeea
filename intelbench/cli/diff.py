"""`intelbench diff`."""

from pathlib import Path
from typing import Any

import click

from intelbench.cli.output import complain, print_product
from intelbench.cli.parameters import metric_plugin_option
from intelbench.cli.values import FOLDER, Choice, Value, gate

_EXIT_NOT_PASSED = 1


@click.command()
@click.argument("before", type=FOLDER, metavar="RUNS_A")
@click.argument("after", type=FOLDER, metavar="RUNS_B")
@click.option(
    "--gate", "gates", type=Value(gate), multiple=True, metavar="METRIC:MARGIN",
    help="Exit with status 1 unless the runs show for every architecture that the metric is not worse in RUNS_B by "
    "more than the margin, such as test_accuracy:0.01 or step_seconds:0.05, and with status 2 if one cannot be "
    "compared. Can be given more than once.",
)  # fmt: skip
@metric_plugin_option
@click.option("--format", "form", type=Choice(["md", "json"]), default="md", show_default=True)
def diff(before: Path, after: Path, gates: tuple[Any, ...], form: str) -> int:
    """Show what changed from RUNS_A to RUNS_B, for each architecture, paired by seed.

    RUNS_A and RUNS_B are two results folders: of two versions of a recipe or of a library, or of two machines.
    """
    from intelbench.reporting.diff import as_json, as_markdown, complaint
    from intelbench.results.diff import compare, judge

    comparison = compare(before, after, gates)
    verdicts = judge(comparison, gates)
    names = (str(before), str(after))
    print_product(as_markdown(comparison, verdicts, names) if form == "md" else as_json(comparison, verdicts))
    not_passed = [verdict for verdict in verdicts if verdict.outcome != "passed"]
    for verdict in not_passed:
        complain(complaint(verdict))
    return _EXIT_NOT_PASSED if not_passed else 0
