"""The known architectures and suites in words."""

from collections.abc import Mapping, Sequence

from intelbench.config.conditions import Suite
from intelbench.config.suites import budgets
from intelbench.errors import plural, printable


def as_text(providers: Mapping[str, str], published: Mapping[str, tuple[int, str]], suites: Sequence[Suite]) -> str:
    """List architectures and suites, one a line.

    Args:
        providers: Who provides each architecture, by its name.
        published: Parameters with 1000 classes, and the paper, of the architectures for which they are known.
        suites: The built-in suites.
    """
    lines = ["Architectures:"]
    for name, provider in providers.items():
        note = f"from {provider}"
        if name in published:
            num_parameters, paper = published[name]
            note = f"{num_parameters / 1e6:.1f} M parameters with 1000 classes; {paper}"
        lines.append(printable(f"  {name:20} {note}"))
    lines += ["  NAME                 any torchvision classifier, in full torchvision:NAME", "", "Suites:"]
    lines += [
        f"  {suite.name:20} {suite.description} {plural(len(suite.seeds), 'seed')}, {suite.image_size} px, "
        f"{' or '.join(map(str, budgets(suite)))} a run."
        for suite in suites
    ]
    return "".join(f"{line}\n" for line in lines)
