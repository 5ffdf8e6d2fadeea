"""Claims about two architectures, tested as the report tests their difference, so that the two cannot disagree."""

from collections.abc import Mapping, Sequence

from intelbench.results import sequential
from intelbench.results.claims import Claim
from intelbench.results.metric import differences
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.results.verdicts import Compared, UntestableError
from intelbench.statistics.comparisons import PairedDifference, Scale, corrected_p_values, paired_differences


def compared_as_reported(
    claim: Claim, summary: CohortSummary, subject: ArchitectureSummary, others: Sequence[ArchitectureSummary]
) -> list[Compared]:
    """Return the comparisons of the architecture of a claim with others, by the differences of the report.

    These have moderated variances, p values that are corrected over all pairs of the cohort (Holm), and the level of
    the look of each pair where seeds were added in looks. There are none if the report does not test the metric, or
    nothing in this cohort.

    Raises:
        UntestableError: seeds are added in looks, and no look with both architectures is complete.
    """
    pairs = _within(claim, summary)
    tested = [pair for pair in pairs if pair.p_holm is not None]
    if not tested and not (summary.sequential and claim.metric == "test_accuracy"):
        return []
    margin, num_pairs = claim.largest_equivalent, len(summary.finished) * (len(summary.finished) - 1) // 2
    beyond = corrected_p_values(
        [pair.inferred for pair in tested],
        lambda mean: mean.p_above(abs(mean.location), margin, sides=2),
        num_pairs if summary.sequential else 0,
    )
    known = {
        frozenset((pair.first, pair.second)): (pair, p_beyond) for pair, p_beyond in zip(tested, beyond, strict=True)
    }
    return [_compared(summary, known, subject, other) for other in others]


def _within(claim: Claim, summary: CohortSummary) -> Sequence[PairedDifference]:
    """Return the differences of every pair, tested for equivalence within the margin of the claim."""
    metric, margin = METRICS.get(claim.metric), claim.largest_equivalent
    if claim.metric != "test_accuracy":
        return differences(metric, summary, margin)
    if margin == summary.margin or summary.correct is None:
        return summary.accuracy_differences
    if summary.sequential:
        names = [architecture.name for architecture in summary.finished]
        looked = sequential.compare(summary.cohort, names, summary.correct, margin)
        return looked.differences if looked else ()
    return paired_differences(summary.correct, Scale(margin=margin))


def _compared(
    summary: CohortSummary,
    known: Mapping[frozenset[int], tuple[PairedDifference, float | None]],
    subject: ArchitectureSummary,
    other: ArchitectureSummary,
) -> Compared:
    """Return the comparison of two architectures by their difference; `known` has its p value beyond the margin."""
    own = summary.finished.index(subject)
    found = known.get(frozenset((own, summary.finished.index(other))))
    if found is None:
        raise UntestableError(f"no look with both {subject.name} and {other.name} is complete")
    pair, p_beyond = found
    assert pair.p_holm is not None
    assert pair.p_equivalent is not None
    assert p_beyond is not None
    estimate = pair.difference if pair.first == own else -pair.difference
    return Compared(
        other=other.name,
        estimate=estimate,
        effect=estimate.mean,
        p_value=pair.p_holm,
        p_within=pair.p_equivalent,
        p_beyond=p_beyond,
        note="" if pair.inferred.error else "every image has the same value in every seed",
        level=pair.significance,
        is_reported=True,
        num_seeds=len(pair.seeds),
    )
