"""What a row of the reference's backward table is: a vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twinzoo.ports.reference.rule import Array


class Pulled(NamedTuple):
    """The gradient of sum(output * gradient).

    Attributes:
        inputs: by each input, of its shape; None for indices, and where nothing flows.
        params: by each trained parameter, by role; buffers have none.
    """

    inputs: tuple[Array | None, ...]
    params: dict[str, Array]


Rule = Callable[..., Pulled]
"""(attributes, parameters by role, gradient of the first output, that output, *inputs) -> Pulled, all in float64."""
