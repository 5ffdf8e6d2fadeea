"""Draw streets: walls by ray casting, paving by inverse perspective, cars and people in front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from intelbench.scenes.drawing import SIDE, Array, Drawing, Scene, X, Y, colour, ink, mix, noise, paint, row_of
from intelbench.scenes.landscape import broadleaf, plant_albedo


@dataclass(frozen=True)
class Camera:
    """A camera in a street. Lengths are in metres; `yaw` is the angle between the street's axes and the view."""

    horizon: float
    """y of the eye level on the canvas."""
    eye: float
    """Height of the camera in metres."""
    focal: float
    """Focal length in canvas sides."""
    yaw: float
    """Angle in radians from the street's axis to the view."""
    across: float
    """Distance of the camera to the right of the street's axis, in metres."""

    def turn(self, across: ArrayLike, along: ArrayLike) -> tuple[Array, Array]:
        """Convert street coordinates to (right, ahead) of the camera, in metres."""
        a, b = np.asarray(across, np.float32) - self.across, np.asarray(along, np.float32)
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        return (a * cos - b * sin).astype(np.float32), (a * sin + b * cos).astype(np.float32)

    def range(self, across: float, along: float) -> float:
        """Return the distance of a point of the street in metres."""
        right, ahead = self.turn(across, along)
        return float(np.hypot(right, ahead))

    def place(self, across: float, along: float) -> tuple[tuple[float, float], float] | None:
        """Return the foot of an object on the canvas, and the size of a metre there, both in canvas pixels.

        `None` if the object is behind the camera or too near.
        """
        right, ahead = (float(value) for value in self.turn(across, along))
        if ahead < 3:
            return None
        scale = self.focal / ahead
        return ((0.5 + right * scale) * SIDE, (self.horizon + self.eye * scale) * SIDE), scale * SIDE

    def floor(self) -> tuple[Array, Array, Array]:
        """Return street coordinates (across, along) and distance ahead of each pixel below the horizon, in metres."""
        ahead = np.float32(self.focal * self.eye) / (Y[row_of(self.horizon) :] - self.horizon + 0.003)
        right = (X - 0.5) / np.float32(self.focal) * ahead
        cos, sin = np.float32(np.cos(self.yaw)), np.float32(np.sin(self.yaw))
        return right * cos + ahead * sin + self.across, ahead * cos - right * sin, ahead


# -- buildings ---------------------------------------------------------------------------------------------------------


class Facade(NamedTuple):
    """The face of a building; lengths in metres, albedos (3, 1, 1)."""

    wall: Array
    roof: Array
    frame: Array
    glass: Array
    storey: float
    bay: float
    opening: tuple[float, float]
    """Window width and height as shares of bay and storey."""
    attic: float
    """Height of the roof's face above the wall; 0 is a flat roof."""
    shop: bool
    """Whether the ground floor is glazed from side to side."""


class Plot(NamedTuple):
    """The ground plan of a building: its near left corner and its extent, in metres."""

    across: float
    along: float
    wide: float
    deep: float
    storeys: int


def _facade(rng: np.random.Generator, storeys: float) -> Facade:
    """Draw a random facade: plaster, brick or stone with a pitched roof if low, concrete or glass if tall."""
    plaster, brick, stone = colour(0.82, 0.74, 0.58), colour(0.6, 0.34, 0.26), colour(0.72, 0.7, 0.66)
    walls = (plaster, brick, stone, colour(0.86, 0.83, 0.78), colour(0.5, 0.56, 0.6))
    blend = mix(walls[rng.integers(5)], walls[rng.integers(5)], rng.uniform(0, 0.5))
    shade = np.clip(blend + rng.normal(0, 0.05, (3, 1, 1)), 0.05, 0.95).astype(np.float32)
    glassy = storeys > 6 and rng.random() < 0.5
    low, high = ((0.8, 0.6), (0.94, 0.9)) if glassy else ((0.3, 0.42), (0.6, 0.65))
    return Facade(
        wall=shade,
        roof=mix(colour(0.5, 0.24, 0.17), colour(0.27, 0.27, 0.3), rng.integers(2)),
        frame=mix(shade, colour(0.95, 0.94, 0.9) if rng.random() < 0.6 else colour(0, 0, 0), rng.uniform(0.2, 0.8)),
        glass=mix(colour(0.12, 0.16, 0.2), colour(0.25, 0.4, 0.5), rng.uniform(0, 1) * glassy),
        storey=rng.uniform(2.9, 3.8),
        bay=rng.uniform(2, 4.5),
        opening=(rng.uniform(low[0], high[0]), rng.uniform(low[1], high[1])),
        attic=rng.uniform(1, 3) if storeys < 6 and rng.random() < 0.6 else 0.4,
        shop=rng.random() < 0.5,
    )


def building(scene: Scene, camera: Camera, plot: Plot) -> None:
    """Paint a building: the one or two walls that the camera sees."""
    rng = scene.rng
    across, along, wide, deep, storeys = plot
    face = _facade(rng, storeys)
    height = storeys * face.storey + face.attic
    a, b, c, d = (across, along), (across + wide, along), (across + wide, along + deep), (across, along + deep)
    for ends in ((a, b), (b, c), (c, d), (d, a)):
        _wall(scene, camera, np.array(ends, np.float32), height, face)


def _wall(scene: Scene, camera: Camera, ends: Array, height: float, face: Facade) -> None:
    """Paint the wall between the street points `ends` ((2, 2): across, along) by casting a ray for each column.

    The corners of a building run anticlockwise, so a wall that is seen from behind is hidden and is skipped.
    """
    light = scene.light
    (x0, x1), (z0, z1) = camera.turn(ends[:, 0], ends[:, 1])
    dx, dz, length = x1 - x0, z1 - z0, float(np.hypot(x1 - x0, z1 - z0))
    if dx * z0 <= dz * x0:
        return
    ray = (X - 0.5) / np.float32(camera.focal)
    share = (ray * z0 - x0) / (dx - ray * dz + np.float32(1e-6))
    ahead = z0 + share * dz
    hit = np.flatnonzero((share >= 0) & (share <= 1) & (ahead > 0.7))
    if not hit.size:
        return
    cols = slice(int(hit[0]), int(hit[-1]) + 1)
    scale = np.float32(camera.focal) / ahead[cols]
    foot = camera.horizon + camera.eye * scale
    top, low = row_of(float((foot - height * scale).min())), row_of(float(foot.max())) + 1
    up = (foot - Y[top:low]) / scale
    lit = np.clip(0.45 + 0.9 * light.azimuth * dz / length, 0, 1)
    surface = _surface(scene, face, share[cols] * np.float32(length), up, (length, height), float(lit))
    inside = ((up >= 0) & (up <= height)).astype(np.float32)
    paint(scene.canvas[:, top:low, cols], light.veil(surface, np.clip(ahead[cols] / 150, 0, 1)), inside)


def _surface(scene: Scene, face: Facade, along: Array, up: Array, size: tuple[float, float], lit: float) -> Array:
    """Return the colours (3, H, W) of a facade at `along` (W,) and `up` (H, W) metres from its lower left corner.

    `size` is the length and height in metres, `lit` the share of sunlight on the facade.
    """
    rng, light = scene.rng, scene.light
    length, height = size
    column, level = along / np.float32(face.bay), up / np.float32(face.storey)
    bay, storey = np.floor(column), np.floor(level)
    eaves = height - face.attic
    grain = 1 + 0.05 * noise(rng, 0.8, *up.shape)
    plain = np.where(up > eaves, light.on(face.roof, lit), light.on(face.wall, lit)) * grain
    width = np.where((up < 3.2) & face.shop, np.float32(0.43), np.float32(face.opening[0] / 2))
    sideways, upright = np.abs(column - bay - 0.5), np.abs(level - storey - 0.5)
    glazed = (up < eaves - 0.15 * face.storey) & (bay < np.floor(length / face.bay))
    frame = glazed & (sideways < width + 0.04) & (upright < face.opening[1] / 2 + 0.04)
    window = glazed & (sideways < width) & (upright < face.opening[1] / 2) & (sideways > 0.012)
    panes = rng.random((32, 32), np.float32)[storey.astype(np.int32) % 32, bay.astype(np.int32) % 32]
    sheen = mix(light.on(face.glass, 0.3), light.zenith, 0.1 + 0.3 * panes)
    sheen = np.where(panes < 0.7 * light.dusk, colour(0.98, 0.82, 0.5), sheen)
    return np.where(window, sheen, np.where(frame, light.on(face.frame, lit), plain))


def terraces(
    rng: np.random.Generator, half_road: float, storeys: float, reach: float, sides: tuple[int, ...]
) -> list[Plot]:
    """Return plots of terraced houses along one or both sides of the street, up to `reach` metres ahead."""
    plots, deep = [], 12.0
    for side in sides:
        front = half_road + rng.uniform(1.5, 4)
        across = front if side > 0 else -front - deep
        along = rng.uniform(-0.5, 0) * reach if len(sides) == 1 else rng.uniform(-12, 0)
        while along < reach:
            frontage = rng.uniform(7, 22)
            plots.append(Plot(across, along, deep, frontage, max(1, round(storeys + rng.normal(0, 1.2)))))
            along += frontage + (rng.uniform(3, 12) if rng.random() < 0.25 else 0)
    return plots


def scattered(rng: np.random.Generator, turn: float, towers: bool) -> list[Plot]:
    """Return plots of free-standing buildings in the direction `turn`: a few blocks, or a skyline of towers."""
    plots = []
    for _ in range(int(rng.integers(4, 9) if towers else rng.integers(1, 4))):
        ahead, right = rng.uniform(20, 120 if towers else 40), rng.uniform(-0.5, 0.5)
        across, along = ahead * (np.sin(turn) + right * np.cos(turn)), ahead * (np.cos(turn) - right * np.sin(turn))
        storeys = rng.uniform(6, 26) if towers else rng.uniform(2, 9)
        plots.append(Plot(across, along, rng.uniform(10, 26), rng.uniform(10, 30), round(storeys)))
    return plots


# -- street level ------------------------------------------------------------------------------------------------------


def paving(scene: Scene, camera: Camera, half_road: float) -> None:
    """Paint the road with markings along the street's axis, and the pavements."""
    canvas, rng, light = scene
    across, along, ahead = camera.floor()
    view = canvas[:, SIDE - ahead.shape[0] :]
    grain = noise(rng, 0.6, ahead.shape[0])
    off = np.abs(across)
    slab = mix(colour(0.5, 0.49, 0.47), colour(0.66, 0.6, 0.52), rng.uniform(0, 1))
    asphalt = mix(colour(0.22, 0.22, 0.24), colour(0.42, 0.41, 0.4), rng.uniform(0, 1))
    verge = half_road + rng.uniform(2, 12)
    slab = np.where(off > verge, plant_albedo(rng), slab) if rng.random() < 0.6 else slab
    albedo = np.where(off < half_road, asphalt, slab)
    albedo = np.where(np.abs(off - half_road) < 0.15, colour(0.7, 0.69, 0.66), albedo)
    marks = (off < 0.09) & (along % 6 < 3) if rng.random() < 0.7 else np.zeros_like(off, bool)
    if rng.random() < 0.35:
        marks |= (np.abs(along - rng.uniform(8, 25)) < 1.6) & (across % 1.1 < 0.55) & (off < half_road - 0.2)
    albedo = np.where(marks, colour(0.86, 0.85, 0.8), albedo) * (1 + 0.07 * grain)
    view[:] = light.veil(light.on(albedo, np.full_like(off, rng.uniform(0.2, 0.8))), np.clip(ahead / 150, 0, 1))


def traffic(drawing: Drawing, camera: Camera, half_road: float, busy: float) -> None:
    """Draw cars on the road, and people, lamps and trees on the pavements. `busy` is 1 in a usual street."""
    rng = drawing.rng
    counts = rng.poisson(np.array([3.0, 3.5, 2.0, 3.0 * (rng.random() < 0.4)]) * busy)
    kinds = np.repeat(["car", "person", "lamp", "tree"], counts)
    along = rng.uniform(5, 60, len(kinds)) ** rng.uniform(0.75, 1, len(kinds))
    on_road, off_road = half_road * rng.uniform(0.3, 0.8, len(kinds)), half_road + rng.uniform(0.4, 2, len(kinds))
    across = np.where(kinds == "car", on_road, off_road) * rng.choice([-1, 1], len(kinds))
    for index in np.argsort(-camera.turn(across, along)[1]):  # the farthest object first
        position = camera.place(float(across[index]), float(along[index]))
        if position is None:
            continue
        foot, metre = position
        if kinds[index] == "car":
            car(drawing, foot, metre, sideways=abs(camera.yaw) > 0.6)
        elif kinds[index] == "person":
            person(drawing, foot, metre)
        elif kinds[index] == "lamp":
            lamp(drawing, foot, metre)
        else:
            tone = drawing.light.on(plant_albedo(rng), 0.5)
            broadleaf(drawing, foot, rng.uniform(4, 8) * metre, tone)


def car(drawing: Drawing, foot: tuple[float, float], metre: float, *, sideways: bool) -> None:
    """Draw a car whose middle is on the road at `foot` (canvas pixels); `metre` is the canvas pixels of a metre."""
    pen, rng, light = drawing
    half, tall = (2.1 if sideways else 0.95) * metre, 1.45 * metre

    def at(*outline: tuple[float, float]) -> list[tuple[float, float]]:
        return [(foot[0] + right * half, foot[1] - up * tall) for right, up in outline]

    shadow, tyre = ink(light.on(colour(0.1, 0.1, 0.1), 0)), (22, 22, 24)
    paintwork = ink(light.on(np.abs(rng.choice([0.1, 0.45, 0.85]) + rng.normal(0, 0.16, (3, 1, 1))), 0.6))
    glass = ink(mix(light.on(colour(0.2, 0.25, 0.3), 0.5), light.zenith, 0.3))
    lights = ink(colour(0.8, 0.15, 0.1) if rng.random() < 0.5 else colour(1.0, 0.95, 0.8))
    pen.ellipse(at((-1.1, 0.12), (1.1, -0.12)), shadow)
    pen.polygon(at((-0.7, 0.5), (-0.45, 1), (0.5, 1), (0.8, 0.5)), glass)
    pen.rectangle(at((-1, 0.6), (1, 0.14)), paintwork)
    pen.line(at((-0.45, 1), (0.5, 1)), paintwork, max(1, int(0.1 * metre)))
    for end in (-0.62, 0.62):
        round_ = 0.2 * tall / half
        pen.ellipse(at((end - round_, 0.32), (end + round_, -0.04)), tyre)
        if not sideways:
            pen.rectangle(at((1.3 * end - 0.1, 0.5), (1.3 * end + 0.1, 0.4)), lights)


def lamp(drawing: Drawing, foot: tuple[float, float], metre: float) -> None:
    """Draw a street lamp of 6 m at `foot` (canvas pixels), lit at dusk."""
    pen, light, (x, y) = drawing.pen, drawing.light, foot
    pole, top = ink(light.on(colour(0.2, 0.2, 0.22), 0.3)), y - 6 * metre
    glow = ink(mix(light.on(colour(0.7, 0.7, 0.7), 0.5), colour(1, 0.9, 0.6), light.dusk))
    pen.line([foot, (x, top)], pole, max(1, int(0.15 * metre)))
    pen.ellipse((x - 0.3 * metre, top - 0.3 * metre, x + 0.3 * metre, top + 0.3 * metre), glow)


def person(drawing: Drawing, foot: tuple[float, float], metre: float) -> None:
    """Draw a standing person of 1.75 m at `foot` (canvas pixels)."""
    pen, rng, light = drawing

    def at(*outline: tuple[float, float]) -> list[tuple[float, float]]:
        return [(foot[0] + right * metre, foot[1] - up * metre) for right, up in outline]

    coat, legs = (ink(light.on(rng.uniform(0.05, 0.8, (3, 1, 1)), 0.5)) for _ in range(2))
    pen.polygon(at((-0.16, 0), (0, 0.9), (0.16, 0)), legs)
    pen.rectangle(at((-0.22, 1.45), (0.22, 0.8)), coat)
    pen.ellipse(at((-0.13, 1.75), (0.13, 1.45)), ink(light.on(colour(0.8, 0.6, 0.5), 0.5)))
