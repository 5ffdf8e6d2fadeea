"""Suites are read strictly, and every complaint names the key and what is accepted."""

from pathlib import Path
from typing import Any

import pytest

from intelbench.config.suites import (
    load_suite,
    override,
)
from intelbench.errors import UserError

SUITE = """
name = "mine"
architectures = ["resnet101"]
seeds = [0]
{top}
[budget]
{budget}
[recipe]
{recipe}
"""


def write(tmp_path: Path, top: str = "", budget: str = "steps = 3", recipe: str = "") -> str:
    path = tmp_path / "mine.toml"
    path.write_text(SUITE.format(top=top, budget=budget, recipe=recipe))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"top": "imge_size = 3"}, r"key `imge_size`: not known. Try `image_size`. Expected one of: image_size, .*"),
        (
            {"top": "step = 'fast'"},
            r"key `step`: 'fast' is not accepted\. Expected 'compile', 'eager' or 'graph'$",
        ),
        (
            {"top": "precision = 'fp8'"},
            r"key `precision`: 'fp8' is not accepted. Expected 'auto', 'bf16', 'fp16' or 'fp32'$",
        ),
        (
            {"top": "image_size = 'big'"},
            r"key `image_size`: 'big' is not accepted. Expected a whole number from 8 to 4,096$",
        ),
        (
            {"top": "validation_fraction = 1.0"},
            r"key `validation_fraction`: 1.0 is not accepted. Expected a number above 0 and below 1$",
        ),
        (
            {"top": "images_per_class = [10, 'al']"},
            r"`images_per_class\[1\]`: 'al' is not .* 9,007,199,254,740,992 or 'all'\. Try 'all'$",
        ),
        (
            {"top": "images_per_class = [0]"},
            r"`images_per_class\[0\]`: 0 is not accepted. Expected a whole number from 1 ",
        ),
        (
            {"top": "images_per_class = []"},
            r"`images_per_class`: an empty array is not .* an array of at least 1 item, each",
        ),
        ({"budget": "step = 3"}, r"key `budget.step`: not known. Expected one of: steps, epochs, .*\. Try `steps`$"),
        ({"budget": "steps = 3\nepochs = 2"}, r"key `budget`: a budget is exactly one of .*; got steps, epochs$"),
        ({"budget": ""}, r"key `budget`: a budget is exactly one of .*; got none$"),
        (
            {"recipe": "optimizer = 'AdamW'"},
            r"key `recipe.optimizer`: 'AdamW' is not accepted. Expected text.* of lower-case letters, digits and '_'$",
        ),
        (
            {"recipe": "lr = 1"},
            r"key `recipe.lr`: not known. Try `learning_rate`. Expected one of: optimizer, optimizer_arguments",
        ),
        (
            {"recipe": "weight_decay = 0.1"},
            r"key `recipe.weight_decay`: not known. Try `optimizer_arguments.weight_decay`. Expected one of: opt",
        ),
        ({"top": "lr = 0.1"}, r"key `lr`: not known. Try `recipe.learning_rate`. Expected one of: image_size, "),
        ({"top": "models = ['resnet101']"}, r"key `models`: not known. Try `architectures`. Expected one of: "),
        (
            {"recipe": "batch_size = 1"},
            r"key `recipe.batch_size`: 1 is not accepted. Expected a whole number from 2 to 65,536$",
        ),
        (
            {"recipe": "freeze_backbone = 'alway'"},
            r"`recipe.freeze_backbone`: 'alway' is .* 'always', 'never' or a number above 0 .*\. Try 'always'$",
        ),
        ({"recipe": "freeze_backbone = -1"}, r"key `recipe.freeze_backbone`: -1 is not accepted"),
        ({"recipe": "head = {kind = 'mlp'}"}, r"key `recipe.head`: an `mlp` has `widths`"),
        ({"recipe": "head = {widths = [3]}"}, r"key `recipe.head`: a `linear` head has no hidden layer"),
        (
            {"recipe": "head = {kind = 'deep'}"},
            r"key `recipe.head.kind`: 'deep' is not accepted. Expected 'linear' or 'mlp'$",
        ),
        (
            {"budget": "flops = 1e9", "recipe": "freeze_backbone = 3"},
            r"a budget in FLOPs needs a backbone that always trains",
        ),
        (
            {"budget": "flops = 1e9", "recipe": "frozen_fraction = 0.1"},
            r"a budget in FLOPs needs a backbone that always trains",
        ),
        (
            {"recipe": "batch_size = 32\nshards = 3"},
            r"key `recipe`: `batch_size` is 32, which has no 3 `shards` of equally many images, at least 2\. "
            r"Expected 1, 2, 4, 8, 16 in all$",
        ),
        (
            {"recipe": "batch_size = 32\nmicro_batches = 32"},
            r"key `recipe`: `batch_size` is 32, which has no 32 `micro_batches` of equally many images, at least 2\. "
            r"Expected 1, 2, 4, 8, 16 in all$",
        ),
        (
            {"recipe": "batch_size = 32\nshards = 8\nmicro_batches = 4"},
            r"key `recipe`: `batch_size` is 32, which has no 8 `shards` x 4 `micro_batches` of equally many images",
        ),
        (
            {"top": "step = 'graph'", "recipe": "batch_size = 32\nshards = 2"},
            r"`step` is \"graph\", and `recipe.shards` is 2\. Expected `step` \"eager\"",
        ),
        (
            {"recipe": "freeze_backbone = 1\nfrozen_fraction = 0.1"},
            r"key `recipe`: `frozen_fraction` and `freeze_backbone` both say when the backbone is frozen",
        ),
        ({"recipe": "frozen_fraction = 1.0"}, r"key `recipe.frozen_fraction`: 1.0 is not accepted"),
        ({"recipe": "= 3"}, r"suite .*mine\.toml: "),
        (
            {"top": "image_size = 1_000_000_000"},
            r"key `image_size`: 1000000000 is not accepted. Expected a whole number from 8 to 4,096$",
        ),
        (
            {"top": "evaluation_points = 1_000_000_000_000"},
            r"`evaluation_points`: 1000000000000 is not .* from 1 to 10,000$",
        ),
        (
            {"recipe": "batch_size = 1_000_000_000_000"},
            r"`recipe.batch_size`: 1000000000000 is not .* from 2 to 65,536$",
        ),
        (
            {"recipe": "learning_rate = inf"},
            r"`recipe.learning_rate`: inf is not accepted. Expected a number above 0 and at most 1,000,000$",
        ),
        (
            {"recipe": "optimizer_arguments = { weight_decay = nan }"},
            r"`recipe.optimizer_arguments.weight_decay`: nan is not accepted. Expected true or false, ",
        ),
        (
            {"recipe": "crop_ratio = [1, inf]"},
            r"`recipe.crop_ratio\[1\]`: inf is not accepted. Expected a number from 0.01 to 100$",
        ),
        (
            {"recipe": "optimizer_arguments = { betas = [nan, nan] }"},
            r"key `recipe.optimizer_arguments.betas\[0\]`: nan is not accepted",
        ),
        (
            {"budget": "steps = 1" + "0" * 30},
            r"key `budget.steps`: a number beyond 2\^64 is not .* from 1 to 9,007,199,254,740,992$",
        ),
        (
            {"budget": "seconds = nan"},
            r"key `budget.seconds`: nan is not accepted. Expected a number above 0 and at most 1,000,000,000$",
        ),
        (
            {"budget": "seconds = inf"},
            r"key `budget.seconds`: inf is not accepted. Expected a number above 0 and at most 1,000,000,000$",
        ),
        (
            {"budget": "flops = 1e300"},
            r"key `budget.flops`: 1e\+300 is not accepted. Expected a number above 0 and at most 1e\+30$",
        ),
        (
            {"top": 'description = "\\u001b[31m"'},
            r"key `description`: '\\x1b\[31m' is not accepted. Expected text .*without control characters$",
        ),
        (
            {"top": 'data = "\\u0000"'},
            r"key `data`: '\\x00' is not accepted. Expected text .*without control characters$",
        ),
        (
            {"recipe": "[overrides.a.recipe]\nlr = 1"},
            r"key `overrides\.a\.recipe\.lr`: not known. Try `learning_rate`. Expected one of: optimizer, ",
        ),
        (
            {"recipe": "[overrides.a]\nrecipe.optimizer = 'AdamW'"},
            r"key `overrides\.a\.recipe\.optimizer`: 'AdamW' is not accepted",
        ),
        (
            {"recipe": "[overrides.a]\nrecipe.head.widths = [3]"},
            r"key `overrides\.a\.recipe\.head`: a `linear` head has no ",
        ),
        (
            {"recipe": "[overrides.a]\nrecipe.learning_rate = 1" + "0" * 400},
            r"`overrides\.a\.recipe\.learning_rate`: a number beyond",
        ),
        ({"recipe": "[overrides.a]\nrecipe = 3"}, r"key `overrides\.a\.recipe`: 3 is not accepted. Expected a table$"),
        (
            {"recipe": "[overrides.b]\nbudget.steps = 2\n[overrides.a]\nbudget.epoch = 1"},
            r"key `overrides\.a\.budget\.epoch`: not known. Expected one of: steps, epochs, .*\. Try `epochs`$",
        ),
        (
            {"recipe": "[overrides.a]\nimage_size = 9"},
            r"key `overrides\.a\.image_size`: not known. Expected one of: budget, recipe",
        ),
        (
            {"recipe": "image_size = 9"},
            r"key `recipe\.image_size`: not known. Try `image_size`, above the first \[table\]\. Expected one of: ",
        ),
        (
            {"top": "learning_rate = 0.1"},
            r"key `learning_rate`: not known. Try `recipe.learning_rate`. Expected one of: ",
        ),
        (
            {"recipe": "[[overrides]]\nbudget.steps = 1"},
            r"key `overrides`: an array of 1 item is not accepted. Expected a table$",
        ),
        (
            {"recipe": "[overrides.a]\nbudget.flops = 1e9\nrecipe.freeze_backbone = 'always'"},
            r"key `overrides\.a`: a budget in FLOPs needs a backbone that always trains",
        ),
        (
            {"recipe": '[overrides."\\u001b[31m"]'},
            r'key `overrides."\\x1b\[31m"`: not accepted as a key. Expected text',
        ),
    ],
)
def test_a_mistake_names_its_key_and_what_is_accepted(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    """Unknown keys, wrong types, wrong values, broken TOML."""
    with pytest.raises(UserError, match=said):
        load_suite(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quik", r"published, quick, transfer\. Try `quick`\. Your own"),
        ("nothing", r"known\. Expected one of: finetune, modern, paper, published, quick, transfer\. Your own"),
        ("no/such.toml", "cannot be read"),
    ],
)
def test_a_suite_that_is_not_there_is_said_so(name: str, said: str) -> None:
    """With the nearest name, or the names there are, or the file that could not be read."""
    with pytest.raises(UserError, match=said):
        load_suite(name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": (10**30,)}, r"key `seeds\[0\]`: a number beyond 2\^64 is not .* to 9,223,372,036,854,775,807$"),
        ({"seeds": tuple(range(2001))}, "`architectures` x `seeds` are 10,005 runs; at most 10,000 are accepted"),
        (
            {"images_per_class": (0,)},
            r"key `images_per_class\[0\]`: 0 is not accepted. Expected a whole number from 1 ",
        ),
        (
            {"seeds": tuple(range(1000)), "images_per_class": (1, 2, "all")},
            "`architectures` x `seeds` x `images_per_class` are 15,000 runs; at most 10,000 are accepted",
        ),
        (
            {"seeds": tuple(range(1000)), "vary": ("all", "init", "order")},
            "`architectures` x `seeds` x `vary` are 15,000 runs; at most 10,000 are accepted",
        ),
        (
            {"vary": "weights"},
            r"key `vary`: 'weights' is not accepted. Expected 'all', 'augment', .* or an array of at least",
        ),
        ({"vary": ("init", "ordr")}, r"key `vary\[1\]`: 'ordr' is not accepted. .*Try 'order'$"),
        ({"vary": ()}, "key `vary`: an empty array is not accepted"),
        ({"architectures": ("a\x1b[31m",)}, r"key `architectures\[0\]`: 'a\\x1b\[31m' is not accepted"),
        ({"image_size": 7}, "key `image_size`: 7 is not accepted. Expected a whole number from 8 to 4,096$"),
        ({"data": ""}, r"key `data`: '' is not accepted. Expected text of 1 to 4,096 characters"),
    ],
)
def test_an_override_is_held_to_what_a_file_is_held_to(changes: dict[str, Any], said: str) -> None:
    """The command line cannot say what a suite could not."""
    with pytest.raises(UserError, match=f"suite quick with the options that were given: {said}"):
        override(load_suite("quick"), **changes)
