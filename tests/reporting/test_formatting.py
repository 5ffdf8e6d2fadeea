"""Numbers read well, and no text from outside can change the layout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from intelbench.config.budget import Budget
from intelbench.reporting import formatting
from intelbench.reporting.document import CodeBlock, Details, Paragraph, listing, table
from intelbench.reporting.markdown import block_text
from intelbench.statistics.estimates import Estimate

SCRIPT = "<script>alert(1)</script>|x"


def cells(text: str) -> list[str]:
    """Text of the body's cells after rendering."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    body = tokens[[token.type for token in tokens].index("tbody_open") :]
    found = []
    for token in body:
        if token.type == "inline":
            assert all(child.type in ("text", "text_special") for child in token.children or [])
            found.append("".join(child.content for child in token.children or []))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SCRIPT, r"&lt;script&gt;alert(1)&lt;/script&gt;\|x"),
        ("# heading", r"\# heading"),
        ("1. item", r"1\. item"),
        ("2.11.0", "2.11.0"),
        ("a`b`", r"a\`b\`"),
        ("back\\slash", r"back\\slash"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("bell\x07 and \u202eoverride", "bell\ufffd and \ufffdoverride"),
        ("inception_v3 _x_", r"inception_v3 \_x\_"),
        ("[link](http://x)", r"\[link\](http://x)"),
        ("$x$ & ~y~", r"\$x\$ &amp; \~y\~"),
        ("Gletscher 氷河", "Gletscher 氷河"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    """Characters that mean something in Markdown or HTML show as themselves."""
    assert expected == formatting.escape(text)


@given(st.text(max_size=60))
def test_escaped_text_survives_a_table(text: str) -> None:
    """Whatever the text, the rendered table has one row of two cells that show it, and nothing else."""
    rendered = cells(block_text(table(["a", "b"], [[formatting.escape(text), "end"]])))
    assert [formatting.printable(text), "end"] == rendered


@given(st.text(max_size=60).filter(lambda text: formatting.printable(text) != ""))
def test_code_survives(text: str) -> None:
    """A code span shows its text, backticks and all."""
    (token,) = [
        token for token in MarkdownIt("commonmark").parse(f"x {formatting.code(text)}") if token.type == "inline"
    ]
    span = token.children[-1]
    assert "code_inline" == span.type
    assert formatting.printable(text) == span.content


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.0, "1.00"),
        (123.4, "123"),
        (1234.5, "1,230"),
        (9.999, "10.0"),
        (2e-6, "2.00e-06"),
    ],
)
def test_significant(value: float, expected: str) -> None:
    """Three digits, no exponent where a reader can do without."""
    assert expected == formatting.significant(value)


@given(st.floats(1e-4, 1e9))
def test_significant_is_within_half_a_unit(value: float) -> None:
    """What is printed is the value, to three digits."""
    assert pytest.approx(value, rel=0.00501) == float(formatting.significant(value).replace(",", ""))


def test_numbers_with_units() -> None:
    """Percentages, intervals, sizes and differences as the report prints them."""
    assert "41.3 % [38.0, 44.6]" == formatting.percent_interval(Estimate(0.4133, 0.38, 0.446, 3))
    assert "41.3 % (n = 1)" == formatting.percent_interval(Estimate(0.4133, None, None, 1))
    assert "–" == formatting.percent_interval(None)
    assert "−1.2 [−3.0, +0.6]" == formatting.points(Estimate(-0.012, -0.03, 0.006, 3))
    assert "1.30 GiB" == formatting.size(1395864371)
    assert "1.00 GiB" == formatting.size(1023 * 2**20 + 2**19)
    around = Estimate(1.01 * 2**30, 1020 * 2**20, 1.1 * 2**30, 3)
    assert "1.01 GiB [0.996 GiB, 1.10 GiB]" == formatting.size_interval(around)
    assert "512 B [100 B, 1,500 B]" == formatting.size_interval(Estimate(512, 100, 1500, 3))
    assert "512 B" == formatting.size_interval(Estimate(512, None, None, 1))
    assert "4.08 [0.369, 40.8] TFLOP" == formatting.quantity_interval(Estimate(4.08e12, 3.69e11, 4.08e13, 3), "FLOP")
    assert ("250 J", "1.25 kJ", "0 J") == tuple(formatting.quantity(joules, "J") for joules in (250, 1250, 0))
    assert "–" == formatting.size_interval(None)
    assert "42.5 M" == formatting.si(42512970)
    assert "209" == formatting.milliseconds(0.2093)
    assert "< 0.001" == formatting.p_value(0.0002)
    assert "0–3, 7" == formatting.numbers([3, 0, 1, 2, 7])


@pytest.mark.parametrize("text", ["60 s", "1234567 steps", "2.5 epochs", "1e15 flops", "1.5e16 flops", "7 images"])
def test_budget_is_read_back(text: str) -> None:
    """A budget is written so that it parses to the same one, whatever its size."""
    budget = Budget.parse(text)
    assert budget == Budget.parse(str(budget))


def test_block_holds_no_control_characters() -> None:
    """Its lines stay lines, and their indentation."""
    assert "```sh\na\ufffd[31m\n    b\n```" == block_text(CodeBlock("a\x1b[31m\n\tb\n", "sh"))


def test_block_cannot_be_closed_from_inside() -> None:
    """A fence is longer than any in its content."""
    (token,) = MarkdownIt("commonmark").parse(block_text(CodeBlock("a\n```\nb", "toml")))
    assert "a\n```\nb\n" == token.content


def test_a_listing_is_unfolded_while_it_can_be_read() -> None:
    """One that is too long is not even made; it says where its content is."""
    folded = listing("All", 2, lambda: [Paragraph("x")], limit=2)
    assert isinstance(folded, Details)
    assert "<details><summary>All</summary>\n\nx\n\n</details>" == block_text(folded)
    found = listing("All", 3000, lambda: pytest.fail("was made"))
    assert "All: 3,000 are too many to read; `intelbench report --out FILE.json` has them all." == block_text(found)


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.0, "0.0 %"),
        (0.0004, "< 0.1 %"),
        (0.0005, "0.1 %"),
        (0.9994, "99.9 %"),
        (0.9996, "> 99.9 %"),
        (1.0, "100.0 %"),
        (-0.0004, "0.0 %"),
        (-0.056, "−5.6 %"),
    ],
)
def test_only_all_are_100_percent_and_only_none_are_0(share: float, shown: str) -> None:
    """A share that merely rounds to all or to none is shown as a bound."""
    assert shown == formatting.percent(share)
    assert shown == formatting.percent_interval(Estimate(share, None, None, 3)).removesuffix(" (n = 3)")
    assert shown.removesuffix(" %") == formatting.bare_percent(share)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-29T12:12:26.123456+00:00", "2026-11-29T12:12:26+00:00"),
        ("2026-11-29T12:12:26+00:00", "2026-11-29T12:12:26+00:00"),
        ("99999-99-99T99:99:99", "99999-99-99T99:99:99"),
    ],
)
def test_a_time_is_written_to_the_second(text: str, expected: str) -> None:
    """A record has microseconds, which tell it from another of the same run; the report does not need them."""
    assert expected == formatting.moment(text)
