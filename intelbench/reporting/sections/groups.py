"""Groups: why several cohorts are not to be compared, and in what they differ."""

from collections.abc import Sequence

from intelbench.errors import plural
from intelbench.reporting.document import Block, Paragraph, settings_table
from intelbench.reporting.formatting import code, listed
from intelbench.results.cohorts import Cohort, differing_keys


def groups(cohorts: Sequence[Cohort]) -> list[Block]:
    """Show in what the groups differ; nothing where there is one."""
    if len(cohorts) < 2:
        return []
    keys = differing_keys(cohorts)
    headers = ["", *(f"Group {number}" for number in range(1, len(cohorts) + 1))]
    by_execution = all(key.startswith("execution.") and key != "execution.device" for key in keys)
    named = listed(map(code, keys))
    if list(keys) == ["images_per_class"]:
        text = (
            "differ in how many images of each class their runs were trained on. Each group has its own tables; "
            '"Labelled images needed" compares them.'
        )
    elif list(keys) == ["vary"]:
        text = (
            "differ in what varies between the seeds of their runs. Each group has its own tables; "
            '"Sources of variance" compares them.'
        )
    elif by_execution and not any(cohort.in_seconds for cohort in cohorts):
        text = (
            f"differ in how their runs were executed: {named}. Each group has its own tables of times and memory; "
            '"Accuracy across executions" has the accuracies of all runs.'
        )
    else:
        text = f"must not be compared with each other: they differ in {named}. Each group has its own tables."
    return [Paragraph(f"The records fall into {len(cohorts)} groups that {text}"), settings_table(headers, keys)]


def group_title(number: int, of: int, cohort: Cohort) -> str:
    """Write `Group 1 of 2: 20 runs, 10 images of each class`."""
    runs = plural(len(cohort.runs), "run")
    runs += ", each architecture under its own recipe" if cohort.own_recipes else ""
    few = cohort.spec.images_per_class
    runs += f", {plural(few, 'image')} of each class" if few else ""
    runs += "" if cohort.spec.vary == "all" else f", only {cohort.spec.vary} varies"
    return f"Group {number} of {of}: {runs}"
