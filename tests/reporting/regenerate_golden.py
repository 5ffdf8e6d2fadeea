"""Write golden/REPORT.md again: `python -m tests.reporting.regenerate_golden` in the repository; then read the diff."""

import tempfile
from pathlib import Path

from intelbench.results.claims import load_claims
from tests.reporting.rendered import build
from tests.synthetic import ARCHITECTURES, Study, failure, synthetic_runs

GOLDEN = Path(__file__).parent / "golden" / "REPORT.md"
STUDY = Study(
    class_names=("buildings", "forest", "Gletscher über", "mountain", "sea", "<script>alert(1)</script>|x"),
    suite="golden",
    failures={("wide_resnet101_2", 3): failure("diverged", "the loss is not finite at step 41", 41)},
)


def golden_report(folder: Path) -> str:
    """The full report on the golden records, written to `folder` first."""
    synthetic_runs(folder / "runs", ARCHITECTURES, range(5), STUDY)
    return build(folder / "runs", claims=load_claims(), full=True).text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(golden_report(Path(folder)), encoding="utf-8", newline="\n")
