"""What a discriminator's logits cost: cross-entropy (the original GAN) and least squares (LSGAN)."""

from __future__ import annotations

from collections.abc import Callable

from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Choice, Float

_Distance = Callable[[Spec, str, Value, float], Value]
_ROLE = Choice(choices=("discriminator", "generator"))
_PROBABILITY = Float(minimum=0.0, maximum=1.0)


def _cross_entropy(s: Spec, name: str, logits: Value, label: float) -> Value:
    """-label log p - (1 - label) log(1 - p): both terms >= 0, so nothing cancels; a term of weight 0 is left out."""
    terms = []
    if label > 0:
        surprise = s.softplus(f"{name}_as_real", s.neg(f"{name}_negative", logits))
        terms.append(s.affine(f"{name}_as_real_weighted", surprise, scale=label) if label < 1 else surprise)
    if label < 1:
        surprise = s.softplus(f"{name}_as_fake", logits)
        terms.append(s.affine(f"{name}_as_fake_weighted", surprise, scale=1 - label) if label > 0 else surprise)
    return s.mean(f"{name}_loss", s.add(f"{name}_terms", *terms) if len(terms) == 2 else terms[0])


def _least_squares(s: Spec, name: str, logits: Value, label: float) -> Value:
    error = s.affine(f"{name}_error", logits, shift=-label) if label else logits
    return s.mean(f"{name}_loss", s.square(f"{name}_square", error))


def _adversarial(
    s: Spec, distance: _Distance, role: str, real_label: float, fake_label: float, generator_label: float
) -> Value:
    if role == "generator":
        return distance(s, "fake", s.input("fake", channels=1, example=30), generator_label)
    real, fake = s.input("real", channels=1, example=30), s.input("fake", channels=1, example=30)
    both = s.add("both", distance(s, "real", real, real_label), distance(s, "fake", fake, fake_label))
    return s.affine("halved", both, scale=0.5)


@loss(
    "bce_adversarial",
    paper="Goodfellow et al. 2014, arXiv:1406.2661",
    allowed={
        "role": _ROLE,
        "real_label": _PROBABILITY,
        "fake_label": _PROBABILITY,
        "generator_label": _PROBABILITY,
    },
)
def bce_adversarial(
    s: Spec,
    *,
    role: str = "discriminator",
    real_label: float = 1.0,
    fake_label: float = 0.0,
    generator_label: float = 1.0,
) -> Value:
    """Adversarial loss by cross-entropy with logits ("vanilla").

    role discriminator: real, fake: logits (N, 1, H, W) -> a scalar, 1/2 (bce(real, real_label) + bce(fake, fake_label))
    role generator: fake: logits (N, 1, H, W) -> a scalar, bce(fake, generator_label)
    bce(x, t): the mean over all patches and images of -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x))

    Goodfellow et al. 2014, section 3, with the generator's non-saturating form; the half is pix2pix's (Isola et al.
    2017, section 3.3). Labels of 0.9 and 0.1 smooth the discriminator's targets (Salimans et al. 2016, section 3.4,
    smooth the real one alone); the generator keeps a label of its own, because smoothing is not meant for it.
    """
    return _adversarial(s, _cross_entropy, role, real_label, fake_label, generator_label)


@loss(
    "lsgan_adversarial",
    paper="Mao et al. 2017, arXiv:1611.04076",
    allowed={"role": _ROLE, "real_label": Float(), "fake_label": Float(), "generator_label": Float()},
)
def lsgan_adversarial(
    s: Spec,
    *,
    role: str = "discriminator",
    real_label: float = 1.0,
    fake_label: float = 0.0,
    generator_label: float = 1.0,
) -> Value:
    """Adversarial loss by least squares (LSGAN).

    role discriminator: real, fake: logits (N, 1, H, W) -> a scalar, 1/2 (mse(real, real_label) + mse(fake, fake_label))
    role generator: fake: logits (N, 1, H, W) -> a scalar, mse(fake, generator_label)
    mse(x, t): the mean over all patches and images of (x - t) squared

    Mao et al. 2017, equation 2 with b = real_label, a = fake_label, c = generator_label (their 0-1 coding). The paper
    halves the generator's loss too; CycleGAN (Zhu et al. 2017, section 4) and its code do not, and so it is here.
    """
    return _adversarial(s, _least_squares, role, real_label, fake_label, generator_label)
