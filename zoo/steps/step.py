"""A training step: one graph over networks by role, with updates between its nodes.

What comes after an update sees the new parameters; what was computed before keeps its value and can still be
differentiated through. So a network that runs once is drawn once, and its buffers move once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Draw, Node, Role, Size, Spec, Value
from twinzoo.zoo.spec.dims import substitute, symbol, symbols_of
from twinzoo.zoo.steps.optimizer import Optimizer

STARTS = ("zeros", "unit", "shares")


@dataclass(frozen=True)
class Update:
    """The optimizer moves its networks against the gradient of `loss`, after the first `after` nodes."""

    optimizer: str
    loss: Value
    after: int


@dataclass(frozen=True)
class Pool:
    """A history of `size` images, empty at first, in which every new image may take the place of an old one.

    While there is room a new image is kept and passed on. After that a choice decides: -1 passes it on and keeps
    nothing, a slot passes on the slot's image and keeps the new one there.

    Attributes:
        stored: the input that holds the images, (size, C, H, W).
        picks, keeps: the inputs of indices into stored and new images: what is passed on, what is stored next.
        next: the images after the step.
    """

    name: str
    size: int
    stored: str
    picks: str
    keeps: str
    next: Value

    @property
    def choices(self) -> str:
        """The name of its draw: one integer for each new image, in [-1, size)."""
        return f"{self.name}_choices"


@dataclass(frozen=True)
class Carried:
    """A tensor that a step leaves to the next one, such as a memory.

    Attributes:
        stored: the input that holds it. next: its value after the step, of the same shape.
        start: what it is at first: zeros, unit (rows of Euclidean length 1, in random directions) or shares (rows of
            random numbers >= 0, in all 1).
    """

    name: str
    stored: str
    next: Value
    start: str


class Step(Spec):
    """A spec whose inputs are a batch, whose outputs are losses to report, and that trains networks on the way.

    Attributes:
        networks: role -> whether it runs in training mode, of every role that has parameters.
        optimizers: by name. updates: in their order. pools, carried: by name.
    """

    def __init__(self, name: str, *, doc: str = "", options: dict[str, Any] | None = None) -> None:
        super().__init__(name, doc=doc, options=options)
        self.networks: dict[str, bool] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.updates: list[Update] = []
        self.pools: dict[str, Pool] = {}
        self.carried: dict[str, Carried] = {}

    def network(self, name: str, spec: Spec, *, train: bool = True) -> Role:
        """Declare a network by role; `train=False` keeps it in eval mode: running statistics, no dropout."""
        made = super().role(name, spec)
        self.networks[name] = train
        return made

    def role(self, name: str, spec: Spec) -> Role:
        """Declare a loss to be called.

        Raises:
            SpecError: it has parameters: then it is a network.
        """
        if spec.params:
            raise SpecError(f"{self.name}: role {name}: {spec.name} has parameters: declare it with network()")
        return super().role(name, spec)

    def call(self, name: str, role: Role, *inputs: Value) -> tuple[Value, ...]:
        """Call a network or loss; the random draws of one that trains become draws `<name>_<draw>` of the step."""
        made = super().call(name, role, *inputs)
        if self.networks.get(role.name, True) and role.spec.draws:
            self.nodes[name] = with_draws(self.nodes[name], role.spec)
        return made

    def total(self, name: str, *terms: Value) -> Value:
        """The sum of values, from left to right."""
        made = terms[0]
        for i, term in enumerate(terms[1:], 2):
            made = self.add(name if i == len(terms) else f"{name}_{i}", made, term)
        return made

    def pool(self, name: str, fresh: Value, size: int) -> Value:
        """Images from a history of `size` (Shrivastava et al. 2017), in which `fresh` (N, C, H, W) is entered."""
        if size == 0:
            return fresh
        stored, picks, keeps = f"{name}_stored", f"{name}_picks", f"{name}_keeps"
        shape = tuple(self._plain(name, d) for d in fresh.shape[1:])
        multiple = max([self.symbols[s] for s in shape if isinstance(s, str)], default=1)
        images = self.input(stored, shape=(size, *shape), multiple_of=multiple, example=self.example_sizes)
        candidates = self.concat(f"{name}_candidates", images, fresh, axis=0)
        made = self.gather(name, candidates, self.input(picks, shape=("N",), dtype="int"), axis=0)
        kept = self.gather(f"{name}_next", candidates, self.input(keeps, shape=(size,), dtype="int"), axis=0)
        self.pools[name] = Pool(name, size, stored, picks, keeps, kept)
        return made

    def carry(self, name: str, stored: Value, after: Value, start: str = "zeros") -> None:
        """Let an input start as `start` (of Carried) and hold in each step what `after` was in the one before.

        Raises:
            SpecError: the name is taken, there is no such start, or the two are no input and value of one known shape.
        """
        where = f"{self.name}: carry {name}"
        if name in self.carried:
            raise SpecError(f"{where}: the name is already taken")
        if start not in STARTS:
            raise SpecError(f"{where}: start={start!r}: must be one of {', '.join(STARTS)}")
        known = all(isinstance(size, int) for size in stored.shape)
        if stored.node not in self.inputs or not self._owns(after) or stored.shape != after.shape or not known:
            raise SpecError(f"{where}: must be an input and a value of one shape in numbers")
        self.carried[name] = Carried(name, stored.node, after, start)

    def _plain(self, name: str, size: Size) -> int | str:
        names = [s.name for s in symbols_of(size)]
        if isinstance(size, int):
            return size
        if len(names) != 1 or size != symbol(names[0], self.symbols[names[0]]):
            raise SpecError(f"{self.name}: pool {name}: takes images of the batch's own sizes, got {size}")
        return names[0]

    def optimizer(self, name: str, *trains: Role, lr: float, **settings: Any) -> Optimizer:
        """Declare an optimizer (twinzoo.zoo.steps.optimizer says what the settings are).

        Raises:
            SpecError: the name is taken, or a role is no network or has an optimizer already.
        """
        where = f"{self.name}: optimizer {name}"
        if name in self.optimizers:
            raise SpecError(f"{where}: the name is already taken")
        self._check_name(name, "optimizer")
        taken = {role for known in self.optimizers.values() for role in known.trains}
        for role in trains:
            if self.roles.get(role.name) is not role or role.name not in self.networks or role.name in taken:
                raise SpecError(f"{where}: {role.name}: must be a network of this step without another optimizer")
        self.optimizers[name] = Optimizer(name, tuple(role.name for role in trains), lr, **settings)
        return self.optimizers[name]

    def update(self, optimizer: Optimizer, loss: Value) -> None:
        """Let the optimizer make one step down the gradient of a scalar loss; networks it does not train are frozen.

        Raises:
            SpecError: the loss is no scalar, does not depend on a trained network, or would be differentiated through
                a network at parameters that were updated since.
        """
        where = f"{self.name}: update {optimizer.name}"
        if not self._owns(loss) or loss.shape != () or loss.dtype != "float":
            raise SpecError(f"{where}: the loss must be a scalar of this step, got {loss!r}")
        made = Update(optimizer.name, loss, len(self.nodes))
        path = self.path(made)
        called = {self.nodes[name].attrs.get("role") for name in path}
        for role in optimizer.trains:
            if role not in called:
                raise SpecError(f"{where}: {loss.ref} does not depend on {role} in a way that has a gradient")
        for i, (name, node) in enumerate(self.nodes.items()):
            moved = {r for u in self.updates if u.after > i for r in self.optimizers[u.optimizer].trains}
            if name in path and node.attrs.get("role") in moved:
                raise SpecError(f"{where}: {node.attrs['role']} was updated after {name}: call it again")
        self.updates.append(made)

    def _add(self, node: Node) -> tuple[Value, ...]:
        if node.params:
            raise SpecError(f"{self.name}: {node.name} ({node.op}): has parameters: it belongs into a network")
        return super()._add(node)

    def reached(self, update: Update) -> set[str]:
        """The nodes through which the update's loss has a gradient; `stop_gradient` ends the way."""
        found: set[str] = set()
        for node in reversed(list(self.nodes.values())[: update.after]):
            if node.name == update.loss.node or node.name in found:
                found.add(node.name)
                found |= set() if node.op == "stop_gradient" else {value.node for value in node.inputs}
        return found & set(self.nodes)

    def path(self, update: Update) -> set[str]:
        """Those of the reached nodes that the update has to go through: from calls of its networks to the loss."""
        trains = self.optimizers[update.optimizer].trains
        reached = self.reached(update)
        found: set[str] = set()
        for node in self.nodes.values():
            trained = node.op == "call" and node.attrs["role"] in trains
            if node.op != "stop_gradient" and (trained or any(value.node in found for value in node.inputs)):
                found.add(node.name)
        return found & reached

    def frozen(self, update: Update) -> list[str]:
        """The networks that the update goes through without moving them."""
        called = {self.nodes[name].attrs.get("role") for name in self.path(update)}
        return [role for role in self.networks if role in called - {*self.optimizers[update.optimizer].trains}]

    @property
    def batch(self) -> list[str]:
        """The inputs that a batch brings; those of the pools and of what is carried come from the state."""
        own = {name for pool in self.pools.values() for name in (pool.stored, pool.picks, pool.keeps)}
        own |= {carried.stored for carried in self.carried.values()}
        return [name for name in self.inputs if name not in own]

    @property
    def left(self) -> list[Value]:
        """The values that the next step rests on: the images of the pools, then what is carried."""
        return [item.next for held in (self.pools, self.carried) for item in held.values()]

    def __str__(self) -> str:
        from twinzoo.zoo.steps.serial import step_table

        return step_table(self)


def with_draws(node: Node, called: Spec) -> Node:
    """A call whose draws are those of the called spec, at the sizes of the call."""
    sizes: dict[str, Size] = {}
    for given, item in zip(node.inputs, called.inputs.values(), strict=True):
        for have, want in zip(given.shape, item.value.shape, strict=True):
            sizes |= {s.name: have for s in symbols_of(want)}
    draws = {
        name: Draw(tuple(substitute(d, sizes) for d in draw.shape), draw.distribution)
        for name, draw in called.draws.items()
    }
    return replace(node, draws=draws)
