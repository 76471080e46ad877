"""Forms of the table of differences in MindSpore: a form is the very expression that the table shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo.spec.vocabulary import NATIVE_ROLES

Array = NDArray[Any]
Draw = Callable[[str, tuple[int, ...]], Array]

_ROLES = {
    native: role
    for op in ("batch_norm", "embedding", "prelu")
    for role, native in NATIVE_ROLES["mindspore"][op].items()
}


def evaluate(form: str, **names: Any) -> Any:
    """What an expression makes, with the usual short names of MindSpore.

    A cell's tensors have the names that they have in a network; a cell by itself calls some of them otherwise.

    Args:
        form: Python of the table of differences; never a user's text.
        names: further names that the expression may use.
    """
    prepare()
    import operator

    import mindspore as ms
    from mindspore import Tensor, mint, nn, ops
    from mindspore.common import initializer

    known = {"ms": ms, "nn": nn, "ops": ops, "mint": mint, "Tensor": Tensor, "initializer": initializer}
    made = eval(form, known | {"math": math, "operator": operator} | names)
    if isinstance(made, nn.Cell) and not isinstance(made, nn.Optimizer):
        nn.SequentialCell(made)
    return made


def make(form: str, draw: Draw, train: bool) -> Any:
    """A layer or a function; the tensors of a layer are drawn by their role in PyTorch's words."""
    made = evaluate(form)
    import mindspore as ms

    ms.set_seed(0)
    if isinstance(made, ms.nn.Cell):
        made.set_train(train)
        for name, tensor in _tensors(made).items():
            tensor.set_data(ms.Tensor(draw(_role(name), tuple(tensor.shape))))
    return made


def forward(made: Any, inputs: Sequence[Array]) -> dict[str, Array]:
    """The output of a layer or function, and the buffers of a layer after it."""
    import mindspore as ms

    arrays = {"forward": made(*map(ms.Tensor, inputs)).asnumpy()}
    if isinstance(made, ms.nn.Cell):
        arrays |= {_role(name): x.asnumpy().copy() for name, x in _tensors(made).items() if not x.requires_grad}
    return arrays


def gradients(made: Any, inputs: Sequence[Array], draw: Draw) -> dict[str, Array]:
    """The gradients of sum(output * drawn cotangent) by the floating-point inputs and the parameters."""
    import mindspore as ms

    given = [ms.Tensor(x) for x in inputs]
    trained = made.trainable_params() if isinstance(made, ms.nn.Cell) else []
    floating = tuple(i for i, x in enumerate(inputs) if x.dtype.kind == "f")

    def weighed(*values: Any) -> Any:
        y = made(*values)
        return (y * ms.Tensor(draw("cotangent", tuple(y.shape)))).sum()

    found = ms.grad(weighed, floating or None, ms.ParameterTuple(trained) if trained else None)(*given)
    wanted = [f"input {i}" for i in floating] + [_role(parameter.name) for parameter in trained]
    return {f"gradient of {name}": x.asnumpy() for name, x in zip(wanted, _flat(found), strict=True)}


def optimize(form: str, start: Array, slopes: Sequence[Array]) -> list[Array]:
    """The parameter after each step of an optimizer, made of `params`, that is given these gradients.

    A form may also be a function of parameter, first and second moment, gradient and number of the step.
    """
    prepare()
    import mindspore as ms

    parameter = ms.Parameter(ms.Tensor(start), name="weight")
    moments = [ms.Parameter(ms.Tensor(np.zeros_like(start)), name=name) for name in ("first", "second")]
    optimizer = evaluate(form, params=[parameter])
    after = []
    for number, slope in enumerate(slopes, 1):
        if isinstance(optimizer, ms.nn.Cell):
            optimizer((ms.Tensor(slope),))
        else:
            optimizer(parameter, *moments, ms.Tensor(slope), number)
        after.append(parameter.asnumpy().copy())
    return after


def names(form: str) -> dict[str, tuple[int, ...]]:
    """The tensors that a checkpoint of a layer has, with their shapes."""
    return {name.partition(".")[2]: tuple(tensor.shape) for name, tensor in evaluate(form).parameters_dict().items()}


def initial(form: str) -> dict[str, Array]:
    """The values with which a layer is made, by role."""
    evaluate("ms.set_seed(0)")
    return {_role(name): tensor.asnumpy() for name, tensor in _tensors(evaluate(form)).items()}


def dropped(form: str) -> float:
    """The share of zeros that a layer in train mode makes of ones."""
    evaluate("ms.set_seed(0)")
    return float((evaluate(form).set_train()(evaluate("ops.ones((100000,), ms.float32)")).asnumpy() == 0).mean())


def _flat(found: Any) -> list[Any]:
    """The tensors of nested tuples, in order."""
    return [tensor for part in found for tensor in _flat(part)] if isinstance(found, tuple) else [found]


def _tensors(cell: Any) -> Mapping[str, Any]:
    """The trained parameters and the buffers, without the frozen gains and offsets that PyTorch has not."""
    named: Mapping[str, Any] = cell.parameters_dict()
    return {name: x for name, x in named.items() if x.requires_grad or _role(name) in ("running_mean", "running_var")}


def _role(name: str) -> str:
    last = name.rpartition(".")[2]
    return _ROLES.get(last, last)
