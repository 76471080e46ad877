"""Planted bugs in hand-written networks: each is caught at its place and named; clean networks are never accused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.cases import CASES, IMAGE, Case  # noqa: E402
from parity_tests.planted.network import Network, network  # noqa: E402
from parity_tests.planted.plan import weights  # noqa: E402
from twinzoo.parity.graphs.diagnosis import diagnose_output  # noqa: E402
from twinzoo.parity.graphs.pairs import pair  # noqa: E402
from twinzoo.parity.graphs.run import run  # noqa: E402
from twinzoo.parity.report import ParityReport  # noqa: E402


def compared(a: Network, b: Network) -> ParityReport:
    return tz.compare(a, b, IMAGE)


def changed(made: type[Network]) -> tuple[Network, Network]:
    """The right network, and one of a class with something else in it."""
    model = network(weights(0))
    twin = made(model.plan).eval()
    twin.load_state_dict(model.state_dict(), strict=False)
    return model, twin


@pytest.mark.parametrize("case", [case for case in CASES if case.only in ("", "torch")], ids=lambda case: case.name)
def test_a_planted_bug_is_caught_and_named(case: Case) -> None:
    report = compared(*case.plant("torch"))
    assert not report.ok
    found = [f for f in report.findings if f.cause == case.cause and case.layer in f.layer]
    assert found, [str(finding) for finding in report.findings]
    assert any(case.fix_in("torch") in finding.fix for finding in found), [finding.fix for finding in found]
    assert len(report.findings) <= 2, [str(finding) for finding in report.findings]


def test_every_cause_that_a_forward_pass_shows_is_planted() -> None:
    """`missing-op` behind the last layer and `dtype` have tests of their own below."""
    shown = """eps momentum norm-kind norm-mode variance affine padding pad-mode stride kernel dilation groups
        output-padding bias weight-value weight-layout weight-swapped weight-shared activation slope approximation
        inplace dropout resize-mode align-corners pool-kind ceil-mode count-include-pad axis operand-order missing-op
        extra-op scale offset reduction label"""
    assert {case.cause for case in CASES} == set(shown.split())


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_clean_pair_is_not_accused(norm: str, seed: int, scale: float) -> None:
    state = weights(seed)
    report = tz.compare(network(state, norm=norm), network(state, norm=norm), IMAGE * np.float32(scale))
    assert report.ok, str(report)
    assert len(report.layers) > 30


def test_what_is_used_twice_is_told_once() -> None:
    class Scaled(Network):
        def _activation(self, x: Any) -> Any:
            return super()._activation(x) * 0.5

    (finding,) = compared(*changed(Scaled)).findings
    assert finding.cause == "scale"


def test_an_element_type_is_told_once() -> None:
    class Double(Network):
        def forward(self, image: Any) -> Any:
            made, pooled, *rest = super().forward(image)
            return made.double().float(), pooled.double(), *rest

    (finding,) = compared(*changed(Double)).findings
    assert finding.cause == "dtype"
    assert finding.layer == "model: 1"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_is_rounded_to_half_inside_is_an_element_type(dtype: Any) -> None:
    class Half(Network):
        def _pool(self, x: Any) -> Any:
            return super()._pool(x.to(dtype).float())

    (finding,) = compared(*changed(Half)).findings
    assert finding.cause == "dtype" and finding.layer == "avg_pool2d"
    assert f"rounded to {str(dtype).removeprefix('torch.')}" in finding.evidence


def test_what_follows_the_last_layer_is_found() -> None:
    state = weights(0)
    sides = run("a", network(state), IMAGE), run("b", network(state, last=False), IMAGE)
    paired = pair(*sides)
    (place,) = [i for i, op in enumerate(sides[0].graph.operations) if (op.kind, op.name) == ("output", "0")]
    (finding,) = diagnose_output(paired, place)
    assert finding.cause == "missing-op"
    assert finding.fix == "add sigmoid (sigmoid) to side b"
    assert not compared(network(state), network(state, last=False)).ok


def test_the_first_divergence_is_the_first_in_order() -> None:
    state = weights(0)
    report = compared(network(state), network(state, approximate="tanh", resize="nearest"))
    assert report.first_divergence is not None
    assert report.first_divergence.op == "gelu"


def test_layers_that_only_one_side_has_are_findings() -> None:
    class More(Network):
        def __init__(self, plan: Any) -> None:
            super().__init__(plan)
            self.after = torch.nn.Conv2d(2, 2, 1)

        def forward(self, image: Any) -> Any:
            made, *rest = super().forward(image)
            return self.after(made), *rest

    report = compared(*changed(More))
    assert any(finding.cause == "extra-op" and "after" in finding.layer for finding in report.findings)
