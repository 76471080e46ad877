"""Style as statistics of features, which losses and networks of style transfer share: Gram matrices, deviations."""

from __future__ import annotations

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int, channels_of

PAPER = "Johnson et al. 2016, arXiv:1603.08155"
EPS = 1e-5


def places(s: Spec, name: str, x: Value) -> Value:
    """How many places x (N, C, H, W) has in a channel, H W, as (1, 1, 1, 1)."""
    first = s.slice(f"{name}_image", s.stop_gradient(f"{name}_held", x), axis=0, stop=1)
    one = s.slice(f"{name}_channel", first, axis=1, stop=1)
    ones = s.affine(f"{name}_ones", one, scale=0.0, shift=1.0)
    return s.sum(f"{name}_places", ones, axes=(2, 3), keepdims=True)


def gram(s: Spec, name: str, x: Value) -> Value:
    """The Gram matrix of the channels of x (N, C, H, W): F Fᵀ / (C H W) for the rows F of each image, (N, C, C)."""
    rows = s.flatten(f"{name}_rows", x, start=2)
    products = s.matmul(f"{name}_products", rows, s.transpose(f"{name}_turned", rows, (0, 2, 1)))
    count = s.reshape(f"{name}_count", places(s, name, x), (1, 1, 1))
    return s.affine(name, s.div(f"{name}_each", products, count), scale=1 / channels_of(x.shape))


def centred(s: Spec, name: str, x: Value) -> tuple[Value, Value, Value]:
    """x (N, C, H, W) less the mean of each channel, that mean, and sqrt(unbiased variance + 1e-5), both (N, C, 1, 1).

    The variance is drawn in full: MindSpore's own has no gradient (NaN) in a channel that is constant, as one that a
    ReLU closed.
    """
    mean = s.mean(f"{name}_mean", x, axes=(2, 3), keepdims=True)
    around = s.sub(f"{name}_centred", x, mean)
    squares = s.sum(f"{name}_squares", s.square(f"{name}_square", around), axes=(2, 3), keepdims=True)
    others = s.affine(f"{name}_others", places(s, name, x), shift=-1.0)
    variance = s.div(f"{name}_variance", squares, others)
    return around, mean, s.sqrt(f"{name}_std", s.affine(f"{name}_held_variance", variance, shift=EPS))


@model("gram_matrix", paper=PAPER, task="style", small={"channels": 4}, allowed={"channels": Int(minimum=1)})
def gram_matrix(s: Spec, *, channels: int = 64) -> Value:
    """Gram matrix: how alike the channels of an image's features are, whatever is where.

    features: (N, channels, H, W) -> (N, channels, channels), the mean over places of products, over `channels`

    Johnson et al. 2016, equation 3 (section 3.2).
    """
    return gram(s, "gram", s.input("features", channels=channels, example=16, span=(-1, 3)))
