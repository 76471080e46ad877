"""ECCV16: one network learns which of 313 colours every pixel may have."""

from __future__ import annotations

from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Float, Int
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step


@step(
    "eccv16_training",
    paper="Zhang, Isola and Efros 2016, arXiv:1603.08511",
    task="colorization",
    small={"width": 2},
    presets={"code": {"neighbours": 10}},
    allowed={
        "width": Int(minimum=1),
        "neighbours": Int(minimum=1),
        "sigma": Float(minimum=1e-3),
        "gray": Float(minimum=0.0),
        "lr": Float(minimum=0.0),
        "beta1": Float(minimum=0.0, maximum=1.0),
        "beta2": Float(minimum=0.0, maximum=1.0),
        "weight_decay": Float(minimum=0.0),
        "epochs": Int(minimum=1),
        "epoch_steps": Int(minimum=1),
    },
)
def eccv16_training(
    t: Step,
    *,
    width: int = 64,
    neighbours: int = 5,
    sigma: float = 5.0,
    gray: float = 5.0,
    lr: float = 3e-5,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 1e-3,
    epochs: int = 225,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """ECCV16: classify the colour of every fourth pixel, rare colours counting more.

    lightness: (N, 1, H, W), L* in [0, 100], ab: (N, 2, H, W), a* and b*, H and W multiples of 8; bins: (313, 2), of
        `ab_bins`, and rarity: (313,), of `rebalancing`, the same in every step -> a scalar:
        classification: the rebalanced cross-entropy
    neighbours, sigma, gray: of `rebalanced_cross_entropy`. Preset `code` has 10 neighbours, as the authors' code.
    width: of the network. lr, beta1, beta2, weight_decay: of Adam.
    epochs: after as many the learning rate is a tenth, and so on. epoch_steps: images over batch size.

    Zhang et al. 2016, sections 2 and 3, with the settings of the authors' Caffe solver: a tenth of the rate after every
    225,000 steps, 500,000 in all. Colours are every fourth pixel, not means over four. The network has no decoder here.
    """
    colorizer = t.network("colorizer", spec("eccv16", width=width, decode=False))
    encoding = {"neighbours": neighbours, "sigma": sigma, "gray": gray}
    classify = t.role("classification_loss", spec("rebalanced_cross_entropy", **encoding))
    settings = {"lr": lr, "weight_decay": weight_decay}
    adam = t.optimizer(
        "adam",
        colorizer,
        betas=(beta1, beta2),
        schedule=Schedule("tenths", epochs, epoch_steps=epoch_steps),
        **settings,
    )

    lightness = t.input("lightness", channels=1, multiple_of=8, example=64, span=(0, 100))
    ab = t.input("ab", channels=2, multiple_of=8, example=64, span=(-110, 110))
    bins, rarity = t.input("bins", shape=(313, 2), span=(-110, 110)), t.input("rarity", shape=(313,), span=(0, 2))
    (logits,) = t.call("logits", colorizer, lightness)
    fourth = t.slice("every_fourth", t.slice("every_fourth_row", ab, axis=2, step=4), axis=3, step=4)
    (loss,) = t.call("classified", classify, logits, fourth, bins, rarity)
    t.update(adam, loss)
    return {"classification": loss}
