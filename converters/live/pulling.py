"""What both frameworks' gradients start from."""

from __future__ import annotations

import numpy as np

from twinzoo.converters.live import Array, Pull
from twinzoo.zoo.errors import ConversionError


def cotangent(pull: Pull, index: int, shape: tuple[int, ...]) -> Array:
    """What is pulled back from an output.

    Raises:
        ConversionError: it has not the output's shape.
    """
    made = np.asarray(pull(index, shape), np.float32)
    if made.shape != shape:
        raise ConversionError(f"pull: output {index} is {shape}, the cotangent given is {made.shape}")
    return made


def of_a_loss(index: int, shape: tuple[int, ...]) -> Array:
    """The cotangent of a loss: 1."""
    return np.ones(shape, np.float32)
