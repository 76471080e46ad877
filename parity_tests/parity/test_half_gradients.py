"""Clean half gradients of every op stay within the rounding model that is said to be theirs, and not far within."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity_tests.parity.half import PORTS
from parity_tests.parity.half_gradients import shares_of
from twinzoo.parity import half_kernels
from twinzoo.parity.bounds import precision
from twinzoo.parity.bounds.precision import KEPT_BACKWARD, SUMMED_BACKWARD
from twinzoo.parity.measure import judge
from twinzoo.parity.op_cases import NODE, OpCase, Tensor, case_inputs, case_spec, case_state
from twinzoo.parity.pulling import passed
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.spec import OPS

_PLAIN = [op for op in OPS if not op.startswith("spectral")]
_TIED = ("amax", "amin", "maximum", "topk", "max_pool2d")
"""Of equal numbers, of which there are many in half, any may take all of the gradient."""

_KINDS = [("torch", "float16"), ("torch", "bfloat16"), ("mindspore", "float16")]


@pytest.mark.parametrize("op", _PLAIN)
@pytest.mark.parametrize("port, dtype", _KINDS)
def test_clean_gradients_are_within_the_bound(port: str, dtype: str, op: str) -> None:
    shares = list(shares_of(port, op, dtype, most=2))
    assert max(shares, default=0.0) <= 1
    assert op in _TIED or not any(shares) or max(shares) >= 0.02, f"the bound is {1 / max(shares):.0f} times too wide"


def _rows(table: dict[str, frozenset[str]]) -> list[tuple[str, str]]:
    return [(port, op) for port in PORTS for op in sorted(table[port])]


@pytest.mark.parametrize("row", _rows(dict(KEPT_BACKWARD)), ids="-".join)
def test_what_is_said_to_keep_halves_does(row: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As if everything were computed in float32 and rounded once, its kernels are outside."""
    monkeypatch.setattr(precision, "KEPT_BACKWARD", {})
    monkeypatch.setattr(half_kernels, "HALF_GRADIENT_KERNELS", {})
    port, op = row[0], row[1].removesuffix(" train")
    kinds = ("float16", "bfloat16") if port == "torch" else ("float16",)
    assert any(share > 1 for dtype in kinds for share in shares_of(port, op, dtype, most=9))


_POOLS: dict[tuple[str, str], OpCase] = {
    ("torch", "avg_pool2d"): OpCase("avg_pool2d", {"kernel": 15, "stride": 1, "padding": 7}, (Tensor((1, 2, 16, 16)),)),
    ("torch", "adaptive_avg_pool2d"): OpCase("adaptive_avg_pool2d", {"size": (60, 60)}, (Tensor((1, 2, 3, 3)),)),
}


@pytest.mark.parametrize("row", [r for r in _rows(dict(SUMMED_BACKWARD)) if r not in _POOLS], ids="-".join)
def test_what_is_said_to_add_up_halves_does(row: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "SUMMED_BACKWARD", {})
    assert any(share > 1 for share in shares_of(*row, "float16", most=9))


@pytest.mark.parametrize("row", _POOLS, ids="-".join)
def test_average_pooling_adds_up_halves(row: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen where many gradients of one sign meet in a pixel."""
    torch = pytest.importorskip("torch")
    case = _POOLS[row]
    x = torch.from_numpy(case_inputs(case)["x"]).half().requires_grad_()
    functions = torch.nn.functional
    y = functions.adaptive_avg_pool2d(x, 60) if "size" in case.attrs else functions.avg_pool2d(x, 15, 1, 7)
    flow = torch.rand(y.shape, generator=torch.Generator().manual_seed(0)).half()
    y.backward(flow)
    values = {"x": x.detach().numpy(), NODE: y.detach().numpy()}

    def share() -> float:
        ((_, part),) = passed("torch", case_spec(case).nodes[NODE], {}, values, flow.numpy(), set()).parts()
        return judge(x.grad.numpy(), part.gradient, part.allowed).ratio

    assert 0.02 < share() <= 1
    monkeypatch.setattr(precision, "SUMMED_BACKWARD", {})
    assert share() > 1


def test_mindspore_s_var_loses_small_numbers() -> None:
    """The row of `ops.var`, which the port does not call."""
    ms = pytest.importorskip("mindspore")
    x = (np.random.default_rng(0).uniform(-2, 2, (40, 5)) * 1e-3).astype(np.float16)
    flow = np.random.default_rng(1).standard_normal((40, 1)).astype(np.float16)
    made = OpCase("var", {"axes": (1,), "keepdims": True}, (Tensor((40, 5)),))

    def total(x: Any) -> Any:
        return (ms.ops.var(x, 1, 1, True) * ms.Tensor(flow)).sum()

    got = ms.grad(total)(ms.Tensor(x)).asnumpy()
    values = {"x": x, NODE: ms.ops.var(ms.Tensor(x), 1, 1, True).asnumpy()}
    shares = []
    for port in ("live mindspore", "live torch"):
        ((_, part),) = passed(port, case_spec(made).nodes[NODE], {}, values, flow, set()).parts()
        shares.append(judge(got, part.gradient, part.allowed).ratio)
    assert 0.1 < shares[0] <= 1 < shares[1]


def _short(x: Any, digits: int) -> Any:
    """x with so many binary digits after the first."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(np.ldexp(mantissa, digits + 1)), exponent - digits - 1)


@pytest.mark.parametrize(
    "case",
    [
        OpCase("conv2d", {"channels": 4, "kernel": 3, "padding": 1}, (Tensor((2, 3, 12, 12)),)),
        OpCase("conv_transpose2d", {"channels": 4, "kernel": 4, "stride": 2}, (Tensor((2, 3, 6, 6)),)),
        OpCase("linear", {"features": 5}, (Tensor((16, 12)),)),
        OpCase("matmul", {}, (Tensor((2, 6, 8)), Tensor((2, 8, 5)))),
    ],
    ids=lambda case: case.op,
)
@pytest.mark.parametrize("mode, digits", [("tf32", 10), ("hf32", 11)])
def test_short_factors_explain_their_own_error_and_no_more(case: OpCase, mode: str, digits: int) -> None:
    """Simulated: float64 products of factors that were shortened; of bfloat16's 7 digits it is beyond the bound."""
    spec, state, inputs = case_spec(case), case_state(case), case_inputs(case)
    node, params = spec.nodes[NODE], {name.partition(".")[2]: value for name, value in state.items()}
    given = tuple(inputs[name] for name in spec.inputs)
    output = evaluate(node, params, given)[0].astype(np.float32)
    flow = np.random.default_rng(2).standard_normal(output.shape).astype(np.float32)
    values = {**inputs, NODE: output}
    for kept, products, within in ((digits, mode, True), (digits, "", False), (7, mode, False)):
        short = {role: _short(value, kept) if role == "weight" else value for role, value in params.items()}
        back = pull(node, short, tuple(_short(x, kept) for x in given), (output,), _short(flow, kept))
        got = {**dict(zip(spec.inputs, back.inputs, strict=True)), **{f"{NODE}.{r}": g for r, g in back.params.items()}}
        parts = dict(passed("torch", node, state, values, flow, set(), products).parts())
        names = [name for name in parts if not name.endswith("bias")]
        ratios = [judge(np.asarray(got[name]), parts[name].gradient, parts[name].allowed).ratio for name in names]
        assert all((ratio <= 1) == within for ratio in ratios), (kept, products, ratios)
