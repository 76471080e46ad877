"""Pieces that several GAN networks share: their normalisation, and the anti-aliased halving and doubling of CUT."""

from __future__ import annotations

from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice

NORM = Choice(choices=("batch", "instance"))


def norm2d(s: Spec, name: str, x: Value, norm: str) -> Value:
    """Batch norm, or instance norm without parameters: what the published GAN code calls `batch` and `instance`."""
    return s.batch_norm(name, x) if norm == "batch" else s.instance_norm(name, x)


def norm_bias(norm: str) -> bool:
    """Whether a convolution before the norm has a bias: batch norm brings its own, instance norm here has none."""
    return norm == "instance"


def downsample(s: Spec, name: str, x: Value) -> Value:
    """Halve x (N, C, H, W) after a [1, 2, 1] blur with reflected edges; the filter belongs to the node `name`."""
    padded = s.pad2d(f"{name}_pad", x, (1, 1, 1, 1), mode="reflect")
    return s.blur2d(name, padded, (1, 2, 1), stride=2)


def upsample(s: Spec, name: str, x: Value) -> Value:
    """Double x (N, C, H, W) with the [1, 3, 3, 1] filter and repeated edges; the filter belongs to the node `name`.

    The published code crops two pixels a side in the transposed convolution and one more after it; here it is three.
    """
    padded = s.pad2d(f"{name}_pad", x, (1, 1, 1, 1), mode="replicate")
    return s.blur_transpose2d(name, padded, (1, 3, 3, 1), stride=2, padding=3)
