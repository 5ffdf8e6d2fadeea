"""The known architectures and suites in words."""

import csv
import io
from collections.abc import Mapping, Sequence

import msgspec

from intelbench.architectures.catalogue import Offer
from intelbench.config.conditions import Suite
from intelbench.config.suites import budgets
from intelbench.errors import plural, printable
from intelbench.reporting import formatting
from intelbench.reporting.document import Column, definitions, table_of
from intelbench.reporting.formatting import ABSENT, code
from intelbench.reporting.markdown import block_text
from intelbench.reporting.rows import Row, number, text


def as_text(
    providers: Mapping[str, str],
    aliases: Mapping[str, Sequence[str]],
    published: Mapping[str, tuple[int, str]],
    suites: Sequence[Suite],
) -> str:
    """List architectures and suites, one a line.

    Args:
        providers: Who provides each architecture, by its name.
        aliases: Other names of each architecture that has some.
        published: Parameters with 1000 classes, and the paper, of the architectures for which they are known.
        suites: The built-in suites.
    """
    lines = ["Architectures:"]
    for name, provider in providers.items():
        note = f"from {provider}"
        if name in published:
            num_parameters, paper = published[name]
            note = f"{num_parameters / 1e6:.1f} M parameters with 1000 classes; {paper}"
        also = f"; also called {' or '.join(aliases[name])}" if aliases.get(name) else ""
        lines.append(printable(f"  {name:20} {note}{also}"))
    lines += [
        "  NAME                 any classifier of torchvision (torchvision:NAME) or timm (timm:NAME; extra `timm`);",
        "                       `intelbench list PATTERN` searches them.",
        "",
        "Suites:",
    ]
    lines += [
        f"  {suite.name:20} {suite.description} {plural(len(suite.seeds), 'seed')}, {suite.image_size} px, "
        f"{' or '.join(map(str, budgets(suite)))} a run."
        for suite in suites
    ]
    return "".join(f"{line}\n" for line in lines)


def offers_as_markdown(offers: Sequence[Mapping[str, object]]) -> str:
    """Return the networks that a search has found as a table, and what its columns mean.

    Args:
        offers: The fields of `intelbench.architectures.catalogue.Offer`.
    """
    table = block_text(table_of(_COLUMNS, offers))
    networks = plural(len({str(offer["name"]).partition(".")[0] for offer in offers}), "network")
    files = "" if networks == plural(len(offers), "network") else f"{len(offers):,} files of weights of "
    return f"{table}\n\n{files}{networks}. {definitions(_COLUMNS)}\n"


def offers_as_json(offers: Sequence[Mapping[str, object]]) -> str:
    """Return the networks that a search has found as JSON, in base units."""
    return msgspec.json.format(msgspec.json.encode(offers), indent=2).decode() + "\n"


def offers_as_csv(offers: Sequence[Mapping[str, object]]) -> str:
    """Return the networks that a search has found as CSV, in base units; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, Offer.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    writer.writerows(offers)
    return text.getvalue()


_COLUMNS = (
    text("Network", "name"),
    number(
        "Parameters (M)", "num_parameters", lambda value: f"{value / 1e6:.1f}", "with the head of 1,000 classes"
    ),
    number(
        "GMACs", "forward_macs", formatting.giga,
        "10⁹ multiply-accumulate operations of a forward pass for one image of that size",
    ),
    number(
        "Size (px)", "image_size", formatting.count,
        "input with which the publishers evaluate the weights; a suite has a size of its own",
    ),
    Column[Row](
        "Weights",
        lambda row: code(row["weights"]) if row["weights"] else ABSENT,
        is_number=False,
        definition="value of `recipe.weights`",
    ),
    text("Licence", "licence", "of the weights, as the library states it"),
    number(
        "ImageNet top-1 (%)", "imagenet_top1", formatting.bare_percent,
        "as the library states it, under its own preprocessing; timm states none",
    ),
)  # fmt: skip
