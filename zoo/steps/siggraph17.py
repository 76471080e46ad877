"""SIGGRAPH17: one network learns colours, and which of 529 bins they are in, from hints."""

from __future__ import annotations

from twinzoo.zoo.models.siggraph17 import CLASSES, STAGE
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Choice, Float, Int
from twinzoo.zoo.steps.step import Step


@step(
    "siggraph17_training",
    paper="Zhang et al. 2017, arXiv:1705.02999",
    task="colorization",
    small={"width": 2},
    presets={"classification": {"stage": "classification", "lr": 1e-4}, "last": {"lr": 1e-6}},
    allowed={
        "width": Int(minimum=1),
        "mask_centre": Float(),
        "stage": STAGE,
        "distance": Choice(choices=("l1", "huber")),
        "lambda_classes": Float(minimum=0.0),
        "lambda_colours": Float(minimum=0.0),
        "lr": Float(minimum=0.0),
        "beta1": Float(minimum=0.0, maximum=1.0),
    },
)
def siggraph17_training(
    t: Step,
    *,
    width: int = 64,
    mask_centre: float = 0.5,
    stage: str = "regression",
    distance: str = "l1",
    lambda_classes: float = 1.0,
    lambda_colours: float = 10.0,
    lr: float = 1e-5,
    beta1: float = 0.9,
) -> dict[str, Value]:
    """SIGGRAPH17: learn colours and their bins at once; the stage says which of the two the shared blocks learn from.

    lightness: (N, 1, H, W), L* in [0, 100], ab and hint: (N, 2, H, W), a* and b*, mask: (N, 1, H, W), 0 or 1, H and W
        multiples of 8; bins: (529, 2), of `square_ab_bins`, the same in every step -> scalars, as they add up:
        classification: the cross-entropy with the bin of every fourth pixel, times `lambda_classes`
        regression: the distance of the colours over 110, times `lambda_colours`
    width, mask_centre, stage: of the network; lr, beta1: of Adam; distance: l1 or huber, of `ab_distance`.

    Presets, in their order: `classification`, at 1e-4 and without hints; the defaults; `last`, at 1e-6.

    Zhang et al. 2017, section 3, as in the authors' PyTorch code, whose hints are drawn with the data: their number
    geometric with p = 1/8, sides of 1 to 9 pixels, places normal around the centre, colours the mean of the patch.
    """
    colorizer = t.network("colorizer", spec("siggraph17", width=width, mask_centre=mask_centre, stage=stage))
    classify = t.role("classification_loss", spec("bin_cross_entropy"))
    regress = t.role("regression_loss", spec("ab_distance", distance=distance))
    adam = t.optimizer("adam", colorizer, lr=lr, betas=(beta1, 0.999))

    lightness = t.input("lightness", channels=1, multiple_of=8, example=64, span=(0, 100))
    ab = t.input("ab", channels=2, multiple_of=8, example=64, span=(-110, 110))
    hint = t.input("hint", channels=2, multiple_of=8, example=64, span=(-110, 110))
    mask = t.input("mask", channels=1, multiple_of=8, example=64, span=(0, 1))
    bins = t.input("bins", shape=(CLASSES, 2), span=(-110, 110))
    made, logits = t.call("made", colorizer, lightness, hint, mask)
    fourth = t.slice("every_fourth", t.slice("every_fourth_row", ab, axis=2, step=4), axis=3, step=4)
    (surprise,) = t.call("surprise", classify, logits, fourth, bins)
    (apart,) = t.call("apart", regress, made, ab)
    classification = t.affine("classification", surprise, scale=lambda_classes)
    regression = t.affine("regression", apart, scale=lambda_colours)
    t.update(adam, t.add("total", classification, regression))
    return {"classification": classification, "regression": regression}
