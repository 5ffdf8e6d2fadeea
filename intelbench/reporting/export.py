"""The report for machines: JSON and CSV in base units."""

from collections.abc import Iterator, Sequence

import msgspec

from intelbench.reporting.rows import csv_of
from intelbench.reporting.sections import origins, reproduction
from intelbench.reporting.verdicts import Verdict, claims_about, verdicts
from intelbench.results import efficiency, predictions, tables, usage
from intelbench.results.claims import Claim
from intelbench.results.columns import Row, attributes, estimate_columns
from intelbench.results.cost_metrics import COST_METRICS
from intelbench.results.equal_budgets import equal_budget_table
from intelbench.results.executions import ExecutionStudy, execution_studies
from intelbench.results.label_efficiency import label_studies
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.origins import contrasts, matches
from intelbench.results.planner import plan_table
from intelbench.results.study import Study
from intelbench.results.summaries import CohortSummary
from intelbench.results.variance import variance_studies, variance_table
from intelbench.statistics.estimates import Estimate


def as_json(study: Study, *, claims: Sequence[Claim] | None = None) -> str:
    """Return all tables of each cohort, each run, each claim, and what was left out.

    Without `claims` the published ones are checked, on the data that they are about.
    """
    executed = execution_studies(study.cohorts)
    joined = {key for each in executed for key in each.keys}
    content = {
        "metrics": [
            {
                "name": name,
                **attributes(entry.value, "heading", "unit", "better", "definition"),
                "provider": entry.provider,
            }
            for name, entry in METRICS.entries.items()
        ],
        "cohorts": [
            {**_plain(summary, claims), "plan": [] if summary.cohort.key in joined else plan_table(summary)}
            for summary in study.cohorts
        ],
        "executions": [_executions(each) for each in executed],
        "label_efficiency": [labelled.plain() for labelled in label_studies(study.cohorts)],
        "variance": [
            [
                {"cohort": source.cohort, **row}
                for source, row in zip(varied.sources, variance_table(varied), strict=True)
            ]
            for varied in variance_studies(study.cohorts)
        ],
        "origins": _origins(study.cohorts, claims),
        "problems": study.problems,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"


def as_csv(study: Study) -> str:
    """Return the main table: a row for each architecture of each cohort, absent values empty."""
    return csv_of(tables.of_cohorts(tables.main, study.cohorts), ["cohort", *tables.main.types()])


def predictions_as_csv(study: Study) -> Iterator[str]:
    """Yield the predictions for the test images as CSV, run by run: a row for each finished run and image.

    Raises:
        UserError: the arrays of a record cannot be read.
    """
    names = predictions.columns(study.cohorts)
    yield csv_of([], names)
    for summary in study.cohorts:
        for frame in predictions.frames(summary):
            yield frame.reindex(columns=names).to_csv(
                index=False, header=False, lineterminator="\n", float_format="%.6g"
            )


def _plain(summary: CohortSummary, claims: Sequence[Claim] | None) -> dict[str, object]:
    """Return a cohort as plain values."""
    cohort, spec = summary.cohort, summary.cohort.spec
    line, suite = reproduction.command(cohort)
    return {
        "key": cohort.key,
        "identical": cohort.fairness.identical,
        "ranked": bool(summary.ranked),
        "seeds": cohort.seeds,
        **attributes(summary, "margin", "significance"),
        **attributes(cohort, "own_recipes", "conditions"),
        "own_settings": list(tables.own_settings(summary)),
        **attributes(spec, "data", "images_per_class", "vary", "fixed_seed", "execution"),
        "architectures": tables.main(summary),
        "differences": [
            row
            for metric in metrics_in("main")
            if metric.per_image and metric.split == "test"
            for row in tables.differences(summary, metric.name)
        ],
        "standings": tables.standings(summary),
        "claims": claims_rows(summary, claims),
        "equal_budgets": equal_budget_table(summary),
        "time_to_accuracy": list(efficiency.time_to_accuracy(summary)),
        "pareto": list(efficiency.pareto(summary)),
        "crossings": list(efficiency.crossing_table(summary)),
        "fairness": list(tables.fairness(summary)),
        "weights": list(tables.weights(summary)),
        "omnibus": list(tables.omnibus(summary)),
        "classes": list(tables.classes(summary)),
        "reliability": list(tables.reliability(summary)),
        "stability": list(tables.stability(summary)),
        "rectifiers": list(tables.rectifiers(summary)),
        "compute": list(usage.compute(summary)),
        "preparation": list(usage.preparation(summary)),
        "step_breakdown": list(usage.step_breakdown(summary)),
        "memory": list(usage.memory(summary)),
        "energy": list(usage.energy(summary)),
        "contention": list(usage.contention(summary)),
        "gpu": list(usage.gpu(summary)),
        "confusion_matrices": {a.name: a.confusion.tolist() for a in summary.finished if a.confusion is not None},
        "runs": [
            {**row, "confusion_matrix": run.confusion.tolist()}
            for row, run in zip(tables.runs(summary), summary.runs, strict=True)
        ],
        "failures": tables.failures(summary),
        "environment": list(tables.environment(summary)),
        "command": line,
        "suite": suite,
    }


def claims_rows(summary: CohortSummary, claims: Sequence[Claim] | None) -> list[Row]:
    """Return a row for each claim: what was published, what was measured, and the verdict."""
    return [_claim_row(verdict) for verdict in verdicts(summary, claims_about(summary, claims))]


def _claim_row(verdict: Verdict) -> Row:
    claim, measured, predicted = verdict.claim, verdict.measured, verdict.predicted
    exact = METRICS.get(claim.metric).compared == "exact"
    return {
        "claim": claim.id,
        **attributes(claim, "statement", "source"),
        "known": claim.known or None,
        **attributes(claim, "metric", "relation", "architecture", "others"),
        "published": claim.value,
        "tolerance": None if claim.comparative else claim.tolerance,
        "published_runs": None if claim.comparative or exact else claim.runs,
        "margin": claim.largest_equivalent if claim.comparative else None,
        "conditions": claim.required,
        "verdict": verdict.verdict,
        **estimate_columns("measured", verdict.estimate),
        "predicted_low": predicted.low if predicted else None,
        "predicted_high": predicted.high if predicted else None,
        "num_seeds": measured.n if isinstance(measured, Estimate) else None,
        "unit": verdict.base_unit,
        "against": verdict.against,
        "p_value": verdict.p_value,
        "rule": verdict.rule or None,
        "reason": verdict.reason or None,
    }


def _executions(study: ExecutionStudy) -> Row:
    """Return the accuracies of groups that differ only in how their runs were executed."""
    costs = *(metric.name for metric in COST_METRICS), "num_timed_steps"
    return {
        "cohorts": study.keys,
        "num_changed_predictions": study.num_changed_predictions,
        "architectures": [
            {name: value for name, value in row.items() if not name.startswith(costs)}
            for row in tables.main(study.pooled)
        ],
        "differences": tables.differences(study.pooled),
        "plan": plan_table(study.pooled),
    }


def _origins(cohorts: Sequence[CohortSummary], claims: Sequence[Claim] | None) -> list[Row]:
    """Return a row for each pair of cohorts with the same architectures under own recipes and identical conditions."""
    return [
        {
            "own_recipes": match.own.cohort.key,
            "identical": match.identical.cohort.key,
            "pairs": [
                {
                    **attributes(contrast, "first", "second"),
                    **estimate_columns("own_recipes", contrast.own.difference),
                    "own_recipes_p_holm": contrast.own.p_holm,
                    **estimate_columns("identical", contrast.identical.difference),
                    "identical_p_holm": contrast.identical.p_holm,
                    **estimate_columns("change", contrast.change),
                    "change_p_holm": contrast.p_change,
                    **estimate_columns("recipe_share", contrast.recipe_share),
                    "origin": contrast.origin,
                }
                for contrast in contrasts(match)
            ],
            "claims": [
                {
                    "claim": own.claim.id,
                    "own_recipes": own.verdict,
                    "identical": identical.verdict,
                    "conclusion": origins.conclusion(own, identical),
                }
                for own, identical in origins.judged(match, claims)
            ],
        }
        for match in matches(cohorts)
    ]
