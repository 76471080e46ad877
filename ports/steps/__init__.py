"""Training steps run: what every framework's stepper shares, and `stepper`, which makes one."""

from twinzoo.ports.steps.build import stepper
from twinzoo.ports.steps.stepper import Stepper

__all__ = ["Stepper", "stepper"]
