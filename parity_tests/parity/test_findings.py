"""What a wrong row becomes: a cause, the quantity that is wrong, both source lines."""

from __future__ import annotations

from math import inf

import pytest

from twinzoo.parity.findings import findings_of
from twinzoo.parity.results import LayerResult, SideResult

RIGHT = SideResult(0.5, 1e-7, (0,), 2e-7)
WRONG = SideResult(7.0, 1e-6, (0,), 2e-6)
NOTHING = SideResult(inf, inf, (), inf, "returned nothing", "")
SOURCE = ("net.py:3", "cell.py:4")


def row(name: str, quantity: str, b: SideResult) -> LayerResult:
    return LayerResult(name, "relu", "", (2,), 0.0, 0.0, 0.0, 1.0, 0.0, RIGHT, b, quantity=quantity, source=SOURCE)


@pytest.mark.parametrize(
    ("quantity", "side", "cause", "evidence", "fix"),
    [
        ("output", WRONG, "unexplained", "b (ms) is 1e-06 away from float64", "how ms computes relu()"),
        ("gradient", WRONG, "unexplained", "gradient: b (ms) is 1e-06 away", "how ms differentiates relu()"),
        ("buffer mean", WRONG, "unexplained", "buffer mean: b (ms) is 1e-06 away", "how ms computes relu()"),
        ("output", NOTHING, "missing-op", "b (ms) returned nothing for it", "add relu() to what ms computes"),
        ("gradient of weight", NOTHING, "grad-missing", "gradient of weight: b (ms) has none", "a stop_gradient or a"),
    ],
)
def test_a_wrong_quantity_is_named(quantity: str, side: SideResult, cause: str, evidence: str, fix: str) -> None:
    (finding,) = findings_of({}, [row("x", "output", RIGHT), row("x", quantity, side)], ("pt", "ms"))
    assert (finding.layer, finding.cause, finding.source) == ("x", cause, SOURCE)
    assert finding.evidence.startswith(evidence)
    assert finding.evidence.endswith("a (pt) is right, at 0.5 of what rounding allows")
    assert fix in finding.fix


def test_findings_are_in_the_order_of_layers() -> None:
    rows = [row("x", "gradient", WRONG), row("y", "output", WRONG), row("x", "output", WRONG)]
    assert [finding.layer for finding in findings_of({}, rows[:2], ("pt", "ms"))] == ["x", "y"]
    assert [finding.layer for finding in findings_of({}, rows, ("pt", "ms"))] == ["x", "x", "y"]
