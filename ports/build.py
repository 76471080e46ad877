"""From a spec to a native model with its weights, in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinzoo.ports import registry
from twinzoo.ports.port import Array
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.registry import spec as draw
from twinzoo.zoo.spec import Spec


def build(
    spec_or_name: Spec | str,
    port: str,
    *,
    weights: Mapping[str, Array] | None = None,
    seed: int = 0,
    **options: Any,
) -> Any:
    """A native model in eval mode.

    Args:
        spec_or_name: a spec, or the name of a model that is drawn with `options`.
        weights: the state by spec names; without it the spec's initial values from `seed`, equal on every port.

    Raises:
        SpecError: no such model or option.
        PortError: no such port, its framework is missing, or the weights do not fit.
    """
    if options and not isinstance(spec_or_name, str):
        raise SpecError(f"{spec_or_name.name}: option {next(iter(options))}: a spec is drawn already; give its name")
    drawn = draw(spec_or_name, **options) if isinstance(spec_or_name, str) else spec_or_name
    chosen = registry.port(port)
    model = chosen.build(drawn)
    chosen.load(model, initial_state(drawn, seed) if weights is None else weights)
    return model
