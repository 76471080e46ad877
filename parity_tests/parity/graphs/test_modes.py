"""The modes of two models: a note where the whole differs, a finding where one layer does, unlike the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parity_tests.parity.graphs.made import Side
from parity_tests.parity.graphs.passes import norm
from twinzoo.parity.graphs.modes import flag_findings, mode_notes
from twinzoo.parity.graphs.pairs import Paired, pair
from twinzoo.parity.graphs.run import How

Flags = dict[str, bool]


def network(*kinds: str) -> Side:
    """Layers called `l1`, `l2` ... by their positions."""
    side = Side()
    x = side.input()
    for i, kind in enumerate(kinds, 1):
        x = norm(side, x, f"l{i}") if kind == "batch_norm" else side.op(kind, x, name=f"l{i}")
    side.output(x)
    return side


def handed(
    ours: Flags, theirs: Flags, *kinds: str, train: bool = False, products: tuple[str, str] = ("", "")
) -> Paired:
    a, b = (
        replace(network(*kinds).run(), training=flags, how=How(train=train), products=rounded)
        for flags, rounded in zip((ours, theirs), products, strict=True)
    )
    return pair(a, b)


ON, OFF, MIXED = {"": True, "l1": True}, {"": False, "l1": False}, {"": True, "l1": False}


@pytest.mark.parametrize("train", [True, False])
def test_models_in_different_modes_are_told(train: bool) -> None:
    ran = f"both ran in {'training' if train else 'eval'} mode"
    cases: list[tuple[Flags, Flags, str, str]] = [
        (ON, OFF, "training", "eval"),
        (OFF, ON, "eval", "training"),
        ({}, ON, "eval", "training"),
    ]
    for ours, theirs, first, second in cases:
        (note,) = mode_notes(handed(ours, theirs, "relu", train=train))
        assert note == f"side a was handed over in {first} mode, side b in {second} mode; {ran}"


@pytest.mark.parametrize(
    "flags", [(ON, ON), (OFF, OFF), (ON, MIXED), (MIXED, OFF), (MIXED, MIXED), ({}, {}), ({}, OFF)]
)
def test_equal_and_mixed_modes_are_not(flags: tuple[Flags, Flags]) -> None:
    assert mode_notes(handed(*flags, "relu")) == []


def test_what_rounds_its_products_is_told_of_each_side() -> None:
    words = "side {} rounds float32 products to {}, and is judged by that".format
    assert mode_notes(handed(ON, ON, "relu", products=("tf32", "hf32"))) == [words("a", "tf32"), words("b", "hf32")]
    assert mode_notes(handed(ON, MIXED, "relu", products=("", "tf32"))) == [words("b", "tf32")]
    assert len(mode_notes(handed(ON, OFF, "relu", products=("", "tf32")))) == 2


NORMS = ("batch_norm", "batch_norm", "dropout")
FLAGS = {"l1": True, "l2": True, "l3": True}


@pytest.mark.parametrize(("layer", "cause"), [("l1", "norm-mode"), ("l3", "dropout")])
@pytest.mark.parametrize("trained", [True, False])
def test_one_layer_in_another_mode_is_found(layer: str, cause: str, trained: bool) -> None:
    ours = dict.fromkeys(FLAGS, trained)
    ((position, found),) = flag_findings(handed(ours, {**ours, layer: not trained}, *NORMS))
    assert (f"l{position}", found.layer, found.cause) == (layer, layer, cause)
    words = ("training", "eval") if trained else ("eval", "training")
    assert f"in {words[0]} mode on side a and in {words[1]} mode on side b" in found.evidence
    assert found.fix == f"put it in {words[0]} mode on side b"


def test_a_whole_model_in_another_mode_is_no_fault() -> None:
    assert flag_findings(handed(FLAGS, FLAGS, *NORMS)) == []
    assert flag_findings(handed(FLAGS, dict.fromkeys(FLAGS, False), *NORMS)) == []
    frozen = {**FLAGS, "l1": False}
    assert flag_findings(handed(frozen, frozen, *NORMS)) == []


def test_layers_of_unknown_mode_and_those_without_modes_are_left_out() -> None:
    others = {"l1": False, "l3": True}
    assert [p for p, _ in flag_findings(handed({"l1": True, "l3": True, "l2": True}, others, *NORMS))] == [1]
    assert flag_findings(handed(FLAGS, {**FLAGS, "l2": False}, "batch_norm", "relu", "dropout")) == []
    found = handed({"l1": True, "l2": True}, {"l1": True, "l2": False}, "dropout", "dropout")
    assert len(flag_findings(found)) == 1
    operations = list(found.b.graph.operations)
    operations[2] = replace(operations[2], kind="batch_norm")
    found.b = replace(found.b, graph=replace(found.b.graph, operations=tuple(operations)))
    assert flag_findings(found) == []


def test_flags_are_looked_up_under_the_names_of_each_side() -> None:
    a, b = network("dropout", "dropout"), network("dropout", "dropout")
    b.operations[1:3] = [replace(op, name=f"other{i}") for i, op in enumerate(b.operations[1:3], 1)]
    runs = (
        replace(a.run(), training={"l1": True, "l2": True}),
        replace(b.run(), training={"other1": True, "other2": False}),
    )
    ((position, finding),) = flag_findings(pair(*runs))
    assert (position, finding.layer) == (2, "l2 ~ other2")


def test_parts_that_a_model_keeps_in_eval_mode_are_told() -> None:
    frozen = {"": True, "norm": False, "norm.inner": False, "normal": True}
    (note,) = mode_notes(handed(frozen, ON, "relu", train=True))
    assert note == "side a ran with norm in eval mode, as it was handed over"
    many = {"": True, **{f"m{i}": False for i in range(6)}}
    (note,) = mode_notes(handed(ON, many, "relu", train=True))
    assert note.startswith("side b ran with m0, m1, m2, m3 and 2 more in eval mode")
    assert mode_notes(handed(frozen, many, "relu", train=False)) == []
    assert mode_notes(handed({**frozen, "": False}, many, "relu", train=True)) == [note]


@pytest.mark.parametrize("train", [True, False])
def test_a_part_that_one_side_alone_freezes_is_found(train: bool) -> None:
    ours, theirs = {"": True, **FLAGS, "l1": False}, {"": True, **FLAGS}
    ((position, found),) = flag_findings(handed(ours, theirs, *NORMS, train=train))
    assert (position, found.cause) == (1, "norm-mode")
    assert flag_findings(handed(ours, ours, *NORMS, train=train)) == []


def test_a_model_in_eval_mode_does_not_say_what_it_freezes() -> None:
    """In training mode all of it trains; in eval mode nobody can know."""
    ours, theirs = {"": True, **FLAGS, "l1": False}, dict.fromkeys(("", *FLAGS), False)
    for flags in ((ours, theirs), (theirs, ours)):
        assert flag_findings(handed(*flags, *NORMS)) == []
        ((position, found),) = flag_findings(handed(*flags, *NORMS, train=True))
        assert (position, found.cause) == (1, "norm-mode")
    left_on = {**theirs, "l3": True}
    assert [p for p, _ in flag_findings(handed(theirs, left_on, *NORMS))] == [3]
