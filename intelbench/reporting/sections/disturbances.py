"""Disturbances: what else used the machine in each run, and what that changed."""

from intelbench.errors import plural
from intelbench.reporting import formatting
from intelbench.reporting.document import Block, Column, Paragraph, listing, table_of
from intelbench.reporting.formatting import bare_percent, listed, significant
from intelbench.reporting.rows import ARCHITECTURE, SEED, Row, estimate, number
from intelbench.results import usage
from intelbench.results.disturbance import COMPUTE_SLOWDOWN, EXCHANGE_SLOWDOWN, FLAGGED_CHANGE, LOST_SECONDS, exceeds
from intelbench.results.summaries import CohortSummary

_REASONS = {
    "others": "other processes",
    "stolen": "the hypervisor",
    "compute": "slower arithmetic",
    "exchange": "slower exchange between threads",
    "clock": "a machine that slept, or a clock that was set",
}


def disturbances(summary: CohortSummary) -> list[Block]:
    """Return how many runs were disturbed, and each run; nothing where no record has the accounts."""
    if not summary.disturbances:
        return []
    runs = list(usage.contention(summary))
    lost = any(row["steps_lost"] is not None for row in runs)
    columns = [column for column in _COLUMNS if column is not _STEPS_LOST or lost]
    return [
        Paragraph(disturbed_answer(summary)),
        listing("Run by run", len(runs), lambda: [table_of(columns, runs)]),
        Paragraph(_note(summary)),
    ]


def disturbed_answer(summary: CohortSummary) -> str:
    """Say how many runs were disturbed, by what, and what that means; empty where no record has the accounts."""
    disturbances = summary.disturbances
    if not disturbances:
        return ""
    disturbed = [each for each in disturbances if each.reasons]
    watched = plural(len(disturbances), "run")
    bound = formatting.percent(FLAGGED_CHANGE, 0)
    in_seconds = any(each.budget_change for each in disturbances)
    if not disturbed:
        subject = f"None of {watched}" if len(disturbances) > 1 else "The run"
        negated = "was" if len(disturbances) > 1 else "was not"
        lost = ", or cost it that share of its steps" if in_seconds else ""
        return (
            f"{subject} {negated} disturbed: nothing made the median step more than {bound} longer{lost}, beyond "
            "the noise."
        )
    reasons = sorted({reason for each in disturbed for reason in each.reasons}, key=list(_REASONS).index)
    start = (
        f"**{len(disturbed)} of {watched} {'was' if len(disturbed) == 1 else 'were'} disturbed** by "
        f"{listed(_REASONS[reason] for reason in reasons)}"
    )
    slower = sum(bool(each.step_reasons) for each in disturbed)
    fewer = sum(exceeds(each.budget_change) for each in disturbed)
    effects = [f"the median step was more than {bound} longer in {slower}"] if slower else []
    effects += [f"{fewer} would have made more than {bound} more steps within the budget"] if fewer else []
    return f"{start}: beyond the noise, {listed(effects)}." if effects else f"{start}."


_STEPS_LOST = estimate("Steps lost", "steps_lost", formatting.number_interval, num_runs=1)
_COLUMNS = (
    ARCHITECTURE,
    SEED,
    number("Others (%)", "others_share", bare_percent),
    number("Hypervisor (%)", "stolen_share", bare_percent),
    number("Switches a second", "involuntary_switches_per_second", significant),
    number("Load before", "load_before", significant),
    number("Arithmetic", "compute_slowdown", formatting.times),
    number("Exchange", "exchange_slowdown", formatting.times),
    estimate("Step, by others (%)", "step_change", formatting.points, num_runs=1),
    estimate("Step, unexplained (%)", "unexplained_step_change", formatting.points, num_runs=1),
    _STEPS_LOST,
    Column[Row](
        "Disturbed", lambda row: listed(_REASONS[word] for word in (row["disturbed_by"] or "").split()) or "no"
    ),
)


def _note(summary: CohortSummary) -> str:
    least, expected, most = LOST_SECONDS
    note = (
        "**Others**, **Hypervisor**: their share of the processors' time during training. **Switches**: how often the "
        "run had to give up a processor against its will. **Load before**: over the minute before, the runs before "
        "included. **Arithmetic**, **Exchange**: the slowest moment of the reference convolution or matrix product, "
        "and of data that one thread reads from another, as a multiple of the quickest in this table's runs. "
        "**Step, by others**: how much longer other processes and the hypervisor made the median step, from the "
        "processor time that they took while it ran. A step is taken to lose "
        f"{expected:g} [{least:g}, {most:g}] s for each second taken. **Step, unexplained**: how much longer the "
        "median step was than in the other runs of the architecture, apart from that; 95 % interval with the noise "
        "between runs. **Steps lost**: what the run would have made in addition within a budget in seconds. A run is "
        f"disturbed where others made the median step more than {formatting.percent(FLAGGED_CHANGE, 0)} longer or cost "
        "more than that in steps, or where the unexplained difference is as large and a cause was seen: arithmetic "
        f"above {COMPUTE_SLOWDOWN:g} × or an exchange above {EXCHANGE_SLOWDOWN:g} ×. The interval has to be above "
        "the bound, not only the estimate."
    )
    if any("clock" in each.reasons for each in summary.disturbances):
        note += " The times of a run whose machine slept, or whose clock was set, are left out of every table of speed."
    return note
