"""Metrics that see more of the classes than accuracy does: averages over classes, AUROC, top-5, kappa.

Each has values of the test images whose mean is the metric, so that it is inferred, compared and ranked as accuracy is.
"""

from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from intelbench.results.metric import Metric
from intelbench.results.runs import RunSummary
from intelbench.statistics import scores
from intelbench.statistics.scores import MIN_TOP_K_CLASSES, OF_PREDICTIONS, TOP_K, Floats, Labels

_OVER_CLASSES = "mean over seeds [95 % interval over seeds and test images]. Classes without test images do not count."


def majority_answers(labels: Labels) -> NDArray[np.int64]:
    """Return the most frequent of N labels as the prediction of every image (N)."""
    return np.full(len(labels), np.bincount(labels).argmax())


def log_frequencies(labels: Labels) -> Floats:
    """Return logits that say of every image how frequent each class is (N x C); a class without images is very rare."""
    shares = np.bincount(labels) / len(labels)
    logits: Floats = np.log(np.maximum(shares, np.finfo(np.float32).tiny))
    return np.tile(logits, (len(labels), 1))


def _of_predictions(
    name: str, heading: str, definition: str, note: str, *, macro: bool, synonyms: tuple[str, ...]
) -> Metric:
    """Return the metric of a score of labels and predicted classes."""
    score = OF_PREDICTIONS[name]

    def per_image(run: RunSummary) -> Floats | None:
        return score(run.test_labels, run.test_predictions)

    is_share = name != "quadratic_kappa"
    return Metric(
        name=name, heading=heading, unit="share" if is_share else "number", better="higher", compared="images",
        synonyms=synonyms,
        definition=definition, note=f"{note}; {_OVER_CLASSES}", per_image=per_image,
        bounds=(0, 1) if is_share else (-1, 1), ranks=True,
        baseline=lambda labels: score(labels, majority_answers(labels)),
        num_independent=(_equivalent_images if macro else _num_images) if is_share else None,
    )  # fmt: skip


def _equivalent_images(run: RunSummary) -> float:
    """Return how many images of equally large classes would tell as much of a mean over classes: K^2 / sum(1 / n)."""
    sizes = np.bincount(run.test_labels)
    sizes = sizes[sizes > 0]
    return float(len(sizes) ** 2 / (1 / sizes).sum())


def _num_images(run: RunSummary) -> float:
    return float(len(run.test_labels))


CLASS_METRICS = (
    _of_predictions(
        "balanced_accuracy", "Balanced accuracy", "mean recall of the classes of the test images",
        "mean recall of the classes, each with the same weight (macro recall; Brodersen et al., 2010)", macro=True,
        synonyms=("macro_recall", "recall", "unweighted_average_recall", "mean_class_accuracy"),
    ),
    _of_predictions(
        "macro_precision", "Macro precision", "mean precision of the classes of the test images",
        "mean precision of the classes, each with the same weight; 0 for a class that is never predicted", macro=True,
        synonyms=("precision",),
    ),
    _of_predictions(
        "macro_f1", "Macro F1", "mean F1 of the classes of the test images",
        "mean F1 of the classes, each with the same weight", macro=True,
        synonyms=("f1", "f1_score", "f1_macro"),
    ),
    _of_predictions(
        "weighted_precision", "Weighted precision",
        "mean precision of the classes of the test images, weighted by their numbers of images",
        "mean precision of the classes, weighted by their numbers of test images; 0 for a class that is never "
        "predicted", macro=False,
        synonyms=("precision_weighted",),
    ),
    _of_predictions(
        "weighted_f1", "Weighted F1", "mean F1 of the classes of the test images, weighted by their numbers of images",
        "mean F1 of the classes, weighted by their numbers of test images", macro=False,
        synonyms=("f1_weighted",),
    ),
    _of_predictions(
        "quadratic_kappa", "Quadratic kappa",
        "Cohen's kappa of the test images with quadratic weights, for classes whose names are in an order",
        "Cohen's kappa with quadratic weights (1968): 1 - mean squared distance of prediction and class, over that of "
        "independent ones; for classes with an order, which is that of their names", macro=False,
        synonyms=("kappa", "cohen_kappa", "qwk", "quadratic_weighted_kappa"),
    ),
    Metric(
        name="top5", heading="Top-5 accuracy", unit="share", better="higher", compared="images",
        synonyms=("top5_accuracy", "top_5", "top_k_accuracy"),
        definition=f"test images whose class is among the {TOP_K} most probable; from {MIN_TOP_K_CLASSES} classes on",
        note=f"share of the test images whose class is among the {TOP_K} with the largest logits; from "
        f"{MIN_TOP_K_CLASSES} classes on.",
        per_image=attrgetter("images.top5_right"), ranks=True, tables=("main", "runs", "export"),
        min_classes=MIN_TOP_K_CLASSES,
        is_shown=lambda summary: len(summary.data.class_names) >= MIN_TOP_K_CLASSES,
        baseline=lambda labels: scores.top_k_right(labels, log_frequencies(labels)),
    ),
    Metric(
        name="auroc", heading="AUROC", unit="share", better="higher", compared="images",
        synonyms=("auc", "roc_auc", "roc_auc_ovr"),
        definition="area under the ROC curve of one class against the rest, mean over the classes of the test images",
        note="area under the ROC curve of the probability of a class against the rest (Hanley and McNeil, 1982), mean "
        f"over the classes; {_OVER_CLASSES}",
        per_image=lambda run: run.of_logits.get("auroc"), bounds=(0, 1), ranks=True,
        on_demand=lambda logits, labels: scores.auroc(labels, logits),
        baseline=lambda labels: np.full(len(labels), 0.5),
    ),
)  # fmt: skip
"""Metrics of the test images, in the order of tables."""
