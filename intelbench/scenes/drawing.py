"""Draw what all scenes share: light, noise, sky and the view of the camera.

Everything is painted on a square float32 canvas (3, SIDE, SIDE) with sRGB values from 0 to 1. Channels are first,
because a mask then broadcasts over long runs of memory, five times as fast as over triples. Positions are shares of the
canvas (x to the right, y downwards). `photograph` views the canvas through a tilted camera, which also antialiases it,
because the canvas is larger than the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Array = NDArray[np.floating[Any]]
Pen = ImageDraw.ImageDraw

SIDE = 200
"""Canvas side in canvas pixels: about 1.1 of them make one pixel of the picture, the rest is margin to frame it in."""
PICTURE = 150
"""Picture side in pixels, that of the Intel set."""

X: Array = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE
"""Column centres, shape (SIDE,), in shares of the canvas."""
Y: Array = X[:, None]
"""Row centres, shape (SIDE, 1)."""


def colour(red: float, green: float, blue: float) -> Array:
    """Return a colour of shape (3, 1, 1), which broadcasts with a mask (H, W)."""
    return np.array([red, green, blue], np.float32)[:, None, None]


def mix(a: ArrayLike, b: ArrayLike, share: ArrayLike) -> Array:
    """Blend from `a` (`share` 0) to `b` (`share` 1) in float32, because float64 would take twice the time."""
    start = np.asarray(a, np.float32)
    blend: Array = start + np.asarray(share, np.float32) * (np.asarray(b, np.float32) - start)
    return blend


def ramp(low: float, high: float, values: ArrayLike) -> Array:
    """Return 0 below `low`, 1 above `high`, and a smooth transition between; descending if low > high."""
    t = np.clip((np.asarray(values, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


def row_of(y: float) -> int:
    """Return the first canvas row whose centre is at or below `y`."""
    return int(np.clip(np.ceil(y * SIDE - 0.5), 0, SIDE - 1))


def paint(canvas: Array, layer: Array, alpha: Array) -> None:
    """Paint `layer` (broadcast to (3, H, W)) over `canvas` (3, H, W) with opacity `alpha` (H, W)."""
    canvas += alpha * (layer - canvas)


# -- light -------------------------------------------------------------------------------------------------------------

_MOODS = np.array(
    [  # zenith            horizon            sun                ambient
        [[0.22, 0.45, 0.82], [0.70, 0.84, 0.96], [0.72, 0.68, 0.60], [0.38, 0.42, 0.50]],  # clear noon
        [[0.40, 0.62, 0.86], [0.86, 0.91, 0.94], [0.60, 0.57, 0.50], [0.46, 0.49, 0.54]],  # pale day
        [[0.62, 0.66, 0.71], [0.84, 0.86, 0.87], [0.20, 0.20, 0.20], [0.66, 0.68, 0.70]],  # overcast
        [[0.36, 0.40, 0.46], [0.66, 0.69, 0.71], [0.22, 0.21, 0.20], [0.44, 0.47, 0.51]],  # storm
        [[0.38, 0.46, 0.68], [0.99, 0.78, 0.52], [0.86, 0.58, 0.32], [0.34, 0.31, 0.36]],  # golden hour
        [[0.16, 0.17, 0.36], [0.80, 0.47, 0.42], [0.40, 0.26, 0.24], [0.24, 0.23, 0.34]],  # dusk
    ],
    np.float32,
)
# The parameters of a Dirichlet distribution: below 1 most pictures are near one mood, and dusk is the rarest.
_FREQUENCY = (0.4, 0.35, 0.3, 0.25, 0.25, 0.12)
_DUSK = 5


@dataclass(frozen=True)
class Light:
    """The light of one picture; colours of shape (3, 1, 1), sRGB shares."""

    zenith: Array
    horizon: Array
    sun: Array
    ambient: Array
    azimuth: float
    """Position of the sun, from -1 (left) to 1 (right)."""
    haze: float
    """Share of the horizon's colour in an object at distance 1 (the farthest ridge)."""
    dusk: float
    """Share of dusk in the mood, which lights windows and lamps."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Light:
        """Draw a random mixture of moods, so that times of day form a continuum and not six styles."""
        weights = rng.dirichlet(_FREQUENCY).astype(np.float32)
        zenith, horizon, sun, ambient = (weights @ _MOODS.reshape(len(weights), -1)).reshape(4, 3, 1, 1)
        side = -1.0 if rng.random() < 0.5 else 1.0
        return cls(zenith, horizon, sun, ambient, side * rng.uniform(0.4, 1), rng.uniform(0.1, 0.8), weights[_DUSK])

    def on(self, albedo: ArrayLike, lit: ArrayLike) -> Array:
        """Return the colour of a surface of `albedo` (3, H, W) with a share `lit` (H, W) of sunlight."""
        shone: Array = np.asarray(albedo, np.float32) * (self.ambient + np.asarray(lit, np.float32) * self.sun)
        return shone

    def veil(self, seen: Array, distance: ArrayLike) -> Array:
        """Return the colours `seen` (3, H, W) through haze over `distance` (H, W)."""
        return mix(seen, self.horizon, np.asarray(distance, np.float32) * self.haze)


# -- noise -------------------------------------------------------------------------------------------------------------

_TILE = 512
"""Side of the noise field, a power of two so that wrapping around it is a bit mask."""


@cache
def _field(power: float) -> Array:
    """Return tileable noise with spectrum 1/f**power and unit variance, repeated 2x2 so that any crop is a view."""
    white = np.random.default_rng(20).standard_normal((_TILE, _TILE))
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE))
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(white) / frequency**power, s=(_TILE, _TILE))
    tiled = np.tile((field / field.std()).astype(np.float32), (2, 2))
    tiled.setflags(write=False)
    return tiled


def noise(rng: np.random.Generator, power: float, rows: int = SIDE, cols: int = SIDE, flat: int = 1) -> Array:
    """Return a random crop of fractal noise (rows, cols), mirrored at random; `flat` squeezes it vertically.

    The noise is computed once for each power: 0 is white, 1 is like rock or leaves, 1.6 is like clouds.
    """
    y, x = int(rng.integers(2 * _TILE - rows * flat)), int(rng.integers(2 * _TILE - cols))
    crop = _field(power)[y : y + rows * flat : flat, x : x + cols]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def plane(rng: np.random.Generator, power: float, horizon: float, near: float, stretch: float = 1.0) -> Array:
    """Return noise on the ground in perspective, of shape (rows below the horizon, SIDE).

    `near` is the number of texels in a canvas pixel at the lower edge; `stretch` > 1 stretches the noise sideways, as
    for waves.
    """
    below = Y[row_of(horizon) :] - horizon + 0.004
    far = np.float32(1 - horizon) / below
    u = (X - 0.5) * far * np.float32(SIDE * near / stretch) + rng.integers(_TILE)
    v = far * np.float32(SIDE * near * (1 - horizon)) + rng.integers(_TILE)
    seen: Array = _field(power)[v.astype(np.int32) & (_TILE - 1), u.astype(np.int32) & (_TILE - 1)]
    return seen


# -- sky ---------------------------------------------------------------------------------------------------------------


class Scene(NamedTuple):
    """An unfinished picture."""

    canvas: Array
    """(3, SIDE, SIDE)."""
    rng: np.random.Generator
    light: Light


class Drawing(NamedTuple):
    """The pen for the objects in front of the finished canvas; positions are in canvas pixels."""

    pen: Pen
    rng: np.random.Generator
    light: Light


def sky(rng: np.random.Generator, light: Light, horizon: float) -> Scene:
    """Start a scene with a gradient, a glow around the sun and, mostly, clouds."""
    height = np.clip(Y / horizon, 0, 1) ** np.float32(rng.uniform(0.6, 1.4))
    canvas = np.repeat(mix(light.zenith, light.horizon, height), SIDE, axis=2)
    glow_x, glow_y = 0.5 + 0.5 * light.azimuth, horizon * rng.uniform(0.2, 0.9)
    near_sun = np.exp(-7 * (X - glow_x) ** 2) * np.exp(-7 * (Y - glow_y) ** 2)
    canvas += 0.45 * near_sun * light.sun
    if rng.random() < 0.75:
        flat = int(rng.integers(1, 4))
        field = noise(rng, 1.6, flat=flat)
        cover = rng.uniform(-0.6, 1.6)
        alpha = ramp(cover, cover + rng.uniform(0.4, 1.5), field) * np.float32(rng.uniform(0.5, 0.95))
        lit = np.clip(0.75 + 0.3 * (field - np.roll(field, -6, axis=0)), 0, 1)
        paint(canvas, mix(light.horizon * 0.8, light.ambient + light.sun, 0.7) * lit, alpha)
    return Scene(canvas, rng, light)


# -- camera ------------------------------------------------------------------------------------------------------------


def ink(shade: Array) -> tuple[int, int, int]:
    """Convert a colour (3, 1, 1) to Pillow's format."""
    red, green, blue = shade.ravel().tolist()
    return int(255 * min(max(red, 0), 1)), int(255 * min(max(green, 0), 1)), int(255 * min(max(blue, 0), 1))


def sketch(scene: Scene) -> tuple[Image.Image, Drawing]:
    """Return the canvas as an 8-bit image, and the pen to draw on it."""
    channels = (np.clip(scene.canvas, 0, 1) * 255).astype(np.uint8)
    image = Image.merge("RGB", [Image.fromarray(channel) for channel in channels])
    return image, Drawing(ImageDraw.Draw(image), scene.rng, scene.light)


def photograph(image: Image.Image, rng: np.random.Generator, keystone: float = 0.0) -> NDArray[np.uint8]:
    """Return the view of the canvas through a tilted camera, (PICTURE, PICTURE, 3).

    `keystone` is the share of the picture's width by which verticals converge upwards, as if the camera looked up.
    """
    tilt, zoom = np.clip(rng.normal(0, 0.025), -0.07, 0.07), rng.uniform(0.9, 1.12)
    across, down = SIDE / 2 + (SIDE - 1.15 * zoom * PICTURE) / 2 * rng.uniform(-1, 1, 2) * (1, 0.5)
    half, bend = PICTURE / 2, -keystone / PICTURE
    to_middle = np.array([[1, 0, -half], [0, 1, -half], [0, 0, 1]])
    lens = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, bend / zoom, 1 / zoom]])
    matrix = np.array([[1, 0, across], [0, 1, down], [0, 0, 1]]) @ lens @ to_middle
    view = tuple((matrix / matrix[2, 2]).ravel()[:8])
    seen = image.transform((PICTURE, PICTURE), Image.Transform.PERSPECTIVE, view, Image.Resampling.BILINEAR)
    contrast, saturation = rng.uniform(0.8, 1.15), rng.uniform(0.65, 1.15)
    gain = contrast * rng.uniform(0.75, 1.25) * rng.uniform(0.95, 1.05, 3)
    film = gain[:, None] * (saturation * np.eye(3) + (1 - saturation) / 3)
    film = np.column_stack([film, np.full(3, 115 * (1 - contrast))])
    pixels = np.asarray(seen.convert("RGB", tuple(film.ravel())), np.float32)
    grain = np.float32(rng.uniform(0.5, 5)) * noise(rng, 0.0, PICTURE, 3 * PICTURE).reshape(pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)
