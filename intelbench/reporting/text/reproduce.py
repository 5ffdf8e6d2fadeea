"""The command that makes a cohort's runs again."""

import shlex
from operator import attrgetter

import msgspec

from intelbench.errors import UserError
from intelbench.records.suites import built_in_suites, conditions_of, encode_suite, load_suite, override
from intelbench.records.types import Budget, Own, RunRecord, Suite
from intelbench.reporting.evidence.cohorts import Cohort

SUITE_FILE = "suite.toml"


def effective_suite(cohort: Cohort) -> Suite:
    """The cohort's architectures, seeds, data and conditions as one suite.

    Of an architecture that was trained under two recipes of its own, the later one.
    """
    conditions = cohort.conditions
    own = {record.spec.architecture: _own(record) for record in sorted(cohort.records, key=attrgetter("started_at"))}
    return Suite(
        name=min(record.spec.suite for record in cohort.records),
        architectures=tuple(sorted({record.spec.architecture for record in cohort.records})),
        seeds=cohort.seeds,
        data=min(record.spec.data.source for record in cohort.records),
        own={name: each for name, each in sorted(own.items()) if each},
        **{name: getattr(conditions, name) for name in conditions.__struct_fields__},
    )


def command(cohort: Cohort) -> tuple[str, str | None]:
    """A shell command, and the suite file it needs where no built-in suite has the cohort's conditions."""
    suite = effective_suite(cohort)
    execution = cohort.spec.execution
    options = ["--device", execution.device, "--threads", str(execution.threads), "--workers", str(execution.workers)]
    options += [] if execution.cache else ["--no-cache"]
    budgets = [[], ["--budget", str(suite.budget)]] if cohort.own_recipes else [["--budget", str(suite.budget)]]
    budget = next((each for each in budgets if _built_in(suite, *each[1:])), None)
    if budget is None:
        return shlex.join(["intelbench", "run", "--suite", SUITE_FILE, *options]), encode_suite(suite)
    seeds = ",".join(map(str, suite.seeds))
    named = ["--suite", suite.name, "--data", suite.data, "--seeds", seeds, *budget]
    return shlex.join(["intelbench", "run", *suite.architectures, *named, *options]), None


def _built_in(suite: Suite, budget: str | None = None) -> bool:
    """Whether the built-in suite of that name, with these architectures, seeds, data and budget, is this one."""
    if suite.name not in built_in_suites():
        return False
    try:
        base = load_suite(suite.name)
    except UserError:
        return False
    given = None if budget is None else Budget.parse(budget)
    effective = override(base, architectures=suite.architectures, seeds=suite.seeds, data=suite.data, budget=given)
    pairs = [(effective.conditions, suite.conditions)]
    pairs += [(conditions_of(effective, name), conditions_of(suite, name)) for name in suite.architectures]
    return bool(effective.own) == bool(suite.own) and all(first == second for first, second in pairs)


def _own(record: RunRecord) -> Own | None:
    """In what a run's recipe and budget are not its suite's; `None` where no architecture of that has its own."""
    shared, conditions = record.spec.suite_conditions, record.spec.conditions
    if shared is None:
        return None
    values, others = (msgspec.json.decode(msgspec.json.encode(each.recipe)) for each in (conditions, shared))
    recipe = {name: value for name, value in values.items() if value != others[name]}
    return Own(budget=None if conditions.budget == shared.budget else conditions.budget, recipe=recipe)
