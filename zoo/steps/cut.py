"""CUT and FastCUT: one generator, taught by a judge and by comparing patches of what it was given and what it made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Role, Value
from twinzoo.zoo.spec.schema import Attr, Choice, Float, Int, Ints
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Step

_PAPER = "Park et al. 2020, arXiv:2007.15651"
_ALLOWED: dict[str, Attr] = {
    "width": Int(minimum=1),
    "blocks": Int(minimum=0),
    "layers": Int(minimum=1),
    "nce_layers": Ints(minimum=0),
    "nce_width": Int(minimum=1),
    "temperature": Float(minimum=1e-6),
    "gan": Choice(choices=("lsgan", "bce")),
    "real_label": Float(),
    "lambda_gan": Float(minimum=0.0),
    "lambda_nce": Float(minimum=0.0),
    "lr": Float(minimum=0.0),
    "beta1": Float(minimum=0.0, maximum=1.0),
    "epochs": Int(minimum=0),
    "decay_epochs": Int(minimum=0),
    "epoch_steps": Int(minimum=1),
}
_SMALL = {"width": 4, "blocks": 2, "layers": 2, "nce_layers": (0, 4, 13), "nce_width": 32}


@dataclass(frozen=True)
class Contrast:
    """PatchNCE over several layers of a generator, by a sampler that learns with it.

    Attributes:
        sampler, nce: the roles of `patch_sampler` and `patch_nce`.
        weight: of the mean over layers.
    """

    sampler: Role
    nce: Role
    weight: float

    def positions(self, t: Step, name: str) -> list[Value]:
        """Declare the positions of the patches in each layer, which are drawn anew in every step."""
        count = len(self.sampler.spec.outputs)
        return [t.input(f"{name}{i}", shape=(f"P{i}",), dtype="int", example=16) for i in range(count)]

    def loss(
        self,
        t: Step,
        name: str,
        made: Sequence[Value],
        given: Sequence[Value],
        positions: Sequence[Value],
        noises: Sequence[Value] = (),
    ) -> Value:
        """The loss of features of what was made against those of what was given, from which no gradient comes."""
        keys = [t.stop_gradient(f"{name}_held{i}", value) for i, value in enumerate(given)]
        patches = [
            t.call(f"{name}_{side}", self.sampler, *(v for pair in zip(maps, positions, strict=True) for v in pair))
            for side, maps in (("made", made), ("given", keys))
        ]
        terms: list[Value] = []
        for i, (query, key) in enumerate(zip(*patches, strict=True)):
            terms += t.call(f"{name}_layer{i}", self.nce, query, key, *noises[i : i + 1])
        return t.affine(name, t.total(f"{name}_layers", *terms), scale=self.weight / len(terms))


def contrast(t: Step, generator: Role, width: int, weight: float, **options: Any) -> Contrast:
    """Declare the networks and losses that compare a `cut_generator`'s layers; `options` are those of `patch_nce`."""
    taps = [value.shape[1] for name, value in generator.spec.outputs.items() if name != "output"]
    sampler = t.network("sampler", spec("patch_sampler", channels=taps, width=width))
    return Contrast(sampler, t.role("nce_loss", spec("patch_nce", channels=width, **options)), weight)


@dataclass(frozen=True)
class Judge:
    """A discriminator of images, with what it learns by and what the generator learns by.

    Attributes:
        network: the discriminator. learning, deceiving: the roles of the two losses.
    """

    network: Role
    learning: Role
    deceiving: Role

    def loss(self, t: Step, fake: Value, real: Value) -> Value:
        """What made and real images cost the discriminator; no gradient comes to what was made."""
        (seen_fake,) = t.call("seen_fake", self.network, t.stop_gradient("given_fake", fake))
        (seen_real,) = t.call("seen_real", self.network, real)
        return t.call("judged", self.learning, seen_real, seen_fake)[0]

    def adversarial(self, t: Step, fake: Value, weight: float) -> Value:
        """What the discriminator, as it is by now, costs the generator."""
        (deceived,) = t.call("deceived", self.deceiving, *t.call("seen_again", self.network, fake))
        return t.affine("adversarial", deceived, scale=weight)


def image_judge(t: Step, width: int, layers: int, *, antialias: bool, real_label: float, gan: str = "lsgan") -> Judge:
    """Declare the judge: a PatchGAN with instance norm, and Xavier's rule as for all networks of CUT."""
    patchgan = spec("patchgan", width=width, layers=layers, norm="instance", antialias=antialias)
    patchgan.init = "xavier"
    network = t.network("discriminator", patchgan)
    learning = t.role("judge_loss", spec(f"{gan}_adversarial", role="discriminator", real_label=real_label))
    return Judge(network, learning, t.role("deceive_loss", spec(f"{gan}_adversarial", role="generator")))


def _turned(t: Step, name: str, x: Value, flipped: Value, stay: Value) -> Value:
    """x (N, C, H, W) mirrored where `flipped` is 1, x itself where it is 0."""
    mirrored = t.mul(f"{name}_mirrored", t.flip(f"{name}_flip", x, axis=3), flipped)
    return t.add(name, t.mul(f"{name}_straight", x, stay), mirrored)


def _draw(t: Step, *, identity: bool, flips: bool, **o: Any) -> dict[str, Value]:
    sizes = {"width": o["width"], "blocks": o["blocks"], "layers": o["nce_layers"]}
    generator = t.network("generator", spec("cut_generator", **sizes))
    weight = o["lambda_nce"] / 2 if identity else o["lambda_nce"]
    patches = contrast(t, generator, o["nce_width"], weight, temperature=o["temperature"])
    judge = image_judge(t, o["width"], o["layers"], antialias=True, real_label=o["real_label"], gan=o["gan"])
    schedule = Schedule("linear", o["epochs"], o["decay_epochs"], o["epoch_steps"])
    settings: dict[str, Any] = {"lr": o["lr"], "betas": (o["beta1"], 0.999), "schedule": schedule}
    generator_adam = t.optimizer("generator_adam", generator, patches.sampler, **settings)
    discriminator_adam = t.optimizer("discriminator_adam", judge.network, **settings)

    a = t.input("a", channels=3, multiple_of=4, example=64)
    b = t.input("b", channels=3, multiple_of=4, example=64)
    positions = patches.positions(t, "positions")
    given, features = a, []
    if flips:
        flipped = t.input("flipped", shape=(1, 1, 1, 1), span=(0, 1))
        stay = t.affine("stay", flipped, scale=-1.0, shift=1.0)
        given = _turned(t, "turned", a, flipped, stay)
    fake, *features = t.call("fake", generator, given)
    if identity:
        same, *same_features = t.call("same", generator, b)

    losses = {"discriminator": judge.loss(t, fake, b)}
    t.update(discriminator_adam, losses["discriminator"])

    losses["adversarial"] = judge.adversarial(t, fake, o["lambda_gan"])
    _, *made = t.call("fake_features", generator, fake)
    if flips:
        _, *features = t.call("features", generator, a)
        made = [_turned(t, f"turned_back{i}", value, flipped, stay) for i, value in enumerate(made)]
    losses["nce"] = patches.loss(t, "nce", made, features, positions)
    if identity:
        _, *made = t.call("same_features", generator, same)
        losses["nce_identity"] = patches.loss(
            t, "nce_identity", made, same_features, patches.positions(t, "identity_positions")
        )
    t.update(generator_adam, t.total("generated", *list(losses.values())[1:]))
    return losses


@step("cut", paper=_PAPER, task="translation", small=_SMALL, allowed=_ALLOWED)
def cut(
    t: Step,
    *,
    width: int = 64,
    blocks: int = 9,
    layers: int = 3,
    nce_layers: tuple[int, ...] = (0, 4, 8, 12, 16),
    nce_width: int = 256,
    temperature: float = 0.07,
    gan: str = "lsgan",
    real_label: float = 1.0,
    lambda_gan: float = 1.0,
    lambda_nce: float = 1.0,
    lr: float = 2e-4,
    beta1: float = 0.5,
    epochs: int = 200,
    decay_epochs: int = 200,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """CUT: translate between two sets of images without pairs and without a way back.

    a, b: (N, 3, H, W) in [-1, 1], H and W multiples of 4; positions<i>, identity_positions<i>: (P,) integers, the
        places of the patches in the i-th of `nce_layers`, row by row, 256 of them without repetition in the published
        code -> scalars:
        discriminator: 1/2 of what the real and the made images cost it
        adversarial, nce, nce_identity: the generator's terms, as they add up; the last two have half of `lambda_nce`
    width, blocks: of the generator; width, layers: of the PatchGAN. nce_layers: of `cut_generator`.
    nce_width: of the patches in the sampler. temperature: of `patch_nce`. gan, real_label, lr, epochs ...: as in
        pix2pix.

    Park et al. 2020, section 3 and equation 6 (lambda_Y 1), as in the authors' code: the discriminator goes first, then
    the generator and the sampler together. The published code runs the encoder once more on what was given, at the same
    parameters; here these features are those of the first run. It has an optimizer of its own for the sampler, with the
    same settings: Adam treats every number for itself, so one does for both. It also runs images of a and b as one
    batch, which is the same where norms are of each image.
    """
    options = {name: value for name, value in locals().items() if name != "t"}
    return _draw(t, identity=True, flips=False, **options)


@step("fastcut", paper=_PAPER, task="translation", small=_SMALL, allowed=_ALLOWED)
def fastcut(
    t: Step,
    *,
    width: int = 64,
    blocks: int = 9,
    layers: int = 3,
    nce_layers: tuple[int, ...] = (0, 4, 8, 12, 16),
    nce_width: int = 256,
    temperature: float = 0.07,
    gan: str = "lsgan",
    real_label: float = 1.0,
    lambda_gan: float = 1.0,
    lambda_nce: float = 10.0,
    lr: float = 2e-4,
    beta1: float = 0.5,
    epochs: int = 150,
    decay_epochs: int = 50,
    epoch_steps: int = 1000,
) -> dict[str, Value]:
    """FastCUT: CUT with ten times the weight on patches, without the identity term, and with mirrored images.

    a, b, positions<i>: as in `cut`; flipped: (1, 1, 1, 1), 1 where the generator is to see a mirrored image, 0 where
        not, each in half of the steps -> scalars: discriminator, adversarial, nce, as in `cut`
    The other options are those of `cut`.

    Park et al. 2020, section 4.1 and appendix C.1, as in the authors' code: features of what was made from a mirrored
    image are mirrored back, and compared with those of the image as it is, on which the generator runs once more.
    """
    options = {name: value for name, value in locals().items() if name != "t"}
    return _draw(t, identity=False, flips=True, **options)
