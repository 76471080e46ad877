"""Distances between images, pixel by pixel."""

from __future__ import annotations

from twinzoo.zoo.registry import loss
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Float, Int

_CHANNELS = Int(minimum=1)


def _pair(s: Spec, channels: int) -> tuple[Value, Value]:
    return s.input("prediction", channels=channels), s.input("target", channels=channels)


@loss("l1", paper="Isola et al. 2017, arXiv:1611.07004", allowed={"channels": _CHANNELS})
def l1(s: Spec, *, channels: int = 3) -> Value:
    """L1: the mean of |prediction - target|.

    prediction, target: (N, channels, H, W) in any one range -> a scalar, the mean over all elements and images

    Isola et al. 2017, equation 3; multiplied there by 100, in CycleGAN's cycle term by 10.
    """
    return s.l1_loss("distance", *_pair(s, channels))


@loss("l2", paper="Li et al. 2017, ICCV: AOD-Net", allowed={"channels": _CHANNELS})
def l2(s: Spec, *, channels: int = 3) -> Value:
    """L2: the mean of (prediction - target) squared.

    prediction, target: (N, channels, H, W) in any one range -> a scalar, the mean over all elements and images

    Trains AOD-Net, for one (Li et al. 2017; its code, too, takes the mean). Without the factor 1/2 of some papers.
    """
    return s.mse_loss("distance", *_pair(s, channels))


@loss(
    "smooth_l1", paper="Girshick 2015, arXiv:1504.08083", allowed={"channels": _CHANNELS, "beta": Float(minimum=1e-12)}
)
def smooth_l1(s: Spec, *, channels: int = 3, beta: float = 1.0) -> Value:
    """Smooth L1: the mean of d squared / (2 beta) where d = |prediction - target| < beta, of d - beta / 2 elsewhere.

    prediction, target: (N, channels, H, W) in any one range -> a scalar, the mean over all elements and images

    Girshick 2015, equation 3, with beta 1. Huber's loss is beta times this one.
    """
    return s.smooth_l1_loss("distance", *_pair(s, channels), beta=beta)
