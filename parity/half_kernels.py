"""Half kernels that are less accurate than their rounding model: measured, as the rows of parity.kernels are."""

from __future__ import annotations

from twinzoo.parity.kernels import LIVE, KernelAccuracy

_MS = "MindSpore 2.10 on CPU, float16: "
_TANH = KernelAccuracy(9.6e-4, 0.0, _MS + "as 2 sigmoid(2x) - 1, where a half sigmoid cancels")
_ELU = KernelAccuracy(2.5e-4, 0.0, _MS + "alpha other than 1 through expm1, which is exp - 1 in half")
_SOFTPLUS = KernelAccuracy(3.1e-8, 0.0, _MS + "0 below x = -16.6, where 1 + exp(x) is 1 in float32")

HALF_KERNELS: dict[tuple[str, str, str], KernelAccuracy] = {
    ("mindspore", "tanh", "float16"): _TANH,
    ("mindspore", "elu", "float16"): _ELU,
    ("mindspore", "softplus", "float16"): _SOFTPLUS,
    (LIVE + "mindspore", "softplus", "float16"): _SOFTPLUS,
}
"""(port, op, element type) -> the accuracy of its kernel."""
