"""A model or training step with its options as one word of a command line: `unet,depth=7,norm=instance`."""

from __future__ import annotations

import ast
from typing import Any

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import Entry, any_entry, entry, near, spec, step_entry, training_step
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.step import Step


def spec_from_text(text: str) -> Spec:
    """Draw `unet,depth=7,norm=instance`; a sequence is written `a+b`, as in `vgg16,taps=relu1_2+relu2_2`.

    Raises:
        SpecError: no such model, a part that is not option=value, or an option that cannot be drawn.
    """
    name, _, rest = text.partition(",")
    return spec(name, **_options(entry(name), rest))


def step_from_text(text: str) -> Step:
    """Draw `pix2pix,width=8,norm=instance`, a training step.

    Raises:
        SpecError: no such step, a part that is not option=value, or an option that cannot be drawn.
    """
    name, _, rest = text.partition(",")
    return training_step(name, **_options(step_entry(name), rest))


def any_from_text(text: str) -> Spec:
    """Draw a model or loss, or a training step, which is then a Step.

    Raises:
        SpecError: nothing is called so, a part that is not option=value, or an option that cannot be drawn.
    """
    name = text.partition(",")[0]
    return step_from_text(text) if any_entry(name).kind == "step" else spec_from_text(text)


def _options(found: Entry, text: str) -> dict[str, Any]:
    known = found.options
    options: dict[str, Any] = {}
    for part in text.split(",") if text else []:
        option, equals, value = part.partition("=")
        if not equals or option not in known:
            listed, hint = ", ".join(known) or "no options", near(option, known)
            wrong = f"{found.name}: {part!r}: must be option=value with one of {listed}"
            raise SpecError(wrong + (f"; {hint}" if hint and equals else ""))
        options[option] = (
            tuple(map(_literal, value.split("+"))) if isinstance(known[option], tuple) else _literal(value)
        )
    return options


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)
