"""AOD-Net: a small network learns from hazy and clear photographs of the same places."""

from __future__ import annotations

from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.spec.schema import Float
from twinzoo.zoo.steps.step import Step


@step(
    "aodnet_training",
    paper="Li et al. 2017, ICCV: AOD-Net, All-in-One Dehazing Network",
    task="dehazing",
    allowed={
        "lr": Float(minimum=0.0),
        "beta1": Float(minimum=0.0, maximum=1.0),
        "weight_decay": Float(minimum=0.0),
        "clip": Float(minimum=1e-12),
    },
)
def aodnet_training(
    t: Step, *, lr: float = 1e-4, beta1: float = 0.9, weight_decay: float = 1e-4, clip: float = 0.1
) -> dict[str, Value]:
    """AOD-Net: the squared distance of the dehazed image from the clear one.

    hazy, clear: (N, 3, H, W) RGB in [0, 1], any size -> a scalar: l2, the mean over all elements and images
    lr, beta1, weight_decay: of Adam. clip: the largest norm of all gradients together.

    Li et al. 2017, section 4, as in the PyTorch code of MayankSingal/PyTorch-Image-Dehazing (Adam, batches of 8, images
    of 640x480, 10 epochs at one rate). The paper has SGD at 1e-3 with a momentum of 0.9, and holds every gradient
    within 0.1 by itself. The output is not clamped for the loss.
    """
    net = t.network("net", spec("aodnet"))
    distance = t.role("l2_loss", spec("l2"))
    adam = t.optimizer("adam", net, lr=lr, betas=(beta1, 0.999), weight_decay=weight_decay, clip=clip)
    hazy = t.input("hazy", channels=3, example=32, span=(0, 1))
    clear = t.input("clear", channels=3, example=32, span=(0, 1))
    (l2,) = t.call("l2", distance, *t.call("dehazed", net, hazy), clear)
    t.update(adam, l2)
    return {"l2": l2}
