"""The layers of a cell: which of its tensors belong together, by its cells and by the operations that use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mindspore import Parameter, Tensor, nn

from twinzoo.converters.layers import ROLE_OF, Layer
from twinzoo.converters.layers import Tensor as LayerTensor
from twinzoo.converters.live.claims import Claims, Group
from twinzoo.converters.live.mindspore.parameters import Entry
from twinzoo.converters.live.mindspore.rows.table import kind_of

_STATISTICS = frozenset(["running_mean", "running_var", "num_batches_tracked"])


class Layers:
    """The layers of a model, as its cells have them at first.

    An operation claims the tensors that it uses. Where they are all of one cell, in the roles that their names say,
    they are that cell's layer, with what nothing uses of it. Else they are a layer of their own, under their names
    joined with `+`. Tensors that another operation has claimed already are operands of kind `parameter`.
    """

    def __init__(self, model: nn.Cell, state: Sequence[Entry]) -> None:
        self._title = type(model).__name__
        self._entries = {entry.key: entry for entry in state}
        self._order = {entry.key: place for place, entry in enumerate(state)}
        self._keys = {id(entry.tensor): entry.key for entry in state}
        self._of_cell: dict[nn.Cell, Mapping[str, str]] = {}
        self._homes: dict[str, Group] = {}
        self._home: dict[str, Group] = {}
        self._claims = Claims()
        whole: str | None = None
        for path, cell in model.cells_and_names():
            if whole is None or not path.startswith(whole):
                kind = kind_of(cell)
                whole = None if not kind else f"{path}." if path else ""
                self._add_cell(path, cell, kind)

    def _add_cell(self, path: str, cell: nn.Cell, kind: str) -> None:
        words = {word: self.key(tensor) for word, tensor in _tensors(cell, whole=bool(kind)).items()}
        self._of_cell[cell] = _by_role(words)
        own = {role: key for role, key in self._of_cell[cell].items() if key not in self._home}
        if own:
            home = Group(kind, own, self._name(path, words))
            self._homes[home.name] = home
            self._home |= dict.fromkeys(own.values(), home)

    def _name(self, path: str, words: Mapping[str, str]) -> str:
        """The prefix of the tensors' names: the cell's path where it is one of several prefixes."""
        named = [(key, f".{word}") for word, key in words.items()]
        prefixes = [key.removesuffix(ending) if key.endswith(ending) else "" for key, ending in named]
        name = path if path in prefixes else prefixes[-1]
        return path if name in self._homes else name

    def listed(self) -> list[Layer]:
        """The layers as far as they are known without a run."""
        return [self._layer(home.name, home.keys, home.kind) for home in self._homes.values()]

    def key(self, tensor: Tensor) -> str:
        """The name of a tensor, empty where it is none of the model's."""
        return self._keys.get(id(tensor), "")

    def role(self, key: str) -> str:
        """The role of a tensor in its cell, by its name."""
        return next(role for role, own in self._home[key].keys.items() if own == key)

    def tensor(self, key: str) -> Tensor:
        """The tensor of a name."""
        return self._entries[key].tensor

    def frozen(self) -> frozenset[str]:
        """The keys of the parameters that require no gradients; running statistics, which never do, are none."""
        statistics = {key for home in self._homes.values() for role, key in home.keys.items() if role in _STATISTICS}
        tensors = {key: entry.tensor for key, entry in self._entries.items() if key not in statistics}
        return frozenset(key for key, t in tensors.items() if isinstance(t, Parameter) and not t.requires_grad)

    def of_cell(self, cell: nn.Cell) -> Mapping[str, str]:
        """Role -> key, of the tensors of a cell that is one operation."""
        return self._of_cell.get(cell, {})

    def claim(self, kind: str, keys: Mapping[str, str]) -> tuple[Group, list[str]]:
        """The group of these tensors for an operation, and those that belong to another operation's group."""
        return self._claims.claim(kind, keys)

    def used(self) -> tuple[dict[Group, str], dict[str, Layer]]:
        """The name of each claimed group's layer, and all layers in order of definition."""
        names: dict[Group, str] = {}
        layers: dict[str, Layer] = {}
        for group in self._claims.groups:
            home = self._home[next(iter(group.keys.values()))]
            named = self._is_all_of(group, home)
            prefix, keys = (home.name, home.keys) if named else ("+".join(group.keys.values()), group.keys)
            names[group] = prefix or self._title
            layers[names[group]] = self._layer(prefix, keys, group.kind)
        for home in self._homes.values():
            left = {role: key for role, key in home.keys.items() if key not in self._claims.owner}
            if left and (home.name or self._title) not in layers:
                layers[home.name or self._title] = self._layer(home.name, left, home.kind)
        return names, dict(sorted(layers.items(), key=lambda item: self._place(item[1])))

    def _is_all_of(self, group: Group, home: Group) -> bool:
        """Whether a group is what is used of a cell's tensors, in the same roles."""
        users = {self._claims.owner.get(key) for key in home.keys.values()} - {None}
        return users == {group} and group.keys.items() <= home.keys.items()

    def _place(self, layer: Layer) -> int:
        return min(self._order[tensor.key] for tensor in layer.tensors.values())

    def _layer(self, prefix: str, keys: Mapping[str, str], kind: str) -> Layer:
        shapes = {key: tuple(self._entries[key].tensor.shape) for key in keys.values()}
        return Layer(prefix, {role: LayerTensor(key, role, shapes[key]) for role, key in keys.items()}, kind)


def _tensors(cell: nn.Cell, *, whole: bool) -> dict[str, Tensor]:
    """Path in the cell -> its own tensors, and those of the cells inside where it is one layer as a whole."""
    found: dict[int, str] = {}
    state = cell.state_dict()
    for path, tensor in state.items():
        if whole or "." not in path:
            found.setdefault(id(tensor), path)
    return {path: state[path] for path in found.values()}


def _by_role(words: Mapping[str, str]) -> dict[str, str]:
    """Role -> key. Two words for one role in one layer are two different things, and keep their words."""
    roles: dict[str, str] = {}
    for word, key in words.items():
        role = ROLE_OF.get(word, word)
        roles[role if role not in roles else word] = key
    return roles
