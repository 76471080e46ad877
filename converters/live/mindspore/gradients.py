"""Gradients of one run in PyNative mode, by way of `value_and_grad` and hooks of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import mindspore
from mindspore import Parameter, ParameterTuple, Tensor
from mindspore import dtype as mstype

from twinzoo.converters.live import Pull
from twinzoo.converters.live.mindspore.nodes import Node
from twinzoo.converters.live.mindspore.parameters import Array, array_of
from twinzoo.converters.live.pulling import cotangent
from twinzoo.converters.live.spool import Keep


def follow(tensor: Tensor, node: Node, put: Keep) -> None:
    """Have the gradient of a tensor kept when it comes; one that depends on nothing differentiable takes no hook."""

    def keep(gradient: Tensor | None) -> Tensor | None:
        if gradient is not None:
            node.gradient = put(array_of(gradient))
        return gradient

    try:
        tensor.register_hook(keep)
    except RuntimeError:
        return


def pulled(
    run: Callable[[], Mapping[str, Tensor]],
    inputs: Mapping[str, Tensor],
    parameters: Sequence[tuple[str, Parameter]],
    pull: Pull,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Run, and return the gradients of the inputs by name and of the parameters by key.

    Args:
        run: gives the outputs.
        inputs: those that `run` works on.
        pull: what is pulled back from each output; integers are not pulled.
    """
    leaves = {name: tensor for name, tensor in inputs.items() if tensor.dtype in mstype.float_type}
    if not leaves and not parameters:
        run()
        return {}, {}

    failed: list[Exception] = []

    def total(*_: Tensor) -> Tensor:
        try:
            pairs = [(tensor, given(pull, index, tensor)) for index, tensor in enumerate(run().values())]
        except Exception as error:  # raised inside, MindSpore would take every later gradient for one of this one
            failed.append(error)
            return Tensor(0.0)
        parts = [(tensor * factor).sum().astype(mstype.float32) for tensor, factor in pairs if factor is not None]
        return sum(parts[1:], parts[0]) if parts else Tensor(0.0)

    places = tuple(range(len(leaves))) if leaves else None
    weights = ParameterTuple([tensor for _, tensor in parameters]) if parameters else None
    _, gradients = mindspore.value_and_grad(total, places, weights)(*leaves.values())
    if failed:
        raise failed[0]
    return by_name([*leaves], [key for key, _ in parameters], gradients)


def given(pull: Pull, index: int, output: Tensor) -> Tensor | None:
    """The cotangent of an output as a tensor, None where it is not pulled."""
    if output.dtype not in mstype.float_type:
        return None
    return Tensor(cotangent(pull, index, tuple(output.shape))).astype(output.dtype)


def by_name(inputs: Sequence[str], keys: Sequence[str], gradients: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """What `value_and_grad` returned, those of the inputs first; a single one comes by itself."""
    found = [None if gradient is None else array_of(gradient) for gradient in _flat(gradients)]
    named = dict(zip([*((0, name) for name in inputs), *((1, key) for key in keys)], found, strict=True))
    kinds: tuple[dict[str, Array], dict[str, Array]] = {}, {}
    for (kind, name), gradient in named.items():
        if gradient is not None:
            kinds[kind][name] = gradient
    return kinds


def _flat(gradients: Any) -> Iterator[Tensor | None]:
    if isinstance(gradients, (tuple, list)):
        for gradient in gradients:
            yield from _flat(gradient)
    else:
        yield gradients
