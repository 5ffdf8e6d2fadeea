"""Predictions of every finished run for every test image, with the probability of each class."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from intelbench.data.names import probability_column
from intelbench.records.store import StoredRun
from intelbench.results.summaries import CohortSummary

_FIRST = ("cohort", "run_id", "architecture", "seed", "image", "label", "predicted", "confidence")


def frames(summary: CohortSummary) -> Iterator[pd.DataFrame]:
    """Yield a frame for each finished run of a cohort, with a row for each test image.

    Probabilities are the softmax of the recorded logits, without a temperature.

    Raises:
        UserError: the arrays of a record cannot be read.
    """
    finished = {run.record.run_id for run in summary.runs}
    names = {record.run_id: name for name, records in summary.cohort.by_architecture.items() for record in records}
    for stored in summary.cohort.runs:
        if stored.record.run_id in finished:
            run_id = stored.record.run_id
            yield _frame(stored, {"cohort": summary.cohort.key, "run_id": run_id, "architecture": names[run_id]})


def predicted_classes(summary: CohortSummary) -> pd.DataFrame:
    """Return a row for each test image of runs on the same images: its id, its class, and the class for each run."""
    names, first = np.array(summary.data.class_names), summary.runs[0]
    kind = pd.CategoricalDtype(list(summary.data.class_names))
    labels = {"label": first.test_labels}
    labels |= {f"{run.record.spec.architecture}-s{run.seed}": run.test_predictions for run in summary.runs}
    ids = pd.Series(first.test_ids.astype(str), dtype=pd.StringDtype())
    return pd.DataFrame({"image": ids, **{name: pd.Series(names[each], dtype=kind) for name, each in labels.items()}})


def columns(summaries: Sequence[CohortSummary]) -> list[str]:
    """Return the columns of the frames of all cohorts, whose classes may differ."""
    classes = dict.fromkeys(name for summary in summaries for name in summary.data.class_names)
    return [*_FIRST, *map(probability_column, classes)]


def _frame(stored: StoredRun, of_run: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for each test image of a run, beginning with texts that all rows have."""
    traces, class_names = stored.traces(), stored.record.spec.data.class_names
    logits = traces["test_logits"].astype(np.float64)
    predicted, labels = logits.argmax(axis=1), traces["test_labels"].astype(np.int64)
    probabilities = softmax(logits, axis=1)
    kind = pd.CategoricalDtype(list(class_names))
    names = np.array(class_names)
    return pd.DataFrame(
        {
            **{name: pd.Series([text] * len(labels), dtype=pd.StringDtype()) for name, text in of_run.items()},
            "seed": pd.Series([stored.record.spec.seed] * len(labels), dtype=pd.Int64Dtype()),
            "image": pd.Series(traces["test_ids"].astype(str), dtype=pd.StringDtype()),
            "label": pd.Series(names[labels], dtype=kind),
            "predicted": pd.Series(names[predicted], dtype=kind),
            "confidence": pd.Series(probabilities.max(axis=1), dtype=pd.Float64Dtype()),
            **{
                probability_column(name): pd.Series(probabilities[:, index], dtype=pd.Float64Dtype())
                for index, name in enumerate(class_names)
            },
        }
    )
