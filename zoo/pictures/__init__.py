"""Pictures of models, losses and training steps: folded into boxes, laid out in rows, written as SVG."""

from twinzoo.zoo.pictures.svg import picture

__all__ = ["picture"]
