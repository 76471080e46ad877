"""The public functions: what other people's scripts rest on, called as they are written down."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import twinzoo as tz
from twinzoo.converters import files
from twinzoo.zoo.init import initial_state


def signature(function: object) -> str:
    """The parameters without their annotations."""
    assert callable(function)
    parameters = inspect.signature(function).parameters.values()
    return ", ".join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters)


def test_signatures_are_the_documented_ones() -> None:
    assert signature(tz.build) == "spec_or_name, port, weights=None, seed=0, **options"
    assert signature(tz.convert).startswith(
        "source, target=None, output=None, source_model=None, inputs=None, allow=()"
    )
    assert signature(tz.compare) == "a, b, inputs=None, grad=False, train=False, steps=0, loss=None"
    assert signature(tz.spec) == "name, **options"


def test_lists_name_what_there_is() -> None:
    assert {"unet", "vgg16", "aodnet"} <= set(tz.models())
    assert {"l1", "perceptual"} <= set(tz.losses())
    assert {"torch", "mindspore", "reference"} <= {info.name for info in tz.ports()}


def test_errors_are_one_family() -> None:
    errors = [getattr(tz, name) for name in tz.__all__ if name.endswith("Error")]
    assert all(issubclass(error, tz.TwinzooError) for error in errors)
    with pytest.raises(tz.TwinzooError) as caught:
        tz.spec("nothing")
    assert caught.value.table == ""


@pytest.mark.parametrize("weights", [None, {}])
def test_options_go_with_a_name_alone(weights: dict[str, object] | None) -> None:
    state = None if weights is None else initial_state(tz.spec("aodnet"))
    with pytest.raises(tz.SpecError, match="option depth: a spec is drawn already"):
        tz.build(tz.spec("aodnet"), "reference", weights=state, depth=3)


def test_build_takes_a_name_a_spec_a_seed_a_mapping_and_a_path(tmp_path: Path) -> None:
    from twinzoo.ports.registry import port

    reference = port("reference")
    state = initial_state(tz.spec("unet", width=4, depth=3), 5)
    files.write(tmp_path / "a.npz", state)
    spec = tz.spec("unet", width=4, depth=3)
    made = [
        tz.build("unet", "reference", seed=5, width=4, depth=3),
        tz.build(spec, "reference", seed=5),
        tz.build(spec, "reference", weights=state),
        tz.build("unet", "reference", weights=tmp_path / "a.npz", width=4, depth=3),
    ]
    for model in made:
        found = reference.state(model)
        assert all(np.array_equal(found[name], value) for name, value in state.items())
    other = reference.state(tz.build(spec, "reference", seed=6))
    assert not np.array_equal(other["down1_conv.weight"], state["down1_conv.weight"])


def test_the_reference_port_is_a_side_as_any_other() -> None:
    image = np.random.default_rng(0).random((1, 3, 8, 8)).astype(np.float32)
    assert tz.compare(("aodnet", "reference"), ("aodnet", "reference"), image, grad=True).ok
    assert tz.compare(("aodnet", "reference"), tz.build("aodnet", "torch"), image, grad=True).ok


def test_what_cannot_be_asked_says_so() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tz.nothing  # noqa: B018
