"""One finished run, its arrays reduced to what the report needs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intelbench.errors import UserError
from intelbench.records.store import TRACES_FILE, StoredRun
from intelbench.records.types import Measurements, RunRecord
from intelbench.reporting.evidence import inference, reliability, stability, statistics
from intelbench.reporting.evidence.reliability import Reliability
from intelbench.reporting.evidence.stability import Stability
from intelbench.reporting.evidence.statistics import Estimate
from intelbench.reporting.evidence.timing import Anatomy, CalibrationTimes, read_anatomy, read_calibration


@dataclass(frozen=True)
class Rectifiers:
    """What a run's ReLU or LeakyReLU calls did, over the validation images."""

    num_units: int
    dead_share: tuple[float, ...]
    """Of all units, by evaluation point."""
    positive_share: float
    """At the last evaluation point, mean over sites; likewise below."""
    mean: float
    worst_site: str
    """The one with the largest share of dead units."""
    worst_dead_share: float


@dataclass(frozen=True)
class RunSummary:
    """One finished run, its traces reduced to what the report needs."""

    record: RunRecord
    measurements: Measurements
    training_accuracy: float | None
    validation_accuracy: float | None
    """At the last evaluation point."""
    test_accuracy: float | None
    training_cross_entropy: float | None
    test_cross_entropy: float | None
    loss_variance: float | None
    confusion: NDArray[np.int64]
    """Test images, C x C: true class by predicted class."""
    test_ids: NDArray[np.str_]
    """Of N images, as the next three."""
    test_labels: NDArray[np.int64]
    test_predictions: NDArray[np.int64]
    test_confidence: NDArray[np.float64]
    """Largest softmax probability."""
    step_loss: NDArray[np.float64]
    elapsed_seconds: NDArray[np.float64]
    """Training seconds after each step, data wait included."""
    warm_step_seconds: NDArray[np.float64]
    """Steps after warm-up."""
    warm_total_seconds: NDArray[np.float64]
    """The same steps with their data wait."""
    evaluation_step: NDArray[np.float64]
    evaluation_seconds: NDArray[np.float64]
    evaluation_accuracy: NDArray[np.float64]
    """On validation, at each evaluation point."""
    reliability: Reliability | None
    """On the test images; `None` without any."""
    temperature: float | None
    """Fitted to the validation images; `None` where the record is older than their logits, as the next two."""
    scaled_reliability: Reliability | None
    """On the test images, with the logits divided by the temperature."""
    scaled_cross_entropy: float | None
    stability: Stability
    rectifiers: Rectifiers | None
    """`None` where the network has none, or the record is older than their arrays."""
    anatomy: Anatomy | None
    """`None` where the record is older than its arrays, as the next."""
    calibration: CalibrationTimes | None

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each of the N test images was recognised."""
        found: NDArray[np.bool_] = self.test_predictions == self.test_labels
        return found

    @property
    def single_accuracy(self) -> Estimate | None:
        """Test accuracy of this network as trained, with the interval over test images."""
        if self.test_accuracy is None:
            return None
        return Estimate(self.test_accuracy, *inference.wilson(int(self.correct.sum()), len(self.correct)), 1)

    @property
    def dead_share(self) -> float | None:
        """Share of the rectifiers' units that were never above 0 at the last evaluation point."""
        return self.rectifiers.dead_share[-1] if self.rectifiers else None

    @property
    def first_dead_share(self) -> float | None:
        """The same at the first."""
        return self.rectifiers.dead_share[0] if self.rectifiers else None

    @property
    def positive_share(self) -> float | None:
        """Share of the rectifiers' outputs above 0 at the last evaluation point."""
        return self.rectifiers.positive_share if self.rectifiers else None

    @property
    def mean_activation(self) -> float | None:
        """Mean output of the rectifiers there."""
        return self.rectifiers.mean if self.rectifiers else None

    @property
    def filters_without_gradient(self) -> float | None:
        """Share of convolution filters whose gradient is exactly 0 after training."""
        found = self.measurements.filter_gradients
        return found.num_without_gradient / found.num_filters if found else None

    @property
    def expected_calibration_error(self) -> float | None:
        """How far confidence is from accuracy on the test images; the next two are of `reliability` too."""
        return self.reliability.expected_calibration_error if self.reliability else None

    @property
    def adaptive_calibration_error(self) -> float | None:
        """The same with bins of equally many images."""
        return self.reliability.adaptive_error if self.reliability else None

    @property
    def brier_score(self) -> float | None:
        """Squared distance of the predicted probabilities from the truth."""
        return self.reliability.brier_score if self.reliability else None

    @property
    def scaled_calibration_error(self) -> float | None:
        """ECE after temperature scaling."""
        return self.scaled_reliability.expected_calibration_error if self.scaled_reliability else None

    @property
    def spike_score(self) -> float | None:
        """Share of training steps whose loss was a spike; the next are of `stability` too."""
        return self.stability.spike_score

    @property
    def accuracy_swing(self) -> float | None:
        """Mean absolute change of validation accuracy between evaluation points."""
        return self.stability.accuracy_swing

    @property
    def churn(self) -> float | None:
        """Share of validation images whose prediction changed between evaluation points."""
        return self.stability.churn.total if self.stability.churn else None

    @property
    def forgetting_events(self) -> float | None:
        """How often a validation image was right and then wrong at the next evaluation point."""
        return self.stability.forgetting_events

    @property
    def achieved_flops_per_second(self) -> float | None:
        """FLOPs of a training image x images a second, data wait included."""
        batch_size, flops = self.record.spec.conditions.recipe.batch_size, self.measurements.training_flops_per_image
        images = statistics.images_per_second(batch_size, self.warm_total_seconds)
        return None if images is None or flops is None else images * flops

    @property
    def peak_flops_per_second(self) -> float | None:
        """What a convolution or a matrix product reached in the same process."""
        work = self.measurements.calibration
        return self.calibration.peak_flops_per_second(work) if self.calibration and work else None

    @property
    def utilization(self) -> float | None:
        """Model FLOPs utilization (Chowdhery et al., 2022): achieved over peak, the peak measured."""
        achieved, peak = self.achieved_flops_per_second, self.peak_flops_per_second
        return None if achieved is None or peak is None else achieved / peak

    @property
    def first_step_seconds(self) -> float | None:
        """From the start of the process to the end of the first training step."""
        return self.measurements.first_step_seconds

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.record.spec.seed


def observe(run: StoredRun) -> RunSummary:
    """Read a finished run's traces and reduce them.

    Raises:
        UserError: the traces are damaged, or do not hold what docs/RECORDS.md promises.
    """
    traces = run.traces()
    try:
        return _reduce(run.record, traces)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        file = run.path / TRACES_FILE
        raise UserError(f"{file}: not the arrays of a finished run ({error}); run it again") from error


def _reduce(record: RunRecord, traces: Mapping[str, NDArray[np.generic]]) -> RunSummary:
    measurements = record.measurements
    assert measurements is not None
    num_classes = len(record.spec.data.class_names)
    warmup = measurements.num_warmup_steps
    step_seconds = _numbers(traces, "step_seconds")
    total_seconds = step_seconds + _numbers(traces, "data_wait_seconds")
    step_loss = _numbers(traces, "step_loss")
    train_labels, train_logits = _classified(traces, "train", num_classes)
    test_labels, test_logits = _classified(traces, "test", num_classes)
    test_predictions = statistics.predictions(test_logits)
    temperature = _temperature(traces, num_classes)
    scaled_logits = None if temperature is None else test_logits / temperature
    validation_labels = traces["validation_labels"].astype(np.int64)
    validation_predictions = np.atleast_2d(traces["validation_predictions"]).astype(np.int64)
    evaluated = validation_predictions == validation_labels
    evaluation_accuracy = evaluated.mean(axis=1) if evaluated.size else np.empty(0)
    return RunSummary(
        record=record,
        measurements=measurements,
        training_accuracy=statistics.accuracy(train_labels, statistics.predictions(train_logits)),
        validation_accuracy=float(evaluation_accuracy[-1]) if len(evaluation_accuracy) else None,
        test_accuracy=statistics.accuracy(test_labels, test_predictions),
        training_cross_entropy=statistics.cross_entropy(train_labels, train_logits),
        test_cross_entropy=statistics.cross_entropy(test_labels, test_logits),
        loss_variance=statistics.residual_variance(step_loss),
        confusion=statistics.confusion_matrix(test_labels, test_predictions, num_classes),
        test_ids=traces["test_ids"].astype(np.str_),
        test_labels=test_labels,
        test_predictions=test_predictions,
        test_confidence=reliability.confidence(test_logits),
        step_loss=step_loss,
        elapsed_seconds=np.cumsum(total_seconds),
        warm_step_seconds=step_seconds[warmup:],
        warm_total_seconds=total_seconds[warmup:],
        evaluation_step=_numbers(traces, "evaluation_step")[: len(evaluation_accuracy)],
        evaluation_seconds=_numbers(traces, "evaluation_seconds")[: len(evaluation_accuracy)],
        evaluation_accuracy=evaluation_accuracy,
        reliability=reliability.reliability(test_labels, test_logits),
        temperature=temperature,
        scaled_reliability=None if scaled_logits is None else reliability.reliability(test_labels, scaled_logits),
        scaled_cross_entropy=None if scaled_logits is None else statistics.cross_entropy(test_labels, scaled_logits),
        stability=stability.stability(step_loss, validation_labels, validation_predictions),
        rectifiers=_rectifiers(traces),
        anatomy=read_anatomy(traces),
        calibration=read_calibration(traces),
    )


def _temperature(traces: Mapping[str, NDArray[np.generic]], num_classes: int) -> float | None:
    if "validation_logits" not in traces:
        return None
    return reliability.fitted_temperature(*_classified(traces, "validation", num_classes))


def _rectifiers(traces: Mapping[str, NDArray[np.generic]]) -> Rectifiers | None:
    if "activation_sites" not in traces:
        return None
    units, dead = _numbers(traces, "activation_units"), _numbers(traces, "activation_dead_share")
    worst = int(dead[-1].argmax())
    return Rectifiers(
        num_units=int(units.sum()),
        dead_share=tuple((dead @ units / units.sum()).tolist()),
        positive_share=float(_numbers(traces, "activation_positive_share")[-1].mean()),
        mean=float(_numbers(traces, "activation_mean")[-1].mean()),
        worst_site=str(traces["activation_sites"][worst]),
        worst_dead_share=float(dead[-1, worst]),
    )


def _numbers(traces: Mapping[str, NDArray[np.generic]], name: str) -> NDArray[np.float64]:
    return traces[name].astype(np.float64)


def _classified(
    traces: Mapping[str, NDArray[np.generic]], split: str, num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels (N) and logits (N x C) of a split, checked against each other."""
    labels = traces[f"{split}_labels"].astype(np.int64)
    logits = _numbers(traces, f"{split}_logits")
    if logits.shape != (len(labels), num_classes):
        raise ValueError(f"{split}_logits has shape {logits.shape} for {len(labels)} labels of {num_classes} classes")
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"{split}_labels holds a class outside 0 to {num_classes - 1}")
    return labels, logits
