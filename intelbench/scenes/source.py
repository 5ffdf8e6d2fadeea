"""Draw `scenes`, a substitute for the Intel set, for users without data and for the `quick` suite.

Six functions compose the classes from shared parts (light, ridges, ground, water, streets), so that classes overlap as
in photographs: a glacier is a mountain with ice, a street is a row of buildings along a road. Classes differ in
structure and texture at any position and in any light, which a linear classifier of pixels cannot recognise.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from intelbench.records.atomic import write_copy
from intelbench.scenes.cityscape import Camera, Plot, building, paving, person, scattered, terraces, traffic
from intelbench.scenes.drawing import SIDE, Light, X, Y, colour, mix, noise, paint, photograph, ramp, sketch, sky
from intelbench.scenes.landscape import (
    beach,
    boat,
    broadleaf,
    coast,
    conifer,
    crest,
    firs,
    floes,
    foliage,
    ground,
    ice_cliff,
    ice_field,
    ice_stream,
    lake,
    plant_albedo,
    ridges,
    rocks,
    ruffled,
    stone_albedo,
    trunks,
    valley,
    water,
    winding,
)

VERSION = 1
"""Increased whenever a pixel changes. It is part of the cache folder's name, so that no old copy is read."""

Composer = Callable[[np.random.Generator, Light], NDArray[np.uint8]]


def _mountain(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw ridges with or without snow behind a meadow, a lake, trees, a snow field or a stream."""
    foot = rng.uniform(0.5, 1.0)
    scene = sky(rng, light, foot)
    snow = float(rng.choice([0.0, rng.uniform(0.05, 0.5), rng.uniform(0.5, 1.3)], p=[0.35, 0.35, 0.3]))
    ridges(scene, foot, snow, rng.uniform(0.25, min(0.8, foot - 0.05)))
    front = rng.choice(["meadow", "lake", "snow", "stream"], p=[0.4, 0.2, 0.2, 0.2])
    if front == "lake":
        lake(scene, foot)
    elif front == "snow" and snow > 0:
        ground(scene, foot, colour(0.92, 0.94, 0.98), colour(0.86, 0.9, 0.96), 0.2)
    else:
        ground(scene, foot, mix(plant_albedo(rng), stone_albedo(rng), rng.uniform(0, 1)), plant_albedo(rng), 0.3)
    if front == "stream":
        u, _ = winding(rng, rng.uniform(0.1, 0.9), foot, rng.uniform(0.05, 0.3))
        bed = mix(colour(0.6, 0.58, 0.54), colour(0.55, 0.7, 0.76), rng.uniform(0, 1)) * (1 + 0.1 * noise(rng, 0.8))
        paint(scene.canvas, light.on(bed, np.full_like(u, 0.5)), ramp(1.06, 0.96, np.abs(u)) * (foot < Y))
    image, drawing = sketch(scene)
    if rng.random() < 0.4:
        firs(drawing, foot, int(rng.integers(3, 60)), rng.uniform(0.08, 0.35))
    return photograph(image, rng)


def _glacier(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw snowy ridges with an ice stream in a valley, an ice cliff over a lagoon, or an ice field in front."""
    foot = rng.uniform(0.35, 0.7)
    scene = sky(rng, light, foot)
    ridges(scene, foot, rng.uniform(0.1, 1.2), rng.uniform(0.2, foot - 0.05))
    kind = rng.choice(["stream", "cliff", "field"], p=[0.5, 0.25, 0.25])
    if kind == "stream":
        valley_x, end = rng.uniform(0.2, 0.8), max(rng.uniform(foot + 0.15, 1), 1.2 * float(rng.integers(2)))
        ground(scene, foot, stone_albedo(rng), mix(stone_albedo(rng), plant_albedo(rng), rng.uniform(0, 1)), 0.3)
        valley(scene, valley_x, foot)
        ice_stream(scene, valley_x, foot - rng.uniform(-0.02, 0.1), end)
    elif kind == "cliff":
        ice_cliff(scene, foot)
        lake(scene, foot)
    else:
        ice_field(scene, foot)
    image, drawing = sketch(scene)
    if kind == "cliff":
        floes(drawing, foot)
    elif rng.random() < 0.25:
        for depth in rng.uniform(0.2, 0.9, int(rng.integers(1, 5))):
            person(drawing, (rng.uniform(0.1, 0.9) * SIDE, (foot + (1 - foot) * depth) * SIDE), 9 * depth)
    elif rng.random() < 0.15:
        firs(drawing, max(foot, 0.7), int(rng.integers(3, 15)), rng.uniform(0.08, 0.25))
    return photograph(image, rng)


def _sea(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw the open sea, half the time with a coast on the horizon, half the time from a beach."""
    horizon = rng.uniform(0.2, 0.68)
    scene = sky(rng, light, horizon)
    if rng.random() < 0.5:
        coast(scene, horizon)
    deeps = (colour(0.05, 0.2, 0.36), colour(0.06, 0.42, 0.48), colour(0.2, 0.3, 0.3), colour(0.14, 0.2, 0.27))
    deep = mix(deeps[rng.integers(4)], deeps[rng.integers(4)], rng.uniform(0, 1))
    water(scene, horizon, deep, rng.uniform(0.15, 1))
    if rng.random() < 0.5:
        beach(scene, horizon)
    image, drawing = sketch(scene)
    if rng.random() < 0.35:
        for depth in np.sort(rng.uniform(0.02, 0.4, int(rng.integers(1, 5)))):
            foot = (rng.uniform(0.1, 0.9) * SIDE, (horizon + (1 - horizon) * depth) * SIDE)
            boat(drawing, foot, SIDE * (0.03 + 0.3 * depth))
    if rng.random() < 0.3:
        rocks(drawing, horizon)
    return photograph(image, rng)


def _forest(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw a forest from inside or, less often, from outside."""
    return _woods(rng, light) if rng.random() < 0.6 else _treeline(rng, light)


def _woods(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw the inside of a forest: floor, trunks between two layers of foliage, undergrowth."""
    floor = rng.uniform(0.5, 0.85)
    tone = plant_albedo(rng) * rng.uniform(0.7, 1.2)
    bark = mix(colour(0.3, 0.22, 0.16), colour(0.62, 0.58, 0.53), rng.beta(0.7, 1.2))
    scene = sky(rng, light, floor)
    foliage(scene, mix(tone, light.horizon, 0.3), 0.75 - 0.3 * np.abs(Y - rng.uniform(0, 0.8)), 0.6)
    litter = mix(colour(0.36, 0.26, 0.16), tone, rng.uniform(0, 1))
    ground(scene, floor, litter, litter * 0.9, 0.35)
    if rng.random() < 0.35:
        middle = rng.uniform(0.3, 0.7) + rng.uniform(-0.3, 0.3) * (1 - Y)
        path = ramp(1.1, 0.9, np.abs(X - middle) / (0.04 + 0.7 * np.clip(Y - floor, 0, 1))) * (floor < Y)
        paint(scene.canvas, light.on(colour(0.5, 0.42, 0.32), 0.4 + 0.1 * noise(rng, 0.8)), path)
    trunks(scene, floor, int(rng.integers(6, 26)), bark)
    foliage(scene, tone, rng.uniform(0.5, 0.75) - rng.uniform(0.5, 1.2) * Y, 0.15)
    foliage(scene, tone * 0.85, rng.uniform(0.1, 0.6) - 2.5 * np.clip(0.95 - Y, 0, 1), 0.0)
    return photograph(sketch(scene)[0], rng, rng.uniform(0, 0.12))


def _treeline(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw a forest from outside: a slope of trees, sometimes below a mountain, sometimes behind a meadow."""
    top, meadow = rng.uniform(0.1, 0.55), rng.uniform(0.65, 1.1)
    scene = sky(rng, light, top + 0.1)
    if rng.random() < 0.4:
        ridges(scene, top + 0.15, 0.5 * float(rng.integers(2)), rng.uniform(0.1, top))
    grass = plant_albedo(rng)
    ground(scene, top + 0.1, grass, plant_albedo(rng), 0.3)
    image, drawing = sketch(scene)
    leafy, hill = rng.choice([0.0, 0.5, 1.0], p=[0.4, 0.3, 0.3]), crest(rng, 0.1, 0.12, 0.4, 1.5)
    snow, snowy = colour(0.9, 0.93, 0.97), max(0.0, rng.uniform(-1.5, 0.7))
    leaves = [mix(plant_albedo(rng), grass, 0.5) * rng.uniform(0.8, 1.3) for _ in range(4)]
    tones = [light.on(mix(albedo, snow, snowy), 0.6) for albedo in leaves]
    for depth in np.sort(rng.uniform(0, 1, int(rng.integers(60, 105)))):
        column = rng.uniform(0, 1)
        foot = (column * SIDE, (top + hill[int(column * SIDE)] + (meadow - top - 0.05) * depth) * SIDE)
        tall = SIDE * (0.09 + 0.2 * depth) * rng.uniform(0.75, 1.25)
        tone = light.veil(tones[rng.integers(4)] * rng.uniform(0.8, 1.2), 0.7 * (1 - depth))
        if rng.random() < leafy:
            broadleaf(drawing, foot, tall, tone)
        else:
            conifer(drawing, foot, tall, tone)
    return photograph(ruffled(image, rng, top), rng)


def _street(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw the view along a street between two rows of houses or, in a third of the pictures, next to one."""
    half_road, yaw = rng.uniform(2.5, 6), rng.normal(0, 0.28)
    across = math.copysign(half_road, -yaw) * rng.uniform(-0.3, 0.8)
    camera = Camera(rng.uniform(0.38, 0.68), rng.uniform(1.5, 4.5), rng.uniform(0.6, 1.1), yaw, across)
    sides = (-1, 1) if rng.random() < 0.67 else ((1,) if yaw > 0 else (-1,))
    plots = terraces(rng, half_road, rng.uniform(1, 7) + 7 * float(rng.random() < 0.25), 80, sides)
    return _city(rng, light, camera, half_road, plots, rng.uniform(0.3, 2))


def _buildings(rng: np.random.Generator, light: Light) -> NDArray[np.uint8]:
    """Draw buildings, mostly from below: a row across the road, free-standing blocks or a skyline."""
    half_road, side = rng.uniform(2.5, 6), 1 if rng.random() < 0.5 else -1
    kind = rng.choice(["row", "blocks", "towers"], p=[0.4, 0.3, 0.3])
    horizon, turn = rng.uniform(0.5, 0.9), side * rng.uniform(0.35, 1.4)
    camera = Camera(horizon, rng.uniform(1.5, 5), rng.uniform(0.5, 1.1), turn, -side * half_road * rng.uniform(0, 2))
    if kind == "row":
        plots = terraces(rng, half_road, rng.uniform(2, 9), 60, (side,))
    else:
        plots = scattered(rng, turn, bool(kind == "towers"))
    return _city(rng, light, camera, half_road, plots, rng.uniform(0, 1.2))


def _city(
    rng: np.random.Generator, light: Light, camera: Camera, half_road: float, plots: list[Plot], busy: float
) -> NDArray[np.uint8]:
    """Draw the buildings, the farthest first, and the street between them."""
    scene = sky(rng, light, camera.horizon)
    paving(scene, camera, half_road)
    for plot in sorted(plots, key=lambda plot: -camera.range(plot.across + plot.wide / 2, plot.along + plot.deep / 2)):
        building(scene, camera, plot)
    image, drawing = sketch(scene)
    traffic(drawing, camera, half_road, busy)
    return photograph(image, rng, rng.uniform(0, 0.12))


# -- public -----------------------------------------------------------------------------------------------------------

_COMPOSERS: dict[str, Composer] = {
    "buildings": _buildings,
    "forest": _forest,
    "glacier": _glacier,
    "mountain": _mountain,
    "sea": _sea,
    "street": _street,
}

CLASSES: tuple[str, ...] = tuple(_COMPOSERS)
"""The six classes of the Intel set, sorted."""


def draw(class_name: str, *, seed: int, split: str, index: int) -> NDArray[np.uint8]:
    """Draw one picture in sRGB, of shape (150, 150, 3).

    The picture depends only on the arguments and on VERSION, whose hash seeds its generator. So pictures can be drawn
    in any order and number, and the two splits have one distribution but no common picture.

    Raises:
        ValueError: the class is not known.
    """
    if class_name not in _COMPOSERS:
        raise ValueError(f"unknown class {class_name!r}; `scenes` draws {', '.join(CLASSES)}")
    key = blake2b(f"{VERSION}/{seed}/{split}/{class_name}/{index}".encode(), digest_size=16)
    rng = np.random.default_rng(int.from_bytes(key.digest(), "big"))
    return _COMPOSERS[class_name](rng, Light.draw(rng))


def write(root: Path, *, seed: int = 0, train_per_class: int = 200, test_per_class: int = 60) -> None:
    """Write the data set in the layout of the Intel set: root/seg_train/seg_train/<class>/<index>.png.

    `root` is created atomically, with the SHA-256 sum of each picture. If two processes create it at once, the second
    one discards its copy, which is equal.

    Raises:
        UserError: the data set cannot be written to `root`.
    """
    jobs = {
        f"seg_{split}/seg_{split}/{class_name}/{index:05d}.png": (class_name, split, index)
        for split, count in (("train", train_per_class), ("test", test_per_class))
        for class_name in CLASSES
        for index in range(count)
    }

    def picture(path: str) -> bytes:
        class_name, split, index = jobs[path]
        image, file = Image.fromarray(draw(class_name, seed=seed, split=split, index=index)), io.BytesIO()
        # Run-length coding is faster than the default strategy, and smaller, on pictures with grain.
        image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
        return file.getvalue()

    write_copy(root, jobs, picture, threads=2)
