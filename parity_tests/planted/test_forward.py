"""Planted bugs in hand-written networks: each is caught at its place and named; clean networks are never accused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.network import Network, network, twin_of  # noqa: E402
from twinzoo.parity.report import ParityReport  # noqa: E402

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)

CHOICES: list[tuple[dict[str, Any], str, str]] = [
    ({"eps": 1e-3}, "norm", "eps"),
    ({"momentum": 0.9}, "norm", "momentum"),
    ({"slope": 0.01}, "leaky_relu", "slope"),
    ({"activation": "elu"}, "leaky_relu", "activation"),
    ({"activation": "relu"}, "leaky_relu", "activation"),
    ({"pad_mode": "replicate"}, "pad", "pad-mode"),
    ({"pad_mode": "constant"}, "pad", "pad-mode"),
    ({"dilation": 2, "padding": 2}, "down", "dilation"),
    ({"pool": "max"}, "pool", "pool-kind"),
    ({"include_pad": False}, "pool", "count-include-pad"),
    ({"resize": "nearest"}, "interpolate", "resize-mode"),
    ({"align_corners": True}, "interpolate", "align-corners"),
    ({"approximate": "tanh"}, "gelu", "approximation"),
    ({"order": (1, 0)}, "cat", "operand-order"),
    ({"swapped": True}, "sub", "operand-order"),
    ({"missing": True}, "s", "missing-op"),
    ({"extra": True}, "s", "extra-op"),
    ({"scale": 0.5}, "cat", "extra-op"),
    ({"offset": 0.1}, "cat", "extra-op"),
    ({"reduction": "max"}, "mean", "reduction"),
]


def compared(a: Network, b: Network) -> ParityReport:
    return tz.compare(a, b, IMAGE)


@pytest.mark.parametrize(("choice", "layer", "cause"), CHOICES, ids=lambda value: str(value))
def test_a_choice_that_differs_is_caught_and_named(choice: dict[str, Any], layer: str, cause: str) -> None:
    model = network()
    report = compared(model, twin_of(model, **choice))
    assert not report.ok
    assert cause in {finding.cause for finding in report.findings}, [str(f) for f in report.findings]
    assert any(layer in f.layer for f in report.findings if f.cause == cause)
    assert len(report.findings) <= 2, [str(f) for f in report.findings]


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_clean_pair_is_not_accused(norm: str, seed: int, scale: float) -> None:
    model = network(seed, norm=norm)
    report = tz.compare(model, twin_of(model), IMAGE * np.float32(scale))
    assert report.ok, str(report)
    assert len(report.layers) > 15


def edited(name: str, change: Any) -> tuple[Network, Network]:
    model = network()
    twin = twin_of(model)
    with torch.no_grad():
        tensor = twin.state_dict()[name]
        tensor.copy_(change(tensor.clone()))
    return model, twin


def one_value(tensor: Any) -> Any:
    tensor.view(-1)[3] *= 1.001
    return tensor


WEIGHTS: list[tuple[str, Any, str]] = [
    ("side.weight", one_value, "weight-value"),
    ("mixed.bias", one_value, "weight-value"),
    ("norm.running_var", one_value, "weight-value"),
    ("down.weight", lambda w: w.transpose(0, 1), "weight-layout"),
    ("down.weight", lambda w: w.flip(3), "weight-layout"),
    ("mixed.weight", lambda w: torch.zeros_like(w), "weight-value"),
]


@pytest.mark.parametrize(("name", "change", "cause"), WEIGHTS)
def test_a_weight_that_differs_is_caught_and_named(name: str, change: Any, cause: str) -> None:
    report = compared(*edited(name, change))
    assert not report.ok
    assert [finding.cause for finding in report.findings] == [cause]
    assert name in report.findings[0].evidence
    assert report.findings[0].layer == name.partition(".")[0]


def test_two_tensors_in_each_others_place() -> None:
    model = network()
    twin = twin_of(model)
    with torch.no_grad():
        state = twin.state_dict()
        one, two = state["side.bias"].clone(), state["down.bias"].clone()
        state["side.bias"].copy_(two)
        state["down.bias"].copy_(one)
    assert {f.cause for f in compared(model, twin).findings} == {"weight-swapped"}


def test_a_tensor_used_twice() -> None:
    model = network()
    twin = twin_of(model)
    with torch.no_grad():
        twin.state_dict()["side.bias"].copy_(twin.state_dict()["down.bias"])
    (finding,) = compared(model, twin).findings
    assert finding.cause == "weight-shared"
    assert "down.bias" in finding.evidence


def test_two_causes_at_once_are_both_found() -> None:
    model = network()
    report = compared(model, twin_of(model, slope=0.1, align_corners=True))
    assert [finding.cause for finding in report.findings] == ["slope", "align-corners"]


def test_the_first_divergence_is_the_first_in_order() -> None:
    model = network()
    report = compared(model, twin_of(model, approximate="tanh", resize="nearest"))
    assert report.first_divergence is not None
    assert report.first_divergence.op == "gelu"


def test_layers_that_only_one_side_has_are_findings() -> None:
    class More(Network):
        def forward(self, image: Any) -> Any:
            made, pooled = super().forward(image)
            return self.get_submodule("after")(made), pooled

    model = network()
    twin = More(model.plan).eval()
    twin.add_module("after", torch.nn.Conv2d(2, 2, 1))
    twin.load_state_dict(model.state_dict(), strict=False)
    report = compared(model, twin)
    assert any(finding.cause == "extra-op" and "after" in finding.layer for finding in report.findings)
