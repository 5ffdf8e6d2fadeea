"""Plug-in files that the process of a run loads."""

from collections.abc import Sequence

from intelbench.architectures.generators import seed_generators
from intelbench.architectures.registry import ARCHITECTURES, plugins_of
from intelbench.config.recipe import Recipe
from intelbench.data.augment import TRANSFORMS
from intelbench.data.seeds import stream_seed
from intelbench.plugins.loading import load_plugins
from intelbench.profiling.meters import METERS
from intelbench.training.optimizer import OPTIMIZERS


def plugins_of_run(architecture: str, recipe: Recipe) -> tuple[str, ...]:
    """Return the plug-in files of a run: with meters, then with its optimizer, its transforms and its architecture.

    The last file can import modules of its folder when its network is built and run.

    Raises:
        UserError: the run needs a value that was registered outside plug-in files and installed packages.
    """
    ARCHITECTURES.require_loadable([architecture])
    OPTIMIZERS.require_loadable([recipe.optimizer])
    TRANSFORMS.require_loadable(recipe.transforms)
    METERS.require_loadable()
    last = plugins_of(architecture)
    optimizer, transforms = OPTIMIZERS.plugin_files([recipe.optimizer]), TRANSFORMS.plugin_files(recipe.transforms)
    first = [*METERS.plugin_files(), *optimizer, *transforms]
    return (*(file for file in dict.fromkeys(first) if file not in last), *last)


def load_plugins_of_run(plugins: Sequence[str], seed: int) -> None:
    """Load plug-in files; random numbers that they draw come from the seed's `init` stream."""
    seed_generators(stream_seed(seed, "init"))
    load_plugins(plugins)
