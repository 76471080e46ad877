"""What an inspection looks like: the tree, blocks that stand together, groups, tied tensors, widths, JSON."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twinzoo.converters import files
from twinzoo.converters.convert import convert
from twinzoo.converters.inspect import inspect, text_of
from twinzoo.converters.inspect.tables import fitted, shortened, size_text
from twinzoo.converters.layers import ROLE_OF
from twinzoo.zoo import registry
from twinzoo.zoo.errors import CheckpointError
from twinzoo.zoo.init import initial_state

Array = NDArray[Any]


def state_of(**shapes: tuple[int, ...]) -> dict[str, Array]:
    """Seeded tensors under keys in which `__` stands for a dot."""
    rng = np.random.default_rng(0)
    return {
        key.replace("__", "."): rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()
    }  # fmt: skip


def blocks(count: int, channels: int = 4) -> dict[str, Array]:
    """Numbered blocks of two convolutions, between a stem and a head."""
    shapes = {"stem__weight": (channels, 3, 3, 3)}
    for i in range(count):
        shapes |= {f"body__{i}__{name}__weight": (channels, channels, 3, 3) for name in ("conv1", "conv2")}
    return state_of(**shapes, head__weight=(3, channels, 3, 3))


def lines_of(path: Path, state: dict[str, Array], **options: Any) -> list[str]:
    """The text of an inspection, the columns that depend on values left out."""
    files.write(path, state)
    return text_of(inspect(path, stats=False), **options).splitlines()


def test_the_tree(tmp_path: Path) -> None:
    state = state_of(
        stem__conv__weight=(8, 3, 7, 7), stem__conv__bias=(8,), fc__weight=(5, 8), position=(1, 8), fc__scale=(5,)
    )
    shown = lines_of(tmp_path / "a.npz", state)
    assert shown[1:-1] == [
        "",
        "layer      kind                 parameters    bytes",
        "---------  -------------------  ----------  -------",
        "stem.conv  conv2d 3->8 k7 bias       1,184  4.74 kB",
        "fc         linear 8->5                  45    180 B",
        "  scale    tensor 5                      5     20 B",
        "position   tensor 1x8                    8     32 B",
        "",
        "layers: 1 conv2d, 1 linear, 2 tensor",
    ]
    assert shown[0] == f"{tmp_path / 'a.npz'}: npz, 5 tensors, 1,237 parameters, 4.95 kB, float32"


def test_numbered_blocks_that_are_alike_stand_together(tmp_path: Path) -> None:
    shown = lines_of(tmp_path / "a.npz", blocks(5))
    assert [line[:9].rstrip() for line in shown[4:-3]] == ["stem", "body", "  0 .. 4", "    conv1", "    conv2", "head"]
    assert shown[6].split()[3:] == ["5", "x", "(identical", "structure)", "1,440", "5.76", "kB"]
    assert shown[7].split()[-3:] == ["144", "576", "B"]
    assert len(lines_of(tmp_path / "a.npz", blocks(5), every=True)) == len(shown) + 4 * 3


def test_another_block_in_between_is_shown(tmp_path: Path) -> None:
    state = blocks(5)
    state["body.2.conv2.bias"] = np.ones(4, np.float32)
    names = [line.split("  conv2d")[0].strip() for line in lines_of(tmp_path / "a.npz", state)]
    assert [name.split("  ")[0] for name in names if name[:1].isdigit()] == ["0 .. 1", "2", "3 .. 4"]


def test_only_neighbours_of_one_name_stand_together(tmp_path: Path) -> None:
    state = state_of(**{f"{name}__{part}__weight": (4, 4, 3, 3) for name in ("down1", "up1", "up2") for part in "ab"})
    names = [line.split("  ")[0] for line in lines_of(tmp_path / "a.npz", state)[4:-3]]
    assert [name for name in names if name] == ["down1", "up1 .. up2"]


def test_parameters_are_what_is_trained(tmp_path: Path) -> None:
    state = state_of(n__weight=(4,), n__bias=(4,), n__running_mean=(4,), n__running_var=(4,))
    files.write(tmp_path / "a.npz", state | {"n.num_batches_tracked": np.array(3, np.int64)})
    (layer,) = inspect(tmp_path / "a.npz").layers
    assert (layer.parameters, layer.nbytes) == (8, 4 * 4 * 4 + 8)


def test_nesting_has_no_bottom(tmp_path: Path) -> None:
    state = {f"{'x.' * depth}weight": np.ones((2, 2), np.float32) for depth in range(1, 1200)}
    files.write(tmp_path / "a.safetensors", state)
    assert len(text_of(inspect(tmp_path / "a.safetensors", stats=False), width=80).splitlines()) > 1100


def test_statistics_of_a_line_are_of_all_its_blocks(tmp_path: Path) -> None:
    state = blocks(3)
    state["body.0.conv1.weight"][0, 0, 0, 0] = -77
    state["body.2.conv1.weight"][0, 0, 0, 0] = 99
    files.write(tmp_path / "a.npz", state)
    (line,) = (line for line in text_of(inspect(tmp_path / "a.npz")).splitlines() if "conv1" in line)
    whole = np.stack([state[f"body.{i}.conv1.weight"] for i in range(3)]).astype(np.float64)
    assert line.split()[-4:] == ["-77", "99", f"{whole.mean():.4g}", f"{whole.std():.4g}"]


def test_the_mark_of_one_block_is_on_the_line_of_all(tmp_path: Path) -> None:
    state = blocks(5)
    state["body.3.conv2.weight"][1] = 0
    files.write(tmp_path / "a.npz", state)
    found = inspect(tmp_path / "a.npz")
    (marked,) = (line for line in text_of(found).splitlines() if line.endswith("dead-channels"))
    assert marked.split()[0] == "conv2"
    (narrow,) = (line for line in text_of(found, width=100).splitlines() if "conv" in line and line.endswith("  !"))
    assert narrow.split()[0] == "conv2"


def test_evidence_is_cut_short_unless_all_is_asked_for(tmp_path: Path) -> None:
    state = blocks(9)
    for i in range(9):
        state[f"body.{i}.conv1.weight"][0, 0, :, :1][:i] = np.nan
        state[f"body.{i}.conv2.weight"][0, 0, 0, 0] = np.inf
    files.write(tmp_path / "a.npz", state)
    short, full = (text_of(inspect(tmp_path / "a.npz"), every=every).splitlines() for every in (False, True))
    assert "warning: not-finite in 17 places: everything that they reach becomes NaN or infinite" in short
    assert "  body.1.conv1.weight: 1 NaN of 144 values" in short
    assert "  and 13 more (--all)" in short
    assert sum("NaN of 144" in line for line in full) == 8
    assert sum("infinite of 144" in line for line in full) == 9
    assert not any("(--all)" in line for line in full)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
@pytest.mark.parametrize("keys", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, keys: bool, tmp_path: Path) -> None:
    spec = registry.spec("unet", **registry.entry("unet").small)
    naming = next(iter(registry.entry("unet").namings))
    convert(initial_state(spec), spec, tmp_path / "a.pth", naming=naming)
    text = text_of(inspect(tmp_path / "a.pth"), width=width, keys=keys)
    table = text.split("\n\n")[1].splitlines()
    assert max(map(len, table)) <= width
    assert len(table) > 20
    assert ("min" in table[0]) == (width >= (120 if keys else 100))
    assert keys or ("std" in table[0]) == (width >= 100)


def test_keys_are_listed_one_by_one(tmp_path: Path) -> None:
    state = blocks(3)
    shown = lines_of(tmp_path / "a.npz", state, keys=True)
    assert [line.split()[0] for line in shown[4:-3]] == list(state)
    assert shown[4].split()[1:3] == ["conv2d", "(4,"]


def test_a_file_with_several_networks_names_them(tmp_path: Path) -> None:
    state = initial_state(registry.spec("aodnet"))
    both = {f"{net}.{key}": value for net in ("netG", "netD") for key, value in state.items()}
    shown = lines_of(tmp_path / "a.npz", both)
    assert "networks: netG, netD (--select NAME looks at one of them)" in shown
    assert "fits: netG: aodnet (twinzoo naming), netD: aodnet (twinzoo naming)" in shown
    one = inspect(tmp_path / "a.npz", select="netG")
    assert (len(one.tensors), one.fits, one.groups) == (10, ["aodnet (twinzoo naming)"], [])
    with pytest.raises(CheckpointError, match="netF.*choose one of netG netD"):
        inspect(tmp_path / "a.npz", select="netF")


def test_tied_tensors_count_once_and_are_no_accident(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.randn(8, 4)
    torch.save(OrderedDict([("embed.weight", weight), ("head.weight", weight)]), tmp_path / "a.pth")
    found = inspect(tmp_path / "a.pth")
    assert sum(layer.parameters for layer in found.layers) == 32
    assert found.suspicions == []
    assert "tied: head.weight = embed.weight" in text_of(found)
    torch.save(OrderedDict([("embed.weight", weight), ("head.weight", weight.clone())]), tmp_path / "a.pth")
    assert [s.rule for s in inspect(tmp_path / "a.pth").suspicions] == ["identical"]


def test_the_state_of_an_optimizer_is_named_and_left_out(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pth")
    found = inspect(tmp_path / "a.pth")
    assert {tensor.role for tensor in found.tensors} == {"weight", "bias"}
    assert [(s.rule, s.seen) for s in found.suspicions if s.rule == "optimizer-state"] == [
        ("optimizer-state", "6 tensors of optimizer state (72 B)")
    ]


def test_json_has_everything_and_no_nan(tmp_path: Path) -> None:
    state = blocks(2) | {"empty": np.zeros((0, 2), np.float32), "bad.weight": np.full((2, 2), np.nan, np.float32)}
    files.write(tmp_path / "a.npz", state)
    data = json.loads(json.dumps(inspect(tmp_path / "a.npz").to_dict(), allow_nan=False))
    assert data["twinzoo_inspection"] == 2
    tensors = {t["key"]: t for layer in data["layers"] for t in layer["tensors"]}
    assert tensors.keys() == state.keys()
    assert tensors["bad.weight"]["nan"] == 4
    assert tensors["empty"]["minimum"] is None
    assert tensors["stem.weight"]["std"] == pytest.approx(state["stem.weight"].std(dtype=np.float64))
    assert data["suspicions"][0]["rule"] == "not-finite"
    assert data["layers"][0] | {"tensors": []} == {
        "name": "stem", "kind": "conv2d", "sizes": "3->4 k3", "parameters": 108, "bytes": 432, "tensors": []
    }  # fmt: skip


@pytest.mark.parametrize("key", ["a.\x1b[2Jb.weight", "a\nb.weight", ".", "..", "x." * 1500 + "weight", "weight", ""])
def test_strange_names_are_harmless(key: str, tmp_path: Path) -> None:
    files.write(tmp_path / "a.safetensors", {key: np.ones((2, 2), np.float32), "b.weight": np.ones(3, np.float32)})
    found = inspect(tmp_path / "a.safetensors")
    for options in ({}, {"keys": True}, {"width": 80}, {"every": True}):
        assert all(line.isprintable() for line in text_of(found, **options).splitlines())


WORDS = [
    "weight",
    "bias",
    "gamma",
    "w",
    "filt",
    "running_mean",
    "running_var",
    "moving_variance",
    "weight_g",
    "weight_v",
]
WORDS += [
    "weight_u",
    "weight_orig",
    "weight_ih_l0",
    "weight_hh_l0",
    "in_proj_weight",
    "num_batches_tracked",
    "table",
    "",
]


@given(
    made=st.dictionaries(
        st.tuples(st.sampled_from(["", "a.", "b.", "a.0.", "a.1."]), st.sampled_from(WORDS)).map("".join),
        st.tuples(
            st.lists(st.integers(0, 3), max_size=6), st.sampled_from([0.0, 1.0, -1.0, 1e-40, 1e9, np.nan, np.inf])
        ),
        min_size=1,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_mixture_of_names_and_shapes_is_too_strange(made: dict[str, Any], tmp_path: Path) -> None:
    roles = [(prefix, ROLE_OF.get(word, word)) for prefix, _, word in (key.rpartition(".") for key in made)]
    assume(len(set(roles)) == len(roles))  # two spellings of one role: not a file that anything writes
    arrays = {key: np.full(shape, value, np.float32) for key, (shape, value) in made.items()}
    files.write(tmp_path / "a.safetensors", arrays)
    found = inspect(tmp_path / "a.safetensors")
    assert {tensor.key for tensor in found.tensors} == made.keys()
    json.dumps(found.to_dict(), allow_nan=False)
    assert text_of(found, width=80) and text_of(found, keys=True)


@given(st.integers(0, 10**15))
def test_sizes_have_three_digits(count: int) -> None:
    number, unit = size_text(count).split()
    factor = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}[unit]
    assert len(number.replace(".", "")) <= 4
    assert float(number) * factor == pytest.approx(count, rel=6e-3)


@given(st.text(min_size=1), st.integers(1, 40))
def test_a_shortened_name_keeps_its_ends(text: str, width: int) -> None:
    short = shortened(text, width)
    assert short == text or (len(short) <= max(width, 5) and short[-1] == text[-1])
    assert len(text) > width or short == text


def test_columns_go_one_group_after_the_other() -> None:
    rows = [("name", "a", "b", "c"), ("x" * 30, "11111", "22222", "")]
    assert fitted(rows, ("a",), (("b",), ("a",)), None)[0].split() == ["name", "a", "b"]
    assert fitted(rows, ("a",), (("b",), ("a",)), 40)[0].split() == ["name", "a", "b"]
    assert fitted(rows, ("a",), (("b",), ("a",)), 25)[0].split() == ["name", "a"]
    assert fitted(rows, ("a",), (("b",), ("a",)), 18)[0].split() == ["name"]
    assert fitted(rows, ("a",), (), 36)[2].split()[0] == "x" * 9 + "..." + "x" * 10
