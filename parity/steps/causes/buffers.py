"""Causes in running statistics: momentum, biased variance, a network that runs twice, or in evaluation mode.

In training a batch norm makes r' = (1 - m) r + m s of its statistics r and the batch's s. Of two sides with the same r
and s, one is therefore a combination of the other's and the old ones: r'_b = p r'_a + q r. Another momentum gives
p = m_b / m_a and q = 1 - p, for the mean and the variance alike; a biased variance changes only that, by
p = (n - 1) / n.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.causes.cause import Cause, cause

Array = NDArray[Any]

_MOMENTA = (0.1, 0.01, 0.001, 0.003, 0.03, 0.05, 0.2, 0.3, 0.4, 0.5)


class Moved(NamedTuple):
    """A buffer in one step; noise is the mean |a - b| that is explained."""

    before: Array
    a: Array
    b: Array
    noise: float


def buffer_causes(
    step: int,
    found: Mapping[str, Moved],
    rest: Mapping[str, Moved],
    label: Callable[[str], str],
) -> list[Cause]:
    """A cause for every buffer that rounding does not explain, those alike together.

    Args:
        found: the buffers that are wrong, by side a's name.
        rest: those that agree.
    """
    groups: dict[tuple[str, str, str], list[str]] = {}
    for key, moved in found.items():
        mean = key.replace("running_var", "running_mean").replace("moving_variance", "moving_mean")
        groups.setdefault(_explained(key, moved, mean in rest), []).append(label(key))
    return [cause(step, "buffers", kind, keys, evidence, fix) for (kind, evidence, fix), keys in groups.items()]


def _explained(key: str, moved: Moved, mean_agrees: bool) -> tuple[str, str, str]:
    ours, theirs = moved.a - moved.before, moved.b - moved.before
    for side, other, moves in (("b", "a", theirs), ("a", "b", ours)):
        if not moves.any():
            fix = f"{side}: put the network in training mode before the step: model.train(), cell.set_train()"
            return "norm-mode", f"{side}'s running statistics do not move, {other}'s do", fix
    if mean_agrees and (variance := _biased(moved)) is not None:
        return variance
    ratio = float((ours * theirs).sum() / (ours * ours).sum())
    if ratio > 0 and np.abs(theirs - ratio * ours).mean() <= moved.noise * (1 + ratio):
        return _momentum(ratio, moved.noise / max(float(np.abs(ours).mean()), 1e-300))
    evidence = f"mean |a-b| {np.abs(moved.a - moved.b).mean():.3g} where {moved.noise:.3g} is explained"
    return "unexplained", evidence, f"look at what updates {key.rpartition('.')[2]}, and when"


def _momentum(ratio: float, share: float) -> tuple[str, str, str]:
    """Statistics that move in proportion: by another momentum, or several times a step."""
    share = max(2 * share, 1e-6)
    evidence = f"b's running statistics move {ratio:.4g} times as far as a's in every channel"
    for momentum in _MOMENTA:
        others = (1 - momentum, *_MOMENTA)
        pairs = [*((momentum, theirs) for theirs in others), *((theirs, momentum) for theirs in others)]
        for ours, other in pairs:  # a's is the usual one, rather than b's
            if abs(other / ours - ratio) <= share * ratio:
                why = ": MindSpore's momentum is 1 minus PyTorch's" if abs(ours + other - 1) < 1e-9 else ""
                fix = f"b: momentum must be {1 - ours:.4g} in nn.BatchNorm2d of MindSpore, {ours:.4g} in PyTorch's"
                return "momentum", f"{evidence}, as {other:.4g} against {ours:.4g} (PyTorch's meaning){why}", fix
        for times in (2, 3):
            more = (1 - (1 - momentum) ** times) / momentum
            for value, side, once in ((more, "b", "a"), (1 / more, "a", "b")):
                if abs(value - ratio) <= share * ratio:
                    evidence += f", as where {side} runs the network {times} times a step (momentum {momentum:g})"
                    fix = f"{side}: run the network once a step, as {once} does (MindSpore: ms.vjp)"
                    return "extra-op", evidence, fix
    return "momentum", evidence, "give both sides' norms the same momentum (MindSpore's is 1 minus PyTorch's)"


def _biased(moved: Moved) -> tuple[str, str, str] | None:
    """A variance that is n / (n - 1) times the other's before it is averaged in."""
    columns = np.stack([moved.a, moved.before], axis=1)
    if len(columns) < 3 or np.linalg.matrix_rank(columns) < 2:
        return None
    factors, *_ = np.linalg.lstsq(columns, moved.b, rcond=None)
    ratio = float(factors[0])
    if ratio <= 0 or ratio == 1 or np.abs(columns @ factors - moved.b).mean() > 2 * moved.noise:
        return None
    larger = max(ratio, 1 / ratio)
    count = larger / (larger - 1)
    side = "b" if ratio < 1 else "a"
    evidence = f"the mean agrees, b's variance is {ratio:.6g} times a's before it is averaged in: n={count:.4g} for n-1"
    return "variance", evidence, f"{side}: store the unbiased variance, sum of squares over n-1, as PyTorch does"
