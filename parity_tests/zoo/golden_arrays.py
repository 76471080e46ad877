"""Golden arrays: what the reference port makes, in float64, of seeded weights and inputs; a few kB a model.

`python -m parity_tests.zoo.golden_arrays NAME...` writes them anew, after a model was changed on purpose.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.inputs import default_inputs
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]
FOLDER = Path(__file__).parent / "golden"
SAMPLES = 128


def small(name: str) -> Spec:
    """The registered small instance; `patchgan-spectral` is that of a preset."""
    return registry.spec(name.replace("-", "."), **registry.entry(name.partition("-")[0]).small)


def weights(spec: Spec, seed: int = 11) -> dict[str, Array]:
    """A state in which every layer matters: weights that keep the scale, and statistics that are not those at first."""
    random = np.random.default_rng(seed)
    state: dict[str, Array] = {}
    for name, start in initial_state(spec).items():
        role = name.rpartition(".")[2]
        made: Array = start
        if role == "weight" and start.ndim > 1:
            made = random.normal(0, np.sqrt(2 / start[0].size), start.shape)
        elif role in ("weight", "running_var"):
            made = random.uniform(0.5, 1.5, start.shape)
        elif role in ("bias", "running_mean"):
            made = random.normal(0, 0.1, start.shape)
        state[name] = made.astype(np.float32)
    return state


def inputs(spec: Spec) -> dict[str, Array]:
    """Inputs of about 16 pixels, or the least power of two or multiple that fits."""
    values = [value for node in spec.nodes.values() for value in node.outputs]
    normed = [node.outputs[0] for node in spec.nodes.values() if node.op == "instance_norm"]
    for pixels in (16, 32, 64, 128):
        sizes = {s: -(-pixels // multiple) * multiple for s, multiple in spec.symbols.items() if s != "N"}
        several = all(spec.concrete(value, sizes)[2:] != (1, 1) for value in normed)
        if several and all(min(spec.concrete(value, sizes), default=1) > 0 for value in values):
            return default_inputs(spec, 11, sizes)
    raise AssertionError(f"{spec.name}: 128 pixels are too few for it")


def sampled(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """At most SAMPLES elements of each output, evenly spread."""
    made = {}
    for name, value in outputs.items():
        flat = np.asarray(value).ravel()
        made[name] = flat[:: -(-flat.size // SAMPLES)]
    return made


def reference(spec: Spec) -> dict[str, Array]:
    """The samples that the reference port makes."""
    model = PORT.build(spec)
    PORT.load(model, weights(spec))
    return sampled(
        PORT.run(
            model, {name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in inputs(spec).items()}
        )
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for model_name in sys.argv[1:]:
        np.savez(FOLDER / f"{model_name}.npz", **reference(small(model_name)))
