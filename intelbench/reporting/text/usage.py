"""Sections of the report on how runs used the machine; laid out from `usage`, as `sections` does from `tables`."""

from collections.abc import Mapping, Sequence
from typing import Any

from intelbench.reporting import markdown
from intelbench.reporting.markdown import ABSENT, escape
from intelbench.reporting.text.gpu import gpu
from intelbench.reporting.text.section import Section
from intelbench.results import usage
from intelbench.results.disturbance import COMPUTE_SLOWDOWN, EXCHANGE_SLOWDOWN, FLAGGED_CHANGE, LOST_SECONDS, exceeds
from intelbench.results.summaries import MEMORY_FIELDS, CohortSummary
from intelbench.results.tables import estimate_of, rows
from intelbench.results.timing import DATA_BOUND, OVERHEAD_BOUND, OVERHEAD_BOUND_CPU
from intelbench.results.usage import PART_NAMES
from intelbench.statistics.estimates import Estimate

_FEWEST_FOR_TAIL = 20
"""Below so many steps the 95th percentile is but the largest."""
_REASONS = {
    "others": "other processes",
    "stolen": "the hypervisor",
    "compute": "slower arithmetic",
    "exchange": "slower exchange between threads",
    "clock": "a machine that slept, or a clock that was set",
}

Row = Mapping[str, Any]


def usage_sections(summary: CohortSummary, figure: str | None) -> list[Section]:
    """All of them that the records hold something for; `figure` is the file of the anatomy."""
    found: list[Section] = []
    if any(run.calibration for architecture in summary.finished for run in architecture.runs):
        found.append(Section("Arithmetic: achieved and possible", lambda: compute(summary)))
    if figure is not None:
        found.append(Section("Where the time of a step goes", lambda: anatomy(summary, figure)))
    if any(architecture.profile for architecture in summary.architectures) or usage.profiles_absent(summary):
        found.append(Section("Memory: predicted and measured", lambda: memory(summary)))
    found.append(Section("Energy", lambda: energy(rows(usage.energy(summary)))))
    found.append(Section("Was the machine quiet?", lambda: contention(summary)))
    found.append(Section("Was the GPU quiet?", lambda: gpu(summary)))
    return found


def disturbed_answer(summary: CohortSummary) -> str:
    """Say how many runs were disturbed, by what, and what that means; empty where no record has the accounts."""
    found = summary.disturbances
    if not found:
        return ""
    disturbed = [each for each in found if each.reasons]
    watched = markdown.plural(len(found), "run")
    bound = markdown.percent(FLAGGED_CHANGE, 0)
    in_seconds = any(each.budget_change for each in found)
    if not disturbed:
        subject = f"None of {watched}" if len(found) > 1 else "The run"
        negated = "was" if len(found) > 1 else "was not"
        lost = ", or cost it that share of its steps" if in_seconds else ""
        return (
            f"{subject} {negated} disturbed: nothing made the median step more than {bound} longer{lost}, beyond "
            "the noise."
        )
    reasons = sorted({reason for each in disturbed for reason in each.reasons}, key=list(_REASONS).index)
    start = (
        f"**{len(disturbed)} of {watched} {'was' if len(disturbed) == 1 else 'were'} disturbed** by "
        f"{markdown.listed(_REASONS[reason] for reason in reasons)}"
    )
    slower = sum(bool(each.step_reasons) for each in disturbed)
    fewer = sum(exceeds(each.budget_change) for each in disturbed)
    effects = [f"the median step was more than {bound} longer in {slower}"] if slower else []
    effects += [f"{fewer} would have made more than {bound} more steps within the budget"] if fewer else []
    return f"{start}: beyond the noise, {markdown.listed(effects)}." if effects else f"{start}."


def compute(summary: CohortSummary) -> list[str]:
    """FLOP/s against the measured and the stated peak, and how long the first step was waited for."""
    found = rows(usage.compute(summary))
    stated = any(row["stated_peak_flops_per_second"] for row in found)
    headers = ["Architecture", "Training GFLOPs an image", "Achieved (GFLOP/s)", "Measured peak (GFLOP/s)", "MFU (%)"]
    headers += ["Data-sheet peak (GFLOP/s)", "MFU of that (%)"] if stated else []
    headers += ["First step after (s)"]
    cells = [
        [
            escape(row["architecture"]),
            markdown.giga(row["training_flops_per_image"]),
            markdown.giga_interval(estimate_of(row, "achieved_flops_per_second")),
            markdown.giga(row["measured_peak_flops_per_second"]),
            markdown.percent_interval(estimate_of(row, "utilization"), unit=""),
            *([markdown.giga(row["stated_peak_flops_per_second"])] if stated else []),
            *([markdown.bare_percent(row["stated_utilization"])] if stated else []),
            markdown.number_interval(estimate_of(row, "first_step_seconds")),
        ]
        for row in found
    ]
    note = (
        "FLOPs of forward and backward pass as trained (1 MAC = 2 FLOPs); convolutions and matrix products are "
        "counted, normalisation, activations, pooling and the optimizer are not. **Achieved**: that times images a "
        "second, data wait included. **Measured peak**: the quickest of all repetitions of one convolution and one "
        "matrix product in the same precision and process, before, between and after training. **MFU**: model FLOPs "
        "utilization (Chowdhery et al., PaLM, 2022), achieved over peak. **First step after**: from the start of the "
        "process, with imports, data, building and the first calibration. Means over the runs, with their 95 % "
        "interval over seeds. "
    )
    device = escape(summary.cohort.records[0].environment.device_name)
    note += "" if stated else f"No data sheet is known for {device}, so no peak is stated."
    return [markdown.table(headers, cells), note.strip()]


def anatomy(summary: CohortSummary, figure: str) -> list[str]:
    """Medians of the parts of a step, and what it is bound by."""
    found = rows(usage.anatomy(summary))
    are_of_run = all(row["are_of_run"] for row in found)
    cells = [
        [
            escape(row["architecture"]),
            markdown.count(row["num_steps"]),
            *(_quartiles(row, part) for part in PART_NAMES),
            _quartiles(row, "step_with_data_wait"),
            markdown.milliseconds(
                row["step_with_data_wait_seconds_percentile_95"] if row["num_steps"] >= _FEWEST_FOR_TAIL else None
            ),
            *([] if are_of_run else [markdown.signed_percent(row["overhead"])]),
            f"{row['bound_by']}-bound" if row["bound_by"] else ABSENT,
        ]
        for row in found
    ]
    headers = ["Milliseconds", "Steps", *PART_NAMES.values(), "Step with data wait", "95th percentile"]
    headers += ["Verdict"] if are_of_run else ["Profiling overhead (%)", "Verdict"]
    on_gpu = summary.cohort.spec.execution.device == "cuda"
    overhead = (
        f"overhead-bound where the host takes {markdown.percent(OVERHEAD_BOUND, 0)} of the GPU's time or more to ask "
        "for the work"
        if on_gpu
        else f"overhead-bound where more than {markdown.percent(OVERHEAD_BOUND_CPU, 0)} is outside the budget"
    )
    note = (
        "Median [quartiles] of the last steps of each run. "
        if are_of_run
        else "Median [quartiles] of steps that were taken after the run, for this table alone; the steps of the run "
        "were not looked at in parts. "
    )
    note += (
        "**Transfer**: to the device, and normalisation; with **batch wait** it makes up the "
        "data wait of a run. **Outside the budget**: what a budget in seconds does not pay for, the gradient norm "
        "and bookkeeping. **Step with data wait**: all but that. **95th percentile**: of it, given from "
        f"{_FEWEST_FOR_TAIL} steps up. "
    )
    if not are_of_run:
        note += (
            "**Profiling overhead**: how much longer the median step with its data wait was than the run's own; noise, "
            "mostly. "
        )
    note += (
        "**Verdict**: data-bound where waiting and transfer take more than "
        f"{markdown.percent(DATA_BOUND, 0)} of the time, {overhead}, else compute-bound."
    )
    if summary.cohort.spec.conditions.step == "graph":
        note += (
            " The two passes of a step that is replayed from a CUDA graph are one: **Forward** is 0 there, and "
            "**Backward** is both."
        )
    image = f"![Where the time of a step goes](figures/{figure})"
    return [markdown.table(headers, cells), image, note]


def memory(summary: CohortSummary) -> list[str]:
    """Predicted peaks by what fills them, against measured ones, and the published kind of figure."""
    found = rows(usage.memory(summary))
    reasons = [f"- No profile: {escape(reason)}" for reason in usage.profiles_absent(summary)]
    if not found:
        return ["\n".join(reasons)]
    on_gpu = summary.cohort.spec.execution.device == "cuda"
    against = "cuda_allocated_bytes" if on_gpu else "process_bytes"
    measured = [field for field in MEMORY_FIELDS if any(row[f"probe_{field}"] is not None for row in found)]
    headers = ["Architecture", "Predicted peak", "Parameters", "Gradients", "Optimizer state", "Activations"]
    headers += ["Temporaries", "Predicted reserved"]
    headers += [f"Measured {markdown.memory_name(field)}" for field in measured] + ["Measured / predicted"]
    cells = [
        [
            escape(row["architecture"]),
            markdown.size(row["predicted_peak_bytes"]),
            *(
                markdown.size(row[f"predicted_{kind}_bytes"])
                for kind in ("parameters", "gradients", "optimizer_state", "activations", "temporaries")
            ),
            markdown.size(row["predicted_reserved_bytes"]),
            *(markdown.size(row[f"probe_{field}"]) for field in measured),
            markdown.ratio(row[f"probe_{against}"], row["predicted_peak_bytes"]),
        ]
        for row in found
    ]
    reasons += [
        f"- {escape(row['architecture'])}: {escape(row['probe_failure'])}" for row in found if row["probe_failure"]
    ]
    batch_size = " or ".join(map(str, summary.cohort.batch_sizes))
    note = (
        f"For a training step of {batch_size} images. **Predicted**: from the sizes of the tensors of two steps, for a "
        "GPU; what lives at the moment of the peak, and what PyTorch's caching allocator reserves for it. Not covered: "
        "workspaces of cuDNN and cuBLAS, the CUDA context, fused kernels, compiled graphs. **Measured**: the peak of "
        "a real step, the optimizer's state included, in a process of its own"
    )
    note += (
        ", to be held against the predicted peak." if on_gpu else
        " that returns at once what it frees; above its memory before the network was built, and with the libraries' "
        "own buffers. The main table has the peak of the run itself, which keeps what it frees for the next step."
    )  # fmt: skip
    return [markdown.table(headers, cells), note, *(["\n".join(reasons)] if reasons else []), *_legacy(found, summary)]


def energy(found: Sequence[Row]) -> list[str]:
    """Joules by run, or why there are none; nothing where none were looked for."""
    if not found:
        return []
    counted = [row for row in found if row["joules"] is not None]
    absent = sorted({row["absent"] for row in found if row["absent"]})
    reason = f"Not measured: {markdown.listed(map(escape, absent))}." if absent else ""
    if not counted:
        return [f"{reason} It is never estimated."]
    cells = [
        [
            escape(row["architecture"]),
            str(row["seed"]),
            markdown.significant(row["joules"]),
            markdown.significant(row["joules_per_image"]),
            markdown.significant(row["joules"] / row["seconds"] if row["seconds"] else None),
            markdown.significant(row["idle_watts"]),
            escape(row["source"]),
        ]
        for row in counted
    ]
    headers = ["Architecture", "Seed", "Joules", "Joules an image", "Watts", "Watts idle", "Counter"]
    note = (
        "Counted from the first training step to the last, validation passes included, and divided by the training "
        "images. Of the whole device (NVML) or all processor packages (RAPL), whoever used them; the idle watts, of "
        "the second before, are not subtracted."
    )
    return [markdown.table(headers, cells), *filter(None, [note, reason])]


def contention(summary: CohortSummary) -> list[str]:
    """What else used the machine in each run, and what that changed; nothing where no record has the accounts."""
    if not summary.disturbances:
        return []
    least, expected, most = LOST_SECONDS
    note = (
        "**Others**, **Hypervisor**: their share of the processors' time during training. **Switches**: how often the "
        "run had to give up a processor against its will. **Load before**: over the minute before, the runs before "
        "included. **Arithmetic**, **Exchange**: the slowest moment of the calibrating convolution or matrix product, "
        "and of data that one thread reads from another, as a multiple of the quickest in this table's runs. "
        "**Step, by others**: how much longer other processes and the hypervisor made the median step, from the "
        "processor time that they took while it ran. A step is taken to lose "
        f"{expected:g} [{least:g}, {most:g}] s for each second taken. **Step, unexplained**: how much longer the "
        "median step was than in the other runs of the architecture, apart from that; 95 % interval with the noise "
        "between runs. **Steps lost**: what the run would have made in addition within a budget in seconds. A run is "
        f"disturbed where others made the median step more than {markdown.percent(FLAGGED_CHANGE, 0)} longer or cost "
        "more than that in steps, or where the unexplained difference is as large and a cause was seen: arithmetic "
        f"above {COMPUTE_SLOWDOWN:g} × or an exchange above {EXCHANGE_SLOWDOWN:g} ×. The interval has to be above "
        "the bound, not only the estimate."
    )
    if any("clock" in found.reasons for found in summary.disturbances):
        note += " The times of a run whose machine slept, or whose clock was set, are left out of every table of speed."
    table = markdown.listing("Run by run", len(summary.disturbances), lambda: _run_by_run(summary))
    return [disturbed_answer(summary), table, note]


def _run_by_run(summary: CohortSummary) -> str:
    found = rows(usage.contention(summary))
    lost = any(row["steps_lost"] is not None for row in found)
    cells = [
        [
            escape(row["architecture"]),
            str(row["seed"]),
            markdown.bare_percent(row["others_share"]),
            markdown.bare_percent(row["stolen_share"]),
            markdown.significant(row["involuntary_switches_per_second"]),
            markdown.significant(row["load_before"]),
            markdown.times(row["compute_slowdown"]),
            markdown.times(row["exchange_slowdown"]),
            markdown.signed_percent_interval(_of_run(row, "step_change")),
            markdown.signed_percent_interval(_of_run(row, "unexplained_step_change")),
            *([markdown.number_interval(_of_run(row, "steps_lost"))] if lost else []),
            markdown.listed(_REASONS[reason] for reason in row["disturbed_by"].split())
            if row["disturbed_by"]
            else "no",
        ]
        for row in found
    ]
    headers = ["Architecture", "Seed", "Others (%)", "Hypervisor (%)", "Switches a second", "Load before"]
    headers += ["Arithmetic", "Exchange", "Step, by others (%)", "Step, unexplained (%)"]
    return markdown.table([*headers, *(["Steps lost"] if lost else []), "Disturbed"], cells)


def _of_run(row: Row, name: str) -> Estimate | None:
    """Put the three columns of an estimate for one run together again."""
    return None if row[name] is None else Estimate(row[name], row[f"{name}_low"], row[f"{name}_high"], 1)


def _legacy(found: Sequence[Row], summary: CohortSummary) -> list[str]:
    conditions, num_classes = summary.cohort.spec.conditions, len(summary.data.class_names)
    cells = [
        [
            escape(row["architecture"]),
            markdown.mebibytes(row["published_bytes"]),
            markdown.mebibytes(row["legacy_bytes"]),
            markdown.mebibytes(row["predicted_peak_bytes"]),
        ]
        for row in found
    ]
    headers = ["MB (2²⁰ bytes)", "Published parity", "The same as trained", "Predicted peak"]
    note = (
        "What was published as the memory of ResNet-152, Wide ResNet-101-2 and Inception-v3 (1343.71, 1481.65 and "
        "333.30 MB) is torchsummary's estimate for one image: the outputs of all modules, twice, with 1000 classes at "
        f"300 px. **The same as trained**: {num_classes:,} classes at {conditions.image_size} px. It is neither the "
        "peak of memory nor proportional to it."
    )
    return [markdown.table(headers, cells), note]


def _quartiles(row: Row, name: str) -> str:
    low, high = (markdown.milliseconds(row[f"{name}_seconds_quartile_{number}"]) for number in (1, 3))
    return f"{markdown.milliseconds(row[f'{name}_seconds'])} [{low}, {high}]"
