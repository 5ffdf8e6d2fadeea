"""The page holds all that the report says, asks for nothing, and shows what records contain as text."""

import html
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from intelbench.data.thumbnails import Pictures
from intelbench.errors import UserError
from intelbench.records.types import DataFacts
from intelbench.reporting.document import (
    Block,
    CodeBlock,
    Details,
    Document,
    Gallery,
    Paragraph,
    Section,
    cell,
    table,
)
from intelbench.reporting.html import album, matrices
from intelbench.reporting.html.blocks import Renderer, inline
from intelbench.reporting.html.figures import inline_svg
from intelbench.reporting.html.page import as_html, page
from intelbench.reporting.markdown import block_text
from intelbench.reporting.plugin_sections import sections
from intelbench.reporting.sections.mistakes import mistakes as section
from intelbench.results import mistakes
from intelbench.results.study import read
from intelbench.statistics.estimates import Estimate
from tests.conftest import write_image
from tests.reporting.rendered import build
from tests.synthetic import CONDITIONS, Study, Summarize, failure, synthetic_runs

CONDITIONS_96 = msgspec.structs.replace(CONDITIONS, image_size=96)
SCRIPT = "<script>alert(1)</script>"
HOSTILE = ("</script><img src=x onerror=alert(2)>", SCRIPT, "'\"><svg onload=alert(3)>", "![x](http://x.invalid/y.png)")


class Outline(HTMLParser):
    """What the elements of a page are, and whether they close as they opened."""

    VOID = ("meta", "link", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """It closes what was opened last."""
        assert self.open.pop() == tag


def data_of(text: str) -> dict[str, dict[str, list[object]]]:
    """What the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, dict[str, list[object]]] = json.loads(found[1])
    return content


def no_pictures(facts: DataFacts) -> Pictures:
    """As where the images are not at hand."""
    raise UserError(f"data {facts.source}: no such folder")


def written(folder: Path, **changes: object) -> str:
    """The page of two architectures and two seeds."""
    synthetic_runs(folder / "runs", ["a", "b"], [0, 1], Study(**changes))
    return as_html(read(folder / "runs"), None, folder / "cache")


def some_pictures(root: Path, num_test: int) -> Pictures:
    """Pictures of different sizes under the ids of synthetic records."""
    for number in range(num_test):
        write_image(root / "test" / f"{number:05d}.jpg", seed=number)
    return Pictures(root.resolve(), ("test/",))


def test_same_records_same_bytes(tmp_path: Path) -> None:
    """Wherever they lie and in whatever order they were written."""
    synthetic_runs(tmp_path / "one" / "runs", ["a", "b"], [0, 1])
    synthetic_runs(tmp_path / "two", ["a", "b"], [0, 1], order=lambda pairs: pairs[::-1])
    first, second = (
        as_html(read(folder), None, tmp_path / "cache") for folder in (tmp_path / "one" / "runs", tmp_path / "two")
    )
    assert first == second


def test_the_page_is_well_formed_and_asks_for_nothing(tmp_path: Path) -> None:
    """Elements close, ids are unique, references point into the page, and there is no address of anything else."""
    text = written(tmp_path)
    outline = Outline(text)
    assert [] == outline.open
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in outline.attributes:
        if name in ("href", "xlink:href"):
            assert value == "data:," or (value or "").removeprefix("#") in ids
        assert name not in ("src", "srcset", "action", "data")
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_the_page_says_what_the_report_says(tmp_path: Path) -> None:
    """Every number and word of the Markdown's tables and paragraphs stands in the page."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", written(tmp_path).partition("<main")[2].partition("<dialog")[0]))
    report = re.sub(
        r"!\[.*|```\w*|<[^>]*>|^\d+\. |Their names|^\| Image .*",
        "",
        html.unescape(build(tmp_path / "runs", full=True).text),
        flags=re.MULTILINE,
    )
    assert set() == set(re.findall(r"\w[\w.,]*", report)) - set(re.findall(r"\w[\w.,]*", text))


@pytest.mark.parametrize("num_classes", [4, 25])
def test_text_from_records_stays_text(tmp_path: Path, num_classes: int) -> None:
    """Class names, ids and sources that look like markup make no element and no attribute, in a table or a list."""
    names = tuple(sorted([*HOSTILE, *(f"c{number:02d}" for number in range(num_classes - len(HOSTILE)))]))
    text = written(tmp_path, class_names=names, source=f"/x/{SCRIPT}")
    outline = Outline(text)
    assert 2 == outline.tags.count("script")
    assert 0 == outline.tags.count("img") == outline.tags.count("image") - 2 * (num_classes == 25)
    assert not any(name.startswith("on") for name, _ in outline.attributes)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert any(SCRIPT in str(cell[0]) for cell in data_of(text)["cells"].values())


def rendered(*blocks: Block) -> str:
    """The HTML of a document of these blocks."""
    return Renderer({}).render(Document("T", blocks))


def test_raw_html_in_prose_is_text() -> None:
    """As are links and images, which no prose of the report has."""
    assert "a &lt;b&gt;c&lt;/b&gt; <strong>d</strong>" == inline("a <b>c</b> **d**")
    assert "<details><summary>s &lt;i&gt;</summary>\n<p>x</p>\n</details>" in rendered(
        Details("s <i>", [Paragraph("x")])
    )
    assert not re.search("<a |<img", inline("![x](http://x.invalid/y.png) [z](http://x.invalid) <http://x.invalid>"))


def test_a_block_of_code_is_text() -> None:
    """Markup and control characters in it are shown, and nothing is read as Markdown."""
    assert "<pre><code>&lt;b&gt; **x**\ufffd\n</code></pre>" in rendered(CodeBlock("<b> **x**\x1b", "sh"))


def test_headings_have_anchors() -> None:
    """Of plain characters, each once, though the titles are equal or have none."""
    renderer = Renderer({})
    renderer.render(Document("A `b`", [Section("A b", []), Section("é", [Section("c", [])])]))
    expected = [(1, "a-b", "A b"), (2, "a-b.2", "A b"), (2, "section", "é"), (3, "c", "c")]
    assert expected == [(each.level, each.anchor, each.text) for each in renderer.headings]


def test_tables_for_people_and_machines() -> None:
    """Rows and columns have headings, numbers their class, intervals a line of their own; nothing else is cut."""
    cells = [["x", "1.5 % [1, 2]"], ["`[1, 2]`", "x [1] y"]]
    text = rendered(table(["a", "b"], cells))
    assert '<table aria-label="T">' in text
    assert '<th scope="row">x</th>' in text
    assert '<td class="number">1.5 % <span class="interval">[1, 2]</span></td>' in text
    assert '<th scope="row"><code>[1, 2]</code></th>' in text
    assert '<td class="number">x [1] y</td>' in text


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (0.1 + 0.2, ' data-value="0.3"'),
        (1 / 3, ' data-value="0.333333333333"'),
        (464 * 2**20, ' data-value="486539264"'),
        (Estimate(-0.107, -0.221, 0.008, 3), ' data-value="-0.107"'),
        (math.inf, ' data-value="Infinity"'),
        (math.nan, ""),
    ],
)
def test_cells_carry_the_number_they_are_sorted_by(value: Estimate | float | None, attribute: str) -> None:
    """In base units, with digits that are the same on every machine, whatever is shown; one that is absent has none."""
    text = rendered(table(["a", "b"], [["x", cell(value, lambda _: "shown")]]))
    assert f'<td class="number"{attribute}>shown</td>' in text
    assert '<td class="number">–</td>' in rendered(table(["a", "b"], [["x", cell(None, lambda _: "shown")]]))


def test_figures_do_not_share_names(tmp_path: Path) -> None:
    """An inlined figure has a role and a description, and its ids begin with its prefix."""
    synthetic_runs(tmp_path, ["a"], [0])
    figure = next(iter(build(tmp_path).figures.values()))
    text = inline_svg(figure, "f7_", 'of "a" & b')
    assert 'role="img" aria-label="of &quot;a&quot; &amp; b"' in text
    assert re.findall(r' id="(.*?)"', text)
    assert all(
        name.startswith("f7_") for name in re.findall(r' id="(.*?)"|url\(#(.*?)\)|href="#(.*?)"', text)[0] if name
    )
    assert "xmlns" not in text
    assert "<style" not in text


def test_cells_hold_what_was_misclassified(summarize: Summarize) -> None:
    """A cell counts images over the runs, lists each once, the most confident first, and at most so many."""
    summary = summarize(["a"], [0, 1, 2])
    (architecture,) = summary.finished
    found = mistakes.by_cell(architecture)
    assert architecture.confusion is not None
    counts = np.array(architecture.confusion)
    np.fill_diagonal(counts, 0)
    by_count = {(int(t), int(p)): int(counts[t, p]) for t, p in np.argwhere(counts)}
    assert by_count == {cell: sum(mistake.num_runs for mistake in each) for cell, each in found.items()}
    matrix = matrices.matrix_table(architecture, summary, "0")
    assert {f"0-{label}-{taken_for}" for label, taken_for in found} == {cell.key for cell in matrix.opening}
    for each in found.values():
        assert len(each) == len({mistake.image_id for mistake in each})
        assert [m.confidence for m in each] == sorted((m.confidence for m in each), reverse=True)
    fullest = max(found.values(), key=len)
    assert len(fullest) > matrices.MAX_IN_CELL
    cell = next(cell for cell in matrix.opening if cell.note.startswith(f"24 of {len(fullest)} images"))
    assert matrices.MAX_IN_CELL == len(cell.items)


def test_images_that_every_architecture_gets_wrong(summarize: Summarize) -> None:
    """Those wrong in more than half of the runs of each, and no others."""
    summary = summarize(["a", "b"], [0, 1, 2, 3])
    wrong = np.array([[~run.correct for run in each.runs] for each in summary.finished]).sum(axis=1)
    ids = summary.finished[0].runs[0].test_ids
    expected = {str(ids[place]): int(wrong[:, place].sum()) for place in np.flatnonzero((wrong > 2).all(axis=0))}
    found = mistakes.shared(summary)
    assert found
    assert expected == {mistake.image_id: mistake.num_runs for mistake in found}
    assert all(sum(number for _, number in each.predicted) == each.num_runs for each in found)
    answer, gallery = section(summary)
    assert block_text(answer).startswith(f"**{len(found)} of 300 test images")
    assert isinstance(gallery, Gallery)
    assert [mistake.image_id for mistake in found[:60]] == [image.image_id for image in gallery.images]
    assert gallery.images[0].name in block_text(gallery)


def test_none_that_all_get_wrong(summarize: Summarize) -> None:
    """Is said in words."""
    summary = summarize(["a"], [0], num_test=6, accuracies={"a": 1.0})
    assert [] == mistakes.shared(summary)
    (answer,) = section(summary)
    assert block_text(answer).startswith("None:")


def test_pictures_are_embedded_once_and_within_the_budget(summarize: Summarize, tmp_path: Path) -> None:
    """The images that are wrong most often come first; when the budget is spent, the others have no picture."""
    summary = summarize(["a", "b"], [0, 1])
    pictures = some_pictures(tmp_path / "images", 300)
    wanted = [(summary.data.digest, f"test/{number:05d}.jpg") for number in [*range(300), *range(300)]]
    whole = album.embed([summary], wanted, lambda facts: pictures)
    assert 300 == len(whole.entries) == sum(entry.picture is not None for entry in whole.entries)
    times_wrong = mistakes.times_wrong(summary)
    order = [times_wrong[entry.image_id] for entry in whole.entries]
    assert order == sorted(order, reverse=True)
    size = sum(len(entry.picture or "") for entry in whole.entries)
    half = album.embed([summary], wanted, lambda facts: pictures, size // 2)
    embedded = [entry.picture for entry in half.entries if entry.picture]
    assert embedded == [entry.picture for entry in whole.entries][: len(embedded)]
    assert size // 2 - 2000 < sum(map(len, embedded)) <= size // 2


def test_images_without_a_picture_are_counted(tmp_path: Path) -> None:
    """Some were not found: how many of how many."""
    synthetic_runs(tmp_path / "runs", ["a"], [0])
    pictures = some_pictures(tmp_path / "images", 100)
    text = page(read(tmp_path / "runs"), lambda facts: pictures)
    images = data_of(text)["images"]
    missing = sum(picture is None for _, picture in images)
    assert 0 < missing < len(images)
    assert f"{missing} of the {len(images)} misclassified images here have no picture" in text


def test_absent_images_are_said_to_be(tmp_path: Path) -> None:
    """The folder by its name, what to do, and every id without a picture."""
    synthetic_runs(tmp_path, ["a"], [0, 1])
    text = page(read(tmp_path), no_pictures)
    assert "<strong>No pictures:</strong> data scenes: no such folder" in text
    assert str(tmp_path) not in text
    images = data_of(text)["images"]
    assert images
    assert all(picture is None for _, picture in images)


def test_groups_have_matrices_of_their_own(tmp_path: Path) -> None:
    """Two cohorts: two sections each on what is wrong, one picture for an image of both."""
    synthetic_runs(tmp_path, ["a"], [0])
    synthetic_runs(tmp_path, ["b"], [0], Study(conditions=CONDITIONS_96))
    text = page(read(tmp_path), no_pictures)
    assert 2 == len(re.findall("<h3[^>]*>Images that every architecture gets wrong", text))
    assert 2 == text.count('<table class="matrix"')
    names = [name for name, _ in data_of(text)["images"]]
    assert len(names) == len(set(names))
    assert [] == Outline(text).open


def test_failures_alone_make_a_page(tmp_path: Path) -> None:
    """Without a finished run there is no matrix and nothing to look at."""
    failures = {("a", 0): failure(message=f"{SCRIPT} was too much")}
    synthetic_runs(tmp_path, ["a"], [0], Study(failures=failures))
    text = page(read(tmp_path), no_pictures)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; was too much" in text
    assert '<table class="matrix"' not in text
    assert {"cells": {}, "images": []} == data_of(text)


def test_the_size_of_a_large_study_is_bounded(tmp_path: Path) -> None:
    """Five architectures, with as many pictures as are let in: at most 5 MB."""
    synthetic_runs(tmp_path, study=Study(num_test=900))
    images = Pictures(tmp_path, ())
    text = page(read(tmp_path), lambda facts: images)
    assert album.BUDGET + len(text.encode()) <= 5_000_000


def test_sections_that_the_default_report_leaves_out_are_folded(tmp_path: Path) -> None:
    """The page has all of them; what a reader acts on is open."""
    text = written(tmp_path)
    folded = re.findall(r'<details class="section"><summary><h2 id="[^"]*">(.*?)</h2>', text)
    assert [each.name for each in sections() if not each.value.in_default and each.name in folded] == folded
    assert {"Calibration", "Training loss"} <= set(folded)
    assert '\n<h2 id="results">Results</h2>' in text
