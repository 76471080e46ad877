"""What a run says of itself: how it pulls, whether it draws, what stayed frozen, what it returned; and its errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import IMAGE, Side
from twinzoo.converters.graph import INPUT, OUTPUT
from twinzoo.converters.live import Whole
from twinzoo.parity.graphs.run import How, Run, draws, run
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.spec import Spec


def made(*kinds: str) -> Run:
    side = Side()
    x = side.input()
    for kind in kinds:
        x = side.other(kind, IMAGE, x)
    side.output(x)
    return side.run()


def test_every_output_is_pulled_with_its_own_numbers_and_a_loss_with_one() -> None:
    how = How(grad=True)
    pull = how.pull(0, (3, 4))
    assert pull.dtype == np.float32 and pull.shape == (3, 4) and 0.3 < pull.std() < 3
    np.testing.assert_array_equal(how.pull(0, (3, 4)), pull)  # on every side and machine
    assert not np.array_equal(how.pull(1, (3, 4)), pull)
    assert pull[0, 0] == pytest.approx(np.random.default_rng([2026, 0]).standard_normal())
    loss = How(grad=True, loss=True).pull(0, ())
    assert loss.shape == () and loss == 1 and loss.dtype == np.float32


def test_a_mode_in_words() -> None:
    modes = [How(train, grad) for train in (False, True) for grad in (False, True)]
    assert How() == modes[0]
    assert list(map(str, modes)) == ["eval", "eval with gradients", "train", "train with gradients"]


@pytest.mark.parametrize(
    ("kind", "drawn"),
    [
        ("dropout", True),
        ("torch.randn_like", True),
        ("mindspore.StandardNormal", True),
        ("torch.bernoulli", True),
        ("random.reshape", False),  # where it comes from draws nothing
        ("conv2d", False),
        ("instance_norm", False),
        (INPUT, False),
        (OUTPUT, False),
    ],
)
def test_what_draws(kind: str, drawn: bool) -> None:
    assert draws(kind) is drawn
    assert made("relu", kind).draws is drawn


def test_what_is_returned_is_what_the_compiled_model_gave() -> None:
    plain, other = made("relu"), {"0": IMAGE + 1}
    whole = Whole(other, {}, {}, {})
    assert plain.returned is plain.outputs
    assert replace(plain, whole=whole).returned is other
    drawn = replace(made("dropout"), whole=whole)  # another draw than what was traced
    assert drawn.returned is drawn.outputs


def test_modules_that_stayed_in_eval_mode() -> None:
    flags = {"": True, "norm": False, "act": True}
    trained = replace(made("relu"), how=How(train=True))
    assert replace(trained, training=flags).frozen_modules == ["norm"]
    assert replace(trained, training={**flags, "": False}).frozen_modules == []  # it was put in training mode whole
    assert (
        replace(trained, training={}).frozen_modules == replace(trained, training={"norm": False}).frozen_modules == []
    )
    assert replace(made("relu"), training=flags).frozen_modules == []


def test_inputs_are_by_the_names_of_arguments() -> None:
    side = Side()
    x, y = side.input(), side.input(IMAGE + 1, "mask")
    side.output(side.op("add", x, y))
    found = side.run().inputs
    assert list(found) == ["image", "mask"] and found["mask"] is side.values[y]
    assert side.run().port == "live torch"


def test_inputs_may_be_one_array_several_in_order_or_by_name() -> None:
    spec = Spec("two")
    x, y = (spec.input(name, shape=("N", 3, 8, 8)) for name in ("x", "y"))
    spec.output(z=spec.sub("node", x, y))
    model = PORT.build(spec)
    for given in ((IMAGE, IMAGE + 1), {"y": IMAGE + 1, "x": IMAGE}):
        np.testing.assert_allclose(run("a", model, given).outputs["0"], -1, rtol=1e-6)
    alone = Spec("one")
    alone.output(z=alone.neg("node", alone.input("x", shape=("N", 3, 8, 8))))
    np.testing.assert_array_equal(run("a", PORT.build(alone), IMAGE.tolist()).outputs["0"], -IMAGE)


def test_errors_name_the_side() -> None:
    spec = Spec("one")
    spec.output(z=spec.neg("node", spec.input("x", shape=("N", 3, 8, 8))))
    for label in "ab":
        with pytest.raises(ParityError, match=f"^compare: {label}: inputs: 2 were given"):
            run(label, PORT.build(spec), (IMAGE, IMAGE))
        with pytest.raises(ParityError, match=f"^compare: {label}: .*must be"):
            run(label, PORT.build(spec), IMAGE[:, :2])
