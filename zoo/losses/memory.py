"""Threshold triplet loss: images of one colouring should look alike to the memory, others should not."""

from __future__ import annotations

from twinzoo.zoo.models.choices import above_zero, not_below_zero
from twinzoo.zoo.models.memory import COLOURS, FEATURES, PAPER, SLOTS, divergence, scores
from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Float, Int

_SIZE = Int(minimum=1)


@loss(
    "threshold_triplet",
    paper=PAPER,
    task="colorization",
    small={"slots": 8, "features": 6, "colours": 5, "neighbours": 4},
    allowed={
        "slots": _SIZE,
        "features": _SIZE,
        "colours": _SIZE,
        "neighbours": _SIZE,
        "threshold": Float(),
        "margin": Float(minimum=0.0),
    },
)
def threshold_triplet(
    s: Spec,
    *,
    slots: int = SLOTS,
    features: int = FEATURES,
    colours: int = COLOURS,
    neighbours: int = 256,
    threshold: float = 0.7,
    margin: float = 0.1,
) -> Value:
    """Threshold triplet loss: of the nearest keys, the best of other colours must lie behind the best of the same.

    query: (N, features), keys: (slots, features), of length 1; values: (slots, colours), colour: (N, colours),
        distributions -> a scalar, the mean over images of max(0, other - same + margin)
    neighbours: the keys looked at, at most `slots`. threshold: a key has the same colouring where the `divergence` of
        its value from the image's colours is below it.

    Yoo et al. 2019, as in the published PyTorch code: where there is no key of a kind, its best is 0, and a
    negative cosine is none the better. Nothing moves but what made the query.
    """
    query = s.input("query", shape=("N", features))
    keys, values = (
        s.input("keys", shape=(slots, features)),
        s.input("values", shape=(slots, colours), span=(0, 2 / colours)),
    )
    colour = s.input("colour", shape=("N", colours), span=(0, 2 / colours))
    cosines = scores(s, "scores", query, s.stop_gradient("fixed", keys))
    nearest = s.topk("nearest", s.stop_gradient("ranked", cosines), neighbours, axis=1)
    last = s.slice("last", nearest, axis=1, start=neighbours - 1)
    among = not_below_zero(s, "among", s.sub("before_last", cosines, last))
    known = s.reshape("known", values, (1, slots, colours))
    far = divergence(s, "far", known, s.reshape("own", colour, (0, 1, colours)))
    near = s.affine("nearer", far, scale=-1.0, shift=threshold)
    same = s.mul("same_among", above_zero(s, "same", near), among)
    kinds = {"same": same, "other": s.sub("other_among", among, same)}
    best = {
        kind: s.amax(f"{kind}_best", s.mul(f"{kind}_scores", cosines, which), axes=(1,))
        for kind, which in kinds.items()
    }
    behind = s.affine("behind", s.sub("apart", best["other"], best["same"]), shift=margin)
    return s.mean("loss", s.relu("hinge", behind))
