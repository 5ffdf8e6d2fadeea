"""The command makes the same runs again."""

import shlex

import msgspec
import pytest

from intelbench.config import suites
from intelbench.config.budget import Budget
from intelbench.config.conditions import Suite
from intelbench.config.recipe import Head
from intelbench.reporting.sections import reproduction
from tests.synthetic import CONDITIONS, EXECUTION, Summarize


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A built-in suite `quick` with the synthetic conditions, but another budget and other architectures."""
    settings = {name: getattr(CONDITIONS, name) for name in CONDITIONS.__struct_fields__}
    quick = Suite(**{**settings, "name": "quick", "architectures": ("z",), "seeds": (9,), "budget": Budget(steps=1)})
    monkeypatch.setattr(reproduction, "built_in_suites", lambda: ["quick"])
    monkeypatch.setattr(reproduction, "load_suite", lambda name: quick)


@pytest.mark.usefixtures("built_in")
def test_built_in_suite_with_overrides(summarize: Summarize) -> None:
    """Equal conditions: the suite's name and what was overridden, quoted for a shell."""
    seconds = msgspec.structs.replace(CONDITIONS, budget=Budget(seconds=60))
    cohort = summarize(["b", "a x"], source="my scenes", conditions=seconds).cohort
    line, suite = reproduction.command(cohort)
    assert suite is None
    assert (
        "intelbench run 'a x' b --suite quick --data 'my scenes' --seeds 0,1,2 --budget '60 s' "
        "--device cpu --threads 2 --workers 1"
    ) == line


@pytest.mark.usefixtures("built_in")
def test_another_image_size_is_an_option(summarize: Summarize) -> None:
    """As it is for who runs the suite."""
    smaller = msgspec.structs.replace(CONDITIONS, image_size=CONDITIONS.image_size - 1)
    line, suite = reproduction.command(summarize(["a"], conditions=smaller).cohort)
    assert suite is None
    assert f"--image-size {CONDITIONS.image_size - 1} " in line


@pytest.mark.usefixtures("built_in")
def test_a_few_images_are_an_option(summarize: Summarize) -> None:
    """Where they are not what the suite has."""
    line, suite = reproduction.command(summarize(["a"], images_per_class=10).cohort)
    assert suite is None
    assert "--images-per-class 10 " in line


@pytest.mark.usefixtures("built_in")
def test_a_source_of_variance_is_an_option(summarize: Summarize) -> None:
    """With the seed that the others keep in the first place, also if it has no run here."""
    line, suite = reproduction.command(summarize(["a"], vary="init", fixed_seed=7).cohort)
    assert suite is None
    assert "--seeds 7,0,1,2 --budget '60 steps' --vary init " in line


@pytest.mark.usefixtures("built_in")
def test_uncached_run_says_so(summarize: Summarize) -> None:
    """A run without the cache is made again without it."""
    execution = msgspec.structs.replace(EXECUTION, cache=False)
    assert "--no-cache" in shlex.split(reproduction.command(summarize(["a"], execution=execution).cohort)[0])


@pytest.mark.usefixtures("built_in")
def test_other_conditions_need_a_suite_file(summarize: Summarize, tmp_path: object) -> None:
    """Conditions of no built-in suite: the whole suite as TOML, which reads back to the same runs."""
    cohort = summarize(["a", "b"], conditions=msgspec.structs.replace(CONDITIONS, evaluation_points=7)).cohort
    line, text = reproduction.command(cohort)
    assert "--suite suite.toml" in line
    assert text is not None
    file = tmp_path / "suite.toml"
    file.write_text(text, encoding="utf-8")
    assert reproduction.effective_suite(cohort) == suites.load_suite(str(file))


def test_recipes_of_their_own_are_written_out(summarize: Summarize, tmp_path: object) -> None:
    """The suite has what is shared, and for each architecture what is not."""
    recipe = msgspec.structs.replace(CONDITIONS.recipe, head=Head(kind="mlp", widths=(3,)))
    own = msgspec.structs.replace(CONDITIONS, recipe=recipe, budget=Budget(epochs=2))
    cohort = summarize(["a", "b"], own={"b": own}).cohort
    file = tmp_path / "suite.toml"
    file.write_text(reproduction.command(cohort)[1], encoding="utf-8")
    found = suites.load_suite(str(file))
    assert reproduction.effective_suite(cohort) == found
    assert [CONDITIONS, own] == [suites.conditions_of(found, name) for name in "ab"]


@pytest.mark.parametrize(("budget", "said"), [(None, ""), (Budget(steps=9), "--budget '9 steps' ")])
def test_a_built_in_suite_of_own_recipes_is_named(summarize: Summarize, budget: Budget | None, said: str) -> None:
    """With its budgets as they are, or with one for all."""
    suite = suites.override(suites.load_suite("published"), budget=budget)
    own = {name: suites.conditions_of(suite, name) for name in suite.architectures}
    changes = {"suite": "published", "conditions": suite.conditions, "own": own}
    line, text = reproduction.command(summarize(suite.architectures, **changes).cohort)
    assert text is None
    assert f"--suite published --data scenes --seeds 0,1,2 {said}--device" in line


def test_a_suite_name_is_never_read_as_a_file(summarize: Summarize, tmp_path: object) -> None:
    """A record's suite called like a file does not make the report read that file."""
    assert reproduction.command(summarize(["a"], suite=str(tmp_path / "x.toml")).cohort)[1] is not None


def test_files_of_plugins_are_options(summarize: Summarize) -> None:
    """Of architectures, without the digest, each once; a package is none."""
    assert "--plugin" not in reproduction.command(summarize(["a"]).cohort)[0]
    of_file = "plugs.py sha256:0123456789abcdef"
    cohort = summarize(["a", "b", "c"], providers={"a": of_file, "b": of_file, "c": "timm 1.0"}).cohort
    assert reproduction.command(cohort)[0].endswith(" --workers 1 --plugin plugs.py")


def test_the_section_says_that_folders_of_plugins_are_not_recorded(summarize: Summarize) -> None:
    """Under the command, which has the name of the file alone."""
    blocks = reproduction.reproduce(summarize(["a"], providers={"a": "plugs.py sha256:0123456789abcdef"}))
    assert "not their folders: `plugs.py`." in str(blocks[-1])


def test_a_metric_that_is_not_known_here_needs_a_plugin(summarize: Summarize) -> None:
    """The printed suite has it, so the section says that the command needs a plug-in; a known metric needs none."""
    assert "--plugin" not in str(reproduction.reproduce(summarize(["a"], metric="balanced_accuracy")))
    suite, _, note = reproduction.reproduce(summarize(["a"], metric="top2_accuracy"))
    assert 'metric = "top2_accuracy"' in str(suite)
    assert "`top2_accuracy`, is not known here, and records do not name its plug-in: add `--plugin FILE`" in str(note)
