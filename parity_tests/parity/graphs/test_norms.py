"""Layers that compute their weights as they run: judged by float64, in every way that people write them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.parity.compare import compare
from twinzoo.parity.graphs.record import record
from twinzoo.parity.report import ParityReport

torch = pytest.importorskip("torch")
nn = torch.nn
parametrizations, utils = nn.utils.parametrizations, nn.utils

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
MODES: tuple[dict[str, bool], ...] = ({}, {"train": True}, {"grad": True}, {"train": True, "grad": True})


def _quiet(norm: Callable[..., Any]) -> Callable[..., Any]:
    def quiet(module: Any, **how: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return norm(module, **how)

    return quiet


NORMS: dict[str, Callable[..., Any]] = {
    "spectral": parametrizations.spectral_norm,
    "spectral hook": utils.spectral_norm,
    "weight": parametrizations.weight_norm,
    "weight hook": _quiet(utils.weight_norm),
}


def network(norm: Callable[..., Any], seed: int = 0) -> Any:
    """Three kinds of layers, each with the norm."""
    torch.manual_seed(seed)
    pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), norm(nn.Linear(5, 2)))
    return nn.Sequential(norm(nn.Conv2d(3, 4, 3)), nn.ReLU(), norm(nn.ConvTranspose2d(4, 5, 3)), nn.ReLU(), *pooled)


class Spectral(nn.Module):  # type: ignore[misc, name-defined]
    """A convolution with spectral norm as people write it, u or v first, with the faults that it may have."""

    def __init__(self, *, u_first: bool = True, fault: str = "") -> None:
        super().__init__()
        made = parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
        self.weight_orig = nn.Parameter(made.parametrizations.weight.original.detach().clone())
        self.bias = nn.Parameter(made.bias.detach().clone())
        self.register_buffer("weight_u", made.parametrizations.weight[0]._u.clone())
        self.register_buffer("weight_v", made.parametrizations.weight[0]._v.clone())
        self.u_first, self.fault = u_first, fault

    def _step(self, matrix: Any) -> None:
        eps = 1e-2 if self.fault == "eps" else 0.0
        for part in ("uv" if self.u_first else "vu") if self.fault != "still" else "":
            new = matrix @ self.weight_v if part == "u" else self.weight_u @ matrix
            getattr(self, f"weight_{part}").copy_(new / (new.norm() + eps))

    def forward(self, x: Any) -> Any:
        """x (N, 3, H, W) -> (N, 4, H - 2, W - 2)."""
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                self._step(matrix)
        u, v = self.weight_u.clone(), self.weight_v.clone()
        sigma = u @ matrix @ (v.flip(0) if self.fault == "turned v" else v)
        if self.fault == "detached":
            sigma = sigma.detach()
        if self.fault == "square":
            sigma = sigma**2
        return nn.functional.conv2d(x, self.weight_orig / sigma, self.bias)


def pair(fault: str, *, u_first: bool = True, norm: str = "spectral") -> tuple[Any, Any]:
    """PyTorch's own layer, and a hand-written one with its tensors, of which u and v are far from where they go."""
    torch.manual_seed(3)
    a = NORMS[norm](nn.Conv2d(3, 4, 3))
    tensors = {_hooked(f"0.{key}").removeprefix("0."): tensor for key, tensor in a.state_dict().items()}
    for part in "uv":
        made = torch.rand(tensors[f"weight_{part}"].shape) + 0.2
        tensors[f"weight_{part}"].copy_(made / made.norm())
    b = Spectral(u_first=u_first, fault=fault)
    b.load_state_dict(tensors)
    return a, b


def causes(report: ParityReport) -> set[str]:
    """The causes of a report's findings."""
    return {finding.cause for finding in report.findings}


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_each_layer_and_its_weight_are_judged(norm: str, mode: dict[str, bool]) -> None:
    a, b = network(NORMS[norm]), network(NORMS[norm])
    report = compare(a, b, IMAGE, **mode)
    assert report.ok and not report.notes, report.findings
    rows = {(row.op, row.quantity) for row in report.layers}
    kind = f"{norm.split()[0]}_norm"
    assert {("conv2d", "output"), ("conv_transpose2d", "output"), ("linear", "output"), (kind, "weight")} <= rows
    parts = ("weight_g", "weight_v") if kind == "weight_norm" else ("weight_orig",)
    expected = {(kind, f"gradient of {p if norm.endswith('hook') else _parametrized(p)}") for p in parts}
    assert not mode.get("grad") or expected <= rows


def _parametrized(part: str) -> str:
    """The last word of a parametrization's key."""
    return {"weight_g": "original0", "weight_v": "original1", "weight_orig": "original"}[part]


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("norm", ["spectral", "weight"])
def test_both_forms_of_a_norm_are_one(norm: str, mode: dict[str, bool]) -> None:
    """But for the order in which training moves u and v, which differs between PyTorch's two."""
    a, b = network(NORMS[norm]), network(NORMS[f"{norm} hook"])
    b.load_state_dict({_hooked(key): value for key, value in a.state_dict().items()})
    report = compare(a, b, IMAGE, **mode)
    if norm == "spectral" and mode.get("train"):
        assert not report.ok and causes(report) == {"update-order"} and "v first" in report.findings[0].evidence
    else:
        assert report.ok, report.findings


def _hooked(key: str) -> str:
    """A parametrization's key as the older hook has it."""
    parts = {"original0": "g", "original1": "v", "original": "orig", "0._u": "u", "0._v": "v"}
    layer, found, part = key.partition(".parametrizations.weight.")
    return f"{layer}.weight_{parts[part]}" if found else key


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("norm", ["spectral", "spectral hook"])
def test_hand_written_twins_pass(norm: str, mode: dict[str, bool]) -> None:
    report = compare(*pair("", u_first=norm == "spectral", norm=norm), IMAGE, **mode)
    assert report.ok, report.findings


FAULTS: dict[str, tuple[dict[str, bool], str]] = {
    "still": ({"train": True}, "norm-mode"),
    "eps": ({"train": True}, "norm-mode"),
    "turned v": ({}, "unexplained"),
    "square": ({}, "unexplained"),
    "detached": ({"grad": True}, "unexplained"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(fault: str) -> None:
    mode, cause = FAULTS[fault]
    report = compare(*pair(fault), IMAGE, **mode)
    assert not report.ok and causes(report) == {cause}
    found = {finding.evidence for finding in report.findings}
    assert fault != "still" or any("they did not move" in text for text in found)
    assert fault != "detached" or any("gradient of weight_orig" in text for text in found)


@pytest.mark.parametrize("norm", NORMS)
def test_a_change_of_one_number_is_seen(norm: str) -> None:
    changed = [key for key, _ in network(NORMS[norm]).named_parameters() if "bias" not in key]
    for key in changed[:2]:
        a, b = network(NORMS[norm]), network(NORMS[norm])
        with torch.no_grad():
            dict(b.named_parameters())[key].view(-1)[0] *= 1.001
        assert causes(compare(a, b, IMAGE)) == {"weight-value"}, key


def test_a_plain_layer_with_the_folded_weight_passes_and_another_does_not() -> None:
    a, b = network(NORMS["weight"]), network(lambda layer: layer)
    with torch.no_grad():
        for place in (0, 2, 6):
            b[place].weight.copy_(a[place].weight)
            b[place].bias.copy_(a[place].bias)
        assert compare(a, b, IMAGE).ok and compare(b, a, IMAGE).ok
        b[0].weight[0, 0, 0, 0] *= 1.0001
    assert causes(compare(a, b, IMAGE)) == causes(compare(b, a, IMAGE)) == {"weight-value"}


def test_a_layer_that_is_called_twice_has_its_last_weight_checked() -> None:
    class Twice(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.layer = parametrizations.spectral_norm(nn.Conv2d(3, 3, 3, padding=1))

        def forward(self, x: Any) -> Any:
            return self.layer(torch.relu(self.layer(x)))

    for mode in MODES:
        report = compare(Twice(), Twice(), IMAGE, **mode)
        assert report.ok, report.findings


class Still(nn.Module):  # type: ignore[misc, name-defined]
    """The norm moves u and v in its second call only, or in both."""

    def __init__(self, still: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = parametrizations.spectral_norm(nn.Conv2d(3, 3, 3, padding=1))
        self.still = still

    def forward(self, x: Any) -> Any:
        training = self.layer.training
        self.layer.train(training and not self.still)
        x = torch.relu(self.layer(x))
        return self.layer.train(training)(x)


def test_a_norm_that_moves_in_one_of_two_calls_is_no_wrong_norm() -> None:
    for mode in MODES:
        report = compare(Still(True), Still(True), IMAGE, **mode)
        assert report.ok, report.findings
    report = compare(Still(False), Still(True), IMAGE, train=True)
    assert not report.ok
    (finding,) = report.findings
    assert finding.cause == "norm-mode"
    assert finding.evidence == "u and v of side a: u first, twice; of side b: u first, once"


def test_a_norm_of_zeros_that_moves_twice_is_no_crash() -> None:
    a, b = Still(False), Still(False)
    for model in (a, b):
        nn.init.zeros_(model.layer.parametrizations.weight.original)
    for mode in MODES:
        assert compare(a, b, IMAGE, **mode).layers


def test_a_record_keeps_how_weights_were_made(tmp_path: Path) -> None:
    a, b = pair("square")
    for name, model in (("a", a), ("b", b)):
        record(model, IMAGE, tmp_path / f"{name}.safetensors")
    same = compare(tmp_path / "a.safetensors", a, IMAGE)
    assert same.ok and ("spectral_norm", "weight") in {(row.op, row.quantity) for row in same.layers}
    found = compare(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert causes(found) == {"unexplained"}


class Standardized(nn.Module):  # type: ignore[misc, name-defined]
    """A convolution whose weight is computed in a way that has no form of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x: Any) -> Any:
        """x (N, 3, H, W) -> (N, 4, H - 2, W - 2)."""
        weight = self.layer.weight
        weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / weight.std((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.layer.bias)


def test_what_is_computed_in_another_way_is_compared_and_told() -> None:
    report = compare(Standardized(), Standardized(), IMAGE, grad=True)
    assert report.ok and "side b: how conv2d computes its weight is not followed" in report.notes
    assert ("conv2d", "output") in {(row.op, row.quantity) for row in report.layers}
    other = Standardized()
    with torch.no_grad():
        other.layer.weight[0, 0, 0, 0] += 0.01
    assert causes(compare(Standardized(), other, IMAGE)) == {"weight-value"}
