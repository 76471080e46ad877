"""A training step of a third party."""

from twinzoo.zoo.registry import spec, step
from twinzoo.zoo.spec import Value
from twinzoo.zoo.steps.step import Step


@step("example_step", paper="none: an example")
def example_step(t: Step, *, lr: float = 1e-3) -> dict[str, Value]:
    """The example's model under the mean of its squares.

    image: (N, 3, H, W) -> loss ()
    """
    net = t.network("net", spec("example_net", width=3))
    (made,) = t.call("made", net, t.input("image", channels=3, example=16))
    (loss,) = t.call("loss", t.role("squares", spec("example_loss")), made)
    t.update(t.optimizer("sgd", net, lr=lr, kind="sgd"), loss)
    return {"loss": loss}
