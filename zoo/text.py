"""A model and its options as one word of a command line: `unet,depth=7,norm=instance`."""

from __future__ import annotations

import ast
from typing import Any

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import entry, spec
from twinzoo.zoo.spec import Spec


def spec_from_text(text: str) -> Spec:
    """Draw `unet,depth=7,norm=instance`; a sequence is written `a+b`, as in `vgg16,taps=relu1_2+relu2_2`.

    Raises:
        SpecError: no such model, a part that is not option=value, or an option that cannot be drawn.
    """
    name, *parts = text.split(",")
    known = entry(name).options
    options: dict[str, Any] = {}
    for part in parts:
        option, equals, value = part.partition("=")
        if not equals or option not in known:
            raise SpecError(f"{name}: {part!r}: must be option=value with one of {', '.join(known) or 'no options'}")
        options[option] = (
            tuple(map(_literal, value.split("+"))) if isinstance(known[option], tuple) else _literal(value)
        )
    return spec(name, **options)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None}.get(text.lower(), text)
