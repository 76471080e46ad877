"""Planted bugs in hand-written networks: each is caught at its place and named; clean networks are never accused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.cases import CASES, IMAGE, Case  # noqa: E402
from parity_tests.planted.network import Network, network, twin_of  # noqa: E402
from twinzoo.parity.report import ParityReport  # noqa: E402


def compared(a: Network, b: Network) -> ParityReport:
    return tz.compare(a, b, IMAGE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_planted_bug_is_caught_and_named(case: Case) -> None:
    report = compared(*case.plant())
    assert not report.ok
    found = [finding for finding in report.findings if finding.cause == case.cause]
    assert found, [str(finding) for finding in report.findings]
    assert any(case.layer in finding.layer for finding in found)
    assert len(report.findings) <= 2, [str(finding) for finding in report.findings]


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_clean_pair_is_not_accused(norm: str, seed: int, scale: float) -> None:
    model = network(seed, norm=norm)
    report = tz.compare(model, twin_of(model), IMAGE * np.float32(scale))
    assert report.ok, str(report)
    assert len(report.layers) > 15


def test_two_causes_at_once_are_both_found() -> None:
    model = network()
    report = compared(model, twin_of(model, slope=0.1, align_corners=True))
    assert [finding.cause for finding in report.findings] == ["slope", "align-corners"]


def test_what_is_used_twice_is_told_once() -> None:
    class Scaled(Network):
        def _activation(self, x: Any) -> Any:
            return super()._activation(x) * 0.5

    model = network()
    twin = Scaled(model.plan).eval()
    twin.load_state_dict(model.state_dict())
    (finding,) = compared(model, twin).findings
    assert finding.cause == "extra-op"


def test_an_element_type_is_told_once() -> None:
    class Half(Network):
        def forward(self, image: Any) -> Any:
            made, pooled = super().forward(image)
            return made.double().float(), pooled.double()

    model = network()
    twin = Half(model.plan).eval()
    twin.load_state_dict(model.state_dict())
    (finding,) = compared(model, twin).findings
    assert finding.cause == "dtype"
    assert finding.layer == "model: 1"


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
