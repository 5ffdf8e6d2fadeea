"""From the report's Markdown to HTML: anchors, tables that can be sorted and scrolled, figures put in by name.

Of raw HTML only the folding that `the report` writes is let through; all else that looks like it becomes text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

Fragment = Callable[[str], str]
"""From the description of a figure to the HTML that stands for it."""

_FOLDING = re.compile(r"</details>|<details><summary>[^<>]*</summary>")
_INTERVAL = re.compile(r"(.*\S) (\[[^\[\]]+\])")


@dataclass(frozen=True)
class Heading:
    """An entry of the table of contents."""

    level: int
    anchor: str
    text: str


def render(text: str, fragments: Mapping[str, Fragment]) -> tuple[str, list[Heading]]:
    """Render Markdown; `![DESCRIPTION](figures/NAME)` becomes the fragment of that name."""
    parser = MarkdownIt("commonmark").enable("table").disable("html_inline")
    for rule in (image, html_block, interval, table_open, table_close):
        parser.add_render_rule(rule.__name__, rule)
    tokens = parser.parse(text)
    headings = _anchor(tokens)
    _arrange_tables(tokens)
    _unwrap_figures(tokens)
    return parser.renderer.render(tokens, parser.options, {"fragments": fragments}), headings


def image(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """The fragment, or the description of an image that there is none for."""
    description = _plain(tokens[place])
    fragment: Fragment = env["fragments"].get(str(tokens[place].attrGet("src")).removeprefix("figures/"), escapeHtml)
    return fragment(description)


def html_block(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """Folding as it is, other markup as text."""
    content = tokens[place].content
    return content if _FOLDING.fullmatch(content.strip()) else f"<p>{escapeHtml(content)}</p>\n"


def interval(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """The brackets after an estimate, on a line of their own."""
    return f' <span class="interval">{escapeHtml(tokens[place].content)}</span>'


def table_open(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """A table scrolls for itself where it is wider than the page."""
    return f'<div class="scroll">{self.renderToken(tokens, place, options, env)}'


def table_close(self: RendererHTML, tokens: Sequence[Token], place: int, options: OptionsDict, env: EnvType) -> str:
    """The end of both."""
    return "</table></div>\n"


def _anchor(tokens: Sequence[Token]) -> list[Heading]:
    """Give each heading an anchor and each table the name of its section."""
    found: list[Heading] = []
    taken: dict[str, int] = {}
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            text = _plain(following)
            slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
            taken[slug] = taken.get(slug, 0) + 1
            anchor = slug if taken[slug] == 1 else f"{slug}.{taken[slug]}"
            token.attrSet("id", anchor)
            found.append(Heading(int(token.tag[1:]), anchor, text))
        elif token.type == "table_open" and found:
            token.attrSet("aria-label", found[-1].text)
    return found


def _arrange_tables(tokens: Sequence[Token]) -> None:
    """Headings of columns and rows as such, numbers by class, and intervals apart from what they are of."""
    for place, token in enumerate(tokens):
        if token.type in ("th_open", "td_open"):
            if token.attrs.pop("style", None) == "text-align:right":
                token.attrSet("class", "number")
            if token.type == "th_open":
                token.attrSet("scope", "col")
            elif tokens[place - 1].type == "tr_open" and tokens[place + 1].content:
                token.tag = tokens[place + 2].tag = "th"
                token.attrSet("scope", "row")
            _set_interval_apart(tokens[place + 1])


def _set_interval_apart(cell: Token) -> None:
    texts = cell.children or []
    if len(texts) == 1 and texts[0].type == "text" and (parts := _INTERVAL.fullmatch(texts[0].content)):
        texts[0].content = parts[1]
        texts.append(Token("interval", "span", 0, content=parts[2]))


def _unwrap_figures(tokens: Sequence[Token]) -> None:
    """A paragraph that is one image is no paragraph."""
    for before, inline, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if before.type == "paragraph_open" and [child.type for child in inline.children or []] == ["image"]:
            before.hidden = after.hidden = True


def _plain(token: Token) -> str:
    """Its text without markup."""
    return "".join(child.content for child in token.children or [])
