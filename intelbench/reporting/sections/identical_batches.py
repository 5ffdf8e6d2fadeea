"""Identical batches: what all runs share, and how far the batches of each seed were verified."""

from collections.abc import Mapping

import msgspec

from intelbench.config.decoding import flattened
from intelbench.config.recipe import without_unused
from intelbench.reporting import formatting, narrative
from intelbench.reporting.document import Block, Column, Paragraph, cell, listing, settings_table, table, table_of
from intelbench.reporting.formatting import ABSENT, code, count, escape
from intelbench.reporting.rows import ARCHITECTURE, Row, number, text
from intelbench.reporting.sections.preparation import preparation
from intelbench.results import tables
from intelbench.results.summaries import CohortSummary

MAX_OPEN_ROWS = 20
MAX_CHARACTERS = 100
"""Characters of the settings in one row."""


def identical_batches(summary: CohortSummary) -> list[Block]:
    """Return the answer, the facts that all runs share, and how far each seed's batches were verified."""
    seeds = table_of(_COLUMNS, list(tables.fairness(summary)))
    num_seeds = len(seeds.rows)
    shown = seeds if num_seeds <= MAX_OPEN_ROWS else listing(f"All {num_seeds:,} seeds", num_seeds, lambda: [seeds])
    return [
        Paragraph(narrative.fairness_answer(summary)),
        _shared_facts(summary),
        *preparation(summary),
        *_own_settings(summary),
        *_weights(summary),
        shown,
    ]


def _verdict(row: Row) -> str:
    if (step := row["mismatch_step"]) is not None:
        return f"**no**, from step {step} at the latest"
    if not row["identical"]:
        return "**not verified**: no step in common"
    return "yes" if row["verified_step"] is not None else "nothing to compare"


_COLUMNS = (
    Column[Row]("Seed", lambda row: cell(row["seed"], count), is_number=False),
    number("Runs with digests", "num_runs", count),
    number("Verified through step", "verified_step", count),
    Column[Row]("Stream digest there", lambda row: code(row["digest"][:16]) if row["digest"] else ABSENT),
    Column("Identical", _verdict),
)


def _shared_facts(summary: CohortSummary) -> Block:
    """Return data, conditions and recipe: the same for every run, by construction of the group."""
    data, conditions = summary.data, summary.cohort.spec.conditions
    own = summary.cohort.own_settings
    tables = msgspec.to_builtins(conditions)
    tables["recipe"] = without_unused(tables["recipe"])
    settings = {key: value for key, value in flattened(tables).items() if key not in own}
    recipe = {key.removeprefix("recipe."): settings.pop(key) for key in list(settings) if key.startswith("recipe.")}
    budgets = [settings.pop(key) for key in list(settings) if key.startswith("budget.")]
    spec = summary.cohort.spec
    varied = f"{narrative.source_name(spec.vary)}; the others keep seed {spec.fixed_seed}"
    facts = [
        ["Data", f"{code(narrative.data_name(data.source))}, digest {code(data.comparable_digest)}"],
        *([] if spec.vary == "all" else [["Differs between the seeds", varied]]),
        ["Classes", count(len(data.class_names))],
        ["Training images", _training_images(summary)],
        ["Validation images", count(data.num_validation)],
        ["Test images", f"{count(data.num_test)} ({data.test_origin} split)"],
        ["Test images with a byte-identical copy in training or validation", count(data.num_train_test_duplicates)],
        ["Unreadable files left out", count(data.num_unreadable)],
        ["Other files in class folders, not used", count(data.num_other_files)],
        *([["Budget of each run", str(conditions.budget)]] if budgets else []),
        *_settings("Recipe", recipe),
        *_settings("Conditions", settings),
    ]
    return table(["Same for every run", ""], facts, left=2)


def _training_images(summary: CohortSummary) -> str:
    """Say how many training images there are, and which, if they are not all."""
    spec = summary.cohort.spec
    if spec.images_per_class is None:
        return count(spec.num_train)
    return (
        f"{count(spec.num_train)} of {count(spec.data.num_train)}: {spec.images_per_class:,} of "
        f"each class, drawn by {'the seed' if spec.vary in ('all', 'split') else f'seed {spec.fixed_seed}'}"
    )


def _settings(title: str, values: Mapping[str, object]) -> list[list[str]]:
    """Return settings as rows of a table, several to a row."""
    lines = [""]
    for name, value in values.items():
        setting = code(f"{name} = {formatting.fact(value)}")
        if len(lines[-1]) + len(setting) > MAX_CHARACTERS:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + setting
    return [["" if place else title, line] for place, line in enumerate(lines)]


def _own_settings(summary: CohortSummary) -> list[Block]:
    """Show in what the recipes of the architectures differ; nothing where they have one."""
    if not summary.cohort.own_recipes:
        return []
    own = summary.cohort.own_settings
    if not own:
        return [Paragraph("The recipes of these architectures do not differ.")]
    names = list(next(iter(own.values())))
    values = {key: [of_key[name] for name in names] for key, of_key in own.items()}
    return [settings_table(["Each under its own recipe", *map(escape, names)], values)]


def _weights(summary: CohortSummary) -> list[Block]:
    """Show which file each architecture starts from, and how far its preprocessing is the network's own."""
    files = list(tables.weights(summary))
    if not files:
        return []
    known = any(row["publisher_image_size"] for row in files)
    licensed = any(row["licence"] for row in files)
    columns = [*_WEIGHTS, *([_PUBLISHER] if known else []), *([_LICENCE] if licensed else [])]
    size = summary.cohort.spec.conditions.image_size
    note = (
        "Images are resized and cropped as the suite says, for all architectures alike: for evaluation, bilinearly to "
        f"a shorter side of {size * 256 / 224:.0f} px, of which the central {size} × {size} px are the input. "
        "Normalisation is the network's own: pixels from 0 to 1, minus the mean, over the deviation, with which its "
        "weights were trained."
    )
    if known:
        note += (
            " **Publisher's evaluation** is how those who published the weights prepare images: size of the input, its "
            "share of the shorter side of the resized image, and interpolation. Where it differs from the suite's, a "
            "published accuracy is not that of these conditions."
        )
    return [table_of(columns, files), Paragraph(note)]


def _evaluation(row: Row) -> str:
    size, share = row["publisher_image_size"], row["publisher_crop_fraction"]
    if size is None or share is None:
        return ABSENT
    return f"{size:.0f} px, {100 * share:.1f} %, {row['publisher_interpolation']}"


_WEIGHTS = (
    ARCHITECTURE,
    Column[Row]("Starts from", lambda row: code(row["file"]), is_number=False),
    Column[Row]("SHA-256", lambda row: code(row["sha256"][:16]), is_number=False),
    Column[Row]("Normalisation: mean", lambda row: formatting.fact(row["mean"]), is_number=False),
    Column[Row]("Deviation", lambda row: formatting.fact(row["std"]), is_number=False),
)
_PUBLISHER = Column[Row]("Publisher's evaluation", _evaluation, is_number=False)
_LICENCE = text("Licence of the weights", "licence")
