"""Which groups are compared as sources of variance, and what is concluded."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.config.fields import Vary
from intelbench.config.recipe import Recipe
from intelbench.results.label_efficiency import label_studies
from intelbench.results.metrics import METRICS
from intelbench.results.origins import matches
from intelbench.results.study import read
from intelbench.results.variance import VarianceStudy, variance_studies, variance_table
from intelbench.statistics.estimates import mean_interval
from tests.synthetic import CONDITIONS, EXECUTION, Study, failure, synthetic_runs

Spreads = Mapping[Vary, float]
"""Standard deviation of the expected accuracy between seeds, by what varies."""


def studies(
    folder: Path, spreads: Spreads, seeds: Sequence[int] = range(6), names: Sequence[str] = ("a",), **changes: object
) -> list[VarianceStudy]:
    """Of synthetic records with many test images."""
    for vary, spread in spreads.items():
        fixed = None if vary == "all" else seeds[0]
        study = {"num_test": 3000, "accuracies": dict.fromkeys(names, 0.6), "spread": spread, **changes}
        synthetic_runs(folder, names, seeds, Study(vary=vary, fixed_seed=fixed, **study))
    return variance_studies(read(folder).cohorts)


def test_groups_that_differ_in_what_varies_belong_together(tmp_path: Path) -> None:
    """That in which everything varies first; with the data and whatever else is equal, and not without."""
    spreads: Spreads = {"split": 0.05, "init": 0.05, "all": 0.1}
    (found,) = studies(tmp_path, spreads)
    assert ("all", "init", "split") == found.varied
    assert 0 == found.fixed_seed
    assert {1, 2, 3} == set(found.groups)
    assert [6, 6, 6] == [len(summary.cohort.runs) for summary in found.summaries]
    larger = msgspec.structs.replace(CONDITIONS, image_size=96)
    more = msgspec.structs.replace(EXECUTION, threads=4)
    for changes in ({"conditions": larger}, {"execution": more}, {"data_digest": "0" * 32}, {"images_per_class": 5}):
        assert 1 == len(studies(tmp_path, {"order": 0.05}, **changes))


def test_another_first_seed_is_another_study(tmp_path: Path) -> None:
    """The group in which everything varies belongs to both, and they never share a group."""
    studies(tmp_path, {"all": 0.1, "init": 0.05})
    first, second = studies(tmp_path, {"init": 0.05}, range(2, 8))
    assert [(0, ("all", "init")), (2, ("all", "init"))] == [(each.fixed_seed, each.varied) for each in (first, second)]
    assert first.summaries[0] is second.summaries[0]
    assert first.summaries[1] is not second.summaries[1]


def test_one_group_is_no_study(tmp_path: Path) -> None:
    """Neither the usual one, nor a source on its own."""
    assert [] == studies(tmp_path / "all", {"all": 0.1})
    assert [] == studies(tmp_path / "init", {"init": 0.1})


def test_variances_and_shares_are_those_of_the_accuracies(tmp_path: Path) -> None:
    """Of the recorded test accuracies, over the seeds; of what everything together has, no share."""
    (found,) = studies(tmp_path, {"all": 0.1, "init": 0.05})
    runs = {summary.cohort.spec.vary: summary.finished[0].runs for summary in found.summaries}
    expected = {vary: np.var([run.test_accuracy for run in of_vary], ddof=1) for vary, of_vary in runs.items()}
    together, alone = found.sources
    assert (expected["all"], expected["init"]) == pytest.approx((together.variance.mean, alone.variance.mean))
    assert together.share is None
    assert expected["init"] / expected["all"] == pytest.approx(alone.share.mean)
    assert alone.share.low < alone.share.mean < alone.share.high
    rows = variance_table(found)
    assert [("all", None, None), ("init", 0, alone.share.high)] == [
        (row["vary"], row["fixed_seed"], row["share_high"]) for row in rows
    ]
    assert [None, None] == [row["p_holm"] for row in rows]


def test_the_largest_source_is_named_beyond_the_noise(tmp_path: Path) -> None:
    """Compared with every other one that was varied alone; two that are alike leave it open."""
    (found,) = studies(tmp_path / "one", {"all": 0.15, "init": 0.12, "order": 0.001, "augment": 0.001})
    assert "init" == found.largest["a"].source.vary
    assert found.largest["a"].distinguishable
    expected = [None, found.largest["a"].p_holm, None, None]
    assert expected == [row["p_holm"] for row in variance_table(found)]
    (found,) = studies(tmp_path / "two", {"init": 0.12, "order": 0.12, "augment": 0.001})
    assert not found.largest["a"].distinguishable
    assert [None] * 3 == [source.share for source in found.sources]


def test_the_p_values_of_several_architectures_are_corrected(tmp_path: Path) -> None:
    """By Holm: the smaller of two is doubled."""
    spreads: Spreads = {"init": 0.1, "order": 0.02}
    alone = [studies(tmp_path / name, spreads, names=[name])[0].largest[name].p_holm for name in "ab"]
    (both,) = studies(tmp_path / "both", spreads, names=["a", "b"])
    assert 2 * min(alone) == pytest.approx(min(largest.p_holm for largest in both.largest.values()))


def test_one_seed_shows_no_variance(tmp_path: Path) -> None:
    """Neither a share nor a largest source."""
    (found,) = studies(tmp_path, {"all": 0.1, "init": 0.1, "order": 0.1}, [3])
    assert [None] * 3 == [source.variance for source in found.sources]
    assert {} == found.largest


def test_an_architecture_that_was_changed_is_left_out(tmp_path: Path) -> None:
    """Its recipe, or its code: more than one thing differs then."""
    other = msgspec.structs.replace(CONDITIONS, recipe=Recipe(learning_rate=0.5))
    studies(tmp_path / "recipe", {"all": 0.1}, names=["a", "b"], own={"a": CONDITIONS})
    (found,) = studies(tmp_path / "recipe", {"init": 0.1}, names=["a", "b"], own={"a": other})
    assert {"b"} == {source.architecture for source in found.sources}
    studies(tmp_path / "code", {"all": 0.1})
    (found,) = studies(tmp_path / "code", {"init": 0.1}, providers={"a": "a.py sha256:1"})
    assert () == found.sources


def test_failed_runs_have_no_part(tmp_path: Path) -> None:
    """Their seeds are not counted, and an architecture without a finished run in a group has no row for it."""
    failures = {("a", 0): failure(), **{("b", seed): failure() for seed in range(6)}}
    studies(tmp_path, {"all": 0.1}, names=["a", "b"], failures=failures)
    (found,) = studies(tmp_path, {"init": 0.1}, names=["a", "b"])
    assert [("a", "all", 5), ("a", "init", 6), ("b", "init", 6)] == [
        (source.architecture, source.vary, source.num_seeds) for source in found.sources
    ]


def test_seeds_of_a_split_group_are_compared_with_each_other(tmp_path: Path) -> None:
    """One group for all seeds, although each has other training images; its architectures are paired by seed."""
    (found,) = studies(tmp_path, {"all": 0.05, "split": 0.05}, names=["a", "b"])
    summary = found.summaries[1]
    assert 6 == len({run.record.spec.data.digest for run in summary.runs})
    assert [{0, 1, 2, 3, 4, 5}] * 2 == [set(architecture.seeds) for architecture in summary.finished]
    assert summary.ranked
    assert 6 == summary.differences[0].difference.n


def test_other_comparisons_of_groups_leave_sources_alone(tmp_path: Path) -> None:
    """Numbers of images and recipes are compared where every random stream varies, or the same source."""
    for number in (5, 10):
        studies(tmp_path, {"init": 0.05}, images_per_class=number)
    assert [] == label_studies(read(tmp_path).cohorts)
    other = msgspec.structs.replace(CONDITIONS, recipe=Recipe(learning_rate=0.5))
    studies(tmp_path / "own", {"init": 0.05}, names=["a", "b"], own={"a": other})
    studies(tmp_path / "own", {"all": 0.05}, names=["a", "b"])
    assert [] == matches(read(tmp_path / "own").cohorts)


def test_of_equally_large_groups_the_usual_one_is_first(tmp_path: Path) -> None:
    """Tables and plots of a folder begin with it."""
    (found,) = studies(tmp_path, {"order": 0.1, "augment": 0.1, "all": 0.1, "init": 0.1, "dropout": 0.1})
    assert 1 == found.groups[found.varied.index("all")]


def test_images_that_the_seeds_drew_are_part_of_the_interval_over_seeds(tmp_path: Path) -> None:
    """Validation accuracy has a value although each seed has validation images of its own."""
    (found,) = studies(tmp_path, {"all": 0.05, "split": 0.05})
    runs = [
        dataclasses.replace(
            run, images=dataclasses.replace(run.images, validation_ids=run.ids("validation") + str(seed))
        )
        for seed, run in enumerate(found.summaries[1].finished[0].runs)
    ]
    expected = mean_interval([METRICS.get("validation_accuracy").value(run) for run in runs], 0, 1)
    assert expected == METRICS.get("validation_accuracy").mean(runs)
