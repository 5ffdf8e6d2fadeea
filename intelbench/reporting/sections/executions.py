"""Accuracy across executions: one table of runs that differ only in how they were executed."""

from intelbench.errors import plural
from intelbench.reporting.document import Block, Paragraph
from intelbench.reporting.formatting import listed
from intelbench.reporting.sections.differences import differences
from intelbench.reporting.sections.results import main_table
from intelbench.results.cost_metrics import COST_METRICS
from intelbench.results.executions import ExecutionStudy
from intelbench.results.metrics import metrics_in


def accuracy_across_executions(study: ExecutionStudy) -> list[Block]:
    """Return the accuracies of all runs, each architecture and seed once, and the difference of every pair."""
    accuracies = [metric for metric in metrics_in("main") if metric not in COST_METRICS]
    return [Paragraph(_note(study)), *main_table(study.pooled, accuracies), *differences(study.pooled)]


def _note(study: ExecutionStudy) -> str:
    sentences = [
        f"Groups {listed(map(str, study.groups))} differ only in how their runs were executed, for example on how many "
        "GPUs. That changes their speed and not their batches, so they are one experiment, and this is its accuracy: "
        "each architecture and seed once. Times and memory are those of a group."
    ]
    if study.repeated:
        number, changed = len(study.repeated), study.num_changed_predictions
        agreement = (
            f"up to {plural(changed, 'test image')} predicted otherwise" if changed else "equal test predictions"
        )
        sentences.append(
            f"{plural(number, 'run')} of these groups {'repeats' if number == 1 else 'repeat'} a run that is in the "
            f"table, with {agreement}."
        )
    return " ".join(sentences)
