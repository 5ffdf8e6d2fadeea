"""`intelbench list`."""

import click

from intelbench.cli.output import print_product


@click.command("list")
def list_() -> None:
    """List the known architectures and suites."""
    from intelbench.architectures.registry import ARCHITECTURES, find
    from intelbench.config.suites import built_in_suites, load_suite
    from intelbench.plugins.providers import BUILT_IN
    from intelbench.reporting.catalogue import as_text

    providers = ARCHITECTURES.providers()
    facts = {name: find(name)[0].published for name, provider in providers.items() if provider == BUILT_IN}
    published = {name: (each.num_parameters, each.paper) for name, each in facts.items() if each}
    print_product(as_text(providers, published, [load_suite(name) for name in built_in_suites()]))
