"""What torch functions do in the words of the op table: one row for each, the rest under PyTorch's own names."""

from twinzoo.converters.live.torch.rows import layers, pointwise, reductions, spatial, structure
from twinzoo.converters.live.torch.rows.table import effect_of, plain_name

__all__ = ["effect_of", "layers", "plain_name", "pointwise", "reductions", "spatial", "structure"]
