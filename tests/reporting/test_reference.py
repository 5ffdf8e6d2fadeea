"""The committed reference report is what the code makes of the committed records."""

import re

from intelbench.reporting.report import build
from tests.reporting.regenerate_reference import REFERENCE, page


def test_the_reference_report_is_what_its_records_give_byte_for_byte() -> None:
    """REPORT.md is rendered again and equal; every figure that it shows is committed."""
    report = build(REFERENCE / "runs")
    assert (REFERENCE / "REPORT.md").read_bytes() == report.text.encode()
    assert set(report.figures) == {path.name for path in (REFERENCE / "figures").iterdir()}


def test_the_reference_page_is_what_its_records_give_byte_for_byte() -> None:
    """It is rendered again and equal, and holds none of the images, which may not be passed on."""
    text = (REFERENCE / "report.html").read_text(encoding="utf-8")
    assert text == page()
    assert "No pictures" in text
    assert not re.search("[A-Za-z0-9+/]{200}", text)  # as Base64 has


def test_the_readme_shows_its_main_table_and_one_of_its_figures() -> None:
    """What the README shows was measured: its table stands in the reference report, line for line."""
    readme = (REFERENCE.parents[1] / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("<!-- reference table -->\n")[2].partition("\n<!-- end -->")[0]
    assert 7 <= len(shown.splitlines())
    assert shown in (REFERENCE / "REPORT.md").read_text(encoding="utf-8")
    figures = [line for line in readme.splitlines() if "(results/reference/figures/" in line]
    assert 1 <= len(figures)
    for line in figures:
        name = line.partition("(results/reference/figures/")[2].partition(")")[0]
        assert (REFERENCE / "figures" / name).is_file()
