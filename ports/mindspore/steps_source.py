"""A training step as the MindSpore code that a person would have written: one function, which compiles as one graph.

Each block runs forward once through `ms.vjp`; every loss is pulled back once through the blocks between it and what
it trains, for all updates that go down it there.
Walking over a list of blocks would be shorter, but MindSpore compiles no gradient of functions in a loop.
"""

from __future__ import annotations

from collections.abc import Sequence

from twinzoo.ports.source import call, fit
from twinzoo.ports.steps.blocks import Block
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.steps.serial import step_hash
from twinzoo.zoo.steps.step import Step, Update


def trained_in(step: Step, block: Block) -> list[str]:
    """The roles whose gradients are taken through a block, by the update that goes through it."""
    found = {
        node.attrs["role"]
        for update in step.updates
        for name in step.path(update) & set(block.spec.nodes)
        if (node := step.nodes[name]).op == "call" and node.attrs["role"] in step.optimizers[update.optimizer].trains
    }
    return [role for role in step.networks if role in found]


def write_step(step: Step, blocks: Sequence[Block], sizes: dict[str, int]) -> str:
    """The source of a module whose `make(blocks, weights, updates, added)` returns the step as a function.

    The function takes the step's inputs and draws, then `lr` and `eps` of each update, and returns the reported losses,
    what the next step rests on, and the gradients that each update used.

    Args:
        sizes: how many trained parameters each network has.

    Raises:
        PortError: two losses go through one block, for which PyNative would run it forward again.
    """
    for block in blocks:
        through = [u for u in step.updates if step.path(u) & set(block.spec.nodes)]
        if len({(u.loss.ref, u.after) for u in through}) > 1:
            nodes, optimizers = ", ".join(block.spec.nodes), " and ".join(u.optimizer for u in through)
            raise PortError(
                f"{step.name}: {optimizers} both go through {nodes}: MindSpore pulls a gradient back once: "
                "train these networks by one loss, or call them again"
            )
    return "\n".join([*_head(step, blocks), *_Body(step, blocks, sizes).lines(), "", "    return step", ""])


def check_order(step: Step, blocks: Sequence[Block]) -> None:
    """Hold a step against what PyNative can do: gradients go back through the last block first.

    Raises:
        PortError: an update goes through a block while a later one still waits for its own.
    """
    waiting: list[Block] = []
    for block in blocks:
        if any(step.path(update) & set(block.spec.nodes) for update in step.updates):
            waiting.append(block)
        for updates in _by_loss(block):
            path = _path(step, updates)
            for through in [b for b in reversed(waiting) if path & set(b.spec.nodes)]:
                if waiting.pop() is not through:
                    nodes = ", ".join(through.spec.nodes)
                    raise PortError(
                        f"{step.name}: {updates[0].optimizer} goes through {nodes} while later nodes wait for theirs: "
                        "set MindSpore to graph mode, or draw those nodes after this update"
                    )


def _by_loss(block: Block) -> list[list[Update]]:
    """The updates after a block, those of one loss together: one gradient is pulled back for all of them."""
    losses = dict.fromkeys(update.loss.ref for update in block.updates)
    return [[update for update in block.updates if update.loss.ref == loss] for loss in losses]


def _path(step: Step, updates: Sequence[Update]) -> set[str]:
    return set().union(*(step.path(update) for update in updates))


def _head(step: Step, blocks: Sequence[Block]) -> list[str]:
    arguments = [*step.inputs, *step.draws]
    arguments += [f"_{number}{i}" for i in range(1, len(step.updates) + 1) for number in ("lr", "eps")]
    return [
        f'"""One training step of {step.name} for MindSpore, written by twinzoo.',
        "",
        f"step: {step_hash(step)}",
        '"""',
        "",
        "import mindspore as ms",
        "from mindspore import ops",
        "",
        "",
        "def make(blocks, weights, updates, added):",
        '    """The step as a function, over its blocks, the weights differentiated in each, and its updates."""',
        *(f"    _block{i} = blocks[{i - 1}]" for i in range(1, len(blocks) + 1)),
        *(f"    _weights{i} = weights[{i - 1}]" for i, b in enumerate(blocks, 1) if trained_in(step, b)),
        *(f"    _update{i} = updates[{i - 1}]" for i in range(1, len(step.updates) + 1)),
        "",
        "    def step(",
        *(f"        {name}," for name in arguments),
        "    ):",
    ]


class _Body:
    """The lines of the step's function."""

    def __init__(self, step: Step, blocks: Sequence[Block], sizes: dict[str, int]) -> None:
        self._step = step
        self._blocks = blocks
        self._sizes = sizes
        self._names = {ref: name for block in blocks for ref, name in zip(block.made, block.spec.outputs, strict=True)}
        self._names |= {name: name for name in (*step.inputs, *step.draws)}

    def lines(self) -> list[str]:
        """Blocks and updates in order, then what is returned."""
        made: list[str] = []
        for i, block in enumerate(self._blocks):
            made += self._forward(i, block)
            for updates in _by_loss(block):
                made += self._updates(updates, i)
        step = self._step
        losses = [self._names[value.ref] for value in step.outputs.values()]
        left = [self._names[value.ref] for value in step.left]
        gradients = [f"_used{k}" for k in range(1, len(step.updates) + 1)]
        made += fit(8, f"_losses = [{', '.join(losses)}]")
        made += fit(8, f"_left = [{', '.join(left)}]")
        return [*made, f"        return _losses, _left, [{', '.join(gradients)}]"]

    def _forward(self, i: int, block: Block) -> list[str]:
        given = [self._given(ref) for ref in block.given]
        outputs = ", ".join(block.spec.outputs)
        if not self._differentiated(block):
            return fit(8, f"{outputs} = {call(f'_block{i + 1}', *given)}")
        weights = [f"weights=_weights{i + 1}"] if trained_in(self._step, block) else []
        made = fit(8, f"_made{i + 1}, _pull{i + 1} = {call('ms.vjp', f'_block{i + 1}', *given, *weights)}")
        return [*made, *fit(8, f"{outputs} = _made{i + 1}")]

    def _given(self, ref: str) -> str:
        """A value made by an earlier block is cut off from it: PyNative's vjp would lose gradients of linked inputs."""
        made = any(ref in block.made for block in self._blocks)
        return f"ops.stop_gradient({self._names[ref]})" if made else self._names[ref]

    def _differentiated(self, block: Block) -> bool:
        return any(self._step.path(update) & set(block.spec.nodes) for update in self._step.updates)

    def _updates(self, updates: Sequence[Update], last: int) -> list[str]:
        """Pull a loss back, block by block, to the weights that its updates move, and make these."""
        path, loss = _path(self._step, updates), updates[0].loss.ref
        number = self._step.updates.index(updates[0]) + 1
        cotangents = {loss: f"ops.ones_like({self._names[loss]})"}
        gradients: dict[str, list[str]] = {
            role: [] for update in updates for role in self._step.optimizers[update.optimizer].trains
        }
        lines = []
        for i in range(last, -1, -1):
            block = self._blocks[i]
            if not path & set(block.spec.nodes):
                continue
            fed = [cotangents.get(ref, f"ops.zeros_like({self._names[ref]})") for ref in block.made]
            roles = trained_in(self._step, block)
            pulled = f"_pulled{number}_{i + 1}"
            back, own = (f"{pulled}[0]", f"{pulled}[1]") if roles else (pulled, "")
            lines += fit(8, f"{pulled} = {call(f'_pull{i + 1}', *fed)}")
            for place, ref in enumerate(block.given):
                if ref.partition(":")[0] in path:
                    found = f"{back}[{place}]" if len(block.given) > 1 else back
                    cotangents[ref] = f"{cotangents[ref]} + {found}" if ref in cotangents else found
            start = 0
            for role in roles:
                end = start + self._sizes[role]
                gradients[role].append(f"{own}[{start}:{end}]" if len(roles) > 1 else own)
                start = end
        for update in updates:
            k = self._step.updates.index(update) + 1
            parts = [_summed(gradients[role]) for role in self._step.optimizers[update.optimizer].trains]
            lines += fit(8, f"_used{k} = _update{k}({' + '.join(parts)}, _lr{k}, _eps{k})")
        return lines


def _summed(found: Sequence[str]) -> str:
    text = found[0]
    for part in found[1:]:
        text = f"added({text}, {part})"
    return text
