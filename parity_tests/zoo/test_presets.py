"""Presets: `name.preset` is a model or step with other defaults; lists, filters and errors know them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

import twinzoo as tz
from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.naming import prefixes
from twinzoo.zoo.spec import spec_hash
from twinzoo.zoo.spec.show import parameter_count
from twinzoo.zoo.text import spec_from_text, step_from_text

registry.load()
ENTRIES = registry.MODELS | registry.LOSSES | registry.STEPS
PRESETS = [(name, preset) for name, found in ENTRIES.items() for preset in found.presets]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_preset_is_its_options(name: str, preset: str) -> None:
    found = ENTRIES[name]
    chosen = found.presets[preset]
    assert set(chosen) <= set(found.options)
    draw: Any = registry.training_step if found.kind == "step" else registry.spec
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made, plain = draw(f"{name}.{preset}"), draw(name, **chosen)
    assert made.name == name
    assert spec_hash(made) == spec_hash(plain)


def test_a_preset_is_a_default_and_gives_way() -> None:
    assert tz.spec("unet.u128").options["depth"] == 7
    assert spec_hash(tz.spec("unet.u128", depth=8)) == spec_hash(tz.spec("unet"))
    assert spec_hash(spec_from_text("unet.u128,width=4")) == spec_hash(tz.spec("unet", depth=7, width=4))
    assert step_from_text("pix2pix.pixel,depth=3").roles["discriminator"].spec.name == "pixelgan"


def test_a_preset_has_the_namings_of_its_model() -> None:
    naming = "junyanz/pytorch-CycleGAN-and-pix2pix"
    assert prefixes(tz.spec("unet.lab"), naming) == prefixes(tz.spec("unet"), naming)
    assert parameter_count(tz.spec("unet.u128")) == 41_828_995
    assert parameter_count(tz.spec("unet.lab")) == 54_409_858


def test_lists_have_presets_and_are_filtered() -> None:
    assert {"colorization_unet", "colorization_unet.repo", "colorization_unet.report"} <= set(tz.models("color*"))
    assert all(name.startswith("color") for name in tz.models("color*"))
    assert {"colorization", "colorization.repo"} <= set(tz.steps())
    assert tz.models("*.u128") == ["unet.u128"]
    assert tz.losses("hinted*") == ["hinted_l1"]
    assert tz.models("nothing*") == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("unet.u129", "did you mean unet.u128 or unet.u256"),
        ("colorization_unet.reprot", "did you mean colorization_unet.report"),
        ("aodnet.paper", "aodnet: no preset is called 'paper': it has no presets"),
        ("unet.", "unet: no preset is called '': did you mean unet.u"),
    ],
)
def test_near_names(name: str, near: str) -> None:
    with pytest.raises(SpecError) as caught:
        tz.spec(name)
    assert near in str(caught.value)


def test_near_names_of_steps() -> None:
    with pytest.raises(SpecError, match=r"did you mean colorization\.repo"):
        registry.training_step("colorization.rep")
    assert registry.is_step("colorization.repo") and not registry.is_step("colorization_unet.repo")
