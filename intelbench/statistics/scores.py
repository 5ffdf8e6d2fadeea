"""Scores of classifications beyond accuracy, as values of images: pure functions on arrays.

Shapes: N images, C classes. A score such as macro F1 is no mean over images, but a smooth function of how many images
of each class were predicted as which class. For the choice of images it varies, to first order, as the mean of its
influence values does (the infinitesimal jackknife; Jaeckel, 1972; Efron, 1982, chapter 6): the derivatives of the score
by the weight of each image, whose mean is 0. Every function here returns the score plus the influence of each image:
values whose mean is the score, and to which everything applies that holds for means over seeds and images
(`inference`). For balanced accuracy the variance is that of a mean over strata, for AUROC that of DeLong, DeLong and
Clarke-Pearson (1988). `docs/statistics.md` shows by simulation that tests with these values hold their level.

Averages over classes are over those with images. A class that is never predicted has a precision and an F1 of 0, as in
scikit-learn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intelbench.statistics.calibration import squared_distances
from intelbench.statistics.estimates import Softmax

Labels = NDArray[np.integer]
Floats = NDArray[np.float64]
OfPredictions = Callable[[Labels, Labels], "Floats | None"]
"""Function of labels and predicted classes (N each) that returns values of the images (N), whose mean is the score.

`None` without images, and where the score is not defined."""

TOP_K = 5
MIN_TOP_K_CLASSES = 20
"""Classes from which on top-5 accuracy is computed; of fewer classes, five are a large part of all."""


def quadratic_kappa(labels: Labels, predictions: Labels) -> Floats | None:
    """Return values of images whose mean is Cohen's kappa with quadratic weights (Cohen, 1968).

    It is for classes with an order, which is that of their indices: 1 - mean (label - prediction)^2 over the same of
    labels and predictions that are independent. `None` where all images have one class and were predicted as that one.
    """
    if not len(labels):
        return None
    true, predicted = labels.astype(np.float64), predictions.astype(np.float64)
    mean_true, mean_predicted = true.mean(), predicted.mean()
    squares = true**2 + predicted**2
    by_chance = squares.mean() - 2 * mean_true * mean_predicted
    if not by_chance > 0:
        return None
    distances = (true - predicted) ** 2
    observed = distances.mean()
    products = (true - mean_true) * mean_predicted + (predicted - mean_predicted) * mean_true
    of_chance = squares - squares.mean() - 2 * products
    values: Floats = 1 - distances / by_chance + observed * of_chance / by_chance**2
    return values


def auroc(labels: Labels, logits: NDArray[np.floating]) -> Floats | None:
    """Return values of images whose mean is the area under the ROC curve of one class against the rest, over classes.

    The area of a class is the share of its images whose softmax probability of the class is above that of an image of
    another class, over all pairs; ties count half (Hanley and McNeil, 1982). The values are the placements of DeLong et
    al. (1988). The mean is over the classes that have images and do not have all of them; `None` without any, or with
    logits that are not finite (labels: N; logits: N x C).
    """
    num_images, sizes = len(labels), np.bincount(labels, minlength=logits.shape[1])
    classes = np.flatnonzero((sizes > 0) & (sizes < num_images))
    if not len(classes) or not np.isfinite(logits).all():
        return None
    log_odds = _LogOdds.of(logits)
    values, total = np.zeros(num_images), 0.0
    for index in classes.tolist():
        own, odds = labels == index, log_odds.of_class(index)
        of_class, of_others = _placements(odds[own], odds[~own])
        area = float(of_class.mean())
        values[own] += (of_class - area) * (num_images / len(of_class))
        values[~own] += (of_others - area) * (num_images / len(of_others))
        total += area
    return (values + total) / len(classes)


def top_k_right(labels: Labels, logits: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return whether the class of each image is among the `TOP_K` with the largest logits (labels: N; logits: N x C).

    Of equal logits the first counts as the largest. An image with logits that are not finite is right if its
    prediction is.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1]) < labels[:, None]
    places = np.count_nonzero((logits > own) | ((logits == own) & before), axis=1)
    finite = np.isfinite(logits).all(axis=1)
    right: NDArray[np.bool_] = np.where(finite, places < TOP_K, logits.argmax(axis=1) == labels)
    return right


def log_losses(labels: Labels, logits: NDArray[np.floating]) -> Floats | None:
    """Return -log softmax(logits)[label] of each image, in nats; `None` with logits that are not finite."""
    softmax = Softmax.of(logits)
    return softmax.losses(labels) if len(labels) and softmax.finite else None


class ValidationScore(NamedTuple):
    """How good a network is on the validation images."""

    metric: str
    """Name of the metric of a suite."""
    value: float
    """Value of the metric, negated for a loss, so that higher is better."""


def validation_score(metric: str, labels: Labels, logits: NDArray[np.floating]) -> ValidationScore:
    """Return how good a network is on the validation images by a metric, to choose between seeds.

    It is the accuracy where the metric is one of a plug-in, or is not defined for these images (labels: N; logits:
    N x C).

    Raises:
        ValueError: there are no images.
    """
    if not len(labels):
        raise ValueError("there are no validation images, so nothing can be chosen by them")
    predictions = logits.argmax(axis=1)
    if metric in OF_PREDICTIONS:
        values = OF_PREDICTIONS[metric](labels, predictions)
    else:
        values = _OF_LOGITS[metric](labels, logits) if metric in _OF_LOGITS else None
    if values is None:
        return ValidationScore("accuracy", float((predictions == labels).mean()))
    return ValidationScore(metric, float(values.mean()) * (-1 if metric in _LOSSES else 1))


def _top5_values(labels: Labels, logits: NDArray[np.floating]) -> Floats | None:
    return top_k_right(labels, logits).astype(np.float64) if logits.shape[1] >= MIN_TOP_K_CLASSES else None


def _brier_scores(labels: Labels, logits: NDArray[np.floating]) -> Floats | None:
    softmax = Softmax.of(logits)
    return squared_distances(labels, softmax.probabilities) if softmax.finite else None


_LOSSES = frozenset({"log_loss", "brier_score"})
_OF_LOGITS: Mapping[str, Callable[[Labels, NDArray[np.floating]], Floats | None]] = {
    "auroc": auroc,
    "top5": _top5_values,
    "log_loss": log_losses,
    "brier_score": _brier_scores,
}


@dataclass(frozen=True)
class _Rates:
    """A rate of each class (C), and its derivatives by the number of images of a kind (C each)."""

    value: Floats
    by_right: Floats
    """By images of the class that were recognised, in addition to both of the others."""
    by_true: Floats | None = None
    """By images of the class."""
    by_predicted: Floats | None = None
    """By images that were predicted as the class."""


@dataclass(frozen=True)
class _Counts:
    """How many images each class has (C)."""

    true: Floats
    predicted: Floats
    right: Floats

    @classmethod
    def of(cls, labels: Labels, predictions: Labels) -> "_Counts":
        size = 1 + int(max(labels.max(), predictions.max()))
        groups = labels, predictions, labels[labels == predictions]
        return cls(*(np.bincount(group, minlength=size).astype(np.float64) for group in groups))


def _recall(counts: _Counts) -> _Rates:
    recall = _ratio(counts.right, counts.true)
    return _Rates(recall, by_right=_ratio(1, counts.true), by_true=-_ratio(recall, counts.true))


def _precision(counts: _Counts) -> _Rates:
    precision = _ratio(counts.right, counts.predicted)
    return _Rates(precision, by_right=_ratio(1, counts.predicted), by_predicted=-_ratio(precision, counts.predicted))


def _f1(counts: _Counts) -> _Rates:
    """Return 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall (van Rijsbergen, 1979)."""
    totals = counts.true + counts.predicted
    score = _ratio(2 * counts.right, totals)
    slope = -_ratio(score, totals)
    return _Rates(score, by_right=_ratio(2, totals), by_true=slope, by_predicted=slope)


def _over_classes(rates_of: Callable[[_Counts], _Rates], *, weighted: bool = False) -> OfPredictions:
    """Return the mean of a rate over the classes; `weighted` counts a class as often as it has images, not once."""

    def of_images(labels: Labels, predictions: Labels) -> Floats | None:
        if not len(labels):
            return None
        num_images, counts = len(labels), _Counts.of(labels, predictions)
        rates = rates_of(counts)
        weights = counts.true / num_images if weighted else (counts.true > 0) / np.count_nonzero(counts.true)
        score = float(weights @ rates.value)
        slopes = np.where(labels == predictions, (weights * rates.by_right)[labels], 0.0)
        if rates.by_true is not None:
            slopes += (weights * rates.by_true)[labels]
        if rates.by_predicted is not None:
            slopes += (weights * rates.by_predicted)[predictions]
        values = score + num_images * slopes
        return values + rates.value[labels] - score if weighted else values

    return of_images


@dataclass(frozen=True)
class _LogOdds:
    """Log-odds of softmax probabilities, which tell probabilities apart that are 1 or 0 to the bits of float64."""

    shifted: Floats
    """Logits minus the largest logit of their image (C x N)."""
    first: NDArray[np.int64]
    """Class of the largest logit (N)."""
    exponentials: Floats
    """Exponentials of `shifted`, with a 0 in place of that of `first` (C x N)."""
    others: Floats
    """Sums of `exponentials` (N)."""

    @classmethod
    def of(cls, logits: NDArray[np.floating]) -> "_LogOdds":
        scores = np.ascontiguousarray(logits.T, dtype=np.float64)  # a class after the other, as they are read
        first, images = scores.argmax(axis=0), np.arange(len(logits))
        shifted = scores - scores[first, images]
        exponentials = np.exp(shifted)
        exponentials[first, images] = 0
        return cls(shifted, first, exponentials, exponentials.sum(axis=0))

    def of_class(self, index: int) -> Floats:
        """Return the log-odds of a class (N)."""
        rest = np.where(self.first == index, self.others, 1 + self.others - self.exponentials[index])
        with np.errstate(divide="ignore"):  # nothing is left for the other classes: infinite odds
            odds: Floats = self.shifted[index] - np.log(rest)
        return odds


def _placements(own: Floats, others: Floats) -> tuple[Floats, Floats]:
    """Return the share of others that each own score is above, and of own scores that each other is below."""
    order = np.argsort(own, kind="stable")
    ranked = own[order]
    below, up_to = (np.searchsorted(ranked, others, side) for side in ("left", "right"))
    at_most, less = (np.cumsum(np.bincount(places, minlength=len(own) + 1))[:-1] for places in (below, up_to))
    of_own = np.empty(len(own))
    of_own[order] = (at_most + less) / (2 * len(others))
    return of_own, 1 - (below + up_to) / (2 * len(own))


def _ratio(part: Floats | float, total: Floats) -> Floats:
    """Return part / total of each class; 0 where the total is 0."""
    return np.divide(part, total, out=np.zeros(len(total)), where=total > 0)


OF_PREDICTIONS: Mapping[str, OfPredictions] = {
    "balanced_accuracy": _over_classes(_recall),  # Brodersen et al. (2010)
    "macro_precision": _over_classes(_precision),
    "macro_f1": _over_classes(_f1),
    "weighted_precision": _over_classes(_precision, weighted=True),
    "weighted_f1": _over_classes(_f1, weighted=True),
    "quadratic_kappa": quadratic_kappa,
}
"""Scores that need predicted classes alone, by the name of the metric."""
