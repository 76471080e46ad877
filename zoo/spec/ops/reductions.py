"""Ops that combine elements along axes: sums, means, extremes, softmax, norms, products of matrices, top-k."""

from __future__ import annotations

from twinzoo.zoo.spec.dims import Shape
from twinzoo.zoo.spec.ops.pointwise import broadcast
from twinzoo.zoo.spec.ops.structure import axis_of
from twinzoo.zoo.spec.schema import Attrs, Bool, Float, Int, Ints, ShapeMismatch, define, op, volume


def _reduced(a: Attrs, x: Shape) -> Shape:
    axes = {axis_of(axis, len(x)) for axis in a["axes"]} or set(range(len(x)))
    if a["keepdims"]:
        return tuple(1 if i in axes else size for i, size in enumerate(x))
    return tuple(size for i, size in enumerate(x) if i not in axes)


def _cost(a: Attrs, y: tuple[int, ...], x: tuple[int, ...]) -> int:
    return volume(x)


_OVER = {"axes": Ints(()), "keepdims": Bool(False)}

for _name, _doc in {
    "sum": "The sum over `axes`, all of them where none is given.",
    "mean": "The mean over `axes`, all of them where none is given.",
    "amax": "The largest element over `axes`.",
    "amin": "The smallest element over `axes`.",
    "logsumexp": "log of the sum of exp over `axes`, without overflow.",
}.items():
    define(_name, _reduced, _doc, attrs=_OVER, flops=_cost)

for _name, _doc in {"var": "The variance over `axes`.", "std": "The standard deviation over `axes`."}.items():
    define(
        _name,
        _reduced,
        _doc + " `correction` is 1 for the unbiased form (PyTorch's default), 0 for the biased.",
        attrs=_OVER | {"correction": Int(1, minimum=0)},
        flops=lambda a, y, x: 4 * volume(x),
    )


def _along(a: Attrs, x: Shape) -> Shape:
    axis_of(a["axis"], len(x))
    return x


define(
    "softmax", _along, "exp(x) / sum(exp(x)) along `axis`.", attrs={"axis": Int(1)}, flops=lambda a, y, x: 3 * volume(x)
)
define(
    "log_softmax",
    _along,
    "x - log(sum(exp(x))) along `axis`.",
    attrs={"axis": Int(1)},
    flops=lambda a, y, x: 3 * volume(x),
)
define("cumsum", _along, "Running sums along `axis`.", attrs={"axis": Int()}, flops=_cost)
define(
    "l2_normalize",
    _along,
    "x / max(norm(x), eps) with the Euclidean norm along `axis`.",
    attrs={"axis": Int(1), "eps": Float(1e-12, minimum=0.0)},
    flops=lambda a, y, x: 3 * volume(x),
)


@op("matmul", inputs=("x", "y"), flops=lambda a, z, x, y: 2 * volume(z) * x[-1])
def _matmul(a: Attrs, x: Shape, y: Shape) -> Shape:
    """Products of matrices in the last two axes: (..., I, K) and (..., K, J) -> (..., I, J), the others broadcast."""
    if len(x) < 2 or len(y) < 2:
        raise ShapeMismatch("needs inputs of two dimensions or more")
    if x[-1] != y[-2]:
        raise ShapeMismatch(f"inner sizes {x[-1]} and {y[-2]} differ")
    return *broadcast(x[:-2], y[:-2]), x[-2], y[-1]


@op(
    "topk",
    positional=("k",),
    attrs={"k": Int(minimum=1), "axis": Int(-1)},
    outputs=("values", "indices"),
    integer_outputs=("indices",),
)
def _topk(a: Attrs, x: Shape) -> tuple[Shape, Shape]:
    """The k largest elements along `axis`, largest first, and where they were; without ties."""
    axis = axis_of(a["axis"], len(x))
    size = x[axis]
    if isinstance(size, int) and a["k"] > size:
        raise ShapeMismatch(f"k={a['k']}: must be at most the {size} elements of axis {axis}")
    shape = (*x[:axis], a["k"], *x[axis + 1 :])
    return shape, shape
