"""Zeros around an image in a compiled training step: MindSpore's ops.pad is wrong there from the second run on."""

from __future__ import annotations

import numpy as np

from twinzoo.parity.inputs import default_inputs
from twinzoo.ports.mindspore.modes import graph_mode
from twinzoo.ports.mindspore.port import MindSporePort
from twinzoo.ports.steps import stepper
from twinzoo.zoo.registry import training_step


def test_the_second_compiled_step_is_that_of_pynative_mode(mindspore_port: MindSporePort) -> None:
    """Cycle-Dehaze pads as TensorFlow does; with ops.pad half of each gradient was wrong."""
    step = training_step("cycle_dehaze", width=2, blocks=0, features_width=1, features_size=32, pool=0)
    compiled, plain = (stepper(step, "mindspore") for _ in range(2))
    for seed in range(2):
        drawn = default_inputs(step, seed)
        batch = {name: drawn[name] for name in step.batch}
        compiled.load(plain.state())
        with graph_mode():
            losses = compiled.step(batch)
        expected = plain.step(batch)
        np.testing.assert_allclose([*losses.values()], [*expected.values()], rtol=1e-5)
        found = compiled.gradients()
        for name, gradient in plain.gradients().items():
            np.testing.assert_allclose(found[name], gradient, atol=1e-4 * np.abs(gradient).max(), err_msg=name)
