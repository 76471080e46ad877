"""Gradients of ops on images: the adjoints of padding, pooling, resizing, pixel shuffle and blurring."""

from __future__ import annotations

import numpy as np

from twinzoo.ports.reference.backward.layers import convolve_back, transpose_back
from twinzoo.ports.reference.backward.rule import Pulled, Rule
from twinzoo.ports.reference.backward.structure import moved, scattered
from twinzoo.ports.reference.rule import Array, Attrs, Params
from twinzoo.ports.reference.spatial import RULES as FORWARD
from twinzoo.ports.reference.spatial import lerp_matrix, pool_divisor, pool_windows, window_means


def image_places(x: Array) -> Array:
    """The number of each pixel of x (N, C, H, W), row by row: (H, W)."""
    places: Array = np.arange(x.shape[2] * x.shape[3]).reshape(x.shape[2:])
    return places


def padded_places(a: Attrs, x: Array) -> Array:
    """Which pixel of x (N, C, H, W) pad2d puts where, in mode reflect or replicate: (H', W')."""
    places: Array = FORWARD["pad2d"](a, {}, image_places(x)[None, None])[0, 0]
    return places


def _pad2d(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    if a["mode"] == "zero":
        left, _, top, _ = a["padding"]
        return Pulled((g[:, :, top : top + x.shape[2], left : left + x.shape[3]],), {})
    return Pulled((onto_pixels(g, padded_places(a, x), x),), {})


def onto_pixels(terms: Array, places: Array, x: Array) -> Array:
    """Add terms (N, C, ...) to the pixels of x (N, C, H, W) at places (...); what goes to -1 is dropped."""
    inside = places >= 0
    flat = terms.reshape(*x.shape[:2], *places.shape)[:, :, inside]
    return scattered(flat, places[inside], x[0, 0].size).reshape(x.shape)


def pooled_places(a: Attrs, x: Array) -> Array:
    """Which pixel of x (N, C, H, W) is where in each window: (H', W', kernel height * kernel width), -1 outside."""
    windows = pool_windows(a, image_places(x)[None, None], -1)[0, 0]
    places: Array = windows.reshape(*windows.shape[:2], -1)
    return places


def chosen(a: Attrs, x: Array) -> Array:
    """Which pixel of each window max_pool2d takes, the first of equals: ones in (N, C, H', W', kernel size)."""
    seen = pool_windows(a, x, -np.inf)
    seen = seen.reshape(*seen.shape[:4], -1)
    first: Array = np.arange(seen.shape[-1]) == seen.argmax(-1)[..., None]
    return first


def _max_pool2d(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    return Pulled((onto_pixels(g[..., None] * chosen(a, x), pooled_places(a, x), x),), {})


def averaged_terms(a: Attrs, g: Array, x: Array) -> Array:
    """What each pixel of each window of avg_pool2d is given: (N, C, H', W', kernel size)."""
    shares = (g / pool_divisor(a, x))[..., None]
    return np.broadcast_to(shares, (*g.shape, a["kernel"][0] * a["kernel"][1]))


def _avg_pool2d(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    return Pulled((onto_pixels(averaged_terms(a, g, x), pooled_places(a, x), x),), {})


def resize_matrices(op: str, a: Attrs, g: Array, x: Array) -> tuple[Array, Array]:
    """The matrices (H', H) and (W', W) of adaptive_avg_pool2d and of bilinear interpolate."""
    sizes = zip(x.shape[2:], g.shape[2:], strict=True)
    if op == "adaptive_avg_pool2d":
        down, across = (window_means(size, count) for size, count in sizes)
    else:
        down, across = (lerp_matrix(size, count, a["align_corners"]) for size, count in sizes)
    return down, across


def _adaptive_avg_pool2d(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    down, across = resize_matrices("adaptive_avg_pool2d", a, g, x)
    return Pulled((down.T @ g @ across,), {})


def nearest_places(x: Array, size: tuple[int, int]) -> Array:
    """Which pixel of x (N, C, H, W) each pixel of nearest interpolate is: (H', W')."""
    rows, columns = (np.arange(count) * pixels // count for pixels, count in zip(x.shape[2:], size, strict=True))
    places: Array = image_places(x)[rows[:, None], columns]
    return places


def _interpolate(a: Attrs, p: Params, g: Array, y: Array, x: Array) -> Pulled:
    if a["mode"] == "nearest":
        return Pulled((onto_pixels(g, nearest_places(x, (g.shape[2], g.shape[3])), x),), {})
    down, across = resize_matrices("interpolate", a, g, x)
    return Pulled((down.T @ g @ across,), {})


def as_convolution(a: Attrs, x: Array) -> Attrs:
    """The attributes of a blur of x (N, C, H, W) as those of the convolution that it is."""
    return {
        "stride": (a["stride"],) * 2,
        "padding": (a.get("padding", 0),) * 2,
        "dilation": (1, 1),
        "groups": x.shape[1],
    }


RULES: dict[str, Rule] = {
    "pad2d": _pad2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "interpolate": _interpolate,
    "pixel_shuffle": moved(FORWARD["pixel_shuffle"]),
    "blur2d": lambda a, p, g, y, x: Pulled((convolve_back(as_convolution(a, x), p["filt"], g, x),), {}),
    "blur_transpose2d": lambda a, p, g, y, x: Pulled((transpose_back(as_convolution(a, x), p["filt"], g, x),), {}),
}
