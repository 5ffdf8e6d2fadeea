"""The report gives the speed of a backbone and of its heads apart, and says of what a figure is."""

from intelbench.reporting.sections.features import features
from intelbench.reporting.sections.opening import headline
from intelbench.reporting.sections.results import results
from intelbench.results.metrics import METRICS
from tests.reporting.rendered import rendered
from tests.synthetic import Summarize


def test_runs_on_images_have_no_such_section(summarize: Summarize) -> None:
    """Nor its columns in the main table, which has their images a second."""
    summary = summarize(["a", "b"])
    assert [] == features(summary)
    table = rendered(results(summary))[0]
    assert "Images/s" in table
    assert "Extraction" not in table


def test_a_head_has_no_images_a_second(summarize: Summarize) -> None:
    """The main table has those of the backbone, of the run that computed them, and what an epoch of the head takes."""
    summary = summarize(["a", "b"], features=True)
    table, *others = rendered(results(summary))
    headings = [heading.strip() for heading in table.partition("\n")[0].split("|")]
    assert {"Extraction (images/s)", "Head epoch (s)"} <= set(headings)
    assert "Images/s" not in headings
    text = "\n".join(others)
    assert "median of forward, backward and optimizer of the head, on stored features, over the steps" in text
    assert "with the extraction of features where a run did it" in text
    rate, epoch = METRICS.get("extracted_images_per_second"), METRICS.get("head_epoch_seconds")
    first, second = sorted(summary.finished, key=lambda architecture: architecture.name)
    assert ([50.0], [20.0]) == (rate.values(first), rate.values(second))
    run = first.runs[0]
    steps = run.record.spec.num_train // run.record.spec.conditions.recipe.batch_size
    assert run.median_total_seconds * steps == epoch.value(run)


def test_the_headline_is_about_the_backbone(summarize: Summarize) -> None:
    """The speed of a head says nothing about an architecture."""
    text = headline(summarize(["a", "b"], features=True))
    assert "`a` passes 50.0 images a second through its backbone and `b` 20.0, once for all heads (not tested)." in text
    assert "An epoch of a head takes " in text
    assert "trains" not in text


def test_memory_is_given_with_and_without_extraction(summarize: Summarize) -> None:
    """Of the runs that computed all features, and of those that read all of them."""
    table, note = rendered(features(summarize(["a"], features=True)))
    (row,) = [line for line in table.splitlines() if line.startswith("| a ")]
    assert ["a", "480", "9.60", "50.0", "1"] == [cell.strip() for cell in row.split("|")[1:6]]
    assert 2 == row.count("700 MiB")
    assert "never ran the backbone on more than two images" in note
