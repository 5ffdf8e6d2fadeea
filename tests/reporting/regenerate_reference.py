"""Write results/reference/ again from its records: `python -m tests.reporting.regenerate_reference`."""

from pathlib import Path

from intelbench.records.store import write_figures
from intelbench.reporting.html.page import as_html
from intelbench.reporting.report import build
from intelbench.results.study import read

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


def page() -> str:
    """The page of the reference records without pictures: they show images that may not be passed on."""
    return as_html(read(REFERENCE / "runs"), REFERENCE / "no-pictures", REFERENCE)


if __name__ == "__main__":
    report = build(REFERENCE / "runs")
    for outdated in (REFERENCE / "figures").iterdir():
        outdated.unlink()
    write_figures(REFERENCE / "figures", report.figures)
    (REFERENCE / "REPORT.md").write_text(report.text, encoding="utf-8", newline="\n")
    (REFERENCE / "report.html").write_text(page(), encoding="utf-8", newline="\n")
