"""Looking names up: what is misspelt is answered with what is near, whatever it names."""

from __future__ import annotations

import pytest

import twinzoo as tz
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.listing import rows
from twinzoo.zoo.registry import any_entry, near
from twinzoo.zoo.text import any_from_text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unett", "no model, loss or training step is called 'unett': did you mean unet?"),
        ("pix2pi", "no model, loss or training step is called 'pix2pi': did you mean pix2pix or lab_pix2pix?"),
        ("lsgan", "did you mean lsgan_adversarial or"),
        ("zzz", "no model, loss or training step is called 'zzz': `twinzoo models` lists them"),
        ("pix2pix.u25", "pix2pix: no preset is called 'u25': did you mean pix2pix.u256 or pix2pix.u128"),
        ("pix2pix.zzz", "pix2pix: no preset is called 'zzz': "),
        ("l1.best", "l1: no preset is called 'best': it has no presets"),
        ("unet,widht=3", "'widht=3': must be option=value with one of in_channels"),
        ("unet,widht=3", "; did you mean width?"),
        ("pix2pix,lambda=3", "; did you mean lambda_l1?"),
        ("unet,norm=bach", "unet: norm='bach': must be one of batch, instance"),
    ],
)
def test_a_word_that_is_not_known(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        any_from_text(text)
    assert message in str(caught.value)


def test_a_name_of_another_kind_says_so() -> None:
    with pytest.raises(SpecError, match="'pix2pix' is a training step, not a model or loss"):
        tz.spec("pix2pix")
    with pytest.raises(SpecError, match="'unet' is a model, not a training step"):
        tz.stepper("unet", "reference")
    with pytest.raises(SpecError, match=r"no model or loss is called 'pix2pixx': did you mean pix2pix"):
        tz.spec("pix2pixx")


def test_a_list_of_one_misspelt_name_is_refused_and_a_pattern_is_not() -> None:
    with pytest.raises(SpecError, match=r"is called 'unett': did you mean unet\?"):
        rows("unett")
    assert rows("unett*") == []
    assert [row.name for row in rows("unet.lab")] == ["unet.lab"]


def test_any_entry() -> None:
    assert [any_entry(name).kind for name in ("unet", "l1", "pix2pix.u128")] == ["model", "loss", "step"]
    assert any_entry("pix2pix.u128").options["depth"] == 7


def test_near() -> None:
    assert near("ab", ["abc"]) == "did you mean abc?", "by likeness"
    assert near("c", ["abcdefg"]) == "", "one letter is in most words"
    assert near("def", ["abcdefghi", "deg"]) == "did you mean abcdefghi or deg?"
