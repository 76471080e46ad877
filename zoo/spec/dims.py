"""Sizes that may be symbols: integer polynomials over N, H, W ... and floors of them, in one canonical form.

A symbol may be declared a multiple of m (an eight-level U-Net needs H = 256 t), so that H/2, H/4 ... stay exact and two
ways of computing the same size compare equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from math import gcd, prod

from twinzoo.zoo.errors import SpecError


@dataclass(frozen=True, order=True)
class Symbol:
    """The integer t of a size `name` = multiple * t."""

    name: str
    multiple: int = 1


@dataclass(frozen=True)
class Floor:
    """The integer floor(numerator / divisor) that no identity makes simpler."""

    numerator: Dim
    divisor: int

    def __str__(self) -> str:
        text = str(self.numerator)
        return f"{text}//{self.divisor}" if text.isalnum() else f"({text})//{self.divisor}"


Atom = Symbol | Floor
Monomial = tuple[Atom, ...]


@dataclass(frozen=True)
class Dim:
    """A polynomial: the sum of coefficient * product of atoms, at least one of them not constant."""

    terms: tuple[tuple[Monomial, int], ...]

    def __add__(self, other: Size) -> Size:
        total = dict(self.terms)
        for monomial, coefficient in _terms(other):
            total[monomial] = total.get(monomial, 0) + coefficient
        return _canonical(total)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return self * -1

    def __sub__(self, other: Size) -> Size:
        return self + other * -1

    def __rsub__(self, other: int) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        total: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                monomial = tuple(sorted(left + right, key=repr))
                total[monomial] = total.get(monomial, 0) + a * b
        return _canonical(total)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Size:
        exact = {m: c // divisor for m, c in self.terms if m and c % divisor == 0}
        rest = {m: c for m, c in self.terms if m and c % divisor}
        constant = dict(self.terms).get((), 0)
        exact[()] = constant // divisor
        if not rest:
            return _canonical(exact)
        return _canonical(exact) + _floor(rest, constant % divisor, divisor)

    def __str__(self) -> str:
        text = " + ".join(_term_text(monomial, coefficient) for monomial, coefficient in self.terms)
        return text.replace("+ -", "- ")


Size = int | Dim
Shape = tuple[Size, ...]


def symbol(name: str, multiple: int = 1) -> Size:
    """The size `name`, known to be a multiple of `multiple`."""
    return _canonical({(Symbol(name, multiple),): multiple})


def _terms(size: Size) -> Iterable[tuple[Monomial, int]]:
    return size.terms if isinstance(size, Dim) else (((), size),)


def _canonical(terms: Mapping[Monomial, int]) -> Size:
    kept = sorted(((m, c) for m, c in terms.items() if c), key=lambda term: (not term[0], repr(term[0])))
    if all(not monomial for monomial, _ in kept):
        return kept[0][1] if kept else 0
    return Dim(tuple(kept))


def _floor(rest: Mapping[Monomial, int], remainder: int, divisor: int) -> Size:
    """floor((rest + remainder) / divisor) as one atom, with common factors and nested floors taken out."""
    common = reduce(gcd, rest.values(), divisor)
    if common > 1:
        return _canonical({m: c // common for m, c in rest.items()} | {(): remainder // common}) // (divisor // common)
    if len(rest) == 1:
        (monomial, coefficient) = next(iter(rest.items()))
        if coefficient == 1 and len(monomial) == 1 and isinstance(inner := monomial[0], Floor):
            return (inner.numerator + remainder * inner.divisor) // (divisor * inner.divisor)
    numerator = _canonical({**rest, (): remainder})
    assert isinstance(numerator, Dim)
    return Dim((((Floor(numerator, divisor),), 1),))


def _term_text(monomial: Monomial, coefficient: int) -> str:
    symbols = [atom for atom in monomial if isinstance(atom, Symbol)]
    scale = prod(atom.multiple for atom in symbols)
    common = gcd(abs(coefficient), scale)
    top, bottom = coefficient // common, scale // common
    names = [atom.name if isinstance(atom, Symbol) else str(atom) for atom in monomial]
    if not names:
        return str(coefficient)
    prefix = {1: "", -1: "-"}.get(top, f"{top}*")
    return prefix + "*".join(names) + (f"/{bottom}" if bottom > 1 else "")


def shape_text(shape: Shape) -> str:
    """(N, 64, H/2, W/2), as docstrings and tables show it."""
    return "(" + ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"


def symbols_of(size: Size) -> set[Symbol]:
    """Every symbol that the size depends on."""
    found: set[Symbol] = set()
    for monomial, _ in _terms(size):
        for atom in monomial:
            found |= {atom} if isinstance(atom, Symbol) else symbols_of(atom.numerator)
    return found


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """The size with symbols replaced by name.

    Raises:
        SpecError: a value is not the multiple that the symbol was declared to be.
    """
    total: Size = 0
    for monomial, coefficient in _terms(size):
        term: Size = coefficient
        for atom in monomial:
            term = term * _atom_value(atom, values)
        total = total + term
    return total


def _atom_value(atom: Atom, values: Mapping[str, Size]) -> Size:
    if isinstance(atom, Floor):
        return substitute(atom.numerator, values) // atom.divisor
    if atom.name not in values:
        return Dim((((atom,), 1),))
    value = values[atom.name]
    quotient = value // atom.multiple
    if quotient * atom.multiple != value:
        raise SpecError(f"{atom.name}={value}: must be a multiple of {atom.multiple}")
    return quotient


def concrete(shape: Shape, values: Mapping[str, int]) -> tuple[int, ...]:
    """The shape in numbers.

    Raises:
        SpecError: a symbol has no value, or one that is not the declared multiple.
    """
    sizes = [substitute(size, values) for size in shape]
    for size in sizes:
        if isinstance(size, Dim):
            raise SpecError(f"size {size}: no value for {', '.join(sorted(s.name for s in symbols_of(size)))}")
    return tuple(size for size in sizes if isinstance(size, int))
