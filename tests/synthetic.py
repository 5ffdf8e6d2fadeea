"""Made-up records for tests and benchmarks: real structs and files, numbers that are the same on every platform."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from intelbench.config.budget import Budget
from intelbench.config.conditions import Conditions
from intelbench.config.fields import Vary
from intelbench.config.recipe import Recipe
from intelbench.config.sequential import Look, SequentialDesign
from intelbench.records.identity import digest, run_id
from intelbench.records.profiles import (
    ArchitectureProfile,
    Contention,
    Energy,
    FeatureExtraction,
    FilterGradients,
    MeasuredMemory,
    PeakMemory,
    PredictedMemory,
    Preparation,
    ReferenceKernelWork,
    TorchsummaryEstimate,
)
from intelbench.records.store import RECORD_FILE, SUMS_FILE, TRACES_FILE, Traces, write_run
from intelbench.records.types import (
    SCHEMA_VERSION,
    DataFacts,
    Environment,
    Execution,
    Failure,
    Measurements,
    RunRecord,
    RunSpec,
    Weights,
)
from intelbench.results.summaries import CohortSummary
from tests.synthetic_traces import OTHERS_RATE, evaluation_steps, traces_of

Summarize = Callable[..., CohortSummary]
CLASSES = ("buildings", "forest", "glacier", "mountain", "sea", "street")
ARCHITECTURES = ("inception_v3", "resnet101", "resnet101-leaky", "resnet152", "wide_resnet101_2")
CONDITIONS = Conditions(budget=Budget(steps=60), recipe=Recipe(), image_size=64)
EXECUTION = Execution(device="cpu", threads=2, workers=1)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What the made-up runs have in common; every field can be replaced."""

    class_names: tuple[str, ...] = CLASSES
    num_train: int = 120
    num_validation: int = 60
    num_test: int = 300
    num_other_files: int = 0
    num_steps: int = 60
    conditions: Conditions = CONDITIONS
    execution: Execution = EXECUTION
    suite: str = "quick"
    source: str = "scenes"
    data_digest: str = "5ce7e5" * 5 + "00"
    torch: str = "2.11.0"
    providers: Mapping[str, str] = field(default_factory=dict)
    """Other than `torchvision`, by architecture."""
    weights: Mapping[str, Weights] = field(default_factory=dict)
    """Files that architectures start from, by architecture."""
    images_per_class: int | None = None
    vary: Vary = "all"
    fixed_seed: int | None = None
    margin: float = 0.01
    """Of the suite, as a fraction."""
    spread: float = 0.0
    """Standard deviation of the expected accuracy between seeds."""
    accuracies: Mapping[str, float] = field(default_factory=dict)
    """Expected test accuracy, by architecture; else spread between 0.5 and 0.8."""
    failures: Mapping[tuple[str, int], Failure] = field(default_factory=dict)
    """By architecture and seed."""
    missing: Collection[tuple[str, int]] = ()
    """Architecture and seed of runs that were never made."""
    other_batches: Collection[tuple[str, int]] = ()
    """Architecture and seed of runs whose stream differs from step 4 on."""
    disturbed: Collection[tuple[str, int]] = ()
    """Architecture and seed of runs during which another process took `OTHERS_RATE`."""
    far_apart: Collection[tuple[str, int]] = ()
    """Architecture and seed of runs whose threads exchanged data slowly at one moment."""
    features: bool = False
    """Whether runs are of heads on stored features, which those of seed 0 have computed."""
    fallbacks: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """By architecture and seed of runs whose steps are eager though the conditions ask for others: why."""
    slowed: Collection[tuple[str, int]] = ()
    """Architecture and seed of runs whose steps took 1.5 times as long, though nobody took processor time."""
    own: Mapping[str, Conditions] | None = None
    """By architecture, where the suite has recipes of their own; `conditions` are then those of the others."""
    metric: str = "accuracy"
    """Metric of the suite."""
    design: SequentialDesign | None = None
    """Design for which the runs of its seeds were made."""
    year: int = 2026
    """When its runs were started; two runs of one time and architecture are one run."""
    gpu: str = "Example GPU 80GB"
    """Its name, where the execution is on one."""

    @property
    def data(self) -> DataFacts:
        """The facts that each run records."""
        return DataFacts(
            source=self.source,
            digest=self.data_digest,
            class_names=self.class_names,
            num_train=self.num_train,
            num_validation=self.num_validation,
            num_test=self.num_test,
            test_origin="given",
            num_unreadable=0,
            num_train_test_duplicates=0,
            num_other_files=self.num_other_files,
        )


def synthetic_runs(
    folder: Path,
    architectures: Sequence[str] = ARCHITECTURES,
    seeds: Sequence[int] = (0, 1, 2),
    study: Study = Study(),
    order: Callable[[list[tuple[str, int]]], list[tuple[str, int]]] = list,
) -> list[Path]:
    """Write a record for each architecture and seed below `folder`, in the given order; return where they lie."""
    pairs = [(name, seed) for name in architectures for seed in seeds if (name, seed) not in study.missing]
    return [write_run(folder, *synthetic_run(name, seed, study, architectures)) for name, seed in order(pairs)]


def synthetic_run(
    architecture: str, seed: int, study: Study, architectures: Sequence[str] = ARCHITECTURES
) -> tuple[RunRecord, Traces]:
    """One record with its arrays; the same arguments give the same numbers."""
    spec = RunSpec(
        architecture=architecture,
        provider=study.providers.get(architecture, "torchvision"),
        seed=seed,
        suite=study.suite,
        data=study.data if study.vary != "split" else _split_by(seed, study.data),
        conditions=(study.own or {}).get(architecture, study.conditions),
        execution=study.execution,
        optimizer_provider="torch",
        weights=study.weights.get(architecture),
        images_per_class=study.images_per_class,
        vary=study.vary,
        fixed_seed=study.fixed_seed,
        margin=study.margin,
        metric=study.metric,
        suite_conditions=None if study.own is None else study.conditions,
    )
    place = architectures.index(architecture) if architecture in architectures else 0
    num_steps = _num_steps(study, place)
    failure = study.failures.get((architecture, seed))
    environment = _environment(study)
    record = RunRecord(
        schema_version=SCHEMA_VERSION,
        run_id=run_id(spec, environment),
        started_at=f"{study.year}-01-{1 + place % 28:02d}T{seed % 24:02d}:00:00+00:00",
        spec=spec,
        environment=environment,
        stream_digests=_stream_digests(num_steps if failure is None else (failure.step or 0), spec, study),
        profile=_profile(spec, place, study),
        look=_look(study, architecture, seed),
        measurements=_measurements(num_steps, place, spec, study) if failure is None else None,
        failure=failure,
    )
    return record, traces_of(num_steps, spec, place, study) if failure is None else {}


def _split_by(seed: int, data: DataFacts) -> DataFacts:
    """The facts of a split that the seed has drawn."""
    return msgspec.structs.replace(data, digest=digest((data.digest, seed)), default_digest=data.digest)


def _look(study: Study, architecture: str, seed: int) -> Look | None:
    design = study.design
    if design is None or architecture not in design.architectures or seed not in design.seeds:
        return None
    place = design.seeds.index(seed)
    number = next(number for number, count in enumerate(design.looks, start=1) if place < count)
    return Look(design=design, number=number)


def _environment(study: Study) -> Environment:
    on_gpu = study.execution.device == "cuda"
    return Environment(
        intelbench="0.1.0",
        python="3.12.1",
        torch=study.torch,
        torchvision="0.26.0",
        numpy="2.4.0",
        platform="Linux-6.1-x86_64",
        cpu="Example CPU @ 2.0 GHz",
        cpu_capability="AVX2",
        num_cpus=2,
        memory_bytes=8 * 2**30,
        device_name=study.gpu if on_gpu else "Example CPU @ 2.0 GHz",
        cuda="12.8" if on_gpu else None,
        cudnn="9.7" if on_gpu else None,
        driver="570.1" if on_gpu else None,
    )


def _num_steps(study: Study, place: int) -> int:
    """Under a time budget a costlier architecture gets fewer steps."""
    return max(1, study.num_steps - 7 * (place % 6)) if study.conditions.budget.unit == "seconds" else study.num_steps


def _stream_digests(num_steps: int, spec: RunSpec, study: Study) -> dict[int, str]:
    steps = {2**power for power in range(20) if 2**power <= num_steps} | set(evaluation_steps(num_steps, study))
    other = (spec.architecture, spec.seed) in study.other_batches
    return {step: digest(("stream", spec.seed, step, other and step >= 4)) for step in sorted(steps)}


def _peak(megabytes: int, study: Study) -> PeakMemory:
    """On a GPU with a cache of 200 MiB."""
    if study.execution.device == "cuda":
        return PeakMemory(
            process_bytes=None,
            cuda_allocated_bytes=megabytes * 2**20,
            cuda_reserved_bytes=(megabytes + 200) * 2**20,
            nvml_process_bytes=None,
            absent={"process_bytes": "the run was on a GPU", "nvml_process_bytes": "the driver does not tell"},
        )
    return PeakMemory(
        process_bytes=megabytes * 2**20,
        cuda_allocated_bytes=None,
        cuda_reserved_bytes=None,
        nvml_process_bytes=None,
        absent=dict.fromkeys(
            ("cuda_allocated_bytes", "cuda_reserved_bytes", "nvml_process_bytes"), "no GPU in this run"
        ),
    )


def _profile(spec: RunSpec, place: int, study: Study) -> ArchitectureProfile:
    mebibyte = 2**20
    batch_size = spec.conditions.recipe.batch_size
    predicted = PredictedMemory(
        batch_size=batch_size,
        peak_bytes=(600 + 170 * place) * mebibyte,
        reserved_bytes=(660 + 170 * place) * mebibyte,
        parameters_bytes=(90 + 40 * place) * mebibyte,
        gradients_bytes=(80 + 40 * place) * mebibyte,
        optimizer_state_bytes=(180 + 80 * place) * mebibyte,
        activations_bytes=240 * mebibyte,
        temporaries_bytes=(10 + 10 * place) * mebibyte,
    )
    return ArchitectureProfile(
        architecture=spec.architecture,
        provider=spec.provider,
        num_parameters=21_797_862 + 9_500_000 * place,
        num_trainable_parameters=21_797_862 + 9_500_000 * place,
        forward_macs_per_image=0.33e9 + 0.5e9 * place,
        training_flops_per_image=2.0e9 + 3.1e9 * place,
        torchsummary=_torchsummary(40 + place),
        published=_torchsummary(900 + 100 * place),
        num_parameters_1000_classes=None,
        memory=(predicted,),
        largest_batch={},
        measured=(MeasuredMemory(batch_size=batch_size, peak=_peak(615 + 170 * place, study)),),
        absent={},
    )


def _torchsummary(megabytes: int) -> TorchsummaryEstimate:
    return TorchsummaryEstimate(
        activations_bytes=megabytes * 2**20, parameters_bytes=100 * 2**20, input_bytes=1_080_000, num_calls=300
    )


def _measurements(num_steps: int, place: int, spec: RunSpec, study: Study) -> Measurements:
    on_gpu = study.execution.device == "cuda"
    seconds = num_steps * (0.2 + 0.06 * place) + 3
    joules = 250.0 * seconds if on_gpu else None
    disturbed = (spec.architecture, spec.seed) in study.disturbed
    fallback = study.fallbacks.get((spec.architecture, spec.seed))
    prepared = Preparation(num_prepared=0 if fallback else 1, seconds=2.0 + place, fallback=fallback)
    return Measurements(
        num_parameters=21_797_862 + 9_500_000 * place,
        num_trainable_parameters=21_797_862 + 9_500_000 * place,
        training_flops_per_image=2.0e9 + 3.1e9 * place,
        num_steps=num_steps,
        num_warmup_steps=min(study.conditions.warmup_steps, num_steps),
        training_seconds=num_steps * (0.2 + 0.06 * place),
        total_seconds=num_steps * (0.2 + 0.06 * place) + 12,
        peak_memory=_peak((900 + 310 * place) if on_gpu else (700 + 180 * place), study),
        filter_gradients=FilterGradients(num_filters=5000, num_without_gradient=100 * place, num_images=60),
        first_step_seconds=5.0 + 0.5 * place + 0.1 * (spec.seed % 4),
        reference_kernels=ReferenceKernelWork(convolution_flops=1.5e10, matmul_flops=9e9),
        contention=Contention(
            seconds=seconds,
            load_before=0.5,
            load_after=1.5,
            involuntary_switches=4 * num_steps,
            others_cpu_seconds=OTHERS_RATE * seconds if disturbed else 0.01,
            stolen_cpu_seconds=0.0,
        ),
        energy=Energy(
            source="nvml" if on_gpu else None,
            joules=joules,
            seconds=seconds,
            idle_joules=70.0 if on_gpu else None,
            idle_seconds=1.0 if on_gpu else 0.0,
            absent=None if on_gpu else "the kernel shows no RAPL counter",
        ),
        preparation=None if study.conditions.step == "eager" else prepared,
        features=_features(place, spec.seed, study) if study.features else None,
    )


def _features(place: int, seed: int, study: Study) -> FeatureExtraction:
    """As slow as the place of the architecture."""
    num_images = study.num_train + study.num_validation + study.num_test
    return FeatureExtraction(
        num_images=num_images, num_stored_images=num_images if seed else 0, seconds=num_images * (0.02 + 0.03 * place)
    )


def failure(cause: str = "out_of_memory", message: str = "CUDA out of memory", step: int | None = 3) -> Failure:
    """A failure to put into `Study.failures`."""
    return msgspec.convert({"cause": cause, "message": message, "step": step}, Failure)


def write_sums(folder: Path) -> None:
    """Write the sums of a record again, so that only its content reveals a change."""
    files = [folder / name for name in (RECORD_FILE, TRACES_FILE) if (folder / name).is_file()]
    sums = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (folder / SUMS_FILE).write_text("".join(sums))
