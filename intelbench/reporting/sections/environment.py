"""Environment: machine, libraries and way of executing."""

from intelbench.reporting import formatting
from intelbench.reporting.document import Block, table
from intelbench.reporting.formatting import code, escape
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary


def environment(summary: CohortSummary) -> list[Block]:
    """Return facts about the machine, the providers of the architectures, and when the runs were started."""
    facts = []
    for row in list(tables.environment(summary)):
        values = [value for value in row["values"] if value is not None]
        write = formatting.size if row["fact"] == "memory_bytes" else formatting.fact
        if values:
            facts.append([code(row["fact"]), "; ".join(escape(write(value)) for value in values)])
    providers = sorted({(record.spec.provider, record.spec.architecture) for record in summary.cohort.records})
    for provider in dict.fromkeys(provider for provider, _ in providers):
        built = formatting.listed(escape(name) for by, name in providers if by == provider)
        facts.append([f"built by {escape(provider)}", built])
    started = [record.started_at for record in summary.cohort.records]
    ends = dict.fromkeys(formatting.moment(end) for end in (min(started), max(started)))
    facts.append(["runs started", escape(" to ".join(ends))])
    return [table(["", "Value"], facts, left=2)]
