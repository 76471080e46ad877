"""Parameter counts and key lists of the published checkpoints, and the keys and shapes of torchvision's own classes."""

from __future__ import annotations

from typing import Any

import pytest

from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.naming import module_paths
from twinzoo.zoo.spec.show import parameter_count

JUNYANZ = "junyanz/pytorch-CycleGAN-and-pix2pix"
CUT = "taesungp/contrastive-unpaired-translation"
AOD = "MayankSingal/PyTorch-Image-Dehazing"
FEATURES = {"taps": ("pool5",)}
RESNET9 = {"norm": "instance"}

COUNTS: list[tuple[str, dict[str, Any], str, int, int]] = [
    ("vgg16", {}, "torchvision", 138_357_544, 32),
    ("vgg16", FEATURES, "torchvision", 14_714_688, 26),
    ("vgg16_bn", {}, "torchvision", 138_365_992, 97),
    ("vgg16_bn", FEATURES, "torchvision", 14_723_136, 91),
    ("vgg19", {}, "torchvision", 143_667_240, 38),
    ("vgg19", FEATURES, "torchvision", 20_024_384, 32),
    ("unet", {}, JUNYANZ, 54_413_955, 82),
    ("unet", {"in_channels": 1, "out_channels": 2}, JUNYANZ, 54_409_858, 82),
    ("unet", {"in_channels": 4, "out_channels": 2}, JUNYANZ, 54_412_930, 82),
    ("unet", {"norm": "instance"}, JUNYANZ, 54_409_603, 32),
    ("unet", {"depth": 7}, JUNYANZ, 41_828_995, 70),
    ("patchgan", {"norm": "instance"}, JUNYANZ, 2_764_737, 10),
    ("patchgan", {"in_channels": 6}, JUNYANZ, 2_768_705, 22),
    ("patchgan", {}, JUNYANZ, 2_765_633, 22),
    ("patchgan", {"norm": "instance", "antialias": True}, CUT, 2_764_737, 13),
    ("pixelgan", {"norm": "instance"}, JUNYANZ, 8_705, 6),
    ("resnet_generator", RESNET9, JUNYANZ, 11_378_179, 48),
    ("resnet_generator", {"dropout": 0.5}, JUNYANZ, 11_378_179, 48),
    ("resnet_generator", {"blocks": 6}, JUNYANZ, 7_837_699, 36),
    ("resnet_generator", {"norm": "batch"}, JUNYANZ, 11_383_427, 140),
    ("resnet_generator", {"antialias": True}, CUT, 11_378_179, 52),
    ("aodnet", {}, AOD, 1_761, 10),
]


@pytest.mark.parametrize(("name", "options", "naming", "parameters", "keys"), COUNTS)
def test_counts(name: str, options: dict[str, Any], naming: str, parameters: int, keys: int) -> None:
    spec = registry.spec(name, **options)
    assert parameter_count(spec) == parameters
    assert len(file_keys(spec, naming)) == keys


def test_u_net_256_ends_in_one_pixel_and_comes_back() -> None:
    spec = registry.spec("unet")
    shapes = {name: spec.concrete(node.outputs[0]) for name, node in spec.nodes.items()}
    assert shapes["down1_conv"] == (1, 64, 128, 128)
    assert shapes["down8_conv"] == (1, 512, 1, 1)
    assert shapes["tanh"] == (1, 3, 256, 256)


NORM_ROLES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def unet_keys(depth: int, norm: str) -> list[str]:
    """The recursion of MODELS.md 1.7, from the innermost block outwards."""
    conv = ("weight", "bias") if norm == "instance" else ("weight",)
    normed = NORM_ROLES if norm == "batch" else ()

    def at(path: str, roles: tuple[str, ...]) -> list[str]:
        return [f"{path}.{role}" for role in roles]

    path = "model.model.1" + ".model.3" * (depth - 2)
    keys = [*at(f"{path}.model.1", conv), *at(f"{path}.model.3", conv), *at(f"{path}.model.4", normed)]
    for _ in range(depth - 2):
        path = path.removesuffix(".model.3")
        before = [*at(f"{path}.model.1", conv), *at(f"{path}.model.2", normed)]
        keys = [*before, *keys, *at(f"{path}.model.5", conv), *at(f"{path}.model.6", normed)]
    return [*at("model.model.0", conv), *keys, "model.model.3.weight", "model.model.3.bias"]


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("depth", [2, 5, 7, 8])
def test_unet_keys(depth: int, norm: str) -> None:
    assert list(file_keys(registry.spec("unet", depth=depth, norm=norm, width=4), JUNYANZ)) == unet_keys(depth, norm)


def test_unet_example_of_the_reference() -> None:
    spec = registry.spec("unet")
    assert published_keys(spec, JUNYANZ)["down2_conv.weight"] == "model.model.1.model.1.weight"
    assert file_keys(spec, JUNYANZ)["model.model.1.model.1.weight"] == (128, 64, 4, 4)
    assert module_paths(spec, JUNYANZ)["down8_conv"] == "model.model.1" + ".model.3" * 6 + ".model.1"


def _keys(convs: str, norms: str = "", filters: str = "") -> set[str]:
    keys = {f"{path}.{role}" for path in convs.split() for role in ("weight", "bias")}
    keys |= {f"{path}.{role}" for path in norms.split() for role in NORM_ROLES}
    return keys | {f"{path}.filt" for path in filters.split()}


def _resnet_keys(blocks: range, inner: tuple[int, int], outer: str, filters: str = "") -> set[str]:
    convs = [f"model.{block}.conv_block.{i}" for block in blocks for i in inner]
    return _keys(" ".join(convs) + " " + outer, filters=filters)


LISTED: list[tuple[str, dict[str, Any], str, set[str]]] = [
    ("patchgan", {"norm": "instance"}, JUNYANZ, _keys("model.0 model.2 model.5 model.8 model.11")),
    (
        "patchgan",
        {"in_channels": 6},
        JUNYANZ,
        _keys("model.0 model.11", norms="model.3 model.6 model.9")
        | {"model.2.weight", "model.5.weight", "model.8.weight"},
    ),
    (
        "patchgan",
        {"norm": "instance", "antialias": True},
        CUT,
        _keys("model.0 model.3 model.7 model.11 model.14", filters="model.2 model.6 model.10"),
    ),
    ("pixelgan", {"norm": "instance"}, JUNYANZ, _keys("net.0 net.2 net.5")),
    ("pixelgan", {}, JUNYANZ, _keys("net.0", norms="net.3") | {"net.2.weight", "net.5.weight"}),
    (
        "resnet_generator",
        RESNET9,
        JUNYANZ,
        _resnet_keys(range(10, 19), (1, 5), "model.1 model.4 model.7 model.19 model.22 model.26"),
    ),
    (
        "resnet_generator",
        {"dropout": 0.5},
        JUNYANZ,
        _resnet_keys(range(10, 19), (1, 6), "model.1 model.4 model.7 model.19 model.22 model.26"),
    ),
    (
        "resnet_generator",
        {"padding": "zero"},
        JUNYANZ,
        _resnet_keys(range(10, 19), (0, 3), "model.1 model.4 model.7 model.19 model.22 model.26"),
    ),
    (
        "resnet_generator",
        {"padding": "zero", "dropout": 0.5},
        JUNYANZ,
        _resnet_keys(range(10, 19), (0, 4), "model.1 model.4 model.7 model.19 model.22 model.26"),
    ),
    (
        "resnet_generator",
        {"blocks": 6},
        JUNYANZ,
        _resnet_keys(range(10, 16), (1, 5), "model.1 model.4 model.7 model.16 model.19 model.23"),
    ),
    (
        "resnet_generator",
        {"antialias": True},
        CUT,
        _resnet_keys(
            range(12, 21),
            (1, 5),
            "model.1 model.4 model.8 model.22 model.26 model.30",
            filters="model.7 model.11 model.21 model.25",
        ),
    ),
    ("aodnet", {}, AOD, _keys("e_conv1 e_conv2 e_conv3 e_conv4 e_conv5")),
]


@pytest.mark.parametrize(("name", "options", "naming", "keys"), LISTED)
def test_listed_keys(name: str, options: dict[str, Any], naming: str, keys: set[str]) -> None:
    assert set(file_keys(registry.spec(name, **options), naming)) == keys


def test_antialiased_filters_have_their_published_shapes() -> None:
    shapes = file_keys(registry.spec("resnet_generator", antialias=True), CUT)
    filters = {key: shape for key, shape in shapes.items() if key.endswith("filt")}
    assert filters == {
        "model.7.filt": (128, 1, 3, 3),
        "model.11.filt": (256, 1, 3, 3),
        "model.21.filt": (256, 1, 4, 4),
        "model.25.filt": (128, 1, 4, 4),
    }


@pytest.mark.parametrize("name", ["vgg16", "vgg16_bn", "vgg19", "vgg19_bn"])
def test_torchvision_classes_have_these_keys_and_shapes_in_this_order(name: str) -> None:
    torch = pytest.importorskip("torch")
    vgg = pytest.importorskip("torchvision.models.vgg")
    with torch.device("meta"):
        network = getattr(vgg, name)()
    theirs = [(key, tuple(tensor.shape)) for key, tensor in network.state_dict().items()]
    assert list(file_keys(registry.spec(name), "torchvision").items()) == theirs


TAPS = {
    "vgg16": {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29},
    "vgg16_bn": {"relu1_2": 5, "relu2_2": 12, "relu3_3": 22, "relu4_3": 32, "relu5_3": 42, "conv4_2": 27},
    "vgg19": {"relu1_2": 3, "relu2_2": 8, "relu3_4": 17, "relu4_1": 20, "relu4_2": 22, "relu4_4": 26, "relu5_4": 35},
}


@pytest.mark.parametrize("name", TAPS)
def test_taps_are_the_features_of_torchvision(name: str) -> None:
    spec = registry.spec(name, taps=tuple(TAPS[name]))
    paths = module_paths(spec, "torchvision")
    assert {tap: paths[tap] for tap in spec.outputs} == {tap: f"features.{i}" for tap, i in TAPS[name].items()}


def test_a_truncated_network_keeps_its_keys() -> None:
    whole = published_keys(registry.spec("vgg16_bn"), "torchvision")
    part = published_keys(registry.spec("vgg16_bn", taps=("relu2_2", "relu1_1")), "torchvision")
    assert part.items() < whole.items()
    assert list(part)[-1] == "norm2_2.running_var"


def test_taps_come_out_in_the_order_asked_and_nothing_is_drawn_behind_the_last() -> None:
    spec = registry.spec("vgg16", taps=("relu3_1", "relu1_2"))
    assert list(spec.outputs) == ["relu3_1", "relu1_2"]
    assert list(spec.nodes)[-1] == "relu3_1"


def test_every_parameter_has_one_key() -> None:
    for name, options, naming, *_ in COUNTS:
        spec = registry.spec(name, **options)
        keys = published_keys(spec, naming)
        assert set(keys) == set(spec.params)
        assert len(set(keys.values())) == len(keys)


def test_a_batch_norm_has_a_counter() -> None:
    spec = registry.spec("unet", width=4)
    extra = file_keys(spec, JUNYANZ).keys() - set(published_keys(spec, JUNYANZ).values())
    assert "model.model.1.model.2.num_batches_tracked" in extra
    assert len(extra) == 13


def test_an_unknown_naming_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        module_paths(registry.spec("vgg16", width=4, hidden=8), "timm")
    assert str(caught.value) == "vgg16: naming 'timm': must be one of torchvision"
    with pytest.raises(SpecError, match="^l1: naming 'timm': must be one of none$"):
        module_paths(registry.spec("l1"), "timm")


def test_a_naming_that_leaves_out_a_layer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry.entry("aodnet")
    broken = registry.Entry("aodnet", "model", found.draw, found.paper, found.init, {"half": lambda: {"conv1": "c1"}})
    monkeypatch.setitem(registry.MODELS, "aodnet", broken)
    with pytest.raises(SpecError, match=r"^aodnet: naming 'half': has no name for conv2 \(conv2d\)$"):
        module_paths(registry.spec("aodnet"), "half")
