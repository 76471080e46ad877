"""The table of functions that the rows fill, and how a call is looked up in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twinzoo.converters.live.torch.calls import Call, Effect, Step, plain, tensors_in
from twinzoo.zoo.errors import SpecError

Rule = Callable[[Call], Effect | None]
"""What a call does, or None where the op table has no words for it."""


class Row(NamedTuple):
    """The names of a function's arguments in order, the last one with `*` where it takes the rest; and what it does."""

    arguments: tuple[str, ...]
    rule: Rule


ROWS: dict[str, Row] = {}
"""By a function's plain name, which the function, the method, the operator and the form in place share."""


def row(names: str, arguments: str = "input") -> Callable[[Rule], Rule]:
    """Add a row for functions of these names, as words."""

    def add(rule: Rule) -> Rule:
        ROWS.update({name: Row(tuple(arguments.split()), rule) for name in names.split()})
        return rule

    return add


def plain_name(func: Any) -> str:
    """One name for `torch.relu`, `torch.relu_`, `Tensor.relu` and `F.relu`; a property has its own."""
    name = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__"):
        name = f"{name[2:5]}_{getattr(func.__self__, '__name__', '')}"
    return name.strip("_") or name


def effect_of(call: Call) -> Effect:
    """What a call does; in the framework's own words where no row fits."""
    found = ROWS.get(call.name)
    if found is not None and call.bind(found.arguments):
        try:
            effect = found.rule(call)
        except (SpecError, TypeError, ValueError):  # arguments that the op table has no words for
            effect = None
        if effect is not None:
            return effect
    return in_own_words(call)


def in_own_words(call: Call) -> Step:
    """A call under PyTorch's name for it, with the arguments that are no tensors as attributes."""
    named = {str(place): value for place, value in enumerate(call.args)} | call.kwargs
    attrs = {name: value for name, given in named.items() if (value := plain(given)) is not None}
    return Step(f"torch.{call.name}", tuple(tensors_in((call.args, call.kwargs))), attrs)
