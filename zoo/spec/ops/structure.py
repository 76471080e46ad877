"""Ops that move elements: concatenation, slicing, reshaping, transposition, gathering, flipping."""

from __future__ import annotations

from twinzoo.zoo.spec.dims import Shape, Size
from twinzoo.zoo.spec.schema import Attrs, Int, Ints, ShapeMismatch, op


def axis_of(axis: int, rank: int) -> int:
    """The axis counted from the front.

    Raises:
        ShapeMismatch: there is no such axis.
    """
    if not -rank <= axis < rank:
        raise ShapeMismatch(f"axis={axis}: must be in [{-rank}, {rank - 1}]")
    return axis % rank


def _count(shape: Shape) -> Size:
    total: Size = 1
    for size in shape:
        total = total * size
    return total


@op("concat", inputs=("x*",), attrs={"axis": Int(1)})
def _concat(a: Attrs, *x: Shape) -> Shape:
    """The inputs one after another along `axis`, in the order given."""
    axis = axis_of(a["axis"], len(x[0]))
    total: Size = 0
    for shape in x:
        if len(shape) != len(x[0]) or any(
            s != t for i, (s, t) in enumerate(zip(shape, x[0], strict=True)) if i != axis
        ):
            both = " and ".join("(" + ", ".join(map(str, s)) + ")" for s in (x[0], shape))
            raise ShapeMismatch(f"shapes {both} differ outside axis {axis}")
        total = total + shape[axis]
    return *x[0][:axis], total, *x[0][axis + 1 :]


@op("stack", inputs=("x*",), attrs={"axis": Int(0)})
def _stack(a: Attrs, *x: Shape) -> Shape:
    """The inputs, all of one shape, along a new `axis`."""
    if any(shape != x[0] for shape in x):
        raise ShapeMismatch("needs inputs of one shape")
    axis = axis_of(a["axis"], len(x[0]) + 1)
    return *x[0][:axis], len(x), *x[0][axis:]


@op(
    "slice",
    attrs={"axis": Int(), "start": Int(0, minimum=0), "stop": Int(None), "step": Int(1, minimum=1)},
)
def _slice(a: Attrs, x: Shape) -> Shape:
    """x[start:stop:step] along one axis; a stop below zero counts from the end."""
    axis = axis_of(a["axis"], len(x))
    size, stop = x[axis], a["stop"]
    end = size if stop is None else size + stop if stop < 0 else stop
    if isinstance(size, int) and isinstance(end, int) and not a["start"] < end <= size:
        raise ShapeMismatch(f"start={a['start']}, stop={stop}: nothing is left of the {size} elements")
    return *x[:axis], (end - a["start"] + a["step"] - 1) // a["step"], *x[axis + 1 :]


@op("reshape", positional=("shape",), attrs={"shape": Ints()})
def _reshape(a: Attrs, x: Shape) -> Shape:
    """The same elements in rows of another shape; 0 keeps the size at that place, one -1 takes what is left."""
    shape = list[Size](a["shape"])
    for i, size in enumerate(shape):
        if size == 0:
            if i >= len(x):
                raise ShapeMismatch(f"shape: 0 at place {i} has no size to keep")
            shape[i] = x[i]
    if shape.count(-1) > 1 or any(isinstance(size, int) and size < -1 for size in shape):
        raise ShapeMismatch("shape: needs sizes >= 0 and at most one -1")
    if -1 in shape:
        place = shape.index(-1)
        kept = [size for i, size in enumerate(shape) if i != place]
        rest = list(x)
        for size in [k for k in kept if not isinstance(k, int)]:
            if size not in rest:
                raise ShapeMismatch(f"shape: cannot place size {size}")
            rest.remove(size)
        known = _count(tuple(k for k in kept if isinstance(k, int)))
        assert isinstance(known, int)
        left = _count(tuple(rest))
        shape[place] = left // known if known else 0
    if _count(tuple(shape)) != _count(x):
        raise ShapeMismatch(f"shape: holds {_count(tuple(shape))} elements, the input {_count(x)}")
    return tuple(shape)


@op("reshape_like", inputs=("x", "like"))
def _reshape_like(a: Attrs, x: Shape, like: Shape) -> Shape:
    """The elements of x in rows of the shape of `like`, of which nothing else is used."""
    if _count(x) != _count(like):
        raise ShapeMismatch(f"the input holds {_count(x)} elements, what it is to be like {_count(like)}")
    return like


@op("flatten", attrs={"start": Int(1, minimum=0)})
def _flatten(a: Attrs, x: Shape) -> Shape:
    """All dimensions from `start` on become one."""
    start = axis_of(a["start"], len(x))
    return *x[:start], _count(x[start:])


@op("transpose", positional=("order",), attrs={"order": Ints(minimum=0)})
def _transpose(a: Attrs, x: Shape) -> Shape:
    """The axes in another order."""
    if sorted(a["order"]) != list(range(len(x))):
        raise ShapeMismatch(f"order: must name each of the {len(x)} axes once")
    return tuple(x[i] for i in a["order"])


@op("flip", attrs={"axis": Int()})
def _flip(a: Attrs, x: Shape) -> Shape:
    """The elements along `axis` in reverse."""
    axis_of(a["axis"], len(x))
    return x


@op("gather", inputs=("x", "indices"), integer_inputs=("indices",), attrs={"axis": Int()})
def _gather(a: Attrs, x: Shape, indices: Shape) -> Shape:
    """The slices of x along `axis` at a list of indices (K,)."""
    if len(indices) != 1:
        raise ShapeMismatch("needs a list of indices (K,)")
    axis = axis_of(a["axis"], len(x))
    return *x[:axis], indices[0], *x[axis + 1 :]
