"""Two networks that are not the same, told as a person would: extra layers, repeated and shared blocks, fused norms.

Both sides are read as the sequence of their layers' runs; what one has and the other has not is named run by run, and a
run that repeats itself is counted as blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import prod

from twinzoo.converters.forms import plain
from twinzoo.converters.graph import Graph
from twinzoo.converters.layers import Layer, Shape

Signature = tuple[tuple[str, Shape], ...]
_SHOWN = 3


@dataclass(frozen=True)
class _Run:
    """One run of a layer: its name, and what it is."""

    layer: str
    what: Signature
    text: str


def differences(
    sources: Mapping[str, Layer], targets: Mapping[str, Layer], graphs: tuple[Graph, Graph] | None = None
) -> list[str]:
    """What one side has and the other has not, a line each; nothing where both have the same layers as often.

    Args:
        sources, targets: the layers in order.
        graphs: both flows of data where they are known: a shared layer then counts as often as it runs.
    """
    ours = _runs(sources, graphs[0] if graphs else None)
    theirs = _runs(targets, graphs[1] if graphs else None)
    shared = _shared(ours, theirs)
    if shared:
        return shared
    matcher = SequenceMatcher(None, [run.what for run in ours], [run.what for run in theirs], autojunk=False)
    lines = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            lines.append(_difference(ours[a:b], theirs[c:d]))
    return lines


def _runs(layers: Mapping[str, Layer], graph: Graph | None) -> list[_Run]:
    """The layers in the order in which they run, else as they are defined; those that never run come last."""
    calls = [op.layer for op in graph.operations if op.layer] if graph else []
    known = graph.layers if graph else layers
    seen = set(calls)
    return [_run(known[name]) for name in (*calls, *(name for name in known if name not in seen))]


def _run(layer: Layer) -> _Run:
    return _Run(layer.prefix, plain(layer).signature, describe(layer))


def describe(layer: Layer) -> str:
    """A layer in a few words: `conv2d 64->128 k3x3`, `batch_norm 64`."""
    form = plain(layer)
    weight = form.tensors.get("weight")
    shape = weight.shape if weight else ()
    if len(shape) > 1:
        first, second = (shape[0], shape[1]) if "transpose" in layer.kind else (shape[1], shape[0])
        kernel = f" k{'x'.join(map(str, shape[2:]))}" if len(shape) > 2 else ""
        kind = layer.kind or ("linear" if len(shape) == 2 else f"conv{len(shape) - 2}d")
        return f"{kind} {first}->{second}{kernel}"
    size = shape[0] if shape else sum(prod(tensor.shape) for tensor in form.tensors.values())
    return f"{layer.kind or ('norm' if 'running_mean' in form.tensors else ' + '.join(form.tensors))} {size}"


def _shared(ours: Sequence[_Run], theirs: Sequence[_Run]) -> list[str]:
    """Layers that one side runs several times where the other has one for each run."""
    if [run.what for run in ours] != [run.what for run in theirs]:
        return []
    lines = []
    for few, many, words in ((theirs, ours, ("target", "source")), (ours, theirs, ("source", "target"))):
        partners: dict[str, dict[str, None]] = {}
        for one, other in zip(few, many, strict=True):
            partners.setdefault(one.layer, {})[other.layer] = None
        blocks: dict[int, list[str]] = {}
        for layer, others in partners.items():
            if len(others) > 1:
                blocks.setdefault(len(others), []).append(layer)
        for times, layers in blocks.items():
            sets = ", ".join([*partners[layers[0]]][:_SHOWN]) + (", ..." if times > _SHOWN else "")
            lines.append(
                f"{_block(layers)} runs {times} times in the {words[0]}, with one set of weights; "
                f"the {words[1]} has {times} sets ({sets})"
            )
    return lines


def _block(layers: Sequence[str]) -> str:
    return f"layer {layers[0]}" if len(layers) == 1 else f"the block of {', '.join(layers)}"


def _difference(ours: Sequence[_Run], theirs: Sequence[_Run]) -> str:
    if not theirs:
        return f"only the source has {_counted(ours)}"
    if not ours:
        return f"only the target has {_counted(theirs)}"
    fused = _fused(ours, theirs, "source", "target") or _fused(theirs, ours, "target", "source")
    return fused or f"the source has {_counted(ours)} where the target has {_counted(theirs)}"


def _counted(runs: Sequence[_Run]) -> str:
    """A row of layers, as so many equal blocks where it repeats itself."""
    period = next(n for n in range(1, len(runs) + 1) if _repeats(runs, n))
    times = len(runs) // period
    block = ", ".join(f"{run.layer} ({run.text})" for run in runs[: min(period, 2 * _SHOWN)])
    more = f", ... {period - 2 * _SHOWN} more" if period > 2 * _SHOWN else ""
    if times == 1:
        return block + more
    return f"{times} blocks of {period} layers, the first {block}{more}" if period > 1 else f"{times} times {block}"


def _repeats(runs: Sequence[_Run], period: int) -> bool:
    return len(runs) % period == 0 and all(run.what == runs[i % period].what for i, run in enumerate(runs))


def _fused(many: Sequence[_Run], one: Sequence[_Run], side: str, other: str) -> str:
    """A convolution and its batch norm against a convolution with a bias, or a packed layer against its parts."""
    if len(many) == 2 and len(one) == 1 and "norm" in many[1].text and many[0].text == one[0].text:
        return (
            f"the {side} has {many[0].layer} and the norm {many[1].layer} where the {other} has {one[0].layer} alone: "
            "the norm is folded into it there"
        )
    if len(one) == 1 and len({run.text for run in many}) == 1 and _parts(one[0].what, many):
        names = ", ".join(run.layer for run in many)
        return f"the {side} has {names} apart, which the {other} has packed in {one[0].layer}"
    return ""


def _parts(whole: Signature, parts: Sequence[_Run]) -> bool:
    """Whether the shapes of a layer are those of the parts put together along their first axis."""
    big, small = dict(whole), dict(parts[0].what)
    count = len(parts)
    return big.keys() == small.keys() and all(big[r] == (shape[0] * count, *shape[1:]) for r, shape in small.items())
