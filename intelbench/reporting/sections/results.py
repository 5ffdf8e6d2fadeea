"""Results: the main table, what its columns mean, accuracy against cost, and every run."""

from collections.abc import Sequence
from functools import partial

from intelbench.reporting import formatting, narrative
from intelbench.reporting.document import (
    Block,
    Cell,
    Cells,
    Column,
    Figure,
    Items,
    Paragraph,
    cell,
    filled,
    listing,
    table,
)
from intelbench.reporting.figures import plots
from intelbench.reporting.formatting import ABSENT, code, escape
from intelbench.reporting.rows import Row, rows
from intelbench.results import tables
from intelbench.results.runs import SPLITS, Split
from intelbench.results.summaries import MEMORY_FIELDS, CohortSummary


def results(summary: CohortSummary) -> list[Block]:
    """The main table, what its columns mean, every run behind it, and test accuracy against cost."""
    found = rows(tables.main(summary))
    ranks = [row.rank for row in found]
    cells = [_cells(row, ranks, summary) for row in found]
    test_accuracy = _accuracy_header("test", summary)
    shown = [
        header for header in cells[0] if any(row[header].text != ABSENT for row in cells) or header == test_accuracy
    ]
    columns = [Column(header, is_number=place > 0) for place, header in enumerate(shown)]
    blocks: list[Block] = [filled(columns, [*cells, *_baseline_cells(summary)])]
    if note := narrative.ranking_note(summary):
        blocks.append(Paragraph(note))
    blocks.append(Items(_definitions(shown, summary)))
    if summary.finished:
        blocks.append(every_run(summary))
    return [*blocks, *_accuracy_against_cost(summary)]


def every_run(summary: CohortSummary) -> Block:
    """Test accuracy of each finished run, with the interval of its images alone."""
    number = sum(len(architecture.runs) for architecture in summary.architectures)
    return listing(f"Every run ({number:,})", number, lambda: _runs(summary))


def _runs(summary: CohortSummary) -> list[Block]:
    cells: Cells = [
        [
            escape(row.architecture),
            cell(row.seed, str),
            cell(Row(**vars(row), num_runs=1).estimate("test_accuracy"), formatting.percent_interval),
            cell(row.validation_accuracy, formatting.percent),
            cell(row.loss_variance, formatting.significant),
            cell(row.median_step_seconds, formatting.milliseconds),
            cell(row.num_steps, formatting.count),
        ]
        for row in rows(tables.runs(summary))
    ]
    headers = ["Architecture", "Seed", "Test accuracy", "Validation accuracy", "Loss variance", "Step (ms)", "Steps"]
    share = max((a.majority_share("test") or 0 for a in summary.finished), default=0)
    note = (
        "The intervals are Wilson's (1927), 95 %, over the test images: for this network as it was trained. The "
        f"majority baseline of test accuracy is {formatting.percent(share)}."
    )
    return [Paragraph(note), table(headers, cells)]


def _cells(row: Row, ranks: Sequence[object], summary: CohortSummary) -> dict[str, Cell]:
    """The cells of one architecture by heading; columns without any value are left out later."""
    failed, runs = row.num_failed, row.num_finished
    causes = formatting.listed(formatting.cause(name) for name in str(row.failure_causes or "").split())
    tied = "=" if ranks.count(row.rank) > 1 else ""
    cells = {
        "Architecture": Cell(escape(row.architecture)),
        "Rank": cell(row.rank, lambda rank: ABSENT if rank is None else f"{rank}{tied}"),
        "Group": Cell(row.group or ABSENT),
        "Runs": Cell(f"{runs} of {runs + failed}" if failed else str(runs), runs),
        **{
            _accuracy_header(split, summary): cell(row.estimate(f"{split}_accuracy"), formatting.percent_interval)
            for split in SPLITS
        },
        "Loss variance": cell(row.estimate("loss_variance"), formatting.number_interval),
        "Parameters": cell(row.num_parameters, formatting.si),
    }
    if any(a.measured("num_parameters") != a.measured("num_trainable_parameters") for a in summary.finished):
        cells["Trainable"] = cell(row.num_trainable_parameters, formatting.si)
    for field in MEMORY_FIELDS:
        cells[_memory_header(field)] = cell(getattr(row, f"peak_{field}"), formatting.size)
    cells["Step (ms)"] = cell(row.estimate("median_step_seconds"), formatting.milliseconds_interval)
    cells["Images/s"] = cell(row.images_per_second, formatting.significant)
    budgets = summary.cohort.budgets
    if len(budgets) > 1 or budgets[0].unit != "steps":
        cells["Steps"] = cell(row.mean_steps, formatting.count)
    cells["Failed"] = Cell(f"{failed}: {causes}" if failed else ABSENT, failed or None)
    return cells


def _accuracy_header(split: Split, summary: CohortSummary) -> str:
    """`Training accuracy (240 images)`: on how many images of a split it was measured."""
    sampled = {run.num_training_images for architecture in summary.finished for run in architecture.runs}
    numbers = {"test": {summary.data.num_test}, "validation": {summary.data.num_validation}, "training": sampled}[split]
    images = f" ({formatting.listed(map(formatting.count, sorted(numbers)))} images)" if numbers else ""
    return f"{split.capitalize()} accuracy{images}"


def _baseline_cells(summary: CohortSummary) -> list[dict[str, Cell]]:
    """The majority baseline as a row under the architectures, where some accuracy was measured."""
    shares = {split: [a.majority_share(split) for a in summary.finished] for split in SPLITS}
    known = {split: [share for share in found if share is not None] for split, found in shares.items()}
    cells = {
        _accuracy_header(split, summary): cell(max(found), formatting.percent)
        for split, found in known.items()
        if found
    }
    return [{"Architecture": Cell("*majority baseline*"), **cells}] if cells else []


def _definitions(shown: Sequence[str], summary: CohortSummary) -> list[str]:
    """What each column shown means, and why a kind of memory is missing."""
    conditions = summary.cohort.spec.conditions
    batch_sizes = " or ".join(map(str, summary.cohort.batch_sizes))
    memory = {
        "process_bytes": "highest resident memory of the process above its value before the model was built, "
        "evaluations included",
        "cuda_allocated_bytes": "highest memory held by tensors (`torch.cuda.max_memory_allocated`)",
        "cuda_reserved_bytes": "tensors and the allocator's cache (`torch.cuda.max_memory_reserved`)",
        "nvml_process_bytes": "what the driver counts for the process at the end, CUDA context included",
    }
    meaning = {
        "Rank": "1 + the number of architectures whose test accuracy is significantly better. `=`: shared.",
        "Group": "two architectures share a letter unless they are significantly different (Piepho, 2004).",
        "Runs": "finished runs, one a seed; n of every mean in the row.",
        _accuracy_header("test", summary): "mean over seeds [95 % interval over seeds and test images]; the test "
        "images are read once, after training. Validation and training accuracy: after the last step, without "
        "augmentation, mean [95 % Student interval over seeds alone]; training accuracy on as many of the training "
        "images as the heading says. **Majority baseline**: the share of the largest class, which is the accuracy of "
        "answering that class for every image.",
        "Loss variance": "of the training loss about its least-squares line over the last half of the steps "
        "(two degrees of freedom for the line), mean over runs [95 % interval].",
        "Parameters": "all of them" + (", and those trained." if "Trainable" in shown else "; all are trained."),
        **{_memory_header(field): f"{text}; the largest of the runs." for field, text in memory.items()},
        "Step (ms)": f"median of forward, backward and optimizer over the steps of all runs, the first "
        f"{conditions.warmup_steps} of each left out; without data wait [95 % percentile interval, two-level bootstrap "
        "of runs and their steps].",
        "Images/s": f"batch size ({batch_sizes}) over the median of step time plus data wait.",
        "Steps": "optimizer steps within the budget, mean over runs.",
    }
    defined = [f"**{header}**: {text}" for header, text in meaning.items() if header in shown]
    return [*defined, *_absent_memory(summary)]


def _absent_memory(summary: CohortSummary) -> list[str]:
    """Why kinds of memory have no column: one line for all that lack it for the same reasons."""
    fields: dict[tuple[str, ...], list[str]] = {}
    for field, reasons in tables.absent_memory(summary).items():
        fields.setdefault(tuple(reasons), []).append(formatting.memory_name(field))
    return [
        f"No column for {formatting.listed(names)}: {formatting.listed(map(escape, reasons))}."
        for reasons, names in fields.items()
    ]


def _memory_header(field: str) -> str:
    return f"Peak {formatting.memory_name(field)}"


def _accuracy_against_cost(summary: CohortSummary) -> list[Block]:
    if not summary.cost_panels:
        return []
    untimed = [code(a.name) for a in summary.finished if a.median_step_seconds is None]
    share = max(found for a in summary.finished if (found := a.majority_share("test")) is not None)
    caption = (
        "Test accuracy against what it costs. Bars: 95 % interval over seeds and test images, where there are "
        "several seeds. The majority "
        f"baseline is {formatting.percent(share)}."
    )
    if untimed:
        caption += f" No step after warm-up, so no step time: {formatting.listed(untimed)}."
    name = f"cost-{summary.cohort.key}.svg"
    figure = Figure(name, "Test accuracy against step time and memory", partial(plots.cost, summary))
    return [figure, Paragraph(caption)]
