"""Layers carried over as a conversion does it: grouped, paired by prefix, made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.converters.forms import carry, regroup
from twinzoo.converters.layers import Shape, layers_of

State = Mapping[str, NDArray[Any]]
Convert = Callable[[State, Mapping[str, Shape]], dict[str, NDArray[Any]]]


@pytest.fixture(scope="session")
def converted() -> Convert:
    """A function from a state and the target's shapes to the target's state; everything must fit."""

    def convert(state: State, shapes: Mapping[str, Shape]) -> dict[str, NDArray[Any]]:
        sources, targets = regroup(layers_of({k: v.shape for k, v in state.items()}), layers_of(shapes))
        assert sources.keys() == targets.keys()
        made: dict[str, NDArray[Any]] = {}
        for prefix, source in sources.items():
            carried = carry(source, targets[prefix])
            assert carried.fits, carried
            made |= {key: np.asarray(value.make(state)) for key, value in carried.values.items()}
        assert {key: value.shape for key, value in made.items()} == dict(shapes)
        return made

    return convert
