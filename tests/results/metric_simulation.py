"""How often two equal networks differ by metrics other than test accuracy: simulated logits, and curves of accuracy.

`python -m tests.results.metric_simulation` prints the table of docs/statistics.md.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from intelbench.results.images import ImageValues
from intelbench.results.reaching import points_decide, steps_to_accuracy
from intelbench.statistics import calibration, inference
from intelbench.statistics.estimates import SIGNIFICANCE, Softmax

NUM_STUDIES = 4000
NUM_SEEDS = (3, 5, 10)
NUM_CLASSES = 6
Tables = dict[str, NDArray[np.float64]]


def logits(random: np.random.Generator, num_seeds: int, num_images: int, seed: float) -> NDArray[np.float64]:
    """Logits of two equal, too confident networks whose images differ in difficulty: 2 x n x N x C, true class first.

    `seed` is the standard deviation of a network's skill between seeds.
    """
    shape = 2, num_seeds, num_images, NUM_CLASSES
    skill = 2.2 + 1.2 * random.standard_normal((1, 1, num_images)) + 0.6 * random.standard_normal((2, 1, num_images))
    skill = skill + seed * random.standard_normal((2, num_seeds, 1))
    values = random.standard_normal((2, 1, num_images, NUM_CLASSES)) + 0.7 * random.standard_normal(shape)
    values[..., 0] += skill
    return 2.0 * values


def by_image(values: NDArray[np.float64]) -> Tables:
    """Values of each image of each metric: 2 x n x N."""
    tables: dict[str, list[NDArray[np.float64]]] = {}
    for of_run in values.reshape(-1, *values.shape[2:]):
        labels, softmax = np.zeros(len(of_run), dtype=np.int64), Softmax.of(of_run)
        right = softmax.shifted.argmax(axis=0) == labels
        of_metrics = {
            "Accuracy": right,
            "NLL": softmax.losses(labels),
            "Brier score": calibration.squared_distances(labels, softmax.probabilities),
            "ECE": calibration.gaps(softmax.confidence, right),
            "Adaptive ECE": calibration.adaptive_gaps(softmax.confidence, right),
        }
        for name, of_images in of_metrics.items():
            tables.setdefault(name, []).append(of_images)
    return {name: np.array(runs, dtype=np.float64).reshape(values.shape[:3]) for name, runs in tables.items()}


def trained(random: np.random.Generator, num_seeds: int, num_images: int, seed: float, num_points: int = 4) -> Tables:
    """Values of each validation image of two equal networks that learn: 2 x n x V."""
    progress = np.linspace(0.0, 0.2, num_points)[:, None]
    difficulty = random.standard_normal((1, 1, 1, num_images)) + 0.5 * random.standard_normal((2, 1, 1, num_images))
    of_seed = seed * random.standard_normal((2, num_seeds, num_points, 1))
    chance = random.standard_normal((2, num_seeds, num_points, num_images))
    right = progress + of_seed + 0.7 * chance - difficulty > 0
    tables: dict[str, list[NDArray[np.float32]]] = {}
    for of_run in right.reshape(-1, num_points, num_images):
        values = evaluated(of_run)
        names = ("swing", "setback", "churn", "unnecessary_churn", "forgetting_events")
        for name in names:
            of_images = getattr(values, name)
            assert of_images is not None
            tables.setdefault(name.replace("_", " ").capitalize(), []).append(of_images)
    return {name: np.array(runs, dtype=np.float64).reshape(2, num_seeds, -1) for name, runs in tables.items()}


def evaluated(right: NDArray[np.bool_], changed: NDArray[np.bool_] | None = None) -> ImageValues:
    """Values of a run that recognised these of V validation images at E evaluation points (E x V)."""
    changed = right[1:] != right[:-1] if changed is None else changed
    ids, none = np.arange(right.shape[1]).astype(np.str_), np.zeros(0)
    return ImageValues(
        training_ids=ids[:0], training_right=none > 0, training_losses=None, validation_ids=ids,
        validation_right=np.packbits(right, axis=1), validation_changed=np.packbits(changed, axis=1),
        confidence=none.astype(np.float32), test_losses=None, squared_distances=None, scaled_losses=None,
        scaled_gaps=None,
    )  # fmt: skip


def false_positives(
    num_seeds: int, seed: float, num_studies: int = NUM_STUDIES, num_images: int = 900
) -> dict[str, tuple[float, float]]:
    """Share of studies in which two equal networks differ by each metric: over seeds and images, over seeds alone."""
    random = np.random.default_rng([num_seeds, int(1000 * seed)])
    wrong: dict[str, NDArray[np.int64]] = {}
    for _ in range(num_studies):
        tables = by_image(logits(random, num_seeds, num_images, seed)) | trained(random, num_seeds, 240, seed / 4)
        tests = {name: (inference.infer(a - b), a.mean(axis=1), b.mean(axis=1)) for name, (a, b) in tables.items()}
        a, b = tables["Accuracy"]
        tests["Ratio of accuracies"] = inference.infer_ratio_of_means(a, b), *np.log([a.mean(axis=1), b.mean(axis=1)])
        for name, (both, first, second) in tests.items():
            found = [_differs(both), _differs(inference.infer_from_seeds(first - second))]
            wrong[name] = wrong.get(name, np.zeros(2, dtype=np.int64)) + found
    return {
        name: (float(both), float(seeds)) for name, (both, seeds) in ((n, w / num_studies) for n, w in wrong.items())
    }


def faster_network_differs(
    num_seeds: int = 5, num_points: int = 3, num_studies: int = NUM_STUDIES, pace: float = 1.1
) -> tuple[float, float]:
    """Share of studies in which two networks that are equal by step differ in their steps to an accuracy.

    One is `pace` times as fast and evaluated at shares of the same seconds. The second share is that of the rule which
    counts the first evaluation point that has the accuracy.
    """
    random = np.random.default_rng([num_seeds, num_points])
    wrong = np.zeros(2)
    for _ in range(num_studies):
        first, second = (list(_curves(random, num_seeds, num_points, steps)) for steps in (100.0 * pace, 100.0))
        for target in (0.5,):
            steps = np.array([[steps_to_accuracy(run, target) for run in runs] for runs in (first, second)])
            at_points = np.array([[_first_point(run, target) for run in runs] for runs in (first, second)])
            decided = not points_decide(first, second, target)
            wrong += [decided and _steps_differ(steps), _steps_differ(at_points)]
    return float(wrong[0] / num_studies), float(wrong[1] / num_studies)


def _curves(random: np.random.Generator, num_seeds: int, num_points: int, steps: float) -> Iterator[SimpleNamespace]:
    points = np.round(steps * np.arange(1, num_points + 1) / num_points)
    for _ in range(num_seeds):
        rate = 55 * np.exp(0.1 * random.standard_normal())
        truth = 0.17 + 0.6 * (1 - np.exp(-points / rate))
        yield SimpleNamespace(evaluation_step=points, evaluation_accuracy=random.binomial(240, truth) / 240)


def _first_point(run: SimpleNamespace, target: float) -> float:
    reached = run.evaluation_step[run.evaluation_accuracy >= target]
    return float(reached[0]) if len(reached) else np.inf


def _steps_differ(steps: NDArray[np.float64]) -> bool:
    """Whether two rows of steps differ: by a t test of the logarithms, or a sign test where one is not known."""
    first, second = steps
    if not np.isfinite(steps).all():
        return bool(inference.sign_p_values((first > second).sum(), (first < second).sum()) <= SIGNIFICANCE)
    return not np.array_equal(first, second) and _differs(inference.infer_ratio(first, second))


def _differs(inferred: inference.Inferred | None) -> bool:
    return inferred is not None and inferred.p_value is not None and inferred.p_value <= SIGNIFICANCE


def main(write: Callable[[str], object] = print) -> None:
    """Print the table: over seeds and images, and in brackets over seeds alone."""
    found = {(n, seed): false_positives(n, seed, 2000) for seed in (0.05, 0.3) for n in NUM_SEEDS}
    names = next(iter(found.values()))
    write(f"| Metric | {' | '.join(f'{n} seeds' for n, _ in found)} |")
    write(f"|:--|{'--:|' * len(found)}")
    for name in names:
        cells = [f"{100 * each[name][0]:.1f} % ({100 * each[name][1]:.1f} %)" for each in found.values()]
        write(f"| {name} | {' | '.join(cells)} |")
    write("")
    for num_seeds in NUM_SEEDS:
        for num_points in (3, 5, 10):
            ours, first_point = faster_network_differs(num_seeds, num_points, 2000)
            write(f"{num_seeds} seeds, {num_points} points: {100 * ours:.1f} %, first point {100 * first_point:.1f} %")


if __name__ == "__main__":
    main()
