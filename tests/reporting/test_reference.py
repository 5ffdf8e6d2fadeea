"""The committed reference reports are what the code makes of the committed records."""

import re
from pathlib import Path

import pytest

from tests.reporting.regenerate_reference import REFERENCES, RESULTS, page
from tests.reporting.rendered import build

FOLDERS = pytest.mark.parametrize("folder", [RESULTS / name for name in REFERENCES], ids=REFERENCES)


@FOLDERS
def test_a_reference_report_is_what_its_records_give_byte_for_byte(folder: Path) -> None:
    """REPORT.md is rendered again and equal; every figure that it shows is committed."""
    report = build(folder / "runs")
    assert (folder / "REPORT.md").read_bytes() == report.text.encode()
    assert set(report.figures) == {path.name for path in (folder / "figures").iterdir()}


@FOLDERS
def test_a_reference_page_is_what_its_records_give_byte_for_byte(folder: Path) -> None:
    """It is rendered again and equal, and holds none of the images, which may not be passed on."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text == page(folder)
    assert "No pictures" in text
    assert not re.search("[A-Za-z0-9+/]{200}", text)  # as Base64 has


@FOLDERS
def test_the_readme_shows_the_main_table_of_a_reference(folder: Path) -> None:
    """What the README shows was measured: its table is in the report, line for line."""
    readme = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    shown = readme.partition(f"<!-- table of {folder.name} -->\n")[2].partition("\n<!-- end -->")[0]
    assert 5 <= len(shown.splitlines())
    assert shown in (folder / "REPORT.md").read_text(encoding="utf-8")


def test_the_readme_quotes_the_first_sentences_of_the_references() -> None:
    """Word for word, apart from line breaks."""
    readme = " ".join((RESULTS.parent / "README.md").read_text(encoding="utf-8").split())
    reports = [(RESULTS / name / "REPORT.md").read_text(encoding="utf-8") for name in REFERENCES]
    quotes = re.findall(r'report says: "([^"]+)"', readme)
    assert len(REFERENCES) == len(quotes)
    assert [] == [quote for quote in quotes if not any(quote in report for report in reports)]


def test_figures_in_the_readme_exist() -> None:
    """They are files of the references."""
    links = re.findall(r"\((results/[^)]*/figures/[^)]*)\)", (RESULTS.parent / "README.md").read_text(encoding="utf-8"))
    assert 1 <= len(links)
    assert [] == [link for link in links if not (RESULTS.parent / link).is_file()]
