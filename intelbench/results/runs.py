"""A finished run, with its arrays reduced to what the report needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from intelbench.errors import UserError
from intelbench.records.store import TRACES_FILE, StoredRun, Traces
from intelbench.records.types import DataFacts, Measurements, RunRecord
from intelbench.results import arrays, timing
from intelbench.results.gpu import GpuReadings, read_gpu
from intelbench.results.images import ImageValues, half, single
from intelbench.results.timing import ReferenceKernelTimes, StepBreakdown
from intelbench.statistics import calibration as reliability
from intelbench.statistics import estimates as statistics
from intelbench.statistics import stability
from intelbench.statistics.calibration import Reliability, Temperature
from intelbench.statistics.estimates import Estimate, Softmax
from intelbench.statistics.scores import MIN_TOP_K_CLASSES, top_k_right
from intelbench.statistics.shares import wilson
from intelbench.statistics.stability import Churn

CLOCK_SECONDS = 1.0
"""Seconds of sleep, or of a clock that is set, from which on a run has no usable step times."""

Split = Literal["test", "validation", "training"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Rectifiers:
    """Activity of the ReLU or LeakyReLU calls of a run, over the validation images."""

    num_units: int
    first_dead_share: float
    """Share of units that were never above 0 at the first evaluation point."""
    last_dead_share: float
    """Share of units that were never above 0 at the last evaluation point."""
    positive_share: float
    """Share of outputs above 0 at the last evaluation point, mean over sites."""
    mean: float
    """Mean output at the last evaluation point, mean over sites."""
    worst_site: str
    """The site with the largest share of dead units."""
    worst_dead_share: float


@dataclass(frozen=True)
class RunSummary:
    """A finished run, with its traces reduced to what the report needs."""

    record: RunRecord
    test_accuracy: float | None
    majority_shares: Mapping[Split, float | None]
    """Share of the largest class among the labelled images of each split."""
    training_cross_entropy: float | None
    test_cross_entropy: float | None
    relative_loss_variance: float | None
    test_ids: NDArray[np.str_]
    """Ids of the N test images."""
    test_labels: NDArray[np.int16]
    test_predictions: NDArray[np.int16]
    images: ImageValues
    step_loss: NDArray[np.float64]
    """Loss of S steps."""
    step_seconds: NDArray[np.float64]
    """Seconds of S steps without data wait."""
    total_seconds: NDArray[np.float64]
    """Seconds of S steps with data wait."""
    evaluation_step: NDArray[np.float64]
    evaluation_seconds: NDArray[np.float64]
    evaluation_accuracy: NDArray[np.float64]
    """Validation accuracy at each evaluation point."""
    reliability: Reliability | None
    """Calibration on the test images; `None` without test images."""
    temperature: Temperature | None
    """Fitted to the validation images; `None` without an evaluation."""
    scaled_calibration_error: float | None
    """ECE on the test images, with the logits divided by the temperature; `None` unless the fit converged."""
    scaled_cross_entropy: float | None
    """NLL on the test images, with the logits divided by the temperature; `None` unless the fit converged."""
    spike_score: float | None
    """Share of training steps whose loss was a spike."""
    churn: Churn | None
    """Mean churn from one evaluation point to the next."""
    rectifiers: Rectifiers | None
    """`None` where the network has none."""
    step_breakdown: StepBreakdown | None
    """`None` where too few steps were timed."""
    reference_kernels: ReferenceKernelTimes
    contention_rates: NDArray[np.float64] | None
    """CPU seconds taken by others per second of wall clock, in each of S steps; `None` without a reading."""
    gpu: GpuReadings | None = None
    """`None` on a CPU, and where NVML gave no readings."""
    of_logits: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """By metric that is computed from logits, of a plug-in or on demand: a value of each of the N test images, or one
    number (an array without dimensions)."""

    @property
    def measurements(self) -> Measurements:
        """Return the measurements of the record, which every finished run has."""
        assert self.record.measurements is not None
        return self.record.measurements

    def ids(self, split: Split) -> NDArray[np.str_]:
        """Return the ids of the images of a split on which the run was evaluated."""
        images = self.images
        return {"test": self.test_ids, "validation": images.validation_ids, "training": images.training_ids}[split]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Return whether each of the N test images was recognised."""
        correct: NDArray[np.bool_] = self.test_predictions == self.test_labels
        return correct

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Return the number of test images, C x C: true class by predicted class."""
        num_classes = len(self.record.spec.data.class_names)
        return statistics.confusion_matrix(self.test_labels, self.test_predictions, num_classes)

    @cached_property
    def warm(self) -> NDArray[np.bool_]:
        """Return which steps have usable times: those after a warm-up, which a resumed run has again.

        There are none where the machine slept or its clock was set.
        """
        measured = self.measurements
        counts = np.full(len(self.step_seconds), self.clock_seconds <= CLOCK_SECONDS)
        for start in (0, *measured.resumed_after):
            counts[start : start + measured.num_warmup_steps] = False
        return counts

    @property
    def clock_seconds(self) -> float:
        """Return the seconds for which the machine slept, or by which its clock was set; 0 where they are not known."""
        contention = self.measurements.contention
        return max(contention.suspended_seconds or 0.0, contention.clock_shift_seconds or 0.0)

    @property
    def warm_step_seconds(self) -> NDArray[np.float64]:
        """Return the seconds of the steps in `warm`, without data wait."""
        return self.step_seconds[self.warm]

    @property
    def warm_total_seconds(self) -> NDArray[np.float64]:
        """Return the seconds of the steps in `warm`, with data wait."""
        return self.total_seconds[self.warm]

    @cached_property
    def median_step_seconds(self) -> float | None:
        """Return the median of `warm_step_seconds`."""
        return statistics.quantile(self.warm_step_seconds, 0.5)

    @cached_property
    def median_total_seconds(self) -> float | None:
        """Return the median of `warm_total_seconds`."""
        return statistics.quantile(self.warm_total_seconds, 0.5)

    @property
    def extracted_images_per_second(self) -> float | None:
        """Return how fast the backbone passed images, if the run has computed all of its features."""
        features = self.measurements.features
        is_complete = features and not features.num_stored_images and not self.measurements.resumed_after
        return features.num_images / features.seconds if features and is_complete and features.seconds else None

    @property
    def peak_memory_bytes(self) -> int | None:
        """Return the peak of the kind of memory that represents the run's device."""
        peak: int | None = getattr(self.measurements.peak_memory, memory_field(self.record.spec.execution.device))
        return peak

    @property
    def single_accuracy(self) -> Estimate | None:
        """Return the test accuracy of this trained network, with the interval over test images."""
        if self.test_accuracy is None:
            return None
        return Estimate(self.test_accuracy, *wilson(self.test_accuracy, len(self.correct)), 1)

    @property
    def achieved_flops_per_second(self) -> float | None:
        """Return the FLOPs of a training image times images a second, data wait included."""
        batch_size, flops = self.record.spec.conditions.recipe.batch_size, self.measurements.training_flops_per_image
        seconds = self.median_total_seconds
        return batch_size / seconds * flops if seconds and flops is not None else None

    @property
    def peak_flops_per_second(self) -> float | None:
        """Return the FLOP/s of the quickest convolution or matrix product in the process of the run, on all devices."""
        peak = self.reference_kernels.peak_flops_per_second(self.measurements.reference_kernels)
        return peak and peak * self.record.spec.execution.gpus

    @property
    def utilization(self) -> float | None:
        """Return the model FLOPs utilization (Chowdhery et al., 2022): achieved over peak, the peak measured."""
        achieved, peak = self.achieved_flops_per_second, self.peak_flops_per_second
        return achieved / peak if achieved is not None and peak else None

    @property
    def seed(self) -> int:
        """Return the seed of the run."""
        return self.record.spec.seed


def memory_field(device: str) -> str:
    """Return the field of `PeakMemory` that represents a device: the process on a CPU, allocated tensors on a GPU."""
    return "process_bytes" if device == "cpu" else "cuda_allocated_bytes"


def observe(run: StoredRun, traces: Traces) -> RunSummary:
    """Return a finished run with its arrays reduced.

    Raises:
        UserError: the arrays are damaged, or do not hold what docs/records.md promises.
    """
    try:
        return _reduce(run.record, traces)
    except (KeyError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(
            f"{run.path / TRACES_FILE}: not the arrays of a finished run ({reason}); run it again"
        ) from error


def _reduce(record: RunRecord, traces: Traces) -> RunSummary:
    data = record.spec.data
    assert record.measurements is not None
    num_classes = len(data.class_names)
    step_loss = arrays.numbers(traces, "step_loss", record.measurements.num_steps)
    step_seconds = arrays.durations(traces, "step_seconds", len(step_loss))
    training = _Classified.of(traces, "train", None, num_classes)
    test = _Classified.of(traces, "test", data.num_test, num_classes)
    temperature = None
    if "validation_logits" in traces:
        validation = _Classified.of(traces, "validation", data.num_validation, num_classes)
        temperature = reliability.fitted_temperature(validation.labels, validation.logits)
    fitted = temperature.value if temperature else None
    scaled = None if fitted is None else test.scaled(fitted)
    evaluation_step = arrays.rising("evaluation_step", arrays.numbers(traces, "evaluation_step", None))
    evaluation_seconds = arrays.seconds(traces, "evaluation_seconds", len(evaluation_step))
    validation_labels, validation_predictions = _validated(traces, data, len(evaluation_step))
    evaluated = validation_predictions == validation_labels
    evaluation_accuracy = evaluated.mean(axis=1) if evaluated.size else np.empty(0)
    kept = _kept_point(record.measurements.kept_step, evaluation_step)
    return RunSummary(
        record=record,
        test_accuracy=statistics.mean(test.right),
        majority_shares={
            "training": statistics.majority_share(training.labels),
            "validation": statistics.majority_share(validation_labels),
            "test": statistics.majority_share(test.labels),
        },
        training_cross_entropy=statistics.mean(training.losses),
        test_cross_entropy=statistics.mean(test.losses),
        relative_loss_variance=stability.relative_variance(step_loss),
        test_ids=arrays.texts(traces, "test_ids", len(test.labels)),
        test_labels=test.labels,
        test_predictions=test.predictions.astype(np.int16),
        images=_image_values(traces, training, test, scaled, (validation_labels, validation_predictions, kept)),
        step_loss=step_loss,
        step_seconds=step_seconds,
        total_seconds=step_seconds + arrays.seconds(traces, "data_wait_seconds", len(step_loss)),
        evaluation_step=evaluation_step[: len(evaluation_accuracy)],
        evaluation_seconds=arrays.rising("evaluation_seconds", evaluation_seconds)[: len(evaluation_accuracy)],
        evaluation_accuracy=evaluation_accuracy,
        reliability=reliability.reliability(test.labels, test.softmax),
        temperature=temperature,
        scaled_calibration_error=statistics.mean(scaled.gaps) if scaled else None,
        scaled_cross_entropy=statistics.mean(scaled.losses) if scaled else None,
        spike_score=stability.spike_score(step_loss),
        churn=stability.churn_between_evaluations(validation_labels, validation_predictions),
        rectifiers=_rectifiers(traces),
        step_breakdown=timing.read_step_breakdown(traces),
        reference_kernels=timing.read_reference_kernels(traces),
        contention_rates=timing.read_contention(traces, len(step_loss)),
        gpu=read_gpu(traces),
    )


def _image_values(
    traces: Traces,
    training: "_Classified",
    test: "_Classified",
    scaled: "_Classified | None",
    validated: tuple[NDArray[np.int16], NDArray[np.int16], int],
) -> ImageValues:
    """Return the values of single images.

    `validated` are the labels and predictions that `_validated` returns, and the evaluation point that was kept.
    """
    labels, predictions, kept = validated
    has_top5 = test.logits.shape[1] >= MIN_TOP_K_CLASSES and len(test.labels) > 0
    return ImageValues(
        training_ids=arrays.texts(traces, "train_ids", len(training.labels)),
        training_right=training.right,
        training_losses=single(training.losses),
        validation_ids=arrays.texts(traces, "validation_ids", len(labels)),
        validation_right=np.packbits(predictions == labels, axis=1),
        kept_point=kept,
        validation_changed=np.packbits(predictions[1:] != predictions[:-1], axis=1),
        confidence=test.softmax.confidence.astype(np.float32),
        test_losses=single(test.losses),
        top5_right=top_k_right(test.labels, test.logits) if has_top5 else None,
        squared_distances=half(reliability.squared_distances(test.labels, test.softmax.probabilities)),
        scaled_losses=half(scaled.losses) if scaled else None,
        scaled_gaps=half(scaled.gaps) if scaled else None,
    )


def _kept_point(kept_step: int | None, evaluation_step: NDArray[np.float64]) -> int:
    """Return the position of the evaluation point whose weights were evaluated on test images."""
    if kept_step is None:
        return -1
    (positions,) = np.nonzero(evaluation_step == kept_step)
    if not positions.size:
        raise ValueError(f"evaluation_step does not have kept_step, {kept_step}")
    return int(positions[0])


def _validated(traces: Traces, data: DataFacts, num_points: int) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Return the labels of V validation images and the predictions at E evaluation points (E x V)."""
    num_classes = len(data.class_names)
    labels = arrays.classes(traces, "validation_labels", num_classes, data.num_validation)
    if not traces["validation_predictions"].size:
        return labels, np.empty((0, len(labels)), dtype=np.int16)
    return labels, arrays.classes(traces, "validation_predictions", num_classes, num_points, len(labels))


def _rectifiers(traces: Traces) -> Rectifiers | None:
    if "activation_sites" not in traces:
        return None
    sites = arrays.texts(traces, "activation_sites", None)
    units = arrays.numbers(traces, "activation_units", len(sites))
    dead = arrays.shares(traces, "activation_dead_share", None, len(sites))
    if not dead.size or units.min() < 1:
        raise ValueError("activation_units holds sites without units, or nothing was seen of them")
    worst = int(dead[-1].argmax())
    by_point = dead @ units / units.sum()
    return Rectifiers(
        num_units=int(units.sum()),
        first_dead_share=float(by_point[0]),
        last_dead_share=float(by_point[-1]),
        positive_share=float(arrays.shares(traces, "activation_positive_share", *dead.shape)[-1].mean()),
        mean=float(arrays.numbers(traces, "activation_mean", *dead.shape)[-1].mean()),
        worst_site=str(sites[worst]),
        worst_dead_share=float(dead[-1, worst]),
    )


@dataclass(frozen=True)
class _Classified:
    """The labels (N) and logits (N x C) of a split."""

    labels: NDArray[np.int16]
    logits: NDArray[np.float64]

    @classmethod
    def of(cls, traces: Traces, split: str, num_images: int | None, num_classes: int) -> "_Classified":
        labels = arrays.classes(traces, f"{split}_labels", num_classes, num_images)
        return cls(labels, arrays.logits(traces, f"{split}_logits", len(labels), num_classes))

    def scaled(self, temperature: float) -> "_Classified":
        return _Classified(self.labels, self.logits / temperature)

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.predictions == self.labels
        return right

    @cached_property
    def softmax(self) -> Softmax:
        return Softmax.of(self.logits)

    @cached_property
    def gaps(self) -> NDArray[np.float64]:
        """Return the share of each image in the ECE; empty with logits that are not finite."""
        return reliability.gaps(self.softmax.confidence, self.right) if self.softmax.finite else np.empty(0)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        return self.softmax.losses(self.labels)
