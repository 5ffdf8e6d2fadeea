"""The plug-ins of a run, in its own process."""

from collections.abc import Sequence
from pathlib import Path

from intelbench.architectures.generators import seed_generators
from intelbench.architectures.registry import plugins_of
from intelbench.data.seeds import stream_seed
from intelbench.plugins.loading import load_plugin
from intelbench.profiling.meters import METERS


def plugins_of_run(architecture: str) -> tuple[str, ...]:
    """Return the plug-in files that the process of a run loads: those with meters, then that of the architecture.

    The last one can import modules of its folder when its network is built and run.
    """
    own = plugins_of(architecture)
    return (*(file for file in METERS.plugin_files() if file not in own), *own)


def load_plugins(plugins: Sequence[str], seed: int) -> None:
    """Load plug-in files; what they draw as they are loaded comes from the seed's `init` stream."""
    seed_generators(stream_seed(seed, "init"))
    for plugin in plugins:
        load_plugin(Path(plugin))
