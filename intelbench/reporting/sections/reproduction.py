"""How to reproduce: the command that makes a cohort's runs again."""

import shlex
from operator import attrgetter

import msgspec

from intelbench.config.budget import Budget
from intelbench.config.conditions import Override, Suite
from intelbench.config.sequential import SequentialDesign
from intelbench.config.suites import built_in_suites, conditions_of, encode_suite, load_suite, override
from intelbench.errors import UserError
from intelbench.plugins.providers import file_of
from intelbench.records.types import DataFacts, RunRecord
from intelbench.reporting.document import Block, CodeBlock, Details, Paragraph
from intelbench.reporting.formatting import code, listed
from intelbench.results.cohorts import Cohort
from intelbench.results.metrics import METRICS, ranking_metric
from intelbench.results.summaries import CohortSummary

SUITE_FILE = "suite.toml"


def reproduce(summary: CohortSummary) -> list[Block]:
    """Return what to type to make the same runs again."""
    line, suite = command(summary.cohort)
    blocks: list[Block] = []
    if suite is not None:
        note = f"The conditions are those of no built-in suite; save this as {code(SUITE_FILE)}:"
        blocks.append(Details("The suite", [Paragraph(note), CodeBlock(suite, "toml")]))
    blocks.append(CodeBlock(line, "sh"))
    if files := _plugin_files(summary.cohort):
        blocks.append(
            Paragraph(
                f"Records have the names of plug-in files and not their folders: {listed(map(code, files))}. "
                f"{code('--plugin')} is left out for a plug-in that is an installed package."
            )
        )
    if not _ranks(metric := summary.cohort.metrics[0]):
        blocks.append(
            Paragraph(
                f"The metric of the suite, {code(metric)}, is not known here, and records do not name its plug-in: add "
                f"{code('--plugin FILE')} with the file that registers it, or write another metric."
            )
        )
    return blocks


def effective_suite(cohort: Cohort) -> Suite:
    """Return the cohort's architectures, seeds, data and conditions as one suite.

    Of an architecture that was trained under two recipes of its own, the later one.
    """
    conditions, design = cohort.conditions, _design(cohort)
    own = {record.spec.architecture: _own(record) for record in sorted(cohort.records, key=attrgetter("started_at"))}
    return Suite(
        name=min(record.spec.suite for record in cohort.records),
        architectures=tuple(sorted({record.spec.architecture for record in cohort.records})),
        seeds=_seeds(cohort),
        data=_data(cohort).source,
        images_per_class=(cohort.spec.images_per_class or "all",),
        vary=cohort.spec.vary,
        margin=round(100 * (design.margin if design else cohort.margins[0]), 10),
        metric=cohort.metrics[0],
        overrides={name: each for name, each in sorted(own.items()) if each},
        **{name: getattr(conditions, name) for name in conditions.__struct_fields__},
    )


def command(cohort: Cohort) -> tuple[str, str | None]:
    """Return a shell command, and the suite file it needs where no built-in suite has the cohort's conditions."""
    suite = effective_suite(cohort)
    execution = cohort.spec.execution
    options = ["--device", execution.device, "--threads", str(execution.threads), "--workers", str(execution.workers)]
    options += [] if execution.cache else ["--no-cache"]
    options += [] if execution.slots == 1 else ["--on", "slots" if execution.device == "cpu" else "gpus"]
    options += ["--gpus", str(execution.gpus)] if execution.gpus > 1 else []
    if design := _design(cohort):
        options += ["--until", "decided", "--spending", design.spending]
    for file in _plugin_files(cohort):
        options += ["--plugin", file]
    named = _named(suite)
    if named is None:
        return shlex.join(["intelbench", "run", "--suite", SUITE_FILE, *options]), encode_suite(suite)
    return shlex.join(["intelbench", "run", *suite.architectures, *named, *options]), None


def _plugin_files(cohort: Cohort) -> list[str]:
    """Return the names of the plug-in files of architectures, optimizers, transforms, data and the ranking metric."""
    specs = [record.spec for record in cohort.records]
    providers = {each for spec in specs for each in (spec.provider, spec.optimizer_provider, *spec.transform_providers)}
    providers.add(_data(cohort).provider)
    metric = METRICS.find(cohort.metrics[0])
    return sorted({file for each in [*providers, *([metric.provider] if metric else [])] if (file := file_of(each))})


def _ranks(metric: str) -> bool:
    """Return whether a suite with this metric is accepted here."""
    try:
        ranking_metric(metric)
    except UserError:
        return False
    return True


def _data(cohort: Cohort) -> DataFacts:
    """Return the images of the cohort by one of the sources that they were read from."""
    return min((record.spec.data for record in cohort.records), key=attrgetter("source"))


def _seeds(cohort: Cohort) -> tuple[int, ...]:
    """Return the seeds of the design of looks, or those of all runs, first the one that a source of variance keeps."""
    if design := _design(cohort):
        return design.seeds
    fixed = cohort.spec.fixed_seed
    return cohort.seeds if fixed is None else tuple(dict.fromkeys([fixed, *cohort.seeds]))


def _design(cohort: Cohort) -> SequentialDesign | None:
    """Return the sequential design whose looks make all runs; `None` if there are others."""
    architectures = tuple(sorted({record.spec.architecture for record in cohort.records}))
    if len(cohort.designs) != 1:
        return None
    (design,) = cohort.designs
    return design if architectures == design.architectures and set(cohort.seeds) <= set(design.seeds) else None


def _named(suite: Suite) -> list[str] | None:
    """Return the built-in suite of that name and the options that make it this one, or nothing that does."""
    if suite.name not in built_in_suites():
        return None
    base = load_suite(suite.name)
    own_budgets: list[Budget | None] = [None] if suite.overrides else []
    for budget in (*own_budgets, Budget.parse(str(suite.budget))):
        if _becomes(base, suite, budget):
            given = ["--data", suite.data, "--seeds", ",".join(map(str, suite.seeds))]
            given += [] if budget is None else ["--budget", str(budget)]
            given += [] if suite.image_size == base.image_size else ["--image-size", str(suite.image_size)]
            given += [] if suite.precision == base.precision else ["--precision", suite.precision]
            few = ",".join(map(str, suite.images_per_class))
            given += [] if suite.images_per_class == base.images_per_class else ["--images-per-class", few]
            given += [] if suite.sources == base.sources else ["--vary", ",".join(suite.sources)]
            given += [] if suite.margin == base.margin else ["--margin", f"{suite.margin:g}"]
            given += [] if suite.metric == base.metric else ["--metric", suite.metric]
            return ["--suite", suite.name, *given]
    return None


def _becomes(base: Suite, suite: Suite, budget: Budget | None) -> bool:
    """Whether the one is the other once the command line has overridden what it can."""
    try:
        effective = override(
            base,
            architectures=suite.architectures,
            seeds=suite.seeds,
            data=suite.data,
            budget=budget,
            image_size=suite.image_size,
            precision=suite.precision,
        )
    except UserError:  # a name from a record may be none that a suite accepts
        return False
    pairs = [(suite.conditions, effective.conditions)]
    pairs += [(conditions_of(suite, name), conditions_of(effective, name)) for name in suite.architectures]
    return bool(suite.overrides) == bool(effective.overrides) and all(ours == theirs for ours, theirs in pairs)


def _own(record: RunRecord) -> Override | None:
    """Return how a run's conditions differ from its suite's; `None` if no architecture of the suite has its own."""
    shared, conditions = record.spec.suite_conditions, record.spec.conditions
    if shared is None:
        return None
    values, others = (msgspec.json.decode(msgspec.json.encode(each.recipe)) for each in (conditions, shared))
    recipe = {name: value for name, value in values.items() if value != others[name]}
    return Override(budget=None if conditions.budget == shared.budget else conditions.budget, recipe=recipe)
