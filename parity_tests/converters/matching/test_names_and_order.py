"""Matching: known namings, what only one place fits, order where numbering vouches for it, and refusals elsewhere."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from twinzoo.converters.layers import Shape, layers_of, numbered_upwards, unwrapped
from twinzoo.converters.matching.find import Finder
from twinzoo.converters.matching.tensors import Match
from twinzoo.converters.sides import Side, spec_side
from twinzoo.converters.targets import file_keys, published
from twinzoo.zoo import registry
from twinzoo.zoo.spec.vocabulary import native_extras, native_names

MODELS = [
    ("vgg16", {}),
    ("vgg16_bn", {}),
    ("vgg19", {}),
    ("unet", {}),
    ("unet", {"depth": 7, "norm": "instance"}),
    ("patchgan", {"in_channels": 6}),
    ("pixelgan", {}),
    ("resnet_generator", {}),
    ("resnet_generator", {"blocks": 6, "padding": "zero"}),
    ("resnet_generator", {"norm": "batch", "dropout": 0.5}),
    ("resnet_generator", {"antialias": True}),
    ("aodnet", {}),
]


def published_shapes(name: str, options: dict[str, object]) -> tuple[dict[str, Shape], dict[str, str]]:
    """The keys of a published file and their shapes, and where each belongs."""
    spec = registry.spec(name, **options)
    shapes: dict[str, Shape] = {name: param.shape for name, param in spec.params.items()}
    shapes |= {name: value.shape for name, value in native_extras(spec, "torch").items()}
    keys = file_keys(spec, "torch", next(iter(published(spec))))
    return {key: shapes[name] for name, key in keys.items()}, {key: name for name, key in keys.items()}


def keys(shapes: Mapping[str, Shape]) -> Side:
    """A side of which only keys and shapes are known."""
    layers = layers_of(shapes)
    names = {"target": {name: name for name in layers}}
    return Side("keys", layers, dict.fromkeys(shapes, np.dtype(np.float32)), namings=names)


def found_in(shapes: Mapping[str, Shape], target: Side, allow: tuple[str, ...] = ()) -> Match:
    return Finder(keys(shapes), target, allow).find()


@pytest.mark.parametrize(("name", "options"), MODELS)
@pytest.mark.parametrize("wrapper", ["", "module.", "module.model."])
def test_published_names_find_their_places(name: str, options: dict[str, object], wrapper: str) -> None:
    shapes, places = published_shapes(name, options)
    found = found_in({wrapper + key: shape for key, shape in shapes.items()}, spec_side(registry.spec(name, **options)))
    assert found.complete()
    assert {p.source.removeprefix(wrapper): p.target for p in found.pairs} == {
        key: place for key, place in places.items() if not key.endswith("num_batches_tracked")
    }
    assert {p.how for p in found.pairs} == {"name"}


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_mindspore_names_find_their_places(name: str, options: dict[str, object]) -> None:
    spec = registry.spec(name, **options)
    native = native_names(spec, "mindspore")
    found = found_in({native[n]: p.shape for n, p in spec.params.items()}, spec_side(spec))
    assert found.complete()
    assert {p.source: p.target for p in found.pairs} == {native[n]: n for n in spec.params}


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_numbered_strange_names_are_matched_by_order(name: str, options: dict[str, object]) -> None:
    """Other names in the order of execution, numbered: told apart by order, or by being the only one of their kind."""
    spec = registry.spec(name, **options)
    layers = {n: f"stage{i // 3}.op{i}" for i, n in enumerate(dict.fromkeys(k.rpartition(".")[0] for k in spec.params))}
    shapes = {f"{layers[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}": p.shape for n, p in spec.params.items()}
    found = found_in(shapes, spec_side(spec))
    assert found.complete()
    assert [p.target for p in found.pairs if p.source.startswith("stage0.op0.")] == [
        n for n in spec.params if n.startswith(next(iter(layers)) + ".")
    ]
    assert {p.source: p.target for p in found.pairs} == dict(zip(shapes, spec.params, strict=True))
    assert {p.how for p in found.pairs} <= {"order", "graph"}


def test_layers_that_only_a_random_name_tells_apart_are_refused() -> None:
    spec = registry.spec("vgg16")
    rng = np.random.default_rng(0)
    layers = dict.fromkeys(k.rpartition(".")[0] for k in spec.params)
    names = {layer: "".join(rng.choice(list("abcdefgh"), 8)) for layer in layers}
    shapes = {f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}": p.shape for n, p in spec.params.items()}
    found = found_in(shapes, spec_side(spec))
    assert {tie.targets for tie in found.ambiguous} == {
        ("conv3_2", "conv3_3"),
        ("conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3"),
    }
    assert not found.complete()


def test_a_pair_defined_in_the_wrong_order_is_refused() -> None:
    """Two equal convolutions, the second defined first: a zip by shape would swap them and call it success."""
    target = keys({"conv1.weight": (4, 4, 3, 3), "conv2.weight": (4, 4, 3, 3)})
    found = found_in({"b2.weight": (4, 4, 3, 3), "b1.weight": (4, 4, 3, 3)}, target)
    assert [tie.sources for tie in found.ambiguous] == [("b2", "b1")]
    assert found_in({"b1.weight": (4, 4, 3, 3), "b2.weight": (4, 4, 3, 3)}, target).complete()


def test_numbered_layers_that_come_in_another_order_as_a_whole_are_refused() -> None:
    """A U-Net whose ups are defined and numbered from the outermost in: the numbers rise in the wrong order."""
    spec = registry.spec("unet")
    layers = list(dict.fromkeys(k.rpartition(".")[0] for k in spec.params))
    downs, ups = ([n for n in layers if n.startswith(way)] for way in ("down", "up"))
    outermost_first = downs + sorted(ups, key=lambda n: (n[2], n.endswith("norm")))
    names = {layer: f"layers.{i}" for i, layer in enumerate(outermost_first)}
    ordered = sorted(spec.params, key=lambda k: outermost_first.index(k.rpartition(".")[0]))
    shapes = {f"{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": spec.params[k].shape for k in ordered}
    found = found_in(shapes, spec_side(spec))
    assert any("as a whole" in tie.reason for tie in found.ambiguous)
    assert not found.complete()


def test_a_target_whose_own_order_is_not_numbered_is_refused() -> None:
    target = keys({"up.weight": (4, 4, 3, 3), "down.weight": (4, 4, 3, 3)})
    found = found_in({"b1.weight": (4, 4, 3, 3), "b2.weight": (4, 4, 3, 3)}, target)
    assert "target" in found.ambiguous[0].reason


@pytest.mark.parametrize("lost", ["features.28.bias", "classifier.3.weight", "features.0.weight"])
def test_a_missing_tensor_is_named(lost: str) -> None:
    shapes, places = published_shapes("vgg16", {})
    del shapes[lost]
    found = found_in(shapes, spec_side(registry.spec("vgg16")))
    assert found.missing == [places[lost]]
    assert found.unused == []


def test_a_left_over_tensor_is_named() -> None:
    shapes, _ = published_shapes("aodnet", {})
    found = found_in(shapes | {"extra.weight": (3,)}, spec_side(registry.spec("aodnet")))
    assert found.unused == ["extra.weight"]


def test_a_tensor_of_the_wrong_shape_is_missing_and_unused() -> None:
    shapes, _ = published_shapes("aodnet", {})
    found = found_in(shapes | {"e_conv2.bias": (4,)}, spec_side(registry.spec("aodnet")))
    assert (found.missing, found.unused) == (["conv2.bias"], ["e_conv2.bias"])


def test_allowed_leftovers_do_not_hinder() -> None:
    shapes, _ = published_shapes("vgg16", {})
    target = spec_side(registry.spec("vgg16", taps=("relu3_3",)))
    found = found_in(shapes, target, ("classifier.*", "features.*"))
    assert found.open(("classifier.*", "features.*")) == ([], [])
    assert len(found.pairs) == 14
    assert found.open(("classifier.*",))[1] != []


def test_statistics_of_an_old_instance_norm_are_dropped_with_a_reason() -> None:
    spec = registry.spec("resnet_generator")
    shapes, places = published_shapes("resnet_generator", {})
    old = {f"model.2.{role}": (64,) for role in ("running_mean", "running_var")}
    found = found_in(shapes | old, spec_side(spec))
    assert found.complete()
    assert len(found.pairs) == len(places)
    assert set(found.dropped) == set(old)
    assert found_in(shapes | {"model.99.running_mean": (64,)}, spec_side(spec)).unused == ["model.99.running_mean"]


def test_two_namings_that_disagree_are_a_tie() -> None:
    target = keys({"a1.weight": (3,), "a2.weight": (3,)})
    swapped = replace(target, namings={**target.namings, "swapped": {"a1": "a2", "a2": "a1"}})
    found = found_in({"a1.weight": (3,), "a2.weight": (3,)}, swapped)
    assert "disagree" in found.ambiguous[0].reason


def test_conv1d_with_and_without_the_extra_axis() -> None:
    target = keys({"conv.weight": (8, 4, 5)})
    assert found_in({"conv.weight": (8, 4, 1, 5)}, target).pairs
    target = keys({"conv.weight": (8, 4, 1, 1)})
    assert found_in({"conv.weight": (8, 4, 1)}, target).pairs
    assert found_in({"conv.weight": (8, 4, 5, 1)}, keys({"conv.weight": (8, 4, 5)})).missing


@pytest.mark.parametrize(
    ("names", "upwards"),
    [
        (["a1", "a2", "a10"], True),
        (["a2", "a1"], False),
        (["a1", "a1"], False),
        (["a1.conv2", "a2.conv1"], True),
        (["down", "up"], False),
        (["a1b", "a1c"], False),
    ],
)
def test_numbering(names: list[str], upwards: bool) -> None:
    assert numbered_upwards(names) is upwards


def test_wrappers() -> None:
    assert unwrapped(["module.model.a", "module.model.b"]) == ["", "module.", "module.model."]
    assert unwrapped(["module.a", "b"]) == [""]
    assert unwrapped([]) == [""]


@pytest.mark.parametrize("words", [("filt", "weight"), ("moving_variance", "running_var"), ("gamma", "w", "weight")])
def test_no_tensor_is_lost_where_words_mean_the_same(words: tuple[str, ...]) -> None:
    keys = [f"n.{word}" for word in words]
    (layer,) = layers_of(dict.fromkeys(keys, (3,))).values()
    assert [tensor.key for tensor in layer.tensors.values()] == keys


def test_both_spellings_in_one_layer_stay_apart() -> None:
    layer = layers_of({"n.weight": (3,), "n.gamma": (3,)})["n"]
    assert set(layer.tensors) == {"weight", "gamma"}


def test_a_file_with_published_names_brings_its_network_along() -> None:
    """Its keys are torchvision's, so its flow of data is known, whatever the target calls its layers."""
    shapes, places = published_shapes("vgg16", {})
    target = replace(spec_side(registry.spec("vgg16")), namings={})
    shuffled = dict(reversed(shapes.items()))
    found = Finder(keys(shuffled), target).find()
    assert found.complete()
    assert {pair.source: pair.target for pair in found.pairs} == places
    assert {pair.how for pair in found.pairs} == {"graph"}
