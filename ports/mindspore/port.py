"""The MindSpore port."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from twinzoo.ports import probe
from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.ports.mindspore.table import LANGUAGE
from twinzoo.ports.native import NativePort, check_cotangents, check_inputs
from twinzoo.ports.port import Array, check_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import from_native, native_names, parameter_ops, to_native


class MindSporePort(NativePort):
    """Specs as `mindspore.nn.Cell`s, on the device and in the mode (PyNative or graph) that MindSpore is set to."""

    name = "mindspore"
    language = LANGUAGE
    question = probe.MINDSPORE

    def build(self, spec: Spec) -> Any:
        """A fresh cell in eval mode.

        Raises:
            PortError: MindSpore is missing.
        """
        prepare()
        mindspore = self.framework()
        return self.make(spec, mindspore.nn.Cell).set_train(False)

    def is_native(self, model: Any) -> bool:
        """Whether an object is a `mindspore.nn.Cell`."""
        mindspore = sys.modules.get("mindspore")
        return mindspore is not None and isinstance(model, mindspore.nn.Cell)

    def load(self, model: Any, state: Mapping[str, Array]) -> None:
        """Set every tensor of the state, by spec name; nothing is changed where it does not fit.

        Raises:
            PortError: a name is missing or unknown, or a shape differs.
        """
        from mindspore import Tensor

        spec = self.known(model)
        check_state(spec, state)
        own = _parameters(spec, model)
        for name, (op, role) in parameter_ops(spec).items():
            value = to_native(self.name, op, role, np.array(state[name], np.float32))
            own[name].set_data(Tensor(value, own[name].dtype))

    def state(self, model: Any) -> dict[str, Array]:
        """Every tensor of the state by spec name, as float32 copies."""
        spec = self.known(model)
        own = _parameters(spec, model)
        return {
            name: from_native(self.name, op, role, _array(own[name])).astype(np.float32)
            for name, (op, role) in parameter_ops(spec).items()
        }

    def run(self, model: Any, inputs: Mapping[str, Array], *, train: bool = False) -> dict[str, Array]:
        """The outputs by name, for inputs (and draws) by name; train mode moves buffers as training does.

        Raises:
            SpecError: an input is missing, unknown or of the wrong shape.
        """
        spec = self.known(model)
        arguments = _arguments(spec, model, inputs)
        with _mode(model, train):
            return {name: _array(value) for name, value in _outputs(spec, model(*arguments)).items()}

    def gradients(
        self, model: Any, inputs: Mapping[str, Array], cotangents: Mapping[str, Array], *, train: bool = False
    ) -> dict[str, Array]:
        """The gradients of sum(output * cotangent), for each floating-point input and trained parameter by name.

        An output without a cotangent counts nothing; what has no influence has a gradient of zeros.

        Raises:
            SpecError: an input is missing, unknown or of the wrong shape.
            PortError: a cotangent is none of the outputs, or of another shape.
        """
        import mindspore as ms

        spec = self.known(model)
        arguments = _arguments(spec, model, inputs)
        sizes = spec.sizes_of({name: np.shape(value) for name, value in inputs.items()})
        shapes = {n: spec.concrete(v, sizes) for n, v in spec.outputs.items() if v.dtype == "float"}
        check_cotangents(spec, cotangents, shapes)
        pulled = [(i, _tensor(cotangents[name], model)) for i, name in enumerate(spec.outputs) if name in cotangents]
        several = len(spec.outputs) > 1

        def weighed(*given: Any) -> Any:
            made = model(*given)
            total = 0.0
            for i, cotangent in pulled:
                total = total + ((made[i] if several else made) * cotangent).sum()
            return total

        floating = [i for i, item in enumerate(spec.inputs.values()) if item.value.dtype == "float"]
        own = _parameters(spec, model)
        trained = [name for name, param in spec.params.items() if not param.buffer]
        names = [*(list(spec.inputs)[i] for i in floating), *trained]
        if not pulled or not names:
            return {name: np.zeros(np.shape(inputs[name]), np.float32) for name in names}
        weights = ms.ParameterTuple([own[name] for name in trained]) if trained else None
        with _mode(model, train):
            made = ms.grad(weighed, tuple(floating) if floating else None, weights)(*arguments)
        native = dict(zip(names, _flat(made), strict=True))
        kinds = parameter_ops(spec)
        return {
            name: from_native(self.name, *kinds[name], _array(value)) if name in kinds else _array(value)
            for name, value in native.items()
        }


def _flat(made: Any) -> list[Any]:
    """The tensors of nested tuples, in order."""
    return [tensor for part in made for tensor in _flat(part)] if isinstance(made, tuple) else [made]


def _parameters(spec: Spec, model: Any) -> dict[str, Any]:
    """The cell's parameters by spec name."""
    own = model.parameters_dict()
    return {name: own[native] for name, native in native_names(spec, "mindspore").items()}


def _arguments(spec: Spec, model: Any, inputs: Mapping[str, Array]) -> list[Any]:
    """Inputs, then draws, in the order of `construct`, in the model's precision."""
    from mindspore import Tensor

    check_inputs(spec, inputs)
    made: list[Any] = []
    for name in (*spec.inputs, *spec.draws):
        if name in spec.inputs and spec.inputs[name].value.dtype == "int":
            made.append(Tensor(np.array(inputs[name], np.int32)))
        else:
            made.append(_tensor(inputs[name], model) if name in inputs else None)
    return made


def _tensor(value: Array, model: Any) -> Any:
    import mindspore as ms

    like = next((p.dtype for p in model.get_parameters() if p.dtype in (ms.float64, ms.float16)), ms.float32)
    return ms.Tensor(np.array(value), like)


def _array(tensor: Any) -> Array:
    import mindspore as ms

    if tensor.dtype in (ms.float16, ms.bfloat16):
        tensor = tensor.astype(ms.float32)
    array: Array = tensor.asnumpy().copy()
    return array


def _outputs(spec: Spec, made: Any) -> dict[str, Any]:
    return dict(zip(spec.outputs, made if len(spec.outputs) > 1 else (made,), strict=True))


@contextmanager
def _mode(model: Any, train: bool) -> Iterator[None]:
    """Train or eval mode inside the block, each cell's own mode after it."""
    before = [(cell, cell.training) for _, cell in model.cells_and_names()]
    model.set_train(train)
    try:
        yield
    finally:
        for cell, training in before:
            cell.training = training


PORT = MindSporePort()
