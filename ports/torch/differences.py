"""Forms of the table of differences in PyTorch: a form is the very expression that the table shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Draw = Callable[[str, tuple[int, ...]], Array]


def evaluate(form: str, **names: Any) -> Any:
    """What an expression makes, with the usual short names of PyTorch.

    Args:
        form: Python of the table of differences; never a user's text.
        names: further names that the expression may use.
    """
    import operator

    import torch
    from torch import nn, optim
    from torch.nn import functional

    known = {"torch": torch, "nn": nn, "F": functional, "optim": optim, "math": math, "operator": operator}
    return eval(form, known | names)


def make(form: str, draw: Draw, train: bool) -> Any:
    """A layer or a function; the tensors of a layer are drawn by their role in PyTorch's words."""
    import torch

    torch.manual_seed(0)
    made = evaluate(form)
    if isinstance(made, torch.nn.Module):
        made.train(train)
        for name, tensor in _tensors(made).items():
            tensor.data.copy_(torch.from_numpy(draw(_role(name), tuple(tensor.shape))))
    return made


def forward(made: Any, inputs: Sequence[Array]) -> dict[str, Array]:
    """The output of a layer or function, and the buffers of a layer after it."""
    import torch

    with torch.no_grad():
        arrays = {"forward": _array(made(*map(torch.from_numpy, inputs)))}
    if isinstance(made, torch.nn.Module):
        trained = dict(made.named_parameters())
        arrays |= {_role(name): _array(x) for name, x in _tensors(made).items() if name not in trained}
    return arrays


def gradients(made: Any, inputs: Sequence[Array], draw: Draw) -> dict[str, Array]:
    """The gradients of sum(output * drawn cotangent) by the floating-point inputs and the parameters."""
    import torch

    given = [torch.from_numpy(x) for x in inputs]
    wanted = {f"input {i}": x.requires_grad_() for i, x in enumerate(given) if x.is_floating_point()}
    if isinstance(made, torch.nn.Module):
        wanted |= {_role(name): tensor for name, tensor in made.named_parameters()}
    y = made(*given)
    cotangent = torch.from_numpy(draw("cotangent", tuple(y.shape)))
    found = torch.autograd.grad((y * cotangent).sum(), list(wanted.values()))
    return {f"gradient of {name}": _array(x) for name, x in zip(wanted, found, strict=True)}


def optimize(form: str, start: Array, slopes: Sequence[Array]) -> list[Array]:
    """The parameter after each step of an optimizer, made of `params`, that is given these gradients."""
    import torch

    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = evaluate(form, params=[parameter])
    after = []
    for slope in slopes:
        parameter.grad = torch.from_numpy(slope)
        optimizer.step()
        after.append(_array(parameter))
    return after


def names(form: str) -> dict[str, tuple[int, ...]]:
    """The tensors that a checkpoint of a layer has, with their shapes."""
    return {name: tuple(tensor.shape) for name, tensor in evaluate(form).state_dict().items()}


def initial(form: str) -> dict[str, Array]:
    """The values with which a layer is made, by role."""
    import torch

    torch.manual_seed(0)
    return {_role(name): _array(tensor) for name, tensor in _tensors(evaluate(form)).items()}


def dropped(form: str) -> float:
    """The share of zeros that a layer in train mode makes of ones."""
    import torch

    torch.manual_seed(0)
    return float((evaluate(form).train()(torch.ones(100_000)) == 0).float().mean())


def _tensors(module: Any) -> Mapping[str, Any]:
    return {name: tensor for name, tensor in module.state_dict(keep_vars=True).items() if tensor.is_floating_point()}


def _role(name: str) -> str:
    return name.rpartition(".")[2]


def _array(tensor: Any) -> Array:
    array: Array = tensor.detach().numpy().copy()
    return array
