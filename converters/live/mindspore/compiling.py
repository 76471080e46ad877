"""Whether a cell is compiled, running it as it stands, and what MindSpore is told about precision."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mindspore
from mindspore import Parameter, ParameterTuple, Tensor, nn
from mindspore import dtype as mstype

from twinzoo.converters.live import Loss, Pull
from twinzoo.converters.live.mindspore.arguments import bound
from twinzoo.converters.live.mindspore.gradients import by_name, given
from twinzoo.converters.live.mindspore.parameters import Array
from twinzoo.converters.live.mindspore.running import plain_construct

_MARK = "__wrapped_by_jit__"
"""What `ms.jit` hangs on a function."""


def compiled(model: nn.Cell) -> bool:
    """Whether graph mode is set, or `ms.jit` is on a `construct` or on a function that one names."""
    if os.environ.get("MS_JIT") == "0":
        return False
    in_graphs = mindspore.get_context("mode") == mindspore.GRAPH_MODE
    return in_graphs or any(_is_compiled(cell) for _, cell in model.cells_and_names())


def _is_compiled(cell: nn.Cell) -> bool:
    construct = plain_construct(cell)
    if construct is not type(cell).construct or hasattr(cell.construct, _MARK):
        return True
    code = construct.__code__
    enclosed = inspect.getclosurevars(construct).nonlocals.values()
    named = [construct.__globals__.get(name) for name in code.co_names]
    return any(hasattr(value, _MARK) for value in [*named, *enclosed] if callable(value))


Path = tuple[Any, ...]
"""Keys and positions that lead to a tensor in nested mappings and sequences."""


def paths_in(value: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """The tensors of a result with the ways to them."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, (tuple, list, Mapping)):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, item in items:
            yield from paths_in(item, (*path, key))


def pulled_as_it_stands(
    model: nn.Cell,
    tensors: Mapping[str, Any],
    outputs: Sequence[tuple[Path, Tensor]],
    parameters: Sequence[tuple[str, Parameter]],
    pull: Pull,
    loss: Loss | None,
) -> tuple[tuple[Tensor, ...], dict[str, Array], dict[str, Array]]:
    """The outputs, and the gradients of those inputs that are tensors and of the parameters, compiled in graph mode.

    Args:
        outputs: those of a run before, which say where tensors are in the result, and their shapes.
    """
    arguments = bound(model, tensors)
    named = dict(_named(arguments))
    places = [place for place, value in enumerate(arguments.args) if _is_floating(value)]
    paths = tuple(path for path, _ in outputs)
    factors = [(place, given(pull, place, tensor)) for place, (_, tensor) in enumerate(outputs)]
    pulls = tuple((place, factor) for place, factor in factors if factor is not None)
    total = _total(model, arguments.kwargs, paths, pulls, loss)
    if not places and not parameters:
        return total(*arguments.args)[1], {}, {}
    weights = ParameterTuple([tensor for _, tensor in parameters]) if parameters else None
    function = mindspore.value_and_grad(total, tuple(places) or None, weights, has_aux=True)
    (_, *made), gradients = function(*arguments.args)
    names = list(named)
    of_inputs, of_parameters = by_name([names[place] for place in places], [key for key, _ in parameters], gradients)
    return made[0], of_inputs, of_parameters


def _total(
    model: nn.Cell, named: dict[str, Any], paths: tuple[Path, ...], pulls: tuple[tuple[int, Tensor], ...], loss: Any
) -> Callable[..., Any]:
    """What is differentiated, in words that MindSpore's compiler reads."""

    def total(*values: Any) -> Any:
        result = model(*values, **named)
        if loss is not None:
            result = loss(result)
        made = []
        for path in paths:
            item = result
            for key in path:
                item = item[key]
            made.append(item)
        value = Tensor(0.0, mstype.float32)
        for place, factor in pulls:
            value = value + (made[place] * factor).sum().astype(mstype.float32)
        return value, tuple(made)

    return total


def _named(arguments: inspect.BoundArguments) -> Iterator[tuple[str, Any]]:
    """The positional arguments of a call by name, those of `*inputs` by their places in it."""
    for name, value in arguments.arguments.items():
        kind = arguments.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((f"{name}.{place}", item) for place, item in enumerate(value))
        elif kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
            yield name, value


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in mstype.float_type


def precision() -> str:
    """`hf32` on Ascend, where convolutions round to it unless `conv_allow_hf32` is turned off, else empty."""
    if mindspore.get_context("device_target") != "Ascend":
        return ""
    told = mindspore.get_context("ascend_config") or {}
    allowed = told.get("conv_allow_hf32", True) or told.get("matmul_allow_hf32", False)
    return "hf32" if allowed else ""
