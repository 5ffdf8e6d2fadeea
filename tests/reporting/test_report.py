"""The report is a pure function of the records, says everything once, and hides nothing."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from intelbench.errors import UserError
from intelbench.records.store import write_run
from intelbench.reporting.export import as_csv, as_json
from intelbench.reporting.plugin_sections import sections
from intelbench.reporting.report import Report, write
from intelbench.results import study
from intelbench.results.claims import load_claims
from intelbench.results.study import read
from tests.reporting.regenerate_golden import GOLDEN, golden_report
from tests.reporting.rendered import build
from tests.synthetic import CONDITIONS, Study, failure, synthetic_run, synthetic_runs

LARGER = msgspec.structs.replace(CONDITIONS, image_size=96)


def test_golden(tmp_path: Path) -> None:
    """The report on fixed records is the committed one, byte for byte (regenerate_golden.py writes it)."""
    assert GOLDEN.read_bytes().decode() == golden_report(tmp_path)


def content(report: Report) -> tuple[str, dict[str, bytes]]:
    """Return the text and the drawn figures."""
    return report.text, report.figures


def test_many_records_are_read_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the same report, which names unreadable records in the same order."""
    folders = synthetic_runs(tmp_path, study=Study(failures={("resnet152", 1): failure()}))
    (folders[0] / "traces.npz").write_bytes(b"")
    (folders[5] / "record.json").write_text("{}")
    alone = build(tmp_path)
    monkeypatch.setattr(study, "_MANY", 2)
    monkeypatch.setattr(study, "_CHUNK", 2)
    assert content(alone) == content(write(read(tmp_path)))


def test_order_and_place_of_records_are_irrelevant(tmp_path: Path) -> None:
    """Records written in another order to another folder give the same text and figures."""
    synthetic_runs(tmp_path / "one" / "runs")
    synthetic_runs(tmp_path / "two" / "elsewhere", order=lambda pairs: pairs[::-1])
    assert content(build(tmp_path / "one" / "runs")) == content(build(tmp_path / "two" / "elsewhere"))


def test_links_and_figures_agree(tmp_path: Path) -> None:
    """Every linked figure exists, every figure is linked, each is well-formed SVG."""
    synthetic_runs(tmp_path, ["Net", "net", "n:et"], [0, 1])
    report = build(tmp_path, full=True)
    linked = re.findall(r"\]\(figures/([^)]+)\)", report.text)
    assert sorted(report.figures) == sorted(linked)
    assert 8 == len({name.lower() for name in linked})
    for figure in report.figures.values():
        ElementTree.fromstring(figure)


def test_cohorts_never_share_a_table(tmp_path: Path) -> None:
    """Two image sizes: two groups with their own tables and figures, and the key in which they differ."""
    synthetic_runs(tmp_path, ["small_a", "small_b"], [0, 1])
    synthetic_runs(tmp_path, ["large_a"], [0, 1], Study(conditions=LARGER))
    report = build(tmp_path, full=True)
    assert "2 groups that must not be compared with each other: they differ in `conditions.image_size`" in report.text
    tables = re.split(r"\n\n", report.text)
    assert not any("small_a" in table and "large_a" in table for table in tables)
    assert 13 == len(report.figures)


def test_mismatch_refuses_to_rank(tmp_path: Path) -> None:
    """No rank column, no pairs, and the reason."""
    synthetic_runs(tmp_path, study=Study(other_batches=[("resnet152", 0)]))
    text = build(tmp_path).text
    assert "**Not ranked:**" in text
    assert not re.search(r"^\| *Architecture *\| *Rank", text, flags=re.MULTILINE)
    assert "pair by pair" not in text
    assert "**no**, from step 4 at the latest" in text


def test_failures_stay_visible(tmp_path: Path) -> None:
    """A failed architecture has its row, its failure in words, and its message made harmless."""
    failures = {("resnet152", seed): failure("diverged", "loss is nan |\n<b>") for seed in range(3)}
    synthetic_runs(tmp_path, study=Study(failures=failures))
    text = build(tmp_path).text
    assert re.search(r"^\| resnet152 .*\| 0 of 3 .*3: diverged \|$", text, flags=re.MULTILINE)
    assert r"loss is nan \| &lt;b&gt;" in text


def test_all_failed(tmp_path: Path) -> None:
    """Records without a single measurement still make a report."""
    failures = {(name, seed): failure() for name in "ab" for seed in range(2)}
    synthetic_runs(tmp_path, "ab", (0, 1), Study(failures=failures))
    report = build(tmp_path)
    assert {} == report.figures
    assert "## Failures" in report.text
    assert "## Recall by class" not in report.text
    json.loads(as_json(read(tmp_path)))


def test_hostile_names_do_no_harm(tmp_path: Path) -> None:
    """A class called like a script stands nowhere as HTML, and breaks no table."""
    name = "<script>alert(1)</script>|x"
    synthetic_runs(tmp_path, ["a"], [0], Study(class_names=("b", name)))
    text = build(tmp_path).text
    assert "<script>" not in text
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;\|x" in text


def test_unreadable_records_are_named(tmp_path: Path) -> None:
    """A damaged record and a damaged trace are listed in a line each, without the path to the folder."""
    paths = synthetic_runs(tmp_path, ["a", "b"], [0, 1])
    (paths[0] / "record.json").write_text("{")
    (paths[1] / "traces.npz").write_bytes(b"not a zip")
    text = build(tmp_path).text
    left_out = text.partition("## Records left out")[2].strip().splitlines()
    assert [True, True] == [path.name in line for path, line in zip(paths[:2], left_out, strict=True)]
    assert str(tmp_path) not in text


def test_no_records(tmp_path: Path) -> None:
    """None there, or none that can be read: the error says where it looked and what to run."""
    with pytest.raises(UserError) as raised:
        build(tmp_path)
    assert f"{tmp_path}: no record in it" in str(raised.value)
    assert f"Try `intelbench run --all --out {tmp_path}`" in str(raised.value)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "record.json").write_text("{")
    with pytest.raises(UserError) as raised:
        build(tmp_path)
    assert f"{tmp_path}: none of the 1 there can be read: " in str(raised.value)
    assert "--rerun failed" in str(raised.value)


def test_json_and_csv_hold_the_same_numbers(tmp_path: Path) -> None:
    """One row of CSV for each architecture of each cohort, equal to the JSON; no NaN in either."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1], Study(failures={("b", 0): failure()}))
    synthetic_runs(tmp_path, ["a"], [0], Study(conditions=LARGER))
    rows = list(csv.DictReader(io.StringIO(as_csv(read(tmp_path)))))
    content = json.loads(as_json(read(tmp_path)), parse_constant=pytest.fail)
    plain = [(cohort["key"], row) for cohort in content["cohorts"] for row in cohort["architectures"]]
    assert [3, 3] == [len(rows), len(plain)]
    for (key, expected), row in zip(plain, rows, strict=True):
        assert key == row.pop("cohort")
        assert {name: "" if value is None else str(value) for name, value in expected.items()} == row
    assert 2 == len(content["cohorts"][0]["confusion_matrices"])
    assert 3 == len(content["cohorts"][0]["runs"])
    assert 1 == len(content["cohorts"][0]["failures"])


def test_report_knows_nothing_of_torch(tmp_path: Path) -> None:
    """A whole report over 15 runs imports neither torch nor pyplot."""
    synthetic_runs(tmp_path)
    program = (
        "import sys; from pathlib import Path; from intelbench.reporting.report import write; "
        "from intelbench.results.study import read; write(read(Path(sys.argv[1]))).figures; "
        "print([n for n in ('torch', 'matplotlib.pyplot') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_no_dead_units_are_said_to_be_none(tmp_path: Path) -> None:
    """No worst call is named where none is bad; other columns show their zeros."""
    record, traces = synthetic_run("resnet101", 0, Study())
    traces["activation_dead_share"] = np.zeros_like(traces["activation_dead_share"])
    write_run(tmp_path, record, traces)
    section = build(tmp_path, full=True).text.split("## Dead units and mean activation")[1].split("\n## ")[0]
    (row,) = (line for line in section.splitlines() if line.startswith("| resnet101"))
    assert "none" == row.strip("|").split("|")[-1].strip()
    assert "stem.relu" not in section


def test_records_without_activations_have_no_such_section(tmp_path: Path) -> None:
    """As those of networks without ReLU."""
    record, traces = synthetic_run("resnet101", 0, Study())
    write_run(tmp_path, record, {name: each for name, each in traces.items() if not name.startswith("activation")})
    assert "## Dead units" not in build(tmp_path, full=True).text


@pytest.mark.parametrize("name", ["record.json", "traces.npz"])
def test_a_record_changed_after_it_was_written_is_left_out_by_name(tmp_path: Path, name: str) -> None:
    """The others are reported; where all were changed, there is nothing to report on."""
    first, second = synthetic_runs(tmp_path, ["a", "b"], [0])
    _append(first / name)
    text = build(tmp_path).text
    assert f"- {first.name}: changed after it was written" in text.partition("## Records left out")[2]
    assert "1 architecture (`b`)" in text
    _append(second / name)
    with pytest.raises(UserError, match="changed after it was written"):
        build(tmp_path)


def _append(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b" ")


def test_files_that_were_not_used_are_counted(tmp_path: Path) -> None:
    """In the sentences on the data if there are any, and in a row."""
    for number, sentence in (
        (0, None),
        (1, "1 other file in class folders was"),
        (18, "18 other files in"),
    ):
        runs = tmp_path / str(number)
        synthetic_runs(runs, ["a"], [0], Study(num_other_files=number))
        text = write(read(runs)).text
        assert (sentence is not None) == ("in class folders w" in text)
        assert sentence is None or sentence in text
        assert "| Other files in class folders, not used " in text


def test_the_default_report_is_a_part_of_the_full_one(tmp_path: Path) -> None:
    """Block by block; it names what the full one has in addition, and draws none of those figures."""
    synthetic_runs(tmp_path, ["a", "b"], [0, 1])
    default, full = build(tmp_path), build(tmp_path, full=True)
    *blocks, title, more = default.text.strip().split("\n\n")
    assert set(blocks) < set(full.text.strip().split("\n\n"))
    assert "## More" == title
    left_out = [entry.name for entry in sections() if not entry.value.in_default]
    assert all(name.lower() in more.lower() for name in left_out)
    assert not any(f"## {name}\n" in default.text for name in left_out)
    assert all(f"## {name}\n" in full.text for name in ("Calibration", "Training loss", "Step breakdown"))
    assert {"cost", "confusion"} == {name.partition("-")[0] for name in default.figures}
    assert default.figures.items() < full.figures.items()


def test_published_claims_are_checked_on_the_data_they_are_about(tmp_path: Path) -> None:
    """On other classes only claims that a reader chose are; JSON agrees."""
    synthetic_runs(tmp_path / "published", ["a", "b"], [0, 1])
    synthetic_runs(tmp_path / "other", ["a", "b"], [0, 1], Study(class_names=("cat", "dog")))
    assert "## Published claims" in build(tmp_path / "published").text
    assert "## Published claims" not in build(tmp_path / "other").text
    assert "## Published claims" in build(tmp_path / "other", claims=load_claims()).text
    assert [] == json.loads(as_json(read(tmp_path / "other")))["cohorts"][0]["claims"]


def test_absent_kinds_of_memory_are_one_line(tmp_path: Path) -> None:
    """Those that the runs lack for the same reason share it."""
    synthetic_runs(tmp_path, ["a"], [0])
    assert 1 == build(tmp_path).text.count("No column for")
