"""Rows of functions that combine elements along axes."""

from __future__ import annotations

import torch

from twinzoo.converters.live.torch.calls import Call, Step, step
from twinzoo.converters.live.torch.rows.table import row


@row("sum mean amax amin logsumexp", "input dim keepdim")
def _reduced(call: Call) -> Step:
    return step(call.name, call.x, axes=call.axes(), keepdims=call.get("keepdim", False))


@row("max min", "input dim keepdim")
def _extreme(call: Call) -> Step | None:
    """Of all elements. With another tensor it is a pair's, along an axis it gives places too."""
    other = call.get("dim")
    if isinstance(other, torch.Tensor):
        return step("maximum", call.x, other) if call.name == "max" else step("torch.minimum", call.x, other)
    return step(f"a{call.name}", call.x) if other is None else None


@row("var std", "input dim unbiased keepdim correction")
def _spread(call: Call) -> Step:
    """Both forms: `var(x, dim, unbiased, keepdim)`, in which a truth value may come second, and `correction=`."""
    given, unbiased = call.get("dim", ()), call.get("unbiased", True)
    if isinstance(given, bool):
        given, unbiased = (), given
    axes = tuple(sorted(axis % call.x.ndim for axis in ((given,) if isinstance(given, int) else given)))
    correction = call.get("correction", int(unbiased))
    return step(call.name, call.x, axes=axes, correction=correction, keepdims=call.get("keepdim", False))


@row("softmax log_softmax cumsum", "input dim")
def _along(call: Call) -> Step:
    return step(call.name, call.x, axis=call.axis())


@row("normalize", "input p dim eps")
def _normalize(call: Call) -> Step | None:
    if call.get("p", 2.0) != 2.0:
        return None
    return step("l2_normalize", call.x, axis=call.axis(default=1), eps=call.get("eps", 1e-12))


@row("matmul mm bmm imatmul", "input other")
def _matmul(call: Call) -> Step | None:
    other = call.get("other")
    return step("matmul", call.x, other) if min(call.x.ndim, other.ndim) > 1 else None


@row("topk", "input k dim largest sorted")
def _topk(call: Call) -> Step | None:
    plain = call.get("largest", True) and call.get("sorted", True)
    return step("topk", call.x, k=call.get("k"), axis=call.axis(default=-1)) if plain else None
