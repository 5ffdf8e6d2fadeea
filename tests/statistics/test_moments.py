"""Moments of tables of seeds x images."""

from dataclasses import astuple

import numpy as np
import pytest

from intelbench.statistics.inference import infer, infer_moments
from intelbench.statistics.moments import Moments, without_each_seed


@pytest.mark.parametrize("shape", [(2, 5), (3, 1), (3, 40), (7, 300)])
def test_without_each_seed_they_are_those_of_the_table_without_it(shape: tuple[int, int]) -> None:
    """The sums of all seeds give what reading the table again without each seed gives."""
    table = np.random.default_rng(0).integers(-1, 2, shape).astype(np.float64)
    for seed, moments in enumerate(without_each_seed(table)):
        expected = Moments.of(np.delete(table, seed, axis=0))
        assert astuple(moments) == pytest.approx(astuple(expected), abs=1e-12)


def test_a_table_of_zeros_stays_exactly_zero() -> None:
    """Two networks that answer alike have no variance, and rounding adds none."""
    assert all(moments.is_zero for moments in without_each_seed(np.zeros((4, 9))))
    assert not Moments.of(np.array([[1.0, -1.0], [-1.0, 1.0]])).is_zero


def test_they_are_all_that_inference_needs() -> None:
    """A table and its moments give the same interval and p value."""
    table = np.random.default_rng(1).normal(0.1, 1, (5, 60))
    assert infer(table, -1, 1) == infer_moments(Moments.of(table), -1, 1)
