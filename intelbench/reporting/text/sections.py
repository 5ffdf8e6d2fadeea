"""The sections of the report in Markdown; each function lays one out, from the tables and the narrative."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from intelbench.config.canonical import canonical_fields
from intelbench.errors import UserError
from intelbench.records.types import DataFacts
from intelbench.reporting import markdown
from intelbench.reporting.figures.names import FigureNames
from intelbench.reporting.markdown import ABSENT, code, escape
from intelbench.reporting.text import metrics, narrative, reproduce
from intelbench.reporting.text.behaviour import rectifiers, reliability, stability
from intelbench.reporting.text.claims import claims_blocks
from intelbench.reporting.text.classes import classes, confusion
from intelbench.reporting.text.comparison import comparison, every_run
from intelbench.reporting.text.efficiency import efficiency_sections
from intelbench.reporting.text.headline import headline
from intelbench.reporting.text.preparation import preparation
from intelbench.reporting.text.section import Section
from intelbench.reporting.text.usage import disturbed_answer, usage_sections
from intelbench.results import tables
from intelbench.results.claims import Claim
from intelbench.results.cohorts import Cohort, differing_keys
from intelbench.results.metrics import METRICS, metrics_in
from intelbench.results.runs import SPLITS, Split
from intelbench.results.summaries import CohortSummary

MAX_OPEN_ROWS = 20
MAX_ROW = 100

Row = Mapping[str, Any]


def cohort_sections(summary: CohortSummary, figures: FigureNames, claims: Sequence[Claim]) -> list[Section]:
    """All sections of one cohort, in order; one that has nothing to say is empty."""
    return [
        Section("", lambda: _opening(summary)),
        Section("Results", lambda: [*results(summary), *_accuracy_against_cost(summary, figures.cost)]),
        Section("Which differences are real?", lambda: comparison(summary)),
        Section("Published claims", lambda: claims_blocks(summary, claims)),
        Section("Was it identical?", lambda: fairness(summary)),
        Section("Training loss", lambda: _curves(summary, figures.curves)),
        *efficiency_sections(summary, figures.budgets),
        *(_class_sections(summary, figures) if summary.finished else ()),
        Section("Dead units and mean activation", lambda: rectifiers(summary)),
        *usage_sections(summary, figures.anatomy),
        Section("Failures", lambda: failures(summary)),
        Section("Environment", lambda: environment(summary)),
        Section("How to reproduce", lambda: command(summary)),
    ]


def apart(cohorts: Sequence[Cohort]) -> list[str]:
    """Why several cohorts are not to be compared, and in what they differ."""
    keys = differing_keys(cohorts)
    rows = [[code(key), *(escape(markdown.fact(value)) for value in values)] for key, values in keys.items()]
    headers = ["", *(f"Group {number}" for number in range(1, len(cohorts) + 1))]
    said = (
        f"The records fall into {len(cohorts)} groups that must not be compared with each other: they differ in "
        f"{markdown.listed(code(key) for key in keys)}. Each group has its own tables."
    )
    if list(keys) == ["images_per_class"]:
        said = (
            f"The records fall into {len(cohorts)} groups that differ in how many images of each class their runs were "
            'trained on. Each group has its own tables; "How many labels?" compares them.'
        )
    return [said, markdown.table(headers, rows, left=len(headers))]


def limited(cohort: Cohort) -> str:
    """Of a group on part of the training images, how many those are."""
    few = cohort.spec.images_per_class
    return f", {markdown.plural(few, 'image')} of each class" if few else ""


def results(summary: CohortSummary) -> list[str]:
    """The main table, what its columns mean, and every run behind it."""
    numbers = tables.rows(tables.main(summary))
    ranks = [row["rank"] for row in numbers]
    rows = [_main_cells(row, ranks, summary) for row in numbers]
    test_accuracy = _accuracy_header("test", summary)
    shown = [header for header in rows[0] if any(row[header] != ABSENT for row in rows) or header == test_accuracy]
    cells = [[row.get(header, "") for header in shown] for row in [*rows, *_baseline_cells(summary)]]
    blocks = [markdown.table(shown, cells), narrative.ranking_note(summary), _definitions(shown, summary)]
    return [*blocks, every_run(summary) if summary.finished else ""]


def fairness(summary: CohortSummary) -> list[str]:
    """The answer, the facts that all runs share, and how far each seed's batches were verified."""
    rows = [
        [
            markdown.count(row["seed"]),
            markdown.count(row["num_runs"]),
            markdown.count(row["verified_step"]),
            code(str(row["digest"])[:16]) if row["digest"] else ABSENT,
            _verdict(row),
        ]
        for row in tables.rows(tables.fairness(summary))
    ]
    headers = ["Seed", "Runs with digests", "Verified through step", "Stream digest there", "Identical"]
    table = partial(markdown.table, headers, rows)
    shown = table() if len(rows) <= MAX_OPEN_ROWS else markdown.listing(f"All {len(rows):,} seeds", len(rows), table)
    return [
        narrative.fairness_answer(summary),
        _shared_facts(summary),
        *preparation(summary),
        *_own_settings(summary),
        *_weights(summary),
        shown,
    ]


def failures(summary: CohortSummary) -> list[str]:
    """Every run without measurements, and why."""
    rows = [
        [
            escape(row["architecture"]),
            str(row["seed"]),
            markdown.cause(row["cause"]),
            markdown.count(row["step"]),
            escape(row["message"]),
        ]
        for row in tables.rows(tables.failures(summary))
    ]
    return [markdown.table(["Architecture", "Seed", "Cause", "Steps done", "Message"], rows, left=5)] if rows else []


def environment(summary: CohortSummary) -> list[str]:
    """Machine, libraries and way of executing."""
    rows = []
    for row in tables.rows(tables.environment(summary)):
        values = [value for value in row["values"] if value is not None]
        sized = [markdown.size(value) if row["fact"] == "memory_bytes" else markdown.fact(value) for value in values]
        if sized:
            rows.append([code(row["fact"]), "; ".join(map(escape, sized))])
    providers = sorted({(record.spec.provider, record.spec.architecture) for record in summary.cohort.records})
    for provider in dict.fromkeys(provider for provider, _ in providers):
        built = markdown.listed(escape(name) for by, name in providers if by == provider)
        rows.append([f"built by {escape(provider)}", built])
    started = [record.started_at for record in summary.cohort.records]
    rows.append(["runs started", escape(" to ".join(dict.fromkeys([min(started), max(started)])))])
    return [markdown.table(["", "Value"], rows, left=2)]


def command(summary: CohortSummary) -> list[str]:
    """What to type to make the same runs again."""
    line, suite = reproduce.command(summary.cohort)
    if suite is None:
        return [markdown.block(line, "sh")]
    note = f"The conditions are those of no built-in suite; save this as {code(reproduce.SUITE_FILE)}:"
    return [markdown.details("The suite", f"{note}\n\n{markdown.block(suite, 'toml')}"), markdown.block(line, "sh")]


def _opening(summary: CohortSummary) -> list[str]:
    return [headline(summary), " ".join(filter(None, [narrative.reading(summary), disturbed_answer(summary)]))]


def _class_sections(summary: CohortSummary, figures: FigureNames) -> list[Section]:
    return [
        Section("Classes", lambda: classes(summary)),
        Section("Confusion matrices", lambda: _confusions(summary, figures)),
        Section("Calibration", lambda: reliability(summary, figures.reliability)),
        Section("Stability", lambda: stability(summary)),
    ]


def _confusions(summary: CohortSummary, figures: FigureNames) -> list[str]:
    names = summary.data.class_names
    return [block for each in summary.finished for block in confusion(each, names, figures.confusion[each.name])]


def _main_cells(row: Row, ranks: Sequence[object], summary: CohortSummary) -> dict[str, str]:
    """The main table's cells for one architecture; columns without any value are left out later."""
    rank, finished, failed = row["rank"], row["num_finished"], row["num_failed"]
    causes = markdown.listed(markdown.cause(name) for name in str(row["failure_causes"] or "").split())
    cells = {
        "Architecture": escape(str(row["architecture"])),
        "Rank": ABSENT if rank is None else f"{rank}{'=' if ranks.count(rank) > 1 else ''}",
        "Group": row["group"] or ABSENT,
        "Runs": f"{finished} of {finished + failed}" if failed else str(finished),
    }
    for metric in metrics_in("main"):
        if metric.is_shown(summary):
            heading = metrics.heading(metric, summary)
            if heading in (*cells, "Failed"):
                raise UserError(
                    f"metric {metric.name!r}: the main table has another column {heading!r}; choose another"
                )
            cells[heading] = metrics.cell(metric, metrics.estimate_in(row, metric, finished))
    cells["Failed"] = f"{failed}: {causes}" if failed else ABSENT
    return cells


def _accuracy_header(split: Split, summary: CohortSummary) -> str:
    return metrics.heading(METRICS.get(f"{split}_accuracy"), summary)


def _baseline_cells(summary: CohortSummary) -> list[dict[str, str]]:
    """The majority baseline as a row under the architectures, where some accuracy was measured."""
    shares = {split: [a.majority_share(split) for a in summary.finished] for split in SPLITS}
    known = {split: [share for share in found if share is not None] for split, found in shares.items()}
    cells = {_accuracy_header(split, summary): markdown.percent(max(found)) for split, found in known.items() if found}
    return [{"Architecture": "*majority baseline*", **cells}] if cells else []


def _definitions(shown: Sequence[str], summary: CohortSummary) -> str:
    """What each column shown means, and why a kind of memory is missing."""
    meaning = {
        "Rank": "1 + the number of architectures whose test accuracy is significantly better. `=`: shared.",
        "Group": "two architectures share a letter unless they can be told apart (Piepho, 2004).",
        "Runs": "finished runs, one a seed; n of every mean in the row.",
    }
    lines = [f"- **{header}**: {text}" for header, text in meaning.items() if header in shown]
    columns = [metric for metric in metrics_in("main") if metrics.heading(metric, summary) in shown]
    lines += metrics.definitions(columns, summary)
    for field, reasons in tables.absent_memory(summary).items():
        lines.append(f"- No column for {markdown.memory_name(field)}: {markdown.listed(map(escape, reasons))}.")
    return "\n".join(lines)


def _shared_facts(summary: CohortSummary) -> str:
    """Data, conditions and recipe: the same for every run, by construction of the group."""
    data, conditions = summary.data, summary.cohort.spec.conditions
    settings = canonical_fields(conditions)
    recipe = canonical_fields(conditions.recipe)
    del settings["recipe"], settings["budget"]
    own = summary.cohort.own_settings
    recipe = {name: value for name, value in recipe.items() if not any(_within(key, f"recipe.{name}") for key in own)}
    same_budget = not any(_within(key, "budget") for key in own)
    rows = [
        ["Data", f"{code(narrative.data_name(data.source))}, digest {code(data.digest)}"],
        ["Classes", markdown.count(len(data.class_names))],
        ["Training images", _training_images(summary)],
        ["Validation images", markdown.count(data.num_validation)],
        ["Test images", f"{markdown.count(data.num_test)} ({data.test_origin} split)"],
        [
            "Test images with a byte-identical copy in training or validation",
            markdown.count(data.num_train_test_duplicates),
        ],
        ["Unreadable files left out", markdown.count(data.num_unreadable)],
        *_other_files(data),
        *([["Budget of each run", str(conditions.budget)]] if same_budget else []),
        *_settings("Recipe", recipe),
        *_settings("Conditions", settings),
    ]
    return markdown.table(["Same for every run", ""], rows, left=2)


def _other_files(data: DataFacts) -> list[list[str]]:
    """A row, where the records say it."""
    number = data.num_other_files
    return [] if number is None else [["Other files in class folders, not used", markdown.count(number)]]


def _training_images(summary: CohortSummary) -> str:
    """How many, and which, where they are not all."""
    spec = summary.cohort.spec
    if spec.images_per_class is None:
        return markdown.count(spec.num_train)
    return (
        f"{markdown.count(spec.num_train)} of {markdown.count(spec.data.num_train)}: {spec.images_per_class:,} of each "
        "class, drawn by the seed"
    )


def _within(key: str, setting: str) -> bool:
    return key == setting or key.startswith(f"{setting}.")


def _own_settings(summary: CohortSummary) -> list[str]:
    """In what the recipes of the architectures differ; nothing where they have one."""
    if not summary.cohort.own_recipes:
        return []
    found = tables.rows(tables.own_settings(summary))
    if not found:
        return ["The recipes of these architectures do not differ."]
    names = list(found[0]["values"])
    rows = [[code(row["setting"]), *(escape(markdown.fact(row["values"][name])) for name in names)] for row in found]
    headers = ["Each under its own recipe", *map(escape, names)]
    return [markdown.table(headers, rows, left=len(headers))]


def _weights(summary: CohortSummary) -> list[str]:
    """Which file each architecture starts from; nothing where none does."""
    rows = [
        [
            escape(row["architecture"]),
            code(row["file"]),
            code(row["sha256"][:16]),
            markdown.fact(row["mean"]),
            markdown.fact(row["std"]),
        ]
        for row in tables.rows(tables.weights(summary))
    ]
    headers = ["Architecture", "Starts from", "SHA-256", "Normalisation: mean", "Deviation"]
    return [markdown.table(headers, rows, left=5)] if rows else []


def _settings(title: str, values: Mapping[str, object]) -> list[list[str]]:
    """Settings as rows of a table, several to a row."""
    lines = [""]
    for name, value in values.items():
        setting = code(f"{name} = {markdown.fact(value)}")
        if len(lines[-1]) + len(setting) > MAX_ROW:
            lines.append("")
        lines[-1] += ("  " if lines[-1] else "") + setting
    return [["" if number else title, line] for number, line in enumerate(lines)]


def _accuracy_against_cost(summary: CohortSummary, figure: str | None) -> list[str]:
    if figure is None:
        return []
    untimed = [code(a.name) for a in summary.finished if a.median_step_seconds is None]
    share = max(found for a in summary.finished if (found := a.majority_share("test")) is not None)
    caption = (
        "Test accuracy against what it costs. Bars: 95 % interval over seeds and test images, where there are "
        "several seeds. The majority "
        f"baseline is {markdown.percent(share)}."
    )
    if untimed:
        caption += f" No step after warm-up, so no step time: {markdown.listed(untimed)}."
    return [_image("Test accuracy against step time and memory", figure), caption]


def _curves(summary: CohortSummary, figure: str | None) -> list[str]:
    if figure is None:
        return []
    caption = "Lines: mean over the runs; bands: from the lowest to the highest run. Finished runs only."
    if summary.smoothing_window > 1:
        caption += f" The loss is a moving mean of {summary.smoothing_window} steps."
    return [_image("Training loss by step and by time", figure), caption]


def _image(description: str, name: str) -> str:
    return f"![{escape(description)}](figures/{name})"


def _verdict(row: Row) -> str:
    if row["mismatch_step"] is not None:
        return f"**no**, from step {row['mismatch_step']} at the latest"
    if not row["identical"]:
        return "**not verified**: no step in common"
    return "yes" if row["verified_step"] is not None else "nothing to compare"
