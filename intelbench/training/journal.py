"""The losses, predictions and times of a run, copied from the device without making it wait."""

import math
from collections import deque
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intelbench.data.dataset import Split
from intelbench.profiling.activations import Activations
from intelbench.profiling.device import Event, device_of
from intelbench.profiling.steps import DATA_WAIT, PARTS, STEP, LapClock
from intelbench.records.store import Traces
from intelbench.training.evaluate import mean_cross_entropy

MAX_BREAKDOWN_STEPS = 30
"""Last steps of a run whose parts are kept; the report combines the steps of all seeds."""


class Journal:
    """Records the loss, gradient norm and learning rate of each step, and the predictions of each evaluation point.

    The first loss that is not finite, or the first such logits, set `divergence`, which describes them. No later loss
    is recorded.
    """

    def __init__(self, device: torch.device, validation: Split | None, keep: Literal["last", "best"] = "last") -> None:
        self._device = device_of(device)
        self._ids = np.array(validation.ids if validation else ())
        self._labels = np.array(validation.labels if validation else (), dtype=np.int16)
        self._pending: deque[tuple[Tensor, Event]] = deque()
        """Numbers that are being copied from the device."""
        self._loss: list[float] = []
        self._norm: list[float] = []
        self._rate: list[float] = []
        self._frozen: list[bool] = []
        self._points: list[tuple[int, float, float]] = []
        self._predictions: list[NDArray[np.int16]] = []
        self._keep = keep
        self._kept = -1
        """Position of the evaluation point whose weights are evaluated on other images too, if it is not the last."""
        self._logits: NDArray[np.float32] | None = None
        """Logits of that evaluation point."""
        self._activations: list[Activations] = []
        self.divergence: str | None = None
        self.resumed_after: tuple[int, ...] = ()
        """Steps after which another process resumed the run from a checkpoint."""

    def add_step(self, loss: Tensor, norm: Tensor, rate: float, *, is_frozen: bool = False) -> None:
        """Record a step, and whether the backbone was frozen.

        The numbers of a GPU are copied in the background, and recorded when they have arrived.
        """
        self._rate.append(rate)
        self._frozen.append(is_frozen)
        pair = torch.stack((loss.detach().float(), norm.detach().float()))
        event = self._device.event()
        if event is None:
            self._append(pair)
            return
        pins = self._device.pins_memory
        arrived = torch.empty(2, pin_memory=pins)
        arrived.copy_(pair, non_blocking=pins)
        event.record()
        self._pending.append((arrived, event))
        while self._pending and self._pending[0][1].query():
            self._append(self._pending.popleft()[0])

    def settle(self) -> None:
        """Wait for all pending numbers, and record them."""
        while self._pending:
            arrived, event = self._pending.popleft()
            event.synchronize()
            self._append(arrived)

    def add_evaluation(self, step: int, seconds: float, logits: NDArray[np.float32], activations: Activations) -> bool:
        """Record an evaluation point; logits that are not finite are a divergence instead.

        Returns:
            Whether the weights of this point are the ones to evaluate, unless those of a later point are.
        """
        if not np.isfinite(logits).all():
            self.divergence = self.divergence or f"the validation logits after step {step}"
            return False
        self._points.append((step, seconds, mean_cross_entropy(logits, self._labels)))
        self._predictions.append(logits.argmax(axis=1).astype(np.int16))
        self._activations.append(activations)
        last = len(self._points) - 1
        if self._keep == "best" and max(range(last + 1), key=self._rank) != last:
            return False
        self._kept = last
        self._logits = logits
        return True

    @property
    def num_steps(self) -> int:
        """Return the number of recorded steps, all with a finite loss."""
        return len(self._loss)

    @property
    def frozen_share(self) -> float:
        """Return the share of the steps in which the backbone was frozen."""
        return sum(self._frozen) / len(self._frozen)

    @property
    def num_evaluations(self) -> int:
        """Return the number of recorded evaluation points."""
        return len(self._points)

    @property
    def kept_step(self) -> int | None:
        """Return the step of the evaluation point with the best weights; `None` unless the best ones are evaluated."""
        return self._points[self._kept][0] if self._keep == "best" and self._points else None

    @property
    def latest(self) -> tuple[float | None, float | None]:
        """Return the last recorded training loss, and the validation accuracy at the last evaluation point."""
        return self._loss[-1] if self._loss else None, self._rank(-1)[0] if self._points else None

    def traces(self, clock: LapClock) -> Traces:
        """Return the arrays of `traces.npz` that training makes; settle `clock` first."""
        num = self.num_steps
        steps, seconds, losses = zip(*self._points, strict=True) if self._points else ((), (), ())
        shape = len(self._predictions), len(self._labels)
        return {
            "step_loss": np.array(self._loss),
            "step_seconds": clock.seconds(*STEP)[:num],
            "data_wait_seconds": clock.seconds(*DATA_WAIT)[:num],
            "gradient_norm": np.array(self._norm),
            "learning_rate": np.array(self._rate[:num]),
            **({"backbone_frozen": np.array(self._frozen[:num])} if len(set(self._frozen)) > 1 else {}),
            "evaluation_step": np.array(steps, dtype=np.int64),
            "evaluation_seconds": np.array(seconds, dtype=np.float64),
            "validation_loss": np.array(losses, dtype=np.float64),
            "validation_ids": self._ids,
            "validation_labels": self._labels,
            "validation_predictions": np.array(self._predictions, dtype=np.int16).reshape(shape),
            **({} if self._logits is None else {"validation_logits": self._logits}),
            **_by_site(self._activations),
            **(_breakdown(clock, num) if clock.has_every_part else {}),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the journal for a checkpoint; settle it first, and save none after a divergence."""
        return {
            "loss": torch.tensor(self._loss, dtype=torch.float64),
            "norm": torch.tensor(self._norm, dtype=torch.float64),
            "rate": torch.tensor(self._rate, dtype=torch.float64),
            "frozen": torch.tensor(self._frozen),
            "points": self._points,
            "predictions": list(map(torch.from_numpy, self._predictions)),
            "logits": None if self._logits is None else torch.from_numpy(self._logits),
            "kept": self._kept,
            "activations": [[each.sites, *map(torch.from_numpy, each[1:])] for each in self._activations],
            "resumed_after": self.resumed_after,
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Restore the journal from a checkpoint, and record after which step the run was resumed."""
        columns = (state_dict[name].tolist() for name in ("loss", "norm", "rate", "frozen"))
        self._loss, self._norm, self._rate, self._frozen = columns
        self._points = state_dict["points"]
        self._predictions = [predictions.numpy() for predictions in state_dict["predictions"]]
        self._kept = state_dict["kept"]
        self._logits = None if state_dict["logits"] is None else state_dict["logits"].numpy()
        self._activations = [
            Activations(sites, *(array.numpy() for array in arrays)) for sites, *arrays in state_dict["activations"]
        ]
        self.resumed_after = (*state_dict["resumed_after"], self.num_steps)

    def _rank(self, point: int) -> tuple[float, float]:
        """Return the validation accuracy and the negative loss of an evaluation point: the higher, the better."""
        return float((self._predictions[point] == self._labels).mean()), -self._points[point][2]

    def _append(self, pair: Tensor) -> None:
        loss, norm = pair.tolist()
        if self.divergence is None and not math.isfinite(loss):
            self.divergence = f"the training loss of step {self.num_steps + 1}"
        if self.divergence is None:
            self._loss.append(loss)
            self._norm.append(norm)


def _breakdown(clock: LapClock, num_steps: int) -> Traces:
    """Return the arrays `step_breakdown_*`: times of the parts of the last steps, without the first step of the run."""
    steps = slice(max(1, num_steps - MAX_BREAKDOWN_STEPS), num_steps)
    traces: Traces = {
        "step_breakdown_step": np.arange(1, num_steps + 1)[steps],
        "step_breakdown_parts": np.array(PARTS),
        "step_breakdown_seconds": clock.table()[steps],
    }
    return {**traces, "step_breakdown_host_seconds": clock.table(by_host=True)[steps]} if clock.has_events else traces


def _by_site(points: list[Activations]) -> Traces:
    """Return the arrays `activation_*`, evaluation points x sites; none without an evaluation or a rectifier."""
    if not points or not points[0].sites:
        return {}
    return {
        "activation_sites": np.array(points[0].sites),
        "activation_units": points[0].num_units,
        "activation_dead_share": np.array([point.dead_share for point in points]),
        "activation_positive_share": np.array([point.positive_share for point in points]),
        "activation_mean": np.array([point.mean for point in points]),
    }
