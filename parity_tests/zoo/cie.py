"""CIE Lab and sRGB by their formulas, in NumPy and with the exact fractions: what the specs are held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WHITE = np.array([0.95047, 1.0, 1.08883])
MATRIX = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
DELTA = 6 / 29


def rgb_to_lab(rgb: Array) -> Array:
    """(..., 3) in [0, 1] -> (..., 3)."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    t = linear @ MATRIX.T / WHITE
    x, y, z = np.moveaxis(np.where(t > DELTA**3, np.cbrt(t), t / (3 * DELTA**2) + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def lab_to_rgb(lab: Array) -> Array:
    """(..., 3) -> (..., 3), not clipped."""
    lightness, a, b = np.moveaxis(lab, -1, 0)
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], -1)
    xyz = np.where(f > DELTA, f**3, 3 * DELTA**2 * (f - 4 / 29)) * WHITE
    linear = xyz @ np.linalg.inv(MATRIX).T
    curved = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    coded: Array = np.where(linear > 0.0031308, curved, 12.92 * linear)
    return coded
