"""A loss of a third party."""

from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value


@loss("example_loss", paper="none: an example")
def example_loss(s: Spec) -> Value:
    """Mean of the squared predictions.

    prediction: (N, 3, H, W) -> ()
    """
    return s.mean("output", s.square("squared", s.input("prediction", channels=3, example=16)))
