"""Models with spectral norm: what they are made of, their first state, their keys, and their training step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from twinzoo.converters import files
from twinzoo.converters.convert import convert
from twinzoo.ports.reference import run, trace
from twinzoo.ports.steps import stepper
from twinzoo.zoo import spectral
from twinzoo.zoo.errors import IncompleteConversionError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.registry import spec, training_step
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]
PATCHGAN: dict[str, Any] = {"width": 2, "layers": 1}
_JUNYANZ = "junyanz/pytorch-CycleGAN-and-pix2pix"


def judge() -> Spec:
    """A small PatchGAN with spectral norm."""
    return spec("patchgan", **PATCHGAN, spectral_norm=True)


@pytest.mark.parametrize("name", ["patchgan", "self_attention_unet", "self_attention_resnet"])
def test_every_convolution_has_it_and_nothing_else_changes(name: str) -> None:
    small = {"patchgan": PATCHGAN, "self_attention_unet": {"width": 2, "depth": 3}}.get(name, {"width": 2, "blocks": 1})
    plain, normed = spec(name, **small), spec(name, **small, spectral_norm=True)
    for node in plain.nodes.values():
        own = normed.nodes[node.name]
        assert own.op == {v: k for k, v in spectral.PLAIN.items()}.get(node.op, node.op)
        assert own.outputs == node.outputs and own.attrs.items() >= node.attrs.items()
    trained = [[p.shape for p in s.params.values() if not p.buffer] for s in (plain, normed)]
    assert trained[0] == trained[1] and "spectral_conv2d" in {node.op for node in normed.nodes.values()}


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 5),
    out=st.integers(1, 5),
    op=st.sampled_from(sorted(spectral.PLAIN)),
    seed=st.integers(0, 9),
)
def test_a_fresh_model_divides_by_nearly_its_largest_singular_value(
    channels: int, out: int, op: str, seed: int
) -> None:
    s = Spec("one")
    linear = op == "spectral_linear"
    x = s.input("x", shape=(1, channels)) if linear else s.input("x", channels=channels, example=5)
    s.output(y=getattr(s, op)("layer", x, out, **({} if linear else {"kernel": 3})))
    state = {name.partition(".")[2]: value for name, value in initial_state(s, seed).items()}
    largest = np.linalg.svd(spectral.matrix_of(op, state["weight_orig"]), compute_uv=False)[0]
    assert 0.85 * largest < spectral.sigma_of(op, state) < (1 + 1e-6) * largest
    for part in "uv":
        assert np.isclose(np.linalg.norm(state[f"weight_{part}"]), 1)
    matrix = spectral.matrix_of(op, state["weight_orig"])
    assert np.array_equal(spectral.weight_of(op, matrix, state["weight_orig"].shape), state["weight_orig"])


def test_training_moves_u_and_v_and_evaluation_does_not() -> None:
    drawn = judge()
    state = initial_state(drawn)
    state["conv1.weight_u"] = np.ones_like(state["conv1.weight_u"])
    image = {"image": np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16))}
    after = trace(drawn, state, image, train=True).state
    wanted = spectral.moved("spectral_conv2d", 1e-12, {r: state[f"conv1.{r}"] for r in ("weight_orig", "weight_v")})
    for part in "uv":
        assert np.allclose(after[f"conv1.weight_{part}"], wanted[f"weight_{part}"])
    kept = trace(drawn, state, image).state
    assert all(np.array_equal(kept[name], value) for name, value in state.items())
    outputs = [run(drawn, state, image, train=train)["logits"] for train in (False, True)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_published_keys_both_ways(tmp_path: Path) -> None:
    """PyTorch's parametrization is written; its older hook is read too; a plain network takes the folded weights."""
    torch = pytest.importorskip("torch")
    drawn, state = judge(), initial_state(judge(), seed=4)
    made = convert(state, drawn, tmp_path / "new.pth", naming=_JUNYANZ)
    new, prefix = files.read(tmp_path / "new.pth"), "model.0.parametrizations.weight"
    assert {f"{prefix}.original", f"{prefix}.0._u", f"{prefix}.0._v", "model.0.bias"} <= set(new)
    assert all(np.array_equal(made.state[name], value) for name, value in state.items())
    modules = [torch.nn.Conv2d(3, 2, 4, 2, 1), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(2, 4, 4, 1, 1, bias=False)]
    modules += [torch.nn.BatchNorm2d(4), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(4, 1, 4, 1, 1)]
    hooked = torch.nn.Sequential(*(m if m.__class__.__name__ != "Conv2d" else _hook(m) for m in modules))
    convert(tmp_path / "new.pth", hooked)
    old = {f"model.{key}": value.numpy() for key, value in hooked.state_dict().items()}
    assert {"model.0.weight_orig", "model.0.weight_u", "model.0.weight_v"} <= old.keys()
    back = convert(old, drawn)
    assert all(np.array_equal(back.state[name], value) for name, value in state.items())
    plain = convert(tmp_path / "new.pth", spec("patchgan", **PATCHGAN)).state
    roles = {role: state[f"conv1.{role}"].astype(np.float64) for role in ("weight_orig", "weight_u", "weight_v")}
    folded = spectral.normalised("spectral_conv2d", roles)["weight"]
    assert np.allclose(plain["conv1.weight"], folded, rtol=1e-6, atol=0)
    with pytest.raises(IncompleteConversionError, match="9 missing, 3 unused"):
        convert(plain, drawn)


def _hook(module: Any) -> Any:
    import torch

    return torch.nn.utils.spectral_norm(module)


def test_mindspore_keys_both_ways(tmp_path: Path) -> None:
    drawn, state = judge(), initial_state(judge(), seed=5)
    convert(state, drawn, tmp_path / "a.ckpt")
    assert {"conv1.weight_orig", "conv1.weight_u", "conv1.weight_v"} <= set(files.read(tmp_path / "a.ckpt"))
    back = convert(tmp_path / "a.ckpt", drawn).state
    assert all(np.array_equal(back[name], value) for name, value in state.items())


def test_the_keys_of_those_who_wrap_the_layer() -> None:
    """`module.weight_bar`, `module.weight_u`, `module.weight_v`: a wrapper that much code for SAGAN has."""
    state = initial_state(judge(), seed=6)
    wrapped = {name.replace("weight_orig", "weight_bar"): value for name, value in state.items()}
    wrapped = {
        name.replace(".", ".module.") if name.partition(".")[0] in ("conv1", "conv2", "logits") else name: value
        for name, value in wrapped.items()
    }
    plain = convert(wrapped, spec("patchgan", **PATCHGAN)).state
    assert np.allclose(plain["conv2.weight"], convert(state, spec("patchgan", **PATCHGAN)).state["conv2.weight"])


def small_step(where: str) -> Any:
    """A step whose Adams do not make a whole step out of rounding."""
    drawn = training_step("improved_cyclegan", width=2, depth=3, layers=1, pool=2, spectral_norm=where, n_critic=2)
    drawn.optimizers = {name: replace(optimizer, eps=1e-4) for name, optimizer in drawn.optimizers.items()}
    return drawn


@pytest.mark.parametrize("where", ["none", "discriminators", "all"])
def test_the_step_has_it_where_it_is_asked_for(where: str) -> None:
    drawn = small_step(where)
    normed = {
        role.name
        for role in drawn.roles.values()
        if any(node.op in spectral.PLAIN for node in role.spec.nodes.values())
    }
    judges, makers = {"discriminator_a", "discriminator_b"}, {"generator_ab", "generator_ba"}
    assert normed == {"none": set(), "discriminators": judges, "all": judges | makers}[where]


def test_the_step_is_float64s_and_moves_every_u() -> None:
    """Three steps in PyTorch: losses, and u and v, which the two updates of the judges move several times a step."""
    pytest.importorskip("torch")
    random = np.random.default_rng(3)
    batches = [{n: random.uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32) for n in "ab"} for _ in range(3)]
    made = [stepper(small_step("all"), port, seed=1) for port in ("torch", "reference")]
    before = made[1].networks_state()
    for batch in batches:
        losses = [one.step(batch) for one in made]
        assert all(np.isclose(losses[0][name], losses[1][name], rtol=1e-5) for name in losses[1])
    ours, theirs = (one.networks_state() for one in made)
    vectors = [name for name in theirs if name.endswith(("weight_u", "weight_v")) and theirs[name].size > 1]
    assert len(vectors) > 20
    for name in vectors:
        assert np.abs(ours[name] - theirs[name]).max() < 1e-5, name
        assert np.abs(before[name] - theirs[name]).max() > 1e-4, name
