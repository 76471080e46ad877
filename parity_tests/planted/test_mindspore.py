"""The same bugs planted in the MindSpore twin of the network; clean pairs across the frameworks are never accused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("torch")
mindspore = pytest.importorskip("mindspore")

import twinzoo as tz  # noqa: E402
from parity_tests.planted.cases import CASES, IMAGE, Case, network_in  # noqa: E402
from parity_tests.planted.plan import weights  # noqa: E402


@pytest.fixture(params=["PYNATIVE_MODE", "GRAPH_MODE"])
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    before = mindspore.get_context("mode")
    mindspore.set_context(mode=getattr(mindspore, request.param))
    yield request.param
    mindspore.set_context(mode=before)


@pytest.mark.parametrize("case", [case for case in CASES if not case.only], ids=lambda case: case.name)
def test_a_planted_bug_is_caught_and_named(case: Case) -> None:
    report = tz.compare(*case.plant("mindspore"), IMAGE)
    assert not report.ok
    found = [f for f in report.findings if f.cause == case.cause and case.layer in f.layer]
    assert found, [str(finding) for finding in report.findings]
    assert any(case.fix_in("mindspore") in finding.fix for finding in found), [finding.fix for finding in found]
    assert len(report.findings) <= 2, [str(finding) for finding in report.findings]


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_clean_pair_is_not_accused(norm: str, scale: float, mode: str) -> None:
    state = weights(int(np.log10(scale)) + 3)
    a, b = (network_in(framework, state, norm=norm) for framework in ("torch", "mindspore"))
    for pair in ((a, b), (b, a)):
        report = tz.compare(*pair, IMAGE * np.float32(scale))
        assert report.ok, str(report)
        assert len(report.layers) > 30
