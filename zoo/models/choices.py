"""Choices as exact zeros and ones, to multiply with: differences, enlarged until nothing is in between.

Differences of two float32 numbers below 1e30 have the right sign and, but for zero, are far from 1e-18 where the
numbers are above 1e-10. No gradient flows through a choice.
"""

from __future__ import annotations

from twinzoo.zoo.spec import Spec, Value

_STEEP = 1e18


def above_zero(s: Spec, name: str, x: Value) -> Value:
    """1 where x > 0, else 0."""
    steep = s.affine(f"{name}_steep", s.stop_gradient(f"{name}_held", x), scale=_STEEP)
    return s.clamp(name, steep, low=0.0, high=1.0)


def not_below_zero(s: Spec, name: str, x: Value) -> Value:
    """1 where x >= 0, else 0."""
    return s.affine(name, above_zero(s, f"{name}_opposite", s.neg(f"{name}_negative", x)), scale=-1.0, shift=1.0)


def zero(s: Spec, name: str, x: Value) -> Value:
    """1 where x = 0, else 0."""
    return not_below_zero(s, name, s.neg(f"{name}_below", s.abs(f"{name}_distance", x)))
