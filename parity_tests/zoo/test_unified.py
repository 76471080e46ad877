"""Unified colorization and style transfer: what is shared, what reaches what, and that every port trains alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo.golden_arrays import weights
from twinzoo.parity.inputs import default_inputs
from twinzoo.ports.reference.port import PORT
from twinzoo.ports.steps import stepper
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.registry import spec, training_step
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]
SMALL = {"width": 4, "blocks": 1}
STEP = {**SMALL, "layers": 2, "features_width": 2}


def inputs_of(drawn: Spec) -> dict[str, Array]:
    """Two images of each input, float64."""
    sizes = {"N": 2} | {name: 16 for name in drawn.symbols if name != "N"}
    return {name: value.astype(np.float64) for name, value in default_inputs(drawn, 0, sizes).items()}


def run(drawn: Spec, state: dict[str, Array], inputs: dict[str, Array]) -> dict[str, Array]:
    """What the reference port makes, in float64."""
    model = PORT.build(drawn)
    PORT.load(model, state)
    return PORT.run(model, inputs)


def test_the_encoder_is_shared_and_the_rest_is_not() -> None:
    drawn = spec("unified_generator", **SMALL)
    assert [n.attrs["role"] for n in drawn.nodes.values() if n.op == "call"] == ["encoder", "encoder"]
    state = weights(drawn)
    inputs = inputs_of(drawn)
    before = run(drawn, state, inputs)
    for part, moved in (("encoder.", {"ab", "painted"}), ("colour", {"ab"}), ("paint", {"painted"})):
        changed = {name: value * np.float32(1.1) if name.startswith(part) else value for name, value in state.items()}
        after = run(drawn, changed, inputs)
        assert {name for name in after if not np.array_equal(after[name], before[name])} == moved, part


def test_the_style_reaches_the_painting_alone_and_by_its_statistics() -> None:
    drawn = spec("unified_generator", **SMALL)
    state, inputs = weights(drawn), inputs_of(drawn)
    before = run(drawn, state, inputs)
    other = run(drawn, state, {**inputs, "style": -inputs["style"]})
    assert np.array_equal(other["ab"], before["ab"])
    assert np.abs(other["painted"] - before["painted"]).max() > 1e-3
    twice = np.concatenate([inputs["style"]] * 2, axis=2)[:, :, :16]
    assert np.array_equal(run(drawn, state, {**inputs, "style": twice})["painted"], before["painted"])


def test_no_norm_takes_the_style_away() -> None:
    drawn = spec("unified_encoder", **SMALL)
    assert not [node for node in drawn.nodes.values() if node.op.endswith("_norm")]
    state, inputs = weights(drawn), inputs_of(drawn)
    means = [run(drawn, state, {"image": inputs["image"] * scale})["features"].mean() for scale in (1.0, 0.1)]
    assert abs(means[0] / means[1] - 1) > 0.1


def test_outputs_reach_what_they_are_to_be() -> None:
    """The document's generator ends in a ReLU, which half of [-1, 1] is out of reach for."""
    drawn = spec("unified_generator", **SMALL)
    made = run(drawn, weights(drawn), inputs_of(drawn))
    assert all(value.min() < 0 < value.max() for value in made.values())
    assert all(np.abs(value).max() <= 1 for value in made.values())


def test_stylization_by_hand() -> None:
    drawn = spec("stylization", width=2, content=2.0, gram=3.0, statistics=5.0)
    state: dict[str, Array] = dict(initial_state(drawn, 1))
    random = np.random.default_rng(1)
    images = {
        name: random.uniform(-1, 1, (2, 3, 32, size))
        for name, size in (("made", 32), ("photograph", 32), ("style", 48))
    }
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    vgg = spec("vgg19", taps=layers, width=2)
    own = {name.removeprefix("features."): value for name, value in state.items()}
    mean, std = (np.reshape(v, (1, 3, 1, 1)) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = {name: run(vgg, own, {"image": ((x + 1) / 2 - mean) / std}) for name, x in images.items()}
    made = run(drawn, state, images)
    content = np.square(seen["made"]["relu4_1"] - seen["photograph"]["relu4_1"]).mean()
    gram, statistics = 0.0, 0.0
    for layer in layers:
        pair = [seen[name][layer] for name in ("made", "style")]
        grams = [np.einsum("nchw,ndhw->ncd", f, f) / f[0].size for f in pair]
        gram += float(np.square(grams[0] - grams[1]).mean())
        known = [(f.mean((2, 3)), np.sqrt(f.var((2, 3), ddof=1) + 1e-5)) for f in pair]
        statistics += sum(float(np.square(a - b).mean()) for a, b in zip(*known, strict=True))
    assert made == pytest.approx({"content": 2 * content, "gram": 3 * gram, "statistics": 5 * statistics}, rel=1e-9)


def small_step(**change: Any) -> Step:
    """A narrow step with an eps at which Adam makes no whole step out of a gradient that is rounding alone."""
    step = training_step("unified", **{**STEP, **change})
    step.optimizers = {name: replace(optimizer, eps=1e-4) for name, optimizer in step.optimizers.items()}
    return step


def batches(step: Step) -> list[dict[str, Array]]:
    """Three random batches of one image."""
    return [{n: x for n, x in default_inputs(step, i, {}).items() if n in step.batch} for i in range(3)]


@pytest.mark.parametrize("port", ["mindspore", "reference"])
def test_every_port_trains_alike(port: str) -> None:
    for framework in {"torch", port} - {"reference"}:
        pytest.importorskip(framework)
    step = small_step()
    twins = [stepper(step, name, seed=1) for name in ("torch", port)]
    for i, batch in enumerate(batches(step)):
        losses = twins[0].step(batch)
        assert twins[1].step(batch) == pytest.approx(losses, rel=3e-5), f"step {i}"


@pytest.mark.parametrize(
    "name", ["lambda_l1", "lambda_gan", "lambda_perceptual", "lambda_content", "lambda_gram", "lambda_statistics"]
)
def test_each_term_trains_the_generator(name: str) -> None:
    pytest.importorskip("torch")
    step = small_step()
    alone: dict[str, float] = {n: 0.0 for n in step.options if n.startswith("lambda_")} | {name: 1.0}
    made = stepper(small_step(**alone), "torch", seed=1)
    made.step(batches(step)[0])
    found = {n: np.abs(g).max() for n, g in made.gradients().items() if n.startswith("generator.")}
    colours = name in ("lambda_l1", "lambda_gan", "lambda_perceptual")
    assert (found["generator.colours_conv.weight"] > 0) == colours
    assert (found["generator.paint_conv.weight"] > 0) != colours
    assert found["generator.encoder.whole_conv.weight"] > 0


def test_the_networks_take_turns() -> None:
    step = training_step("unified")
    assert [update.optimizer for update in step.updates] == ["discriminator_adam", "generator_adam"]
    calls = [node.attrs["role"] for node in step.nodes.values() if node.op == "call"]
    assert calls.count("generator") == 1
    assert [name for name, train in step.networks.items() if not train] == ["perceptual", "painting"]
