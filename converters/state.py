"""A target's tensors, each made from the source's when it is asked for, in pieces where nothing changes places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.files import Checkpoint, Deferred, Entry, Lazy, carried, made
from twinzoo.converters.forms import Value
from twinzoo.converters.sides import DTypes, Side
from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]


def state_of(values: Mapping[str, Value], source: Side, dtypes: DTypes) -> Lazy:
    """The arrays of a conversion by target key.

    Args:
        dtypes: the element type that each key gets.
    """
    items = {key: _deferred(value, source, dtypes[key]) for key, value in values.items()}
    return Lazy(items, source.arrays.release) if isinstance(source.arrays, Checkpoint) else Lazy(items)


def _deferred(value: Value, source: Side, dtype: np.dtype[Any]) -> Deferred:
    cast = _caster(dtype, ", ".join(value.sources))
    if len(value.sources) == 1 and not value.words:
        (name,) = value.sources
        return carried(source.arrays, name, value.shape, dtype, None if source.dtypes[name] == dtype else cast)
    return made(Entry(value.shape, dtype), lambda: cast(value.make(source.arrays)))


def _caster(dtype: np.dtype[Any], names: str) -> Callable[[Array], Array]:
    """A change of element type that refuses to make infinities."""

    def cast(stored: Array) -> Array:
        with np.errstate(over="ignore"):
            changed = stored.astype(dtype, copy=False)
        if dtype != stored.dtype and not np.array_equal(np.isfinite(changed), np.isfinite(stored)):
            raise ConversionError(f"{names}: has values that {dtype} cannot hold: convert to a wider type")
        return changed

    return cast
