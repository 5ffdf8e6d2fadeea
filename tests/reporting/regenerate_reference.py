"""Write the reports of the reference records again: `python -m tests.reporting.regenerate_reference`."""

from pathlib import Path

from intelbench.data.thumbnails import find_pictures
from intelbench.records.store import write_figures
from intelbench.reporting.html import page as html
from intelbench.results.study import read
from tests.reporting.rendered import build

RESULTS = Path(__file__).parents[2] / "results"
REFERENCES = ("reference", "reference-transfer")


def page(folder: Path) -> str:
    """Return the page of reference records without pictures: they show images that may not be passed on."""
    nowhere = str(folder / "no-pictures")
    return html.page(read(folder / "runs"), lambda data: find_pictures(nowhere, data.class_names, folder))


def main() -> None:
    """Write report, figures and page of each reference."""
    for folder in (RESULTS / name for name in REFERENCES):
        report = build(folder / "runs")
        for outdated in (folder / "figures").glob("*"):
            outdated.unlink()
        write_figures(folder / "figures", report.figures)
        (folder / "REPORT.md").write_text(report.text, encoding="utf-8", newline="\n")
        (folder / "report.html").write_text(page(folder), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
