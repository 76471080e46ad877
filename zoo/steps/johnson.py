"""Johnson's fast style transfer: a transform net learns one painting's style on photographs."""

from __future__ import annotations

from twinzoo.zoo.models.johnson import FORM
from twinzoo.zoo.models.style import PAPER
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Float, Int, Words
from twinzoo.zoo.steps.step import Step

_WEIGHT = Float(minimum=0.0)


@step(
    "johnson",
    paper=PAPER,
    task="style",
    small={"width": 4, "blocks": 1, "features_width": 2},
    allowed={
        "width": Int(minimum=1),
        "blocks": Int(minimum=0),
        "form": FORM,
        "content_layer": Words(minimum=1),
        "lambda_content": _WEIGHT,
        "lambda_style": _WEIGHT,
        "lambda_variation": _WEIGHT,
        "features_width": Int(minimum=1),
        "lr": _WEIGHT,
        "beta1": Float(minimum=0.0, maximum=1.0),
    },
    presets={
        "examples": {},
        "lua": {
            "form": "lua",
            "content_layer": ("relu3_3",),
            "lambda_content": 1.0,
            "lambda_style": 5.0,
            "lambda_variation": 1e-6,
        },
    },
)
def johnson(
    t: Step,
    *,
    width: int = 32,
    blocks: int = 5,
    form: str = "examples",
    content_layer: tuple[str, ...] = ("relu2_2",),
    lambda_content: float = 1e5,
    lambda_style: float = 1e10,
    lambda_variation: float = 0.0,
    features_width: int = 64,
    lr: float = 1e-3,
    beta1: float = 0.9,
) -> dict[str, Value]:
    """Johnson's fast style transfer: keep a photograph's features, take a painting's Gram matrices.

    photograph: (N, 3, H, W), H and W multiples of 4; painting: (1, 3, HS, WS), the same in every step, in the range
        that `johnson_transformer` has in this form -> scalars: content, style and (not with a weight of 0) variation,
        as they add up, of `johnson_perceptual` with `content_layer` and weights `lambda_...`
    width, blocks, form: of `johnson_transformer`. lr, beta1: of Adam. features_width: of the VGG-16, 64 for published
        weights, which are Caffe's (BGR, not standardized) in form lua.

    Johnson et al. 2016, section 4.1 (Adam at 1e-3, batches of 4, 256 pixels, two epochs of COCO). Preset `examples`
    (the defaults) is pytorch/examples, which has no total variation; `lua` is the authors' code.
    """
    transformer = t.network("transformer", spec("johnson_transformer", width=width, blocks=blocks, form=form))
    weights = {"content": lambda_content, "style": lambda_style, "variation": lambda_variation}
    judged = spec(
        "johnson_perceptual",
        content_layer=content_layer,
        **weights,
        standardize=form == "examples",
        width=features_width,
    )
    perceptual = t.network("perceptual", judged, train=False)
    adam = t.optimizer("adam", transformer, lr=lr, betas=(beta1, 0.999))

    span = transformer.spec.inputs["image"].span
    photograph = t.input("photograph", channels=3, multiple_of=4, example=64, span=span)
    painting = t.input("painting", shape=(1, 3, "HS", "WS"), multiple_of=4, example=64, span=span)
    (made,) = t.call("made", transformer, photograph)
    losses = dict(zip(judged.outputs, t.call("judged", perceptual, made, photograph, painting), strict=True))
    t.update(adam, t.total("total", *losses.values()))
    return losses
