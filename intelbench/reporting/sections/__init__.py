"""The sections of a report, each of which owns its columns, its text and its figure; here is the list of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intelbench.plugins.registry import Registry
from intelbench.reporting.document import Block
from intelbench.reporting.sections.accuracy_by_budget import accuracy_by_budget
from intelbench.reporting.sections.arithmetic import arithmetic
from intelbench.reporting.sections.calibration import calibration
from intelbench.reporting.sections.claims import published_claims
from intelbench.reporting.sections.classes import classes
from intelbench.reporting.sections.confusion import confusion_matrices
from intelbench.reporting.sections.cost import cost
from intelbench.reporting.sections.differences import differences
from intelbench.reporting.sections.disturbances import disturbances
from intelbench.reporting.sections.energy import energy
from intelbench.reporting.sections.environment import environment
from intelbench.reporting.sections.equal_budgets import equal_budgets_section
from intelbench.reporting.sections.failures import failures
from intelbench.reporting.sections.features import features
from intelbench.reporting.sections.gpu import gpu
from intelbench.reporting.sections.identical_batches import identical_batches
from intelbench.reporting.sections.memory import memory
from intelbench.reporting.sections.mistakes import mistakes
from intelbench.reporting.sections.planner import planner
from intelbench.reporting.sections.rectifiers import rectifiers
from intelbench.reporting.sections.reproduction import reproduce
from intelbench.reporting.sections.results import results
from intelbench.reporting.sections.stability import stability
from intelbench.reporting.sections.standing import standing
from intelbench.reporting.sections.step_breakdown import step_breakdown
from intelbench.reporting.sections.time_to_accuracy import time_to_accuracy
from intelbench.reporting.sections.training_loss import training_loss
from intelbench.results.summaries import CohortSummary


@dataclass(frozen=True)
class ReportSection:
    """A section that the report has for each group of records."""

    title: str
    blocks: Callable[[CohortSummary], Sequence[Block]]
    """Returns what is below the title; nothing where the section has nothing to say."""
    in_default: bool = True
    """Whether a reader acts on it; the others are in the full report, and folded on the page."""
    after: str | None = None
    """Title of the section that it follows; `None` for the order of registration."""


CLAIMS = "Published claims"
PLANNER = "Planner"
_BUILT_IN = (
    ReportSection("Results", results),
    ReportSection("Stored features", features),
    ReportSection("Differences", differences),
    ReportSection(PLANNER, planner),
    ReportSection("Probability of being the best", standing, in_default=False),
    ReportSection("Choice by cost", cost),
    ReportSection("Accuracy at equal steps and at equal time", equal_budgets_section),
    ReportSection(CLAIMS, published_claims),
    ReportSection("Classes", classes),
    ReportSection("Confusion matrices", confusion_matrices),
    ReportSection("Images that every architecture gets wrong", mistakes),
    ReportSection("Training loss", training_loss, in_default=False),
    ReportSection("Accuracy by budget", accuracy_by_budget, in_default=False),
    ReportSection("Time to accuracy", time_to_accuracy, in_default=False),
    ReportSection("Calibration", calibration, in_default=False),
    ReportSection("Stability", stability, in_default=False),
    ReportSection("Dead units and mean activation", rectifiers, in_default=False),
    ReportSection("Arithmetic throughput", arithmetic, in_default=False),
    ReportSection("Step breakdown", step_breakdown, in_default=False),
    ReportSection("Predicted and measured memory", memory, in_default=False),
    ReportSection("Energy", energy, in_default=False),
    ReportSection("Disturbances by other work", disturbances, in_default=False),
    ReportSection("State of the GPU", gpu, in_default=False),
    ReportSection("Failures", failures),
    ReportSection("Identical batches", identical_batches),
    ReportSection("Environment", environment),
    ReportSection("How to reproduce", reproduce),
)
"""The built-in sections in the order of the report. To add one, add a line."""
SECTIONS: Registry[ReportSection] = Registry("section", {each.title: each for each in _BUILT_IN}, allows_spaces=True)
