"""What may share a table does, what may not does not, and streams are compared as far as they go."""

from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from intelbench.config.budget import Budget
from intelbench.records.store import StoredRun
from intelbench.results.cohorts import agreeing, differing_keys, group
from intelbench.results.study import read
from tests.reading import read_runs
from tests.synthetic import CONDITIONS, EXECUTION, Study, Summarize, failure, synthetic_run, synthetic_runs

LARGER = msgspec.structs.replace(CONDITIONS, image_size=96)
OWN = msgspec.structs.replace(
    CONDITIONS, budget=Budget(epochs=2), recipe=msgspec.structs.replace(CONDITIONS.recipe, learning_rate=0.5)
)


def stored(folder: Path) -> list[StoredRun]:
    return read_runs(folder)[0]


@given(st.randoms())
@settings(max_examples=20)
def test_order_of_records_is_irrelevant(random: object) -> None:
    """Any order of the same records gives the same cohorts, the largest first."""
    small, large = Study(conditions=LARGER), Study()
    runs = [StoredRun(Path("r"), synthetic_run("a", seed, small)[0]) for seed in (0, 1)]
    runs += [StoredRun(Path("r"), synthetic_run(name, seed, large)[0]) for name in "ab" for seed in (0, 1)]
    expected = group(runs)
    random.shuffle(runs)
    assert expected == group(runs)
    assert [4, 2] == [len(cohort.runs) for cohort in expected]


def test_cohorts_differ_in_named_keys(tmp_path: Path) -> None:
    """Another image size, machine setting or library makes another cohort, and the differing key is named."""
    for study in (
        Study(),
        Study(conditions=LARGER),
        Study(execution=msgspec.structs.replace(EXECUTION, threads=4)),
        Study(torch="2.12.0"),
        Study(data_digest="0" * 32),
    ):
        synthetic_runs(tmp_path, ["a"], [0], study)
    cohorts = group(stored(tmp_path))
    assert 5 == len(cohorts)
    expected = {"conditions.image_size", "data.digest", "execution.threads", "environment.torch"}
    assert expected == set(differing_keys(cohorts))


def test_same_images_under_another_path_stay_together(tmp_path: Path) -> None:
    """The path of the data is no condition; its digest is."""
    synthetic_runs(tmp_path, ["a"], [0])
    synthetic_runs(tmp_path, ["b"], [0], Study(source="/elsewhere/scenes"))
    assert 1 == len(group(stored(tmp_path)))


def test_two_providers_of_a_name_are_two_architectures(tmp_path: Path) -> None:
    """A changed plug-in does not mix its runs with those of the old one."""
    synthetic_runs(tmp_path, ["mine"], [0], Study(providers={"mine": "net.py sha256:1"}))
    synthetic_runs(tmp_path, ["mine"], [0], Study(providers={"mine": "net.py sha256:2"}))
    (cohort,) = group(stored(tmp_path))
    assert ["mine (net.py sha256:1)", "mine (net.py sha256:2)"] == list(cohort.by_architecture)


def test_records_that_contradict_the_others_about_the_images_are_named(tmp_path: Path) -> None:
    """Other classes under the same data digest: what most records say holds, whatever their order."""
    (changed,) = synthetic_runs(tmp_path, ["a"], [0], Study(class_names=("b", "c")))
    others = synthetic_runs(tmp_path, ["b"], [0, 1])
    for runs in (stored(tmp_path), stored(tmp_path)[::-1]):
        kept, problems = agreeing(runs)
        assert others == sorted(run.path for run in kept)
        assert 1 == len(problems)
        assert changed.name in problems[0]


def test_a_changed_record_does_not_join_seeds_with_a_split_of_their_own(tmp_path: Path) -> None:
    """Each has another digest; the classes are those of the data set that all of them name."""
    split = {"vary": "split", "fixed_seed": 0}
    (changed,) = synthetic_runs(tmp_path, ["a"], [7], Study(class_names=("b", "c"), **split))
    others = synthetic_runs(tmp_path, ["a"], [0, 1], Study(**split))
    kept, problems = agreeing(stored(tmp_path))
    assert others == sorted(run.path for run in kept)
    assert 1 == len(problems)
    assert changed.name in problems[0]


def test_recipes_of_their_own_share_a_cohort_and_not_with_others(tmp_path: Path) -> None:
    """Architectures of one suite under different recipes are one cohort that says in what they differ."""
    synthetic_runs(tmp_path, ["a", "b"], [0], Study(own={"b": OWN}))
    synthetic_runs(tmp_path, ["a", "b", "c"], [0])
    identical, own = group(stored(tmp_path))
    assert (False, True) == (identical.own_recipes, own.own_recipes)
    assert CONDITIONS == own.conditions
    assert {
        "budget.steps": {"a": 60, "b": None},
        "budget.epochs": {"a": None, "b": 2},
        "recipe.learning_rate": {"a": 1e-4, "b": 0.5},
    } == own.own_settings
    assert (Budget(steps=60), Budget(epochs=2)) == own.budgets
    differing = differing_keys([identical, own])
    assert ["recipes"] == list(differing)
    assert "one for all" == differing["recipes"][0]


def test_a_recipe_that_was_changed_is_another_architecture(tmp_path: Path) -> None:
    """So its runs are not mixed with the old ones, and two such cohorts differ by name."""
    synthetic_runs(tmp_path, ["a", "b"], [0], Study(own={"b": OWN}))
    other = msgspec.structs.replace(OWN, budget=Budget(epochs=3))
    before = group(stored(tmp_path))
    synthetic_runs(tmp_path, ["b"], [0], Study(own={"b": other}))
    (cohort,) = group(stored(tmp_path))
    first, *others = cohort.by_architecture
    assert "a" == first
    assert [True, True] == [name.startswith("b (recipe ") for name in others]
    assert ["recipes"] == list(differing_keys([*before, cohort]))


def test_only_recipes_that_give_the_same_batches_are_held_against_each_other(tmp_path: Path) -> None:
    """Another batch size is another stream, by design; the streams of equal recipes still have to agree."""
    larger = msgspec.structs.replace(CONDITIONS, recipe=msgspec.structs.replace(CONDITIONS.recipe, batch_size=64))
    study = Study(own={"c": larger, "d": larger}, other_batches=[("c", 0), ("d", 0)])
    synthetic_runs(tmp_path, ["a", "b", "c", "d"], [0], study)
    (cohort,) = group(stored(tmp_path))
    assert cohort.fairness.identical
    assert 2 == len(cohort.fairness.seeds)
    assert (32, 64) == cohort.batch_sizes
    synthetic_runs(tmp_path, ["e"], [0], Study(own={"e": larger}))
    (cohort,) = group(stored(tmp_path))
    assert not cohort.fairness.identical


def test_runs_with_other_margins_are_one_cohort(tmp_path: Path) -> None:
    """The margin of the newest run comes first; it changes neither names nor cohorts, and old records have 1 point."""
    study = Study(margin=0.03)
    (old, _), (new, _) = (synthetic_run("a", 0, each) for each in (Study(), study))
    assert (old.run_id, 0.01, 0.03) == (new.run_id, old.spec.margin, new.spec.margin)
    synthetic_runs(tmp_path, ["a", "b"], [0, 1], study, order=lambda pairs: pairs[:1])
    synthetic_runs(tmp_path, ["a", "b"], [1], Study(margin=0.02))
    (cohort,) = group(read_runs(tmp_path)[0])
    assert (0.02, 0.03) == cohort.margins
    (summary,) = read(tmp_path).cohorts
    assert 0.02 == summary.margin
    assert 0.04 == read(tmp_path, 0.04).cohorts[0].margin


def test_identical_streams_are_verified_to_the_end(summarize: Summarize) -> None:
    """Runs of equal length agree up to their last step."""
    fairness = summarize().cohort.fairness
    assert fairness.identical
    assert fairness.complete
    assert 60 == fairness.verified_step


def test_streams_of_unequal_length_are_compared_as_far_as_they_share(summarize: Summarize) -> None:
    """Under a time budget the prefix that all runs recorded is verified, and no more is claimed."""
    seconds = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=60))
    fairness = summarize(conditions=seconds).cohort.fairness
    assert fairness.identical
    assert not fairness.complete
    assert 32 == fairness.verified_step


def test_a_differing_stream_is_found(summarize: Summarize) -> None:
    """The seed and the first recorded step that differ are named; other seeds are not blamed."""
    fairness = summarize(other_batches=[("resnet101", 1)]).cohort.fairness
    assert not fairness.identical
    assert (1,) == fairness.mismatched_seeds
    seed = fairness.seeds[1]
    assert (4, 2) == (seed.mismatch_step, seed.verified_step)


def test_a_failed_run_is_compared_too(summarize: Summarize) -> None:
    """A run that failed late and saw other batches is a mismatch; one that failed early shortens nothing."""
    late = {("resnet101", 1): failure(step=20)}
    assert not summarize(failures=late, other_batches=[("resnet101", 1)]).cohort.fairness.identical


def test_an_early_failure_shortens_nothing(summarize: Summarize) -> None:
    """What the finished runs share counts."""
    fairness = summarize(failures={("resnet101", 1): failure(step=0)}).cohort.fairness
    assert fairness.identical
    assert 60 == fairness.verified_step
