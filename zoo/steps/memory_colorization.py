"""Memory-augmented colorization: a query learns what looks alike, a memory keeps colours, a GAN learns to use them."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.memory import PAPER
from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Float, Int, channels_of
from twinzoo.zoo.steps.step import Step

_SIZE = Int(minimum=1)
_WEIGHT = Float(minimum=0.0)


@step(
    "memory_colorization",
    paper=PAPER,
    task="colorization",
    small={
        "batch": 3,
        "slots": 8,
        "colours": 5,
        "neighbours": 4,
        "size": 32,
        "width": 2,
        "depth": 4,
        "features_width": 2,
    },
    allowed={
        "batch": Int(minimum=2),
        "slots": _SIZE,
        "colours": _SIZE,
        "neighbours": _SIZE,
        "threshold": Float(),
        "margin": _WEIGHT,
        "size": Int(minimum=32),
        "width": _SIZE,
        "depth": Int(minimum=3),
        "dropout": Float(minimum=0.0, maximum=1.0),
        "features_width": _SIZE,
        "lr": _WEIGHT,
        "beta1": Float(minimum=0.0, maximum=1.0),
    },
)
def memory_colorization(
    t: Step,
    *,
    batch: int = 4,
    slots: int = 982,
    colours: int = 313,
    neighbours: int = 256,
    threshold: float = 0.7,
    margin: float = 0.1,
    size: int = 256,
    width: int = 64,
    depth: int = 8,
    dropout: float = 0.5,
    features_width: int = 64,
    lr: float = 1e-4,
    beta1: float = 0.9,
) -> dict[str, Value]:
    """Memory-augmented colorization: the query, the memory, the discriminator and the generator, in this order.

    image: (batch, 3, H, W), the gray image in three channels, standardized; lightness: (batch, 1, size, size), L*/100;
        ab: (batch, 2, size, size), a* and b* over 110; colour: (batch, colours), the image's own distribution over
        bins; noise: (slots,), drawn evenly from [-4, 4] for every step -> scalars:
        triplet: of `threshold_triplet`, which trains the query
        discriminator: what the real and the false image cost it, added up
        adversarial, smooth_l1: the two terms of the generator's loss
    The memory is carried from step to step: keys (slots, 8 features_width), at first random directions; values (slots,
        colours), at first random distributions; ages (slots,), at first 0.
    slots, neighbours, threshold, margin: of `memory_update` and `threshold_triplet`. size, width, depth, dropout: of
        `memory_generator` and `memory_discriminator`. features_width: of the ResNet-18, which is fixed; 64 for
        published weights. lr, beta1: of all three Adams.

    Yoo et al. 2019, as in the published PyTorch code: the memory is updated with the query's new
    parameters, and the generator is given the image's own colours, so that it does not depend on the memory. That code
    runs the generator once for each of its two updates, each time with another dropout; here it runs once.
    """
    resnet = t.network("resnet", spec("resnet18", pooled=True, width=features_width), train=False)
    features = channels_of(resnet.spec.outputs["output"].shape)
    query = t.network("query", spec("memory_query", features=features))
    generator = t.network(
        "generator", spec("memory_generator", colours=colours, width=width, depth=depth, dropout=dropout)
    )
    discriminator = t.network(
        "discriminator", spec("memory_discriminator", batch=batch, colours=colours, size=size, width=width)
    )
    memory = {"slots": slots, "features": features, "colours": colours, "threshold": threshold}
    triplet = t.role("triplet_loss", spec("threshold_triplet", **memory, neighbours=neighbours, margin=margin))
    remember = t.role("memory_update", spec("memory_update", **memory, batch=batch))
    judge = t.role("judge_loss", spec("bce_adversarial", role="discriminator"))
    deceive = t.role("deceive_loss", spec("bce_adversarial", role="generator"))
    distance = t.role("distance_loss", spec("smooth_l1", channels=2))
    settings: dict[str, Any] = {"lr": lr, "betas": (beta1, 0.999)}
    query_adam = t.optimizer("query_adam", query, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", discriminator, **settings)
    generator_adam = t.optimizer("generator_adam", generator, **settings)

    image = t.input("image", shape=(batch, 3, "H", "W"), example=64, span=(-2.1, 2.6))
    lightness = t.input("lightness", shape=(batch, 1, size, size), span=(0, 1))
    ab = t.input("ab", shape=(batch, 2, size, size))
    colour = t.input("colour", shape=(batch, colours), span=(0, 2 / colours))
    noise = t.input("noise", shape=(slots,), span=(-4, 4))
    keys = t.input("keys", shape=(slots, features))
    values = t.input("values", shape=(slots, colours), span=(0, 2 / colours))
    ages = t.input("ages", shape=(slots,), span=(0, 8))

    (pooled,) = t.call("pooled", resnet, image)
    (alike,) = t.call("alike", triplet, *t.call("asked", query, pooled), keys, values, colour)
    t.update(query_adam, alike)
    (asked,) = t.call("asked_again", query, pooled)
    given = (asked, keys, values, colour, ages, noise)
    after = t.call("remembered", remember, *(t.stop_gradient(f"given{i}", value) for i, value in enumerate(given)))
    starts = {"keys": "unit", "values": "shares", "ages": "zeros"}
    for (name, start), before, next_value in zip(starts.items(), (keys, values, ages), after, strict=True):
        t.carry(name, before, next_value, start)

    (fake,) = t.call("fake", generator, lightness, colour)
    (seen_real,) = t.call("seen_real", discriminator, ab, lightness, colour)
    (seen_fake,) = t.call("seen_fake", discriminator, t.stop_gradient("given_fake", fake), lightness, colour)
    (judged,) = t.call("judged", judge, seen_real, seen_fake)
    both = t.affine("both", judged, scale=2.0)
    t.update(discriminator_adam, both)

    (adversarial,) = t.call("adversarial", deceive, *t.call("seen_again", discriminator, fake, lightness, colour))
    (far,) = t.call("far", distance, fake, ab)
    t.update(generator_adam, t.add("generated", adversarial, far))
    return {"triplet": alike, "discriminator": both, "adversarial": adversarial, "smooth_l1": far}
