"""A list of checkpoint keys as layers: what shares a prefix belongs together, its last word is a role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from twinzoo.zoo.spec.vocabulary import NATIVE_ROLES

Shape = tuple[int, ...]

PLAIN_ROLES = frozenset({"weight", "bias", "running_mean", "running_var"})

ROLE_OF = {
    (role if native in PLAIN_ROLES else native): (native if native in PLAIN_ROLES else role)
    for roles in NATIVE_ROLES["mindspore"].values()
    for role, native in roles.items()
}
"""A framework's special word for a parameter -> the plain one: gamma -> weight, filt -> weight."""

STATISTICS = frozenset({"running_mean", "running_var", "num_batches_tracked"})

_PARAMETRIZED = re.compile(r"(?:(?P<prefix>.*)\.)?parametrizations\.(?P<name>\w+)\.(?P<part>.+)")
_PARTS = {"original0": "g", "original1": "v", "original": "orig", "0._u": "u", "0._v": "v"}
"""PyTorch's parametrizations of weight and spectral norm -> what its older hooks add to the parameter's name."""

_WRAPPER = re.compile(r"^(module|_orig_mod|model|net|network|backbone)\.")


@dataclass(frozen=True)
class Tensor:
    """One tensor of a layer, under the key it has in the file and the role it plays."""

    key: str
    role: str
    shape: Shape


@dataclass
class Layer:
    """The tensors under one prefix, by role.

    `kind` is the word of the spec's op table, or the framework's own; empty where only keys and shapes are known.
    """

    prefix: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    kind: str = ""

    @property
    def signature(self) -> tuple[tuple[str, Shape], ...]:
        """Roles and shapes: what makes two layers alike; counters aside, a Conv1d's extra axis of 1 aside."""
        return tuple(
            sorted((t.role, plain_shape(t.shape)) for t in self.tensors.values() if t.role != "num_batches_tracked")
        )

    @property
    def only_statistics(self) -> bool:
        """Running statistics without a weight: what old files carry for an instance norm that uses none of them."""
        return STATISTICS.issuperset(self.tensors)


def plain_shape(shape: Shape) -> Shape:
    """The shape without the axis that MindSpore's Conv1d adds: (O, I, 1, k) and (O, I, k) are alike."""
    return (*shape[:2], shape[3]) if len(shape) == 4 and shape[2] == 1 else shape


def layers_of(shapes: Mapping[str, Shape]) -> dict[str, Layer]:
    """Layers by prefix, in the order of their first key."""
    layers: dict[str, Layer] = {}
    for key, shape in shapes.items():
        prefix, word, role = _place(key)
        layer = layers.setdefault(prefix, Layer(prefix))
        if role in layer.tensors:  # both spellings in one layer: two different things, so each keeps its own word
            role = word if word not in layer.tensors else key
        layer.tensors[role] = Tensor(key, role, tuple(shape))
    return layers


def _place(key: str) -> tuple[str, str, str]:
    """The layer's prefix, the tensor's word in it, and the role that the word stands for."""
    found = _PARAMETRIZED.fullmatch(key)
    if found is None:
        prefix, _, word = key.rpartition(".")
        return prefix, word, ROLE_OF.get(word, word)
    prefix = found["prefix"] or ""
    word = key.removeprefix(f"{prefix}.")
    return prefix, word, f"{found['name']}_{_PARTS[found['part']]}" if found["part"] in _PARTS else word


def unwrapped(keys: Iterable[str]) -> list[str]:
    """Prefixes that wrap every key, shortest first and the empty one included: `module.`, `module.model.`, ..."""
    keys = list(keys)
    found = [""]
    while keys and (match := _WRAPPER.match(keys[0][len(found[-1]) :])):
        longer = found[-1] + match.group(0)
        if not all(key.startswith(longer) for key in keys):
            break
        found.append(longer)
    return found


def numbered_upwards(prefixes: Iterable[str]) -> bool:
    """Whether each name differs from the one before by a larger number at the first place where they differ."""
    names = [re.split(r"(\d+)", prefix) for prefix in prefixes]
    return all(_below(low, high) for low, high in zip(names, names[1:], strict=False))


def _below(low: list[str], high: list[str]) -> bool:
    for left, right in zip(low, high, strict=False):
        if left != right:
            return left.isdigit() and right.isdigit() and int(left) < int(right)
    return False
