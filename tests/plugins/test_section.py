"""A plug-in file adds a section to the report, and what is wrong with it is one line that names it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import intelbench
from intelbench.errors import UserError
from intelbench.plugins.loading import load_plugin
from intelbench.reporting.document import Block, Column, Figure, Paragraph, definitions, table_of
from intelbench.reporting.html.page import as_html
from intelbench.reporting.plugin_sections import sections
from intelbench.results.study import read
from tests.conftest import Command
from tests.reporting.rendered import build
from tests.synthetic import synthetic_runs

PLUGIN = Path(__file__).with_name("section.py")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def test_a_plugin_adds_a_section(tmp_path: Path, intelbench: Command) -> None:
    """With a table, a figure and who provides it, after the section that it names, in Markdown and in HTML."""
    synthetic_runs(tmp_path / "results" / "runs", ["a", "b"], [0, 1])
    done = intelbench("report", "results", "--plugin", PLUGIN)
    assert 0 == done.returncode, done.stderr
    before, _, text = done.stdout.partition("## Loss jumps\n")
    assert before.split("\n## ")[-1].startswith("Results\n")
    text = text.partition("\n## ")[0]
    assert "| Architecture   |   Jump (nats) |" in text
    assert "**Jump**: largest rise of the loss in a step." in text
    assert "Section of `section.py sha256:" in text
    (figure,) = (tmp_path / "results" / "figures").glob("jumps-*.svg")
    assert f"![Largest jump of the training loss](figures/{figure.name})" in text
    done = intelbench("report", "results", "--plugin", PLUGIN, "--out", "report.html")
    assert 0 == done.returncode, done.stderr
    page = (tmp_path / "report.html").read_text("utf-8")
    _, _, page = page.partition('<h2 id="loss-jumps">Loss jumps</h2>')
    page = page.partition("<h2 ")[0]
    assert '<th scope="col" class="number">Jump (nats)</th>' in page
    assert 'aria-label="Largest jump of the training loss"' in page


def add(title: str, **options: Any) -> None:
    intelbench.section(title, **options)(lambda _: [Paragraph(f"This is {title}.")])


def test_sections_have_an_order(tmp_path: Path) -> None:
    """Each is after the one that it names, in the order of registration; one that names none is at the end."""
    for title, after in (("Last", None), ("A", "Results"), ("B", "A"), ("C", "Results"), ("D", "A")):
        add(title, after=after)
    names = [entry.name for entry in sections()]
    assert ["Results", "A", "B", "D", "C", "Stored features"] == names[:6]
    assert ["How to reproduce", "Last"] == names[-2:]


def test_a_section_can_be_left_to_the_full_report(tmp_path: Path) -> None:
    """The default one names it; the page folds it."""
    add("Extra", in_default=False)
    synthetic_runs(tmp_path, ["a"], [0])
    text = build(tmp_path).text
    assert "## Extra" not in text
    assert "extra, as far as it was recorded" in text.replace(" and extra", " extra")
    assert "## Extra\n\nThis is Extra." in build(tmp_path, full=True).text
    assert '<details class="section"><summary><h2 id="extra">' in as_html(read(tmp_path), None, tmp_path)


def test_a_section_with_nothing_to_say_is_left_out(tmp_path: Path) -> None:
    """Its title and who provides it, too."""
    intelbench.section("Silent")(lambda _: [])
    synthetic_runs(tmp_path, ["a"], [0])
    assert "Silent" not in build(tmp_path).text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('"Results"', "section 'Results' is registered already, by intelbench; choose another name"),
        ('"Mine", after="Result"', "section 'Result' is not known. Try `Results`. Expected one of: Results, "),
        ('"a | b"', "section 'a | b': a name is 1 to 100 letters, digits, spaces,"),
    ],
)
def test_a_mistaken_registration_is_one_line(tmp_path: Path, arguments: str, says: str) -> None:
    """It names the file; nothing of it is registered."""
    file = tmp_path / "mine.py"
    file.write_text(f"import intelbench\n\n\n@intelbench.section({arguments})\ndef mine(summary):\n    return []\n")
    with pytest.raises(UserError, match=rf"plug-in {file}: {says.replace('|', '[|]')}"):
        load_plugin(file)
    assert "Mine" not in [entry.name for entry in sections()]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 1 / 0", r"failed with ZeroDivisionError: division by zero \(mine\.py:7\)"),
        (
            "return ['text']",
            r"returned a list with a str\. Expected a list of blocks of intelbench\.reporting\.document",
        ),
        ("return None", r"returned None\. Expected a list of blocks .*; \[\] where there is nothing to say"),
        ("return 3", r"returned an int\. Expected a list of blocks"),
        ("return 'text'", r"returned a str\. Expected a list of blocks"),
        ("return Paragraph('x')", r"returned a Paragraph\. Expected a list .* Try a list: \[Paragraph\(\.\.\.\)\]"),
        ("return [Details('x', None)]", r"Details 'x': `blocks` is None\. Expected a list of blocks"),
        ("return [Paragraph(3)]", "failed with TypeError"),
        ("return [Details('x', [Figure('../x', 'x', bytes)])]", r"failed with ValueError: figure '\.\./x': a name is"),
        ("return [Figure('x', 'x', lambda: 1 / 0)]", r"failed with ZeroDivisionError: division by zero \(mine\.py:7\)"),
        (
            "return [Figure('x', 'x', lambda: '<svg/>')]",
            "failed with TypeError: figure 'x' is drawn as str. Expected bytes of SVG",
        ),
        ("return [Figure('x', 'x', bytes)]", "failed with xml.etree.ElementTree.ParseError: no element found"),
    ],
)
def test_a_section_that_fails_is_one_line(tmp_path: Path, body: str, says: str) -> None:
    """It names the plug-in file and the section, whether the blocks or a figure are wrong."""
    file = tmp_path / "mine.py"
    imports = "import intelbench\nfrom intelbench.reporting.document import Details, Figure, Paragraph\n"
    file.write_text(f'{imports}\n\n@intelbench.section("Mine")\ndef mine(summary):\n    {body}\n')
    load_plugin(file)
    synthetic_runs(tmp_path / "runs", ["a"], [0])
    with pytest.raises(UserError, match=rf"plug-in {file}: section 'Mine': {says}"):
        assert build(tmp_path / "runs").figures


def test_two_figures_of_one_name_are_refused(tmp_path: Path) -> None:
    """One would take the other's place."""
    intelbench.section("Mine")(lambda _: [Figure("COST", "x", lambda: SVG)])
    synthetic_runs(tmp_path, ["a", "b"], [0, 1])
    with pytest.raises(UserError, match=r"figure 'cost-\w+\.svg': another figure of the report has this name"):
        build(tmp_path)


def test_a_package_provides_one_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every report, without `--plugin`; the entry point is the decorated function."""
    (tmp_path / "site" / "jumps-1.2.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "jumps.py").write_text(PLUGIN.read_text("utf-8"))
    (tmp_path / "site" / "jumps-1.2.dist-info" / "METADATA").write_text("Name: jumps\nVersion: 1.2\n")
    (tmp_path / "site" / "jumps-1.2.dist-info" / "entry_points.txt").write_text(
        "[intelbench.sections]\nLoss jumps = jumps:loss_jumps\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    synthetic_runs(tmp_path / "runs", ["a"], [0])
    assert "## Loss jumps" in build(tmp_path / "runs").text


def test_only_a_function_is_a_section() -> None:
    """What the decorator is put on is named."""
    decorate: Callable[[Any], Sequence[Block]] = intelbench.section("Mine")
    with pytest.raises(UserError, match=r"section 'Mine': decorates a list\. Expected a function"):
        decorate([])


def test_columns_say_what_they_mean() -> None:
    """Those with a definition, without the unit of their heading."""
    columns = [Column[int]("Rise (nats)", str, "of the loss"), Column[int]("Plain", str)]
    assert "**Rise**: of the loss." == definitions(columns)
    assert [["1", "1"], ["2", "2"]] == [[cell.text for cell in row] for row in table_of(columns, [1, 2]).rows]
