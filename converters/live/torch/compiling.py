"""Whether a module is compiled, and what it is told about precision."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import nn

_MARK = "_torchdynamo_orig_callable"
"""What `torch.compile` hangs on a function."""


def compiled(model: nn.Module) -> bool:
    """Whether `torch.compile` was applied to the module, to one inside, or to the forward of one.

    Compiled script always runs as it is, and is not counted.
    """
    return any(_is_compiled(module) for module in model.modules())


def _is_compiled(module: nn.Module) -> bool:
    wrapped = type(module).__module__.startswith("torch._dynamo")
    return wrapped or getattr(module, "_compiled_call_impl", None) is not None or hasattr(module.forward, _MARK)


def precision(model: nn.Module) -> str:
    """`tf32` where the module is on CUDA and convolutions or products may be rounded to it, else empty."""
    on_cuda = any(tensor.is_cuda for tensor in chain(model.parameters(), model.buffers()))
    convolutions: Any = torch.backends.cudnn
    told = (convolutions.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision)
    return "tf32" if on_cuda and "tf32" in told else ""
