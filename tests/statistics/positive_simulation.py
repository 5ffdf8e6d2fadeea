"""How often the interval of a positive mean holds the true mean, for log-normal seeds.

`python -m tests.statistics.positive_simulation` prints the table that docs/statistics.md sums up.
"""

from collections.abc import Callable

import numpy as np

from intelbench.statistics.estimates import Estimate, mean_interval, positive_mean_interval


def coverage(deviation: float, num_seeds: int, num_studies: int) -> tuple[float, float]:
    """Return the share of intervals that hold the true mean: of `positive_mean_interval`, and of Student's cut to 0.

    Args:
        deviation: Standard deviation of the logarithm.
        num_seeds: Seeds of a study.
        num_studies: Simulated studies.
    """
    random = np.random.default_rng([num_seeds, int(1000 * deviation)])
    studies = np.exp(deviation * random.standard_normal((num_studies, num_seeds)))
    truth = float(np.exp(deviation**2 / 2))

    def held(estimate: Estimate | None) -> bool:
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        return estimate.low <= truth <= estimate.high

    positive = np.mean([held(positive_mean_interval(values)) for values in studies])
    student = np.mean([held(mean_interval(values, 0)) for values in studies])
    return float(positive), float(student)


def main(write: Callable[[str], object] = print) -> None:
    """Print the table."""
    write("| Seeds differ by | Seeds | Interval of a positive mean | Student's, cut to 0 |")
    write("|--:|--:|--:|--:|")
    for deviation in (0.05, 0.2, 0.5, 1.0):
        for num_seeds in (2, 3, 5, 10):
            cells = " | ".join(f"{100 * share:.1f} %" for share in coverage(deviation, num_seeds, 20_000))
            write(f"| {100 * deviation:.0f} % | {num_seeds} | {cells} |")


if __name__ == "__main__":
    main()
