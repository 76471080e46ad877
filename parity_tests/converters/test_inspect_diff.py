"""Two checkpoints held against each other: the same in any naming and layout, and every planted difference is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.converters import files
from twinzoo.converters.convert import convert
from twinzoo.converters.inspect import Difference, diff, diff_text
from twinzoo.zoo import registry
from twinzoo.zoo.errors import CheckpointError
from twinzoo.zoo.init import initial_state

Array = NDArray[Any]
State = dict[str, Array]
COUNTER = "a counter that only PyTorch keeps"


def small_state() -> State:
    """Two convolutions of different shapes with a batch norm each."""
    rng = np.random.default_rng(0)
    shapes = {"c1.weight": (8, 3, 3, 3), "c1.bias": (8,), "c2.weight": (4, 8, 3, 3), "c2.bias": (4,)}
    shapes |= {f"n{i}.{role}": (8 // i,) for i in (1, 2) for role in ("weight", "bias", "running_mean", "running_var")}
    return {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}


def against(folder: Path, a: State, b: State, **options: Any) -> Difference:
    """The difference of two states, each through a file."""
    files.write(folder / "a.npz", a)
    files.write(folder / "b.npz", b)
    return diff(folder / "a.npz", folder / "b.npz", **options)


@pytest.mark.parametrize("name", ["vgg16_bn", "unet", "resnet_generator", "patchgan", "aodnet"])
def test_a_checkpoint_and_what_it_was_converted_to_are_the_same(name: str, tmp_path: Path) -> None:
    entry = registry.entry(name)
    spec = registry.spec(name, **entry.small)
    convert(initial_state(spec), spec, tmp_path / "a.pth", naming=next(iter(entry.namings)))
    convert(tmp_path / "a.pth", spec, tmp_path / "b.ckpt")
    norms = sum(node.op == "batch_norm" for node in spec.nodes.values())
    for a, b, excused in (("a.pth", "b.ckpt", "excused_a"), ("b.ckpt", "a.pth", "excused_b")):
        found = diff(tmp_path / a, tmp_path / b)
        assert found.same, diff_text(found)
        assert len(found.tensors) == len(spec.params)
        assert list(getattr(found, excused).values()) == [COUNTER] * norms
        assert diff_text(found).splitlines()[-1].startswith(f"same: {len(spec.params)} tensors, ")


@pytest.mark.parametrize("name", ["vgg16_bn", "unet"])
def test_one_changed_value_is_found_through_names_and_layouts(name: str, tmp_path: Path) -> None:
    entry = registry.entry(name)
    spec = registry.spec(name, **entry.small)
    convert(initial_state(spec), spec, tmp_path / "a.pth", naming=next(iter(entry.namings)))
    state = dict(convert(tmp_path / "a.pth", spec).state)
    key = [name for name in state if name.endswith(".weight")][3]
    state[key] = state[key].copy()
    state[key].flat[3] += 0.25
    convert(state, spec, tmp_path / "b.ckpt")
    found = diff(tmp_path / "a.pth", tmp_path / "b.ckpt")
    assert not found.same
    (different,) = (tensor for tensor in found.tensors if not tensor.same)
    assert different.deviation is not None
    assert different.deviation.differing == 1
    assert different.deviation.absolute == pytest.approx(0.25)
    assert different.b.rpartition(".")[0] == key.rpartition(".")[0]


def test_a_copy_is_the_same(tmp_path: Path) -> None:
    found = against(tmp_path, small_state(), small_state())
    assert found.same
    assert found.deviation.size == sum(value.size for value in small_state().values())
    assert [tensor.how for tensor in found.tensors] == ["name"] * 12
    lines = diff_text(found).splitlines()
    assert lines == [
        f"a  {tmp_path / 'a.npz'}: npz, 12 tensors, {lines[0].split(', ')[-1]}",
        f"b  {tmp_path / 'b.npz'}: npz, 12 tensors, {lines[1].split(', ')[-1]}",
        "paired: 12 by name",
        f"same: 12 tensors, {found.deviation.size:,} values, bit for bit",
    ]


def change(key: str, make: Callable[[Array], Array]) -> Callable[[State], None]:
    """Plants another tensor under a key."""

    def plant(state: State) -> None:
        state[key] = make(state[key].copy())

    return plant


def one_step(array: Array) -> Array:
    array.flat[3] = np.nextafter(array.flat[3], np.float32(np.inf))
    return array


def rename(state: State) -> None:
    state["c3.weight"] = state.pop("c2.weight")


def drop(state: State) -> None:
    del state["c2.bias"]


def nan(array: Array) -> Array:
    array.flat[0] = np.nan
    return array


PLANTED: dict[str, tuple[Callable[[State], None], str, str]] = {
    "value": (change("c2.weight", one_step), "values  1 of 288", "1 of 12 tensors, 1 of 564 values by up to"),
    "type": (change("c2.bias", lambda a: a.astype(np.float64)), "float32 -> float64", "differs: 1 of 12 tensors"),
    "shape": (change("c2.bias", lambda a: np.ones(5, np.float32)), "shape (4,) -> (5,)", "differs: 1 of 12 tensors"),
    "nan": (change("c2.weight", nan), "1 NaN or infinite", "1 of 12 tensors, 1 of 564 values"),
    "missing": (drop, "only in a (1): c2.bias", "differs: 1 only in a"),
    "renamed": (rename, "only in b (1): c3.weight", "differs: 1 only in a, 1 only in b"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_named(what: str, tmp_path: Path) -> None:
    plant, line, verdict = PLANTED[what]
    state = small_state()
    plant(state)
    found = against(tmp_path, small_state(), state)
    text = diff_text(found)
    assert not found.same
    assert line in text
    assert verdict in text.splitlines()[-1]
    for options in ({"width": 80}, {"width": 120}, {"every": True}):
        assert line in " ".join(diff_text(found, **options).split("\n")) or what == "value"


def test_the_distance_of_a_value_is_given_in_steps(tmp_path: Path) -> None:
    state = small_state()
    change("c2.weight", one_step)(state)
    (different,) = (t for t in against(tmp_path, small_state(), state).tensors if not t.same)
    assert different.deviation is not None
    assert (different.deviation.ulp, different.deviation.differing, different.deviation.size) == (1, 1, 288)


def test_mindspores_words_are_the_same_names(tmp_path: Path) -> None:
    words = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    state = {
        key if key[0] != "n" else f"{key.split('.')[0]}.{words[key.split('.')[1]]}": value
        for key, value in small_state().items()
    }
    found = against(tmp_path, small_state(), state)
    assert found.same
    assert {tensor.how for tensor in found.tensors} == {"name"}
    assert {tensor.b for tensor in found.tensors if tensor.a == ("n1.weight",)} == {"n1.gamma"}


@pytest.mark.parametrize("wrapped_first", [False, True])
def test_a_wrapper_on_either_side_is_seen_through(wrapped_first: bool, tmp_path: Path) -> None:
    """By name, not by order or content: nothing else tells these layers apart, and their values differ."""
    plain = {f"{name}.weight": np.full((4, 4, 3, 3), i, np.float32) for i, name in enumerate(("up", "down", "flat"))}
    wrapped = {f"module.{key}": value + 1 for key, value in plain.items()}
    found = against(tmp_path, *((wrapped, plain) if wrapped_first else (plain, wrapped)))
    assert [tensor.how for tensor in found.tensors] == ["name"] * 3
    assert [t.a[0].removeprefix("module.") for t in found.tensors] == [
        t.b.removeprefix("module.") for t in found.tensors
    ]
    assert all(tensor.deviation and tensor.deviation.absolute == 1 for tensor in found.tensors)


def test_published_models_are_paired_by_their_graph(tmp_path: Path) -> None:
    spec = registry.spec("resnet_generator")
    convert(initial_state(spec), spec, tmp_path / "a.pth", naming=next(iter(registry.entry(spec.name).namings)))
    convert(tmp_path / "a.pth", spec, tmp_path / "b.ckpt")
    found = diff(tmp_path / "a.pth", tmp_path / "b.ckpt", stats=False)
    assert {tensor.how for tensor in found.tensors} == {"graph"}
    assert found.same


def test_a_counter_is_excused_where_the_rest_of_its_layer_is_there(tmp_path: Path) -> None:
    counted = small_state() | {f"n{i}.num_batches_tracked": np.array(7, np.int64) for i in (1, 2)}
    found = against(tmp_path, counted, small_state())
    assert found.same
    assert dict(found.excused_a) == {f"n{i}.num_batches_tracked": COUNTER for i in (1, 2)}
    without = {key: value for key, value in small_state().items() if not key.startswith("n2.")}
    found = against(tmp_path, counted, without)
    assert "n2.num_batches_tracked" in found.only_a
    assert dict(found.excused_a) == {"n1.num_batches_tracked": COUNTER}


def test_what_may_only_be_left_out_at_one_value_is_looked_at(tmp_path: Path) -> None:
    """MindSpore writes a frozen gamma of ones for a norm without gains."""
    lone = {f"n.running_{word}": np.full(4, 2, np.float32) for word in ("mean", "var")}
    ones = {"n.gamma": np.ones(4, np.float32), "n.beta": np.zeros(4, np.float32)}
    frozen = ones | {"n.moving_mean": lone["n.running_mean"], "n.moving_variance": lone["n.running_var"]}
    assert against(tmp_path, frozen, lone).same
    found = against(tmp_path, frozen | {"n.gamma": np.full(4, 3, np.float32)}, lone)
    assert not found.same
    assert "n.gamma: the target has no place for it" in diff_text(found)


def renamed_pair(first: float, second: float) -> State:
    """Two convolutions that nothing but their values tells apart from each other, under other names."""
    return {
        "left.weight": np.full((4, 4, 3, 3), first, np.float32),
        "right.weight": np.full((4, 4, 3, 3), second, np.float32),
    }


def test_what_names_and_shapes_leave_open_is_paired_by_its_values(tmp_path: Path) -> None:
    a = {"up.weight": np.full((4, 4, 3, 3), 0, np.float32), "down.weight": np.full((4, 4, 3, 3), 1, np.float32)}
    swapped = against(tmp_path, a, renamed_pair(1, 0))
    assert swapped.same
    assert [(t.a, t.b, t.how) for t in swapped.tensors] == [
        (("down.weight",), "left.weight", "content"),
        (("up.weight",), "right.weight", "content"),
    ]
    one_off = against(tmp_path, a, renamed_pair(1, 0.5))
    assert [t.a for t in one_off.tensors if not t.same] == [("up.weight",)]
    assert against(tmp_path, {key: value * 0 for key, value in a.items()}, renamed_pair(0, 0)).same


def test_a_name_that_both_have_goes_before_the_values(tmp_path: Path) -> None:
    a = {"up.weight": np.full((4, 4, 3, 3), 0, np.float32), "down.weight": np.full((4, 4, 3, 3), 1, np.float32)}
    b = {"up.weight": a["down.weight"], "flat.weight": a["up.weight"]}
    for name, size in (("p", 2), ("q", 3)):
        a[f"{name}.weight"] = b[f"{name}{name}.weight"] = np.full((size, size), size, np.float32)
    assert [(t.a, t.b, t.how) for t in against(tmp_path, a, b | {"more.weight": np.ones((5, 5))}).tensors] == [
        (("up.weight",), "up.weight", "name"),
        (("down.weight",), "flat.weight", "content"),
        (("p.weight",), "pp.weight", "graph"),
        (("q.weight",), "qq.weight", "graph"),
    ]


def test_what_only_a_guess_could_pair_is_not_paired(tmp_path: Path) -> None:
    a = {"up.weight": np.full((4, 4, 3, 3), 0, np.float32), "down.weight": np.full((4, 4, 3, 3), 1, np.float32)}
    for options, other in (({}, renamed_pair(2, 3)), ({"stats": False}, renamed_pair(1, 0))):
        found = against(tmp_path, a, other, **options)
        assert not found.same
        assert found.tensors == []
        assert "alike, not compared: up, down ~ left, right" in diff_text(found)
        assert diff_text(found).endswith("differs: 2 layers that nothing tells apart")


def test_a_form_that_a_conversion_knows_is_named_and_the_same(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((8, 4, 3)).astype(np.float32)
    found = against(tmp_path, {"c.weight": weight}, {"c.weight": weight[:, :, None]})
    assert found.same
    assert "stored in another form, which a conversion knows: 1 x axis 2 added" in diff_text(found)
    other = weight[:, :, None].copy()
    other[1, 1, 0, 1] = 3
    assert not against(tmp_path, {"c.weight": weight}, {"c.weight": other}).same


def test_without_values_only_names_shapes_and_types_are_compared(tmp_path: Path) -> None:
    other = {key: value + 1 for key, value in small_state().items()}
    found = against(tmp_path, small_state(), other, stats=False)
    assert found.same
    assert diff_text(found).endswith("same: 12 tensors, names, shapes and types; values were not read")
    assert not against(tmp_path, small_state(), other).same
    other["c2.bias"] = other["c2.bias"].astype(np.float16)
    assert not against(tmp_path, small_state(), other, stats=False).same


def test_one_of_several_networks_is_compared_with_a_file_of_its_own(tmp_path: Path) -> None:
    several = {
        f"{net}.{key}": value + i for i, net in enumerate(("netG", "netD")) for key, value in small_state().items()
    }
    assert against(tmp_path, several, small_state(), select="netG").same
    assert against(tmp_path, small_state(), several, select="netG").same
    assert not against(tmp_path, several, small_state(), select="netD").same
    with pytest.raises(CheckpointError, match="netX"):
        against(tmp_path, several, small_state(), select="netX")


def test_long_lists_are_cut_unless_all_is_asked_for(tmp_path: Path) -> None:
    a = {f"layer{i}.weight": np.full((2, 2), i, np.float32) for i in range(30)}
    b = {key: value + 1 for key, value in a.items()}
    found = against(tmp_path, a, b)
    assert "and 10 more (--all)" in diff_text(found)
    assert diff_text(found, every=True).count("\nlayer") == 30


def test_json_tells_both_sides(tmp_path: Path) -> None:
    state = small_state()
    change("c2.weight", nan)(state)
    data = json.loads(json.dumps(against(tmp_path, small_state(), state).to_dict(), allow_nan=False))
    assert (data["twinzoo_inspection"], data["same"], data["paired"]) == (2, False, {"name": 12})
    (different,) = (tensor for tensor in data["tensors"] if not tensor["same"])
    assert (different["a"], different["deviation"]["undefined"]) == (["c2.weight"], 1)
