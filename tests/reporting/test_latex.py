"""Tables for papers as LaTeX."""

import re

import pytest

from intelbench.reporting.latex import escape, inline, render
from intelbench.reporting.paper import paper_tables
from tests.synthetic import Summarize, failure

SPECIAL = "\\ { } $ & # ^ _ ~ % < > [ | −"


def rows(text: str) -> list[list[str]]:
    """The cells of the rows of a table's body."""
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    return [line.removesuffix(r" \\").split(" & ") for line in body.strip().splitlines()]


def test_results_and_differences(summarize: Summarize) -> None:
    """Each with its interval; the captions say n and what the intervals are."""
    summary = summarize(["resnet101", "resnet152"])
    results, differences = (render([table]) for table in paper_tables([summary]))
    accuracy = summary.finished[0].test_accuracy
    assert accuracy is not None
    assert accuracy.low is not None
    assert accuracy.high is not None
    written = rf"{100 * accuracy.mean:.1f} \% {{[}}{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"
    (row,) = [row for row in rows(results) if row[0] == summary.finished[0].name]
    assert written in row
    assert r"mean over n = 3 seeds {[}95 \% interval over seeds and test images]" in results
    assert rf"Data digest \texttt{{{summary.data.digest}}}." in results
    assert r"n = 3 seeds $\times$ 300 test images, paired by seed and image" in differences
    assert ["resnet101 $-$ resnet152"] == [row[0] for row in rows(differences)]
    labels = re.findall(r"\\label\{(.*?)\}", results + differences)
    assert [f"tab:{kind}-{summary.cohort.key}" for kind in ("results", "differences")] == labels


def test_a_document_can_read_it(summarize: Summarize) -> None:
    """Groups and environments are closed, every row has a cell for each column, and no character is left bare."""
    name = "tiny_net"
    summary = summarize(["resnet101", name], source="photos_100%_&_#1", failures={(name, 2): failure()})
    for table in paper_tables([summary]):
        text = render([table])
        bare = re.sub(r"\\[\\{}$&#^_~%]", "", re.sub(r"^%.*\n", "", text))
        assert bare.count("{") == bare.count("}")
        assert 0 == bare.count("$") % 2
        assert not re.search(r"[#^~]|(?<!\{)%", bare)
        assert not re.search(r"_", re.sub(r"\\label\{.*?\}", "", bare))
        for environment in ("table", "tabular"):
            assert 1 == text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}")
        (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
        assert {len(columns)} == {len(re.split(r"(?<!\\)&", row)) for row in text.splitlines() if row.endswith(r" \\")}
    assert r"photos\_100\%\_\&\_\#1" in text
    results, differences = (render([table]) for table in paper_tables([summary]))
    assert "1 run failed; means are those of the others." in results
    assert "n = 2 to 3 seeds {[}" in results
    assert r"n = 2 seeds $\times$" in differences  # those of the pair, not of its two architectures


def test_one_seed_has_no_differences(summarize: Summarize) -> None:
    """Nothing is ranked, so there is one table."""
    (table,) = paper_tables([summarize(["resnet101", "resnet152"], [0])])
    assert "n = 1 seed " in table.caption
    assert "share a letter" not in table.caption


@pytest.mark.parametrize(
    ("markdown", "latex"),
    [
        ("**bold** and *thin* and `a_b`", r"\textbf{bold} and \emph{thin} and \texttt{a\_b}"),
        (r"resnet\_a &lt; 5 %", r"resnet\_a \textless{} 5 \%"),
        ("+3.2 [−0.4, +6.8]", r"+3.2 {[}$-$0.4, +6.8]"),
        ("1.90 ×", r"1.90 $\times$"),
    ],
)
def test_inline_markdown(markdown: str, latex: str) -> None:
    """Of cells and captions."""
    assert latex == inline(markdown)


def test_special_characters() -> None:
    """Each shows as it is."""
    assert (
        r"\textbackslash{} \{ \} \$ \& \# \textasciicircum{} \_ \textasciitilde{} \% \textless{} \textgreater{} {[} "
        r"\textbar{} $-$"
    ) == escape(SPECIAL)
