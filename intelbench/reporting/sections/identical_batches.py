"""Identical batches: what all runs share, and how far the batches of each seed were verified."""

from collections.abc import Mapping

import msgspec

from intelbench.config.decoding import flattened
from intelbench.reporting import formatting, narrative
from intelbench.reporting.document import Block, Cell, Cells, Paragraph, Table, cell, listing, table
from intelbench.reporting.formatting import ABSENT, code, escape
from intelbench.reporting.rows import Row, rows
from intelbench.reporting.sections.preparation import preparation
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary

MAX_OPEN_ROWS = 20
MAX_ROW = 100
"""Characters of the settings in one row."""


def identical_batches(summary: CohortSummary) -> list[Block]:
    """The answer, the facts that all runs share, and how far each seed's batches were verified."""
    cells: Cells = [
        [
            cell(row.seed, formatting.count),
            cell(row.num_runs, formatting.count),
            cell(row.verified_step, formatting.count),
            code(row.digest[:16]) if row.digest else ABSENT,
            _verdict(row),
        ]
        for row in rows(tables.fairness(summary))
    ]
    headers = ["Seed", "Runs with digests", "Verified through step", "Stream digest there", "Identical"]
    found = table(headers, cells)
    number = len(cells)
    shown = found if number <= MAX_OPEN_ROWS else listing(f"All {number:,} seeds", number, lambda: [found])
    return [
        Paragraph(narrative.fairness_answer(summary)),
        _shared_facts(summary),
        *preparation(summary),
        *_own_settings(summary),
        *_weights(summary),
        shown,
    ]


def _verdict(row: Row) -> str:
    if row.mismatch_step is not None:
        return f"**no**, from step {row.mismatch_step} at the latest"
    if not row.identical:
        return "**not verified**: no step in common"
    return "yes" if row.verified_step is not None else "nothing to compare"


def _shared_facts(summary: CohortSummary) -> Table:
    """Data, conditions and recipe: the same for every run, by construction of the group."""
    data, conditions = summary.data, summary.cohort.spec.conditions
    own = summary.cohort.own_settings
    settings = {key: value for key, value in flattened(msgspec.to_builtins(conditions)).items() if key not in own}
    recipe = {key.removeprefix("recipe."): settings.pop(key) for key in list(settings) if key.startswith("recipe.")}
    budgets = [settings.pop(key) for key in list(settings) if key.startswith("budget.")]
    facts = [
        ["Data", f"{code(narrative.data_name(data.source))}, digest {code(data.digest)}"],
        ["Classes", formatting.count(len(data.class_names))],
        ["Training images", _training_images(summary)],
        ["Validation images", formatting.count(data.num_validation)],
        ["Test images", f"{formatting.count(data.num_test)} ({data.test_origin} split)"],
        [
            "Test images with a byte-identical copy in training or validation",
            formatting.count(data.num_train_test_duplicates),
        ],
        ["Unreadable files left out", formatting.count(data.num_unreadable)],
        ["Other files in class folders, not used", formatting.count(data.num_other_files)],
        *([["Budget of each run", str(conditions.budget)]] if budgets else []),
        *_settings("Recipe", recipe),
        *_settings("Conditions", settings),
    ]
    return table(["Same for every run", ""], facts, left=2)


def _training_images(summary: CohortSummary) -> str:
    """How many, and which, where they are not all."""
    spec = summary.cohort.spec
    if spec.images_per_class is None:
        return formatting.count(spec.num_train)
    return (
        f"{formatting.count(spec.num_train)} of {formatting.count(spec.data.num_train)}: {spec.images_per_class:,} of "
        "each class, drawn by the seed"
    )


def _settings(title: str, values: Mapping[str, object]) -> list[list[str]]:
    """Settings as rows of a table, several to a row."""
    lines = [""]
    for name, value in values.items():
        setting = code(f"{name} = {formatting.fact(value)}")
        if len(lines[-1]) + len(setting) > MAX_ROW:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + setting
    return [["" if number else title, line] for number, line in enumerate(lines)]


def _own_settings(summary: CohortSummary) -> list[Block]:
    """In what the recipes of the architectures differ; nothing where they have one."""
    if not summary.cohort.own_recipes:
        return []
    found = rows(tables.own_settings(summary))
    if not found:
        return [Paragraph("The recipes of these architectures do not differ.")]
    names = list(found[0].values)
    cells = [[code(row.setting), *(escape(formatting.fact(row.values[name])) for name in names)] for row in found]
    headers = ["Each under its own recipe", *map(escape, names)]
    return [table(headers, cells, left=len(headers))]


def _weights(summary: CohortSummary) -> list[Block]:
    """Which file each architecture starts from; nothing where none does."""
    cells = [
        [
            Cell(escape(row.architecture)),
            Cell(code(row.file)),
            Cell(code(row.sha256[:16])),
            Cell(formatting.fact(row.mean)),
            Cell(formatting.fact(row.std)),
        ]
        for row in rows(tables.weights(summary))
    ]
    headers = ["Architecture", "Starts from", "SHA-256", "Normalisation: mean", "Deviation"]
    return [table(headers, cells, left=5)] if cells else []
