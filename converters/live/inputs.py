"""Inputs for a run: those that were given, by name; or, where none were, the smallest that the model accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from twinzoo.converters.layers import Layer, Shape, plain_shape
from twinzoo.converters.live import Array, Inputs
from twinzoo.zoo.errors import ConversionError

SIZES = (16, 28, 32, 64, 96, 128, 224, 256, 512)
"""Pixels a side, and lengths of sequences, in the order tried."""

_COMBINATIONS = 128
"""Of different candidates for several arguments, at each size."""


_ELEMENTS = 2**22
"""Of an input: deep layers have channels that make no sense for images of full size."""


class Candidate(NamedTuple):
    """A shape to try, of integers below `entries`, or of floating-point numbers where that is 0."""

    shape: Shape
    entries: int = 0


def named_inputs(arguments: Sequence[str], given: Any, required: Sequence[str] = (), rest: str = "") -> dict[str, Any]:
    """Inputs by the names of their arguments.

    Args:
        arguments: all that the model takes, in order.
        given: by name, by position, or a single one; each an array, or a nested tuple, list or mapping of arrays.
        required: those that must be among them.
        rest: the one, if any, that takes all further positions as a tuple.

    Raises:
        ConversionError: there are too many, one has no such argument, or one is missing.
    """
    listed = ", ".join(arguments) or "none"
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in arguments]
        if unknown:
            raise ConversionError(f"inputs: the model has no argument {unknown[0]!r}: it takes {listed}")
        named = {name: _arrays(name, given[name]) for name in arguments if name in given}
    else:
        values = tuple(given) if isinstance(given, (tuple, list)) else (given,)
        if rest:
            place = arguments.index(rest)
            values = (*values[:place], values[place:]) if len(values) > place else values
        if len(values) > len(arguments):
            raise ConversionError(f"inputs: {len(values)} were given: the model takes {listed}")
        named = {name: _arrays(name, value) for name, value in zip(arguments, values, strict=False)}
    missing = [name for name in required if name not in named]
    if missing:
        raise ConversionError(f"inputs: {missing[0]} is missing: the model takes {listed}")
    return named


def _arrays(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _arrays(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_arrays(f"{name}.{index}", item) for index, item in enumerate(value))
    array = np.asarray(value)
    if array.dtype.kind in "OSUM":
        raise ConversionError(f"inputs: {name}: must be an array of numbers, got {type(value).__name__}")
    return array


def smallest_inputs(
    arguments: Sequence[str],
    layers: Iterable[Layer],
    run: Callable[[Inputs], object],
    failures: tuple[type[Exception], ...],
) -> dict[str, Array]:
    """The first inputs that a model runs on, of those that its layers could take, from small to large.

    Floating-point inputs are normal noise, always the same, so that a run on them tells layers apart by their values.

    Args:
        arguments: those that must be given, in order.
        layers: in order of definition, with their kinds; the shape of a layer's first weight says what it takes.
        run: runs the model on inputs by name.
        failures: what `run` raises where the model does not run on them.

    Raises:
        ConversionError: the model ran on none of them.
    """
    layers = list(layers)
    tried: dict[tuple[Candidate, ...], None] = {}
    first_failure = ""
    value_of = lru_cache(maxsize=16)(_value)
    for candidates in _tries(len(arguments), layers):
        if candidates in tried:
            continue
        tried[candidates] = None
        values = [value_of(place, candidate) for place, candidate in enumerate(candidates)]
        inputs = dict(zip(arguments, values, strict=True))
        try:
            run(inputs)
        except failures as error:
            first_failure = first_failure or f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')[:120]}"
        else:
            return {name: value.copy() for name, value in inputs.items()}
    raise ConversionError(
        f"the model runs on none of the {len(tried)} inputs tried ({_in_short(arguments, tried)}); the first ended in "
        f"{first_failure}: give inputs="
    )


def _value(place: int, candidate: Candidate) -> Array:
    """Values that are another argument's at another place."""
    random = np.random.default_rng(place)
    if candidate.entries:
        return random.integers(0, candidate.entries, candidate.shape)
    return random.standard_normal(candidate.shape, np.float32)


def _tries(count: int, layers: Sequence[Layer]) -> Iterator[tuple[Candidate, ...]]:
    """One candidate for all arguments at every size, then different ones."""
    for size in SIZES:
        for candidate in _candidates(layers, size):
            yield (candidate,) * count
    if count < 2:
        return
    kept = int(_COMBINATIONS ** (1 / count) + 1e-9)
    for size in SIZES:
        own = _candidates(layers, size)
        varied = list(dict.fromkeys((own[0], *_parts(own[0], count), *own[1:])))
        yield from product(varied[: max(kept, 2)], repeat=count)


def _parts(whole: Candidate, count: int) -> Iterator[Candidate]:
    """What may stand beside or in place of an input: its share of the channels, other images, one number."""
    if len(whole.shape) > 1 and not whole.entries:
        for channels in (whole.shape[1] // count, 1, 3, 2):
            yield Candidate((1, max(channels, 1), *whole.shape[2:]))
    yield Candidate((1,))


def _candidates(layers: Iterable[Layer], size: int) -> list[Candidate]:
    """What each layer could take at a size, without repetitions, and images whatever the layers say."""
    found = [candidate for layer in layers for candidate in _taken_by(layer, size)]
    images = [Candidate((1, channels, size, size)) for channels in (3, 1)]
    return [candidate for candidate in dict.fromkeys([*found, *images]) if prod(candidate.shape) <= _ELEMENTS]


_KIND_BY_RANK = {2: "linear", 3: "conv1d", 4: "conv2d", 5: "conv3d"}

_SPATIAL = {f"{conv}{rank}d": rank for conv in ("conv", "conv_transpose") for rank in (1, 2, 3)}

_TAKEN: Mapping[str, Callable[[Shape, int], list[Candidate]]] = {
    "linear": lambda weight, size: [
        Candidate((1, weight[-1])),
        Candidate((1, size, weight[-1])),
        Candidate((1, weight[-1], size, size)),
    ],  # the last for a linear map of an image's channels
    "embedding": lambda weight, size: [Candidate((1, size), weight[0])],
    "layer_norm": lambda weight, size: [Candidate((1, size, *weight))],
    **dict.fromkeys(
        ("batch_norm", "instance_norm", "group_norm", "prelu"),
        lambda weight, size: [Candidate((1, weight[0], *(size,) * rank)) for rank in (2, 1, 0)],
    ),
    **dict.fromkeys(
        ("lstm", "gru", "rnn", "multihead_attention"), lambda weight, size: [Candidate((1, size, weight[-1]))]
    ),
    **dict.fromkeys(("lstm_cell", "gru_cell", "rnn_cell"), lambda weight, size: [Candidate((1, weight[-1]))]),
}
"""Kind -> (shape of the weight, size) -> what it takes; kinds that are not listed go by the weight's dimensions."""


def _taken_by(layer: Layer, size: int) -> list[Candidate]:
    weight, kind = _weight(layer), layer.kind.rpartition(".")[2]
    if not weight or 0 in weight:
        return []
    if kind in _TAKEN:
        return _TAKEN[kind](weight, size)
    kind = kind if kind in _SPATIAL and len(weight) > 2 else _KIND_BY_RANK.get(len(plain_shape(weight)), "")
    if kind in _SPATIAL:
        return _convolved(kind, weight, size)
    return _TAKEN[kind](weight, size) if kind else []


def _convolved(kind: str, weight: Shape, size: int) -> list[Candidate]:
    """Images of the channels that a convolution takes; a weight of one channel may be one for each of several."""
    taken = weight[0] if kind.startswith("conv_transpose") else weight[1]
    channels = (taken,) if taken > 1 else (1, weight[0])
    return [Candidate((1, count, *(size,) * _SPATIAL[kind])) for count in channels]


def _weight(layer: Layer) -> Shape:
    """The shape of the tensor that multiplies the input: the first that is no mere scale, if there is one."""
    shapes = [tensor.shape for tensor in layer.tensors.values()]
    return next((shape for shape in shapes if set(shape[1:]) - {1}), shapes[0] if shapes else ())


def _in_short(arguments: Sequence[str], tried: Iterable[tuple[Candidate, ...]]) -> str:
    """The first few tries, as `image 1x3x16x16`."""
    texts = [
        ", ".join(
            f"{name} {'x'.join(map(str, shape))}{' integers' if entries else ''}"
            for name, (shape, entries) in zip(arguments, candidates, strict=True)
        )
        for candidates in tried
    ]
    return "; ".join(texts[:3]) + ("; ..." if len(texts) > 3 else "")
