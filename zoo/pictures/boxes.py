"""A model, loss or training step as boxes with links: what a picture shows, before it has places."""

from __future__ import annotations

from dataclasses import dataclass, replace

from twinzoo.zoo.pictures.chains import Chain, Chains
from twinzoo.zoo.pictures.words import LEADS, describe, kind_of, shape, wrapped
from twinzoo.zoo.spec import Node, Spec
from twinzoo.zoo.steps.step import Step


@dataclass(frozen=True)
class Link:
    """That a box takes what another one gives; `detached` where no gradient goes back."""

    source: str
    detached: bool = False


@dataclass(frozen=True)
class Frame:
    """A group of boxes that comes `times` times; `first` is the name of its first box."""

    first: str
    times: int


@dataclass(frozen=True)
class Box:
    """One box of a picture.

    Attributes:
        name: of the node that leads it.
        kind: `conv`, `up`, `down`, `dense`, `call`, `join`, `math`, `input`, `output` or `update`.
        words: what it does, in order. title: which of them says what it is.
        note: under the words: its name and the shape of its output.
        level: how often the finest images were halved where the box is at its coarsest.
        grows: whether its output is finer than its input.
        phase: how many updates come before it.
        times: how often it comes one after the other. parallel: how often side by side.
        frame: the repeated group that it is in, if it is in one.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    note: str
    links: tuple[Link, ...] = ()
    title: int = 0
    level: int = 0
    grows: bool = False
    phase: int = 0
    times: int = 1
    parallel: int = 1
    frame: Frame | None = None

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Its text, line by line, each with what it is: `lead`, `plain`, `times` or `note`."""
        made = [("lead" if place == self.title else "plain", word) for place, word in enumerate(self.words)]
        made += [("times", f"{self.parallel} in parallel")] if self.parallel > 1 else []
        made += [("times", f"{self.times} in a row")] if self.times > 1 else []
        return made + ([("note", self.note)] if self.note else [])


_MANY = 3
"""More outputs than these are words in their boxes, and no boxes of their own."""


def boxes(spec: Spec) -> list[Box]:
    """The boxes, each after those that it takes from."""
    chains = Chains(spec)
    home = {node.name: _lead(chain).name for chain in chains.all for node in chain}
    home |= {name: name for name in chains.inputs}
    made = [_input(spec, chains, name) for name in chains.inputs]
    for chain in chains.all:
        made.append(_box(chains, chain, home, {box.name: box.level for box in made}))
    if isinstance(spec, Step):
        return _with_updates(spec, made, home)
    return _outputs(spec, chains, made, home)


def _lead(chain: Chain) -> Node:
    return next((node for node in chain if node.op in LEADS), chain[0])


def _input(spec: Spec, chains: Chains, name: str) -> Box:
    value = spec.inputs[name].value
    return Box(name, "input", (name,), shape(value), level=chains.level([value]))


def _outputs(spec: Spec, chains: Chains, made: list[Box], home: dict[str, str]) -> list[Box]:
    ends = [(name, value, *chains.origin(value)) for name, value in spec.outputs.items()]
    if len(ends) > _MANY:
        given: dict[str, list[str]] = {}
        for name, _, source, _ in ends:
            given.setdefault(home[source], []).append(name)
        return [replace(b, words=(*b.words, *wrapped([f"gives {g}" for g in given.get(b.name, ())]))) for b in made]
    levels = {box.name: box.level for box in made}
    for name, value, source, cut in ends:
        level = chains.level([value], levels[home[source]])
        made.append(Box(f"{name}.", "output", (name,), shape(value), (Link(home[source], cut),), level=level))
    return made


def _box(chains: Chains, chain: Chain, home: dict[str, str], levels: dict[str, int]) -> Box:
    lead, given = _lead(chain), chain[-1].outputs
    before, words = _words(chains, chain)
    members = {node.name for node in chain}
    taken = dict.fromkeys(source for node in chain for source in chains.sources(node))
    links = tuple(Link(home[name], cut) for name, cut in taken if name not in members and name in home)
    nearest = max((levels[link.source] for link in links), default=0)
    came = chains.level([value for node in chain for value in node.inputs], nearest)
    goes = chains.level(given, nearest)
    return Box(
        lead.name,
        kind_of(lead),
        (*before, *words),
        _note(chains, chain),
        tuple(dict.fromkeys(links)),
        title=len(before),
        level=max(came, goes),
        grows=goes < came,
        phase=chains.phase(chain[-1]),
    )


def _note(chains: Chains, chain: Chain) -> str:
    pool = chains.pools.get(chain[0].name)
    last = chains.spec.nodes[pool.name] if pool else chain[-1]
    given = shape(last.outputs[0]) if len(last.outputs) == 1 else f"{len(last.outputs)} outputs"
    return f"{pool.name if pool else _lead(chain).name}: {given}"


def _words(chains: Chains, chain: Chain) -> tuple[list[str], list[str]]:
    """What is done before that which names the box; the name and what is done after."""
    lead = _lead(chain)
    if pool := chains.pools.get(lead.name):
        return [], [f"history of {pool.size}"]
    at, title = chain.index(lead), describe(lead)
    terms = next((i for i, node in enumerate(chain) if node.op != "add"), len(chain)) + 1
    if terms > 2:
        at, title = terms - 2, f"sum of {terms}"
    model = [chains.spec.roles[lead.attrs["role"]].spec.name] if lead.op == "call" else []
    before = [] if terms > 2 else chain[:at]
    return wrapped(map(describe, before)), [title, *model, *wrapped(map(describe, chain[at + 1 :]))]


def _with_updates(step: Step, made: list[Box], home: dict[str, str]) -> list[Box]:
    updates = []
    for place, update in enumerate(step.updates):
        trained = " and ".join(step.optimizers[update.optimizer].trains)
        frozen = " and ".join(step.frozen(update))
        words = f"{place + 1}. {update.optimizer} updates {trained} by {update.loss.ref}"
        links = (Link(home[update.loss.node]),)
        updates.append(Box(f"{place + 1}.", "update", (words,), frozen and f"{frozen} frozen", links, phase=place))
    return [box for phase in range(len(updates) + 1) for box in (*made, *updates) if box.phase == phase]
