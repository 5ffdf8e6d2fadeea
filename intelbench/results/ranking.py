"""By what the architectures of a cohort are ranked: a metric with a value of each test image."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from intelbench.results.runs import RunSummary

PerImage = Callable[[RunSummary], "NDArray[np.generic] | None"]
"""Values of the test images of a run, whose mean is its value; `None` where the run does not have the metric."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The metric by which architectures are ranked, compared and recommended: test accuracy, if no other is named."""

    metric: str = "test_accuracy"
    """Name in the list of metrics."""
    per_image: PerImage = attrgetter("correct")
    higher_is_better: bool = True
    limit: float = 1.0
    """Largest possible difference of two values."""
    unknown: str = ""
    """The metric of the suite, if it is not known here, so that accuracy ranks instead."""
    replaced: str = ""
    """The metric that was asked for, if seeds were added in planned looks at accuracy, which ranks instead."""

    @property
    def is_accuracy(self) -> bool:
        """Return whether it is test accuracy."""
        return self.metric == "test_accuracy"

    @property
    def sign(self) -> int:
        """Return 1 where higher is better, and -1 where lower is."""
        return 1 if self.higher_is_better else -1


BY_ACCURACY = Ranking()
