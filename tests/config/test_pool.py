"""Where runs are executed: a name, or a file that is read strictly."""

from pathlib import Path

import pytest

from intelbench.config.pool import Pool, load_pool
from intelbench.errors import UserError


def test_a_name_is_an_engine_with_its_defaults() -> None:
    """Whether it is known is for the registry of engines to say."""
    assert Pool(engine="gpus", slots=None) == load_pool("gpus")


def test_a_file_names_the_engine_and_its_slots(tmp_path: Path) -> None:
    """Both keys."""
    file = tmp_path / "pool.toml"
    file.write_text('engine = "slots"\nslots = 4\n')
    assert Pool(engine="slots", slots=4) == load_pool(str(file))
    assert Pool(engine="slots", slots=4) == load_pool(str(file.rename(tmp_path / "POOL.TOML")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('engine = "slots"\nslot = 4\n', "slot: not known"),
        ("slots = 4\n", "engine: missing"),
        ('engine = "slots"\nslots = 0\n', "slots"),
        ('engine = "slots"\nslots = "4"\n', "slots"),
        ("engine: slots\n", "not TOML"),
        ('engine = "slurm"\nmemory = "32"\n', "memory '32': not a size"),
        ('engine = "slurm"\n[slurm]\ntime = {hours = 8}\n', "time"),
        ('engine = "ray"\n[ray]\nadress = "auto"\n', "adress: not known"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    """With the file and the key; an unknown one is answered with the nearest."""
    file = tmp_path / "pool.toml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_pool(str(file))
    assert f"--on {file}: " in str(error.value)
    assert said in str(error.value).replace("`", "")
