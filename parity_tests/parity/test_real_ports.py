"""The comparison on real ports: every registered model and loss passes, and a tampered twin of each does not."""

from typing import Any

import numpy as np
import pytest

from twinzoo.parity.compare import compare
from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.report import ParityReport
from twinzoo.ports.registry import port
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec

registry.load()
ENTRIES = sorted(registry.MODELS | registry.LOSSES)
WEIGHTED = [name for name in ENTRIES if registry.spec(name, **registry.entry(name).small).params]


def small(name: str) -> tuple[Spec, dict[str, Any]]:
    """A tiny instance and inputs of at least 32 pixels."""
    spec = registry.spec(name, **registry.entry(name).small)
    sizes = {symbol: -(-32 // multiple) * multiple for symbol, multiple in spec.symbols.items() if symbol != "N"}
    return spec, default_inputs(spec, 0, sizes)


@pytest.mark.parametrize("sides", ["torch~mindspore", "torch~reference"])
@pytest.mark.parametrize("name", ENTRIES)
def test_twins_agree(name: str, sides: str) -> None:
    a, b = sides.split("~")
    for framework in {a, b} - {"reference"}:
        pytest.importorskip(framework)
    spec, inputs = small(name)
    report = compare((spec, a), (spec, b), inputs)
    assert report.ok, str(report)
    assert len(report.layers) >= len(spec.nodes) + len(spec.outputs)


def tampered(spec: Spec, inputs: dict[str, Any], name: str) -> ParityReport:
    """Compare twins of which one has another value in the tensor called `name`."""
    found = port("torch")
    models = [found.build(spec) for _ in range(2)]
    state = initial_state(spec)
    found.load(models[0], state)
    tensor = state[name].copy()
    tensor.flat[tensor.size // 2] += np.float32(0.01)
    found.load(models[1], {**state, name: tensor})
    return compare(models[0], models[1], inputs)


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_tampered_weight_is_named(name: str) -> None:
    pytest.importorskip("torch")
    spec, inputs = small(name)
    tensor = sorted(spec.params)[len(spec.params) // 2]
    report = tampered(spec, inputs, tensor)
    assert not report.ok
    (finding,) = report.findings
    assert finding.cause == "weight-value"
    assert finding.evidence.startswith(f"{tensor} differs in 1 of ")
    assert report.first_divergence is not None
    assert report.first_divergence.name == finding.layer


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_a_native_twin_is_compared_as_it_is(framework: str) -> None:
    """The weights are the model's own, and comparing changes nothing in it."""
    pytest.importorskip(framework)
    spec, inputs = small("aodnet")
    found = port(framework)
    model = found.build(spec)
    state = initial_state(spec, seed=7)
    found.load(model, state)
    report = compare(model, (spec, "reference"), inputs)
    assert {finding.cause for finding in report.findings} == {"weight-value"}
    assert all(layer.a.ok and layer.b.ok for layer in report.layers)
    for name, value in found.state(model).items():
        np.testing.assert_array_equal(value, state[name])
