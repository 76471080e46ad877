"""Dropouts that dropped nothing: another share is found, one that a side has not is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import Side, convolution
from twinzoo.converters.live import Idle, live
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.record import read_record, write_record
from twinzoo.parity.graphs.run import Run
from twinzoo.parity.report import ParityReport

IMAGE = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)


def handed(*idle: Idle) -> Run:
    """A convolution, its activation and another convolution, and these dropouts."""
    side = Side()
    x = side.op("relu", convolution(side, side.input()), name="act")
    kernel = np.ones((2, 4, 3, 3), np.float32)
    side.output(convolution(side, x, "last", kernel, bias=None))
    return replace(side.run(), idle=idle)


def drop(p: float = 0.5, after: int = 2, kind: str = "dropout", name: str = "drop") -> Idle:
    return Idle(name, kind, p, after, f"{name}.py:1")


def report(a: Run, b: Run) -> ParityReport:
    return compare_runs(a, b, 0.0)


CLEAN = [
    ((), ()),
    ((drop(),), (drop(),)),
    ((drop(0.1),), (drop(0.1 * (1 + 5e-7)),)),
    ((drop(after=1),), (drop(after=2),)),
    ((drop(after=-1),), (drop(after=2),)),
    ((drop(0.1, 1), drop(0.2, 2)), (drop(0.2, 2), drop(0.1, 1))),
    ((drop(0.1), drop(0.2)), (drop(0.1), drop(0.2))),
    ((drop(kind="torch.dropout2d"),), (drop(kind="mindspore.dropout2d"),)),
    ((drop(0.0),), ()),
]


@pytest.mark.parametrize(("ours", "theirs"), CLEAN)
def test_dropouts_that_would_drop_alike(ours: tuple[Idle, ...], theirs: tuple[Idle, ...]) -> None:
    for sides in ((ours, theirs), (theirs, ours)):
        found = report(*(handed(*idle) for idle in sides))
        assert found.ok and not found.notes, str(found)


WRONG = [
    ((drop(),), (drop(0.3),)),
    ((drop(),), (drop(0.0),)),
    ((drop(0.1),), (drop(0.1001),)),
    ((drop(after=1),), (drop(0.3, after=2),)),
    ((drop(),), (drop(kind="dropout2d"),)),
    ((drop(0.1, 1), drop(0.2, 2)), (drop(0.2, 1), drop(0.2, 2))),
    ((drop(0.1), drop(0.2)), (drop(0.1), drop(0.1))),
]


@pytest.mark.parametrize(("ours", "theirs"), WRONG)
def test_dropouts_that_would_not(ours: tuple[Idle, ...], theirs: tuple[Idle, ...]) -> None:
    for sides in ((ours, theirs), (theirs, ours)):
        found = report(*(handed(*idle) for idle in sides))
        assert [finding.cause for finding in found.findings] == ["dropout"] and not found.ok


def test_what_is_said() -> None:
    ((finding,)) = report(handed(drop()), handed(drop(0.3, name="thin"))).findings
    assert finding.layer == "drop ~ thin" and finding.source == ("drop.py:1", "thin.py:1")
    assert (
        finding.evidence == "dropout with p 0.3 on side b, which eval mode does not show; side a has dropout with p 0.5"
    )
    assert finding.fix == "drop as side a does: torch.nn.Dropout(p=0.5)"


def test_one_that_a_side_has_not_is_told() -> None:
    """An equal number elsewhere is taken in order; of several places the one behind the same operation is right."""
    found = report(handed(drop()), handed())
    assert found.ok
    assert found.notes == ["only side a has dropout at drop (p 0.5), which eval mode does not show"]
    three = (drop(0.1, 0), drop(0.2, 1), drop(0.3, 2, name="thin"))
    found = report(handed(drop(0.2, 1)), handed(*three))
    assert found.ok
    assert found.notes == ["only side b has dropout at drop (p 0.1), thin (p 0.3), which eval mode does not show"]
    two = report(handed(drop(0.1, -1), drop(0.2, 1)), handed(*three))
    assert two.ok and len(two.notes) == 2


def test_records_have_them(tmp_path: Path) -> None:
    write_record(handed(drop(0.25), drop(after=-1)), tmp_path / "a.safetensors")
    assert read_record(tmp_path / "a.safetensors").idle == (drop(0.25), drop(after=-1))


def test_dropouts_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.act, self.drop, self.channels, self.none = (
                nn.ReLU(),
                nn.Dropout(0.2),
                nn.Dropout2d(0.3),
                nn.Dropout(0.0),
            )

        def forward(self, x: Any) -> Any:
            x = self.none(self.channels(self.act(self.drop(x))))
            return nn.functional.dropout(nn.functional.alpha_dropout(x, 0.1), 0.4, training=self.training) + 1

    model = Net().eval()
    idle = live(model).trace(model, (IMAGE,), values=True).idle
    assert [(one.name, one.kind, one.p, one.after) for one in idle] == [
        ("drop", "dropout", 0.2, 0),
        ("channels", "dropout2d", 0.3, 1),
        ("none", "dropout", 0.0, 1),
        ("alpha_dropout", "torch.alpha_dropout", 0.1, 1),
        ("dropout", "dropout", 0.4, 1),
    ]
    assert all("test_idle.py:" in one.source for one in idle)
    done = live(model).trace(model, (IMAGE,), values=True, train=True)
    assert [one.name for one in done.idle] == ["none", "alpha_dropout"]
    assert [operation.kind for operation in done.graph.operations][1:5] == ["dropout", "relu", "dropout2d", "dropout"]


def test_dropouts_of_mindspore() -> None:
    mindspore = pytest.importorskip("mindspore")
    nn, ops = mindspore.nn, mindspore.ops

    class Net(nn.Cell):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.act, self.drop, self.channels = nn.ReLU(), nn.Dropout(keep_prob=0.8), nn.Dropout2d(p=0.3)
            self.none = nn.Dropout(p=0.0)

        def construct(self, x: Any) -> Any:
            x = self.none(self.channels(self.act(self.drop(x))))
            return ops.dropout(x, 0.4, training=self.training) + 1

    model = Net()
    idle = live(model).trace(model, (IMAGE,), values=True).idle
    assert [(one.name, one.kind, one.p, one.after) for one in idle] == [
        ("drop", "dropout", 0.2, 0),
        ("channels", "dropout2d", 0.3, 1),
        ("none", "dropout", 0.0, 1),
        ("dropout", "dropout", 0.4, 1),
    ]
    assert all("test_idle.py:" in one.source for one in idle)
    done = live(model).trace(model, (IMAGE,), values=True, train=True)
    assert [one.name for one in done.idle] == ["none"]
    assert [operation.kind for operation in done.graph.operations][1:5] == ["dropout", "relu", "dropout2d", "dropout"]
