"""The folders that are used where the user names none."""

from pathlib import Path


def cache_folder(given: str | Path | None = None) -> Path:
    """Return the folder of decoded images: the given one, or the user's cache folder."""
    from platformdirs import user_cache_path

    from intelbench.config.requests import path_argument

    if given is not None:
        return path_argument("cache_folder", given)
    return user_cache_path("intelbench", appauthor=False)
