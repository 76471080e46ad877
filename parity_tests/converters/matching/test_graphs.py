"""Graphs laid on each other: whatever the names and the order, the one place is found, or the layers are tied."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twinzoo.converters.graph import UNSEEN, Graph
from twinzoo.converters.matching.colours import refine
from twinzoo.converters.matching.graphs import match_graphs
from twinzoo.converters.matching.isomorphism import fits, overlay
from twinzoo.converters.matching.views import Detail, views
from twinzoo.converters.spec_graph import graph_of_spec
from twinzoo.zoo import registry
from twinzoo.zoo.spec import Spec

registry.load()


def shuffled(graph: Graph, seed: int = 0) -> tuple[Graph, dict[str, str]]:
    """The same network under random names and in another order of definition, and where each layer went."""
    rng = np.random.default_rng(seed)
    names = {name: f"x{number}" for name, number in zip(graph.layers, rng.permutation(len(graph.layers)), strict=True)}
    layers = {names[name]: replace(graph.layers[name], prefix=names[name]) for name in graph.layers}
    layers = {name: layers[name] for name in sorted(layers)}
    operations = tuple(replace(op, layer=names.get(op.layer, ""), name="") for op in graph.operations)
    return Graph("shuffled", layers, operations), names


def used(graph: Graph, names: dict[str, str]) -> dict[str, str]:
    """The names of layers that an operation uses: a graph says nothing of the others."""
    layers = {op.layer for op in graph.operations}
    return {layer: name for layer, name in names.items() if layer in layers}


def without_attributes(graph: Graph, kind: str) -> Graph:
    return replace(graph, operations=tuple(replace(o, attrs={}) if o.kind == kind else o for o in graph.operations))


@pytest.mark.parametrize("name", sorted(registry.MODELS))
def test_every_model_is_found_under_random_names(name: str) -> None:
    graph = graph_of_spec(registry.spec(name))
    other, names = shuffled(graph)
    found = match_graphs(graph, other)
    assert found.whole
    assert found.layers == used(graph, names)
    assert not found.tied
    assert not found.symmetric


@pytest.mark.parametrize("name", sorted(registry.MODELS))
def test_other_attributes_and_functions_do_not_hinder(name: str) -> None:
    """A norm with another eps, an activation that one side has not: still the same layers in the same places."""
    graph = graph_of_spec(registry.spec(name))
    other, names = shuffled(graph)
    strange = tuple(replace(op, kind="mindspore.Strange") if op.kind == "relu" else op for op in other.operations)
    for changed in (without_attributes(other, "batch_norm"), replace(other, operations=strange)):
        found = match_graphs(graph, changed)
        assert found.whole
        assert found.layers == used(graph, names)


def two_branches(
    first: str = "relu", second: str = "relu", join: str = "add", swapped: bool = False, tail: bool = False
) -> Graph:
    s = Spec("branches")
    x = s.input("image", channels=4)
    a = getattr(s, first)("a_act", s.conv2d("a", x, 4, kernel=3, padding=1))
    b = getattr(s, second)("b_act", s.conv2d("b", x, 4, kernel=3, padding=1))
    joined = getattr(s, join)("join", *((b, a) if swapped else (a, b)))
    s.output(y=s.conv2d("tail", joined, 2, kernel=1) if tail else joined)
    return graph_of_spec(s)


def test_a_true_symmetry_is_said_to_be_one() -> None:
    graph = two_branches()
    found = match_graphs(graph, shuffled(graph)[0])
    assert found.whole
    assert len(found.layers) == 2
    assert found.symmetric == [["a", "b"]]
    assert not found.tied


def test_branches_that_an_activation_tells_apart() -> None:
    graph = two_branches("relu", "tanh")
    other, names = shuffled(graph)
    found = match_graphs(graph, other)
    assert found.layers == names
    assert not found.symmetric


@pytest.mark.parametrize(("join", "apart"), [("sub", True), ("concat", True), ("add", False), ("mul", False)])
def test_the_order_of_operands_counts_where_it_means_something(join: str, apart: bool) -> None:
    graph = two_branches(join=join)
    found = match_graphs(graph, shuffled(graph)[0])
    assert bool(found.symmetric) is not apart


def test_operands_of_a_sum_may_come_in_any_order() -> None:
    found = match_graphs(two_branches("relu", "tanh"), two_branches("relu", "tanh", swapped=True))
    assert found.whole
    assert found.layers == {"a": "a", "b": "b"}


def test_a_difference_that_is_never_told_apart() -> None:
    """Operands the other way round in a difference: no detail is left out until they fit."""
    found = match_graphs(two_branches("relu", "tanh", "sub"), two_branches("relu", "tanh", "sub", swapped=True))
    assert not found.whole


def test_concats_in_another_order_are_told() -> None:
    found = match_graphs(
        two_branches("relu", "tanh", "concat", tail=True),
        two_branches("relu", "tanh", "concat", swapped=True, tail=True),
    )
    assert found.whole
    assert found.layers == {"a": "a", "b": "b", "tail": "tail"}
    assert list(found.concats.values()) == [(1, 0)]


def test_a_choice_is_a_tie_where_something_was_not_seen() -> None:
    graph = two_branches()
    hidden = replace(
        graph,
        operations=tuple(replace(op, kind=UNSEEN, operands=()) if op.kind == "relu" else op for op in graph.operations),
    )
    found = match_graphs(hidden, shuffled(hidden)[0])
    assert found.tied
    assert "a" not in found.layers


def test_a_choice_is_a_tie_where_only_a_detail_tells_the_source_apart() -> None:
    """The target writes both activations in words of its own: the source's two differ, so the choice matters."""
    source = two_branches("relu", "tanh")
    own = {"relu": "mindspore.A", "tanh": "mindspore.A"}
    other = shuffled(source)[0]
    target = replace(other, operations=tuple(replace(op, kind=own.get(op.kind, op.kind)) for op in other.operations))
    found = match_graphs(source, target)
    assert [sorted(names) for names, _ in found.tied] == [["a", "b"]]
    assert not found.layers.keys() & {"a", "b"}


def test_a_hand_given_layer_settles_a_tie() -> None:
    source = two_branches("relu", "tanh")
    own = {"relu": "mindspore.A", "tanh": "mindspore.A"}
    target = replace(source, operations=tuple(replace(op, kind=own.get(op.kind, op.kind)) for op in source.operations))
    for given, other in (({"a": "b"}, {"a": "b", "b": "a"}), ({"a": "a"}, {"a": "a", "b": "b"})):
        found = match_graphs(source, target, given)
        assert found.layers == other


def shared(times: int, own: bool) -> Graph:
    s = Spec("shared")
    x = s.input("image", channels=4)
    block = Spec("block")
    y = block.input("x", channels=4)
    block.output(y=block.tanh("act", block.conv2d("conv", y, 4, kernel=3, padding=1)))
    role = s.role("block", block)
    for number in range(times):
        own_role = s.role(f"block{number}", block) if own else role
        (x,) = s.call(f"run{number}", own_role, x)
    s.output(y=x)
    return graph_of_spec(s)


def test_a_layer_that_runs_three_times_is_one_layer() -> None:
    graph = shared(3, own=False)
    assert len([op for op in graph.operations if op.kind == "conv2d"]) == 3
    found = match_graphs(graph, shuffled(graph)[0])
    assert found.whole
    assert len(found.layers) == 1


def test_a_shared_layer_is_not_three_layers() -> None:
    found = match_graphs(shared(3, own=True), shared(3, own=False))
    assert not found.whole
    assert not found.layers


def test_a_trunk_without_its_head_is_matched_as_far_as_it_goes() -> None:
    whole = graph_of_spec(registry.spec("vgg16"))
    trunk, _ = shuffled(graph_of_spec(registry.spec("vgg16", taps=("relu5_3",))))
    found = match_graphs(whole, trunk)
    assert not found.whole
    assert len(found.layers) == 13
    assert not any(name.startswith("fc") for name in found.layers)


def test_a_wrong_overlay_is_not_believed() -> None:
    a, b = views(two_branches("relu", "tanh"), two_branches("relu", "tanh"), Detail.ALL)
    found = overlay(a, b, refine(a, b))
    assert found is not None
    assert fits(a, b, found)
    one, two = (vertex for vertex, layer in enumerate(a.layer) if layer)
    found.vertices[one], found.vertices[two] = found.vertices[two], found.vertices[one]
    assert not fits(a, b, found)


@pytest.mark.parametrize("seed", range(5))
def test_deep_symmetries_are_chosen_consistently(seed: int) -> None:
    """Many pairs of twin branches: each choice pulls its own branch along, and the whole still fits."""
    s = Spec("many")
    x = s.input("image", channels=4)
    for number in range(12):
        ends = []
        for branch in range(3):
            end = x
            for depth in range(2):
                end = s.conv2d(f"n{number}_{branch}_{depth}", end, 4, kernel=3, padding=1)
            ends.append(end)
        x = s.add(f"sum{number}", s.add(f"half{number}", ends[0], ends[1]), ends[2])
    s.output(y=x)
    graph = graph_of_spec(s)
    found = match_graphs(graph, shuffled(graph, seed)[0])
    assert found.whole
    assert len(found.layers) == 72
    assert not found.tied
