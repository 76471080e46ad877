"""Compiled steps: what they move is held against what the plain run of the same side moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Array, Side, convolution
from parity_tests.parity.graphs.passes import Plant, moved, norm
from twinzoo.converters.live import Whole
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.graphs.run import How, Run
from twinzoo.parity.graphs.whole import whole_notes
from twinzoo.parity.graphs.whole_buffers import whole_buffers
from twinzoo.parity.results import LayerResult

MEAN, VAR = "norm.running_mean", "norm.running_var"


def stepped(path: str = "norm", scale: float = 1.0, momentum: float = 0.1) -> Run:
    """A convolution and a norm that is called twice, in training mode."""
    side = Side()
    x = norm(side, convolution(side, side.input(IMAGE * np.float32(scale)), "conv", KERNEL, BIAS), path, momentum)
    places = [x, norm(side, side.op("relu", x), path, momentum)]
    side.output(places[1])
    side.state |= {"seen": np.array(7), "scale": np.array([0.1, 0.2], np.float32)}
    after = moved(side, places, momentum) | {"seen": np.array(8), "scale": np.array([0.15, 0.2], np.float32)}
    return replace(side.run(), how=How(train=True), after=after)


def compiled(run: Run, plant: Mapping[str, Plant] | None = None, without: str = "") -> Run:
    planted = plant or {}
    after = {key: planted[key](x) if key in planted else x for key, x in run.after.items() if key != without}
    return replace(run, whole=Whole(run.outputs, {}, {}, after))


def rows(a: Run, b: Run) -> list[LayerResult]:
    report = compare_runs(a, b, 0.0)
    assert report.ok is not bool(report.findings)
    return [row for row in report.layers if row.name.startswith("model: ") and row.quantity.startswith("buffer")]


def told(a: Run, b: Run) -> list[tuple[str, str]]:
    return [(finding.layer, finding.evidence) for finding in compare_runs(a, b, 0.0).findings]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_compiled_step_that_moves_the_same_passes(scale: float) -> None:
    run = stepped(scale=scale)
    names = [("model: norm", "buffer running_mean"), ("model: norm", "buffer running_var")]
    names += [("model: 0", "buffer seen"), ("model: 0", "buffer scale")]
    for sides in ((compiled(run), run), (run, compiled(run)), (compiled(run), compiled(run))):
        found = rows(*sides)
        compiled_sides = sum(side.whole is not None for side in sides)
        assert sorted((row.name, row.quantity) for row in found) == sorted(names * compiled_sides)
        assert all(
            row.ok and row.max_abs == 0 and (row.rounding > 0) is (row.quantity != "buffer seen") for row in found
        )
    assert rows(run, run) == []


FAULTS: list[Plant] = [lambda x: x + 1, lambda x: -x, lambda x: x * 0, lambda x: x[::-1] if x.ndim else x + 2]


@pytest.mark.parametrize("key", [MEAN, VAR, "seen", "scale"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_compiled_step_that_moves_something_else(key: str, fault: Plant) -> None:
    run, wrong = stepped(), compiled(stepped(), {key: fault})
    role = key.rpartition(".")[2]
    for label, sides in (("a", (wrong, run)), ("b", (run, wrong))):
        ((name, evidence),) = told(*sides)
        assert name == ("model: norm" if key in (MEAN, VAR) else "model: 0")
        assert evidence.startswith(f"compiled, side {label} has another buffer {role} than its own Python code: up to")
        (row,) = (row for row in rows(*sides) if not row.ok)
        assert (row.a.ok, row.b.ok) == (label == "b", label == "a")


@pytest.mark.parametrize("key", [MEAN, VAR, "seen", "scale"])
def test_a_tensor_that_only_one_of_the_runs_moves(key: str) -> None:
    run = stepped()
    assert len(told(run, compiled(run, without=key))) == 1
    plain = replace(compiled(run), after={k: x for k, x in run.after.items() if k != key})
    assert any("has another buffer" in evidence for _, evidence in told(plain, run))


@pytest.mark.parametrize("share", [1e-3, 1e-2])
@pytest.mark.parametrize("key", [MEAN, VAR])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_small_change_of_one_number_is_seen(share: float, key: str, scale: float) -> None:
    def off(x: Array) -> Array:
        made = x.copy()
        made[1] *= np.float32(1 + share)
        return made

    run = stepped(scale=scale)
    assert len(told(run, compiled(run, {key: off}))) == 1


@pytest.mark.parametrize(("share", "ok"), [(0.9, True), (1.1, False)])
@pytest.mark.parametrize("key", [MEAN, VAR, "scale"])
def test_the_bound(key: str, share: float, ok: bool) -> None:
    run = stepped()
    index = [MEAN, VAR, "seen", "scale"].index(key)
    shaken: dict[str, Array] = {}
    limit = whole_buffers(pair(run, compiled(run)), shaken)[0][index].rounding
    assert limit == pytest.approx(1e-4 * 0.2) if key == "scale" else 0 < limit < 1e-3

    def off(place: int) -> Plant:
        return lambda x: x.astype(np.float64) + share * limit * (np.arange(x.size) == place)

    passed = [
        not whole_buffers(pair(run, compiled(run, {key: off(place)})), shaken)[1]
        for place in range(run.after[key].size)
    ]
    assert any(passed) is ok


def test_what_values_are_moved_by_counts_twice() -> None:
    run = stepped()
    paired = pair(run, compiled(run))
    still = whole_buffers(paired, {})[0]
    (node, *_) = (node for node in paired.drawing.spec.nodes.values() if node.op == "batch_norm")
    x = run.values[1]
    shaken = whole_buffers(paired, {node.inputs[0].ref: x + np.float32(1)})[0]
    assert shaken[0].rounding - still[0].rounding == pytest.approx(2 * 0.1 * 0.9, rel=1e-3)
    assert shaken[1].rounding == pytest.approx(still[1].rounding, rel=0.2)
    further = whole_buffers(paired, {node.inputs[0].ref + ":1": x + np.float32(1)})[0]  # the second output of a top-k
    assert [row.rounding for row in further] == [row.rounding for row in still]


def test_a_tensor_that_no_operation_has_is_told_by_its_whole_key() -> None:
    run = stepped()
    run = replace(run, after={**run.after, "ema.scale": np.ones(2)}, state={**run.state, "ema.scale": np.zeros(2)})
    quantities = [row.quantity for row in rows(run, compiled(run)) if row.name == "model: 0"]
    assert quantities == ["buffer seen", "buffer scale", "buffer ema.scale"]


def test_each_side_moves_by_its_own_momentum() -> None:
    paired = pair(stepped(), compiled(stepped(momentum=0.5)))
    shaken = {"n1": stepped().values[1] + np.float32(1)}
    assert whole_buffers(paired, shaken)[0][0].rounding == pytest.approx(2 * 0.5 * 0.5, rel=1e-2)


def test_names_are_those_of_side_a_and_tensors_those_of_side_b() -> None:
    b = compiled(stepped("other"), {"other.running_mean": lambda x: -x})
    ((name, _),) = told(stepped(), b)
    assert name == "model: norm ~ other"


def lone(path: str = "norm", *, before: bool = False) -> Run:
    """A norm in training mode, perhaps behind an operation that the other side has not."""
    side = Side()
    x = side.input()
    place = norm(side, side.op("abs", x) if before else x, path)
    side.output(place)
    return replace(side.run(), how=How(train=True), after=moved(side, [place]))


def test_places_of_side_b_are_those_of_side_a() -> None:
    for a, b in ((lone(), lone(before=True)), (lone(before=True), lone())):
        found, _ = whole_buffers(pair(compiled(a), compiled(b)), {})
        place = f"model: n{[operation.kind for operation in a.graph.operations].index('batch_norm')}"
        assert [row.name for row in found] == [place] * 4


def test_a_compiled_norm_beside_a_side_without_one() -> None:
    side = Side()
    side.output(side.op("relu", side.input()))
    bare = replace(side.run(), how=How(train=True))
    for sides in ((compiled(lone()), bare), (bare, compiled(lone())), (lone(), compiled(bare))):
        found, findings = whole_buffers(pair(*sides), {})
        assert len(found) == 2 * any(side.whole is not None and side.after for side in sides) and not findings


def test_runs_that_draw_are_said_not_to_be_held() -> None:
    run = compiled(stepped(), {MEAN: lambda x: -x})
    operations = list(run.graph.operations)
    operations[3] = replace(operations[3], kind="dropout", attrs={"p": 0.0})
    drawn = replace(run, graph=replace(run.graph, operations=tuple(operations)))
    paired = pair(stepped(), drawn)
    assert whole_buffers(paired, {}) == ([], [])
    assert whole_notes(paired) == ["side b's compiled run is not held against its plain one: it draws random numbers"]
    assert whole_notes(pair(drawn, drawn))[0].startswith("side a's")
    assert whole_notes(pair(run, replace(drawn, whole=None))) == []


def test_eval_mode_has_none() -> None:
    run = replace(stepped(), how=How())
    assert rows(run, replace(compiled(run), how=How())) == []


def test_a_module_that_is_compiled() -> None:
    torch = pytest.importorskip("torch")
    import twinzoo as tz

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, faulty: bool) -> None:
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)
            self.faulty = faulty

        def forward(self, image: Any) -> Any:
            x = self.conv(image)
            if self.faulty and torch.compiler.is_compiling():
                self.norm.running_mean.mul_(1.001)
            return self.norm(x)

    for faulty in (False, True):
        torch.manual_seed(0)
        net = Net(faulty)
        net.norm.running_mean.fill_(1)
        compiled_net = torch.compile(net, backend="eager")
        report = tz.compare(net, compiled_net, IMAGE, train=True)
        assert report.ok is not faulty, str(report)
        found = [row.quantity for row in report.layers if row.name.startswith("model: ") and "buffer" in row.quantity]
        assert sorted(found) == [f"buffer {role}" for role in ("num_batches_tracked", "running_mean", "running_var")]
        assert [finding.layer for finding in report.findings] == (["model: norm ~ _orig_mod.norm"] if faulty else [])


@contextmanager
def graph_mode(mindspore: Any) -> Iterator[None]:
    before = mindspore.get_context("mode")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        yield
    finally:
        mindspore.set_context(mode=before)


@pytest.mark.parametrize("grad", [False, True])
def test_a_cell_in_graph_mode(grad: bool) -> None:
    mindspore = pytest.importorskip("mindspore")
    import twinzoo as tz

    nn = mindspore.nn
    net = nn.SequentialCell(nn.Conv2d(3, 4, 3, has_bias=True), nn.BatchNorm2d(4), nn.ReLU())
    with graph_mode(mindspore):
        report = tz.compare(net, net, IMAGE, train=True, grad=grad)
    assert report.ok, str(report)
    found = [row.quantity for row in report.layers if row.name.startswith("model: ") and "buffer" in row.quantity]
    assert found == ["buffer moving_mean", "buffer moving_variance"] * 2
