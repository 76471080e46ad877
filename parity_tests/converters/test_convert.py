"""Conversion from end to end: files and live models, in and out, all of it or nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twinzoo as tz
from twinzoo.converters import files
from twinzoo.converters.targets import file_keys, published
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras, native_names

SMALL = [
    ("vgg16_bn", registry.entry("vgg16_bn").small),
    ("unet", registry.entry("unet").small),
    ("resnet_generator", registry.entry("resnet_generator").small),
    ("resnet_generator", {**registry.entry("resnet_generator").small, "norm": "batch"}),
    ("patchgan", registry.entry("patchgan").small),
    ("aodnet", {}),
]
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "checkpoints"


def published_state(name: str, options: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """A seeded state under the published keys of the model."""
    spec = registry.spec(name, **options)
    state = initial_state(spec, 3) | native_extras(spec, "torch")
    return {key: state[name] for name, key in file_keys(spec, "torch", next(iter(published(spec)))).items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Bit for bit, name by name, type by type."""
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a
    )


@pytest.mark.parametrize(("name", "options"), SMALL)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_published_to_mindspore_and_back_is_bit_exact(
    name: str, options: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    original = published_state(name, options)
    spec = tz.spec(name, **options)
    naming = next(iter(published(spec)))
    files.write(tmp_path / f"a{suffix}", original)
    tz.convert(tmp_path / f"a{suffix}", spec, tmp_path / "b.ckpt")
    assert list(files.read(tmp_path / "b.ckpt")) == list(native_names(spec, "mindspore").values())
    tz.convert(tmp_path / "b.ckpt", spec, tmp_path / f"c{suffix}", naming=naming)
    assert same(dict(files.read(tmp_path / f"c{suffix}")), original)


@pytest.mark.parametrize(("name", "options"), SMALL)
def test_the_files_load_into_the_frameworks_themselves(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    mindspore = pytest.importorskip("mindspore")
    spec = tz.spec(name, **options)
    state = initial_state(spec, 5)
    tz.convert(state, spec, tmp_path / "a.pth")
    tz.convert(state, spec, tmp_path / "a.ckpt")
    module, cell = tz.build(spec, "torch"), tz.build(spec, "mindspore")
    loaded = module.load_state_dict(torch.load(tmp_path / "a.pth", weights_only=True), strict=True)
    assert not loaded.missing_keys
    lost = mindspore.load_param_into_net(cell, mindspore.load_checkpoint(str(tmp_path / "a.ckpt")), strict_load=True)
    assert lost == ([], [])
    from twinzoo.ports.registry import port

    assert same(port("torch").state(module), state)
    assert same(port("mindspore").state(cell), state)


def test_a_live_twin_is_filled_from_published_names() -> None:
    pytest.importorskip("torch")
    options = dict(registry.entry("unet").small)
    module = tz.build("unet", "torch", seed=9, **options)
    result = tz.convert(published_state("unet", options), module)
    assert result.naming == "junyanz/pytorch-CycleGAN-and-pix2pix"
    from twinzoo.ports.registry import port

    assert same(port("torch").state(module), initial_state(tz.spec("unet", **options), 3))


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_a_live_model_written_by_hand_is_filled_and_read(framework: str) -> None:
    pytest.importorskip(framework)
    net = hand_written(framework)
    state = initial_state(tz.spec("aodnet"), 4)
    result = tz.convert(state, net)
    assert {p.how for p in result.pairs} == {"graph"}
    back = tz.convert(net, "aodnet")
    assert same(dict(back.state), state)


def hand_written(framework: str) -> Any:
    """Five convolutions of AOD-Net's shapes, under other names and in another order."""
    sizes = {"last": (12, 3), "first": (3, 1), "second": (3, 3), "fourth": (6, 7), "third": (6, 5)}
    if framework == "torch":
        from torch import nn

        return nn.ModuleDict({name: nn.Conv2d(c, 3, k) for name, (c, k) in sizes.items()})
    from mindspore import nn as cells

    class Net(cells.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            for name, (c, k) in sizes.items():
                setattr(self, name, cells.Conv2d(c, 3, k, has_bias=True))

    return Net()


def test_a_template_gives_the_keys(tmp_path: Path) -> None:
    state = initial_state(tz.spec("aodnet"), 1)
    files.write(tmp_path / "template.npz", published_state("aodnet", {}))
    result = tz.convert(state, tmp_path / "template.npz", tmp_path / "out.safetensors")
    assert list(files.read(tmp_path / "out.safetensors")) == list(published_state("aodnet", {}))
    assert {p.how for p in result.pairs} == {"graph"}


def test_without_a_target_the_keys_are_kept(tmp_path: Path) -> None:
    state = published_state("unet", dict(registry.entry("unet").small))
    result = tz.convert(state, None, tmp_path / "out.npz")
    assert same(dict(files.read(tmp_path / "out.npz")), state)
    assert result.dropped == {}


def test_nothing_is_written_or_filled_when_incomplete(tmp_path: Path) -> None:
    state = published_state("aodnet", {})
    lost = state.pop("e_conv3.bias")
    with pytest.raises(tz.IncompleteConversionError, match="1 missing") as caught:
        tz.convert(state, "aodnet", tmp_path / "out.ckpt")
    assert "conv3.bias" in caught.value.table
    assert list(tmp_path.iterdir()) == []
    state["e_conv3.bias"] = np.zeros((lost.size + 1,), np.float32)
    with pytest.raises(tz.IncompleteConversionError) as caught:
        tz.convert(state, "aodnet", tmp_path / "out.ckpt")
    assert "e_conv3.bias is (4,), the target needs (3,)" in caught.value.table


def test_a_tie_is_refused_with_a_table(tmp_path: Path) -> None:
    spec = tz.spec("resnet_generator", **registry.entry("resnet_generator").small)
    state = initial_state(spec)
    layers = dict.fromkeys(name.rpartition(".")[0] for name in state)
    names = {layer: chr(ord("a") + i) for i, layer in enumerate(layers)}
    renamed = {f"{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in state.items()}
    with pytest.raises(tz.IncompleteConversionError, match="ambiguous") as caught:
        tz.convert(renamed, spec, tmp_path / "out.pth")
    assert "alike in kind and shape" in caught.value.table
    assert list(tmp_path.iterdir()) == []


def test_allowed_leftovers_are_reported(tmp_path: Path) -> None:
    small = dict(registry.entry("vgg16").small)
    full = initial_state(tz.spec("vgg16", **{**small, "taps": ()}), 0)
    taps = tz.spec("vgg16", **{**small, "taps": ("relu2_2",)})
    with pytest.raises(tz.IncompleteConversionError):
        tz.convert(full, taps)
    result = tz.convert(full, taps, tmp_path / "out.ckpt", allow=("fc*", "conv[345]*"))
    assert set(result.unused) == set(full) - set(taps.params)
    assert set(files.read(tmp_path / "out.ckpt")) == set(taps.params)


def test_a_change_of_type_is_named_and_an_overflow_refused() -> None:
    state = published_state("aodnet", {})
    half = {key: value.astype(np.float16) for key, value in state.items()}
    result = tz.convert(half, "aodnet")
    assert result.changes == {p.target: "float16 -> float32" for p in result.pairs}
    assert result.state["conv1.weight"].dtype == np.float32
    wide = {key: value.astype(np.float64) for key, value in state.items()}
    wide["e_conv1.bias"][0] = 1e300
    with pytest.raises(tz.ConversionError, match="e_conv1.bias"):
        dict(tz.convert(wide, "aodnet").state)


def test_the_report_is_data(tmp_path: Path) -> None:
    result = tz.convert(published_state("aodnet", {}), "aodnet")
    for source, target, shape, how in result.pairs:
        assert (source, how) == (f"e_{target}", "name")
        assert result.state[target].shape == shape
    plain = json.loads(result.to_json())
    assert plain["pairs"][0] == {
        "source": "e_conv1.weight", "target": "conv1.weight", "shape": [3, 3, 1, 1], "how": "name"
    }  # fmt: skip
    assert "10 tensors matched, 10 by name" in str(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": 3}, "source: must be a path, a mapping of arrays or a model, got int"),
        ({"source": {}, "target": 3}, "target: must be a spec, a model's name, a model or a path, got int"),
        ({"source": {}, "target": "aodnet", "naming": "x"}, "only for a spec that is written"),
        ({"source": {}, "target": "aodnet", "allow": "x*"}, "must be a sequence of patterns"),
    ],
)
def test_wrong_use_is_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tz.ConversionError, match=message) as caught:
        tz.convert(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_the_published_dehazing_file(tmp_path: Path) -> None:
    result = tz.convert(DATA / "aodnet.pth", "aodnet", tmp_path / "aodnet.ckpt")
    assert result.naming == "MayankSingal/PyTorch-Image-Dehazing"
    assert result.changes == {}
    tz.convert(tmp_path / "aodnet.ckpt", "aodnet", tmp_path / "back.pth", naming=result.naming)
    assert same(dict(files.read(tmp_path / "back.pth")), dict(files.read(DATA / "aodnet.pth")))


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_the_published_conv1d_pair(tmp_path: Path) -> None:
    there = tz.convert(DATA / "conv1d_torch.pth", DATA / "conv1d_mindspore.ckpt", tmp_path / "x.ckpt")
    assert there.changes == {"conv1d.weight": "axis 2 added"}
    assert same(dict(files.read(tmp_path / "x.ckpt")), dict(files.read(DATA / "conv1d_mindspore.ckpt")))


def test_a_conv1d_of_a_spec_gets_the_axis_of_mindspore_and_loses_it_again(tmp_path: Path) -> None:
    spec = Spec("sound")
    spec.output(output=spec.conv1d("conv", spec.input("wave", shape=("N", 2, "L")), 4, kernel=3))
    state = initial_state(spec)
    tz.convert(state, spec, tmp_path / "a.ckpt")
    assert files.read(tmp_path / "a.ckpt")["conv.weight"].shape == (4, 2, 1, 3)
    back = tz.convert(tmp_path / "a.ckpt", spec)
    assert same(dict(back.state), state)
    assert back.changes == {"conv.weight": "axis 2 removed"}
