"""What calls of MindSpore mean in the words of the op table: a row for each function and cell."""

from twinzoo.converters.live.mindspore.rows import cells, layers, pointwise, reductions, spatial, structure

__all__ = ["cells", "layers", "pointwise", "reductions", "spatial", "structure"]
