"""MindSpore's graph mode: every op in one graph, forward and gradient; networks, their taps, and training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.op_cases import CASES, OpCase, case_inputs, case_state
from twinzoo.ports.mindspore.port import MindSporePort
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.registry import entry
from twinzoo.zoo.registry import spec as draw
from twinzoo.zoo.spec import OPS, Spec, Value
from twinzoo.zoo.spec.dims import concrete

Array = NDArray[Any]


@pytest.fixture
def graph_mode(mindspore_port: MindSporePort) -> Iterator[None]:
    """Graph mode for the test, PyNative after it."""
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


def one_of_each() -> list[OpCase]:
    """The first case of each op, and every transposed convolution and slice, whose rows compose several ops."""
    chosen = {case.op: case for case in reversed(CASES)}
    composed = [case for case in CASES if case.op in ("conv_transpose2d", "slice") and case is not chosen[case.op]]
    return [*chosen.values(), *composed]


def combined(cases: list[OpCase]) -> tuple[Spec, dict[str, Array], dict[str, Array]]:
    """All cases side by side in one spec, with their inputs and state."""
    spec = Spec("combined")
    inputs: dict[str, Array] = {}
    state: dict[str, Array] = {}
    outputs: dict[str, Value] = {}
    for i, case in enumerate(cases):
        fed = case_inputs(case)
        values = [
            spec.input(f"c{i}_{name}", shape=fed[name].shape, dtype=tensor.dtype)
            for name, tensor in zip(list(fed), case.inputs, strict=False)
        ]
        getattr(spec, case.op)(f"c{i}", *values, **case.attrs)
        outputs |= {f"c{i}_{n}": v for n, v in zip(OPS[case.op].outputs, spec.values(f"c{i}"), strict=True)}
        inputs |= {f"c{i}_{name}": fed[name] for name, _ in zip(list(fed), case.inputs, strict=False)}
        state |= {name.replace("op.", f"c{i}."): value for name, value in case_state(case).items()}
    spec.output(**outputs)
    return spec, inputs, state


def test_every_op_in_one_graph(mindspore_port: MindSporePort, graph_mode: None) -> None:
    import mindspore as ms

    spec, inputs, state = combined(one_of_each())
    model = mindspore_port.build(spec)
    mindspore_port.load(model, state)
    generator = np.random.default_rng(0)
    made = mindspore_port.run(model, inputs)
    pulled = {n: generator.uniform(-1, 1, v.shape).astype(np.float32) for n, v in made.items() if v.dtype.kind == "f"}
    gradients = mindspore_port.gradients(model, inputs, pulled)

    ms.set_context(mode=ms.PYNATIVE_MODE)
    eager = mindspore_port.run(model, inputs)
    eager_gradients = mindspore_port.gradients(model, inputs, pulled)
    assert list(made) == list(spec.outputs)
    # The same kernels in another order: the compiler folds constants and fuses, so a few roundings differ.
    for ours, theirs in ((made, eager), (gradients, eager_gradients)):
        for name, value in ours.items():
            assert np.abs(value - theirs[name]).max() <= 1e-6 * np.abs(theirs[name]).max(), name


@pytest.mark.parametrize("name", ["unet", "resnet_generator", "aodnet"])
def test_networks_tapped_and_trained(name: str, mindspore_port: MindSporePort, graph_mode: None) -> None:
    import mindspore as ms

    drawn = draw(name, **entry(name).small)
    tapped = drawn.tapped()
    x = np.random.default_rng(0).uniform(-1, 1, drawn.concrete(drawn.inputs["image"].value)).astype(np.float32)
    masks = {n: np.ones(concrete(mask.shape, drawn.example_sizes), np.float32) for n, mask in drawn.draws.items()}
    results = []
    for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
        ms.set_context(mode=mode)
        model = mindspore_port.build(tapped)
        mindspore_port.load(model, initial_state(drawn, seed=1))
        last = list(tapped.outputs)[-1]
        fed = {"image": x} | masks
        outputs = mindspore_port.run(model, fed, train=True)
        gradients = mindspore_port.gradients(model, fed, {last: np.ones_like(outputs[last])}, train=True)
        results.append((outputs, gradients, mindspore_port.state(model)))
    for ours, theirs in zip(*results, strict=True):
        for key, value in ours.items():
            # Normalisation over few pixels magnifies the roundings that differ between the two modes.
            assert np.abs(value - theirs[key]).max() <= 1e-4 * max(np.abs(theirs[key]).max(), 1e-3), key
