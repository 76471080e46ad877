"""A run written and read back is the run, part by part; a file that is damaged is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Array, Side, convolution
from parity_tests.parity.graphs.passes import compiled, pulled
from twinzoo.converters import files
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.converters.live import Idle
from twinzoo.converters.live.spool import Loaded, Spool
from twinzoo.parity.graphs.computed import Made
from twinzoo.parity.graphs.record import read_record, record, write_record
from twinzoo.parity.graphs.reference import reference_run
from twinzoo.parity.graphs.run import How, Run
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Spec

KEY = "twinzoo.record"


def full() -> Run:
    """A run that has something in every part, and more than ten operations."""
    side = Side("mindspore")
    x = convolution(side, side.input(), kernel=KERNEL[:3], bias=BIAS[:3])
    for _ in range(10):
        x = side.op("sigmoid", x)
    side.output(side.op("concat", x, convolution(side, x, "other", KERNEL[:2], BIAS[:2]), axis=1))
    side.operations[1] = replace(side.operations[1], source="mine.py:7")
    how = How(train=True, grad=True)
    run = compiled(pulled(side, how))
    layer = Layer("conv", {"weight.v": Tensor("conv.v", "weight.v", (4, 3, 3, 3))}, "conv2d")
    others = (Made("conv.u", "bias", layer, ("conv.v", "conv.g")), Made("conv.w", "weight", layer, ("conv.v",)))
    assert run.whole is not None
    return replace(
        run,
        after={"conv.bias": BIAS + 1, "conv.count": np.array(3)},
        frozen=frozenset({"conv.weight", "a.b"}),
        training={"": True, "conv": False},
        whole=replace(run.whole, state_after={"conv.count": np.array(4)}),
        products="hf32",
        idle=(Idle("drop", "dropout", 0.25, 3, "mine.py:9"),),
        made={1: others, 12: others[:1]},
    )


def same(a: Mapping[Any, Array], b: Mapping[Any, Array]) -> bool:
    """The same names in the same order, element types, shapes and bits."""
    assert list(a) == list(b) and len(a) == len(b)
    return all(a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and np.array_equal(a[n], b[n]) for n in a)


def test_every_part_comes_back(tmp_path: Path) -> None:
    run, path = full(), tmp_path / "run.safetensors"
    write_record(run, path)
    back = read_record(path)
    for name in ("info", "graph", "how", "frozen", "training", "products", "idle", "made"):
        assert getattr(back, name) == getattr(run, name), name
    assert [op.source for op in back.graph.operations] == [op.source for op in run.graph.operations]
    assert hash(tuple(back.graph.operations[1].attrs.values()))  # tuples, as they were
    assert run.whole is not None and back.whole is not None
    for made, wanted in (
        *((getattr(back, part), getattr(run, part)) for part in ("state", "outputs", "after", "inputs")),
        *((made, vars(run.whole)[name]) for name, made in vars(back.whole).items()),
        (back.gradients.parameters, run.gradients.parameters),
        (dict(sorted(back.values.items())), run.values),
        (dict(sorted(back.gradients.values.items())), dict(sorted(run.gradients.values.items()))),
    ):
        assert same({name: made[name] for name in wanted}, wanted) and set(made) == set(wanted)
    assert 0 in back.values and 99 not in back.values
    assert "conv.weight" in back.state and "weight" not in back.state and back.state.get("conv") is None
    assert len(back.values) == len(run.values) and len(back.state) == 4


def test_a_run_that_has_little_comes_back(tmp_path: Path) -> None:
    side = Side()
    side.output(side.op("relu", side.input()))
    write_record(side.run(), tmp_path / "run.safetensors")
    back = read_record(tmp_path / "run.safetensors")
    assert back.whole is None and back.how == How() and not back.made and not back.idle
    assert not any([back.after, back.state, back.gradients.values, back.gradients.parameters, back.training])
    assert same(back.outputs, side.outputs) and same(back.inputs, {"image": IMAGE})


def test_values_that_wait_on_disk_are_written(tmp_path: Path) -> None:
    run, spool = full(), Spool(0)
    waiting = replace(run, values=Loaded({place: spool.put(value) for place, value in run.values.items()}))
    write_record(waiting, tmp_path / "run.safetensors")
    back = read_record(tmp_path / "run.safetensors")
    assert same({place: back.values[place] for place in run.values}, run.values)


def hashes(run: Run, path: Path) -> dict[str, str]:
    write_record(run, path)
    found: dict[str, str] = json.loads(files.read(path).metadata[KEY])["sha256"]
    return found


def test_hashes_tell_inputs_and_weights_apart(tmp_path: Path) -> None:
    path, weight = tmp_path / "run.safetensors", np.arange(6, dtype=np.float32)
    side = Side()
    side.output(side.op("relu", side.input()))
    run = replace(side.run(), state={"w": weight})
    first = hashes(run, path)
    assert set(first) == {"inputs", "state"} and hashes(run, path) == first
    renamed = {"v": weight}
    for state in ({"w": weight + 1}, renamed, {"w": weight.reshape(2, 3)}, {"w": weight.view(np.int32)}, {}):
        found = hashes(replace(run, state=state), path)
        assert found["state"] != first["state"] and found["inputs"] == first["inputs"]
    turned = np.asfortranarray(weight.reshape(2, 3))
    assert hashes(replace(run, state={"w": turned}), path) == hashes(replace(run, state={"w": turned.copy("C")}), path)
    other = hashes(replace(run, values={**run.values, 0: IMAGE + 1}), path)
    assert other["inputs"] != first["inputs"] and other["state"] == first["state"]
    assert hashes(replace(run, state={"w": np.zeros((0, 3))}), path)["state"]


def later(plain: dict[str, Any]) -> None:
    """An operation that uses what it makes itself."""
    plain["graph"]["operations"][1][2] = [[1, 0]]


DAMAGE: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda plain: plain.update(schema=2), "schema must be 3"),
    (lambda plain: plain.pop("graph"), "KeyError: 'graph'"),
    (lambda plain: plain.update(how=[]), "TypeError"),
    (lambda plain: plain.update(training=3), "AttributeError"),
    (lambda plain: plain["graph"]["operations"].append([]), "not enough values"),
    (later, "an operation uses what comes after it"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_a_damaged_file_is_refused(damage: Callable[[dict[str, Any]], Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    write_record(full(), path)
    found = files.read(path)
    plain = json.loads(found.metadata[KEY])
    damage(plain)
    files.write(tmp_path / "other.safetensors", {n: found[n] for n in found}, {KEY: json.dumps(plain)})
    with pytest.raises(ParityError, match=f"other.safetensors: not a record: .*{words}.*: make it with") as caught:
        read_record(tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", [How(), How(grad=True), How(train=True), How(train=True, grad=True)])
def test_a_model_is_run_as_it_is_asked_for_and_written(how: How, tmp_path: Path) -> None:
    spec = Spec("one")
    spec.output(y=spec.batch_norm("norm", spec.input("x", shape=("N", 3, 8, 8))))
    model, path = PORT.build(spec), tmp_path / "run.safetensors"
    if how == How():
        record(model, IMAGE, path)
    else:
        record(model, IMAGE, path, grad=how.grad, train=how.train)
    back, run = read_record(path), reference_run(model, (IMAGE,), how)
    assert back.how == how and back.graph == run.graph and back.info == run.info
    assert same(back.outputs, run.outputs) and same(back.inputs, {"x": IMAGE})
    assert set(back.after) == set(run.after) and bool(back.after) is how.train
    assert set(back.gradients.parameters) == set(run.gradients.parameters)
    assert bool(back.gradients.parameters) is how.grad


def test_what_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    spec = Spec("one")
    spec.output(y=spec.neg("node", spec.input("x", shape=("N", 3, 8, 8))))
    with pytest.raises(ParityError, match=r"a.npz: a record is a .safetensors file"):
        record(PORT.build(spec), IMAGE, tmp_path / "a.npz")
    with pytest.raises(ParityError, match="got a Spec: must be an nn.Module"):
        record(spec, IMAGE, tmp_path / "a.safetensors")
    with pytest.raises(ParityError, match="cannot call a loss"):
        record(PORT.build(spec), IMAGE, tmp_path / "a.safetensors", loss=abs)
    assert not list(tmp_path.iterdir())
