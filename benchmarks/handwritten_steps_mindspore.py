"""The step of user-guided colorization in MindSpore, the published way: what the stepper's speed is held against.

As in wknn-bfb/MindSpore-Colorization-Project: one cell, in which each network's loss is computed once to be reported
and once more to be differentiated, and the picture to be shown once again. So the source runs the generator five times
a step, the discriminator six times, and one loss function computes both networks' losses, the VGG's included, whichever
of them is wanted. PyNative does all of that. Compiled, MindSpore 2.10 still runs the generator five times, but of the
VGG's eight runs only three are left: it drops what nobody reads and merges what is equal. The numbers are
those of the step's options, the networks are twins, and the optimizers `nn.Adam`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops
from numpy.typing import NDArray

from twinzoo.ports.build import build
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]


class Published(nn.Cell):  # type: ignore[misc]
    """Both updates and what is reported of them."""

    def __init__(self, step: Step, state: Mapping[str, Array]) -> None:
        super().__init__()

        def network(role: str) -> Any:
            start = f"{role}."
            weights = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
            return build(step.roles[role].spec, "mindspore", weights=weights)

        o = step.options
        self.generator = network("generator").set_train()
        self.discriminator = network("discriminator").set_train()
        self.perceptual = network("perceptual_loss").set_train(False)
        for parameter in self.perceptual.get_parameters():
            parameter.requires_grad = False
        rates = {"learning_rate": o["lr"], "beta1": o["beta1"], "beta2": 0.999}
        self.adam_g = nn.Adam(self.generator.trainable_params(), **rates)
        self.adam_d = nn.Adam(self.discriminator.trainable_params(), **rates)
        self.grad = ops.GradOperation(get_by_list=True)
        self.bce = nn.BCEWithLogitsLoss()
        self.real_label, self.fake_label = o["real_label"], o["fake_label"]
        self.generator_label, self.lambda_gan = o["generator_label"], o["lambda_gan"]
        self.lambda_l1, self.lambda_perceptual = o["lambda_l1"], o["lambda_perceptual"]
        self.saturation, self.hint = o["saturation"], o["hint"]

    def losses(self, real: Tensor, fake: Tensor, ab: Tensor, target: Tensor, mask: Tensor, light: Tensor) -> Any:
        """Both networks' losses, from logits and colours."""
        said_real = self.bce(real, ops.full_like(real, self.real_label))
        said_fake = self.bce(fake, ops.full_like(fake, self.fake_label))
        deceived = self.bce(fake, ops.full_like(fake, self.generator_label))
        chroma = ops.sqrt(ops.square(target).sum(1, keepdims=True))
        weight = (1 + self.saturation * chroma) * (1 + self.hint * mask)
        far = (ops.abs(ab - target) * weight).mean()
        unlike = self.perceptual(light, ab, target)
        generated = self.lambda_gan * deceived + self.lambda_l1 * far + self.lambda_perceptual * unlike
        return generated, 0.5 * (said_real + said_fake)

    def generator_loss(self, light: Tensor, ab: Tensor, hints: Tensor, mask: Tensor, masks: Any) -> Tensor:
        """What the generator pays."""
        fake = self.generator(ops.cat([light, hints, mask], 1), *masks)
        seen = self.discriminator(ops.cat([light, fake], 1))
        return self.losses(ops.zeros_like(seen), seen, fake, ab, mask, light)[0]

    def discriminator_loss(self, light: Tensor, ab: Tensor, hints: Tensor, mask: Tensor, masks: Any) -> Tensor:
        """What the discriminator pays."""
        fake = ops.stop_gradient(self.generator(ops.cat([light, hints, mask], 1), *masks))
        real = self.discriminator(ops.cat([light, ab], 1))
        seen = self.discriminator(ops.cat([light, fake], 1))
        return self.losses(real, seen, ops.zeros_like(ab), ab, mask, light)[1]

    def construct(self, light: Tensor, ab: Tensor, hints: Tensor, mask: Tensor, masks: Any) -> Any:
        """One step: the generator's loss, the discriminator's, and the colours to show."""
        judged = self.discriminator_loss(light, ab, hints, mask, masks)
        gradients = self.grad(self.discriminator_loss, self.adam_d.parameters)(light, ab, hints, mask, masks)
        judge_moved = self.adam_d(gradients)
        then = ops.depend(light, judge_moved)
        generated = self.generator_loss(then, ab, hints, mask, masks)
        gradients = self.grad(self.generator_loss, self.adam_g.parameters)(then, ab, hints, mask, masks)
        moved = self.adam_g(gradients)
        shown = self.generator(ops.cat([light, hints, mask], 1), *masks)
        return ops.depend(generated, moved), ops.depend(judged, judge_moved), ops.depend(shown, moved)


class Loop:
    """The published step, fed as a stepper is."""

    def __init__(self, step: Step, state: Mapping[str, Array]) -> None:
        self.cell = Published(step, state)
        self.draws = [*step.draws]

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        """One step; the losses. Dropout masks may be in the batch; without them the layers draw."""
        masks = tuple(Tensor(batch[name], ms.float32) for name in self.draws if name in batch)
        given = (Tensor(batch[name], ms.float32) for name in ("lightness", "ab", "hints", "mask"))
        generated, judged, shown = self.cell(*given, masks)
        shown.asnumpy()
        return {"generator": float(generated.asnumpy()), "discriminator": float(judged.asnumpy())}


def by_hand(step: Step, state: Mapping[str, Array]) -> Loop:
    """The loop of a step, from a stepper's state."""
    return Loop(step, state)
