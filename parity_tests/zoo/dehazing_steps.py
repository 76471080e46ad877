"""Small instances of the dehazing and contrastive training steps, and batches for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo import registry
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]
registry.load()
NAMES = ("aodnet_training", "cut", "fastcut", "singan_dehaze", "epdn", "cycle_dehaze")
EPS = 0.1
"""Of Adam, so large that it moves nothing by a gradient that is rounding alone: biases before a norm have no other."""
UNPAIRED = ("cut", "fastcut", "singan_dehaze")
SIZE = 32


def small(name: str, **options: Any) -> Step:
    """A tiny instance with a rate that shows."""
    step = training_step(name, **{**registry.STEPS[name].small, "lr": 1e-2, **options})
    step.optimizers = {key: replace(optimizer, eps=EPS) for key, optimizer in step.optimizers.items()}
    return step


def batches(step: Step, count: int = 2) -> list[dict[str, Array]]:
    """Two images each, six patches, and a mirrored batch now and then."""
    random = np.random.default_rng(0)
    made = []
    for i in range(count):
        batch: dict[str, Array] = {}
        for name in step.batch:
            item = step.inputs[name]
            sizes = {s: SIZE if s in "HW" else 6 for s in step.symbols} | {"N": 2}
            shape = step.concrete(item.value, sizes)
            if item.value.dtype == "int":
                batch[name] = random.permutation(8 * 8)[: shape[0]]
            elif name == "flipped":
                batch[name] = np.full(shape, (i + 1) % 2, np.float32)
            else:
                batch[name] = random.uniform(*item.span, shape).astype(np.float32)
        made.append(batch)
    return made
