"""An attribute in a framework's own words: arguments that the installed frameworks take."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from twinzoo.parity.graphs import words
from twinzoo.parity.graphs.words import called, written


@pytest.mark.parametrize(
    "kind, name, value, torch, mindspore",
    [
        ("batch_norm", "eps", 1e-5, "torch.nn.BatchNorm2d(eps=1e-05)", "nn.BatchNorm2d(eps=1e-05)"),
        ("layer_norm", "eps", 1e-5, "torch.nn.LayerNorm(eps=1e-05)", "nn.LayerNorm(epsilon=1e-05)"),
        ("conv2d", "padding", (1, 1), "torch.nn.Conv2d(padding=(1, 1))", "nn.Conv2d(pad_mode='pad', padding=1)"),
        ("conv2d", "padding", (1, 2), "torch.nn.Conv2d(padding=(1, 2))", "nn.Conv2d(pad_mode='pad', padding=(1, 2))"),
        ("conv2d", "groups", 2, "torch.nn.Conv2d(groups=2)", "nn.Conv2d(group=2)"),
        ("group_norm", "groups", 2, "torch.nn.GroupNorm(num_groups=2)", "nn.GroupNorm(num_groups=2)"),
        ("linear", "bias", True, "torch.nn.Linear(bias=True)", "nn.Dense(has_bias=True)"),
        ("leaky_relu", "slope", 0.2, "torch.nn.LeakyReLU(negative_slope=0.2)", "nn.LeakyReLU(alpha=0.2)"),
        ("pad2d", "mode", "zero", "torch.nn.functional.pad(mode='constant')", "ops.pad(mode='constant')"),
        ("pad2d", "mode", "reflect", "torch.nn.functional.pad(mode='reflect')", "ops.pad(mode='reflect')"),
        ("softmax", "axis", 1, "torch.softmax(dim=1)", "ops.softmax(axis=1)"),
        ("var", "correction", 0, "torch.var(correction=0)", "ops.var(ddof=0)"),
        ("affine", "scale", 0.5, "x * 0.5", "x * 0.5"),
        ("affine", "shift", 0.5, "x + 0.5", "x + 0.5"),
        ("conv1d", "padding", 2, "torch.nn.Conv1d(padding=2)", "nn.Conv1d(pad_mode='pad', padding=2)"),
        (
            "pad2d",
            "padding",
            (1, 1, 1, 1),
            "torch.nn.functional.pad(padding=(1, 1, 1, 1))",
            "ops.pad(padding=(1, 1, 1, 1))",
        ),
        (
            "conv_transpose2d",
            "stride",
            (2, 2),
            "torch.nn.ConvTranspose2d(stride=(2, 2))",
            "nn.Conv2dTranspose(stride=(2, 2))",
        ),
        (
            "interpolate",
            "mode",
            "bilinear",
            "torch.nn.functional.interpolate(mode='bilinear')",
            "ops.interpolate(mode='bilinear')",
        ),
        ("instance_norm", "momentum", 0.1, "torch.nn.InstanceNorm2d(momentum=0.1)", "nn.InstanceNorm2d(momentum=0.1)"),
        ("softmax", "axis", None, "torch.softmax(dim=None)", "ops.softmax(axis=None)"),
        ("upsample", "scale", 2.0, "torch.upsample(scale_factor=2.0)", "ops.upsample(scale_factor=2.0)"),
        ("gelu", "inplace", True, "torch.nn.GELU(inplace=True)", "nn.GELU(inplace=True)"),
        ("fill", "mode", "zero", "torch.fill(mode='zero')", "ops.fill(mode='zero')"),
    ],
)
def test_an_argument(kind: str, name: str, value: Any, torch: str, mindspore: str) -> None:
    assert written("torch", kind, name, value) == torch
    assert written("mindspore", kind, name, value) == mindspore


def test_what_mindspore_says_by_other_numbers() -> None:
    momentum = "nn.BatchNorm2d(momentum=0.9), the complement of PyTorch's momentum=0.1"
    assert written("mindspore", "batch_norm", "momentum", 0.1) == momentum
    assert written("torch", "batch_norm", "momentum", 0.1) == "torch.nn.BatchNorm2d(momentum=0.1)"
    assert written("mindspore", "gelu", "approximate", "none").startswith("nn.GELU(approximate=False)")
    assert written("mindspore", "gelu", "approximate", "tanh").startswith("nn.GELU(approximate=True)")
    assert written("mindspore", "conv2d", "mindspore.pad_mode", None).startswith("nn.Conv2d(pad_mode='pad', padding=")
    edge = written("mindspore", "conv_transpose2d", "output_padding", (1, 1))
    assert edge.startswith("nn.Conv2dTranspose(output_padding=(1, 1)), or pad_mode='valid' and a slice")
    assert written("mindspore", "conv_transpose2d", "output_padding", (0, 0)).endswith("(output_padding=(0, 0))")
    assert written("mindspore", "interpolate", "scale", 2.0) == "ops.interpolate(size=...) of 2.0 times the input's"


def test_statistics() -> None:
    by_batch = written("torch", "batch_norm", "torch.training", True)
    assert by_batch == "model.train(True), and torch.nn.BatchNorm2d(track_running_stats=False)"
    running = written("mindspore", "batch_norm", "mindspore.batch_statistics", None)
    assert running == "model.set_train(False), and nn.BatchNorm2d(use_batch_statistics=None)"
    both = written("mindspore", "batch_norm", "mindspore.batch_statistics", True)
    assert both == "model.set_train(True), and nn.BatchNorm2d(use_batch_statistics=True)"


def test_every_class_and_argument_exists() -> None:
    """The names of the table, against the installed frameworks."""
    for port in ("torch", "mindspore"):
        framework = pytest.importorskip(port)
        homes = {"torch": framework, "nn": framework.nn}
        if port == "mindspore":
            homes["ops"] = framework.ops
        for kind, name in words._CALLS[port].items():
            found: Any = homes[name.split(".")[0]]
            for word in name.split(".")[1:]:
                found = getattr(found, word)
            assert callable(found), name
            arguments = words._ARGUMENTS[port]
            named = {n.partition(".")[2]: v for n, v in arguments.items() if n.startswith(f"{kind}.")}
            if inspect.isclass(found):
                assert set(named.values()) <= set(inspect.signature(found).parameters), name


def test_a_kind_without_a_class_is_a_function() -> None:
    assert called("torch", "amax") == "torch.amax" and called("mindspore", "amax") == "ops.amax"
    assert called("torch", "torch.einsum") == "torch.einsum"
    assert called("numpy", "amax") == "amax"
