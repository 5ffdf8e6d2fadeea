"""Paint mountains, ice, water and woods on the canvas of `intelbench.scenes.drawing`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from intelbench.scenes.drawing import (
    SIDE,
    Array,
    Drawing,
    Scene,
    X,
    Y,
    colour,
    ink,
    mix,
    noise,
    paint,
    plane,
    ramp,
    row_of,
)

# -- ground and water --------------------------------------------------------------------------------------------------


def stone_albedo(rng: np.random.Generator) -> Array:
    """Return a random colour of stone: grey granite, brown, slate or pale limestone."""
    tones = (colour(0.46, 0.43, 0.41), colour(0.55, 0.45, 0.36), colour(0.33, 0.34, 0.38), colour(0.6, 0.57, 0.52))
    return mix(tones[rng.integers(4)], tones[rng.integers(4)], rng.uniform(0, 1))


def plant_albedo(rng: np.random.Generator) -> Array:
    """Return a random colour of plants: meadow, autumn or dry grass."""
    tones = (colour(0.25, 0.42, 0.16), colour(0.16, 0.32, 0.16), colour(0.52, 0.45, 0.2), colour(0.55, 0.34, 0.14))
    return mix(tones[rng.integers(3)], tones[rng.integers(4)], rng.uniform(0, 0.8))


def ground(scene: Scene, top: float, near: Array, far: Array, grain: float) -> None:
    """Paint meadow, sand, snow or scree from the line `top` down: noise in perspective between two albedos."""
    canvas, rng, light = scene
    view = canvas[:, row_of(top) :]
    depth = ramp(top, 1.0, Y[row_of(top) :])
    texture = plane(rng, 0.8, top, rng.uniform(0.6, 1.5), rng.uniform(1, 3)) * depth
    albedo = mix(far, near, np.clip(depth + 0.25 * texture, 0, 1))
    view[:] = light.veil(light.on(albedo, np.clip(0.6 + grain * texture, 0, 1)), 0.4 * (1 - depth))


def water(scene: Scene, top: float, deep: Array, waves: float) -> None:
    """Paint water from the line `top` down: the sky's colour far away, its own near, glitter under the sun.

    `waves` is the contrast of the swell, 0 for a lake to 1 for a storm with white caps.
    """
    canvas, rng, light = scene
    view = canvas[:, row_of(top) :]
    depth = ramp(top, top + 0.9 * (1.02 - top), Y[row_of(top) :])
    swell = plane(rng, 0.9, top, rng.uniform(0.5, 1.1), rng.uniform(2, 6))
    body = mix(mix(light.horizon, light.zenith, 0.5) * 0.9, light.on(deep, 0.5), 0.35 + 0.6 * depth)
    body = body * (1 + 0.22 * waves * swell)
    sparkle = np.exp(-(((X - 0.5 - 0.4 * np.float32(light.azimuth)) / 0.16) ** 2)) * ramp(0.4, 1.4, swell)
    view[:] = body + 0.7 * sparkle * light.sun
    paint(view, light.on(colour(0.95, 0.97, 1.0), 0.6), ramp(2.6 - waves, 3.4 - waves, swell) * depth)


def mirror(scene: Scene, top: float, deep: Array) -> None:
    """Paint a lake below the line `top` that reflects the canvas above it."""
    canvas, rng, light = scene
    row = row_of(top)
    ripple = plane(rng, 1.0, top, 0.8, 5) * ramp(top, 1, Y[row:])
    source = np.clip(row - 1 - np.arange(SIDE - row)[:, None] + 3 * ripple, 0, row - 1).astype(np.int32)
    image = canvas[:, source, np.arange(SIDE)]
    canvas[:, row:] = mix(image, light.on(deep, 0.4), 0.25 + 0.35 * ramp(top, 1.1, Y[row:]))


def lake(scene: Scene, shore: float) -> None:
    """Paint a lake: still water that mirrors the mountains, or a rough surface with the sky's colour."""
    rng = scene.rng
    deep = mix(colour(0.1, 0.24, 0.32), colour(0.16, 0.38, 0.44), rng.uniform(0, 1))
    if rng.random() < 0.6:
        mirror(scene, shore, deep)
    else:
        water(scene, shore, deep, rng.uniform(0.1, 0.4))


def beach(scene: Scene, horizon: float) -> None:
    """Paint sand in the foreground, wet at a line of foam that crosses the picture at any angle."""
    canvas, rng, light = scene
    sand = mix(colour(0.8, 0.7, 0.52), mix(stone_albedo(rng), colour(0.5, 0.45, 0.4), 0.5), rng.uniform(0, 1))
    shore = rng.uniform(horizon + 0.15, 0.9) + (X - 0.5) * rng.uniform(-0.6, 0.6)
    shore = np.maximum(shore + 0.02 * np.sin(X * rng.uniform(5, 25) + rng.uniform(0, 6)), horizon + 0.01)
    depth = Y - shore + 0.006 * noise(rng, 1.0)
    grain = noise(rng, 0.6)
    albedo = mix(sand * 0.62, sand, ramp(0.02, 0.08, depth)) * (1 + 0.06 * grain)
    paint(canvas, light.on(albedo, np.full_like(depth, 0.55)), ramp(0, 0.006, depth))
    foam = ramp(0.035, 0.0, np.abs(depth + 0.012)) * ramp(-1.0, 0.6, noise(rng, 0.9, flat=2))
    paint(canvas, light.on(colour(0.96, 0.97, 0.98), 0.6), 0.9 * foam)


def rocks(drawing: Drawing, horizon: float) -> None:
    """Draw rocks in the surf, lit from the side."""
    pen, rng, light = drawing
    stone = stone_albedo(rng) * 0.7
    for depth in np.sort(rng.uniform(0.2, 1, int(rng.integers(2, 9)))):
        x, y = rng.uniform(0, SIDE), (horizon + (1 - horizon) * depth) * SIDE
        size = SIDE * 0.13 * depth * rng.uniform(0.4, 1.3)
        outline = [(x + size * a, y - size * rng.uniform(0.3, 0.8)) for a in (-0.6, -0.2, 0.2, 0.6)]
        pen.polygon([(x - size, y), *outline, (x + size, y)], ink(light.on(stone, 0.15)))
        pen.polygon([(x - size, y), *outline[:2], (x - 0.1 * size, y)], ink(light.on(stone, 0.5 - 0.4 * light.azimuth)))


def boat(drawing: Drawing, foot: tuple[float, float], size: float) -> None:
    """Draw a boat at `foot`, mostly with a sail; its hull is `size` long (both in canvas pixels)."""
    pen, rng, light = drawing
    x, y = foot

    def at(*outline: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x + right * size, y - up * size) for right, up in outline]

    hull = ink(light.on(np.full((3, 1, 1), rng.choice([0.15, 0.9])), 0.5))
    pen.polygon(at((-0.5, 0.16), (0.55, 0.18), (0.35, 0), (-0.4, 0)), hull)
    if rng.random() < 0.7:
        sail = ink(light.on(colour(0.98, 0.96, 0.92), rng.uniform(0.3, 0.9)))
        pen.polygon(at((0, 0.2), (0, 1.3), (0.45, 0.25)), sail)
        pen.polygon(at((-0.05, 0.2), (-0.05, 1.1), (-0.35, 0.22)), sail)
    else:
        cabin = ink(light.on(colour(0.9, 0.9, 0.88), 0.4))
        pen.polygon(at((-0.2, 0.16), (-0.2, 0.4), (0.15, 0.4), (0.15, 0.16)), cabin)


# -- mountains ---------------------------------------------------------------------------------------------------------


def crest(rng: np.random.Generator, y: float, height: float, rough: float = 0.5, peaks: float = 2.5) -> Array:
    """Return the skyline of a ridge, shape (SIDE,): its y at each column, between about `y - height` and `y`.

    It is a sum of octaves of folded noise. Folding at zero makes the maxima sharp, as erosion does.
    """
    line = np.zeros(SIDE, np.float32)
    knots, weight = peaks, 1.0
    while knots < 80:
        at = np.arange(int(knots) + 3) / knots - rng.uniform(0, 1) / knots
        line += np.float32(weight) * np.interp(X, at, 1 - 2 * np.abs(rng.uniform(-1, 1, at.size))).astype(np.float32)
        knots, weight = knots * 2.1, weight * rough
    line -= line.min()
    ridge: Array = np.float32(y) - np.float32(height) * line / line.max()
    return ridge


@dataclass(frozen=True)
class Rock:
    """The surface of a slope; heights are y on the canvas."""

    stone: Array
    plants: Array
    snowline: float
    """Snow lies above it (a larger y is more snow)."""
    treeline: float
    """Plants grow below it."""
    distance: float
    """Distance for the haze, from 0 (near) to 1 (the farthest ridge)."""


def mountain(scene: Scene, skyline: Array, rock: Rock) -> None:
    """Paint a slope below `skyline` (SIDE,), lit in facets: pixels take the aspect of the crest above, with a drift."""
    canvas, rng, light = scene
    top = row_of(float(skyline.min()))
    view, y = canvas[:, top:], Y[top:]
    depth = y - skyline
    relief = noise(rng, 1.2, SIDE - top)
    column = X * SIDE + (0.6 * relief + np.float32(rng.uniform(-1, 1))) * depth * np.float32(90)
    aspect = np.gradient(np.convolve(np.pad(skyline, 5, "edge"), np.full(11, 1 / 11), "valid")) * SIDE
    facing = aspect.astype(np.float32)[np.clip(column, 0, SIDE - 1).astype(np.int32)]
    bumps = np.roll(relief, 2, axis=1) - relief
    lit = np.clip(0.5 + light.azimuth * (0.8 * facing + 0.6 * bumps), 0, 1)
    green = ramp(-0.05, 0.05, y - rock.treeline + 0.06 * relief)
    white = ramp(-0.02, 0.03, rock.snowline - y + 0.05 * relief + 0.07 * bumps - 0.03 * np.abs(facing))
    albedo = mix(rock.stone * (1 + 0.12 * relief), rock.plants * (1 + 0.25 * bumps), green)
    albedo = mix(albedo, colour(0.93, 0.95, 1.0), white)
    seen = light.veil(light.on(albedo, lit), rock.distance * (0.6 + 0.8 * np.clip(depth * 2, 0, 1)))
    paint(view, seen, np.clip(depth * SIDE + 0.5, 0, 1))


def ridges(scene: Scene, foot: float, snow: float, high: float) -> None:
    """Paint one to three ridges on the line `foot`; the nearest is the lowest.

    `snow` is the share of the relief under snow, `high` the height of the highest summit above `foot`.
    """
    rng = scene.rng
    stone, plants, count = stone_albedo(rng), plant_albedo(rng), int(rng.integers(1, 4))
    bare = rng.random() < 0.4
    for rank in range(count):
        lower = high * (1 - 0.62 * rank / count)
        skyline = crest(rng, foot + 0.02, lower, rng.uniform(0.35, 0.55), rng.uniform(0.8, 1.2 / max(lower, 0.35)))
        treeline = 1.2 if bare else foot - lower * rng.uniform(0.1, 0.6)
        rock = Rock(stone, plants, foot - high + snow * high * 1.1, treeline, 0.9 * (1 - (rank + 1) / count) + 0.15)
        mountain(scene, skyline, rock)


def valley(scene: Scene, middle: float, foot: float) -> None:
    """Paint two bare slopes that meet at (`middle`, `foot`)."""
    rng = scene.rng
    flanks = np.abs(X - middle) * rng.uniform(0.2, 0.8)
    skyline = foot - flanks + 0.4 * (crest(rng, 0, 0.15, 0.5, 4) * np.clip(4 * flanks, 0, 1))
    ice = (foot - rng.uniform(0, 0.2)) * float(rng.integers(2))
    mountain(scene, skyline, Rock(stone_albedo(rng), plant_albedo(rng), ice, rng.uniform(0.6, 1.3), 0.15))


def coast(scene: Scene, horizon: float) -> None:
    """Paint land on the horizon that slopes down to the sea on one side."""
    rng = scene.rng
    side = 1 if rng.random() < 0.5 else -1
    fall = np.clip(0.5 + side * (X - rng.uniform(0.2, 0.8)) * rng.uniform(1, 4), 0, 1)
    height = fall * rng.uniform(0.06, max(0.08, horizon - 0.08))
    skyline = horizon + 0.005 + height * crest(rng, 0, 1.0, 0.5, rng.uniform(1, 4))
    rock = Rock(stone_albedo(rng), plant_albedo(rng), -1, rng.uniform(0.1, 1), rng.uniform(0.2, 1))
    mountain(scene, skyline, rock)


def winding(rng: np.random.Generator, source: float, top: float, broad: float) -> tuple[Array, Array]:
    """Return the coordinates of a band that winds from (`source`, `top`) to the lower edge and widens, as rivers do.

    They are the distance of each pixel to the right of the band's middle, in half widths, and the share of the way down
    (SIDE, 1).
    """
    way = np.clip((Y - np.float32(top)) / np.float32(1 - top), 0, 1)
    middle = mix(source, rng.uniform(0.15, 0.85), way) + rng.uniform(-0.07, 0.07) * np.sin(5 * way)
    width = rng.uniform(0.02, 0.1) + broad * way ** np.float32(rng.uniform(0.8, 1.6))
    return (X - middle) / width + 0.12 * noise(rng, 1.3), way


# -- ice ---------------------------------------------------------------------------------------------------------------


def _ice(rng: np.random.Generator) -> Array:
    """Return a random colour of ice: white firn to blue glacier ice, sometimes grey with dust."""
    clean = mix(colour(0.9, 0.93, 0.96), colour(0.5, 0.74, 0.88), rng.beta(1.5, 1.5))
    return mix(clean, colour(0.5, 0.5, 0.5), max(0.0, rng.uniform(-0.5, 0.5)))


def ice_stream(scene: Scene, source: float, top: float, end: float) -> None:
    """Paint ice from (`source`, `top`) to the line `end`, with arched crevasses, medial moraines and dirty margins."""
    canvas, rng, light = scene
    u, way = winding(rng, source, top, rng.uniform(0.15, 0.7))
    rough = noise(rng, 1.3)
    arch = np.log(0.15 + way) * np.float32(rng.uniform(16, 34)) - 2.5 * u**2 + 1.6 * rough
    cracks = ramp(0.45, 0.95, np.sin(arch)) * ramp(-0.6, 0.8, noise(rng, 0.9)) * np.float32(rng.uniform(0.15, 0.8))
    lit = np.clip(0.62 + 0.35 * (np.roll(rough, 3, axis=1) - rough) * light.azimuth + 0.15 * np.sin(arch - 1), 0, 1)
    albedo = mix(_ice(rng), colour(0.16, 0.36, 0.5), cracks)
    for stripe in rng.uniform(-0.8, 0.8, int(rng.integers(0, 3))):
        albedo = mix(albedo, colour(0.3, 0.28, 0.27), 0.8 * ramp(0.07, 0.02, np.abs(u - stripe)))
    albedo = mix(albedo, colour(0.36, 0.33, 0.31), ramp(0.85, 1.0, np.abs(u)))
    inside = ramp(1.06, 1.0, np.abs(u) + ramp(end - 0.15, end + 0.03, Y) ** 2) * (top < Y)
    paint(canvas, light.veil(light.on(albedo, lit), 0.6 * (1 - way)), inside)


def ice_cliff(scene: Scene, shore: float) -> None:
    """Paint an ice cliff at the line `shore`, with vertical fissures below a jagged edge."""
    canvas, rng, light = scene
    edge = crest(rng, shore - rng.uniform(0.01, 0.08), rng.uniform(0.03, 0.18), 0.7, 3)
    edge = np.maximum(edge, shore - 1.5 * np.clip(X + rng.uniform(-0.5, 0.5), 0, 1) * rng.uniform(0.2, 1))
    up = shore - Y
    fissures = noise(rng, 0.9)[:: SIDE // 7][np.clip((up * 30).astype(int), 0, 6), np.arange(SIDE)]
    relief = noise(rng, 1.0)
    albedo = mix(_ice(rng), colour(0.2, 0.52, 0.72), np.clip(0.35 + 0.3 * fissures, 0, 0.9))
    lit = np.clip(0.5 + 0.3 * fissures + 0.3 * light.azimuth * (np.roll(relief, 2, axis=1) - relief), 0, 1)
    paint(canvas, light.on(albedo, lit), ((edge < Y) & (up > 0)).astype(np.float32))


def ice_field(scene: Scene, top: float) -> None:
    """Paint a snow-covered ice field with long crevasses from the line `top` down."""
    canvas, rng, light = scene
    ground(scene, top, _ice(rng), colour(0.86, 0.9, 0.96), 0.2)
    row = row_of(top)
    swell = plane(rng, 1.2, top, 0.8, rng.uniform(4, 9))
    depth = ramp(top, 1, Y[row:])
    torn = ramp(0.12, 0.03, np.abs(swell - rng.uniform(-0.5, 0.5))) * ramp(-0.8, 0.2, plane(rng, 1.4, top, 0.4))
    paint(canvas[:, row:], light.on(colour(0.2, 0.45, 0.62), 0.3), torn * rng.uniform(0.3, 1) * (0.4 + 0.5 * depth))


def floes(drawing: Drawing, shore: float) -> None:
    """Draw ice floes on the lagoon, white above and blue at the waterline."""
    pen, rng, light = drawing
    white, blue = ink(light.on(colour(0.93, 0.96, 0.98), 0.6)), ink(light.on(colour(0.5, 0.72, 0.82), 0.3))
    for depth in np.sort(rng.uniform(0.03, 1, int(rng.integers(0, 16)))):
        x, y = rng.uniform(0, SIDE), (shore + (1 - shore) * depth) * SIDE
        size = SIDE * (0.015 + 0.1 * depth) * rng.uniform(0.4, 1.2)
        top = [(x + size * a, y - size * rng.uniform(0.1, 0.6)) for a in (-0.6, -0.1, 0.5)]
        pen.polygon([(x - size, y), *top, (x + size, y)], white)
        pen.polygon([(x - size, y), (x - 0.2 * size, y - 0.12 * size), (x + size, y), (x, y + 0.1 * size)], blue)


# -- trees -------------------------------------------------------------------------------------------------------------


def conifer(drawing: Drawing, foot: tuple[float, float], height: float, tone: Array) -> None:
    """Draw a fir at `foot`, `height` tall (both in canvas pixels); `tone` is the finished colour of its lit side."""
    pen, rng, light = drawing
    x, y = foot
    tiers = 3 + int(height > 25) + int(height > 50)
    half = height * rng.uniform(0.14, 0.24)
    dark, bright, side = ink(tone * 0.62), ink(tone), 1 if light.azimuth > 0 else -1
    for tier in range(tiers):
        low = y - height * (0.06 + 0.8 * tier / tiers)
        tip = y - height * min(1.0, 0.45 + 0.62 * tier / tiers)
        reach = half * (1 - 0.8 * tier / tiers)
        pen.polygon([(x - reach, low), (x, tip), (x + reach, low)], dark)
        pen.polygon([(x, low), (x, tip), (x + side * reach, low)], bright)


def firs(drawing: Drawing, top: float, count: int, size: float) -> None:
    """Draw conifers on the ground below the line `top`, the far and smaller ones first."""
    _, rng, light = drawing
    tone = light.on(mix(colour(0.08, 0.2, 0.1), plant_albedo(rng), rng.uniform(0, 0.5)), 0.5)
    for depth in np.sort(rng.uniform(0, 1, count) ** 1.5):
        near = light.veil(tone * rng.uniform(0.85, 1.15), 0.6 * (1 - depth))
        foot = (rng.uniform(0, SIDE), (top + (1 - top) * depth) * SIDE)
        conifer(drawing, foot, size * SIDE * (0.3 + 0.7 * depth) * rng.uniform(0.7, 1.2), near)


def broadleaf(drawing: Drawing, foot: tuple[float, float], height: float, tone: Array) -> None:
    """Draw a broadleaf tree at `foot`, `height` tall (both in canvas pixels); `tone` is its finished colour."""
    pen, rng, _ = drawing
    x, y = foot
    pen.line([(x, y), (x, y - 0.5 * height)], ink(colour(0.25, 0.19, 0.14)), max(1, int(height / 14)))
    clumps = rng.normal(0, 1, (18, 2)) * (0.18 * height, 0.13 * height) + (x, y - 0.66 * height)
    shades = [ink(tone * share) for share in (0.6, 0.75, 0.9, 1.08)]
    for rank, (cx, cy) in enumerate(clumps.tolist()):
        radius, rise = height * (0.22 - 0.0095 * rank), 0.005 * height * rank
        pen.ellipse((cx - radius, cy - rise - radius, cx + radius, cy - rise + radius), shades[rank * 4 // len(clumps)])


def ruffled(image: Image.Image, rng: np.random.Generator, top: float) -> Image.Image:
    """Add the grain of leaves and needles to the image below the line `top`."""
    grain = 1 + np.float32(rng.uniform(0.05, 0.2)) * noise(rng, 0.6) * ramp(top, top + 0.15, Y)
    leafy = np.asarray(image, np.float32) * np.stack([grain] * 3, axis=-1)
    return Image.fromarray(np.clip(leafy, 0, 255).astype(np.uint8))


def foliage(scene: Scene, tone: Array, density: Array, far: float) -> None:
    """Paint foliage where noise passes `density` (rows, 1), in clumps of light and shade."""
    canvas, rng, light = scene
    clumps, fine = noise(rng, 1.0), noise(rng, 0.5)
    lit = np.clip(0.4 + 0.3 * (np.roll(clumps, 3, axis=0) - clumps) + 0.3 * fine, 0, 1.2)
    seen = light.veil(light.on(tone * (1 + 0.25 * fine), lit), far)
    paint(canvas, seen, ramp(-0.1, 0.15, clumps + 0.35 * fine - 2 + 4 * density))


def trunks(scene: Scene, floor: float, count: int, bark: Array) -> None:
    """Paint trunks on the forest floor; far trunks come first, and are pale and thin."""
    canvas, rng, light = scene
    for depth in np.sort(rng.uniform(0, 1, count) ** 1.4):
        half = (0.004 + 0.03 * depth**2) * rng.uniform(0.6, 1.4)
        x, foot = rng.uniform(0, 1), floor + (1.05 - floor) * depth
        lean = rng.normal(0, 0.03 + 0.03 * depth)
        reach = half + abs(lean) + 0.01
        cols = slice(int(max(x - reach, 0) * SIDE), int(min(x + reach, 1) * SIDE) + 1)
        rows = slice(0, int(min(foot, 1) * SIDE))
        across = (X[cols] - x - lean * (foot - Y[rows])) / (half * (0.7 + 0.4 * Y[rows] / foot))
        rough = noise(rng, 0.9, across.shape[0], across.shape[1])
        lit = np.clip(0.4 + 0.45 * light.azimuth * across + 0.15 * rough, 0, 1)
        seen = light.veil(light.on(bark * (1 + 0.15 * rough), lit), 0.9 * (1 - depth))
        paint(canvas[:, rows, cols], seen, ramp(1.15, 0.85, np.abs(across)))
