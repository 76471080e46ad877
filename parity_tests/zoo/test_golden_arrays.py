"""Golden arrays: every port makes what is kept here, also where no other port is installed to compare with."""

from __future__ import annotations

import numpy as np
import pytest

from parity_tests.zoo import golden_arrays
from twinzoo.ports.registry import port

FILES = sorted(golden_arrays.FOLDER.glob("*.npz"))


def furthest(name: str, made: dict[str, golden_arrays.Array]) -> float:
    """The largest difference from what is kept, as a share of the largest element of its output."""
    with np.load(golden_arrays.FOLDER / f"{name}.npz") as kept:
        assert set(kept) == set(made)
        return max(float(np.abs(made[n] - kept[n]).max() / max(np.abs(kept[n]).max(), 1e-30)) for n in kept)


def test_there_are_some_and_they_are_small() -> None:
    assert FILES
    assert all(path.stat().st_size < 8_000 for path in FILES)


@pytest.mark.parametrize("name", [path.stem for path in FILES])
@pytest.mark.parametrize(("framework", "allowed"), [("reference", 1e-9), ("torch", 1e-4), ("mindspore", 1e-4)])
def test_a_port_makes_what_is_kept(name: str, framework: str, allowed: float) -> None:
    """In float32 every layer passes on the roundings of those before it."""
    spec = golden_arrays.small(name)
    if framework == "reference":
        assert furthest(name, golden_arrays.reference(spec)) < allowed
        return
    pytest.importorskip(framework)
    used = port(framework)
    model = used.build(spec)
    used.load(model, golden_arrays.weights(spec))
    assert furthest(name, golden_arrays.sampled(used.run(model, golden_arrays.inputs(spec)))) < allowed


def test_another_weight_shows() -> None:
    """The last convolution's, by a thousandth."""
    spec = golden_arrays.small("siggraph17")
    state = golden_arrays.weights(spec)
    state["colours.weight"] = state["colours.weight"] * np.float32(1.001)
    used = port("reference")
    model = used.build(spec)
    used.load(model, state)
    assert furthest("siggraph17", golden_arrays.sampled(used.run(model, golden_arrays.inputs(spec)))) > 1e-4
