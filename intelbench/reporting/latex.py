r"""Tables as LaTeX, with the rules of the package `booktabs`."""

import re
from collections.abc import Sequence

from markdown_it import MarkdownIt

from intelbench.reporting.paper import PaperTable

_MARKDOWN = MarkdownIt("commonmark").disable(["autolink", "html_inline", "image", "link"])
_CHARACTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}", '"': "''",
    "|": r"\textbar{}",
    "[": "{[}",  # after the end of a row a bracket would be an argument
    "−": "$-$", "×": r"$\times$", "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "–": "--", "—": "---",
    "†": r"\dag{}", "…": r"\dots{}", "·": r"$\cdot$", "²": r"$^2$", "³": r"$^3$", "\u00a0": "~",
}  # fmt: skip
_SPECIAL = re.compile("|".join(map(re.escape, _CHARACTERS)))
_COMMANDS = {"strong_open": r"\textbf{", "em_open": r"\emph{", "strong_close": "}", "em_close": "}"}


def render(tables: Sequence[PaperTable]) -> str:
    """Return floating tables that a document inputs."""
    head = "% Made by intelbench. The document needs \\usepackage{booktabs} and \\usepackage{graphicx}.\n"
    return head + "\n".join(_float(table) for table in tables)


def inline(text: str) -> str:
    """Return inline Markdown (bold, emphasis, code) as LaTeX; every other character shows as it is."""
    written = []
    for token in _MARKDOWN.parseInline(text)[0].children or ():
        if token.type == "code_inline":
            written.append(rf"\texttt{{{escape(token.content)}}}")
        elif token.type in ("softbreak", "hardbreak"):
            written.append(" ")
        else:
            written.append(_COMMANDS.get(token.type) or escape(token.content))
    return "".join(written)


def escape(text: str) -> str:
    """Return plain text as LaTeX."""
    return _SPECIAL.sub(lambda match: _CHARACTERS[match[0]], text)


def _float(table: PaperTable) -> str:
    columns = table.table.columns
    titles = [inline(column.title) for column in columns]
    headings = [
        rf"\multicolumn{{1}}{{c}}{{{title}}}" if column.is_number else title  # numbers are below the middle of theirs
        for column, title in zip(columns, titles, strict=True)
    ]
    alignment = "".join("r" if column.is_number else "l" for column in columns)
    rows = [[inline(cell.text) for cell in row] for row in table.table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{inline(table.caption)}}}",
            rf"\label{{tab:{table.label}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{alignment}}}",
            r"\toprule",
            _row(headings),
            r"\midrule",
            *map(_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            "}",
            r"\end{table}",
            "",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
