"""What a difference looks like where no hypothesis explains it: a ratio, an offset, a shift, an order, a border, some
channels."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import FORMATS, SINGLE

Array = NDArray[Any]

_SAME = 1e-4
"""What is closer, relative to the largest number, is the same; in half precision what two roundings make of it."""

_BORDER = 2
_REACH = 4


def fingerprint(output: Array, wanted: Array) -> str:
    """A difference in words.

    Args:
        output: what there is.
        wanted: what float64 gives, of any shape.
    """
    if output.shape != wanted.shape:
        return f"it has shape {output.shape}, where {wanted.shape} is right"
    have, right = output.astype(np.float64), wanted.astype(np.float64)
    size = float(np.max(np.abs(right), initial=0)) or 1.0
    off = np.abs(have - right)
    if not np.isfinite(off).all():
        return f"{np.count_nonzero(~np.isfinite(off))} of its values are no numbers"
    same = size * max(_SAME, 2 * FORMATS.get(str(output.dtype), SINGLE).unit)
    if off.max(initial=0.0) <= same:  # too little for any of the forms below to be told from another
        return f"it is off by at most {off.max(initial=0.0):.3g}, {off.max(initial=0.0) / size:.2g} of its size"
    for rule in (_ratio, _offset, _shift, _channels_moved, _moved, _border, _channels):
        words = rule(have, right, same)
        if words:
            return words
    return f"it differs in {np.count_nonzero(off > same):,} of {off.size:,} places, at most by {off.max():.3g}"


def of_fingerprint(words: str) -> str:
    """The cause that a fingerprint alone says."""
    causes = {"it is a multiple": "scale", "it is higher": "offset", "it is lower": "offset"}
    return next((cause for start, cause in causes.items() if words.startswith(start)), "unexplained")


def _ratio(have: Array, right: Array, same: float) -> str:
    square = float(np.vdot(right, right))
    factor = float(np.vdot(right, have)) / square if square else 1.0
    near = np.max(np.abs(have - factor * right), initial=0) <= same * max(abs(factor), _SAME)
    another = abs(factor - 1) * np.max(np.abs(right), initial=0) > same
    return f"it is a multiple of what is right, by {factor:.6g}" if near and another else ""


def _offset(have: Array, right: Array, same: float) -> str:
    more = float(np.mean(have - right))
    near = np.max(np.abs(have - right - more), initial=0) <= same
    return (
        f"it is {'higher' if more > 0 else 'lower'} by {abs(more):.6g} everywhere" if near and abs(more) > same else ""
    )


def _shift(have: Array, right: Array, same: float) -> str:
    """The right picture, moved by up to some pixels; what has come in at the border is not looked at."""
    if have.ndim != 4:
        return ""
    reach = [min(_REACH, (side - 1) // 2) for side in have.shape[2:]]
    moves = product(*(range(-r, r + 1) for r in reach))
    for down, across in sorted(moves, key=lambda move: abs(move[0]) + abs(move[1])):
        there = have[:, :, max(down, 0) : have.shape[2] + min(down, 0), max(across, 0) : have.shape[3] + min(across, 0)]
        here = right[
            :, :, max(-down, 0) : have.shape[2] - max(down, 0), max(-across, 0) : have.shape[3] - max(across, 0)
        ]
        if (down or across) and np.ptp(here) > same and np.abs(there - here).max() <= same:
            return f"it is what is right, moved by {down} pixels down and {across} to the right"
    return ""


def _channels_moved(have: Array, right: Array, same: float) -> str:
    """The right channels in another order."""
    if have.ndim < 2 or have.shape[1] < 2:
        return ""
    order = []
    for channel in np.moveaxis(have, 1, 0):
        apart = np.abs(np.moveaxis(right, 1, 0) - channel).reshape(right.shape[1], -1).max(1, initial=0)
        order.append(int(apart.argmin()))
        if apart.min() > same:
            return ""
    if len(set(order)) < len(order):
        return ""
    listed = ", ".join(map(str, order[:8]))
    return f"its channels are the right ones in the order {listed}{' ...' if len(order) > 8 else ''}"


def _moved(have: Array, right: Array, same: float) -> str:
    if have.ndim > 1 and np.allclose(np.sort(have, axis=None), np.sort(right, axis=None), rtol=0, atol=same):
        return "it has the right values in other places"
    return ""


def _border(have: Array, right: Array, same: float) -> str:
    off = np.abs(have - right)
    if off.ndim != 4 or min(off.shape[2:]) <= 2 * _BORDER:
        return ""
    inner = off[:, :, _BORDER:-_BORDER, _BORDER:-_BORDER] > same
    return "" if inner.any() or off.max() <= same else f"it differs at the border only, by at most {off.max():.3g}"


def _channels(have: Array, right: Array, same: float) -> str:
    wrong = np.abs(have - right) > same
    if wrong.ndim < 2 or not wrong.any():
        return ""
    channels = np.flatnonzero(wrong.any(axis=tuple(i for i in range(wrong.ndim) if i != 1)))
    if channels.size == wrong.shape[1]:
        return ""
    listed = ", ".join(map(str, channels[:8]))
    return f"it differs in channels {listed}{' ...' if channels.size > 8 else ''} of {wrong.shape[1]} only"
