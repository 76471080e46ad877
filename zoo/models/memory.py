"""The memory of memory-augmented colorization: keys of what images look like, values of how they are coloured, ages.

It is a state of plain tensors, and each of the two things done with it is a spec: look up, and update.
"""

from __future__ import annotations

import math

from twinzoo.zoo.models.choices import above_zero, not_below_zero, zero
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Float, Int

PAPER = "Yoo et al. 2019, arXiv:1906.11888"
MEMOPAINTER = "dongheehand/MemoPainter-PyTorch"
SLOTS, FEATURES, COLOURS = 982, 512, 313
_EPS = 1e-8
_TINY = 1e-30
_SIZE = Int(minimum=1)


@model(
    "memory_query",
    paper=PAPER,
    task="colorization",
    namings={MEMOPAINTER: lambda **_: {"query": "Linear"}},
    small={"features": 16},
    allowed={"features": _SIZE},
)
def memory_query(s: Spec, *, features: int = FEATURES) -> Value:
    """What the memory is asked: the pooled features of a ResNet-18 through a linear layer, to length 1.

    pooled: (N, features), of `resnet18` with its option `pooled` -> (N, features), of Euclidean length 1

    Yoo et al. 2019. The ResNet is fixed and stays in eval mode; this layer learns.
    """
    pooled = s.input("pooled", shape=("N", features), span=(0, 2))
    return s.l2_normalize("unit", s.linear("query", pooled, features), axis=1)


def scores(s: Spec, name: str, query: Value, keys: Value) -> Value:
    """The cosine of each query (N, F) with each key (M, F), (N, M), all of them of length 1."""
    return s.matmul(name, query, s.transpose(f"{name}_keys", keys, (1, 0)))


def divergence(s: Spec, name: str, known: Value, colour: Value) -> Value:
    """How far distributions `known` are from `colour`, over the last axis: the sum of p log10(p / (q + 1e-8)).

    A bin that `known` lacks counts 0. The published code gets 0 * -infinity there, which is no number and so below no
    threshold, so that a memory of distributions with empty bins never updates a key.
    """
    held = s.affine(f"{name}_held", colour, shift=_EPS)
    ratio = s.div(f"{name}_ratio", s.clamp(f"{name}_known", known, low=_TINY), held)
    terms = s.mul(f"{name}_terms", known, s.log(f"{name}_log", ratio))
    return s.affine(name, s.sum(f"{name}_sum", terms, axes=(-1,)), scale=1 / math.log(10))


def _declared(s: Spec, batch: int | str, slots: int, features: int, colours: int) -> dict[str, Value]:
    return {
        "query": s.input("query", shape=(batch, features)),
        "keys": s.input("keys", shape=(slots, features)),
        "values": s.input("values", shape=(slots, colours), span=(0, 2 / colours)),
    }


def nearest(s: Spec, name: str, query: Value, keys: Value) -> Value:
    """The key nearest to each query as a row of zeros with a one, (N, M); of several as near, each its share."""
    cosines = scores(s, f"{name}_scores", query, keys)
    behind = s.sub(f"{name}_behind", cosines, s.amax(f"{name}_best", cosines, axes=(1,), keepdims=True))
    first = not_below_zero(s, f"{name}_first", behind)
    return s.div(name, first, s.sum(f"{name}_count", first, axes=(1,), keepdims=True))


@model(
    "memory_lookup",
    paper=PAPER,
    task="colorization",
    small={"slots": 6, "features": 8, "colours": 5},
    allowed={"slots": _SIZE, "features": _SIZE, "colours": _SIZE},
)
def memory_lookup(s: Spec, *, slots: int = SLOTS, features: int = FEATURES, colours: int = COLOURS) -> Value:
    """The colours that the memory has for an image: the value of the nearest key.

    query: (N, features), keys: (slots, features), of length 1; values: (slots, colours) -> (N, colours)

    Yoo et al. 2019: what the generator is given in testing; in training it is the image's own colours.
    """
    held = _declared(s, "N", slots, features, colours)
    return s.matmul("colour", nearest(s, "nearest", held["query"], held["keys"]), held["values"])


@model(
    "memory_update",
    paper=PAPER,
    task="colorization",
    small={"batch": 3, "slots": 6, "features": 8, "colours": 5},
    allowed={"batch": _SIZE, "slots": _SIZE, "features": _SIZE, "colours": _SIZE, "threshold": Float()},
)
def memory_update(
    s: Spec,
    *,
    batch: int = 4,
    slots: int = SLOTS,
    features: int = FEATURES,
    colours: int = COLOURS,
    threshold: float = 0.7,
) -> dict[str, Value]:
    """The memory after a batch: known images move their key, new ones take the place of the oldest.

    query: (batch, features), of length 1; colour: (batch, colours), distributions; keys: (slots, features), values:
        (slots, colours), ages: (slots,) of the memory; noise: (slots,), drawn evenly from [-4, 4]
        -> next_keys, next_values, next_ages, of the same shapes
    threshold: where `divergence` of the nearest key's value from the image's colours is below it, the image is known:
        the key becomes key + query, to length 1, and its age 0. Else query and colours are written into the slot of the
        greatest age + noise, the next image of the batch into the next one, and its age is 0. All others age by 1.

    Yoo et al. 2019, in the form of the published PyTorch code, which sees a batch at once: ages grow
    before slots are chosen, and known images come first. Two images of a batch that move one key are both added to it;
    that code keeps one of them, undefined which. It has no image's number of its own here, which is kept there but
    never used. Palettes, which that code compares by CIEDE2000, are not offered.
    """
    held = _declared(s, batch, slots, features, colours)
    query, keys, values = held.values()
    colour = s.input("colour", shape=(batch, colours), span=(0, 2 / colours))
    ages = s.input("ages", shape=(slots,), span=(0, 8))
    noise = s.input("noise", shape=(slots,), span=(-4, 4))

    hit = nearest(s, "nearest", query, keys)
    far = divergence(s, "far", s.matmul("known", hit, values), colour)
    known = above_zero(s, "is_known", s.affine("nearer", far, scale=-1.0, shift=threshold))
    hits = s.mul("hits", hit, s.reshape("known_rows", known, (batch, 1)))
    touched = above_zero(s, "touched", s.amax("touched_row", hits, axes=(0,)))
    sums = s.add("sums", keys, s.matmul("added", s.transpose("hits_by_slot", hits, (1, 0)), query))
    moved = s.l2_normalize("moved", sums, axis=1, eps=_TINY**0.5)
    older = s.mul("older", s.affine("grown", ages, shift=1.0), _others(s, "untouched", touched))

    noisy = s.add("noisy_ages", older, noise)
    new = _others(s, "is_new", known)
    order = s.mul("order", s.cumsum("count_new", new, axis=0), new)
    ranks = s.cumsum("ranks", s.affine("each", new, scale=0.0, shift=1.0), axis=0)
    placed = _matches(s, "placed", order, ranks, batch)
    oldest = _matches(s, "oldest", s.topk("greatest", noisy, batch, axis=0), noisy, batch)
    by_slot = s.transpose("writes_by_slot", s.matmul("writes", placed, oldest), (1, 0))
    written = s.sum("written", by_slot, axes=(1,))

    moving, writing = (s.reshape(f"{c.node}_rows", c, (slots, 1)) for c in (touched, written))
    kept = _replaced(s, "moved_keys", keys, moving, s.mul("moved_alone", moved, moving))
    return {
        "next_keys": _replaced(s, "next_keys", kept, writing, s.matmul("new_keys", by_slot, query)),
        "next_values": _replaced(s, "next_values", values, writing, s.matmul("new_values", by_slot, colour)),
        "next_ages": s.mul("next_ages", older, _others(s, "unwritten", written)),
    }


def _matches(s: Spec, name: str, wanted: Value, among: Value, batch: int) -> Value:
    """1 where a number of wanted (batch,) is one of among (K,), 0 elsewhere: (batch, K)."""
    return zero(s, name, s.sub(f"{name}_apart", s.reshape(f"{name}_column", wanted, (batch, 1)), among))


def _others(s: Spec, name: str, choice: Value) -> Value:
    return s.affine(name, choice, scale=-1.0, shift=1.0)


def _replaced(s: Spec, name: str, old: Value, choice: Value, new: Value) -> Value:
    """old where choice is 0, new where it is 1 (and 0 elsewhere), to the last digit."""
    return s.add(name, s.mul(f"{name}_kept", old, _others(s, f"{name}_unchosen", choice)), new)
