"""Symbolic sizes: their arithmetic is that of integers, and shapes inferred from them are those of numbers."""

from __future__ import annotations

import operator
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinzoo.parity.op_cases import CASES, OpCase, case_spec
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import OPS, Spec
from twinzoo.zoo.spec.dims import Dim, Floor, Size, Symbol, concrete, shape_text, substitute, symbol, symbols_of

MULTIPLES = {"N": 1, "H": 8, "W": 6}


Program = list[tuple[str, str | int]]
"""Steps that each combine the result so far with a symbol or a number; it starts with H."""

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv}
STEPS = st.one_of(
    st.tuples(st.sampled_from("+-*"), st.sampled_from("NHW") | st.integers(-9, 9)),
    st.tuples(st.just("//"), st.integers(1, 12)),
)
PROGRAMS: st.SearchStrategy[Program] = st.lists(STEPS, max_size=5)
VALUES = st.fixed_dictionaries({name: st.sampled_from(range(m, 41 * m, m)) for name, m in MULTIPLES.items()})
SYMBOLS: dict[str, Size] = {name: symbol(name, multiple) for name, multiple in MULTIPLES.items()}


def _run(program: Program, sizes: Mapping[str, Size]) -> Size:
    size = sizes["H"]
    for sign, operand in program:
        size = OPERATORS[sign](size, sizes[operand] if isinstance(operand, str) else operand)
    return size


unhurried = settings(deadline=None)  # a loaded machine is no failure


@unhurried
@given(PROGRAMS, PROGRAMS, VALUES)
def test_symbolic_arithmetic_is_integer_arithmetic(first: Program, second: Program, values: dict[str, int]) -> None:
    for combine in (operator.add, operator.sub, operator.mul):
        size: Size = combine(_run(first, SYMBOLS), _run(second, SYMBOLS))
        number = combine(_run(first, values), _run(second, values))
        assert substitute(size, values) == number
        assert substitute(size // 5, values) == number // 5


@unhurried
@given(PROGRAMS, PROGRAMS, PROGRAMS, st.integers(1, 12))
def test_equal_sizes_compare_equal(a: Program, b: Program, c: Program, k: int) -> None:
    x, y, z = (_run(program, SYMBOLS) for program in (a, b, c))
    assert x + y == y + x
    assert x * y == y * x
    assert (x + y) + z == x + (y + z)
    assert x * (y + z) == x * y + x * z
    assert x - x == 0
    assert (x + y) - y == x
    assert (x * k) // k == x
    assert (x * k + k - 1) // k == x
    assert hash(x + y) == hash(y + x)


@unhurried
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 8)), min_size=1, max_size=5), st.sampled_from("NHW"))
def test_floors_of_floors_are_one_floor(windows: list[tuple[int, int]], name: str) -> None:
    """What strides do to a size: two strides one after another are the product of them."""
    size = SYMBOLS[name]
    for shift, stride in windows:
        assert ((size + shift) // stride) // 3 == (size + shift) // (3 * stride)
        size = (size + shift) // stride
    atoms = {a for m, _ in size.terms for a in m} if isinstance(size, Dim) else set()
    assert all(isinstance(a, Symbol) or not _holds_floor(a.numerator) for a in atoms)


def _holds_floor(size: Dim) -> bool:
    return any(isinstance(atom, Floor) for monomial, _ in size.terms for atom in monomial)


@unhurried
@given(PROGRAMS, VALUES)
def test_substitution_in_steps(program: Program, values: dict[str, int]) -> None:
    """A network that is called binds its H and W to sizes that may still be symbols."""
    size = _run(program, SYMBOLS)
    halfway = substitute(size, {"H": values["H"]})
    assert "H" not in {s.name for s in symbols_of(halfway)}
    assert substitute(halfway, values) == substitute(size, values)
    renamed = substitute(size, {"H": symbol("P", 16)})
    assert substitute(renamed, values | {"P": 2 * values["H"]}) == substitute(size, values | {"H": 2 * values["H"]})


PRINTED: list[tuple[Size, str]] = [
    (symbol("H", 256) // 2, "H/2"),
    (symbol("H", 256) * 3 // 4, "3*H/4"),
    (symbol("H") // 2, "H//2"),
    ((symbol("H") + 1) // 2, "(H + 1)//2"),
    (symbol("H") * symbol("W") - 2, "H*W - 2"),
    (symbol("H", 2) // 2 - symbol("H", 2), "-H/2"),
    (2 - symbol("H"), "-H + 2"),
    (symbol("H") * 2 // 2, "H"),
]


@pytest.mark.parametrize(("size", "text"), PRINTED)
def test_prints_as_docstrings_do(size: Size, text: str) -> None:
    assert str(size) == text
    assert shape_text((1, size)) == f"(1, {text})"


def test_a_u_net_comes_back_to_its_size() -> None:
    half: Size = symbol("H", 256)
    for _ in range(8):
        half = (half + 2 - 4) // 2 + 1
    assert str(half) == "H/256"
    for _ in range(8):
        half = (half - 1) * 2 - 2 + 4
    assert half == symbol("H", 256)
    assert (symbol("H") // 2) * 2 != symbol("H"), "an odd size loses a pixel"


def test_a_size_without_a_value_is_named() -> None:
    with pytest.raises(SpecError, match=r"^size H\*W: no value for H, W$"):
        concrete((1, symbol("H") * symbol("W")), {"N": 1})
    with pytest.raises(SpecError, match="^H=10: must be a multiple of 4$"):
        concrete((symbol("H", 4),), {"H": 10})


NEED_NUMBERS = {"layer_norm": (-1,), "linear": (-1,), "spectral_linear": (-1,)}
"""Dimensions beside the channels that an op needs in numbers, because it has weights for them."""

REFUSED = {
    "max_pool2d-ceil_dropped": "ceil_mode with padding + stride > kernel needs a known input size",
    "avg_pool2d-ceil_dropped": "ceil_mode with padding + stride > kernel needs a known input size",
    "interpolate-half": "scale=0.5: must divide the size S8",
    "interpolate-bilinear_half": "scale=0.5: must divide the size S8",
}
"""Cases that no size but a number fits, or one that is known to be even."""


def _symbolic(case: OpCase, multiple_of: int = 1) -> tuple[Spec, dict[str, int]]:
    """The case drawn with a symbol for every size but those of channels; equal sizes get one symbol."""
    spec = case_spec(case)
    shapes = {name: spec.concrete(item.value, case.sizes) for name, item in spec.inputs.items()}
    axes = (1, *NEED_NUMBERS.get(case.op, ()))
    numbers = {1} | {shape[axis] for shape in shapes.values() for axis in axes if axis < len(shape)}
    drawn = Spec("symbolic")
    values = [
        drawn.input(
            name,
            shape=[n if n in numbers else f"S{n}" for n in shape],
            dtype=spec.inputs[name].value.dtype,
            multiple_of=multiple_of,
        )
        for name, shape in shapes.items()
    ]
    getattr(drawn, case.op)("op", *values, **case.attrs)
    return drawn, {name: int(name[1:]) for name in drawn.symbols}


def _numbers(case: OpCase, symbolic: Spec, sizes: dict[str, int]) -> Spec:
    drawn = Spec("numbers")
    values = [
        drawn.input(name, shape=concrete(item.value.shape, sizes), dtype=item.value.dtype)
        for name, item in symbolic.inputs.items()
    ]
    getattr(drawn, case.op)("op", *values, **case.attrs)
    return drawn


def _agree(symbolic: Spec, numbers: Spec, sizes: dict[str, int]) -> None:
    for inferred, known in zip(symbolic.values("op"), numbers.values("op"), strict=True):
        assert concrete(inferred.shape, sizes) == known.shape
    assert symbolic.params == numbers.params
    assert {n: concrete(d.shape, sizes) for n, d in symbolic.draws.items()} == {
        n: d.shape for n, d in numbers.draws.items()
    }


@pytest.mark.parametrize("case", [c for c in CASES if c.id not in REFUSED], ids=lambda case: case.id)
def test_shapes_from_symbols_are_shapes_from_numbers(case: OpCase) -> None:
    symbolic, sizes = _symbolic(case)
    _agree(symbolic, _numbers(case, symbolic, sizes), sizes)
    for factor, extra in ((2, 0), (1, 4), (3, 5)):
        grown = {name: size * factor + extra for name, size in sizes.items()}
        _agree(symbolic, _numbers(case, symbolic, grown), grown)


@pytest.mark.parametrize("case", [c for c in CASES if c.id in REFUSED], ids=lambda case: case.id)
def test_what_a_symbol_cannot_decide_is_refused(case: OpCase) -> None:
    with pytest.raises(SpecError) as caught:
        _symbolic(case)
    assert REFUSED[case.id] in str(caught.value)
    if case.op == "interpolate":
        symbolic, sizes = _symbolic(case, multiple_of=2)
        _agree(symbolic, _numbers(case, symbolic, sizes), sizes)


def test_every_op_has_a_case_with_symbols() -> None:
    covered = {case.op for case in CASES if case.id not in REFUSED and _symbolic(case)[1]}
    assert covered == set(OPS)
