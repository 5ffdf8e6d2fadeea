"""The sections of a report, each of which owns its columns, its text and its figure; here is the list of them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

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
from intelbench.reporting.sections.failures import failures
from intelbench.reporting.sections.gpu import gpu
from intelbench.reporting.sections.identical_batches import identical_batches
from intelbench.reporting.sections.memory import memory
from intelbench.reporting.sections.mistakes import mistakes
from intelbench.reporting.sections.rectifiers import rectifiers
from intelbench.reporting.sections.reproduction import reproduce
from intelbench.reporting.sections.results import results
from intelbench.reporting.sections.stability import stability
from intelbench.reporting.sections.step_breakdown import step_breakdown
from intelbench.reporting.sections.time_to_accuracy import time_to_accuracy
from intelbench.reporting.sections.training_loss import training_loss
from intelbench.results.claims import Claim
from intelbench.results.summaries import CohortSummary


class SectionKind(NamedTuple):
    """A section that the report has for each group of records."""

    title: str
    in_default: bool
    """Whether a reader acts on it; the others are in the full report, and folded on the page."""
    blocks: Callable[[CohortSummary], Sequence[Block]]
    """Returns what is below the title; nothing where the section has nothing to say."""


def section_kinds(claims: Sequence[Claim] | None) -> tuple[SectionKind, ...]:
    """Return the sections in the order of the report; without `claims` the published ones are checked."""
    return (
        SectionKind("Results", True, results),
        SectionKind("Differences", True, differences),
        SectionKind("Choice by cost", True, cost),
        SectionKind("Published claims", True, partial(published_claims, claims=claims)),
        SectionKind("Classes", True, classes),
        SectionKind("Confusion matrices", True, confusion_matrices),
        SectionKind("Images that every architecture gets wrong", True, mistakes),
        SectionKind("Training loss", False, training_loss),
        SectionKind("Accuracy by budget", False, accuracy_by_budget),
        SectionKind("Time to accuracy", False, time_to_accuracy),
        SectionKind("Calibration", False, calibration),
        SectionKind("Stability", False, stability),
        SectionKind("Dead units and mean activation", False, rectifiers),
        SectionKind("Arithmetic throughput", False, arithmetic),
        SectionKind("Step breakdown", False, step_breakdown),
        SectionKind("Predicted and measured memory", False, memory),
        SectionKind("Energy", False, energy),
        SectionKind("Disturbances by other work", False, disturbances),
        SectionKind("State of the GPU", False, gpu),
        SectionKind("Failures", True, failures),
        SectionKind("Identical batches", True, identical_batches),
        SectionKind("Environment", True, environment),
        SectionKind("How to reproduce", True, reproduce),
    )
