"""`intelbench list`."""

from pathlib import Path
from typing import Any

import click

from intelbench.api.locations import cache_folder
from intelbench.cli.output import complain, print_product
from intelbench.cli.parameters import GroupedCommand, option
from intelbench.cli.values import FOLDER, Choice, Value, magnitude, number, part_of_name


@click.command("list", cls=GroupedCommand)
@click.argument("pattern", type=Value(part_of_name), required=False)
@option("--pretrained", is_flag=True, heading="Search", help="Only networks with published weights; one row a file.")
@option(
    "--max-params", "max_parameters", type=Value(magnitude, "number"),
    help="Most parameters, with 1,000 classes: 30M, 500k.",
)  # fmt: skip
@option(
    "--max-gmacs", "max_macs", type=Value(number, "number"),
    callback=lambda _context, _parameter, gmacs: None if gmacs is None else gmacs * 1e9,
    help="Most GMACs of a forward pass for one image of the size of the weights.",
)  # fmt: skip
@option(
    "--licence", type=Value(part_of_name, "name"),
    help="Licence of the weights: `open`, or its name, such as mit. A licence that is not known is not open.",
)  # fmt: skip
@option(
    "--cache-dir", type=FOLDER, envvar="INTELBENCH_CACHE",
    help="Folder that keeps the catalogues. [default: the user's cache folder; env: INTELBENCH_CACHE]",
)  # fmt: skip
@option(
    "--format", "form", type=Choice(["md", "json", "csv"]), default="md",
    help="Format of what a search finds; json and csv list all networks if nothing is searched for.",
)  # fmt: skip
def list_(pattern: str | None, form: str, cache_dir: Path | None, **filters: Any) -> None:
    """List the known architectures and suites, or search the networks of torchvision and timm.

    PATTERN is a part of a name (convnext), or a pattern for all of it (vit_*_patch16_224). A search has a row for each
    network, with the facts of its default weights, or with --pretrained for each file of weights.
    """
    if pattern is None and not any(filters.values()) and form == "md":
        from intelbench.architectures.registry import ARCHITECTURES, find
        from intelbench.config.suites import built_in_suites, load_suite
        from intelbench.plugins.providers import BUILT_IN
        from intelbench.reporting.catalogue import as_text

        providers = ARCHITECTURES.providers()
        built_in = {name: find(name)[0] for name, provider in providers.items() if provider == BUILT_IN}
        facts = {name: each.published for name, each in built_in.items()}
        published = {name: (each.num_parameters, each.paper) for name, each in facts.items() if each}
        aliases = {name: each.aliases for name, each in built_in.items()}
        print_product(as_text(providers, aliases, published, [load_suite(name) for name in built_in_suites()]))
        return
    import msgspec

    from intelbench.orchestration.catalogue import Search, search
    from intelbench.reporting import catalogue

    wanted = Search(pattern=pattern, **filters)
    found = [msgspec.structs.asdict(offer) for offer in search(wanted, cache_folder(cache_dir), complain)]
    render = {"md": catalogue.offers_as_markdown, "json": catalogue.offers_as_json, "csv": catalogue.offers_as_csv}[
        form
    ]
    print_product(render(found))
