"""Which operation stands for which: by the graph where it is one network, in order of execution where it is not."""

from __future__ import annotations

import numpy as np

from parity_tests.parity.graphs.made import BIAS, KERNEL, Side, convolution
from twinzoo.parity.graphs.align import Alignment, align


def aligned(a: Side, b: Side) -> Alignment:
    return align(a.run().graph, b.run().graph)


def chain(*kinds: str) -> Side:
    """A convolution with functions before and behind it: `conv` stands for the convolution."""
    side = Side()
    x = side.input()
    for kind in kinds:
        if kind == "conv2":
            x = convolution(side, x, kind, LAST)
        else:
            x = convolution(side, x) if kind == "conv" else side.op(kind, x)
    side.output(x)
    return side


def test_one_network_is_laid_on_itself() -> None:
    found = aligned(chain("relu", "conv", "tanh"), chain("relu", "conv", "tanh"))
    assert found.whole
    assert found.pairs == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
    assert found.layers == {"conv": "conv"}
    assert not found.only_a and not found.only_b


def test_a_function_in_another_ones_stead_is_its_counterpart() -> None:
    found = aligned(chain("relu", "conv", "tanh"), chain("relu", "conv", "sigmoid"))
    assert found.pairs[3] == 3 and not found.only_a and not found.only_b


def test_a_function_that_one_side_has_has_no_counterpart() -> None:
    found = aligned(chain("relu", "conv", "tanh"), chain("relu", "conv", "abs", "tanh"))
    assert found.only_b == [3] and not found.only_a
    assert found.pairs == {0: 0, 1: 1, 2: 2, 3: 4, 4: 5}
    found = aligned(chain("relu", "abs", "conv", "tanh"), chain("relu", "conv", "tanh"))
    assert found.only_a == [2] and not found.only_b
    assert found.pairs == {0: 0, 1: 1, 3: 2, 4: 3, 5: 4}


def branches(swapped: bool, extra: bool = False) -> Side:
    """Two convolutions of one input, of which one is negated, and their difference."""
    side = Side()
    x = side.input()
    left = convolution(side, x, "left")
    right = convolution(side, x, "right", KERNEL[:, :, :1, :1], padding=0)
    right = side.op("neg", right)
    left = side.op("abs", left) if extra else left
    side.output(side.op("sub", *((right, left) if swapped else (left, right))))
    return side


def test_operands_belong_together_whatever_their_order() -> None:
    found = aligned(branches(False), branches(True))
    assert found.pairs == {i: i for i in range(6)}
    found = aligned(branches(False), branches(True, extra=True))
    assert found.only_b == [4] and found.pairs == {0: 0, 1: 1, 2: 2, 3: 3, 4: 5, 5: 6}


def test_two_networks_that_are_not_one_are_aligned_in_order() -> None:
    a, b = chain("relu", "conv", "tanh"), Side()
    x = b.input()
    x = b.op("relu", x)
    x = convolution(b, x, "there", np.concatenate([KERNEL, KERNEL]), np.concatenate([BIAS, BIAS]))
    b.output(b.op("tanh", x))
    found = aligned(a, b)
    assert not found.whole
    assert found.pairs == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}
    assert found.layers == {"conv": "there"}


def test_layers_that_are_certain_are_paired_in_any_order() -> None:
    def two(first: str, second: str, more: bool) -> Side:
        side = Side()
        x = side.input()
        made = {}
        for name in (first, second):
            kernel = KERNEL if name == "left" else KERNEL[:, :, :1, :1]
            made[name] = convolution(side, x, name, kernel, padding=len(kernel[0, 0]) // 2)
        x = side.op("sub", made["left"], made["right"])
        if more:
            x = side.layer("more", "linear", x, tensors={"weight": np.eye(8, dtype=np.float32)}, features=8, bias=False)
        side.output(x)
        return side

    found = aligned(two("left", "right", False), two("right", "left", True))
    assert not found.whole
    assert found.layers == {"left": "left", "right": "right"}
    assert found.pairs == {0: 0, 1: 2, 2: 1, 3: 3, 4: 5} and found.only_b == [4] and not found.only_a
    found = aligned(two("left", "right", True), two("right", "left", False))
    assert found.pairs == {0: 0, 1: 2, 2: 1, 3: 3, 5: 4} and found.only_a == [4] and not found.only_b


def test_other_functions_in_another_number_have_no_counterparts() -> None:
    found = aligned(chain("conv", "tanh"), chain("conv", "exp", "abs"))
    assert found.only_a == [2] and found.only_b == [2, 3]


def test_long_networks_of_few_kinds() -> None:
    kinds = ["relu", "tanh"] * 150
    found = aligned(chain(*kinds, "conv"), chain(*kinds, "conv", "conv2"))
    assert not found.whole and found.pairs == {i: i for i in range(302)} | {302: 303}


def test_functions_between_layers_that_come_in_another_order() -> None:
    """The layers say that it is one network; the functions between them then go along with them."""

    def two(order: str, function: str) -> Side:
        side = Side()
        x = side.input()
        made = {}
        for name in order.split():
            kernel = KERNEL if name == "left" else KERNEL[:, :, :1, :1]
            y = convolution(side, x, name, kernel, padding=len(kernel[0, 0]) // 2)
            made[name] = side.op("tanh" if name == "left" else function, y)
        side.output(convolution(side, side.op("sub", made["left"], made["right"]), "last", LAST))
        return side

    found = aligned(two("left right", "abs"), two("right left", "exp"))
    assert found.whole and not found.only_a and not found.only_b
    assert found.pairs == {0: 0, 1: 3, 2: 4, 3: 1, 4: 2, 5: 5, 6: 6, 7: 7}


LAST = np.ones((4, 4, 3, 3), np.float32)


def ends(
    first: tuple[str, ...], second: tuple[str, ...], shared: bool = False, swapped: bool = False, join: str = "sub"
) -> Side:
    """Two chains of functions behind one convolution, or behind one each, that meet in a difference."""
    side = Side()
    x = side.input()
    starts = [convolution(side, x, "left")] * 2
    if not shared:
        starts[1] = convolution(side, x, "right", KERNEL[:, :, :1, :1], padding=0)
    made = []
    for kinds, y in zip((first, second), starts, strict=True):
        for kind in kinds:
            y = side.op(kind, y)
        made.append(y)
    x = side.op(join, *(made[::-1] if swapped else made))
    side.output(convolution(side, x, "last", LAST))
    return side


def names(a: Side, b: Side) -> tuple[dict[str, str], list[str], list[str]]:
    """The functions that are paired, by kind, and those that are not."""
    found = aligned(a, b)
    assert found.whole
    pairs = {a.operations[i].kind: b.operations[j].kind for i, j in found.pairs.items()}
    return pairs, [a.operations[i].kind for i in found.only_a], [b.operations[j].kind for j in found.only_b]


def test_operands_go_with_the_layers_that_they_come_from() -> None:
    pairs, *alone = names(ends(("tanh",), ("sigmoid",), join="add"), ends(("exp",), ("abs",), swapped=True, join="add"))
    assert alone == [[], []] and pairs["tanh"] == "exp" and pairs["sigmoid"] == "abs"


def test_of_several_ways_from_one_layer_those_most_alike_belong_together() -> None:
    a, b = ends(("tanh",), ("sigmoid",), True, join="add"), ends(("tanh",), ("exp",), True, True, join="add")
    pairs, *alone = names(a, b)
    assert alone == [[], []] and pairs["tanh"] == "tanh" and pairs["sigmoid"] == "exp"
    a, b = ends(("tanh", "exp"), ("neg",), shared=True), ends(("tanh",), ("neg", "abs"), shared=True)
    pairs, *alone = names(a, b)
    assert alone == [["exp"], ["abs"]] and pairs["tanh"] == "tanh" and pairs["neg"] == "neg"
    a, b = ends(("exp",), ("tanh",), shared=True), ends(("tanh", "abs"), ("silu", "tanh"), shared=True)
    pairs, *alone = names(a, b)
    assert alone == [["exp"], ["abs", "silu", "tanh"]]


def test_the_kinds_along_a_way_are_each_sides_own() -> None:
    pairs, *alone = names(ends(("tanh", "abs"), ("neg",)), ends(("abs",), ("sigmoid", "neg")))
    assert alone == [["tanh"], ["sigmoid"]] and pairs["abs"] == "abs" and pairs["neg"] == "neg"


def test_what_is_used_twice_has_one_counterpart() -> None:
    def network(shared: bool) -> Side:
        side = Side()
        x = convolution(side, side.input())
        one = side.op("tanh" if shared else "exp", x)
        two = one if shared else side.op("sigmoid", x)
        side.output(
            side.op(
                "sub", convolution(side, one, "p", LAST), convolution(side, two, "q", LAST[:, :, :1, :1], padding=0)
            )
        )
        return side

    found = aligned(network(True), network(False))
    assert found.whole and found.pairs[2] == 2 and found.only_b == [3]
    found = aligned(network(False), network(True))
    assert found.whole and found.pairs[2] == 2 and found.only_a == [3]


def test_layers_that_have_each_others_names() -> None:
    def two(big: str, small: str, more: bool) -> Side:
        side = Side()
        x = convolution(side, side.input(), big)
        x = convolution(side, x, small, KERNEL[:, :1, :1, :1].repeat(4, 1), padding=0)
        side.output(side.layer("more", "group_norm", x, tensors=AFFINE, groups=2) if more else x)
        return side

    found = aligned(two("one", "two", False), two("two", "one", True))
    assert not found.whole
    assert found.layers == {"one": "two", "two": "one"}


AFFINE = {"weight": BIAS, "bias": BIAS}


def test_inputs_and_outputs_are_told_apart_by_their_number() -> None:
    a, b = Side(), Side()
    for side, kinds in ((a, ("relu", "tanh")), (b, ("relu", "conv", "tanh"))):
        one, two = side.input(name="one"), side.input(IMAGE_2, name="two")
        made = [convolution(side, one) if kind == "conv" else side.op(kind, one) for kind in kinds]
        side.output(side.op("abs", two))
        for value in made:
            side.output(value)
    found = aligned(a, b)
    assert not found.whole
    assert found.pairs[0] == 0 and found.pairs[1] == 1
    names = {
        a.operations[i].name: b.operations[j].name for i, j in found.pairs.items() if a.operations[i].kind == "output"
    }
    assert names["0"] == "0" and names["1"] == "1"


IMAGE_2 = np.ones((2, 3, 8, 8), np.float32)


def test_words_of_two_frameworks_are_one_word() -> None:
    a, b = Side(), Side("mindspore")
    for side, words in ((a, ("torch.sin", "torch.cos")), (b, ("mindspore.sin", "mindspore.cos"))):
        x = side.input()
        x = convolution(side, x, kernel=KERNEL if side is a else KERNEL[:2], bias=BIAS if side is a else BIAS[:2])
        for word in words:
            x = side.other(word, side.values[x], x)
        side.output(x)
    found = aligned(a, b)
    assert found.pairs[2] == 2 and found.pairs[3] == 3
