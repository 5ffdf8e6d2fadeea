"""Scores of classifications equal those of scikit-learn, and their values of images are what each image adds."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn import metrics as sklearn_metrics

from intelbench.statistics import scores
from intelbench.statistics.estimates import Softmax
from intelbench.statistics.scores import OF_PREDICTIONS, validation_score
from tests.statistics.imbalanced import IMBALANCES, NUM_STUDIES, SEEDS, Imbalance, false_shares

Case = tuple[NDArray[np.int64], NDArray[np.float64]]


def _case(num_classes: int, num_images: int, seed: int = 0) -> Case:
    """Return labels of classes of very different sizes, some of them absent, and logits that say something of them."""
    random = np.random.default_rng(seed)
    labels = random.choice(num_classes, num_images, p=random.dirichlet(np.full(num_classes, 0.5)))
    logits = random.normal(size=(num_images, num_classes))
    logits[np.arange(num_images), labels] += 1
    return labels, logits


CASES = {
    "two classes": _case(2, 60, seed=3),
    "six classes": _case(6, 400),
    "absent classes": _case(25, 60),
    "a class never predicted": (np.array([0, 0, 1, 2, 2]), np.eye(3)[[0, 2, 0, 2, 2]]),
    "one class for all": (np.array([0, 0, 0, 1]), np.tile([2.0, 1.0], (4, 1))),
    "a class that has no image is predicted": (np.array([0, 0, 1, 1]), np.eye(3)[[0, 2, 1, 2]]),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def _average(score: Callable[..., float], case: Case, average: str) -> float:
    """Return an average of scikit-learn over the classes that have images."""
    labels, logits = case
    classes = np.unique(labels)
    return score(labels, logits.argmax(axis=1), labels=classes, average=average, zero_division=0)


@every_case
def test_scores_of_predictions_are_those_of_scikit_learn(case: Case) -> None:
    """Balanced accuracy, precision and F1 by both averages, and quadratic kappa; absent classes do not count."""
    labels, predicted = case[0], case[1].argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of predicted classes without images
        expected = {
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, predicted),
            "macro_precision": _average(sklearn_metrics.precision_score, case, "macro"),
            "macro_f1": _average(sklearn_metrics.f1_score, case, "macro"),
            "weighted_precision": _average(sklearn_metrics.precision_score, case, "weighted"),
            "weighted_f1": _average(sklearn_metrics.f1_score, case, "weighted"),
            "quadratic_kappa": sklearn_metrics.cohen_kappa_score(labels, predicted, weights="quadratic"),
        }
    assert {name: of(labels, predicted).mean() for name, of in OF_PREDICTIONS.items()} == pytest.approx(expected)


@every_case
def test_auroc_is_that_of_scikit_learn(case: Case) -> None:
    """One class against the rest by its probability, mean over the classes that have images."""
    labels, logits = case
    probabilities = softmax(logits, axis=1)
    areas = [sklearn_metrics.roc_auc_score(labels == index, probabilities[:, index]) for index in np.unique(labels)]
    assert scores.auroc(labels, logits).mean() == pytest.approx(np.mean(areas))


def test_ties_of_scores_count_half() -> None:
    """A network that says the same of every image has an area of one half, and one with ties what scikit-learn says."""
    labels = np.array([0, 1, 1, 0, 1])
    assert scores.auroc(labels, np.zeros((5, 2))).mean() == 0.5
    logits = np.array([[0.0, 0], [0, 1], [0, 0], [0, 1], [0, 2]])
    assert scores.auroc(labels, logits).mean() == pytest.approx(sklearn_metrics.roc_auc_score(labels, logits[:, 1]))


def test_probabilities_that_float64_rounds_to_1_are_told_by_auroc() -> None:
    """Logits of 50 and of 60 against 0: both probabilities are 1 in float64, and the order is still known."""
    labels, logits = np.array([1, 0, 1, 0]), np.array([[0.0, 60], [0, 50], [0, 70], [0, 40]])
    assert len(set(softmax(logits, axis=1)[:, 1])) < 4
    assert scores.auroc(labels, logits).mean() == 1


def test_top_5_accuracy_is_that_of_scikit_learn() -> None:
    """Without ties."""
    labels, logits = _case(25, 300)
    right = scores.top_k_right(labels, logits)
    expected = sklearn_metrics.top_k_accuracy_score(labels, logits, k=5, labels=np.arange(25))
    assert right.mean() == pytest.approx(expected)


def test_of_equal_logits_the_first_k_count() -> None:
    """A network that says the same of every class is right for the first five, not for all."""
    labels = np.arange(20)
    assert np.array_equal(scores.top_k_right(labels, np.zeros((20, 20))), labels < 5)


def test_logits_that_are_not_finite_have_no_score() -> None:
    """Nothing is known of AUROC; the top five are those of the prediction."""
    labels, logits = np.arange(20), np.eye(20)
    logits[3] = np.nan
    assert scores.auroc(labels, logits) is None
    assert scores.top_k_right(labels, logits).tolist() == [index != 3 for index in range(20)]


@pytest.mark.parametrize("name", [*OF_PREDICTIONS, "auroc"])
def test_the_value_of_an_image_is_its_influence(name: str) -> None:
    """A hundred copies of the images and one image more move the score by its influence, but for the copies' number."""
    labels, logits = _case(6, 80)

    def values(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
        found = OF_PREDICTIONS[name](labels, logits.argmax(axis=1)) if name != "auroc" else scores.auroc(labels, logits)
        assert found is not None
        return found

    base, copies = values(labels, logits), 100
    influence = base - base.mean()
    for image in range(0, 80, 7):
        more = (
            np.append(np.tile(labels, copies), labels[image]),
            np.vstack([np.tile(logits, (copies, 1)), logits[image]]),
        )
        moved = (values(*more).mean() - base.mean()) * len(more[0])
        assert moved == pytest.approx(influence[image], abs=0.02 * influence.std())


def test_without_images_there_is_no_score() -> None:
    """No function divides by 0."""
    none = np.empty(0, dtype=np.int64)
    assert all(of(none, none) is None for of in OF_PREDICTIONS.values())
    assert scores.auroc(none, np.empty((0, 3))) is None
    with pytest.raises(ValueError, match="no validation images"):
        validation_score("accuracy", none, np.empty((0, 3)))


def test_scores_of_one_class_alone() -> None:
    """AUROC and kappa are not defined; the mean recall is that of the class."""
    labels = np.zeros(4, dtype=np.int64)
    assert scores.auroc(labels, np.eye(4)) is None
    assert scores.quadratic_kappa(labels, labels) is None
    assert OF_PREDICTIONS["balanced_accuracy"](labels, np.array([0, 0, 1, 1])).mean() == 0.5


def test_a_validation_score_is_higher_where_it_is_better() -> None:
    """Also that of a loss, whose sign is turned; each is the score of its metric."""
    labels, logits = _case(25, 300)
    softmax_of = Softmax.of(logits)
    one_hot = np.eye(25)[labels]
    expected = {
        "accuracy": (logits.argmax(axis=1) == labels).mean(),
        "balanced_accuracy": OF_PREDICTIONS["balanced_accuracy"](labels, logits.argmax(axis=1)).mean(),
        "auroc": scores.auroc(labels, logits).mean(),
        "top5": scores.top_k_right(labels, logits).mean(),
        "log_loss": -softmax_of.losses(labels).mean(),
        "brier_score": -((softmax_of.probabilities.T - one_hot) ** 2).sum(axis=1).mean(),
    }
    found = {name: validation_score(name, labels, logits) for name in expected}
    assert {name: name for name in expected} == {name: score.metric for name, score in found.items()}
    assert {name: score.value for name, score in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("name", ["top5", "metric_of_a_plugin"])
def test_a_validation_score_falls_back_to_accuracy(name: str) -> None:
    """And says so: for the metric of a plug-in, and where the metric is not defined."""
    labels, logits = _case(6, 50)
    assert ("accuracy", (logits.argmax(axis=1) == labels).mean()) == validation_score(name, labels, logits)


@pytest.mark.parametrize("name", ["auroc", "quadratic_kappa"])
def test_a_validation_score_of_one_class_is_accuracy(name: str) -> None:
    """Without images of another class these metrics are not defined."""
    assert ("accuracy", 1.0) == validation_score(name, np.zeros(3, dtype=int), np.tile([1.0, 0.0], (3, 1)))


def test_equal_networks_seldom_differ_where_classes_are_imbalanced() -> None:
    """In at most 15 % of 60 studies by any score, which three standard errors above 6 % are; `make slow` holds 6 %."""
    found = false_shares(IMBALANCES[-2], 3, 60, ("balanced_accuracy", "macro_f1", "quadratic_kappa", "auroc"))
    assert {name: share for name, (share, _) in found.items() if share > 0.15} == {}


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", SEEDS)
@pytest.mark.parametrize("imbalance", IMBALANCES, ids=lambda imbalance: imbalance.name)
def test_equal_networks_differ_in_six_percent_at_most(imbalance: Imbalance, num_seeds: int) -> None:
    """By every score, where one class is ten times as large as others, and where one has 20 images."""
    found = false_shares(imbalance, num_seeds, NUM_STUDIES)
    assert {name: share for name, (share, _) in found.items() if share > 0.06} == {}
    assert {name: covered for name, (_, covered) in found.items() if covered < 0.92} == {}
