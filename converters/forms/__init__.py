"""The forms in which one layer may be stored, and how its tensors get from one form into another.

Torch's weight norm is two tensors where MindSpore's convolution has one, attention may be packed or apart, a Conv1d has
one more axis here than there. Use:

    ours, theirs = regroup(layers_of(source_shapes), layers_of(target_shapes))  # three linears q, k, v as one layer
    plain(layer).signature                                                      # alike for all forms of a layer
    carried = carry(source_layer, target_layer)                                 # after the two have been paired
    if carried.fits:
        array = carried.values[target_key].make(arrays_by_source_key)           # in the target's shape
"""

from __future__ import annotations

from twinzoo.converters.forms.attention import regroup
from twinzoo.converters.forms.carry import Carried, carry, plain
from twinzoo.converters.forms.norms import idle
from twinzoo.converters.forms.values import Value, reordered

__all__ = ["Carried", "Value", "carry", "idle", "plain", "regroup", "reordered"]
