"""The plug-ins of a run, in its own process."""

from collections.abc import Sequence
from pathlib import Path

from intelbench.architectures.generators import seed_generators
from intelbench.data.seeds import stream_seed
from intelbench.plugins.loading import load_plugin


def load_plugins(plugins: Sequence[str], seed: int) -> None:
    """Load plug-in files; what they draw as they are loaded comes from the seed's `init` stream."""
    seed_generators(stream_seed(seed, "init"))
    for plugin in plugins:
        load_plugin(Path(plugin))
