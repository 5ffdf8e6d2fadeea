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
    blocks: Callable[[CohortSummary], Sequence[Block]]
    """What is below the title; nothing where the section has nothing to say."""


def section_kinds(claims: Sequence[Claim]) -> tuple[SectionKind, ...]:
    """Return the sections in the order of the report."""
    return (
        SectionKind("Results", results),
        SectionKind("Which differences are real?", differences),
        SectionKind("Published claims", partial(published_claims, claims=claims)),
        SectionKind("Was it identical?", identical_batches),
        SectionKind("Training loss", training_loss),
        SectionKind("Accuracy by budget", accuracy_by_budget),
        SectionKind("Time to an accuracy", time_to_accuracy),
        SectionKind("Accuracy for its cost", cost),
        SectionKind("Classes", classes),
        SectionKind("Confusion matrices", confusion_matrices),
        SectionKind("Images that every architecture gets wrong", mistakes),
        SectionKind("Calibration", calibration),
        SectionKind("Stability", stability),
        SectionKind("Dead units and mean activation", rectifiers),
        SectionKind("Arithmetic: achieved and possible", arithmetic),
        SectionKind("Where the time of a step goes", step_breakdown),
        SectionKind("Memory: predicted and measured", memory),
        SectionKind("Energy", energy),
        SectionKind("Was the machine quiet?", disturbances),
        SectionKind("Was the GPU quiet?", gpu),
        SectionKind("Failures", failures),
        SectionKind("Environment", environment),
        SectionKind("How to reproduce", reproduce),
    )
