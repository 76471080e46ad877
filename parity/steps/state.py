"""A training run's state by what is what: parameters and buffers, the optimizer's slots, and its numbers.

The convention is `optimizer.<slot>.<parameter>` and `optimizer.<number>`; the spellings of torch's flattened
`optimizer.state_dict()` (`optimizer.state.0.exp_avg`, `optimizer.param_groups.0.lr`) and of MindSpore's optimizers
(`moment1.<parameter>`, `global_step`) are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.files.entries import Entry
from twinzoo.converters.files.training import training_state
from twinzoo.converters.layers import ROLE_OF, STATISTICS

Array = NDArray[Any]

GRADIENT = "gradient"
"""The slot that holds what `gradients()` returned."""

SLOTS = {
    **dict.fromkeys(("m", "exp_avg", "moment1", "adam_m"), "m"),
    **dict.fromkeys(("v", "exp_avg_sq", "moment2", "adam_v"), "v"),
    **dict.fromkeys(("momentum", "momentum_buffer", "momentum_buf", "moments", "accum"), "momentum"),
    **dict.fromkeys(("max_exp_avg_sq", "vhat"), "vmax"),
    **dict.fromkeys(("square_avg", "mean_square"), "square"),
}
"""A framework's word for what an optimizer keeps for each parameter -> ours; other words stand for themselves."""

NUMBERS = {
    **dict.fromkeys(("step", "global_step", "state_step"), "step"),
    **dict.fromkeys(("lr", "learning_rate"), "lr"),
    **dict.fromkeys(("beta1", "betas.0"), "beta1"),
    **dict.fromkeys(("beta2", "betas.1"), "beta2"),
    **dict.fromkeys(("eps", "epsilon"), "eps"),
    "weight_decay": "weight_decay",
}
"""A framework's word for a number of the optimizer -> ours; other numbers are settings of one framework alone."""

_OPTIMIZER = re.compile(r"optim(?:izer)?\w*\.(?P<rest>.+)")
_TORCH_SLOT = re.compile(r"state\.(?P<key>.+)\.(?P<word>\w+)")
_TORCH_GROUP = re.compile(r"param_groups\.(?P<group>\d+)\.(?P<word>.+)")


@dataclass
class State:
    """What is known of a side between two steps.

    Attributes:
        tensors: parameters and buffers.
        slots: what the optimizer keeps for parameters: slot -> parameter -> array.
        numbers: the optimizer's own: `lr`, `step`, or `lr.<group>`, `step.<parameter>` where there are several.
        others: of the optimizer, of no known place, under their own keys.
    """

    tensors: dict[str, Array] = field(default_factory=dict)
    slots: dict[str, dict[str, Array]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    others: dict[str, Array] = field(default_factory=dict)

    def number(self, name: str, key: str = "") -> float | None:
        """A number of the optimizer, for one parameter where it has its own."""
        own = self.numbers.get(f"{name}.{key}")
        return self.numbers.get(name) if own is None else own

    def trained(self) -> set[str]:
        """What the optimizer is known to move; nothing where its state is not told."""
        return {key for arrays in self.slots.values() for key in arrays}


def is_buffer(key: str) -> bool:
    """Whether a key names running statistics, which no optimizer moves."""
    word = key.rpartition(".")[2]
    return ROLE_OF.get(word, word) in STATISTICS


def is_pool(key: str) -> bool:
    """Whether a key names a history of generated images, `pool.<name>.images`, or how full it is."""
    return key.startswith("pool.")


def read_state(arrays: Mapping[str, Array]) -> State:
    """Sort the arrays of a state by what their keys say."""
    unprefixed = training_state({key: Entry(value.shape, value.dtype) for key, value in arrays.items()})
    state = State()
    kept: dict[str, Array] = {}
    for key, value in arrays.items():
        found = _OPTIMIZER.fullmatch(key)
        if found is not None:
            kept[key] = value
        elif key in unprefixed:
            kept[f"optimizer.{key}"] = value
        else:
            state.tensors[key] = value
    places = _numbered(state.tensors, kept)
    for key, value in kept.items():
        found = _OPTIMIZER.fullmatch(key)
        assert found is not None
        _place(state, key, found["rest"], value, places)
    return state


def _numbered(tensors: Mapping[str, Array], kept: Mapping[str, Array]) -> dict[str, str]:
    """torch's number of a parameter -> its key, where the parameters in their order fit the slots' shapes.

    Each of several optimizers counts from 0, so that their numbers are no places.
    """
    trained = [key for key in tensors if not is_buffer(key)]
    places = {str(i): key for i, key in enumerate(trained)}
    numbered = {name: found for name in kept if (found := _TORCH_SLOT.search(name))}
    if len({name[: found.start()] for name, found in numbered.items()}) > 1:
        return {}
    for name, found in numbered.items():
        value = kept[name]
        if value.size > 1:
            key = places.get(found["key"])
            if key is None or tensors[key].shape != value.shape:
                return {}
    return places


def _place(state: State, key: str, rest: str, value: Array, places: Mapping[str, str]) -> None:
    """Put one array of an optimizer where it belongs."""
    slot, group = _TORCH_SLOT.fullmatch(rest), _TORCH_GROUP.fullmatch(rest)
    if slot and (owner := places.get(slot["key"], slot["key"])) in state.tensors:
        word = slot["word"]
    elif group:
        word, owner = group["word"], "" if group["group"] == "0" else group["group"]
        if word.startswith("params."):
            return
    else:
        word, _, owner = rest.partition(".")
    if word in NUMBERS and value.size == 1:
        state.numbers[".".join(filter(None, (NUMBERS[word], owner)))] = float(value.reshape(()))
    elif owner in state.tensors and value.shape == state.tensors[owner].shape:
        state.slots.setdefault(SLOTS.get(word, word), {})[owner] = value
    elif value.size == 1 and not owner and np.isfinite(float(value.reshape(()))):
        state.numbers[word] = float(value.reshape(()))
    else:
        state.others[key] = value
