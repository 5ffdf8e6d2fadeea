"""The arrays of made-up records."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from intelbench.records.store import Traces
from intelbench.records.types import RunSpec

if TYPE_CHECKING:
    from tests.synthetic import Study

OTHERS_RATE = 0.15
"""Processor seconds that another process took per second, where there was one; a step lost 0.9 s for each of them."""
CONFUSED = 0.4
"""Share of the errors that fall on the class before or after the true one."""


def traces_of(num_steps: int, spec: RunSpec, place: int, study: Study) -> Traces:
    """The arrays of a run of a study; `place` is that of its architecture."""
    noise = _Noise(f"{spec.architecture} {spec.seed}")
    expected = study.accuracies.get(spec.architecture, 0.5 + 0.3 * ((place * 2) % 5) / 4)
    if study.spread:
        drawn = _Noise(f"{spec.architecture} {spec.vary} {spec.seed}")(1).item()
        expected += study.spread * 12**0.5 * (drawn - 0.5)
    step = np.arange(num_steps)
    step_seconds = 0.2 + 0.06 * place + 0.02 * noise(num_steps)
    step_seconds *= 1.5 if (spec.architecture, spec.seed) in study.slowed else 1.0
    step_seconds /= 1 - 0.9 * OTHERS_RATE if (spec.architecture, spec.seed) in study.disturbed else 1.0
    waits = 0.002 + 0.002 * noise(num_steps)
    evaluation_step = np.array(evaluation_steps(num_steps, study))
    elapsed = np.cumsum(step_seconds + waits)
    labels = {
        split: np.arange(size) % len(study.class_names)
        for split, size in (
            ("train", study.num_train), ("validation", study.num_validation), ("test", study.num_test)
        )
    }  # fmt: skip
    growth = [0.3 + 0.7 * (index + 1) / len(evaluation_step) for index in range(len(evaluation_step))]
    predicted = [_predictions(labels["validation"], expected * share, noise, study) for share in growth[:-1]]
    validation_logits = _logits(labels["validation"], expected, noise, study)
    predicted.append(validation_logits.argmax(axis=1))
    return {
        "step_loss": 1.8 * np.exp(-step / 40) + 0.2 + (0.1 + 0.05 * place) * (noise(num_steps) - 0.5),
        "step_seconds": step_seconds,
        "data_wait_seconds": waits,
        "gradient_norm": 1 + noise(num_steps),
        "learning_rate": np.full(num_steps, spec.conditions.recipe.learning_rate),
        "evaluation_step": evaluation_step,
        "evaluation_seconds": elapsed[evaluation_step - 1],
        "validation_loss": 1.8 - np.array(growth),
        "validation_ids": _ids("validation", study.num_validation),
        "validation_labels": labels["validation"],
        "validation_predictions": np.array(predicted),
        "validation_logits": validation_logits,
        "train_ids": _ids("train", study.num_train),
        "train_labels": labels["train"],
        "train_logits": _logits(labels["train"], min(1.0, expected + 0.1), noise, study),
        "test_ids": _ids("test", study.num_test),
        "test_labels": labels["test"],
        "test_logits": _logits(labels["test"], expected, noise, study),
        **_activations(len(evaluation_step), noise),
        **_reference_kernels(evaluation_step, (spec.architecture, spec.seed) in study.far_apart, noise),
        **_contention(evaluation_step, elapsed, (spec.architecture, spec.seed) in study.disturbed),
        **_step_breakdown(place, study.execution.device == "cuda", noise),
    }


def evaluation_steps(num_steps: int, study: Study) -> list[int]:
    """The steps after which a run of a study is evaluated."""
    points = study.conditions.evaluation_points
    return sorted({num_steps * point // points for point in range(1, points + 1)} - {0})


def _reference_kernels(steps: NDArray[np.int64], far_apart: bool, noise: _Noise) -> Traces:
    """Before training and at each evaluation point, five times each."""
    moments = len(steps) + 1
    exchange = 0.0005 * (1 + 0.1 * noise(5 * moments).reshape(moments, 5))
    exchange[-1] *= 3.5 if far_apart else 1
    return {
        "reference_kernel_step": np.array([0, *steps]),
        "reference_kernel_convolution_seconds": 0.0080 * (1 + 0.05 * noise(5 * moments).reshape(moments, 5)),
        "reference_kernel_matmul_seconds": 0.0050 * (1 + 0.05 * noise(5 * moments).reshape(moments, 5)),
        "reference_kernel_exchange_seconds": exchange,
    }


def _contention(steps: NDArray[np.int64], elapsed: NDArray[np.float64], disturbed: bool) -> Traces:
    """The accounts at each evaluation point: others took `OTHERS_RATE`, or next to nothing."""
    seconds = np.diff(elapsed[steps - 1], prepend=0.0)
    return {
        "contention_step": steps,
        "contention_seconds": seconds,
        "contention_others_cpu_seconds": seconds * (OTHERS_RATE if disturbed else 0.001),
        "contention_stolen_cpu_seconds": np.zeros(len(steps)),
    }


def _step_breakdown(place: int, on_gpu: bool, noise: _Noise) -> Traces:
    """Of eight steps: of the run, or on a GPU of others, whose work the host asks for in half its time."""
    parts = np.array([0.002, 0.0005, 0.06 + 0.02 * place, 0.12 + 0.04 * place, 0.004, 0.02, 0.0001])
    seconds = parts * (1 + 0.05 * noise(8 * len(parts)).reshape(8, -1))
    names = np.array(["data_wait", "transfer", "forward", "backward", "norm", "optimizer", "other"])
    further = {"step_breakdown_host_seconds": seconds / 2} if on_gpu else {"step_breakdown_step": np.arange(8)}
    return {"step_breakdown_parts": names, "step_breakdown_seconds": seconds, **further}


def _activations(num_evaluations: int, noise: _Noise) -> Traces:
    """Of three sites."""
    return {
        "activation_sites": np.array(["stem.relu 1", "block.relu 1", "block.relu 2"]),
        "activation_units": np.array([64, 256, 1024]),
        "activation_dead_share": 0.2 * noise(3 * num_evaluations).reshape(-1, 3),
        "activation_positive_share": 0.4 + 0.1 * noise(3 * num_evaluations).reshape(-1, 3),
        "activation_mean": 0.1 + 0.1 * noise(3 * num_evaluations).reshape(-1, 3),
    }


def _ids(split: str, size: int) -> NDArray[np.str_]:
    return np.array([f"{split}/{number:05d}.jpg" for number in range(size)], dtype=np.str_)


def _predictions(labels: NDArray[np.int64], expected: float, noise: _Noise, study: Study) -> NDArray[np.int64]:
    """Right with the expected probability, else often a neighbour and sometimes anything."""
    size, num_classes = len(labels), len(study.class_names)
    neighbour = (labels + 1 - 2 * (labels % 2)) % num_classes
    anything = (noise(size) * num_classes).astype(np.int64)
    wrong = np.where(noise(size) < CONFUSED, neighbour, anything)
    return np.where(noise(size) < expected, labels, wrong)


def _logits(labels: NDArray[np.int64], expected: float, noise: _Noise, study: Study) -> NDArray[np.float32]:
    logits = noise(len(labels) * len(study.class_names)).reshape(len(labels), len(study.class_names))
    logits[np.arange(len(labels)), _predictions(labels, expected, noise, study)] += 2
    return logits.astype(np.float32)


class _Noise:
    """Uniform numbers in [0, 1) from SplitMix64: integers alone, so the same on every platform and NumPy."""

    def __init__(self, name: str) -> None:
        self._state = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")

    def __call__(self, size: int) -> NDArray[np.float64]:
        counter = np.uint64(self._state) + np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        self._state = (self._state + (size + 1) * 0x9E3779B97F4A7C15) % 2**64
        mixed = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53
