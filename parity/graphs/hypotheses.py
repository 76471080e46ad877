"""What side b may have done at one place: side a's operation with attributes of b's, or b's own, on these operands or
others. The simplest comes first, so that the first one that reproduces side b's output names no more than is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations

import ml_dtypes
import numpy as np

from twinzoo.parity.graphs.alone import Alone
from twinzoo.parity.graphs.causes import differing
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array

_ORDERS = 24

_HALVES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float16": np.dtype(np.float16)}
"""The coarser first: most of its numbers are numbers of the other."""

ENOUGH = 16
"""So many different numbers that are all numbers of a shorter type are no accident."""


@dataclass(frozen=True)
class Hypothesis:
    """An operation, what it is given, and in what both differ from side a's.

    Attributes:
        attrs: the attributes that are side b's.
        kind: whether the operation is side b's.
        order: the operands' places on side a, where they come in another order.
        really: whether the operands are what side b's operation was given itself.
    """

    alone: Alone
    given: Sequence[Array]
    attrs: tuple[str, ...] = ()
    kind: bool = False
    order: tuple[int, ...] = ()
    really: bool = False

    def ratio(self, output: Array, port: str) -> float:
        """How far an output is from it, as a share of what rounding allows."""
        judged = self.alone.judged(output, self.given, port)
        return float("inf") if judged is None else judged.ratio


def as_it_stands(paired: Paired, position: int) -> Hypothesis:
    """Side a's operation with side b's tensors and values in its places."""
    return Hypothesis(paired.alone(position), paired.given(position))


def hypotheses(paired: Paired, position: int) -> Iterator[Hypothesis]:
    """Everything that is tried at a place, the simplest first."""
    plain = as_it_stands(paired, position)
    others, moved = list(_others(paired, position, plain)), list(_moved(paired, position, plain))
    yield from others
    yield from moved
    for other in others:
        for operands in moved:
            yield replace(other, given=operands.given, order=operands.order, really=operands.really)


def _others(paired: Paired, position: int, plain: Hypothesis) -> Iterator[Hypothesis]:
    """Other operations on the same operands."""
    ours, theirs = paired.operations(position)
    assert theirs is not None
    beside = paired.theirs(position)
    if ours.kind != theirs.kind:
        yield replace(plain, alone=beside, kind=True)
        return
    apart = tuple(differing(ours, theirs))
    for names in (*((name,) for name in apart), *([apart] if len(apart) > 1 else [])):
        yield replace(plain, alone=with_attributes(plain.alone, beside, names), attrs=names)


def with_attributes(ours: Alone, theirs: Alone, names: Sequence[str]) -> Alone:
    """Side a's operation with these attributes of side b's, and the tensors that fit them."""
    attrs = {name: value for name, value in ours.attrs.items() if name not in names}
    return replace(theirs, attrs=attrs | {name: theirs.attrs[name] for name in names if name in theirs.attrs})


def _moved(paired: Paired, position: int, plain: Hypothesis) -> Iterator[Hypothesis]:
    """The same operation on other operands."""
    for order in islice(permutations(range(len(plain.given))), 1, _ORDERS):
        yield replace(plain, given=[plain.given[i] for i in order], order=order)
    yield replace(plain, given=paired.really_given(position), really=True)


def needed(hypothesis: Hypothesis, ours: Alone, output: Array, port: str) -> Hypothesis:
    """The hypothesis without the attributes of side b's that it can do without."""
    for name in hypothesis.attrs:
        fewer = tuple(other for other in hypothesis.attrs if other != name)
        tried = replace(hypothesis, alone=with_attributes(ours, hypothesis.alone, fewer), attrs=fewer)
        if tried.ratio(output, port) <= 1:
            hypothesis = tried
    return hypothesis


def shorter_type(plain: Hypothesis, output: Array, port: str) -> str:
    """The element type to which side b rounds what the operation is given, or gives; empty where it does not."""
    for name, dtype in _HALVES.items():
        rounded = [_through(x, dtype) for x in plain.given]
        if replace(plain, given=rounded).ratio(output, port) <= 1:
            return f"what it is given has been rounded to {name}"
        if _holds(output, dtype):
            return f"every number of its output is one of {name}"
    return ""


def _through(x: Array, dtype: np.dtype[np.generic]) -> Array:
    return x.astype(dtype).astype(x.dtype) if x.dtype.kind not in "iub" else x


def _holds(output: Array, dtype: np.dtype[np.generic]) -> bool:
    if output.dtype.kind in "iub" or not np.array_equal(_through(output, dtype), output):
        return False
    return bool(np.unique(output[np.isfinite(output)]).size >= ENOUGH)
