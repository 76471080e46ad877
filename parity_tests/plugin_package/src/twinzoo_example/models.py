"""A model of a third party."""

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value


@model("example_net", paper="none: an example", small={"width": 4})
def example_net(s: Spec, *, width: int = 8) -> Value:
    """One convolution and a leaky ReLU.

    image: (N, 3, H, W) -> (N, width, H, W)
    """
    image = s.input("image", channels=3, example=16)
    return s.leaky_relu("act", s.conv2d("conv", image, width, kernel=3, padding=1), 0.2)
