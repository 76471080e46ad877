"""What a row of the reference table is: a function of attributes, parameters and arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from twinzoo.zoo.spec.schema import Attrs

Array = NDArray[Any]
Params = Mapping[str, Array]

Rule = Callable[..., Any]
"""(attributes, parameters by role, *inputs) -> the output, or a tuple of them; draws come as parameters by suffix."""

__all__ = ["Array", "Attrs", "Params", "Rule"]
