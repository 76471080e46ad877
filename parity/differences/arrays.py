"""Small arrays that both frameworks are fed: each side draws the same ones for itself."""

from __future__ import annotations

import math
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def draw(name: str, shape: tuple[int, ...]) -> Array:
    """float32 normal numbers of deviation 0.5, the same for one name and number of elements; variances are positive."""
    values = 0.5 * np.random.default_rng(crc32(name.encode())).standard_normal(math.prod(shape))
    made: Array = (np.abs(values) + 0.5 if name == "running_var" else values).astype(np.float32).reshape(shape)
    return made


def _probabilities(name: str) -> Array:
    values = np.exp(4 * draw(name, (6, 5)))
    made: Array = values / values.sum(axis=1, keepdims=True)
    return made


INPUTS: dict[str, Array] = {
    "image": draw("image", (2, 4, 8, 8)),
    "odd image": draw("odd image", (2, 4, 7, 7)),
    "line": draw("line", (2, 4, 9)),
    "matrix": draw("matrix", (6, 5)),
    "faint matrix": 1e-3 * draw("faint matrix", (6, 5)),
    "target": draw("target", (6, 5)),
    "labels": np.array([3, 0, 4, 1, 1, 2], np.int64),
    "log probabilities": np.log(_probabilities("log probabilities")),
    "probabilities": _probabilities("probabilities"),
    "other probabilities": _probabilities("other probabilities"),
    "even numbers": np.linspace(-12, 12, 4001, dtype=np.float32),
    "positive numbers": np.geomspace(1e-3, 1e3, 2000, dtype=np.float32),
    "gradients": draw("gradients", (10, 6)),
    "faint gradients": 1e-7 * draw("gradients", (10, 6)),
}
"""What rows are fed, by name."""
