"""What steppers of every framework share: batches and draws in, losses out, counts, pools and the state's names."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from twinzoo.ports.port import Array
from twinzoo.ports.steps.draws import draw_choices, draw_masks, draw_start, enter
from twinzoo.zoo.errors import PortError, SpecError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec.dims import concrete, symbols_of
from twinzoo.zoo.steps.step import Step


@dataclass(frozen=True)
class Move:
    """The numbers of one update: its learning rate, and the how manieth of its optimizer it is, from 1."""

    lr: float
    count: int


class Stepper(ABC):
    """A training step that runs: `step(batch)` trains and returns the losses, `state()` is everything it rests on.

    Attributes:
        spec: the training step.
        trained: the parameters of each optimizer, by `role.node.parameter`.
        dtype: what inputs and draws are fed in.
    """

    dtype: type[np.floating[Any]] = np.float32

    def __init__(self, spec: Step, seed: int) -> None:
        if not spec.updates:
            raise SpecError(f"{spec.name}: has no update, so there is nothing to train")
        self.spec = spec
        self.trained = {
            name: [f"{r}.{n}" for r in o.trains for n, p in spec.roles[r].spec.params.items() if not p.buffer]
            for name, o in spec.optimizers.items()
        }
        self._seed = seed
        self._counts = dict.fromkeys(spec.optimizers, 0)
        self._filled = dict.fromkeys(spec.pools, 0)
        self._images: dict[str, Any] = {}
        self._carried: dict[str, Any] = {
            name: draw_start(item, seed).astype(np.float32).astype(self.dtype) for name, item in spec.carried.items()
        }

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        """Train on one batch.

        Args:
            batch: the inputs by name; draws too, where they are not to come from the seed: dropout masks (0 or 1) by
                their names in `spec.draws`, and the choices of a pool.

        Returns:
            the losses by name.

        Raises:
            SpecError: something is missing, unknown or of the wrong shape; nothing has changed then.
        """
        fed, filled = self._fed(batch)
        moves = []
        counts = dict(self._counts)
        for update in self.spec.updates:
            lr = self.spec.optimizers[update.optimizer].rate(counts[update.optimizer])
            counts[update.optimizer] += 1
            moves.append(Move(lr, counts[update.optimizer]))
        values = self._advance(fed, moves)
        self._counts, self._filled = counts, filled
        self._images = {name: values[pool.next.ref] for name, pool in self.spec.pools.items()}
        self._carried = {name: values[item.next.ref] for name, item in self.spec.carried.items()}
        return {name: float(self._array(values[value.ref])) for name, value in self.spec.outputs.items()}

    def state(self) -> dict[str, Array]:
        """Everything that the next step rests on, as copies.

        Parameters and buffers by `role.node.parameter`; `optimizer.m.` and `optimizer.v.` (Adam's) or
        `optimizer.momentum.` (SGD's) with the name of a parameter; `optimizer.step` and `optimizer.lr`, updates made
        and the rate of the next, with `.<parameter>` where there are several optimizers; `pool.<name>.images`, once a
        batch gave their size, and `pool.<name>.count`; `carried.<name>`.
        """
        made = self.networks_state() | self._slots() | self._numbers()
        made |= {f"pool.{name}.images": self._array(images).copy() for name, images in self._images.items()}
        made |= {f"pool.{name}.count": np.array(count) for name, count in self._filled.items()}
        return made | {f"carried.{name}": self._array(value).copy() for name, value in self._carried.items()}

    def _numbers(self) -> dict[str, Array]:
        """The optimizers' counts and rates: alone where there is one optimizer, else for each parameter."""
        made: dict[str, Array] = {}
        for optimizer, names in self.trained.items():
            count = self._counts[optimizer]
            rate = self.spec.optimizers[optimizer].rate(count)
            for end in [""] if len(self._counts) == 1 else [f".{name}" for name in names]:
                made |= {f"optimizer.step{end}": np.array(count), f"optimizer.lr{end}": np.array(rate)}
        return made

    def load(self, state: Mapping[str, Array]) -> None:
        """Go on from a state; the learning rates in it follow from the counts and are not read.

        Raises:
            PortError: a name is missing or unknown, or a shape differs; nothing is changed then.
        """
        filled = self._check(state)
        self.load_networks({name: state[name] for name in self.networks_state()})
        for optimizer, names in self.trained.items():
            end = "" if len(self._counts) == 1 else f".{names[0]}"
            self._counts[optimizer] = int(state[f"optimizer.step{end}"])
        self._load_slots({name: state[name] for name in self._slots()})
        self._filled = filled
        self._carried = {name: np.array(state[f"carried.{name}"], self.dtype) for name in self._carried}
        images = {name: state.get(f"pool.{name}.images") for name in self.spec.pools}
        self._images = {name: np.array(held, self.dtype) for name, held in images.items() if held is not None}

    def _check(self, state: Mapping[str, Array]) -> dict[str, int]:
        """Hold a state against the names and shapes of this one; returns how full its pools are."""
        own = self.state()
        pools = {f"pool.{name}.images": int(state.get(f"pool.{name}.count", np.array(0))) for name in self.spec.pools}
        for name in sorted({*own} - {*pools} | {name for name, count in pools.items() if count} | {*state}):
            fits = name in state and (name in pools or (name in own and np.shape(state[name]) == own[name].shape))
            if not fits:
                raise PortError(f"{self.spec.name}: {name}: the state's is missing, unknown or of another shape")
        return dict(zip(self.spec.pools, pools.values(), strict=True))

    def load_networks(self, weights: Mapping[str, Array]) -> None:
        """Set whole networks by `role.node.parameter`; roles that are not there stay as they are.

        Raises:
            PortError: a name is of no network, or a network's state does not fit.
        """
        by_role: dict[str, dict[str, Array]] = {}
        for name, value in weights.items():
            role, _, own = name.partition(".")
            if role not in self.spec.networks:
                raise PortError(f"{self.spec.name}: {name}: the networks are {', '.join(self.spec.networks)}")
            by_role.setdefault(role, {})[own] = value
        self._load_networks(by_role)

    @property
    def _done(self) -> int:
        """How many steps were made; every update is made once a step."""
        optimizers = [update.optimizer for update in self.spec.updates]
        return self._counts[optimizers[0]] // optimizers.count(optimizers[0])

    @abstractmethod
    def networks_state(self) -> dict[str, Array]:
        """Parameters and buffers of every network, by `role.node.parameter`, as copies."""

    @abstractmethod
    def gradients(self) -> dict[str, Array]:
        """What the optimizers were given in the last step, by `role.node.parameter`; after clipping.

        Raises:
            PortError: no step was made yet.
        """

    @abstractmethod
    def _advance(self, fed: Mapping[str, Any], moves: list[Move]) -> dict[str, Any]:
        """Run the step: inputs and draws by name, and the numbers of each update -> native values by reference."""

    @abstractmethod
    def _slots(self) -> dict[str, Array]:
        """What the optimizers keep, by `optimizer.<slot>.<parameter>`, as copies."""

    @abstractmethod
    def _load_networks(self, states: Mapping[str, Mapping[str, Array]]) -> None:
        """Set networks, given by role, or nothing where one does not fit."""

    @abstractmethod
    def _load_slots(self, slots: Mapping[str, Array]) -> None:
        """Set what `_slots` gives; the counts are set already."""

    @abstractmethod
    def _array(self, value: Any) -> Array:
        """A native value, or an array, as an array."""

    def initial(self, role: str) -> dict[str, Array]:
        """The initial state of a network from the seed and its role: two of one kind start differently."""
        seed = self._seed << 32 | zlib.crc32(role.encode())
        return dict(initial_state(self.spec.roles[role].spec, seed))

    def _fed(self, batch: Mapping[str, Array]) -> tuple[dict[str, Any], dict[str, int]]:
        """Every input and draw by name, and how full the pools are afterwards."""
        spec = self.spec
        optional = [*spec.draws, *(pool.choices for pool in spec.pools.values())]
        if {*spec.batch} - {*batch} or {*batch} - {*spec.batch, *optional}:
            also = f" (and draws {', '.join(optional)})" if optional else ""
            raise SpecError(f"{spec.name}: a batch has {', '.join(spec.batch)}{also}; got {', '.join(batch)}")
        arrays = {name: np.asarray(batch[name]) for name in spec.batch}
        sizes = self._sizes(arrays)
        kinds = {name: np.int64 if spec.inputs[name].value.dtype == "int" else self.dtype for name in arrays}
        fed: dict[str, Any] = {name: array.astype(kinds[name]) for name, array in arrays.items()}
        fed |= {item.stored: self._carried[name] for name, item in spec.carried.items()}
        filled = dict(self._filled)
        for name, pool in spec.pools.items():
            count = concrete(spec.nodes[name].outputs[0].shape, sizes)[0]
            drawn = batch.get(pool.choices, draw_choices(pool, count, self._seed, self._done))
            choices = [int(choice) for choice in np.asarray(drawn).ravel()]
            if len(choices) != count or not all(-1 <= choice < pool.size for choice in choices):
                raise SpecError(f"{spec.name}: {pool.choices}: must be {count} integers in [-1, {pool.size})")
            picks, keeps, filled[name] = enter(pool, filled[name], choices)
            empty = np.zeros(concrete(spec.inputs[pool.stored].value.shape, sizes), self.dtype)
            fed[pool.stored] = self._images.get(name, empty)
            fed |= {pool.picks: np.array(picks), pool.keeps: np.array(keeps)}
        spec.sizes_of({name: tuple(value.shape) for name, value in fed.items()})
        for name, mask in draw_masks(spec, sizes, self._seed, self._done).items():
            fed[name] = np.asarray(batch.get(name, mask), self.dtype)
            if fed[name].shape != mask.shape:
                raise SpecError(f"{spec.name}: {name}: must be {mask.shape}, got {fed[name].shape}")
        return fed, filled

    def _sizes(self, arrays: Mapping[str, Array]) -> dict[str, int]:
        """The sizes of a batch; whether they fit together is asked later."""
        sizes: dict[str, int] = {}
        for name, array in arrays.items():
            declared = self.spec.inputs[name].value.shape
            if array.ndim != len(declared):
                raise SpecError(f"{self.spec.name}: {name}: must have {len(declared)} dimensions, got {array.ndim}")
            sizes |= {s.name: n for d, n in zip(declared, array.shape, strict=True) for s in symbols_of(d)}
        return sizes
