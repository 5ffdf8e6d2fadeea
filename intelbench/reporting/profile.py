"""The result of `intelbench profile` as Markdown, JSON or CSV."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from intelbench.records.profiles import ArchitectureProfile, MeasuredMemory, PredictedMemory, Profile
from intelbench.reporting import formatting, markdown
from intelbench.reporting.document import Block, Cell, Cells, Document, Items, Paragraph, Section, cell, table
from intelbench.reporting.formatting import ABSENT, escape
from intelbench.reporting.rows import csv_of
from intelbench.results.columns import Columns, column, fields
from intelbench.results.columns import table as rows_of

_UNREMARKABLE = ("measured", "published")
"""What is usually absent: there is no GPU, and a figure was published for three networks only."""
_MEASURED = ("cuda_allocated_bytes", "cublas_workspace_bytes", "cuda_reserved_bytes", "nvml_process_bytes")


def as_markdown(profile: Profile) -> str:
    """Write tables for people, and what their columns mean."""
    trained = "the heads alone, the backbone frozen" if profile.frozen else "everything trained"
    blocks: list[Block] = [
        Paragraph(
            f"Training with {profile.optimizer}, {trained}. Memory is predicted for a GPU, from the sizes of the "
            f"tensors of two training steps (PyTorch {escape(profile.torch)}, torchvision "
            f"{escape(profile.torchvision)})."
        ),
        *_overview(profile),
    ]
    if profile.architectures:
        blocks += [
            Section("Largest batch that fits", _largest(profile)),
            Section("Memory by use", _breakdown(profile)),
            Section("Published figures", _torchsummary(profile)),
        ]
    title = f"Profile at {profile.image_size} px, {profile.num_classes} classes, {profile.precision}"
    return markdown.render(Document(title, blocks))


def as_json(profile: Profile) -> str:
    """Write the complete profile in base units."""
    return msgspec.json.format(msgspec.json.encode(profile), indent=1).decode() + "\n"


def as_csv(profile: Profile) -> str:
    """Return `profile_table` as CSV."""
    return csv_of(profile_table(profile), profile_table.types())


class _Profiled(NamedTuple):
    """An architecture at a batch size; without memory where it was not predicted."""

    name: str
    profile: ArchitectureProfile | None
    memory: PredictedMemory | None
    absent: str | None


def _measured(profile: ArchitectureProfile | None, memory: PredictedMemory | None) -> MeasuredMemory | None:
    """Return what was measured at the batch size of a prediction."""
    if profile is None or memory is None:
        return None
    return next((each for each in profile.measured if each.batch_size == memory.batch_size), None)


_COLUMNS: Sequence[Columns[_Profiled]] = (
    column("architecture", str, lambda each: each.name),
    fields(int, lambda each: each.profile, "num_parameters", "num_trainable_parameters"),
    fields(float, lambda each: each.profile, "forward_macs_per_image", "training_flops_per_image"),
    column(
        "torchsummary_bytes", int, lambda each: getattr(each.profile and each.profile.torchsummary, "total_bytes", None)
    ),
    fields(int, lambda each: each.memory, *PredictedMemory.__struct_fields__),
    fields(int, lambda each: getattr(_measured(each.profile, each.memory), "peak", None), *_MEASURED),
    column("absent", str, lambda each: each.absent),
)


@rows_of(lambda: _COLUMNS)
def profile_table(profile: Profile) -> Iterator[_Profiled]:
    """Return a row for each architecture and batch size; without predicted memory, one row that says why."""
    for each in profile.architectures:
        for memory in each.memory or (None,):
            yield _Profiled(each.architecture, each, memory, None if memory else each.absent.get("memory"))
    for name, reason in profile.failures.items():
        yield _Profiled(name, None, None, reason)


def _overview(profile: Profile) -> list[Block]:
    batch_sizes = list(dict.fromkeys(memory.batch_size for each in profile.architectures for memory in each.memory))
    headers = ["Architecture", "Parameters", "Trainable", "Forward GMACs", "Training GFLOPs"]
    headers += [f"Peak, batch {size}" for size in batch_sizes]
    cells: Cells = [
        [
            escape(each.architecture),
            cell(each.num_parameters, formatting.count),
            cell(each.num_trainable_parameters, formatting.count),
            cell(each.forward_macs_per_image, _giga),
            cell(each.training_flops_per_image, _giga),
            *(cell(memory.peak_bytes, formatting.size) for memory in each.memory),
            *([ABSENT] * (len(batch_sizes) - len(each.memory))),
        ]
        for each in profile.architectures
    ]
    cells += [[escape(name), *([ABSENT] * (len(headers) - 1))] for name in profile.failures]
    notes = [f"{escape(name)} is not profiled: {escape(reason)}" for name, reason in profile.failures.items()]
    notes += [
        f"{escape(each.architecture)}: no {field}: {escape(reason)}"
        for each in profile.architectures
        for field, reason in each.absent.items()
        if field not in _UNREMARKABLE
    ]
    notes += [
        "**Forward GMACs**, **Training GFLOPs**: for one image; 10⁹ multiply-accumulate operations of convolutions "
        "and matrix products in evaluation, and 10⁹ FLOPs of forward and backward pass as trained here (1 MAC = 2 "
        "FLOPs). Normalisation, activations, pooling and the optimizer are not counted.",
        "**Peak**: predicted most that all tensors together take at one time in a training step, to compare with "
        "`torch.cuda.max_memory_allocated`. Not covered: workspaces of cuDNN and cuBLAS, the CUDA context, kernels "
        "that fuse several operations (attention), compiled graphs.",
    ]
    return [table(headers, cells), Items(notes)]


def _largest(profile: Profile) -> list[Block]:
    memories = list(dict.fromkeys(memory for each in profile.architectures for memory in each.largest_batch))
    cells: Cells = [
        [
            escape(each.architecture),
            *(
                cell(each.largest_batch.get(memory), lambda number: formatting.count(number) if number else "none")
                for memory in memories
            ),
        ]
        for each in profile.architectures
    ]
    note = (
        "Most images a step for which the allocator reserves no more than that many gigabytes (10⁹ bytes). A GPU sold "
        "with that many has some 7 % more, which the CUDA context and the workspaces of cuDNN and cuBLAS need."
    )
    return [Paragraph(note), table(["Images a step", *(f"{memory} GB" for memory in memories)], cells)]


def _breakdown(profile: Profile) -> list[Block]:
    headers = ["Architecture", "Batch", *formatting.MEMORY_KINDS.values(), "Peak", "Reserved"]
    measured = [f"Measured {formatting.MEMORY_NAMES[field]}" for field in _MEASURED] if profile.gpu else []
    cells: Cells = [
        [
            escape(each.architecture),
            cell(memory.batch_size, str),
            *(cell(getattr(memory, kind), formatting.size) for kind in formatting.MEMORY_KINDS),
            cell(memory.peak_bytes, formatting.size),
            cell(memory.reserved_bytes, formatting.size),
            *([_measured_cell(_measured(each, memory), field) for field in _MEASURED] if profile.gpu else []),
        ]
        for each in profile.architectures
        for memory in each.memory
    ]
    note = (
        "What lives at the moment of the peak, and what PyTorch's caching allocator reserves for it, predicted. "
        "Parameters include buffers; activations are the input and what the forward pass leaves for the backward pass; "
        "temporaries come and go within one pass. "
    )
    note += f"Measured on {escape(profile.gpu)}." if profile.gpu else "CUDA and NVML figures: not measured: no GPU."
    return [table([*headers, *measured], cells), Paragraph(note)]


def _torchsummary(profile: Profile) -> list[Block]:
    parts = ("activations", "parameters", "input", "total")
    headers = ["MB (2²⁰ bytes)", *(part.capitalize() for part in parts)]
    cells: Cells = [
        [
            f"{escape(each.architecture)}, {title}",
            *(cell(getattr(summary, f"{part}_bytes", None), formatting.mebibytes) for part in parts),
        ]
        for each in profile.architectures
        for title, summary in (
            *([("published parity: 1000 classes at 300 px", each.published)] if each.published else []),
            (f"as trained: {profile.num_classes} classes at {profile.image_size} px", each.torchsummary),
        )
    ]
    note = (
        'torchsummary\'s "Estimated Total Size" for one image in float32, which was published as the memory of '
        "ResNet-152, Wide ResNet-101-2 and Inception-v3 (1343.71, 1481.65 and 333.30 MB). It adds up the outputs of "
        "all modules, twice: neither the peak of memory nor proportional to it."
    )
    return [Paragraph(note), table(headers, cells)]


def _measured_cell(measured: MeasuredMemory | None, field: str) -> Cell:
    value = getattr(measured and measured.peak, field, None)
    if measured is None or value is not None:
        return cell(value, formatting.size)
    absent = measured.peak.absent.get(field, ABSENT) if measured.peak else ABSENT
    return Cell(escape(measured.failure or absent))


def _giga(value: float) -> str:
    return f"{value / 1e9:.3f}"
