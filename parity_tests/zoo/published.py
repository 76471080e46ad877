"""The keys of a published file as the tests of the zoo want them."""

from __future__ import annotations

from twinzoo.converters import targets
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras


def published_keys(spec: Spec, naming: str) -> dict[str, str]:
    """Spec parameter name -> published key, counters of PyTorch left out."""
    return {name: key for name, key in targets.file_keys(spec, "torch", naming).items() if name in spec.params}


def file_keys(spec: Spec, naming: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every tensor in a file that today's published code writes, in its order."""
    shapes = {name: tuple(param.shape) for name, param in spec.params.items()}
    shapes |= {name: value.shape for name, value in native_extras(spec, "torch").items()}
    return {key: shapes[name] for name, key in targets.file_keys(spec, "torch", naming).items()}
