"""Layers whose weight is divided by an estimate of its largest singular value: rows made from those of plain layers.

Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", arXiv:1802.05957, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twinzoo.zoo.spec.dims import Shape
from twinzoo.zoo.spec.schema import OPS, Attrs, Float, OpSchema, Param, define, volume

PLAIN: Mapping[str, str] = {f"spectral_{op}": op for op in ("conv2d", "conv_transpose2d", "linear")}
"""Op with spectral norm -> the op that it is with the normalised weight."""

_DOC = """{op} with spectral norm: its weight is W / (u W v), the rows of W being the layer's outputs.

u and v are constants to the gradient. Training first moves them by one step of the power method, u = W v / |W v| and
then v = u W / |u W|, lengths being at least `eps` (Miyato et al. 2018, Algorithm 1, in the order of PyTorch's
parametrization).

weight_orig as {op}'s weight, weight_u (outputs,), weight_v (all other axes of the weight,)
"""


def rows_axis(op: str) -> int:
    """The axis of a weight that counts the layer's outputs."""
    return 1 if op == "spectral_conv_transpose2d" else 0


def _params(name: str, plain: Callable[..., dict[str, Param]]) -> Callable[..., dict[str, Param]]:
    def params(a: Attrs, x: Shape) -> dict[str, Param]:
        own = plain(a, x)
        weight = own.pop("weight")
        rows = weight.shape[rows_axis(name)]
        return {
            "weight_orig": weight,
            **own,
            "weight_u": Param((rows,), "singular", buffer=True),
            "weight_v": Param((volume(weight.shape) // rows,), "singular", buffer=True),
        }

    return params


def _flops(row: OpSchema, name: str) -> Callable[..., int]:
    """The layer's, two products with the matrix and a division; training has two products more."""
    assert row.flops is not None and row.params is not None
    plain, params = row.flops, row.params

    def flops(a: Attrs, y: tuple[int, ...], x: tuple[int, ...]) -> int:
        shape = params(a, x)["weight"].shape
        return plain(a, y, x) + 3 * volume(shape) + 2 * shape[rows_axis(name)]

    return flops


for _name, _plain in PLAIN.items():
    _row = OPS[_plain]
    assert _row.params is not None
    define(
        _name,
        _row.infer,
        _DOC.format(op=_plain),
        positional=_row.positional,
        attrs={**_row.attrs, "eps": Float(1e-12, minimum=0.0)},
        params=_params(_name, _row.params),
        flops=_flops(_row, _name),
    )
