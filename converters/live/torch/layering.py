"""The layers of a module: which of its tensors belong together, by their names and by the operations that use them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from twinzoo.converters.layers import Layer, Tensor, layers_of
from twinzoo.converters.live.claims import Claims, Group
from twinzoo.converters.live.torch.modules import is_whole, kind_of


class Layers:
    """The layers of a model, as its names have them at first.

    An operation claims the tensors that it uses. Where they are all of one layer, in the roles that their names say, it
    is that layer, with tensors that nothing uses. Else they are a layer of their own, in the roles by which they were
    used, under their names joined with `+`; what is left of the layer that they were in stays under its name.
    """

    def __init__(self, model: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
        self._title = type(model).__name__
        self._order = {key: place for place, key in enumerate(state)}
        self._named = _with_kinds(model, layers_of({key: tuple(tensor.shape) for key, tensor in state.items()}))
        self._home = {tensor.key: layer for layer in self._named.values() for tensor in layer.tensors.values()}
        self._role = {t.key: role for layer in self._named.values() for role, t in layer.tensors.items()}
        self._claims = Claims()

    def listed(self) -> list[Layer]:
        """The layers as far as they are known without a run."""
        return list(self._named.values())

    def role(self, key: str) -> str:
        """The role of a tensor by its name."""
        return self._role[key]

    def at(self, path: str) -> dict[str, str]:
        """Role -> key, of the layer whose name is a module's path."""
        layer = self._named.get(path)
        return {role: tensor.key for role, tensor in layer.tensors.items()} if layer else {}

    def claim(self, kind: str, keys: Mapping[str, str]) -> tuple[Group, list[str]]:
        """The group of these tensors for an operation, and those that belong to another operation's group."""
        return self._claims.claim(kind, keys)

    def used(self) -> tuple[dict[Group, str], dict[str, Layer]]:
        """The name of each group's layer, and all layers in order of definition."""
        names: dict[Group, str] = {}
        layers: dict[str, Layer] = {}
        for group in self._claims.groups:
            home = self._home[next(iter(group.keys.values()))]
            sharing = {self._claims.owner.get(tensor.key) for tensor in home.tensors.values()} - {None}
            if sharing == {group} and self._as_named(group, home):
                names[group] = home.prefix or self._title
                layers[names[group]] = Layer(home.prefix, home.tensors, group.kind)
            else:
                names[group] = "+".join(group.keys.values())
                layers[names[group]] = Layer(names[group], self._tensors(group), group.kind)
        for layer in self._named.values():
            left = {role: tensor for role, tensor in layer.tensors.items() if tensor.key not in self._claims.owner}
            name = layer.prefix or self._title
            if left and name not in layers:
                layers[name] = Layer(layer.prefix, left, layer.kind)
        return names, dict(sorted(layers.items(), key=lambda item: self._place(item[1])))

    def _as_named(self, group: Group, home: Layer) -> bool:
        return all(role in home.tensors and home.tensors[role].key == key for role, key in group.keys.items())

    def _tensors(self, group: Group) -> dict[str, Tensor]:
        own = {key: self._home[key].tensors[self._role[key]] for key in group.keys.values()}
        return {role: Tensor(key, role, own[key].shape) for role, key in group.keys.items()}

    def _place(self, layer: Layer) -> int:
        return min(self._order[tensor.key] for tensor in layer.tensors.values())


def _with_kinds(model: nn.Module, layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """The layers with the kinds of their modules; a module that is one operation is one layer, with all inside."""
    modules = dict(model.named_modules(remove_duplicate=False))
    whole = [path for path, module in modules.items() if is_whole(module)]
    found: dict[str, Layer] = {}
    for prefix, layer in layers.items():
        home = next((path for path in whole if not path or prefix == path or prefix.startswith(f"{path}.")), prefix)
        module = modules.get(home)
        made = found.setdefault(home, Layer(home, kind=kind_of(module) if module is not None else ""))
        inside = prefix[len(home) :].lstrip(".")
        for role, tensor in layer.tensors.items():
            role = f"{inside}.{role}" if inside else role
            made.tensors[role] = Tensor(tensor.key, role, tensor.shape)
    return found
