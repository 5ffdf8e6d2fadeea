"""The command that makes a cohort's runs again."""

import shlex

from intelbench.errors import UserError
from intelbench.records.suites import built_in_suites, encode_suite, load_suite, override
from intelbench.records.types import Budget, Suite
from intelbench.reporting.evidence.cohorts import Cohort

SUITE_FILE = "suite.toml"


def effective_suite(cohort: Cohort) -> Suite:
    """The cohort's architectures, seeds, data and conditions as one suite."""
    conditions = cohort.spec.conditions
    return Suite(
        name=min(record.spec.suite for record in cohort.records),
        architectures=tuple(sorted({record.spec.architecture for record in cohort.records})),
        seeds=cohort.seeds,
        data=min(record.spec.data.source for record in cohort.records),
        images_per_class=(cohort.spec.images_per_class or "all",),
        **{name: getattr(conditions, name) for name in conditions.__struct_fields__},
    )


def command(cohort: Cohort) -> tuple[str, str | None]:
    """A shell command, and the suite file it needs where no built-in suite has the cohort's conditions."""
    suite = effective_suite(cohort)
    execution = cohort.spec.execution
    options = ["--device", execution.device, "--threads", str(execution.threads), "--workers", str(execution.workers)]
    options += [] if execution.cache else ["--no-cache"]
    budget, base = str(suite.budget), _built_in(suite)
    if base is None or Budget.parse(budget) != suite.budget:
        return shlex.join(["intelbench", "run", "--suite", SUITE_FILE, *options]), encode_suite(suite)
    seeds = ",".join(map(str, suite.seeds))
    named = ["--suite", suite.name, "--data", suite.data, "--seeds", seeds, "--budget", budget]
    named += [] if suite.image_size == base.image_size else ["--image-size", str(suite.image_size)]
    few = ",".join(map(str, suite.images_per_class))
    named += [] if suite.images_per_class == base.images_per_class else ["--images-per-class", few]
    return shlex.join(["intelbench", "run", *suite.architectures, *named, *options]), None


def _built_in(suite: Suite) -> Suite | None:
    """The built-in suite of that name, if it becomes this one with what the command line can change."""
    if suite.name not in built_in_suites():
        return None
    try:
        base = load_suite(suite.name)
    except UserError:
        return None
    effective = override(
        base,
        architectures=suite.architectures,
        seeds=suite.seeds,
        data=suite.data,
        budget=suite.budget,
        image_size=suite.image_size,
    )
    return base if effective.conditions == suite.conditions else None
