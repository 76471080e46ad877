"""Training any live cell: its own loss, an optimizer of ours, and everything else as the cell has it.

Steps run in PyNative mode, whatever mode is set, so that a loss need not compile; what is marked with `ms.jit` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from twinzoo.ports.mindspore.steps_optimizer import MindSporeOptimizer
from twinzoo.ports.port import Array
from twinzoo.ports.steps.stepper import Move
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.steps.optimizer import Optimizer


class Training:
    """A cell under a loss and an optimizer.

    Attributes:
        optimizer: over the parameters that require a gradient, by their names in a checkpoint.
        dropouts: paths of the dropout layers, which stay in eval mode.

    Raises:
        PortError: no parameter requires a gradient.
    """

    def __init__(self, model: Any, loss: Callable[[Any], Any], settings: Optimizer, train: bool) -> None:
        from mindspore import mint, nn

        kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, mint.nn.Dropout)
        self._model, self._loss, self._train = model, loss, train
        self.dropouts = [path for path, cell in model.cells_and_names() if isinstance(cell, kinds) and _drops(cell)]
        trained = {parameter.name: parameter for parameter in model.trainable_params()}
        if not trained:
            raise PortError(f"{type(model).__name__}: no parameter requires a gradient, so there is nothing to train")
        self.optimizer = MindSporeOptimizer(settings, trained)
        self._used: Sequence[Any] = ()

    def step(self, inputs: Sequence[Array], named: Mapping[str, Array], move: Move) -> float:
        """One step on inputs in order and by name; the loss.

        Raises:
            PortError: the loss is not one number.
        """
        import mindspore as ms

        failed: list[Exception] = []

        def forward(*given: Any) -> Any:
            by_name = dict(zip(named, given[len(inputs) :], strict=True))
            try:
                loss = self._loss(self._model(*given[: len(inputs)], **by_name))
                if not isinstance(loss, ms.Tensor) or loss.size != 1:
                    raise PortError("loss: must return a tensor of one number")
            except Exception as error:  # raised inside, MindSpore would take every later gradient for one of this one
                failed.append(error)
                return ms.Tensor(0.0)
            return loss

        tensors = [self._tensor(x) for x in (*inputs, *named.values())]
        weights = ms.ParameterTuple(list(self.optimizer.parameters.values()))
        numbers = [ms.Tensor(number, ms.float32) for number in self.optimizer.numbers(move)]
        with _mode(self._model, self._train, self.dropouts):
            loss, gradients = ms.value_and_grad(forward, None, weights)(*tensors)
            if failed:
                raise failed[0]
            self._used = self.optimizer.update(gradients, *numbers)
        return float(loss.asnumpy().reshape(()))

    def gradients(self) -> dict[str, Array]:
        """What the optimizer was given in the last step, by parameter."""
        return {name: g.asnumpy().copy() for name, g in zip(self.optimizer.parameters, self._used, strict=True)}

    def slots(self) -> dict[str, Array]:
        """What the optimizer keeps, by `optimizer.<slot>.<parameter>`."""
        return {f"optimizer.{slot}.{name}": value for slot, name, value in self.optimizer.slots()}

    def load_slots(self, slots: Mapping[str, Array], count: int) -> None:
        """Set what `slots` gives; how many steps were made does not matter here."""
        for slot, name, _ in self.optimizer.slots():
            self.optimizer.set_slot(slot, name, slots[f"optimizer.{slot}.{name}"])

    def _tensor(self, array: Array) -> Any:
        from mindspore import Tensor

        made = Tensor(np.array(array))
        like = next(iter(self.optimizer.parameters.values()))
        return made.astype(like.dtype) if array.dtype.kind == "f" else made


def _drops(cell: Any) -> bool:
    """Whether a dropout layer is told to drop anything; an old one says what it keeps."""
    return bool(cell.keep_prob < 1 if cell.p is None else cell.p > 0)


def distance(target: Callable[[int, tuple[int, ...]], Array]) -> Callable[[Any], Any]:
    """A loss: the mean squared distances of all floating-point outputs from their targets (by place, of its shape).

    It adds up squares, so that unlike a weighted sum it does not cancel.
    """

    def loss(made: Any) -> Any:
        from mindspore import Tensor

        total = Tensor(np.float32(0))
        for place, tensor in enumerate(_tensors(made)):
            if tensor.is_floating_point():
                apart = tensor - Tensor(target(place, tuple(tensor.shape))).astype(tensor.dtype)
                total = total + (apart * apart).mean()
        return total

    return loss


def _tensors(made: Any) -> Iterator[Any]:
    """The tensors of nested tuples, lists and mappings in order."""
    from mindspore import Tensor

    if isinstance(made, Tensor):
        yield made
    elif isinstance(made, (tuple, list, Mapping)):
        for item in made.values() if isinstance(made, Mapping) else made:
            yield from _tensors(item)


@contextmanager
def _mode(model: Any, train: bool, still: Sequence[str]) -> Iterator[None]:
    """PyNative, and train or eval mode with some layers in eval mode, inside the block; all as it was after it.

    In training mode already, the model keeps the parts that are in eval mode (a frozen norm) as they are.
    """
    import mindspore as ms

    mode = ms.get_context("mode")
    cells = dict(model.cells_and_names())
    before = {path: cell.training for path, cell in cells.items()}
    if not (train and model.training):
        model.set_train(train)
    for path in still:
        cells[path].set_train(False)
    if mode != ms.PYNATIVE_MODE:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        yield
    finally:
        if mode != ms.PYNATIVE_MODE:
            ms.set_context(mode=mode)
        for path, training in before.items():
            cells[path].training = training
