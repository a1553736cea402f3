"""Pictures of the synthetic store's items, drawn by rule from one seed (docs/images.md).

A picture says part of what customers react to. The category sets the silhouette; the first four taste factors set the
colour, the stripes, the print and the background; quality sets how strong colours are and how much grain there is.
Where the item stands, how it is turned, how large it is and the light say nothing.
"""

import numpy as np
import pandas as pd

from ..errors import FieldError
from .images import SIZES, Pictures
from .synthetic import SyntheticStore

DRAWN = "drawn"  # in the place of a folder: the synthetic store's own pictures
STREAM = 6  # of the seed of the store, which itself takes 0 to 5


def draw(store: SyntheticStore, size: int = 32, shown: float = 0.7) -> Pictures:
    """Return the pictures of all items of a store, in the order of its catalogue.

    Args:
        store: what `data.generate` returned.
        size: pixels, height and width.
        shown: share of the variance of each taste factor, and of quality, that the picture shows; the rest is noise.

    Raises:
        FieldError: a size or share that is not allowed.
    """
    if type(size) is not int or not SIZES[0] <= size <= SIZES[1]:
        raise FieldError("size", size, f"a whole number of pixels from {SIZES[0]} to {SIZES[1]}")
    if isinstance(shown, bool) or not isinstance(shown, int | float) or not 0 <= shown <= 1:
        raise FieldError("shown", shown, "a number from 0 to 1")
    rng = np.random.default_rng([store.params.seed, STREAM])
    known, count = store.satisfaction, len(store.catalogue)
    signs = np.zeros((count, 5))  # four factors and quality, of variance 1
    factors = min(4, known.feature.shape[1])
    signs[:, :factors] = known.feature[:, :factors] / (0.7 * np.sqrt(2.0))
    signs[:, 4] = known.quality / 0.4
    signs = np.sqrt(shown) * signs + np.sqrt(1.0 - shown) * rng.normal(size=signs.shape)
    category = pd.factorize(store.catalogue["category"], sort=True)[0]
    # tanh keeps order and puts most items well inside the range of what can be seen
    scale = 0.5 + 0.5 * np.tanh(0.8 * signs)
    stands = np.column_stack([rng.uniform(-0.12, 0.12, (count, 2)), rng.uniform(0, 2 * np.pi, count)])
    seen = np.column_stack([stands, rng.uniform(0.85, 1.1, (count, 2))])  # x, y, angle, size, light
    grain = rng.normal(size=(count, size, size))
    rows = zip(scale, category, seen, grain, strict=True)
    return Pictures(np.stack([_picture(*row) for row in rows]), np.ones(count, bool))


def _picture(scale: np.ndarray, category: int, seen: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """One picture (S, S, 3) uint8. `scale` (5,) in 0 .. 1: hue, stripes, print, background, quality."""
    hue, stripes, dots, background, quality = scale
    x0, y0, angle, zoom, light = seen
    axis = np.linspace(-1, 1, len(grain))
    x, y = (axis - x0) / zoom, (axis[:, None] - y0) / zoom
    radius, theta = np.hypot(x, y), np.arctan2(y, x) - angle
    corners, depth = 3 + category % 5, 0.12 + 0.1 * (category // 5 % 3)
    inside = radius < 0.65 * (1.0 + depth * np.cos(corners * theta))
    colour = _rgb(0.75 * hue, 0.25 + 0.7 * quality)
    band = np.sin(2 * np.pi * (0.5 + 3.0 * stripes) * (x * np.cos(angle) + y * np.sin(angle))) > 0.3
    goods = np.where(band[..., None], 0.55 * colour, colour)
    spots = np.pi / 3 * np.arange(6)
    px, py = x[..., None] - 0.33 * np.cos(spots + angle), y[..., None] - 0.33 * np.sin(spots + angle)
    printed = (np.hypot(px, py) < 0.02 + 0.16 * dots).any(axis=-1)
    goods = np.where(printed[..., None], 0.95, goods)
    canvas = np.where(inside[..., None], goods, 0.15 + 0.75 * background)
    canvas = light * canvas + 0.12 * (1.0 - quality) * grain[..., None]
    return np.rint(255 * canvas.clip(0, 1)).astype(np.uint8)


def _rgb(hue: float, saturation: float) -> np.ndarray:
    """(3,) of a colour of value 0.9, hue and saturation in 0 .. 1 (Smith 1978, Color gamut transform pairs)."""
    k = (np.array([5.0, 3.0, 1.0]) + 6.0 * hue) % 6.0
    return 0.9 * (1.0 - saturation * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0))
