"""What two checkpoints differ in, as data and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from twinzoo.converters.inspect.deviation import Deviation
from twinzoo.converters.layers import Shape
from twinzoo.converters.result import Tie


@dataclass(frozen=True)
class TensorDifference:
    """A tensor that both files have.

    Attributes:
        a: its keys in the first file: several where that keeps apart what the other keeps as one, none where the other
            only writes down what the first leaves out.
        b: its key in the second file.
        how: what paired them: `name`, `graph`, `order`, `content`.
        change: what a conversion does to the one to get the other, in words; empty where it is stored alike.
        dtypes: the element types of a and of b.
        shapes: of a and of b, before any change.
        fits: whether the shapes do; without that there is nothing to compare.
        deviation: None where no values were compared.
        problem: why they cannot be compared, though the shapes fit.
    """

    a: tuple[str, ...]
    b: str
    how: str
    change: str
    dtypes: tuple[str, str]
    shapes: tuple[Shape, Shape]
    fits: bool = True
    deviation: Deviation | None = None
    problem: str = ""

    @property
    def same(self) -> bool:
        """Whether they are alike as far as was looked: shapes, types and every bit."""
        alike = self.fits and not self.problem and self.dtypes[0] == self.dtypes[1]
        return alike and (self.deviation is None or not self.deviation.differing)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"same": self.same}


@dataclass(frozen=True)
class Summary:
    """One of the two files, in short."""

    path: str
    format: str
    tensors: int
    nbytes: int


@dataclass(frozen=True)
class Difference:
    """Two checkpoints held against each other.

    Attributes:
        tensors: those that both have, in the order of b.
        only_a, only_b: keys without a counterpart.
        ties: layers of a and b with more than one equally good counterpart.
        excused_a, excused_b: keys without a counterpart that a conversion leaves out too -> the reason.
        structure: what one network has and the other has not, in words.
        values: whether values were compared.
    """

    a: Summary
    b: Summary
    tensors: list[TensorDifference]
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    ties: list[Tie] = field(default_factory=list)
    excused_a: Mapping[str, str] = field(default_factory=dict)
    excused_b: Mapping[str, str] = field(default_factory=dict)
    structure: list[str] = field(default_factory=list)
    values: bool = True

    @property
    def same(self) -> bool:
        """Whether both hold the same tensors, bit for bit but for the changes of form that are named."""
        return not (self.only_a or self.only_b or self.ties) and all(tensor.same for tensor in self.tensors)

    @property
    def deviation(self) -> Deviation:
        """The distance of all tensors that were compared."""
        return sum((tensor.deviation for tensor in self.tensors if tensor.deviation), Deviation())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; distances are null where nothing was compared."""
        return {
            "twinzoo_inspection": 2,
            "same": self.same,
            "a": asdict(self.a),
            "b": asdict(self.b),
            "paired": dict(Counter(tensor.how for tensor in self.tensors)),
            "tensors": [tensor.to_dict() for tensor in self.tensors],
            "only_a": self.only_a,
            "only_b": self.only_b,
            "ties": [tie._asdict() for tie in self.ties],
            "excused_a": dict(self.excused_a),
            "excused_b": dict(self.excused_b),
            "structure": self.structure,
            "values_compared": self.values,
        }
