"""Made-up studies with other curves and measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from intelbench.reporting.sections.accuracy_by_budget import accuracy_by_budget
from intelbench.reporting.sections.cost import cost
from intelbench.reporting.sections.time_to_accuracy import time_to_accuracy
from intelbench.results.runs import RunSummary
from intelbench.results.summaries import CohortSummary
from tests.reporting.rendered import rendered

Curves = Mapping[str, Sequence[Sequence[float]]]


def written(summary: CohortSummary) -> str:
    """The sections on accuracy for what it costs."""
    sections = (accuracy_by_budget, time_to_accuracy, cost)
    return "\n\n".join(text for section in sections for text in rendered(section(summary)))


def changed(summary: CohortSummary, change: Callable[[str, int, RunSummary], RunSummary]) -> CohortSummary:
    """With other runs; `change` gets architecture, place and run."""
    architectures = tuple(
        replace(each, runs=tuple(change(each.name, place, run) for place, run in enumerate(each.runs)))
        for each in summary.architectures
    )
    return replace(summary, architectures=architectures)


def with_curves(summary: CohortSummary, curves: Curves, pace: Mapping[str, float] = {}) -> CohortSummary:
    """Evaluated every ten steps, each `pace` seconds long, with these accuracies by architecture and seed."""

    def evaluated(name: str, place: int, run: RunSummary) -> RunSummary:
        accuracy = np.array(curves[name][place], dtype=np.float64)
        steps = 10.0 * np.arange(1, len(accuracy) + 1)
        seconds = steps * pace.get(name, 1.0)
        return replace(run, evaluation_step=steps, evaluation_seconds=seconds, evaluation_accuracy=accuracy)

    return changed(summary, evaluated)
