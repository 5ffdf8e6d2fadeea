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
        **{name: getattr(conditions, name) for name in conditions.__struct_fields__},
    )


def command(cohort: Cohort) -> tuple[str, str | None]:
    """A shell command, and the suite file it needs where no built-in suite has the cohort's conditions."""
    suite = effective_suite(cohort)
    execution = cohort.spec.execution
    options = ["--device", execution.device, "--threads", str(execution.threads), "--workers", str(execution.workers)]
    options += [] if execution.cache else ["--no-cache"]
    budget = str(suite.budget)
    if not _built_in(suite) or Budget.parse(budget) != suite.budget:
        return shlex.join(["intelbench", "run", "--suite", SUITE_FILE, *options]), encode_suite(suite)
    seeds = ",".join(map(str, suite.seeds))
    named = ["--suite", suite.name, "--data", suite.data, "--seeds", seeds, "--budget", budget]
    return shlex.join(["intelbench", "run", *suite.architectures, *named, *options]), None


def _built_in(suite: Suite) -> bool:
    """Whether the built-in suite of that name, with these architectures, seeds, data and budget, is this one."""
    if suite.name not in built_in_suites():
        return False
    try:
        base = load_suite(suite.name)
        effective = override(
            base, architectures=suite.architectures, seeds=suite.seeds, data=suite.data, budget=suite.budget
        )
    except UserError:  # a name from a record may be none that a suite accepts
        return False
    return effective.conditions == suite.conditions
