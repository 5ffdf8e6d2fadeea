"""The steps to an accuracy are those of the network and not of the points at which it was evaluated."""

from types import SimpleNamespace

import numpy as np
import pytest

from intelbench.results.reaching import points_decide, spent_until, steps_to_accuracy
from tests.results import metric_simulation


def run(steps: list[float], accuracy: list[float]) -> SimpleNamespace:
    """A run with these evaluation points."""
    return SimpleNamespace(evaluation_step=np.array(steps), evaluation_accuracy=np.array(accuracy))


def test_between_two_points_there_is_a_line() -> None:
    """The first time counts; what is never reached is infinite, and before the first point there is a bound."""
    spent, accuracy = np.array([10.0, 20.0, 40.0]), np.array([0.2, 0.4, 0.3])
    assert [10.0, 10.0, 15.0, 20.0, np.inf] == pytest.approx(spent_until(spent, accuracy, [0.1, 0.2, 0.3, 0.4, 0.5]))
    assert [np.inf] == spent_until(np.empty(0), np.empty(0), [0.1]).tolist()


def test_before_the_first_point_nothing_is_known() -> None:
    """Sooner than any number of steps; and later where it was never reached."""
    curve = run([10, 20], [0.3, 0.5])
    assert [-np.inf, 15.0, np.inf] == pytest.approx([steps_to_accuracy(curve, share) for share in (0.3, 0.4, 0.6)])
    assert np.inf == steps_to_accuracy(run([], []), 0.1)


@pytest.mark.parametrize(
    ("first", "second", "decides"),
    [
        (run([10, 20], [0.1, 0.5]), run([10, 20], [0.2, 0.6]), False),  # at the same steps
        (run([10, 20], [0.1, 0.5]), run([11, 22], [0.1, 0.5]), True),  # 16.5 and 18.15, of points 11 apart
        (run([10, 20], [0.1, 0.5]), run([11, 22, 33, 44], [0.1, 0.1, 0.1, 0.5]), False),  # 16.5 and 40.15
        (run([10, 20], [0.5, 0.6]), run([11, 22], [0.1, 0.5]), False),  # before 10, after 11
        (run([10, 20], [0.5, 0.6]), run([5, 22], [0.1, 0.5]), True),  # before 10, after 5
        (run([10, 20], [0.1, 0.1]), run([11, 18], [0.1, 0.5]), False),  # after 20, before 18
        (run([10, 20], [0.1, 0.1]), run([11, 22], [0.1, 0.5]), True),  # after 20, before 22
    ],
)
def test_where_the_points_may_decide(first: SimpleNamespace, second: SimpleNamespace, decides: bool) -> None:
    """To 36 % and the other way round."""
    assert decides == points_decide([first], [second], 0.36) == points_decide([second], [first], 0.36)


def test_a_faster_network_does_not_differ_by_its_points() -> None:
    """Equal by step and 1.1 times as fast, with three points: seldom, where the first point would tell most studies."""
    ours, first_point = metric_simulation.faster_network_differs(num_studies=60)
    assert ours <= 0.06
    assert first_point > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", metric_simulation.NUM_SEEDS)
@pytest.mark.parametrize("num_points", [3, 5, 10])
def test_a_faster_network_differs_in_six_percent_at_most(num_seeds: int, num_points: int) -> None:
    """Of 2,000 studies."""
    assert metric_simulation.faster_network_differs(num_seeds, num_points, 2000)[0] <= 0.06
