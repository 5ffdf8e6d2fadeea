"""A model card for the Hugging Face Hub: one architecture's results, what they rest on, and their limits.

The metadata are those that the Hub reads (`model-index`); https://huggingface.co/docs/hub/model-cards lists the keys.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from intelbench.errors import UserError, one_of, plural, shortened
from intelbench.reporting import formatting, markdown, metrics, narrative
from intelbench.reporting.document import Block, Document, Items, Paragraph, Section
from intelbench.reporting.formatting import code, count, escape, listed
from intelbench.reporting.paper import results_table, trained_on
from intelbench.reporting.sections.opening import headline
from intelbench.reporting.sections.reproduction import reproduce
from intelbench.results.choice import named, recommended
from intelbench.results.metrics import METRICS
from intelbench.results.summaries import ArchitectureSummary, CohortSummary

_METRICS = {
    "test_accuracy": "accuracy",
    "test_cross_entropy": "cross_entropy",
    "expected_calibration_error": "expected_calibration_error",
    "brier_score": "brier_score",
}
"""Metrics of every card, each with the name by which the Hub knows it; the metric that ranks comes first."""


def model_card(cohorts: Sequence[CohortSummary], name: str | None = None) -> str:
    """Return the card of an architecture in the largest group of records that has finished it.

    Args:
        cohorts: Groups of records, the largest first.
        name: Name of the architecture; `None` for the one that is recommended in the largest group.

    Raises:
        UserError: no run of it has finished, or several architectures have that name.
    """
    for summary in cohorts:
        tested = [each for each in summary.finished if each.test_accuracy is not None]
        if tested and name is None:
            return _card(summary, recommended(summary)[0])
        by_name = {each.name: each for each in tested}
        if name is not None and (full_name := named(name, by_name)):
            return _card(summary, by_name[full_name])
    known = sorted({each.name for summary in cohorts for each in summary.finished if each.test_accuracy is not None})
    if name is None or not known:
        raise UserError("no run with test images has finished, so there is nothing to describe")
    raise UserError(f"architecture {shortened(repr(name))}: no finished run with test images. {one_of(name, known)}")


def _card(summary: CohortSummary, architecture: ArchitectureSummary) -> str:
    sections: list[Block] = [
        Paragraph(_introduction(summary, architecture)),
        Section("Results", _results(summary, architecture)),
        Section("Training", [Paragraph(_training(summary, architecture)), *reproduce(summary)]),
        Section("Limits", [Items(_limits(summary, architecture))]),
    ]
    title = f"{escape(architecture.name)} on {escape(narrative.data_name(summary.data.source))}"
    body = markdown.render(Document(title, sections))
    return f"---\n{_yaml(_metadata(summary, architecture))}---\n\n{body}"


def _metadata(summary: CohortSummary, architecture: ArchitectureSummary) -> dict[str, Any]:
    data, spec = summary.data, summary.cohort.spec
    dataset = narrative.data_name(data.source)
    ranking = METRICS.get(summary.ranking.metric)
    known = {ranking.name: _METRICS.get(ranking.name, ranking.short_name)} | _METRICS
    measured = []
    for name, known_as in known.items():
        metric = METRICS.get(name)
        if estimate := metric.of(architecture):
            interval = {} if estimate.low is None else {"interval_95_percent": [estimate.low, estimate.high]}
            entry = {
                "type": known_as,
                "value": estimate.mean,
                "name": f"{name}, mean over {plural(estimate.n, 'seed')}",
            }
            measured.append({**entry, "args": {"num_seeds": estimate.n, **interval}})
    return {
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "intelbench"],
        "metrics": [entry["type"] for entry in measured],
        "model-index": [
            {
                "name": architecture.name,
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image classification"},
                        "dataset": {
                            "name": dataset,
                            "type": dataset,
                            "split": "test",
                            "revision": data.comparable_digest,
                            "args": {"suite": spec.suite, "num_images": data.num_test},
                        },
                        "metrics": measured,
                    }
                ],
            }
        ],
    }


def _introduction(summary: CohortSummary, architecture: ArchitectureSummary) -> str:
    estimate = architecture.test_accuracy
    assert estimate is not None
    seeds = plural(len(architecture.runs), "seed")
    return (
        f"{code(architecture.name)} ({escape(architecture.records[0].spec.provider)}), trained on "
        f"{trained_on(summary)}. Test accuracy: **{formatting.percent_interval(estimate)}**, mean over {seeds}"
        f"{'' if estimate.low is None else ' [95 % interval over seeds and test images]'}."
    )


def _results(summary: CohortSummary, architecture: ArchitectureSummary) -> list[Block]:
    said, table = headline(summary), results_table(summary)
    answer = [Paragraph(said)] if said else []
    headings = {column.title for column in table.columns}
    shown = [entry.value for entry in METRICS.entries.values() if metrics.heading(entry.value, summary) in headings]
    return [*answer, table, Items(metrics.definitions(shown, summary)), *_by_class(summary, architecture)]


def _by_class(summary: CohortSummary, architecture: ArchitectureSummary) -> list[Block]:
    """Return the recall of each class, the worst first."""
    shares = [
        (name, architecture.share_predicted(label, label, summary.recall_dispersion))
        for label, name in enumerate(summary.data.class_names)
    ]
    known = sorted(
        (estimate.mean, name, formatting.percent_interval(estimate)) for name, estimate in shares if estimate
    )
    lines = [f"{escape(name)}: {written}" for _, name, written in known]
    return [Paragraph("Recall of each class, the lowest first:"), Items(lines)] if lines else []


def _training(summary: CohortSummary, architecture: ArchitectureSummary) -> str:
    spec = architecture.records[0].spec
    recipe = spec.conditions.recipe
    start = "random weights"
    if spec.weights:
        start = f"pretrained weights {code(spec.weights.file)} (SHA-256 {code(spec.weights.sha256)})"
    return (
        f"From {start}, with {code(recipe.optimizer)}, batch size {count(recipe.batch_size)} and a budget of "
        f"{spec.conditions.budget}, suite {code(spec.suite)}. {narrative.fairness_answer(summary)} "
        f"Classes: {listed(code(name) for name in summary.data.class_names)}. "
        f"Data digest: {code(summary.data.comparable_digest)}."
    )


def _limits(summary: CohortSummary, architecture: ArchitectureSummary) -> list[str]:
    data = summary.data
    lines = [
        f"Measured on {plural(data.num_test, 'test image')} of one data set alone; other images, cameras or classes "
        "can give other results.",
        "The accuracy is that of this budget and image size: longer training can change the ranking.",
    ]
    if len(architecture.runs) < 2:
        lines.append("With one seed, nothing is known about the variation between seeds.")
    tied = [each.name for each in summary.ranked if each.rank == architecture.rank and each is not architecture]
    if architecture.rank is not None and tied:
        others = narrative.first_few([code(name) for name in tied])
        lines.append(f"{code(architecture.name)} shares its rank with {others}.")
    if architecture.failures:
        lines.append(f"Failed runs: {narrative.failed_runs(architecture)}.")
    if data.num_train_test_duplicates:
        images = plural(data.num_train_test_duplicates, "test image has", "test images have")
        lines.append(f"{images} a byte-identical copy in training or validation, which flatters the accuracy.")
    return lines


def _yaml(value: Mapping[str, Any], indent: str = "") -> str:
    """Return a mapping as YAML in block style; texts and numbers are written as JSON, which YAML contains."""
    lines = ""
    for key, content in value.items():
        if isinstance(content, Mapping):
            lines += f"{indent}{key}:\n{_yaml(content, indent + '  ')}"
        elif isinstance(content, list) and content and isinstance(content[0], Mapping):
            lines += f"{indent}{key}:\n"
            for item in content:
                first, rest = _yaml(item, indent + "  ").split(indent + "  ", 1)
                lines += f"{first}{indent}- {rest}"
        else:
            lines += f"{indent}{key}: {_scalar(content)}\n"
    return lines


def _scalar(value: str | float | Sequence[str | float]) -> str:
    """Return a text, a number or a list of them as JSON that YAML reads as the same: a float has a point."""
    if isinstance(value, str):
        return json.dumps(formatting.printable(value), ensure_ascii=False)
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}{exponent}{power}"
    return str(value) if isinstance(value, int) else f"[{', '.join(map(_scalar, value))}]"
