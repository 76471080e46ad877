"""The ab plane in bins, for colorizers that classify: the bins, colours as distributions over them, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.models.color import channels
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Float, Int

_PAPER = "Zhang, Isola and Efros 2016, arXiv:1603.08511"
_SPACING = 10
_FROM, _TO = -90, 100
_FIRST = (50, 20, 0, -20, -30, -40, -50, -50, -60, -70, -80, -80, -90, -100, -100, -110, -110, -110, -110, -90)
_LAST = (90, 90, 90, 90, 100, 100, 100, 100, 100, 100, 90, 90, 90, 90, 80, 80, 80, 70, 70, 0)

TIE = 1e-3
"""Bins whose squared distances differ by less than this share their place. Everything without a tie is as published."""


def ab_bins() -> NDArray[np.float32]:
    """The 313 bins of ECCV16, (313, 2): a* and b* of their centres, 10 apart, in the published order (pts_in_hull).

    They are the corners of every square of the grid that holds an sRGB colour, 309, and four that the published list
    has beyond these: (40, 90), (100, -90), (100, -10) and (100, 0). So each row of one a* is a run of b*.
    """
    rows = zip(range(_FROM, _TO + 1, _SPACING), _FIRST, _LAST, strict=True)
    points = [(a, b) for a, low, high in rows for b in range(low, high + 1, _SPACING)]
    bins: NDArray[np.float32] = np.array(points, np.float32)
    return bins


def square_ab_bins() -> NDArray[np.float32]:
    """The 529 bins of SIGGRAPH17, (529, 2): every a* and b* from -110 to 110 in steps of 10, a* going slowest."""
    steps = np.arange(-110, 111, _SPACING, dtype=np.float32)
    bins: NDArray[np.float32] = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    return bins


def rebalancing(prior: NDArray[np.float32], mixing: float = 0.5) -> NDArray[np.float32]:
    """What a pixel of each bin counts (Q,), from how often bins occur (Q,): rare colours count more.

    1 / ((1 - mixing) prior + mixing / Q), scaled so that its mean over `prior` is 1. Zhang et al. 2016, equation 4. Q
    counts the bins that do occur, as in the authors' code; the paper's are all of them.
    """
    share = np.asarray(prior, np.float64) / np.sum(prior, dtype=np.float64)
    even = (share > 0) / np.count_nonzero(share)
    weights = 1 / np.maximum((1 - mixing) * share + mixing * even, np.finfo(np.float64).tiny)
    weights[share == 0] = 0.0
    scaled: NDArray[np.float32] = (weights / np.sum(share * weights)).astype(np.float32)
    return scaled


def bin_inputs(s: Spec, classes: int) -> tuple[Value, Value]:
    """Declare the input `bins` (classes, 2); returns their a* and b*, each (1, classes, 1, 1)."""
    bins = s.input("bins", shape=(classes, 2), span=(-110, 110))
    parts = zip("ab", channels(s, "bins", bins, "ab"), strict=True)
    a, b = (s.reshape(f"centres_{letter}", part, (1, classes, 1, 1)) for letter, part in parts)
    return a, b


def ramp(s: Spec, name: str, x: Value, width: float) -> Value:
    """1 where x >= 0, 0 where x <= -width, straight between: a choice that rounding alone does not turn over."""
    return s.clamp(name, s.affine(f"{name}_ramp", x, scale=1 / width, shift=1.0), low=0.0, high=1.0)


def soft_encoding(
    s: Spec, ab: Value, centres: tuple[Value, Value], neighbours: int, sigma: float
) -> tuple[Value, Value]:
    """ab (N, 2, H, W) as a distribution over the bins (N, Q, H, W): Gaussians of the nearest, in all 1.

    Also how much nearer than the nearest each bin is, in squared distances: 0 for the nearest, else below.
    """
    squares = []
    for letter, channel, centre in zip("ab", channels(s, "colour", ab, "ab"), centres, strict=True):
        squares.append(s.square(f"square_{letter}", s.sub(f"distance_{letter}", channel, centre)))
    nearness = s.neg("nearness", s.add("squares", *squares))
    first = last = s.topk("nearest", nearness, neighbours, axis=1)
    if neighbours > 1:
        first, last = s.slice("first", first, axis=1, stop=1), s.slice("last", last, axis=1, start=neighbours - 1)
    among = ramp(s, "among", s.sub("before_last", nearness, last), TIE)
    # Relative to the nearest, so that a colour far from every bin has no sum of zeros.
    relative = s.sub("beyond_first", nearness, first)
    bell = s.exp("bell", s.affine("exponent", relative, scale=1 / (2 * sigma**2)))
    weight = s.mul("weight", bell, among)
    encoding = s.div("encoding", weight, s.sum("weights", weight, axes=(1,), keepdims=True))
    return encoding, relative


@model(
    "soft_ab_encoding",
    paper=_PAPER,
    task="colorization",
    small={"classes": 12},
    allowed={"classes": Int(minimum=1), "neighbours": Int(minimum=1), "sigma": Float(minimum=1e-3)},
)
def soft_ab_encoding(s: Spec, *, classes: int = 313, neighbours: int = 5, sigma: float = 5.0) -> Value:
    """Colours as distributions over bins: a Gaussian of the distance to each of the nearest, normalised.

    ab: (N, 2, H, W), a* and b*; bins: (classes, 2), the centres, as `twinzoo.zoo.models.ab_bins` gives them
        -> (N, classes, H, W), in all 1 for each pixel
    neighbours: 5 in the paper, 10 in the authors' code; 1 is the nearest bin alone, as in SIGGRAPH17.
    sigma: of the Gaussian, in units of a* and b*.

    Zhang et al. 2016, section 2.1. Bins as far as the last of the neighbours all count, so that a colour between bins
    gives one answer everywhere; the authors' code keeps those that its search happens to find first.
    """
    ab = s.input("ab", channels=2, example=16, span=(-110, 110))
    encoding, _ = soft_encoding(s, ab, bin_inputs(s, classes), neighbours, sigma)
    return encoding


@model(
    "annealed_mean",
    paper=_PAPER,
    task="colorization",
    small={"classes": 12},
    allowed={"classes": Int(minimum=1), "temperature": Float(minimum=1e-3)},
)
def annealed_mean(s: Spec, *, classes: int = 313, temperature: float = 0.38) -> Value:
    """Colours from a distribution over bins: the mean of the sharpened distribution.

    logits: (N, classes, H, W); bins: (classes, 2), the centres -> (N, 2, H, W), a* and b*
    temperature: 1 is the plain mean, which is pale; towards 0 it becomes the most likely bin, which is spotted.

    Zhang et al. 2016, section 2.3 and equation 5: softmax(logits / T), which is the paper's exp(log z / T) normalised.
    The published PyTorch network has the plain mean in its last layer.
    """
    logits = s.input("logits", shape=("N", classes, "H", "W"), example=16, span=(-3, 3))
    share = s.softmax("share", s.affine("sharpened", logits, scale=1 / temperature), axis=1)
    centres = bin_inputs(s, classes)
    parts = [s.mul(f"share_{letter}", share, centre) for letter, centre in zip("ab", centres, strict=True)]
    means = [s.sum(letter, part, axes=(1,), keepdims=True) for letter, part in zip("ab", parts, strict=True)]
    return s.concat("ab", *means)
