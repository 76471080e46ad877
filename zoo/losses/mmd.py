"""Maximum mean discrepancy: how far two sets of vectors are from being drawn from one distribution."""

from __future__ import annotations

from functools import reduce

from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Float, Int


def _squared_distances(s: Spec, name: str, x: Value, y: Value) -> Value:
    """|x_i - y_j|^2 of rows (R, C) and (Q, C), from three products: (R, Q)."""
    own = [
        s.sum(f"{name}_{side}_length", s.square(f"{name}_{side}_square", rows), axes=(1,), keepdims=True)
        for side, rows in (("left", x), ("right", y))
    ]
    both = s.add(f"{name}_lengths", own[0], s.transpose(f"{name}_right_row", own[1], (1, 0)))
    products = s.matmul(f"{name}_products", x, s.transpose(f"{name}_turned", y, (1, 0)))
    return s.sub(f"{name}_distance", both, s.affine(f"{name}_doubled", products, scale=2.0))


def _count(s: Spec, name: str, rows: Value) -> Value:
    """The number of rows, ()."""
    first = s.slice(f"{name}_first", s.stop_gradient(f"{name}_held", rows), axis=1, stop=1)
    return s.sum(f"{name}_count", s.affine(f"{name}_ones", first, scale=0.0, shift=1.0))


def _mean_kernel(s: Spec, name: str, ratio: Value, widths: list[float]) -> Value:
    """The mean over all pairs of the sum of exp(-ratio / width)."""
    terms = [s.exp(f"{name}_kernel{i}", s.affine(f"{name}_over{i}", ratio, scale=-1 / w)) for i, w in enumerate(widths)]
    numbers = iter(range(1, len(terms)))
    return s.mean(f"{name}_mean", reduce(lambda total, term: s.add(f"{name}_sum{next(numbers)}", total, term), terms))


@loss(
    "mmd",
    paper="Gretton et al. 2012, JMLR 13; Long et al. 2015, arXiv:1502.02791",
    small={"channels": 8},
    allowed={"channels": Int(minimum=1), "kernels": Int(minimum=1), "ratio": Float(minimum=1e-6)},
)
def mmd(s: Spec, *, channels: int = 256, kernels: int = 5, ratio: float = 2.0) -> Value:
    """Multi-kernel MMD: the squared distance of two sets in the space of a sum of Gaussian kernels.

    source, target: (N, P, channels), P vectors from each of N images, all of a set taken together, two at least
        -> a scalar >= 0, mean k(x, x') + mean k(y, y') - 2 mean k(x, y), a vector's pair with itself among them
    kernels, ratio: k is the sum of exp(-|x - y|^2 / b) over b = B ratio^i, i = -kernels // 2 ... : so many, around B
    B: the mean squared distance of two different vectors of both sets together; no gradient flows through it

    Gretton et al. 2012, equation 5 (the biased estimate); the kernels are those of the code that is passed around with
    Long et al. 2015. That code takes one vector an image, so at a batch of one k(x, x) = 1 whatever x is, and half of
    the loss is a constant; sets of patches, as here, do not have this.
    """
    source, target = (s.input(name, shape=("N", "P", channels), example=16) for name in ("source", "target"))
    x, y = (s.reshape(f"{v.node}_rows", v, (-1, channels)) for v in (source, target))
    distances = {
        name: _squared_distances(s, name, *pair) for name, pair in (("xx", (x, x)), ("yy", (y, y)), ("xy", (x, y)))
    }
    sums = {name: s.sum(f"{name}_total", s.stop_gradient(f"{name}_fixed", d)) for name, d in distances.items()}
    within = s.add("within_total", sums["xx"], sums["yy"])
    total = s.add("total", within, s.affine("between_total", sums["xy"], scale=2.0))
    count = s.add("count", _count(s, "x", x), _count(s, "y", y))
    bandwidth = s.div("bandwidth", total, s.mul("pairs", count, s.affine("others", count, shift=-1.0)))
    widths = [ratio ** (i - kernels // 2) for i in range(kernels)]
    means = {name: _mean_kernel(s, name, s.div(f"{name}_ratio", d, bandwidth), widths) for name, d in distances.items()}
    alike = s.add("alike", means["xx"], means["yy"])
    return s.sub("discrepancy", alike, s.affine("across", means["xy"], scale=2.0))
