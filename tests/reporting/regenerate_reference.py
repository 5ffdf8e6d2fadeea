"""Write results/reference/ anew from its records: `python -m tests.reporting.regenerate_reference`."""

from pathlib import Path

from intelbench.records.store import write_figures
from intelbench.reporting.report import build

REFERENCE = Path(__file__).parents[2] / "results" / "reference"

if __name__ == "__main__":
    report = build(REFERENCE / "runs")
    write_figures(REFERENCE / "figures", report.figures)
    (REFERENCE / "REPORT.md").write_text(report.text, encoding="utf-8", newline="\n")
