"""What a difference looks like where no hypothesis explains it: a ratio, an offset, a border, some channels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_SAME = 1e-4
_BORDER = 2


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
    for words in (_ratio(have, right, size), _offset(have, right, size), _order(have, right, size), _where(off, size)):
        if words:
            return words
    return f"it differs in {np.count_nonzero(off > _SAME * size):,} of {off.size:,} places, at most by {off.max():.3g}"


def _ratio(have: Array, right: Array, size: float) -> str:
    factor = float(np.vdot(right, have) / max(float(np.vdot(right, right)), 1e-300))
    near = np.max(np.abs(have - factor * right), initial=0) <= _SAME * size * max(abs(factor), _SAME)
    return f"it is a multiple of what is right, by {factor:.6g}" if near and abs(factor - 1) > _SAME else ""


def _offset(have: Array, right: Array, size: float) -> str:
    shift = float(np.mean(have - right))
    near = np.max(np.abs(have - right - shift), initial=0) <= _SAME * size
    return f"it is shifted by {shift:.6g} everywhere" if near and abs(shift) > _SAME * size else ""


def _order(have: Array, right: Array, size: float) -> str:
    if have.ndim > 1 and np.allclose(np.sort(have, axis=None), np.sort(right, axis=None), atol=_SAME * size):
        return "it has the right values in other places"
    return ""


def _where(off: Array, size: float) -> str:
    wrong = off > _SAME * size
    if off.ndim == 4 and min(off.shape[2:]) > 2 * _BORDER:
        inner = wrong[:, :, _BORDER:-_BORDER, _BORDER:-_BORDER]
        if wrong.any() and not inner.any():
            return f"it differs at the border only, by at most {off.max():.3g}"
    if off.ndim > 1 and wrong.any():
        channels = np.flatnonzero(wrong.any(axis=tuple(i for i in range(off.ndim) if i != 1)))
        if channels.size < off.shape[1]:
            listed = ", ".join(map(str, channels[:8]))
            return f"it differs in channels {listed}{' ...' if channels.size > 8 else ''} of {off.shape[1]} only"
    return ""
