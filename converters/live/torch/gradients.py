"""Gradients of one run, by way of autograd, which leaves `.grad` of the parameters alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from twinzoo.converters.layers import STATISTICS
from twinzoo.converters.live import Pull
from twinzoo.converters.live.pulling import cotangent
from twinzoo.converters.live.torch.arrays import Array, array_of
from twinzoo.converters.live.torch.calls import named_tensors


def leaves_of(tensors: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The floating-point tensors of inputs by name, which require gradients from now on."""
    return {name: tensor.requires_grad_() for name, tensor in named_tensors(tensors) if tensor.is_floating_point()}


def from_leaves(value: Any) -> Any:
    """The same inputs with copies of those that require gradients, which unlike leaves may be changed in place."""
    if isinstance(value, Mapping):
        return {key: from_leaves(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(from_leaves(item) for item in value)
    return value.clone() if value.requires_grad else value


def parameters_of(
    tensors: Mapping[str, torch.Tensor], aliases: Mapping[str, str], *, frozen: bool
) -> list[tuple[str, torch.Tensor]]:
    """The tensors that do, or do not, require gradients, with their keys; two of one memory have one key.

    Buffers do not, but running statistics and counters, which nobody trains, are none of either.
    """
    trainable = {
        name: t
        for name, t in tensors.items()
        if isinstance(t, nn.Parameter) or name.rpartition(".")[2] not in STATISTICS
    }
    found = {id(t): (aliases.get(name, name), t) for name, t in trainable.items()}
    return [(key, tensor) for key, tensor in found.values() if tensor.requires_grad is not frozen]


def pulled(
    outputs: Mapping[str, torch.Tensor],
    leaves: Mapping[str, torch.Tensor],
    parameters: list[tuple[str, torch.Tensor]],
    pull: Pull,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The gradients of the inputs by name and of the parameters by key, as far as anything flows back to them.

    Args:
        pull: what is pulled back from each output; integers, and what depends on nothing, are not pulled.
    """
    pairs = [
        (tensor, torch.from_numpy(cotangent(pull, index, tuple(tensor.shape))).to(tensor.device, tensor.dtype))
        for index, tensor in enumerate(outputs.values())
        if tensor.is_floating_point() and tensor.requires_grad
    ]
    wanted = [*leaves.items(), *parameters]
    if not pairs or not wanted:
        return {}, {}
    ends, given = zip(*pairs, strict=True)
    found = torch.autograd.grad(ends, [tensor for _, tensor in wanted], given, allow_unused=True)
    sums: list[dict[str, Array]] = [{}, {}]
    for place, ((key, _), gradient) in enumerate(zip(wanted, found, strict=True)):
        if gradient is not None:
            sums_of = sums[place >= len(leaves)]
            array = array_of(gradient.to_dense())
            sums_of[key] = sums_of[key] + array if key in sums_of else array
    return sums[0], sums[1]
