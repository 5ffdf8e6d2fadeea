"""A plug-in with a meter of the processor time that the process of a run uses."""

import time

import numpy as np
import torch

from intelbench import meter


@meter("processor")
class Processor:
    """Reads the processor time before training and at every evaluation point."""

    def __init__(self, device):
        self._steps, self._seconds = [], []

    def start(self):
        """Read it before training."""
        self.step(0, at_evaluation=True)

    def step(self, number, *, at_evaluation):
        """Read it at an evaluation point, and draw a random number, which the run is not to notice."""
        torch.rand(1)
        if at_evaluation:
            self._steps.append(number)
            self._seconds.append(time.process_time())

    def read(self):
        """Return the readings."""
        return {"step": np.array(self._steps), "busy_seconds": np.array(self._seconds)}

    def resume_at(self, step):
        """Date the readings so far."""
        self._steps = [step] * len(self._steps)
