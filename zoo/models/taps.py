"""Feature networks: a chain of named layers that ends behind the last one that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twinzoo.zoo.spec import Value


def tapped(
    x: Value, layers: Iterable[str], taps: tuple[str, ...], draw: Callable[[str, Value], Value]
) -> Value | dict[str, Value]:
    """What `draw` (name, x) makes of x layer by layer: the last value, or with `taps` the value of each, in order.

    Nothing behind the last tap is drawn.
    """
    made: dict[str, Value] = {}
    for name in layers:
        x = draw(name, x)
        if name in taps:
            made[name] = x
        if taps and len(made) == len(taps):
            return {tap: made[tap] for tap in taps}
    return x
