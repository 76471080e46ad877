"""PatchNCE: a patch of the output should be closer to its own patch of the input than to the input's others."""

from __future__ import annotations

from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Bool, Float, Int

_NOWHERE = -10.0
"""The similarity of a patch with itself as a negative; over the temperature it is as good as none at all."""


def _unit_matrix(s: Spec, keys: Value) -> Value:
    """Ones where row and column are equal, (N, P, P): 1 - |i - j|, held at 0 and more; no gradient passes."""
    first = s.slice("first", s.stop_gradient("held", keys), axis=2, stop=1)
    row = s.cumsum("row", s.affine("ones", first, scale=0.0, shift=1.0), axis=1)
    distance = s.abs("distance", s.sub("difference", row, s.transpose("column", row, (0, 2, 1))))
    return s.relu("own", s.affine("nearness", distance, scale=-1.0, shift=1.0))


@loss(
    "patch_nce",
    paper="Park et al. 2020, arXiv:2007.15651",
    task="translation",
    small={"channels": 8},
    allowed={"channels": Int(minimum=1), "temperature": Float(minimum=1e-6), "perturbed": Bool()},
)
def patch_nce(s: Spec, *, channels: int = 256, temperature: float = 0.07, perturbed: bool = False) -> Value:
    """PatchNCE: the cross-entropy of finding a patch's own counterpart among all patches of the image.

    queries, keys: (N, P, channels), of length 1, patches of the output and, at the same places, of the input; with
        `perturbed` also noise: (P, P) in [-0.3, 0.3], row by row for the queries, the same for every image
        -> a scalar, the mean over patches and images
    temperature: what similarities are divided by.
    perturbed: similarities with the negatives are multiplied by 1 + noise, so that they are harder to tell from the
        positive one (SinGAN-Dehaze, and FeatureNoise of Ouali et al. 2020, which draws it evenly).

    Park et al. 2020, section 3.2 and equation 2. Negatives are the other P - 1 patches of the same image. As in the
    authors' code the similarity of a patch with its own place is set to -10 among them, before the division by the
    temperature, and no gradient flows into the keys. Noise comes before that.
    """
    queries = s.input("queries", shape=("N", "P", channels), example=16)
    keys = s.stop_gradient("targets", s.input("keys", shape=("N", "P", channels), example=16))
    positive = s.sum("positive", s.mul("products", queries, keys), axes=(2,), keepdims=True)
    others = s.matmul("similarities", queries, s.transpose("turned", keys, (0, 2, 1)))
    if perturbed:
        noise = s.input("noise", shape=("P", "P"), example=16, span=(-0.3, 0.3))
        others = s.mul("perturbed", others, s.affine("factors", noise, shift=1.0))
    own = _unit_matrix(s, keys)
    others = s.mul("others", others, s.affine("not_own", own, scale=-1.0, shift=1.0))
    negatives = s.add("negatives", others, s.affine("nowhere", own, scale=_NOWHERE))
    logits = s.affine("logits", s.concat("candidates", positive, negatives, axis=2), scale=1 / temperature)
    found = s.slice("found", s.log_softmax("shares", logits, axis=2), axis=2, stop=1)
    return s.neg("cross_entropy", s.mean("log_share", found))
