"""`Results`: the records of a folder as pandas data frames, plots and reports. docs/api.md describes every column."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from intelbench.api.frames import frame_of, typed
from intelbench.api.locations import cache_folder
from intelbench.api.plots import Plots
from intelbench.config.fields import Name
from intelbench.config.requests import Margin, accepted_value, flag, optional_device, optional_text, path_argument, text
from intelbench.errors import UserError, one_of, os_errors_as_user_errors, plural, shortened
from intelbench.records.store import runs_folder, write_figures
from intelbench.results import tables
from intelbench.results.choice import named
from intelbench.results.columns import Table
from intelbench.results.equal_budgets import equal_budget_table
from intelbench.results.executions import experiments
from intelbench.results.metrics import named_metric
from intelbench.results.planner import plan_table
from intelbench.results.predictions import frames, predicted_classes
from intelbench.results.study import Study, read
from intelbench.results.summaries import ArchitectureSummary, CohortSummary
from intelbench.results.variance import variance_studies, variance_table

if TYPE_CHECKING:
    from intelbench.training.trained import TrainedModel


def load(folder: str | Path = "results", margin: float | None = None, metric: str | None = None) -> "Results":
    """Read the records in a results folder.

    Args:
        folder: A results folder, with runs/ in it, or a folder of records.
        margin: Largest difference that counts as equivalent, as a fraction; of a metric that is no share, in its unit.
            `None` for that of the suite.
        metric: Metric of the test images by which architectures are ranked, such as `balanced_accuracy`; `None` for
            that of the suite.

    Raises:
        UserError: there is no readable record, or no such metric.
    """
    return Results(folder, margin, metric)


class Results:
    """The records of a folder, read once.

    Runs under different conditions, on different data or on different machines form different cohorts. Frames have a
    column `cohort`; methods that need runs on the same images use the largest cohort, or the one that `cohort` names.
    Arguments and errors are those of `load`.
    """

    def __init__(self, folder: str | Path, margin: float | None = None, metric: str | None = None) -> None:
        margin = None if margin is None else accepted_value("margin", margin, Margin)
        metric = optional_text("metric", metric)
        self.folder = path_argument("folder", folder)
        self.study: Study = read(runs_folder(self.folder), margin, metric)
        """The reduced records, for code that needs more than frames."""

    @property
    def cohorts(self) -> tuple[str, ...]:
        """Keys of the cohorts, the largest first."""
        return tuple(summary.cohort.key for summary in self.study.cohorts)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why records could not be used, one line each."""
        return self.study.problems

    @cached_property
    def plot(self) -> Plots:
        """Plots with matplotlib."""
        return Plots(self)

    def table(self) -> pd.DataFrame:
        """Return one row for each architecture of each cohort, ranked ones first."""
        return self._frame(tables.main)

    def runs(self) -> pd.DataFrame:
        """Return one row for each finished run."""
        return self._frame(tables.runs)

    def failures(self) -> pd.DataFrame:
        """Return one row for each failed run."""
        return self._frame(tables.failures)

    def differences(self, metric: str | None = None) -> pd.DataFrame:
        """Return one row for each pair of ranked architectures: the difference of the metric that ranks them.

        Args:
            metric: Another metric that has a value of each image, such as `test_cross_entropy` or one of a plug-in.

        Raises:
            UserError: no such metric, or it has no value of each image.
        """
        asked = None if metric is None else named_metric(text("metric", metric))
        if asked and asked.per_image is None:
            raise UserError(f"metric {metric!r}: it has no value of each image, by which pairs are compared")
        if asked and asked.on_demand and any(each.ranking.metric != metric for each in self.study.cohorts):
            raise UserError(
                f"metric {metric!r}: it is computed only where it ranks. Try load(..., metric={metric!r}).differences()"
            )
        return self._frame(tables.differences, metric)

    def plan(self) -> pd.DataFrame:
        """Return one row for each undecided pair: how many more seeds decide it, and how long they take.

        Cohorts that differ only in how their runs were executed have one plan, whose `cohort` has the keys of all.
        """
        rows = [
            {"cohort": "+".join(self.study.cohorts[number - 1].cohort.key for number in numbers), **row}
            for numbers, summary in experiments(self.study.cohorts)
            for row in plan_table(summary)
        ]
        return frame_of(rows, {"cohort": str, **plan_table.types()})

    def standings(self) -> pd.DataFrame:
        """Return one row for each finished architecture: its probability of being the best, and its expected rank."""
        return self._frame(tables.standings)

    def equal_budgets(self) -> pd.DataFrame:
        """Return two rows for each finished architecture: validation accuracy at equal steps and at equal time."""
        return self._frame(equal_budget_table)

    def variance(self) -> pd.DataFrame:
        """Return one row for each architecture and source of variance, of groups that differ only in `vary`."""
        studies = variance_studies(self.study.cohorts)
        sources = [source for study in studies for source in study.sources]
        rows = zip(sources, variance_table(*studies), strict=True)
        types = {"cohort": str, **variance_table.types()}
        return frame_of([{"cohort": source.cohort, **row} for source, row in rows], types)

    def claims(self, file: str | Path | None = None) -> pd.DataFrame:
        """Return one row for each claim and cohort: its verdict, what was measured, and why it is not testable.

        Args:
            file: TOML file with claims; `None` for the published ones, on data with their classes.

        Raises:
            UserError: the file cannot be read, or holds something that is no claim.
        """
        from intelbench.reporting.verdicts import verdict_table
        from intelbench.results.claims import load_claims

        return self._frame(verdict_table, None if file is None else load_claims(path_argument("file", file, "file")))

    def predictions(self, cohort: str | None = None) -> pd.DataFrame:
        """Return one row for each test image: its id, its class, and the predicted class of every run.

        Args:
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: no such cohort, or its runs were tested on different images.
        """
        summary = self._finished(cohort)
        if any(not np.array_equal(run.test_ids, summary.runs[0].test_ids) for run in summary.runs):
            raise UserError(f"cohort {summary.cohort.key}: its runs were tested on different images")
        return predicted_classes(summary)

    def probabilities(self, cohort: str | None = None) -> pd.DataFrame:
        """Return one row for each finished run and test image: its class, the predicted class, and all probabilities.

        Probabilities are the softmax of the recorded logits, without a temperature.

        Args:
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: no such cohort, or no run of it has finished.
        """
        return pd.concat(list(frames(self._finished(cohort))), ignore_index=True)

    def model(
        self,
        architecture: str | None = None,
        *,
        cohort: str | None = None,
        device: str | None = None,
        plugins: Sequence[str | Path] = (),
    ) -> "TrainedModel":
        """Return a trained network, with its transform, classes and temperature.

        Of the runs that have kept their weights, it is the one with the best validation score.

        Args:
            architecture: Name of the architecture, as `architecture` takes it; `None` for the one that the report
                recommends.
            cohort: Key of a cohort; `None` for the largest in which the architecture has kept weights.
            device: `cpu`, `cuda`, `cuda:1` or `mps`; `None` for that of the run, or the CPU if this machine has no such
                device.
            plugins: Plug-in files, if the architecture is of one.

        Raises:
            UserError: there are no such weights, or the architecture has changed since.
        """
        from intelbench.api.trained import choose
        from intelbench.plugins.loading import load_plugins
        from intelbench.training.trained import load as load_model

        name = optional_text("architecture", architecture)
        files = accepted_value("plugins", plugins, tuple[Name, ...])
        device = optional_device(device)
        choice = choose(
            self.study, runs_folder(self.folder), name, self.cohort(cohort).cohort.key if cohort is not None else None
        )
        load_plugins(files)
        return load_model(choice.file, device)

    def trace(self, name: str, cohort: str | None = None) -> pd.DataFrame:
        """Return an array of `traces.npz` of all finished runs in tidy form: a row for each run and step.

        Args:
            name: Array with one value for each training step or evaluation point, such as `step_loss`.
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: no such cohort; or a run has no such array, or one with other dimensions.
        """
        name, frames = text("name", name), []
        for stored in self.cohort(cohort).cohort.runs:
            if stored.record.measurements is None:
                continue
            traces = stored.traces()
            num_steps = len(traces["step_loss"])
            steps: dict[int, NDArray[Any]] = {num_steps: np.arange(1, num_steps + 1)}
            steps = {len(traces["evaluation_step"]): traces["evaluation_step"]} | steps
            known = sorted(each for each, values in traces.items() if values.ndim == 1 and len(values) in steps)
            if name not in known:
                problem = f"no array {shortened(repr(name))} of one value a step"
                raise UserError(f"{stored.path.name}: {problem}. {one_of(name, known)}")
            spec = stored.record.spec
            facts = {"architecture": spec.architecture, "seed": spec.seed, "run_id": stored.record.run_id}
            frames.append(pd.DataFrame({**facts, "step": steps[len(traces[name])], name: traces[name]}))
        types = {"architecture": str, "seed": int, "run_id": str, "step": int, name: float}
        return typed(pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(types)), types)

    def confusion(self, architecture: str, cohort: str | None = None) -> pd.DataFrame:
        """Return the confusion matrix of an architecture: test images by true class (rows) and predicted class.

        Images are counted over all finished runs.

        Args:
            architecture: Name of an architecture with a finished run, as `architecture` takes it.
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: no such architecture or cohort.
        """
        summary = self.cohort(cohort)
        names = pd.Index(summary.data.class_names, name="true")
        counts = self.architecture(architecture, cohort).confusion
        return pd.DataFrame(counts, index=names, columns=names.rename("predicted"))

    def to_markdown(self, *, full: bool = False) -> str:
        """Return the report as Markdown; its links to figures work next to `figures/` of `intelbench report`.

        Args:
            full: Write every section, not only those that a reader acts on.

        Raises:
            UserError: `full` is neither true nor false.
        """
        from intelbench.reporting.report import write

        return write(self.study, full=flag("full", full)).text

    def to_html(self, path: str | Path, images: str | Path | None = None) -> None:
        """Write the report as one HTML page.

        Args:
            path: File to write.
            images: Folder of the images; `None` for the folder in the records.

        Raises:
            UserError: the file cannot be written, or `images` is not a folder.
        """
        from intelbench.reporting.html.page import as_html

        file = path_argument("path", path, "file")
        source = None if images is None else path_argument("images", images)
        page = as_html(self.study, source, cache_folder())
        with os_errors_as_user_errors():
            write_figures(file.parent, {file.name: page.encode()})

    def to_csv(self, folder: str | Path) -> tuple[Path, ...]:
        """Write the data frames as CSV files, and return their paths.

        Args:
            folder: Folder to write to; it is made if it does not exist.

        Raises:
            UserError: a file cannot be written.
        """
        from intelbench.api.tables import write_tables

        place = path_argument("folder", folder)
        with os_errors_as_user_errors():
            return write_tables(self, place)

    def to_latex(self) -> str:
        """Return results and differences as LaTeX tables with captions; they need `booktabs` and `graphicx`."""
        from intelbench.reporting.latex import render
        from intelbench.reporting.paper import paper_tables

        return render(paper_tables(self.study.cohorts))

    def to_card(self, architecture: str | None = None) -> str:
        """Return a model card for the Hugging Face Hub: Markdown with metadata.

        Args:
            architecture: Name of an architecture; `None` for the one that the report recommends.

        Raises:
            UserError: it has no finished run.
        """
        from intelbench.reporting.card import model_card

        return model_card(self.study.cohorts, optional_text("architecture", architecture))

    def publish(self, tracker: str, place: str | Path | None = None) -> int:
        """Send all runs to a tracker, in place of what it has of them, and return how many runs.

        Args:
            tracker: `mlflow`, `tensorboard`, `wandb` or the name of a plug-in's.
            place: Folder, or tracking URI for MLflow; `None` for the setting of the tracker, or a folder in the results
                folder.

        Raises:
            UserError: the tracker is not known, not installed or fails.
        """
        from intelbench.reporting.report import write
        from intelbench.trackers.publishing import publish_runs
        from intelbench.trackers.registry import make_tracker
        from intelbench.trackers.tracker import Place

        tracker = text("tracker", tracker)
        given = optional_text("place", place)
        made = make_tracker(tracker, Place(results=self.folder, given=given))
        report: dict[str, bytes] = {}
        if made.keeps_files:
            written = write(self.study)
            report = {"REPORT.md": written.text.encode()}
            report |= {f"figures/{name}": content for name, content in written.figures.items()}
        return publish_runs(tracker, made, [summary.cohort for summary in self.study.cohorts], report)

    def cohort(self, key: str | None = None) -> CohortSummary:
        """Return a cohort by its key; `None` for the largest.

        Raises:
            UserError: no such cohort.
        """
        wanted = optional_text("cohort", key)
        for summary in self.study.cohorts:
            if wanted in (None, summary.cohort.key):
                return summary
        raise UserError(f"cohort {shortened(repr(wanted))} is not known. {one_of(str(wanted), self.cohorts)}")

    def architecture(self, name: str, cohort: str | None = None) -> ArchitectureSummary:
        """Return an architecture with a finished run.

        Args:
            name: Its name; without a prefix such as `torchvision:` where only one architecture has that name.
            cohort: Key of a cohort; `None` for the largest.

        Raises:
            UserError: no such architecture or cohort, several architectures have that name, or no run has finished.
        """
        name = text("architecture", name)
        finished = {each.name: each for each in self._finished(cohort).finished}
        if (full_name := named(name, finished)) is None:
            raise UserError(f"architecture {shortened(repr(name))} has no finished run here. {one_of(name, finished)}")
        return finished[full_name]

    def _finished(self, cohort: str | None) -> CohortSummary:
        summary = self.cohort(cohort)
        if not summary.runs:
            raise UserError(f"cohort {summary.cohort.key}: no run has finished, so there are no predictions")
        return summary

    def __repr__(self) -> str:
        num_runs = sum(len(summary.cohort.runs) for summary in self.study.cohorts)
        num_cohorts = len(self.cohorts)
        return f"<Results of {plural(num_runs, 'run')} in {plural(num_cohorts, 'cohort')}, {self.folder}>"

    def _repr_html_(self) -> str:
        columns = ["architecture", "rank", "num_finished", "test_accuracy", "test_accuracy_low", "test_accuracy_high"]
        return self.table()[columns].to_html(index=False)

    def _frame(self, table: Table[..., Any], *arguments: object) -> pd.DataFrame:
        return frame_of(tables.of_cohorts(table, self.study.cohorts, *arguments), {"cohort": str, **table.types()})
